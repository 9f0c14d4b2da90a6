"use strict";
const assert = require("node:assert/strict");
const { test } = require("node:test");
const api = require("@opentelemetry/api");
const { XTraceIdPropagator } = require("..");

const propagator = new XTraceIdPropagator();
const UUID = "0af76519-16cd-43dd-8448-eb211c80319c";
const extracted = (headers, context = api.ROOT_CONTEXT) =>
  propagator.extract(context, headers, api.defaultTextMapGetter);
const idOf = (context) => api.trace.getSpanContext(context)?.traceId;

test("a uuid is the trace's id, with dashes or without, in any case", () => {
  for (const text of [UUID, UUID.replaceAll("-", ""), UUID.toUpperCase(), ` ${UUID} `]) {
    const span = api.trace.getSpanContext(extracted({ "x-trace-id": text }));
    assert.deepEqual(
      [span.traceId, span.spanId, span.traceFlags, span.isRemote],
      [UUID.replaceAll("-", ""), "8448eb211c80319c", 1, true],
    );
  }
});

test("of several values the first counts", () => {
  assert.equal(idOf(extracted({ "x-trace-id": [UUID, "b"] })), UUID.replaceAll("-", ""));
});

test("traceparent wins", () => {
  const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
  const known = api.trace.setSpanContext(api.ROOT_CONTEXT, { traceId, spanId: "00f067aa0ba902b7", traceFlags: 1 });
  assert.equal(idOf(extracted({ "x-trace-id": UUID }, known)), traceId);
});

test("an id that is no uuid travels in the baggage, and one that is none does not", () => {
  const baggage = api.propagation.getBaggage(extracted({ "x-trace-id": "order-7" }));
  assert.equal(baggage.getEntry("x-trace-id").value, "order-7");
  for (const text of ["", "a b", "\u0001", "x".repeat(129), "é", "0".repeat(32)]) {
    const context = extracted({ "x-trace-id": text });
    assert.equal(idOf(context), undefined);
    assert.equal(api.propagation.getBaggage(context), undefined);
  }
});

test("an id that is no uuid stands on the request's span", () => {
  const { OtherTraceIds } = require("../src/processor");
  const seen = {};
  const span = (kind) => ({ kind, setAttribute: (name, value) => (seen[name] = value) });
  const context = extracted({ "x-trace-id": "order-7" });
  new OtherTraceIds().onStart(span(api.SpanKind.CLIENT), context);
  assert.deepEqual(seen, {});
  new OtherTraceIds().onStart(span(api.SpanKind.SERVER), context);
  assert.deepEqual(seen, { "http.request.header.x-trace-id": "order-7" });
});

test("a trace id that ends in zeros has a parent all the same", () => {
  const span = api.trace.getSpanContext(extracted({ "x-trace-id": "1" + "0".repeat(31) }));
  assert.equal(span.spanId, "0000000000000001");
});

test("requests carry the active trace as a uuid", () => {
  const headers = {};
  propagator.inject(extracted({ "x-trace-id": UUID }), headers, api.defaultTextMapSetter);
  assert.deepEqual(headers, { "x-trace-id": UUID });
  propagator.inject(api.ROOT_CONTEXT, headers, api.defaultTextMapSetter);
  assert.deepEqual(headers, { "x-trace-id": UUID });
});
