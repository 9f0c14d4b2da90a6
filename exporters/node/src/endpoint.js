"use strict";
/** Where the queue is: an argument, the variables, or the running stack says so. */

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { setting } = require("./settings");

/**
 * Return the queue's URL, or null: then nothing may be contacted.
 *
 * There is no fallback to a default port: what listens there is somebody's own Redis.
 *
 * @param {string | null} named by an argument or the signal's own variable
 * @returns {Promise<string | null>}
 */
async function resolve(named) {
  const url = named || setting("endpoint") || setting("redis_url");
  if (url) return url;
  try {
    return ofState(await fs.promises.readFile(stateFile(), "utf8"));
  } catch {
    return null;
  }
}

/**
 * The same without an event loop, for a process that ends.
 *
 * @param {string | null} named
 */
function resolveNow(named) {
  const url = named || setting("endpoint") || setting("redis_url");
  if (url) return url;
  try {
    return ofState(fs.readFileSync(stateFile(), "utf8"));
  } catch {
    return null;
  }
}

/** @param {string} text of a `state.json`, which `godot-otel up` writes */
function ofState(text) {
  const url = JSON.parse(text)?.redis_url;
  return typeof url === "string" && url ? url : null;
}

function stateFile() {
  const shares = process.env.XDG_DATA_HOME || path.join(os.homedir(), ".local", "share");
  const named = setting("data_dir")?.replace(/^~(?=\/|$)/, os.homedir());
  return path.join(named || path.join(shares, "godot-otel"), "state.json");
}

module.exports = { resolve, resolveNow };
