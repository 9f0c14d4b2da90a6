"use strict";
/**
 * Where an exporter's batches go, and the one sender of the process that takes them there.
 *
 * Exporters of logs and of spans that name the same destination share a sender: one
 * connection, one instance with one set of counters.
 */

const { SettingError } = require("./errors");
const { Fallback } = require("./fallback");
const lifecycle = require("./lifecycle");
const { Sender } = require("./sender");
const { redisUrl, setting, signalSetting } = require("./settings");

/** @type {Map<string, Sender>} */
const senders = new Map();

/**
 * Return the sender for one signal's exporter; that contacts nobody.
 *
 * Throws a SettingError when an argument is malformed.
 *
 * @param {import("./encode").Signal} signal
 * @param {import("./exporter").Options} options
 */
function senderTo(signal, options) {
  const timeoutMillis = options.timeoutMillis ?? signalSetting(signal, "timeout");
  if (typeof timeoutMillis !== "number" || !(timeoutMillis > 0)) {
    throw new SettingError(`timeoutMillis: ${timeoutMillis} is no number of milliseconds above 0`);
  }
  const { backlogBytes, fallback } = options;
  if (backlogBytes !== undefined && !(typeof backlogBytes === "number" && backlogBytes > 0)) {
    throw new SettingError(`backlogBytes: ${backlogBytes} is no number of bytes above 0`);
  }
  if (fallback !== undefined && !["stderr", "stdout", "none"].includes(fallback)) {
    throw new SettingError(`fallback: ${fallback} is none of stderr, stdout, none`);
  }
  const where = {
    endpoint: checked(options.endpoint) ?? setting(`${signal}_endpoint`),
    timeoutMillis,
    output: fallback ?? setting("fallback"),
    backlogBytes,
  };
  const name = JSON.stringify(where);
  let sender = senders.get(name);
  if (!sender) {
    sender = new Sender({ ...where, fallback: new Fallback(where.output) });
    senders.set(name, sender);
    lifecycle.watchSender(sender);
  }
  return sender;
}

/** @param {string | undefined} endpoint */
function checked(endpoint) {
  if (!endpoint) return undefined;
  try {
    return redisUrl(endpoint);
  } catch (error) {
    throw new SettingError(`endpoint: no Redis URL: ${/** @type {Error} */ (error).message}`);
  }
}

module.exports = { senderTo };
