"use strict";
/** The way in: admits batches, by the contract's script. */

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const { RedisClient } = require("@redis/client");
const { QueueFullError, RetryableError } = require("../errors");
const { DEFAULT_MAX_BYTES, DEFAULT_MAX_RECORDS, metaKey, streamKey } = require("./keys");
const { ADMIT } = require("./scripts");

/** @typedef {import("./entry").Entry} Entry */

const SHA = createHash("sha1").update(ADMIT).digest("hex");

/** Sends batches to the queue. Constructing it contacts nobody. */
class Producer {
  /**
   * @param {string} url
   * @param {{connectMillis: number, answerMillis: number}} limits
   */
  constructor(url, { connectMillis, answerMillis }) {
    this._url = url;
    this._connectMillis = connectMillis;
    this._answerMillis = answerMillis;
    /** @type {Promise<RedisClient<{}, {}, {}, 2, any>> | null} */
    this._client = null;
    /** @type {string | null} which run of the server answered last, if it said so */
    this.run = null;
  }

  /**
   * Hand one batch to the queue; once it resolves, the queue holds the batch.
   *
   * Rejects with a QueueFullError, or with a RetryableError: then the batch may be in
   * the queue all the same; send it again with the same id.
   *
   * @param {Entry} entry
   */
  async admit(entry) {
    const keys = ["2", streamKey(), metaKey()];
    const sizes = [entry.payload.length, entry.records, DEFAULT_MAX_BYTES, DEFAULT_MAX_RECORDS];
    const rest = [...keys, ...sizes.map(String), ...entry.fields()];
    /** @type {any} */
    let reply;
    try {
      reply = await this._ask(["EVALSHA", SHA, ...rest]);
    } catch (error) {
      if (!String(error).includes("NOSCRIPT")) throw await this._unreachable(error);
      try {
        reply = await this._ask(["EVAL", ADMIT, ...rest]);
      } catch (failure) {
        throw await this._unreachable(failure);
      }
    }
    if (!Array.isArray(reply)) throw new RetryableError("the queue gave an odd answer");
    if (!reply[0]) throw new QueueFullError(`the queue is full (${reply[1]})`);
  }

  /** Close the connection; a later batch opens another. */
  close() {
    const client = this._client;
    this._client = null;
    client?.then((found) => found.destroy()).catch(() => {});
  }

  /** @param {(string | Buffer)[]} command */
  async _ask(command) {
    this._client ??= this._connect();
    const client = await this._client;
    return await within(this._answerMillis, client.sendCommand(command));
  }

  /** @returns {Promise<RedisClient<{}, {}, {}, 2, any>>} */
  async _connect() {
    // Not createClient(): the methods of every command, of which we need none, would hold
    // up the event loop for 40 ms, for each connection again.
    const client = new RedisClient({
      ...options(this._url, this._connectMillis),
      RESP: 2,
      name: "godot-otel",
      disableClientInfo: true,
      maintNotifications: "disabled",
      // A repeated batch is recognised by its id alone, so nothing is repeated here.
      disableOfflineQueue: true,
    });
    client.on("error", () => {}); // whoever asked is told by the rejection
    client.unref();
    try {
      await within(this._connectMillis, client.connect());
      client.unref();
      // A restart of the server is seen nowhere else.
      const facts = await within(this._answerMillis, client.sendCommand(["INFO", "server"])).catch(
        () => "", // a user who may not ask
      );
      this.run = /^run_id:(\w+)/m.exec(String(facts))?.[1] ?? null;
    } catch (error) {
      client.destroy();
      throw error;
    }
    return client;
  }

  /**
   * Turn a client's error into ours; the text never holds the URL.
   *
   * @param {unknown} error
   */
  async _unreachable(error) {
    this.close();
    const { code, constructor, message } = /** @type {any} */ (error ?? {});
    const kind = error instanceof RetryableError ? message : constructor?.name;
    if (/^(WRONGPASS|NOAUTH|ERR AUTH|NOPERM)/.test(String(message))) {
      return new RetryableError("the queue refused the user or password");
    }
    return new RetryableError(`the queue cannot be used: ${code ?? kind ?? typeof error}`);
  }
}

/**
 * Return the client's options for a URL, of which it does not read all.
 *
 * @param {string} url
 * @param {number} connectTimeout
 */
function options(url, connectTimeout) {
  const at = url.indexOf("?");
  const query = new URLSearchParams(at < 0 ? "" : url.slice(at));
  /** @type {Record<string, any>} */
  const socket = { connectTimeout, reconnectStrategy: /** @type {false} */ (false) };
  if (query.get("ssl_cert_reqs") === "none") socket.rejectUnauthorized = false;
  const authorities = query.get("ssl_ca_certs");
  if (authorities) socket.ca = fs.readFileSync(authorities);
  const database = query.get("db");
  return {
    url: url.startsWith("unix:") || at < 0 ? url : url.slice(0, at),
    socket,
    ...(database && /^\d+$/.test(database) ? { database: Number(database) } : {}),
  };
}

/**
 * Wait for *answer* no longer than *milliseconds*.
 *
 * @template T
 * @param {number} milliseconds
 * @param {Promise<T>} answer
 * @returns {Promise<T>}
 */
function within(milliseconds, answer) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new RetryableError("no answer")), milliseconds);
    timer.unref();
    answer.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

module.exports = { Producer };
