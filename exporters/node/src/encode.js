"use strict";
/**
 * Log records and spans into OTLP requests, by OpenTelemetry's own serializer.
 *
 * In: what the SDK hands to an exporter. Out: batches the queue takes. One bad record
 * costs its bad field, or at worst itself, never the batch.
 */

const { ProtobufLogsSerializer, ProtobufTraceSerializer } = require("@opentelemetry/otlp-transformer");
const { MAX_BATCH_BYTES } = require("./queue/keys");
const { Origins, cleanRecord } = require("./record");
const { cleanSpan } = require("./span");

/** @typedef {import("./redact").Redactor} Redactor */
/** @typedef {"logs" | "traces"} Signal */
/** @typedef {{payload: Uint8Array, records: number}} Batch */
/** @typedef {{batches: Batch[], dropped: Map<string, number>}} Encoded */

/** @type {Record<Signal, {clean: Function, serializer: {serializeRequest(items: any): any}}>} */
const FORMS = {
  logs: { clean: cleanRecord, serializer: ProtobufLogsSerializer },
  traces: { clean: cleanSpan, serializer: ProtobufTraceSerializer },
};

/** Encodes what belongs to one signal. */
class Encoder {
  /**
   * @param {Signal} signal
   * @param {Redactor} redactor
   */
  constructor(signal, redactor) {
    this._form = FORMS[signal];
    this._redactor = redactor;
    this._origins = new Origins(redactor);
  }

  /**
   * Encode *items* as batches of at most 4 MiB; never throws.
   *
   * @param {readonly any[]} items
   * @returns {Encoded}
   */
  encode(items) {
    /** @type {Encoded} */
    const encoded = { batches: [], dropped: new Map() };
    const clean = [];
    for (const item of items) {
      try {
        clean.push(this._form.clean(item, this._redactor, this._origins));
      } catch {
        drop(encoded, "unencodable", 1);
      }
    }
    this._pack(clean, encoded);
    return encoded;
  }

  /**
   * @param {any[]} clean
   * @param {Encoded} encoded
   */
  _pack(clean, encoded) {
    if (!clean.length) return;
    /** @type {Uint8Array | undefined} */
    let payload;
    try {
      payload = this._form.serializer.serializeRequest(clean);
    } catch {
      payload = undefined; // one of them is to blame; halving finds it
    }
    if (payload && payload.length <= MAX_BATCH_BYTES) {
      encoded.batches.push({ payload, records: clean.length });
    } else if (clean.length === 1) {
      drop(encoded, payload ? "too_large" : "unencodable", 1);
    } else {
      const middle = clean.length >> 1;
      this._pack(clean.slice(0, middle), encoded);
      this._pack(clean.slice(middle), encoded);
    }
  }
}

/**
 * @param {Encoded} encoded
 * @param {string} reason
 * @param {number} records
 */
function drop(encoded, reason, records) {
  encoded.dropped.set(reason, (encoded.dropped.get(reason) ?? 0) + records);
}

module.exports = { Encoder };
