"use strict";
const assert = require("node:assert/strict");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { afterEach, test } = require("node:test");
const { GodotLogRecordExporter } = require("..");
const { resolve, resolveNow } = require("../src/endpoint");
const { nameOf } = require("../src/service");
const { setting, signalSetting } = require("../src/settings");

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "godot-"));
const outside = { ...process.env };
afterEach(() => {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, outside, { GODOT_DATA_DIR: folder });
});
process.env.GODOT_DATA_DIR = folder;

test("the queue is found by argument, variable, then the stack of the data directory", async () => {
  assert.equal(await resolve(null), null);
  fs.writeFileSync(path.join(folder, "state.json"), '{"redis_url": "redis://state:1/0"}');
  assert.equal(await resolve(null), "redis://state:1/0");
  assert.equal(resolveNow(null), "redis://state:1/0");
  delete process.env.GODOT_DATA_DIR;
  process.env.XDG_DATA_HOME = path.join(folder, "share");
  assert.equal(await resolve(null), null);
  fs.mkdirSync(path.join(folder, "share/godot-otel"), { recursive: true });
  fs.renameSync(path.join(folder, "state.json"), path.join(folder, "share/godot-otel/state.json"));
  assert.equal(await resolve(null), "redis://state:1/0");
  process.env.GODOT_REDIS_URL = "redis://variable:1/0";
  assert.equal(await resolve(null), "redis://variable:1/0");
  process.env.OTEL_EXPORTER_GODOT_ENDPOINT = "redis://endpoint:1/0";
  assert.equal(await resolve(null), "redis://endpoint:1/0");
  assert.equal(await resolve("redis://argument:1/0"), "redis://argument:1/0");
});

test("a malformed variable is a default, and one for a signal wins", () => {
  process.env.OTEL_EXPORTER_GODOT_TIMEOUT = "soon";
  assert.equal(setting("timeout"), 10_000);
  process.env.GODOT_REDIS_URL = "http://host/";
  assert.equal(setting("redis_url"), null);
  process.env.OTEL_EXPORTER_GODOT_TRACES_COMPRESSION = "GZIP";
  assert.equal(signalSetting("traces", "compression"), "gzip");
  assert.equal(signalSetting("logs", "compression"), "none");
  process.env.OTEL_EXPORTER_GODOT_REDACT_KEYS = "iban, ,card number";
  assert.deepEqual(setting("redact_keys"), ["iban", "card number"]);
});

test("a malformed option is thrown, and holds no password", () => {
  const made = (options) => () => new GodotLogRecordExporter(options);
  assert.throws(made({ endpiont: "x" }), /takes endpoint, .*; not endpiont/);
  assert.throws(made({ endpoint: "http://u:hunter2@host" }), (error) => {
    assert.match(error.message, /endpoint: no Redis URL/);
    return !error.message.includes("hunter2");
  });
  assert.throws(made({ timeoutMillis: 0 }), /timeoutMillis: 0 is no number/);
  assert.throws(made({ compression: "zip" }), /none, gzip/);
  assert.throws(made({ fallback: "file" }), /fallback: file is none of stderr, stdout, none/);
  assert.throws(made({ backlogBytes: -1 }), /backlogBytes: -1 is no number of bytes/);
  assert.throws(made({ redactKeys: "iban" }), /redactKeys: expected a list of names/);
});

test("databases of a URL, TLS and sockets are URLs of the queue", () => {
  for (const url of ["redis://h", "rediss://u:p@h:1/2", "redis://[::1]:6390/0", "unix:///run/redis.sock?db=2"]) {
    process.env.GODOT_REDIS_URL = url;
    assert.equal(setting("redis_url"), url);
  }
});

test("a service without a name is called like its script", () => {
  assert.equal(nameOf("/srv/shop/server.js"), "server");
  assert.equal(nameOf("/srv/shop/index.mjs"), "shop");
  assert.equal(nameOf(undefined), "node");
});
