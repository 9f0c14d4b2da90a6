"use strict";
/** One ended span as it may leave the process: redacted, cut, with nothing odd in it. */

const { spanContext, time, whole } = require("./record");
const { pairs, shortText } = require("./values");

/** @typedef {import("./redact").Redactor} Redactor */

/**
 * Return a copy of *span* for the serializer.
 *
 * @param {any} span a `ReadableSpan`
 * @param {Redactor} redactor
 * @param {import("./record").Origins} origins
 */
function cleanSpan(span, redactor, origins) {
  const context = spanContext(span.spanContext());
  if (!context?.spanId) throw new Error("a span without ids");
  return {
    resource: origins.resource(span.resource),
    instrumentationScope: origins.scope(span.instrumentationScope),
    spanContext: () => context,
    parentSpanContext: spanContext(span.parentSpanContext),
    name: shortText(span.name, redactor),
    kind: whole(span.kind, 5),
    startTime: time(span.startTime),
    endTime: time(span.endTime),
    attributes: pairs(span.attributes, redactor),
    events: each(span.events, (event) => ({
      name: shortText(event.name, redactor),
      time: time(event.time),
      attributes: pairs(event.attributes, redactor),
      droppedAttributesCount: whole(event.droppedAttributesCount, 2 ** 32),
    })),
    links: each(span.links, (link) => ({
      context: spanContext(link.context) ?? fail(),
      attributes: pairs(link.attributes, redactor),
      droppedAttributesCount: whole(link.droppedAttributesCount, 2 ** 32),
    })),
    status: {
      code: whole(span.status?.code, 3),
      message: span.status?.message ? shortText(span.status.message, redactor) : undefined,
    },
    droppedAttributesCount: whole(span.droppedAttributesCount, 2 ** 32),
    droppedEventsCount: whole(span.droppedEventsCount, 2 ** 32),
    droppedLinksCount: whole(span.droppedLinksCount, 2 ** 32),
    ended: true,
    duration: span.duration,
  };
}

/**
 * Return the items that can be cleaned: a bad one costs itself.
 *
 * @param {any} items
 * @param {(item: any) => any} form
 */
function each(items, form) {
  const found = [];
  for (const item of items ?? []) {
    try {
      found.push(form(item));
    } catch {
      continue;
    }
  }
  return found;
}

/** @returns {never} */
function fail() {
  throw new Error("a link to no span");
}

module.exports = { cleanSpan };
