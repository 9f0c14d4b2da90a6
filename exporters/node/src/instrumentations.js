"use strict";
/** What is instrumented: servers and clients of HTTP, Express, and the loggers. */

const { registerInstrumentations } = require("@opentelemetry/instrumentation");

/** @type {Record<string, () => any>} */
const INSTRUMENTATIONS = {
  http: () => new (require("@opentelemetry/instrumentation-http").HttpInstrumentation)(),
  express: () => new (require("@opentelemetry/instrumentation-express").ExpressInstrumentation)(),
  undici: () => new (require("@opentelemetry/instrumentation-undici").UndiciInstrumentation)(),
  pino: () => new (require("@opentelemetry/instrumentation-pino").PinoInstrumentation)(),
  winston: () => new (require("@opentelemetry/instrumentation-winston").WinstonInstrumentation)(),
};

/** Activate them, but for those that `OTEL_NODE_DISABLED_INSTRUMENTATIONS` names. */
function instrument() {
  const disabled = (process.env.OTEL_NODE_DISABLED_INSTRUMENTATIONS ?? "")
    .split(",")
    .map((name) => name.trim());
  const active = Object.keys(INSTRUMENTATIONS).filter((name) => !disabled.includes(name));
  registerInstrumentations({ instrumentations: active.map((name) => INSTRUMENTATIONS[name]()) });
}

module.exports = { instrument };
