"use strict";
/**
 * A service from before OpenTelemetry: it says X-Trace-ID, and knows no other way.
 *
 *     node kiosk.js
 *
 * Nothing of ours runs in it. The storefront is told to understand its header by
 * OTEL_PROPAGATORS=tracecontext,baggage,godot_xtraceid
 */

const { randomUUID } = require("node:crypto");
const http = require("node:http");

const STOREFRONT = process.env.STOREFRONT_URL ?? "http://127.0.0.1:8083";

http
  .createServer((request, response) => {
    const traceId = request.headers["x-trace-id"] ?? randomUUID();
    console.log(`[${traceId}] ${request.method} ${request.url}`);
    const options = { method: request.method, headers: { "X-Trace-ID": traceId } };
    http.request(STOREFRONT + request.url, options, (answer) => {
      response.writeHead(answer.statusCode, { "X-Trace-ID": traceId });
      answer.pipe(response);
    }).end();
  })
  .listen(Number(process.env.PORT ?? 8084), "127.0.0.1");
