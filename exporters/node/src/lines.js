"use strict";
/**
 * A batch as lines of JSON, for people and for what reads a container's output.
 *
 * The objects have the keys of `godot-otel query --json`.
 */

const { gunzipSync } = require("node:zlib");
const { MAX_BATCH_BYTES } = require("./queue/keys");
const { fixed64, messages, read, string } = require("./wire");

/** @typedef {import("./queue/entry").Entry} Entry */
/** @typedef {import("./wire").Message} Message */

const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];

/**
 * Return one line of ASCII for each record or span of *entry*.
 *
 * Throws when the payload is no OTLP request.
 *
 * @param {Entry} entry
 * @returns {string}
 */
function lines(entry) {
  const packed = entry.encoding === "gzip";
  const payload = packed
    ? gunzipSync(entry.payload, { maxOutputLength: MAX_BATCH_BYTES })
    : entry.payload;
  const form = entry.signal === "traces" ? span : record;
  let text = "";
  for (const group of messages(read(payload), 1)) {
    const origin = originOf(object(messages(group, 1)[0], 1));
    for (const scope of messages(group, 2)) {
      const [about] = messages(scope, 1);
      for (const item of messages(scope, 2)) text += line(form(item, origin, string(about, 1)));
    }
  }
  return text;
}

/** @param {object} found */
function line(found) {
  const escape = (/** @type {string} */ odd) =>
    "\\u" + odd.charCodeAt(0).toString(16).padStart(4, "0");
  return JSON.stringify(found).replace(/[\u007f-\uffff]/g, escape) + "\n";
}

/**
 * @param {Message} found
 * @param {{service: string, environment: string}} origin
 * @param {string} logger
 */
function record(found, origin, logger) {
  const severity = Number(found.get(2)?.[0] ?? 0);
  return {
    time: rfc3339(fixed64(found, 1) || fixed64(found, 11)),
    ...origin,
    level: severity >= 1 && severity <= 24 ? LEVELS[(severity - 1) >> 2] : "",
    severity,
    logger,
    body: text(messages(found, 5)[0]),
    trace_id: id(found, 9),
    span_id: id(found, 10),
    attributes: object(found, 6),
  };
}

/**
 * @param {Message} found
 * @param {{service: string, environment: string}} origin
 */
function span(found, origin) {
  return {
    time: rfc3339(fixed64(found, 7)),
    end: rfc3339(fixed64(found, 8)),
    ...origin,
    name: string(found, 5),
    trace_id: id(found, 1),
    span_id: id(found, 2),
    parent_span_id: id(found, 4),
  };
}

/** @param {Record<string, any>} facts */
function originOf(facts) {
  const environment = facts["deployment.environment.name"] ?? facts["deployment.environment"];
  return {
    service: String(facts["service.name"] || "unknown_service"),
    environment: String(environment ?? ""),
  };
}

/** @param {bigint} nanoseconds */
function rfc3339(nanoseconds) {
  const seconds = new Date(Number(nanoseconds / 1_000_000_000n) * 1000).toISOString();
  return `${seconds.slice(0, 19)}.${String(nanoseconds % 1_000_000_000n).padStart(9, "0")}Z`;
}

/**
 * @param {Message} message
 * @param {number} field
 */
function id(message, field) {
  return message.get(field)?.[0].toString("hex") || null;
}

/** @param {Message | undefined} value */
function text(value) {
  const found = value ? plain(value) : null;
  if (typeof found === "string") return found;
  return found === null ? "" : JSON.stringify(found);
}

/**
 * @param {Message} message
 * @param {number} field of key and value pairs
 */
function object(message, field) {
  /** @type {Record<string, any>} */
  const found = {};
  for (const pair of messages(message, field)) {
    const key = string(pair, 1);
    const value = messages(pair, 2)[0];
    found[key.startsWith("$") ? `$${key}` : key] = value ? plain(value) : null;
  }
  return found;
}

/**
 * Turn one value into what JSON can hold, in the form in which it is stored.
 *
 * @param {Message} value
 * @returns {any}
 */
function plain(value) {
  const [kind] = value.keys();
  const [found] = value.get(kind) ?? [];
  switch (kind) {
    case 1:
      return found.toString("utf8");
    case 2:
      return found !== 0n;
    case 3:
      return Number(BigInt.asIntN(64, found));
    case 4: {
      const double = found.readDoubleLE();
      return Number.isFinite(double) ? double : { $double: String(double) };
    }
    case 5:
      return messages(read(found), 1).map(plain);
    case 6:
      return object(read(found), 1);
    case 7:
      return { $bytes: found.toString("base64") };
  }
  return null;
}

module.exports = { lines };
