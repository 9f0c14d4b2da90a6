"use strict";
/** Secrets that free text shows without a name: known by their shape or their place. */

const { REDACTED } = require("./redacted");
const { SPACE, isLetters, matchAt, trimEnd } = require("./pattern");

const PRIVATE_KEY =
  /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----[^]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----|$)/g;
const PRIVATE_KEY_END = /-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----/g;
const BASE64 = /[A-Za-z0-9+/=\r\n\\]/;

const USER = new RegExp(`://[^${SPACE}/?#@:"'<>\\[]*:`, "gu");
// A database's URL has no @ behind its host, so its password may have both @ and /.
const DATABASE = /(?:sql|postgres|db|redis|rediss|valkey|amqp|amqps)$/;
const DATABASE_PASSWORD = new RegExp(`(?:[^${SPACE}"'<>:?]|:(?!//))*(?=@)`, "uy");
const PASSWORD = new RegExp(`[^${SPACE}/?#"'<>]*(?=@)`, "uy");
// Elsewhere host:80/@name is a port; only what cannot be one may have a / in it.
const ODD_PASSWORD = new RegExp(
  `(?:(?<=://:)|(?!\\p{Nd}{1,5}[/?#]))(?:[^${SPACE}"'<>:]|:(?!//))*(?=@)`,
  "uy",
);

const CREDENTIALS =
  /(?<![A-Za-z0-9])([bB])((?:[eE][aA][rR][eE][rR]|[aA][sS][iI][cC])(?:[ \t]{1,4}|%20|:[ ]?))([\w\-.~+/%]+=*)/g;
const PROSE = new Set(
  `a an and as at auth authentication authorization bad bond bonds by certificate challenge
  credential credentials error expired failed flow for format from had has header headers in
  invalid is it jwt missing must no not of on or realm required schema scheme security share
  shares should that the to token tokens type was were which who will with`.split(/\s+/),
);
const TOKEN =
  /(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt]))(?:eyJ[\w-]{2,}\.[\w-]{2,}(?:\.[\w-]*)+|gh[pousr]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{20,}|xox[a-z]-[\w-]{10,}|AKIA[A-Z0-9]{16}(?!\w)|[sr]k_live_\w{16,}|sk-(?=[a-zA-Z_-]{0,99}\d)[\w-]{20,})/g;

/**
 * Replace private keys, also those whose beginning or end was cut away.
 *
 * @param {string} text
 */
function replacePrivateKeys(text) {
  text = text.replace(PRIVATE_KEY, REDACTED);
  let clean = "";
  let at = 0;
  for (const found of text.matchAll(PRIVATE_KEY_END)) {
    clean += trimEnd(text.slice(at, found.index), BASE64) + REDACTED;
    at = found.index + found[0].length;
  }
  return clean + text.slice(at);
}

/**
 * Replace the password in each URL that has one; its user and host stay.
 *
 * @param {string} text
 */
function replaceUrlPasswords(text) {
  let clean = "";
  let at = 0;
  for (const user of text.matchAll(USER)) {
    const start = user.index + user[0].length;
    if (user.index < at) continue;
    let scheme = text.slice(Math.max(user.index - 42, 0), user.index).toLowerCase();
    // postgresql+asyncpg
    if (scheme.includes("+")) scheme = scheme.slice(0, scheme.lastIndexOf("+"));
    const password =
      (DATABASE.test(scheme) && matchAt(DATABASE_PASSWORD, text, start)) ||
      matchAt(PASSWORD, text, start) ||
      matchAt(ODD_PASSWORD, text, start);
    if (password && password[0]) {
      clean += text.slice(at, start) + REDACTED;
      at = start + password[0].length;
    }
  }
  return clean + text.slice(at);
}

/**
 * Replace what follows `Bearer` or `Basic` and is no prose.
 *
 * @param {string} text
 */
function replaceCredentials(text) {
  return text.replace(CREDENTIALS, (whole, first, scheme, value, offset) => {
    const basic = scheme[0] === "a" || scheme[0] === "A";
    const known = basic ? isBasic(value) : isBearer(whole, value, text, offset);
    return known ? first + scheme + REDACTED : whole;
  });
}

/**
 * Replace JSON web tokens and the keys of well-known services.
 *
 * @param {string} text
 */
function replaceTokens(text) {
  return text.replace(TOKEN, REDACTED);
}

/**
 * Say whether it is `user:password` in base64.
 *
 * @param {string} text
 */
function isBasic(text) {
  const value = trimEnd(text, /=/);
  if (!/^[A-Za-z0-9+/]*$/.test(value) || value.length % 4 === 1) {
    return text.endsWith("=") && value.length >= 8;
  }
  const decoded = Buffer.from(value, "base64");
  return decoded.includes(58) && decoded.every((byte) => byte >= 32);
}

/**
 * @param {string} whole
 * @param {string} value
 * @param {string} text
 * @param {number} offset
 */
function isBearer(whole, value, text, offset) {
  const word = trimEnd(value, /[.=]/);
  if (!word || PROSE.has(word.toLowerCase())) return false;
  if (whole.startsWith("bearer") && word.length < 16 && /^[a-z]+$/.test(word)) {
    const end = offset + whole.length;
    return !(text[end] === " " && isLetters(text.slice(end + 1, end + 2)));
  }
  return true;
}

module.exports = {
  replaceCredentials,
  replacePrivateKeys,
  replaceTokens,
  replaceUrlPasswords,
};
