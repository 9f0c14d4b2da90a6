"use strict";
const assert = require("node:assert/strict");
const { test } = require("node:test");
const { Encoder } = require("../src/encode");
const { lines } = require("../src/lines");
const { Entry, batchId } = require("../src/queue/entry");
const { Redactor } = require("../src/redact");

const resource = { attributes: { "service.name": "shop" } };
const scope = { name: "shop.cart" };
const record = (parts) => ({
  resource,
  instrumentationScope: scope,
  hrTime: [1_770_000_000, 5],
  hrTimeObserved: [1_770_000_000, 5],
  attributes: {},
  ...parts,
});
const encoder = () => new Encoder("logs", new Redactor());
const printed = (batch, more) =>
  lines(new Entry({ signal: "logs", ...batch, encoding: "", source: "", ...more }))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

test("a batch is printed as lines of JSON, without secrets and in ASCII", () => {
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const { batches, dropped } = encoder().encode([
    record({
      severityNumber: 17,
      body: "é password=hunter2",
      attributes: { n: -1, real: 0.5, yes: true, list: [1, { a: null }], raw: Buffer.from("a"), nan: NaN },
      spanContext: { traceId, spanId: "00f067aa0ba902b7", traceFlags: 1 },
    }),
  ]);
  assert.equal(dropped.size, 0);
  const entry = new Entry({ signal: "logs", ...batches[0], encoding: "", source: "" });
  assert.match(lines(entry), /^[\x20-\x7e\n]+$/);
  assert.deepEqual(printed(batches[0]), [
    {
      time: "2026-02-02T02:40:00.000000005Z",
      service: "shop",
      environment: "",
      level: "ERROR",
      severity: 17,
      logger: "shop.cart",
      body: "é password=[REDACTED]",
      trace_id: traceId,
      span_id: "00f067aa0ba902b7",
      attributes: {
        n: -1, real: 0.5, yes: true, list: [1, { a: null }], raw: { $bytes: "YQ==" }, nan: { $double: "NaN" },
      },
    },
  ]);
});

test("a bad record costs itself at most, and is counted", () => {
  const bad = { get body() { throw new Error("no"); } };
  const { batches, dropped } = encoder().encode([record({ body: "a" }), bad, record({ body: "b" })]);
  assert.deepEqual([...dropped], [["unencodable", 1]]);
  assert.deepEqual(batches.map((batch) => batch.records), [2]);
});

test("fields that are no numbers cost themselves", () => {
  const { batches } = encoder().encode([
    record({ body: "a", hrTime: [NaN, -1], severityNumber: "x", droppedAttributesCount: -1 }),
  ]);
  assert.equal(printed(batches[0])[0].severity, 0);
});

test("batches are at most 4 MiB, and a record beyond that alone is dropped", () => {
  const attributes = Object.fromEntries(
    Array.from({ length: 100 }, (_, i) => [`a${i}`, "x".repeat(8000)]),
  );
  const large = Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`a${i}`, "x".repeat(8000)]));
  const items = Array.from({ length: 8 }, (_, i) => record({ body: String(i), attributes }));
  const { batches, dropped } = encoder().encode([...items, record({ attributes: large })]);
  assert.deepEqual([...dropped], [["too_large", 1]]);
  assert.equal(batches.reduce((sum, batch) => sum + batch.records, 0), 8);
  for (const batch of batches) assert.ok(batch.payload.length <= 4 * 1024 * 1024);
  assert.deepEqual(
    batches.flatMap((batch) => printed(batch).map((line) => line.body)),
    ["0", "1", "2", "3", "4", "5", "6", "7"],
  );
});

test("ids are UUIDs of version 7, in the order in which they were minted", () => {
  const ids = Array.from({ length: 50 }, batchId);
  for (const id of ids) {
    assert.equal(id[6] >> 4, 7);
    assert.equal(id[8] >> 6, 2);
    assert.ok(Math.abs(id.readUIntBE(0, 6) - Date.now()) < 1000);
  }
  const heads = ids.map((id) => id.toString("hex", 0, 8));
  assert.deepEqual(heads, heads.toSorted());
});
