"use strict";
/** One batch on its way through the queue, and its id. */

const { randomBytes } = require("node:crypto");
const { CONTRACT } = require("./keys");

/**
 * Mint a batch's id: a UUIDv7 (RFC 9562, 5.7) as 16 bytes.
 *
 * Must be minted once, before the first attempt to send, and kept ever after.
 */
function batchId() {
  const id = Buffer.alloc(16);
  const now = performance.timeOrigin + performance.now();
  const milliseconds = Math.floor(now);
  id.writeUIntBE(milliseconds, 0, 6);
  // Ids of one millisecond sort by its part that has gone by (6.2, method 3).
  id.writeUInt16BE(0x7000 | Math.floor((now - milliseconds) * 4096), 6);
  randomBytes(8).copy(id, 8);
  id[8] = 0x80 | (id[8] & 0x3f);
  return id;
}

/** One batch: what an entry of the stream holds. */
class Entry {
  /**
   * @param {object} parts
   * @param {import("../encode").Signal} parts.signal
   * @param {number} parts.records
   * @param {Uint8Array} parts.payload
   * @param {"" | "gzip"} parts.encoding
   * @param {string} parts.source
   * @param {Buffer} [parts.id]
   */
  constructor({ signal, records, payload, encoding, source, id = batchId() }) {
    this.id = id;
    this.signal = signal;
    this.records = records;
    this.payload = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    this.encoding = encoding;
    this.source = source;
  }

  /**
   * The entry's fields and values, alternating, as the contract has them.
   *
   * @returns {(string | Buffer)[]}
   */
  fields() {
    return [
      ...["v", CONTRACT, "id", this.id, "home", "0", "signal", this.signal],
      ...["records", String(this.records), "encoding", this.encoding],
      ...["source", this.source, "payload", this.payload],
    ];
  }
}

module.exports = { Entry, batchId };
