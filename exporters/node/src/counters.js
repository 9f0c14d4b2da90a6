"use strict";
/** What became of the records of one process: sums since it began. */

const { randomUUID } = require("node:crypto");

/**
 * Counts for one process.
 *
 * emitted = what the queue took + what waits in memory + what was dropped.
 */
class Counters {
  constructor() {
    this.service = "";
    this.instance = randomUUID().replaceAll("-", "");
    this.emitted = 0;
    /** @type {Record<string, number>} */
    this.dropped = {};
  }

  /**
   * Count records that are lost.
   *
   * @param {string} reason
   * @param {number} records
   */
  drop(reason, records) {
    if (records) this.dropped[reason] = (this.dropped[reason] ?? 0) + records;
  }

  /** Return the wire contract's `source`. */
  source() {
    const { instance, service, emitted, dropped } = this;
    return JSON.stringify({ instance, service, pid: process.pid, emitted, spooled: 0, dropped });
  }

  /** Return what a source says about losses; it changes when something was lost. */
  losses() {
    return JSON.stringify(this.dropped);
  }
}

/**
 * Return the part of a `source` about losses, which is its end.
 *
 * @param {string} source
 */
function lossesOf(source) {
  return source.slice(source.indexOf(DROPPED) + DROPPED.length, -1);
}

const DROPPED = '"dropped":';

module.exports = { Counters, lossesOf };
