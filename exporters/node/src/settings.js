"use strict";
/**
 * The environment variables of an application, as `godot_otel/settings.py` has them.
 *
 * A malformed variable must not stop an application: it is said once, and the default
 * holds. A malformed argument is thrown: the programmer is there to read it.
 */

const { SettingError } = require("./errors");
const { reportOnce } = require("./diagnostics");

/** @typedef {(text: string) => any} Parse */

/** @type {Record<string, [string, any, Parse]>} name: variable, default, parser */
const SETTINGS = {
  endpoint: ["OTEL_EXPORTER_GODOT_ENDPOINT", null, redisUrl],
  logs_endpoint: ["OTEL_EXPORTER_GODOT_LOGS_ENDPOINT", null, redisUrl],
  traces_endpoint: ["OTEL_EXPORTER_GODOT_TRACES_ENDPOINT", null, redisUrl],
  redis_url: ["GODOT_REDIS_URL", null, redisUrl],
  data_dir: ["GODOT_DATA_DIR", null, String],
  timeout: ["OTEL_EXPORTER_GODOT_TIMEOUT", 10_000, whole(3_600_000)],
  logs_timeout: ["OTEL_EXPORTER_GODOT_LOGS_TIMEOUT", null, whole(3_600_000)],
  traces_timeout: ["OTEL_EXPORTER_GODOT_TRACES_TIMEOUT", null, whole(3_600_000)],
  compression: ["OTEL_EXPORTER_GODOT_COMPRESSION", "none", oneOf("none", "gzip")],
  logs_compression: ["OTEL_EXPORTER_GODOT_LOGS_COMPRESSION", null, oneOf("none", "gzip")],
  traces_compression: ["OTEL_EXPORTER_GODOT_TRACES_COMPRESSION", null, oneOf("none", "gzip")],
  redact_keys: ["OTEL_EXPORTER_GODOT_REDACT_KEYS", [], words],
  fallback: ["OTEL_EXPORTER_GODOT_FALLBACK", "stderr", oneOf("stderr", "stdout", "none")],
  ...batching("BLRP"),
  ...batching("BSP"),
};

/**
 * How items are batched: OpenTelemetry's variables, with defaults of our own.
 *
 * @param {string} processor
 * @returns {Record<string, [string, any, Parse]>}
 */
function batching(processor) {
  const variable = `OTEL_${processor}_`;
  return {
    [`${processor}_delay`]: [`${variable}SCHEDULE_DELAY`, 200, whole(3_600_000)],
    [`${processor}_batch`]: [`${variable}MAX_EXPORT_BATCH_SIZE`, 512, whole(1 << 24)],
    [`${processor}_queue`]: [`${variable}MAX_QUEUE_SIZE`, 32_768, whole(1 << 24)],
  };
}

/**
 * Read one setting; a malformed one is reported, and its default returned.
 *
 * @param {string} name
 */
function setting(name) {
  const [variable, otherwise, parse] = SETTINGS[name];
  const raw = process.env[variable]?.trim();
  if (!raw) return otherwise;
  try {
    return parse(raw);
  } catch (error) {
    const expected = /** @type {Error} */ (error).message;
    reportOnce(variable, `${variable}: ${expected}; its default is used`);
    return otherwise;
  }
}

/**
 * Read the setting for one signal alone, else the one for every signal.
 *
 * @param {import("./encode").Signal} signal
 * @param {string} name
 */
function signalSetting(signal, name) {
  return setting(`${signal}_${name}`) ?? setting(name);
}

/**
 * Check the form of a Redis URL; the message never holds the URL itself.
 *
 * @param {string} text
 */
function redisUrl(text) {
  const expected = new SettingError("expected a form such as redis://HOST:PORT/0");
  if (/^unix:\/\/[^/]*\/./.test(text)) return text;
  let url;
  try {
    url = new URL(text);
  } catch {
    throw expected;
  }
  const scheme = url.protocol === "redis:" || url.protocol === "rediss:";
  if (!scheme || !url.hostname || !/^\/*\d*\/*$/.test(url.pathname)) throw expected;
  return text;
}

/**
 * @param {number} maximum
 * @returns {Parse}
 */
function whole(maximum) {
  return (text) => {
    const number = Number(text);
    if (!/^\d+$/.test(text) || number < 1 || number > maximum) {
      throw new SettingError(`expected a whole number, 1 to ${maximum}`);
    }
    return number;
  };
}

/**
 * @param {string[]} names
 * @returns {Parse}
 */
function oneOf(...names) {
  return (text) => {
    if (!names.includes(text.toLowerCase())) {
      throw new SettingError(`expected one of ${names.join(", ")}`);
    }
    return text.toLowerCase();
  };
}

/** @param {string} text */
function words(text) {
  return text.split(",").map((word) => word.trim()).filter(Boolean);
}

module.exports = { SETTINGS, oneOf, redisUrl, setting, signalSetting, whole, words };
