"use strict";
/** One log record as it may leave the process: redacted, cut, with nothing odd in it. */

const { isValidSpanId, isValidTraceId } = require("@opentelemetry/api");
const { body, pairs, shortText } = require("./values");

/** @typedef {import("./redact").Redactor} Redactor */

const TRUNCATED = "log.truncated_bytes";
// Instrumentations of logging copy the record's own ids into these.
const REDUNDANT = ["otelTraceID", "otelSpanID", "otelTraceSampled", "otelServiceName"];

/**
 * Return a copy of *record* for the serializer.
 *
 * @param {any} record a `ReadableLogRecord`
 * @param {Redactor} redactor
 * @param {Origins} origins
 */
function cleanRecord(record, redactor, origins) {
  const [text, lost] = body(record.body, redactor);
  const attributes = pairs(record.attributes, redactor);
  for (const name of REDUNDANT) delete attributes[name];
  if (lost) attributes[TRUNCATED] = lost;
  return {
    resource: origins.resource(record.resource),
    instrumentationScope: origins.scope(record.instrumentationScope),
    hrTime: time(record.hrTime),
    hrTimeObserved: time(record.hrTimeObserved),
    severityNumber: whole(record.severityNumber, 2 ** 31),
    severityText: record.severityText ? shortText(record.severityText, redactor) : "",
    eventName: record.eventName ? shortText(record.eventName, redactor) : "",
    body: text,
    attributes,
    droppedAttributesCount: whole(record.droppedAttributesCount, 2 ** 32),
    spanContext: spanContext(record.spanContext),
  };
}

/**
 * Return a span's context with nothing in it that cannot be encoded; zero ids are none.
 *
 * @param {any} context
 */
function spanContext(context) {
  if (!context || !isValidTraceId(context.traceId)) return undefined;
  return {
    traceId: context.traceId,
    spanId: isValidSpanId(context.spanId) ? context.spanId : "",
    traceFlags: whole(context.traceFlags, 2 ** 32),
    isRemote: Boolean(context.isRemote),
    traceState: context.traceState,
  };
}

/**
 * @param {unknown} pair seconds and nanoseconds
 * @returns {[number, number]}
 */
function time(pair) {
  if (!Array.isArray(pair)) return [0, 0];
  return [whole(pair[0], 18_446_744_073), whole(pair[1], 2 ** 32)];
}

/**
 * @param {any} number
 * @param {number} limit
 * @returns {number}
 */
function whole(number, limit) {
  return Number.isInteger(number) && number >= 0 && number < limit ? number : 0;
}

/** Resources and scopes as they may leave: each cleaned once, for as long as it is used. */
class Origins {
  /** @param {Redactor} redactor */
  constructor(redactor) {
    this._redactor = redactor;
    /** @type {WeakMap<object, any>} */
    this._known = new WeakMap();
  }

  /** @param {any} resource */
  resource(resource) {
    return this._clean(resource, (attributes) => ({
      attributes,
      schemaUrl: resource.schemaUrl,
    }));
  }

  /** @param {any} scope */
  scope(scope) {
    return this._clean(scope, (attributes) => ({
      name: shortText(scope.name, this._redactor),
      version: shortText(scope.version, this._redactor),
      schemaUrl: scope.schemaUrl,
      attributes,
    }));
  }

  /**
   * @param {any} origin
   * @param {(attributes: object) => object} form
   */
  _clean(origin, form) {
    if (!origin) return NOTHING;
    let known = this._known.get(origin);
    if (known === undefined) {
      known = form(pairs(origin.attributes, this._redactor));
      // Until its last attribute is known, a resource may change.
      if (!origin.asyncAttributesPending) this._known.set(origin, known);
    }
    return known;
  }
}

const NOTHING = { name: "", attributes: {} };

module.exports = { Origins, cleanRecord, spanContext, time, whole };
