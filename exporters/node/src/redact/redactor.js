"use strict";
/** Decides what is a secret, and replaces it. */

const {
  replaceCredentials,
  replacePrivateKeys,
  replaceTokens,
  replaceUrlPasswords,
} = require("./bare");
const { replaceNamed, replacePairs } = require("./named");

const KEYS = `password passwords passwd pwd passphrase token access_token refresh_token id_token
  auth_token session_token csrf_token api_key access_key secret_key secret_access_key private_key
  signing_key encryption_key secret secrets client_secret credential credentials authorization
  cookie cookies set_cookie jwt`.split(/\s+/);
// these end no harmless word, so they need no word boundary before them
const ENDINGS = ["password", "passwd", "apikey"];

const PARTS = /[A-Z]+(?![a-z])|[A-Z]?[a-z]+|(?:(?![a-zA-Z])[\p{L}\p{Nl}\p{No}])+/gu;
const CACHE_MAX = 4096;
const CACHED_NAME_MAX = 200;
const CACHED_TEXT_MAX = 64;
const SETTLED_MAX = 4096;

/**
 * Decides what is a secret: a value by its name, a part of a text by its looks.
 *
 * A name is one when its last words are one of the keys: `db_password`, `X-Api-Key` and
 * `http.request.header.set-cookie` are, `token_count` is not. Case, `-`, `_`, `.`,
 * camelCase and digits make no difference.
 */
class Redactor {
  /** @param {Iterable<string>} extraKeys */
  constructor(extraKeys = []) {
    const extra = [...extraKeys].map(squash).filter((key) => key !== "");
    this._keys = new Set([...KEYS.map(squash), ...extra]);
    this._longest = Math.max(...[...this._keys].map((key) => key.length));
    /** @type {Map<string, boolean>} */
    this._decided = new Map();
    this._extra = extra.length > 0;
    this._ends = new Set([...this._keys].map((key) => key.slice(-2)));
    this._ends.add("5d"); // user%5Btoken%5D=
    /** @type {Set<string>} */
    this._harmless = new Set();
    this.isSecret = this.isSecret.bind(this);
  }

  /**
   * Say whether the value called *name* must be replaced.
   *
   * @param {string} name
   */
  isSecret(name) {
    let decided = this._decided.get(name);
    if (decided === undefined) {
      decided = this._decide(name);
      // names made of data: keep memory bounded
      if (this._decided.size >= CACHE_MAX) this._decided.clear();
      if (name.length <= CACHED_NAME_MAX) this._decided.set(name, decided);
    }
    return decided;
  }

  /**
   * Return *text* with its secrets replaced.
   *
   * @param {string} text
   */
  text(text) {
    const short = text.length <= CACHED_TEXT_MAX;
    if (short && this._harmless.has(text)) return text;
    const low = text.toLowerCase();
    // Most texts end here: searching for parts of words costs less than any regular
    // expression.
    const named =
      low.includes("pass") ||
      (low.includes("k") &&
        (low.includes("token") || low.includes("key") || low.includes("ookie"))) ||
      (low.includes("cre") && (low.includes("secret") || low.includes("cred"))) ||
      low.includes("autho") ||
      (low.includes("w") && (low.includes("pwd") || low.includes("jwt"))) ||
      this._extra;
    const token =
      text.includes("eyJ") ||
      (low.includes("_") &&
        (low.includes("gh") || low.includes("_pat_") || low.includes("k_live_"))) ||
      (low.includes("-") &&
        (low.includes("sk-") || low.includes("xox") || low.includes("glpat-"))) ||
      text.includes("AKIA");
    if (named || token || low.includes("@") || low.includes("bearer") || low.includes("basic")) {
      return this._settled(text, low, named, token);
    }
    if (short) {
      if (this._harmless.size >= CACHE_MAX) this._harmless.clear();
      this._harmless.add(text);
    }
    return text;
  }

  /**
   * Replace until nothing changes: what one hides can look like another.
   *
   * @param {string} text
   * @param {string} low
   * @param {boolean} named
   * @param {boolean} token
   */
  _settled(text, low, named, token) {
    let clean = this._replaced(text, low, named, token);
    if (clean === text || text.length > SETTLED_MAX) return clean;
    for (let i = 0; i < 3; i++) {
      const before = clean;
      clean = this._replaced(clean, clean.toLowerCase(), named, token);
      if (clean === before) break;
    }
    return clean;
  }

  /**
   * Search each kind of secret that *low*, the text in small letters, allows.
   *
   * @param {string} text
   * @param {string} low
   * @param {boolean} named
   * @param {boolean} token
   */
  _replaced(text, low, named, token) {
    let clean = text;
    if (low.includes("private key") && low.includes("-----")) clean = replacePrivateKeys(clean);
    if (token) clean = replaceTokens(clean);
    if (low.includes("@") && low.includes("://")) clean = replaceUrlPasswords(clean);
    if (low.includes("bearer") || low.includes("basic")) clean = replaceCredentials(clean);
    if (named) {
      if (/',|",|--|<\//.test(clean)) {
        clean = replacePairs(clean, this.isSecret);
      }
      if (clean.includes("=") || clean.includes(":") || clean.includes("%3")) {
        clean = replaceNamed(clean, this._ends, this.isSecret);
      }
    }
    return clean;
  }

  /** @param {string} name */
  _decide(name) {
    const words = name.match(PARTS) ?? [];
    let end = "";
    for (let i = words.length - 1; i >= 0; i--) {
      end = words[i].toLowerCase() + end;
      if (this._keys.has(end)) return true;
      if (end.length > this._longest) break;
    }
    return ENDINGS.some((ending) => end.endsWith(ending));
  }
}

/** @param {string} name */
function squash(name) {
  return (name.match(PARTS) ?? []).join("").toLowerCase();
}

module.exports = { KEYS, Redactor };
