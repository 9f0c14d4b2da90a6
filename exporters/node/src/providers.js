"use strict";
/**
 * OpenTelemetry's providers, set up so that log lines and spans reach the queue.
 *
 * One path for all: `register` comes here before the application, `configure` when a
 * program calls it.
 */

const os = require("node:os");
const api = require("@opentelemetry/api");
const apiLogs = require("@opentelemetry/api-logs");
const { AsyncLocalStorageContextManager } = require("@opentelemetry/context-async-hooks");
const {
  CompositePropagator,
  W3CBaggagePropagator,
  W3CTraceContextPropagator,
} = require("@opentelemetry/core");
const resources = require("@opentelemetry/resources");
const sdkLogs = require("@opentelemetry/sdk-logs");
const sdkTrace = require("@opentelemetry/sdk-trace");
const { report, reportOnce } = require("./diagnostics");
const { GodotLogRecordExporter, GodotSpanExporter } = require("./exporter");
const { instrument } = require("./instrumentations");
const lifecycle = require("./lifecycle");
const { GodotLogRecordProcessor, GodotSpanProcessor, OtherTraceIds } = require("./processor");
const { XTraceIdPropagator } = require("./propagation");
const { sampler } = require("./sampler");
const { named, nameOf } = require("./service");
const { version } = require("../package.json");

/**
 * @typedef {import("./exporter").Options & {serviceName?: string}} Configuration
 *   `serviceName`: default: the environment, then the script's name
 */

const DONE = Symbol.for("godot-otel.configured");

/** @type {Record<string, () => api.TextMapPropagator>} */
const PROPAGATORS = {
  tracecontext: () => new W3CTraceContextPropagator(),
  baggage: () => new W3CBaggagePropagator(),
  godot_xtraceid: () => new XTraceIdPropagator(),
};

/**
 * Export this program's log lines and spans; as `--require godot-otel/register` does.
 *
 * Call it first, before the libraries to be instrumented are loaded. Calling it again
 * changes nothing. Where another part of the program has set OpenTelemetry up, that stays
 * as it is: add the exporters there.
 *
 * @param {Configuration} configuration
 */
function configure({ serviceName, ...options } = {}) {
  const global = /** @type {any} */ (globalThis);
  if (global[DONE] || process.env.OTEL_SDK_DISABLED?.trim().toLowerCase() === "true") return;
  global[DONE] = true;
  lifecycle.guardEnds();
  const resource = resourceOf(serviceName);
  const free = setTracing(resource, options);
  if (!free) {
    reportOnce(
      "foreign",
      "OpenTelemetry is set up already and stays as it is: add GodotLogRecordExporter" +
        " and GodotSpanExporter to its providers",
    );
    return;
  }
  setLogging(resource, options);
  instrument();
}

/** The same for a program that does not know of us: it must run, whatever happens here. */
function register() {
  try {
    configure();
  } catch (error) {
    report("set_up", `log lines are NOT exported: ${/** @type {Error} */ (error)?.message}`);
  }
}

/** @param {string | undefined} serviceName */
function resourceOf(serviceName) {
  const ours = resources.resourceFromAttributes({
    "service.name": serviceName ?? named() ?? nameOf(process.argv[1]),
    "host.name": os.hostname(),
    "process.pid": process.pid,
    "telemetry.distro.name": "godot-otel",
    "telemetry.distro.version": version,
  });
  const theirs = resources.detectResources({ detectors: [resources.envDetector] });
  const both = resources.defaultResource().merge(ours).merge(theirs);
  return serviceName ? both.merge(resources.resourceFromAttributes({ "service.name": serviceName })) : both;
}

/**
 * @param {resources.Resource} resource
 * @param {import("./exporter").Options} options
 */
function setTracing(resource, options) {
  /** @type {import("@opentelemetry/sdk-trace").SpanProcessor[]} */
  const processors = [new OtherTraceIds()];
  for (const name of exporters("OTEL_TRACES_EXPORTER")) {
    if (name === "godot") {
      processors.push(new GodotSpanProcessor(new GodotSpanExporter(options)));
    } else if (name === "console") {
      processors.push(new sdkTrace.SimpleSpanProcessor({ exporter: new sdkTrace.ConsoleSpanExporter() }));
    }
  }
  const provider = new sdkTrace.TracerProvider({
    resource,
    sampler: sampler(),
    spanProcessors: processors,
  });
  if (!api.trace.setGlobalTracerProvider(provider)) return false;
  api.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  api.propagation.setGlobalPropagator(new CompositePropagator({ propagators: propagators() }));
  return true;
}

/**
 * @param {resources.Resource} resource
 * @param {import("./exporter").Options} options
 */
function setLogging(resource, options) {
  const processors = [];
  for (const name of exporters("OTEL_LOGS_EXPORTER")) {
    if (name === "godot") {
      processors.push(new GodotLogRecordProcessor(new GodotLogRecordExporter(options)));
    } else if (name === "console") {
      processors.push(new sdkLogs.SimpleLogRecordProcessor({ exporter: new sdkLogs.ConsoleLogRecordExporter() }));
    }
  }
  const provider = new sdkLogs.LoggerProvider({ resource, processors });
  // The API of logs is part of the newer line's own API; bridges use either.
  /** @type {any} */ (api).logs?.setGlobalLoggerProvider(provider);
  apiLogs.logs.setGlobalLoggerProvider(provider);
}

/**
 * Return the names in a variable, `godot` by default.
 *
 * @param {string} variable
 */
function exporters(variable) {
  return names(variable, "godot", ["godot", "console", "none"]);
}

function propagators() {
  const known = [...Object.keys(PROPAGATORS), "none"];
  return names("OTEL_PROPAGATORS", "tracecontext,baggage", known)
    .filter((name) => name !== "none")
    .map((name) => PROPAGATORS[name]());
}

/**
 * @param {string} variable
 * @param {string} otherwise
 * @param {string[]} known
 */
function names(variable, otherwise, known) {
  const found = (process.env[variable]?.trim() || otherwise).split(",").map((name) => name.trim());
  for (const name of found) {
    if (!known.includes(name)) {
      reportOnce(variable, `${variable}: ${name} is none of ${known.join(", ")} and left out`);
    }
  }
  return [...new Set(found)].filter((name) => known.includes(name));
}

module.exports = { configure, register };
