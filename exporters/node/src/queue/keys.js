"use strict";
/** What the queue's keys and constants are called, by the wire contract. */

/** @param {number} shard */
function streamKey(shard = 0) {
  return `godot:{${shard}}:batches`; // the braces are a Redis Cluster hash tag
}

/** @param {number} shard */
function metaKey(shard = 0) {
  return `godot:{${shard}}:meta`;
}

module.exports = {
  CONTRACT: "1",
  MAX_BATCH_BYTES: 4 * 1024 * 1024, // packed and unpacked
  DEFAULT_MAX_BYTES: 512 * 1024 * 1024,
  DEFAULT_MAX_RECORDS: 5_000_000,
  metaKey,
  streamKey,
};
