"use strict";
/** Batches in memory that the queue has not taken yet, oldest first, bounded in bytes. */

/** @typedef {import("./queue/entry").Entry} Entry */
/** @typedef {{entry: Entry, answer: (kept: boolean) => void}} Waiting */

/** Holds batches until the queue has taken them. */
class Backlog {
  /** @param {number} maxBytes */
  constructor(maxBytes) {
    this._maxBytes = maxBytes;
    /** @type {Waiting[]} */
    this._waiting = [];
    this._bytes = 0;
  }

  get size() {
    return this._waiting.length;
  }

  /** The oldest batch: it stays until it is removed. */
  get first() {
    return this._waiting[0];
  }

  /**
   * Add a batch; return what had to make room for it, the oldest first.
   *
   * @param {Waiting} waiting
   * @param {boolean} busy whether the first is on its way: then it must stay
   * @returns {Waiting[]}
   */
  add(waiting, busy) {
    this._waiting.push(waiting);
    this._bytes += waiting.entry.payload.length;
    const evicted = [];
    const at = busy ? 1 : 0;
    while (this._bytes > this._maxBytes && this._waiting.length > at) {
      evicted.push(this._remove(at));
    }
    return evicted;
  }

  /** Tell all who wait that their batch is kept, if not sent. */
  keep() {
    for (const waiting of this._waiting) waiting.answer(true);
  }

  /** Remove the oldest batch. */
  shift() {
    return this._remove(0);
  }

  /** Remove and return all. */
  takeAll() {
    const all = this._waiting;
    this._waiting = [];
    this._bytes = 0;
    return all;
  }

  /** @param {number} at */
  _remove(at) {
    const [removed] = this._waiting.splice(at, 1);
    this._bytes -= removed.entry.payload.length;
    return removed;
  }
}

module.exports = { Backlog };
