"use strict";
/** The exporters: redact, encode, hand to the sender. */

const { gzipSync } = require("node:zlib");
const { ExportResultCode } = require("@opentelemetry/core");
const { report } = require("./diagnostics");
const { senderTo } = require("./destination");
const { Encoder } = require("./encode");
const { SettingError } = require("./errors");
const { Redactor } = require("./redact");
const { setting, signalSetting } = require("./settings");

/** @typedef {import("./queue/entry").Entry} Entry */
/** @typedef {import("@opentelemetry/core").ExportResult} ExportResult */
/**
 * @typedef {object} Options An option wins over its environment variable.
 * @property {string} [endpoint] the queue's Redis URL; default: the environment, then the
 *   stack that runs in the data directory. Without any, batches wait in memory.
 * @property {number} [timeoutMillis] how long one export may take
 * @property {"none" | "gzip"} [compression] how batches are packed
 * @property {string[]} [redactKeys] more names whose values become `[REDACTED]`
 * @property {"stderr" | "stdout" | "none"} [fallback] where lines go that memory cannot hold
 * @property {number} [backlogBytes] how many bytes of batches may wait in memory; default 64 MiB
 */

const OPTIONS = ["endpoint", "timeoutMillis", "compression", "redactKeys", "fallback", "backlogBytes"];
const SHUTDOWN_MS = 5_000;

/**
 * Exports one signal to godot-otel's queue; while it is away, batches wait in memory.
 *
 * Constructing it contacts nobody and starts nothing.
 */
class QueueExporter {
  /**
   * @param {import("./encode").Signal} signal
   * @param {Options} options
   */
  constructor(signal, options) {
    const unknown = Object.keys(options).filter((name) => !OPTIONS.includes(name));
    if (unknown.length) {
      throw new TypeError(`the godot exporter takes ${OPTIONS.join(", ")}; not ${unknown.join(", ")}`);
    }
    const compression = options.compression ?? signalSetting(signal, "compression");
    if (compression !== "none" && compression !== "gzip") {
      throw new SettingError(`compression: ${compression} is none of none, gzip`);
    }
    this._signal = signal;
    this._gzip = compression === "gzip";
    const more = options.redactKeys ?? [];
    if (!Array.isArray(more) || more.some((name) => typeof name !== "string")) {
      throw new SettingError("redactKeys: expected a list of names");
    }
    const keys = [...setting("redact_keys"), ...more];
    this._encoder = new Encoder(signal, new Redactor(keys));
    this._sender = senderTo(signal, options);
  }

  /**
   * Hand *items* to the queue; calls back once, and never throws.
   *
   * SUCCESS: the queue holds all of them, or they wait in memory for it. FAILED: some
   * were dropped and counted.
   *
   * @param {readonly any[]} items
   * @param {(result: ExportResult) => void} callback
   */
  export(items, callback) {
    // An SDK that shuts down waits for this, and nothing else keeps the process alive.
    const alive = setTimeout(() => {}, SHUTDOWN_MS);
    this.forward(items)
      .finally(() => clearTimeout(alive))
      .then((kept) => callback({ code: kept ? ExportResultCode.SUCCESS : ExportResultCode.FAILED }))
      .catch(() => {}); // the callback's own mistake, which nobody else would catch
  }

  /**
   * Encode *items* and pass them on; resolves to whether all of them are kept.
   *
   * @param {readonly any[]} items
   * @returns {Promise<boolean>}
   */
  async forward(items) {
    try {
      const { entries, complete } = this._entries(items);
      const kept = await Promise.all(entries.map((entry) => this._sender.send(entry)));
      return complete && kept.every(Boolean);
    } catch (error) {
      report("internal", `exporting failed: ${/** @type {Error} */ (error)?.name}`);
      this.refuse("internal", items.length, 0);
      return false;
    }
  }

  /**
   * Count records that never came to be encoded.
   *
   * @param {string} reason
   * @param {number} records
   * @param {number} emitted how many of them nobody has counted yet
   */
  refuse(reason, records, emitted) {
    this._sender.counters.emitted += emitted;
    this._sender.counters.drop(reason, records);
    this._sender.tellSoon();
  }

  /** Wait until the queue has taken all that was exported, for up to 5 s. */
  async forceFlush() {
    await this._sender.flush(SHUTDOWN_MS);
  }

  /** Let what is on its way arrive, within 5 s. What is exported later is sent all the same. */
  async shutdown() {
    await this._sender.close(SHUTDOWN_MS);
  }

  /** @param {readonly any[]} items */
  _entries(items) {
    const { counters } = this._sender;
    counters.emitted += items.length;
    if (!counters.service && items.length) {
      counters.service = String(items[0].resource?.attributes?.["service.name"] ?? "");
    }
    const { batches, dropped } = this._encoder.encode(items);
    for (const [reason, records] of dropped) counters.drop(reason, records);
    if (dropped.size) this._sender.tellSoon();
    const entries = batches.map((batch) => {
      if (!this._gzip) return this._sender.entry(this._signal, batch, "");
      // Level 1: the queue's memory is dear, the application's CPU dearer.
      const payload = gzipSync(batch.payload, { level: 1 });
      return this._sender.entry(this._signal, { payload, records: batch.records }, "gzip");
    });
    return { entries, complete: dropped.size === 0 };
  }
}

/** Exports log records. */
class GodotLogRecordExporter extends QueueExporter {
  /** @param {Options} options */
  constructor(options = {}) {
    super("logs", options);
  }
}

/** Exports spans. */
class GodotSpanExporter extends QueueExporter {
  /** @param {Options} options */
  constructor(options = {}) {
    super("traces", options);
  }
}

module.exports = { GodotLogRecordExporter, GodotSpanExporter, QueueExporter };
