"use strict";
/**
 * How a process ends, without losing what it has logged.
 *
 * An empty event loop, SIGTERM, SIGINT, `process.exit()` and an uncaught exception each
 * flush first, for a few seconds at most. Exit status, signals and the application's own
 * handlers stay as they are without us.
 */

const { spawnSync } = require("node:child_process");
const path = require("node:path");
const { isMainThread } = require("node:worker_threads");

/** @typedef {import("./sender").Sender} Sender */
/** @typedef {{pending: boolean, drainAll(): void}} Processor */

const FLUSH_MS = 4_500;
const LAST_MS = 4_000;
/** @type {NodeJS.Signals[]} */
const SIGNALS = ["SIGTERM", "SIGINT"];

/** @type {Set<Processor>} */
const processors = new Set();
/** @type {Set<Sender>} */
const senders = new Set();

let ending = false;
let dying = false;

/** @param {Processor} processor */
function watchProcessor(processor) {
  processors.add(processor);
}

/** @param {Sender} sender */
function watchSender(sender) {
  senders.add(sender);
}

/**
 * Wait until the queue holds every record and span from before.
 *
 * For places where a process may be frozen or killed next, such as the end of a
 * serverless invocation. Resolves to false when *timeoutMillis* passed before, or when
 * the queue is away.
 */
async function forceFlush(timeoutMillis = 5_000) {
  drain();
  const taken = await Promise.all([...senders].map((sender) => sender.flush(timeoutMillis)));
  return taken.every(Boolean);
}

/** Flush at every end of this process that lets us; call it once, early. */
function guardEnds() {
  process.on("beforeExit", whenIdle);
  process.on("exit", lastResort); // the first: a later one may call process.exit() again
  hearExitLast();
  if (!isMainThread) return; // signals go to the main thread alone
  for (const signal of SIGNALS) process.on(signal, whenTold);
  hideFrom("listeners");
  hideFrom("rawListeners");
}

/** Send what the application's own handlers of `exit`, which come after ours, log. */
function hearExitLast() {
  const emitter = /** @type {any} */ (process);
  const { emit } = emitter;
  emitter.emit = function (/** @type {any[]} */ ...event) {
    try {
      return Reflect.apply(emit, this, event);
    } finally {
      if (event[0] === "exit") lastResort();
    }
  };
}

/**
 * Let whoever looks for other handlers of a signal find none of ours: libraries take the
 * default, to die, only where they are alone. `listenerCount` stays as it is: Node.js
 * itself asks it whether to listen at all.
 *
 * @param {"listeners" | "rawListeners"} method
 */
function hideFrom(method) {
  const emitter = /** @type {any} */ (process);
  const found = emitter[method];
  emitter[method] = (/** @type {any} */ name) =>
    found.call(process, name).filter((/** @type {unknown} */ one) => one !== whenTold);
}

function drain() {
  for (const processor of processors) processor.drainAll();
}

/** Flush, say the last counters and close the connections. */
async function end() {
  drain();
  await Promise.all([...senders].map((sender) => sender.close(FLUSH_MS)));
}

/** The event loop is empty: what waits goes out now; then the process ends by itself. */
function whenIdle() {
  const busy = [...processors].some(({ pending }) => pending);
  // What waited for a queue that is away stays for the last resort.
  const some = [...senders].some((sender) => sender.untold || (sender.pending && !sender.open));
  if (ending || !(busy || some)) return;
  ending = true;
  end().finally(() => (ending = false));
}

/**
 * A signal came: flush, then die of it, unless the application decides about its end.
 *
 * @param {NodeJS.Signals} signal
 */
function whenTold(signal) {
  if (process.listeners(signal).length > 0) {
    end();
  } else if (dying) {
    die(signal); // told twice: at once
  } else {
    dying = true;
    end().then(() => {
      lastResort();
      die(signal);
    });
  }
}

/** @param {NodeJS.Signals} signal */
function die(signal) {
  process.removeListener(signal, whenTold);
  process.kill(process.pid, signal);
  // Alive: the first process of a container does not die of it, with or without us.
  setTimeout(() => {
    dying = false;
    process.on(signal, whenTold);
  }, 100).unref();
}

/**
 * There is no event loop any more, or no time: another process sends what is left, or
 * prints it.
 */
function lastResort() {
  drain();
  for (const sender of senders) {
    const { url, entries } = sender.abandon();
    const printed = sender.fallback.take();
    if (!entries.length && !printed) continue;
    const { NODE_OPTIONS: _, ...env } = process.env;
    spawnSync(process.execPath, [path.join(__dirname, "last.js")], {
      input: JSON.stringify({
        url,
        output: sender.fallback.output,
        printed,
        entries: entries.map((entry) => ({
          ...entry,
          id: entry.id.toString("base64"),
          payload: entry.payload.toString("base64"),
        })),
      }),
      stdio: ["pipe", "inherit", "inherit"],
      env,
      timeout: LAST_MS,
      windowsHide: true,
    });
  }
}

module.exports = { forceFlush, guardEnds, watchProcessor, watchSender };
