"use strict";
const assert = require("node:assert/strict");
const { test } = require("node:test");
const { Redactor } = require("../src/redact");
const { body, pairs, shortText } = require("../src/values");

const redactor = new Redactor();
const kept = (attributes) => pairs(attributes, redactor);

test("values that only JavaScript has become what text or numbers can say", () => {
  const found = kept({
    date: new Date(0),
    error: new TypeError("token=hunter2"),
    map: new Map([["password", 1], ["a", 2]]),
    set: new Set([1]),
    big: 7n,
    huge: 2n ** 80n,
    link: new URL("https://u:hunter2@host/"),
    symbol: Symbol("s"),
    absent: undefined,
    nothing: null,
    bytes: Buffer.from("ab"),
  });
  assert.deepEqual(found, {
    date: "1970-01-01T00:00:00.000Z",
    error: "TypeError: token=[REDACTED]",
    map: { password: "[REDACTED]", a: 2 },
    set: [1],
    big: 7,
    huge: String(2n ** 80n),
    link: "https://u:[REDACTED]@host/",
    symbol: "Symbol(s)",
    nothing: null,
    bytes: Buffer.from("ab"),
  });
});

test("a circle is not followed, and a getter that throws costs itself", () => {
  const circle = { name: "a" };
  circle.self = circle;
  const odd = { get bad() { throw new Error("no"); }, good: 1 };
  assert.deepEqual(kept({ circle, odd }), {
    circle: { name: "a", self: "[too deep]" },
    odd: { bad: "[unprintable]", good: 1 },
  });
});

test("names that objects have of their own are names all the same", () => {
  const attributes = JSON.parse('{"__proto__": {"token": "hunter2"}, "constructor": 1}');
  assert.equal(JSON.stringify(kept(attributes)), '{"__proto__":{"token":"[REDACTED]"},"constructor":1}');
});

test("an object whose toJSON throws costs itself", () => {
  assert.deepEqual(kept({ bad: { toJSON() { throw new Error("no"); } }, good: 1 }), {
    bad: "[unprintable object]",
    good: 1,
  });
});

test("an object that is too large is halved until it fits", () => {
  const large = Object.fromEntries(Array.from({ length: 4000 }, (_, i) => [`key${i}`, "x".repeat(20)]));
  const keys = Object.keys(kept({ large }).large);
  assert.equal(keys[0], "key0");
  assert.ok(keys.length >= 125 && keys.length <= 300, String(keys.length));
});

test("a body that is an object says how many bytes it lost", () => {
  const [value, lost] = body({ items: Array(20_000).fill("0123456789") }, redactor);
  assert.deepEqual(Object.keys(value), []);
  assert.ok(lost > 200_000);
});

test("texts are cut between characters", () => {
  assert.equal(Buffer.byteLength(shortText("é".repeat(5000), redactor)), 8192);
  assert.equal(Buffer.byteLength(shortText("x" + "é".repeat(5000), redactor)), 8191);
});
