"use strict";
// Emits the cases of tests/contract by the Node.js exporter, as test_*.py do by Python's.
//
//   node emit.js records|spans|headers|texts|names < {"url": ..., "seconds": ..., "cases": [...]}
//
// Records and spans go to the queue; the answers to the others are printed as JSON.

const fs = require("node:fs");
const path = require("node:path");

const PACKAGE = path.join(__dirname, "../../exporters/node");
const theirs = (name) => require(require.resolve(name, { paths: [PACKAGE] }));
const api = theirs("@opentelemetry/api");
const { resourceFromAttributes } = theirs("@opentelemetry/resources");
const { GodotLogRecordExporter, GodotLogRecordProcessor, GodotSpanExporter } = require(PACKAGE);
const { HEADER, XTraceIdPropagator } = require(path.join(PACKAGE, "src/propagation"));
const { Redactor } = require(path.join(PACKAGE, "src/redact"));

/** What JSON has no form for, or what would be long in it. */
function expanded(value) {
  if (Array.isArray(value)) return value.map(expanded);
  if (typeof value !== "object" || value === null) return value;
  if (value.$repeat) return value.$repeat[0].repeat(value.$repeat[1]);
  if (value.$list) return Array(value.$list[1]).fill(value.$list[0]);
  if (value.$concat) return value.$concat.map(expanded).join("");
  if (value.$bytes) return Uint8Array.from(Buffer.from(value.$bytes, "base64"));
  if (value.$nest) {
    let inner = "end";
    for (let i = 0; i < value.$nest; i++) inner = [inner];
    return inner;
  }
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, expanded(item)]));
}

function contextOf({ trace_id: traceId, span_id: spanId, trace_flags: traceFlags = 0 }) {
  if (!traceId) return api.ROOT_CONTEXT;
  return api.trace.setSpanContext(api.ROOT_CONTEXT, { traceId, spanId, traceFlags });
}

async function records({ url, seconds, cases }) {
  const { LoggerProvider } = theirs("@opentelemetry/sdk-logs");
  const processor = new GodotLogRecordProcessor(new GodotLogRecordExporter({ endpoint: url }));
  cases.forEach(({ name, record, resource, scope }, number) => {
    const attributes = resource ?? { "service.name": "contract" };
    const provider = new LoggerProvider({
      resource: resourceFromAttributes(attributes),
      processors: [processor],
    });
    const time = [seconds, number];
    provider.getLogger(scope?.name ?? name, scope?.version).emit({
      timestamp: time,
      observedTimestamp: time,
      context: contextOf(record),
      severityNumber: record.severity_number,
      severityText: record.severity_text,
      eventName: record.event_name,
      body: expanded(record.body),
      attributes: expanded(record.attributes ?? {}),
    });
  });
  await processor.shutdown();
}

async function spans({ url, seconds: begin, cases }) {
  const exporter = new GodotSpanExporter({ endpoint: url });
  const resource = resourceFromAttributes({ "service.name": "contract" });
  const time = ({ seconds, nanoseconds }) => [begin + seconds, nanoseconds];
  const items = cases.map((one) => {
    const span = expanded(one.span);
    const traceState = span.trace_state && api.createTraceState(span.trace_state);
    const context = { traceId: span.trace_id, spanId: span.span_id, traceFlags: 1, traceState };
    return {
      resource,
      instrumentationScope: { name: one.name },
      spanContext: () => context,
      parentSpanContext: span.parent && {
        ...context,
        spanId: span.parent.span_id,
        isRemote: span.parent.remote,
      },
      name: span.name,
      kind: api.SpanKind[span.kind],
      startTime: time(span.start),
      endTime: time(span.end),
      attributes: span.attributes ?? {},
      events: (span.events ?? []).map((event) => ({ ...event, time: time(event.at) })),
      links: (span.links ?? []).map((link) => ({
        context: { traceId: link.trace_id, spanId: link.span_id, traceFlags: 1 },
        attributes: link.attributes,
      })),
      status: {
        code: api.SpanStatusCode[span.status?.code ?? "UNSET"],
        message: span.status?.message,
      },
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    };
  });
  await new Promise((resolve) => exporter.export(items, resolve));
  await exporter.shutdown();
}

const redactor = new Redactor();
const propagator = new XTraceIdPropagator();
const print = (answers) => fs.writeSync(1, JSON.stringify(answers));

/** What is made of a request with the header `X-Trace-ID`, and what is sent on. */
function understood(header) {
  const context = propagator.extract(api.ROOT_CONTEXT, { [HEADER]: header }, api.defaultTextMapGetter);
  const span = api.trace.getSpanContext(context) ?? api.INVALID_SPAN_CONTEXT;
  const sent = {};
  propagator.inject(context, sent, api.defaultTextMapSetter);
  return {
    trace_id: span.traceId,
    span_id: span.spanId,
    flags: span.traceFlags,
    baggage: api.propagation.getBaggage(context)?.getEntry(HEADER)?.value ?? null,
    sent: sent[HEADER] ?? null,
  };
}

const kinds = {
  records,
  spans,
  headers: ({ cases }) => print(cases.map(understood)),
  texts: ({ cases }) => print(cases.map((text) => redactor.text(text))),
  names: ({ cases }) => print(cases.map((name) => redactor.isSecret(name))),
};
kinds[process.argv[2]](JSON.parse(fs.readFileSync(0, "utf8")));
