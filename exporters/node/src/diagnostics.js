"use strict";
/**
 * What the exporter has to say about itself: on stderr, and seldom.
 *
 * Never through a logger or the console: a line about a failed export would be exported,
 * fail, and make the next one.
 */

const fs = require("node:fs");

const INTERVAL_MS = 60_000;

/** @type {Map<string, number>} */
const last = new Map();

/**
 * Say *message* now, unless *reason* was reported within the last minute.
 *
 * @param {string} reason
 * @param {string} message
 */
function report(reason, message) {
  const now = performance.now();
  const before = last.get(reason);
  if (before !== undefined && now - before < INTERVAL_MS) return;
  last.set(reason, now);
  say(message);
}

/**
 * Say *message* unless *reason* was ever reported in this process.
 *
 * @param {string} reason
 * @param {string} message
 */
function reportOnce(reason, message) {
  if (last.has(reason)) return;
  last.set(reason, performance.now());
  say(message);
}

/** @param {string} message */
function say(message) {
  // Beside the stream: a pipe that nobody reads must not hold up the event loop.
  fs.write(2, `godot-otel: ${message}\n`, () => {});
}

module.exports = { report, reportOnce };
