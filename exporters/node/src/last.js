"use strict";
/**
 * A process of its own that sends what another left behind, or prints it.
 *
 * In: one JSON object on stdin. Runs when a process ended without an event loop, by
 * `process.exit()` or an uncaught exception. Next station: `queue`.
 */

const fs = require("node:fs");
const { lines } = require("./lines");
const { Entry } = require("./queue/entry");
const { Producer } = require("./queue/producer");

const PAUSE_MS = 5;
const LIMITS = { connectMillis: 500, answerMillis: 1_000 };

async function main() {
  const { url, output, printed, entries } = JSON.parse(fs.readFileSync(0, "utf8"));
  const producer = url === null ? null : new Producer(url, LIMITS);
  let left = entries.map((/** @type {any} */ found) => new Entry({
    ...found,
    id: Buffer.from(found.id, "base64"),
    payload: Buffer.from(found.payload, "base64"),
  }));
  const alive = setInterval(() => {}, 1_000); // our connections keep nobody alive
  try {
    while (producer && left.length) {
      await producer.admit(left[0]);
      left = left.slice(1);
    }
  } catch {
    // what is left is printed
  }
  producer?.close();
  clearInterval(alive);
  if (output === "none") return;
  const descriptor = output === "stdout" ? 1 : 2;
  for (const text of [printed, ...left.map(lines)]) print(descriptor, Buffer.from(text));
}

/**
 * Write all of *bytes*: a pipe takes a part, or nothing for now, while its reader is slow.
 *
 * @param {number} descriptor
 * @param {Buffer} bytes
 */
function print(descriptor, bytes) {
  let left = bytes;
  while (left.length) {
    try {
      left = left.subarray(fs.writeSync(descriptor, left));
    } catch (error) {
      if (/** @type {any} */ (error).code !== "EAGAIN") return;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PAUSE_MS);
    }
  }
}

main();
