"use strict";
/**
 * Hands batches to the queue, one after another; while it is away they wait in memory.
 *
 * Next station: `queue`. All it does is asynchronous, and none of it keeps a process
 * alive, except for a flush that somebody waits for.
 */

const { AsyncResource } = require("node:async_hooks");
const { ROOT_CONTEXT, context } = require("@opentelemetry/api");
const { suppressTracing } = require("@opentelemetry/core");
const { Backlog } = require("./backlog");
const { Counters, lossesOf } = require("./counters");
const { report, reportOnce } = require("./diagnostics");
const { resolve, resolveNow } = require("./endpoint");
const { QueueFullError } = require("./errors");
const { Entry } = require("./queue/entry");
const { Producer } = require("./queue/producer");
const { ResendWindow } = require("./resend");

const CONNECT_MS = 500;
const ANSWER_MS = 2_000;
const FIRST_PAUSE_MS = 250;
const LAST_PAUSE_MS = 2_000;
const TELL_MS = 30_000;
const BACKLOG_BYTES = 64 * 1024 * 1024;

// Timers and promises made in here belong to no request of the application.
const outside = new AsyncResource("godot-otel");

/** Sends the batches of one process to one queue, and counts what became of them. */
class Sender {
  /**
   * @param {object} where
   * @param {string | null} where.endpoint
   * @param {number} where.timeoutMillis
   * @param {import("./fallback").Fallback} where.fallback
   * @param {number} [where.backlogBytes]
   */
  constructor({ endpoint, timeoutMillis, fallback, backlogBytes = BACKLOG_BYTES }) {
    this.counters = new Counters();
    this.fallback = fallback;
    this._endpoint = endpoint;
    this._limits = {
      connectMillis: Math.min(CONNECT_MS, timeoutMillis / 4),
      answerMillis: Math.min(ANSWER_MS, timeoutMillis / 2),
    };
    this._backlog = new Backlog(backlogBytes);
    /** @type {Entry[]} what a server that died may have lost */
    this._again = [];
    this._window = new ResendWindow();
    /** @type {string | null} */
    this._url = null;
    /** @type {Producer | null} */
    this._producer = null;
    this._heard = false;
    this._failures = 0;
    /** @type {Promise<void> | null} */
    this._sending = null;
    /** @type {NodeJS.Timeout | null} */
    this._retry = null;
    this._told = this.counters.losses();
    this._tells = false;
    /** @type {NodeJS.Timeout | null} */
    this._telling = null;
  }

  /** Whether the last attempt failed: then only a timer, or the end, tries again. */
  get open() {
    return this._failures > 0;
  }

  /** Whether anything waits for the queue. */
  get pending() {
    return this._backlog.size > 0 || this._again.length > 0;
  }

  /** Whether the queue should hear of losses, and can. */
  get untold() {
    return this._heard && !this.open && this.counters.losses() !== this._told;
  }

  /**
   * Make the entry of a batch; its id stays through every attempt.
   *
   * @param {import("./encode").Signal} signal
   * @param {import("./encode").Batch} batch
   * @param {"" | "gzip"} encoding
   */
  entry(signal, batch, encoding) {
    return new Entry({ signal, ...batch, encoding, source: this.counters.source() });
  }

  /**
   * Take a batch; resolves when the queue holds it, or when it waits for the queue.
   *
   * Resolves to false when it had to make room, and was counted.
   *
   * @param {Entry} entry
   * @returns {Promise<boolean>}
   */
  send(entry) {
    return new Promise((answer) => {
      const evicted = this._backlog.add({ entry, answer }, this._sending !== null);
      for (const old of evicted) this._lose("backlog_full", old);
      if (evicted.length) {
        report("backlog", "the queue is away and the memory for it full; old batches are dropped");
      }
      if (this.open) answer(true);
      else this._start();
    });
  }

  /** Let the queue know within 30 s what was lost, also when no batch goes out. */
  tellSoon() {
    if (this._telling || this.counters.losses() === this._told) return;
    outside.runInAsyncScope(() => {
      this._telling = setTimeout(() => {
        this._telling = null;
        this._tells = true;
        if (!this.open) this._start();
      }, TELL_MS);
      this._telling.unref();
    });
  }

  /**
   * Wait until the queue has taken all that waits, for up to *milliseconds*.
   *
   * While the queue is away it is tried once more, and not waited for. Resolves to
   * whether all of it was taken. Keeps the process alive meanwhile.
   *
   * @param {number} milliseconds
   */
  async flush(milliseconds) {
    const ends = performance.now() + milliseconds;
    let tried = !this.open;
    while (this.pending) {
      const left = ends - performance.now();
      if (left <= 0 || (tried && this.open)) return false;
      tried = true;
      this._start();
      if (!(await ready(/** @type {Promise<void>} */ (this._sending), left))) return false;
    }
    return true;
  }

  /**
   * Wait for what waits, then tell the last counters and close the connection.
   *
   * @param {number} milliseconds
   */
  async close(milliseconds) {
    const ends = performance.now() + milliseconds;
    const taken = await this.flush(milliseconds);
    if (taken && this.untold) {
      this._tells = true;
      this._start();
      await ready(/** @type {Promise<void>} */ (this._sending), ends - performance.now());
    }
    this._producer?.close();
    this._producer = null;
    return taken;
  }

  /** Give up what waits: return it, and where it should have gone, for a last attempt. */
  abandon() {
    if (this._retry) clearTimeout(this._retry);
    const entries = [...this._again, ...this._backlog.takeAll().map((waiting) => waiting.entry)];
    this._again = [];
    return { url: this.open ? null : (this._url ?? resolveNow(this._endpoint)), entries };
  }

  _start() {
    if (this._sending) return;
    if (this._retry) clearTimeout(this._retry);
    this._retry = null;
    this._sending = outside.runInAsyncScope(() =>
      context.with(suppressTracing(ROOT_CONTEXT), () => this._run()),
    );
  }

  async _run() {
    try {
      while (await this._sendNext());
    } catch (error) {
      report("internal", `sending failed: ${/** @type {Error} */ (error)?.name}`);
      this._failed();
    } finally {
      this._sending = null;
    }
    // Something may have come while the last answer did.
    if (!this.open && this.pending) this._start();
  }

  /** Send one batch; resolve to whether there may be another. */
  async _sendNext() {
    const again = this._again[0];
    if (again) {
      if (!(await this._attempt(again))) return false;
      this._again.shift();
      return true;
    }
    const waiting = this._backlog.first;
    if (waiting) {
      if (!(await this._attempt(waiting.entry))) return false;
      if (this._backlog.first === waiting) this._backlog.shift();
      waiting.answer(true);
      this._told = lossesOf(waiting.entry.source);
      return true;
    }
    await this._tell();
    return false;
  }

  /** Send what was lost; what was emitted goes with its batches. */
  async _tell() {
    if (!this._tells || this.counters.losses() === this._told) return;
    this._tells = false;
    const entry = this.entry("logs", { payload: new Uint8Array(0), records: 0 }, "");
    if (await this._attempt(entry)) this._told = lossesOf(entry.source);
  }

  /**
   * Try to hand one batch to the queue, twice when the connection had died.
   *
   * @param {Entry} entry
   */
  async _attempt(entry) {
    const began = performance.now();
    for (const last of [false, true]) {
      const producer = await this._found();
      if (!producer) break;
      try {
        await producer.admit(entry);
        this._took(producer, entry);
        return true;
      } catch (error) {
        const { message } = /** @type {Error} */ (error);
        if (error instanceof QueueFullError) {
          report("full", `${message}; batches wait in memory`);
          break;
        }
        // A server that was restarted closed our connection: that is found out at once,
        // and the next attempt opens another.
        if (!last && performance.now() - began < CONNECT_MS / 2) continue;
        report("away", `${message}; batches wait in memory`);
      }
    }
    this._failed();
    return false;
  }

  /** Return the producer for where the queue is now: it may have come, gone or moved. */
  async _found() {
    if (this._producer && !this.open) return this._producer;
    const url = await resolve(this._endpoint);
    if (url !== this._url || !this._producer) {
      this._producer?.close();
      this._producer = url === null ? null : new Producer(url, this._limits);
      // another store has another ledger
      if (url !== this._url) this._window = new ResendWindow();
      this._url = url;
    }
    if (url === null) {
      if (this._heard) report("gone", "the queue is gone; batches wait in memory");
      else {
        reportOnce(
          "no_endpoint",
          "no queue, so batches wait in memory: start one with `godot-otel up`",
        );
      }
    }
    return this._producer;
  }

  /**
   * @param {Producer} producer
   * @param {Entry} entry
   */
  _took(producer, entry) {
    this._again.push(...this._window.answered(producer.run, performance.now(), entry));
    if (this._failures > 1) report("recovered", "the queue takes batches again");
    this._failures = 0;
    this._heard = true;
  }

  /** Open the circuit; the next attempt is later each time. */
  _failed() {
    const pause = Math.min(FIRST_PAUSE_MS * 2 ** this._failures, LAST_PAUSE_MS);
    this._failures = Math.min(this._failures + 1, 10);
    if (this._retry) clearTimeout(this._retry);
    this._retry = setTimeout(() => this._start(), pause);
    this._retry.unref();
    this._backlog.keep();
  }

  /**
   * @param {string} reason
   * @param {import("./backlog").Waiting} waiting
   */
  _lose(reason, waiting) {
    this.counters.drop(reason, waiting.entry.records);
    this.fallback.write(waiting.entry);
    waiting.answer(false);
    this.tellSoon();
  }
}

/**
 * Wait for *work*, keeping the process alive; resolve to false when time is up.
 *
 * @param {Promise<void>} work
 * @param {number} milliseconds
 * @returns {Promise<boolean>}
 */
function ready(work, milliseconds) {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), Math.max(0, milliseconds)); // not unref'd
    work.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

module.exports = { Sender };
