"use strict";
/** Values of JavaScript into what OTLP's `AnyValue` can hold, within the contract's caps. */

const { REDACTED } = require("./redact");

/** @typedef {import("./redact").Redactor} Redactor */

const ATTRIBUTE_MAX_BYTES = 8 * 1024;
const BODY_MAX_BYTES = 64 * 1024;
const MAX_DEPTH = 20;
const TOO_DEEP = "[too deep]";
const STACKTRACE = "exception.stacktrace";

const MARGIN = 24 * 1024; // how many characters beyond a cap are searched for secrets
const SHORT = ATTRIBUTE_MAX_BYTES / 4; // characters that cannot exceed the cap
const LAST_WORD = /(?<!\S)\S+$/;
const LONE_SURROGATE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

/**
 * Return attributes as they may leave the process: redacted and cut; never throws.
 *
 * @param {object | undefined | null} attributes
 * @param {Redactor} redactor
 */
function pairs(attributes, redactor) {
  return each(attributes ?? {}, redactor, (value, key) =>
    typeof value === "string"
      ? text(key, value, redactor)
      : trim(plain(value, ATTRIBUTE_MAX_BYTES, redactor, 0, []), ATTRIBUTE_MAX_BYTES),
  );
}

/**
 * Return an object with *form* of each value, but of a secret's.
 *
 * @param {object} values
 * @param {Redactor} redactor
 * @param {(value: any, key: string) => any} form
 * @returns {Record<string, any>}
 */
function each(values, redactor, form) {
  const entries = [];
  for (const name of Object.keys(values)) {
    const value = read(values, name);
    if (value === undefined) continue;
    const key = wellFormed(name);
    entries.push([key, redactor.isSecret(key) ? REDACTED : form(value, key)]);
  }
  return Object.fromEntries(entries); // by assignment, a name such as __proto__ is no name
}

/**
 * Return a body as it may leave the process, and how many bytes the cap cut away.
 *
 * @param {unknown} value
 * @param {Redactor} redactor
 * @returns {[any, number]}
 */
function body(value, redactor) {
  if (value === undefined || value === null) return [undefined, 0];
  if (typeof value === "string") return redacted(value, BODY_MAX_BYTES, redactor);
  if (value instanceof Uint8Array) {
    return [value.subarray(0, BODY_MAX_BYTES), Math.max(0, value.length - BODY_MAX_BYTES)];
  }
  const whole = plain(value, BODY_MAX_BYTES, redactor, 0, []);
  const before = size(whole);
  const kept = trim(whole, BODY_MAX_BYTES);
  return [kept, before - size(kept)];
}

/**
 * Return a text without secrets, as long as an attribute may be.
 *
 * For what is text by its nature: names, a status message.
 *
 * @param {unknown} value
 * @param {Redactor} redactor
 */
function shortText(value, redactor) {
  if (value === undefined || value === null) return "";
  return redacted(String(value), ATTRIBUTE_MAX_BYTES, redactor)[0];
}

/**
 * @param {string} name
 * @param {string} value
 * @param {Redactor} redactor
 */
function text(name, value, redactor) {
  if (name === STACKTRACE && value.length > SHORT) return redactedEnd(value, redactor);
  return redacted(value, ATTRIBUTE_MAX_BYTES, redactor)[0];
}

/**
 * Return the first *limit* bytes of *value* without secrets, and the bytes lost.
 *
 * A secret is told by what stands around it, so more than that is searched.
 *
 * @param {string} value
 * @param {number} limit
 * @param {Redactor} redactor
 * @returns {[string, number]}
 */
function redacted(value, limit, redactor) {
  value = wellFormed(value);
  if (value.length <= limit + MARGIN) return cut(redactor.text(value), limit);
  const window = wellFormed(value.slice(0, limit + MARGIN));
  const beyond = Buffer.byteLength(value) - Buffer.byteLength(window);
  const clean = redactor.text(window);
  let [kept, lost] = cut(clean, limit);
  if (!lost) {
    // so much was redacted that the window's end shows, half a secret maybe
    kept = kept.replace(LAST_WORD, "");
    lost = Buffer.byteLength(clean) - Buffer.byteLength(kept);
  }
  return [kept, lost + beyond];
}

/**
 * Return the end of *value*, where the error stands, without secrets.
 *
 * @param {string} value
 * @param {Redactor} redactor
 */
function redactedEnd(value, redactor) {
  value = wellFormed(value);
  const window = ATTRIBUTE_MAX_BYTES + MARGIN;
  const clean = redactor.text(wellFormed(value.slice(-window)));
  const data = Buffer.from(clean);
  if (value.length > window && data.length <= ATTRIBUTE_MAX_BYTES) {
    // as above: a name may stand before the window, its value in it
    return clean.slice(clean.indexOf("\n") + 1 || clean.length);
  }
  let start = Math.max(0, data.length - ATTRIBUTE_MAX_BYTES);
  while (start < data.length && (data[start] & 0xc0) === 0x80) start += 1;
  return data.toString("utf8", start);
}

/**
 * Return the first *limit* bytes of UTF-8, whole characters, and the bytes lost.
 *
 * @param {string} value
 * @param {number} limit
 * @returns {[string, number]}
 */
function cut(value, limit) {
  if (value.length * 3 <= limit) return [value, 0];
  const data = Buffer.from(value);
  if (data.length <= limit) return [value, 0];
  let end = limit;
  while ((data[end] & 0xc0) === 0x80) end -= 1;
  return [data.toString("utf8", 0, end), data.length - end];
}

/** @param {string} value */
function wellFormed(value) {
  return /** @type {any} */ (value).isWellFormed() ? value : value.replace(LONE_SURROGATE, "?");
}

/**
 * Return one value in a form that can be encoded, without secrets; never throws.
 *
 * @param {unknown} value
 * @param {number} limit of a text in it, in bytes
 * @param {Redactor} redactor
 * @param {number} depth
 * @param {object[]} around the objects it is in
 * @returns {any}
 */
function plain(value, limit, redactor, depth, around) {
  switch (typeof value) {
    case "string":
      return redacted(value, limit, redactor)[0];
    case "number":
    case "boolean":
      return value;
    case "undefined":
      return null;
    case "bigint":
      return Number.isSafeInteger(Number(value)) ? Number(value) : cut(String(value), limit)[0];
    case "object":
      break;
    default: // a function, a symbol
      return redacted(String(value), limit, redactor)[0];
  }
  if (value === null) return null;
  if (value instanceof Uint8Array) return value.subarray(0, limit);
  if (depth >= MAX_DEPTH || around.includes(value)) return TOO_DEEP;
  try {
    return object(value, limit, redactor, depth, [...around, value]);
  } catch {
    return "[unprintable object]";
  }
}

/**
 * @param {object} value
 * @param {number} limit
 * @param {Redactor} redactor
 * @param {number} depth
 * @param {object[]} around
 * @returns {any}
 */
function object(value, limit, redactor, depth, around) {
  if (value instanceof Error) return redacted(String(value), limit, redactor)[0];
  if (Array.isArray(value) || value instanceof Set) {
    return list([...value], redactor, depth, around);
  }
  if (value instanceof Map) {
    return map(Object.fromEntries(value), redactor, depth, around);
  }
  const json = /** @type {any} */ (value).toJSON;
  if (typeof json === "function") {
    return plain(json.call(value), limit, redactor, depth + 1, around);
  }
  return map(value, redactor, depth, around);
}

/**
 * @param {any} value
 * @param {Redactor} redactor
 * @param {number} depth
 * @param {object[]} around
 */
function map(value, redactor, depth, around) {
  return each(value, redactor, (item) =>
    plain(item, ATTRIBUTE_MAX_BYTES, redactor, depth + 1, around),
  );
}

/**
 * @param {any[]} items
 * @param {Redactor} redactor
 * @param {number} depth
 * @param {object[]} around
 */
function list(items, redactor, depth, around) {
  if (depth && items.length === 2 && namesSecret(items[0], redactor)) {
    items = [items[0], REDACTED]; // a header among headers: ["cookie", "..."]
  }
  let option = false;
  return items.map((item) => {
    // of a command line: ["--password", "..."]
    if (option) item = REDACTED;
    option = typeof item === "string" && item.startsWith("--") && redactor.isSecret(item);
    return plain(item, ATTRIBUTE_MAX_BYTES, redactor, depth + 1, around);
  });
}

/**
 * @param {unknown} item
 * @param {Redactor} redactor
 */
function namesSecret(item, redactor) {
  const name = item instanceof Uint8Array ? Buffer.from(item).toString("latin1") : item;
  return typeof name === "string" && redactor.isSecret(name);
}

/**
 * @param {object} value
 * @param {string} name
 */
function read(value, name) {
  try {
    return /** @type {any} */ (value)[name];
  } catch {
    return "[unprintable]"; // a getter threw
  }
}

/**
 * Shorten a list or an object until it fits.
 *
 * @param {any} value
 * @param {number} limit
 */
function trim(value, limit) {
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  let kept = value;
  while (size(kept) > limit) {
    if (Array.isArray(kept)) kept = kept.slice(0, kept.length >> 1);
    else {
      const entries = Object.entries(kept);
      kept = Object.fromEntries(entries.slice(0, entries.length >> 1));
    }
  }
  return kept;
}

/**
 * Return how many bytes a value takes as an `AnyValue`.
 *
 * @param {any} value
 * @returns {number}
 */
function size(value) {
  if (value === null || value === undefined) return 0;
  switch (typeof value) {
    case "string":
      return framed(Buffer.byteLength(value));
    case "boolean":
      return 2;
    case "number":
      return Number.isInteger(value) ? 1 + (value < 0 ? 10 : varint(value)) : 9;
  }
  if (value instanceof Uint8Array) return framed(value.length);
  let sum = 0;
  if (Array.isArray(value)) for (const item of value) sum += framed(size(item));
  else {
    for (const [name, item] of Object.entries(value)) {
      const key = name ? framed(Buffer.byteLength(name)) : 0;
      sum += framed(key + framed(size(item)));
    }
  }
  return framed(sum);
}

/** @param {number} bytes */
function framed(bytes) {
  return 1 + varint(bytes) + bytes;
}

/** @param {number} number */
function varint(number) {
  let bytes = 1;
  for (; number >= 128; number = Math.floor(number / 128)) bytes += 1;
  return bytes;
}

module.exports = { ATTRIBUTE_MAX_BYTES, BODY_MAX_BYTES, TOO_DEEP, body, pairs, shortText };
