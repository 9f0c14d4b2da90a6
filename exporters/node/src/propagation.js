"use strict";
/**
 * Trace ids in requests, beyond what W3C's `traceparent` does.
 *
 * OpenTelemetry's instrumentations carry `traceparent` by themselves. Here is what old
 * services speak, `X-Trace-ID: <uuid>`.
 */

const { TraceFlags, isSpanContextValid, propagation, trace } = require("@opentelemetry/api");

/** @typedef {import("@opentelemetry/api").Context} Context */

const HEADER = "x-trace-id";
const UUID = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32})$/i;
// A token that may travel in a header again: no spaces, no control characters.
const OTHER_ID = /^[\x21-\x7e]{1,128}$/;
const ZEROS = "0".repeat(16);

/**
 * Reads and writes `X-Trace-ID: <uuid>`; on when `OTEL_PROPAGATORS` names it.
 *
 * `traceparent` wins when a request has both. An id that is no uuid cannot be a trace id:
 * it stays as it is, in the baggage.
 */
class XTraceIdPropagator {
  /**
   * Return *context* with the caller's trace in it.
   *
   * @param {Context} context
   * @param {any} carrier
   * @param {import("@opentelemetry/api").TextMapGetter} getter
   */
  extract(context, carrier, getter) {
    const span = trace.getSpanContext(context);
    if (span && isSpanContextValid(span)) return context;
    const values = getter.get(carrier, HEADER);
    const value = Array.isArray(values) ? values[0] : values;
    const text = typeof value === "string" ? value.trim() : "";
    if (UUID.test(text)) return inTrace(text.replaceAll("-", "").toLowerCase(), context);
    if (!OTHER_ID.test(text)) return context;
    const baggage = propagation.getBaggage(context) ?? propagation.createBaggage();
    return propagation.setBaggage(context, baggage.setEntry(HEADER, { value: text }));
  }

  /**
   * Write the active trace's id as a uuid.
   *
   * @param {Context} context
   * @param {any} carrier
   * @param {import("@opentelemetry/api").TextMapSetter} setter
   */
  inject(context, carrier, setter) {
    const span = trace.getSpanContext(context);
    if (!span || !isSpanContextValid(span)) return;
    const parts = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/.exec(span.traceId);
    if (parts) setter.set(carrier, HEADER, parts.slice(1).join("-"));
  }

  /** The header that `inject` writes. */
  fields() {
    return [HEADER];
  }
}

/**
 * @param {string} traceId
 * @param {Context} context
 */
function inTrace(traceId, context) {
  if (/^0+$/.test(traceId)) return context;
  // An old service names no span, and a parent without an id would be ignored; the same
  // trace gets the same one. Sampled: else samplers would drop all its spans.
  const end = traceId.slice(16);
  return trace.setSpanContext(context, {
    traceId,
    spanId: end === ZEROS ? `${ZEROS.slice(1)}1` : end,
    traceFlags: TraceFlags.SAMPLED,
    isRemote: true,
  });
}

module.exports = { HEADER, XTraceIdPropagator };
