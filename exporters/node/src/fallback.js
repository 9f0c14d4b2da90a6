"use strict";
/**
 * Lines that neither queue nor memory can take, as JSON on stderr or stdout.
 *
 * The last resort: never through the console, never an exception, and nobody waits for a
 * terminal or pipe that nobody reads.
 */

const fs = require("node:fs");
const { lines } = require("./lines");

/** @typedef {import("./queue/entry").Entry} Entry */
/** @typedef {"stderr" | "stdout" | "none"} Output */

const MAX_WAITING = 4 * 1024 * 1024; // characters that wait for who reads

/** Prints batches to *output*. */
class Fallback {
  /** @param {Output} output */
  constructor(output) {
    this.output = output;
    this._waiting = "";
    this._writing = false;
  }

  /**
   * Print one object a line for each record of *entry*, in plain ASCII; never throws.
   *
   * @param {Entry} entry
   */
  write(entry) {
    if (this.output === "none" || this._waiting.length > MAX_WAITING) return;
    try {
      this._waiting += lines(entry);
    } catch {
      return;
    }
    if (!this._writing) this._write();
  }

  /** What was not printed yet; it will not be, from now on. */
  take() {
    const waiting = this._waiting;
    this._waiting = "";
    return waiting;
  }

  _write() {
    const piece = Buffer.from(this.take(), "latin1");
    this._writing = piece.length > 0;
    if (this._writing) this._writeAll(piece);
  }

  /** @param {Buffer} piece */
  _writeAll(piece) {
    const descriptor = this.output === "stdout" ? 1 : 2;
    // Beside the stream, whose pipes are synchronous: a stuck one would stop everything.
    fs.write(descriptor, piece, (error, written) => {
      const busy = error?.code === "EAGAIN";
      if (error && !busy) return this._write();
      const rest = busy ? piece : piece.subarray(written);
      if (!rest.length) return this._write();
      if (!busy) return this._writeAll(rest);
      setTimeout(() => this._writeAll(rest), 20).unref();
    });
  }
}

module.exports = { Fallback };
