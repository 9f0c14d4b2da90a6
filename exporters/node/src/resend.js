"use strict";
/**
 * The batches that the queue took last, for when its server loses them in a crash.
 *
 * With `appendfsync everysec` a server that dies loses its last second or two, and a
 * replica that takes over never had what was not copied yet. Either answers as another
 * run of the server: then these batches are sent again, and the store's ledger knows
 * those that were not lost.
 */

/** @typedef {import("./queue/entry").Entry} Entry */

const KEPT_MS = 5_000;
const MAX_BYTES = 8 * 1024 * 1024;

/**
 * Keeps what the queue took within 5 s before its last answer, up to 8 MiB.
 *
 * Before its last answer, not before now: what a server that is away for an hour has
 * lost is what it took last.
 */
class ResendWindow {
  constructor() {
    /** @type {string | null} */
    this._run = null;
    /** @type {{at: number, entry: Entry}[]} */
    this._kept = [];
    this._bytes = 0;
  }

  /**
   * Take note that this *run* of the server answered, and perhaps took *entry*.
   *
   * Returns the batches that have to be sent again. A server that does not name its run
   * has null: nothing is kept for it.
   *
   * @param {string | null} run
   * @param {number} now in milliseconds
   * @param {Entry} [entry]
   * @returns {Entry[]}
   */
  answered(run, now, entry) {
    /** @type {Entry[]} */
    let lost = [];
    if (run !== this._run) {
      // First of all: what was kept is old by now, and may be lost.
      if (run !== null) lost = this._kept.map((kept) => kept.entry);
      this._run = run;
      this._kept = [];
      this._bytes = 0;
    }
    if (run !== null && entry) {
      this._kept.push({ at: now, entry });
      this._bytes += entry.payload.length;
    }
    let old = 0;
    for (const { at, entry: kept } of this._kept) {
      if (at >= now - KEPT_MS && this._bytes <= MAX_BYTES) break;
      this._bytes -= kept.payload.length;
      old += 1;
    }
    this._kept.splice(0, old);
    return lost;
  }
}

module.exports = { ResendWindow };
