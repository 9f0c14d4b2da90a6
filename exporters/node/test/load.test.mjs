import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import * as imported from "godot-otel";

test("what is imported is what is required", () => {
  const required = createRequire(import.meta.url)("godot-otel");
  for (const name of Object.keys(required)) assert.equal(imported[name], required[name], name);
  assert.deepEqual(Object.keys(required), [
    "GodotLogRecordExporter", "GodotLogRecordProcessor", "GodotSpanExporter", "GodotSpanProcessor",
    "XTraceIdPropagator", "configure", "forceFlush",
  ]);
});
