"use strict";
/** Which traces have spans: OpenTelemetry's variables. */

const {
  AlwaysOffSampler,
  AlwaysOnSampler,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} = require("@opentelemetry/sdk-trace");
const { reportOnce } = require("./diagnostics");

/** Return the sampler that `OTEL_TRACES_SAMPLER` names; by default all traces have spans. */
function sampler() {
  const name = process.env.OTEL_TRACES_SAMPLER?.trim() || "parentbased_always_on";
  const root = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => new TraceIdRatioBasedSampler(ratio()),
  }[name.replace(/^parentbased_/, "")];
  if (!root) {
    reportOnce("sampler", `OTEL_TRACES_SAMPLER: ${name} is not known; all traces have spans`);
    return new ParentBasedSampler({ root: new AlwaysOnSampler() });
  }
  return name.startsWith("parentbased_") ? new ParentBasedSampler({ root: root() }) : root();
}

function ratio() {
  const text = process.env.OTEL_TRACES_SAMPLER_ARG?.trim();
  const number = Number(text || 1);
  if (number >= 0 && number <= 1) return number;
  reportOnce("ratio", `OTEL_TRACES_SAMPLER_ARG: expected 0 to 1; 1 is used`);
  return 1;
}

module.exports = { sampler };
