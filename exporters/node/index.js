"use strict";
/**
 * From a log call to the queue, inside the user's process.
 *
 * OpenTelemetry's SDK hands records and spans to `processor`, which holds them in memory;
 * `exporter` redacts and encodes them, and `sender` hands the batches to the queue, or
 * keeps them while it is away. `providers` sets OpenTelemetry up so that they get here.
 */

const { GodotLogRecordExporter, GodotSpanExporter } = require("./src/exporter");
const { forceFlush } = require("./src/lifecycle");
const { GodotLogRecordProcessor, GodotSpanProcessor } = require("./src/processor");
const { XTraceIdPropagator } = require("./src/propagation");
const { configure } = require("./src/providers");

module.exports = {
  GodotLogRecordExporter,
  GodotLogRecordProcessor,
  GodotSpanExporter,
  GodotSpanProcessor,
  XTraceIdPropagator,
  configure,
  forceFlush,
};
