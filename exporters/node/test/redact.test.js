"use strict";
// That it finds what it must is held by tests/contract, for every language alike.
const assert = require("node:assert/strict");
const { test } = require("node:test");
const { Redactor } = require("../src/redact");

const PIECES = [
  "password=", "password='", 'password="\n', "password=(\n", "token=x,", "token=[(", "://a:",
  "://a:@", "://a:b/", "postgres://a:", "cookie:\n", "Bearer ", "--token ", "('token', '", "a_",
  "aB", "token=\\n", '{\\"token\\":\\"', "eyJa.", "=", "bearer .", '"', "'", "\\", "[", "(",
  "-----BEGIN PRIVATE KEY-----", "a-----END PRIVATE KEY-----", ".", "<a", "</token>",
];

for (const piece of PIECES) {
  test(`no text takes long: ${JSON.stringify(piece)}`, () => {
    const redactor = new Redactor(["card number"]);
    let best = Infinity;
    for (const prefix of ["", "password token @://x bearer eyJ -- ', "]) {
      const text = (prefix + piece.repeat(65_536)).slice(0, 65_536);
      for (let i = 0; i < 2; i++) {
        const began = process.cpuUsage();
        redactor.text(text);
        const { user } = process.cpuUsage(began);
        best = Math.min(i ? best : Infinity, user / 1000);
      }
      assert.ok(best < 200, `${best} ms; one that is quadratic takes minutes`);
    }
  });
}

test("own keys are added", () => {
  const redactor = new Redactor(["Card-Number", "пароль", ""]);
  assert.ok(redactor.isSecret("customer.cardNumber"));
  assert.ok(redactor.isSecret("ПАРОЛЬ"));
  assert.ok(!redactor.isSecret("number"));
  assert.equal(redactor.text("card_number=hunter2"), "card_number=[REDACTED]");
});

test("memory stays bounded", () => {
  const redactor = new Redactor();
  for (let i = 0; i < 10_000; i++) {
    redactor.isSecret("x".repeat(i % 300) + i);
    redactor.text(`harmless ${i}`);
  }
  assert.ok(redactor._decided.size <= 4096);
  assert.ok(redactor._harmless.size <= 4096);
});
