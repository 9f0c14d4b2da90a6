"use strict";
/** What an application is called when nobody named it. */

const path = require("node:path");

/** Return the service's name from OpenTelemetry's variables, or null. */
function named() {
  const name = process.env.OTEL_SERVICE_NAME?.trim();
  if (name) return name;
  for (const pair of (process.env.OTEL_RESOURCE_ATTRIBUTES ?? "").split(",")) {
    const [key, value] = pair.split("=");
    if (key.trim() === "service.name" && value?.trim()) return value.trim();
  }
  return null;
}

/**
 * Name a service by the script it runs; one that is called index by its folder.
 *
 * @param {string | undefined} script
 */
function nameOf(script) {
  if (!script) return "node";
  const { name, dir } = path.parse(script);
  return (name === "index" && path.basename(dir)) || name || "node";
}

module.exports = { nameOf, named };
