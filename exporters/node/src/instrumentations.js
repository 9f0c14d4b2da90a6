"use strict";
/** What is instrumented: servers and clients of HTTP, Express, and the loggers. */

const { registerInstrumentations } = require("@opentelemetry/instrumentation");

// What is printed stays as it is: the trace's id is sent beside a line, not put into it.
const LOGGER = { disableLogCorrelation: true };

/** @type {Record<string, () => any>} */
const INSTRUMENTATIONS = {
  http: () => new (require("@opentelemetry/instrumentation-http").HttpInstrumentation)(),
  express: () => new (require("@opentelemetry/instrumentation-express").ExpressInstrumentation)(),
  undici: () => new (require("@opentelemetry/instrumentation-undici").UndiciInstrumentation)(),
  pino: () => new (require("@opentelemetry/instrumentation-pino").PinoInstrumentation)(LOGGER),
  winston: () =>
    new (require("@opentelemetry/instrumentation-winston").WinstonInstrumentation)(LOGGER),
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
