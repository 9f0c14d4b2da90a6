"use strict";
// Logs as fast as it can, and says how late the event loop was: `benchmarks/node_emit.py`.
//
//   node node_emit.js pino|winston godot|console LINES

const path = require("node:path");
const { monitorEventLoopDelay } = require("node:perf_hooks");

const PACKAGE = path.join(__dirname, "../exporters/node");
const theirs = (name) => require(require.resolve(name, { paths: [PACKAGE] }));
const [library, exporter, lines] = process.argv.slice(2);
const BURST = 50; // lines in one turn of the event loop: a busy request

if (exporter === "godot") require(PACKAGE).configure({ serviceName: library });
else consoleExporter();

/** OpenTelemetry's own pieces, with a queue as large as ours. */
function consoleExporter() {
  const sdk = theirs("@opentelemetry/sdk-logs");
  const provider = new sdk.LoggerProvider({
    processors: [
      new sdk.BatchLogRecordProcessor({
        exporter: new sdk.ConsoleLogRecordExporter(),
        maxQueueSize: 32_768,
        scheduledDelayMillis: 200,
      }),
    ],
  });
  theirs("@opentelemetry/api").logs?.setGlobalLoggerProvider(provider);
  theirs("@opentelemetry/api-logs").logs.setGlobalLoggerProvider(provider);
  require(path.join(PACKAGE, "src/instrumentations")).instrument();
}

function loggerOf() {
  if (library === "pino") return theirs("pino")();
  const winston = theirs("winston");
  return winston.createLogger({ transports: [new winston.transports.Console()] });
}

const logger = loggerOf();
const log = library === "pino"
  ? (text, data) => logger.info(data, text)
  : (text, data) => logger.info(text, data);
const delay = monitorEventLoopDelay({ resolution: 1 });
let number = 0;
let began;

function turn() {
  for (let i = 0; i < BURST && number < lines; i++, number++) {
    log(`GET /cart/${number} took ${number % 97} ms`, { number, path: `/cart/${number}`, ok: true });
  }
  if (number < lines) setImmediate(turn);
  // What was logged is not sent yet: that happens on the same event loop.
  else setTimeout(finish, 500);
}

function finish() {
  delay.disable();
  const figures = {
    p99: delay.percentile(99) / 1e6,
    max: delay.max / 1e6,
    seconds: performance.now() / 1000 - began - 0.5,
  };
  process.stderr.write(JSON.stringify(figures) + "\n");
}

setTimeout(() => {
  delay.enable();
  began = performance.now() / 1000;
  turn();
}, 200);
