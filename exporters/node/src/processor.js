"use strict";
/**
 * The processors: a bounded queue in memory for what was logged or ended, emptied in
 * batches.
 *
 * In: records and spans from OpenTelemetry's SDK. Out: batches, to an exporter of ours.
 * Unlike the SDK's own, they count what they refuse, and a burst within one turn of the
 * event loop fits.
 */

const { AsyncResource } = require("node:async_hooks");
const { SpanKind, TraceFlags, propagation } = require("@opentelemetry/api");
const lifecycle = require("./lifecycle");
const { HEADER } = require("./propagation");
const { setting } = require("./settings");

/** @typedef {import("./exporter").QueueExporter} QueueExporter */

const ERROR = 17;
const outside = new AsyncResource("godot-otel");

/** Holds items until a batch is full, the delay has passed, or an urgent one comes. */
class BatchProcessor {
  /**
   * @param {QueueExporter} exporter
   * @param {"BLRP" | "BSP"} variables
   */
  constructor(exporter, variables) {
    this._exporter = exporter;
    this._delay = setting(`${variables}_delay`);
    this._limit = setting(`${variables}_queue`);
    this._batch = Math.min(setting(`${variables}_batch`), this._limit);
    /** @type {any[]} */
    this._items = [];
    this._refused = 0;
    /** @type {NodeJS.Timeout | null} */
    this._timer = null;
    /** @type {NodeJS.Immediate | null} */
    this._soon = null;
    lifecycle.watchProcessor(this);
  }

  /** Whether anything waits to be encoded. */
  get pending() {
    return this._items.length > 0 || this._refused > 0;
  }

  /**
   * Add one item; the last lines before a crash matter most, so some are urgent.
   *
   * @param {any} item
   * @param {boolean} urgent
   */
  put(item, urgent) {
    // A tenth is kept for those: the reason for a flood is often its last line.
    const limit = urgent ? this._limit + this._limit / 10 : this._limit;
    if (this._items.length >= limit) this._refused += 1;
    else this._items.push(item);
    if (this._soon) return;
    if (urgent || this._items.length >= this._batch) this._drainSoon();
    else if (!this._timer) {
      this._timer = outside.runInAsyncScope(() => setTimeout(() => this._drain(), this._delay));
      this._timer.unref();
    }
  }

  /** Encode all that waits, now, and hand it on. */
  drainAll() {
    while (this.pending) this._drain();
  }

  /** Wait until the queue has taken all that was put, for up to 5 s. */
  async forceFlush() {
    this.drainAll();
    await this._exporter.forceFlush();
  }

  /** Send what is left, within 5 s. What comes later is sent all the same. */
  async shutdown() {
    this.drainAll();
    await this._exporter.shutdown();
  }

  _drainSoon() {
    this._soon = outside.runInAsyncScope(() => setImmediate(() => this._drain()));
    this._soon.unref();
  }

  /** Hand on one batch: the event loop has its turn before the next. */
  _drain() {
    if (this._timer) clearTimeout(this._timer);
    if (this._soon) clearImmediate(this._soon);
    this._timer = this._soon = null;
    const items = this._items.splice(0, this._batch);
    const refused = this._refused;
    this._refused = 0;
    if (refused) this._exporter.refuse("queue_full", refused, refused);
    if (items.length) this._exporter.forward(items);
    if (this._items.length) this._drainSoon();
  }
}

/** Batches log records for a `GodotLogRecordExporter`. */
class GodotLogRecordProcessor extends BatchProcessor {
  /** @param {QueueExporter} exporter */
  constructor(exporter) {
    super(exporter, "BLRP");
  }

  /** @param {any} record */
  onEmit(record) {
    this.put(record, record.severityNumber >= ERROR);
  }
}

/** Batches sampled spans for a `GodotSpanExporter`. */
class GodotSpanProcessor extends BatchProcessor {
  /** @param {QueueExporter} exporter */
  constructor(exporter) {
    super(exporter, "BSP");
  }

  onStart() {}

  /** @param {any} span */
  onEnd(span) {
    if (span.spanContext().traceFlags & TraceFlags.SAMPLED) this.put(span, false);
  }
}

/** Keeps an `X-Trace-ID` that is no trace id, on the span of the request it came with. */
class OtherTraceIds {
  /**
   * @param {any} span
   * @param {import("@opentelemetry/api").Context} parent
   */
  onStart(span, parent) {
    if (span.kind !== SpanKind.SERVER) return;
    const other = propagation.getBaggage(parent)?.getEntry(HEADER)?.value;
    if (other) span.setAttribute(`http.request.header.${HEADER}`, other);
  }

  onEnd() {}

  async forceFlush() {}

  async shutdown() {}
}

module.exports = { GodotLogRecordProcessor, GodotSpanProcessor, OtherTraceIds };
