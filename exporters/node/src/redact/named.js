"use strict";
/**
 * Secrets that free text calls by name: `password=x`, `"token": "x"`.
 *
 * Every separator is looked at: the name before it is read backwards, the redactor
 * decides about the name, and the value behind it is measured. All of it takes linear
 * time on any text.
 */

const { REDACTED } = require("./redacted");
const { SPACE, WORD, atomic, isLetters, matchAt, trimEnd } = require("./pattern");

/** @typedef {(name: string) => boolean} IsSecret */
/** @typedef {{text: string, start: number, quoted: boolean, colon: boolean, value: number}} Name */

// Their values hold spaces: the rest of the line belongs to them.
const WHOLE_LINE = /(?:authorization|cookie|cookies|passphrase)$/;
const MAX_NAME = 64; // a name's end decides
const BEHIND = 48; // characters between a name and its separator
const MAX_UNCLOSED = 2;
const MAX_SECRETS = 1000;

const SEPARATOR = /(?:=[=>]?|:(?!:|\/\/)=?|%3[dD])[ \t]{0,64}/g;
const BETWEEN = /[ \t"'\\\]0-9_\-.]/; // what may stand behind a name's last letter
// A name and what follows it, backwards: that is how they are read from a separator.
const NAME = new RegExp(
  "^" +
    atomic("spaces", "[ \\t]{0,40}") +
    atomic("escape", "(?:[dD]5%)?") +
    `(${atomic("bracket", "\\]?")}${atomic("quote", "(?:[\"']\\\\{0,8})?")})` +
    `(${atomic("key", "(?:s?yek )?")}[${WORD}.\\-]+)`,
  "iu",
);
const NEXT = `["']?[${WORD}.\\-]{1,64}["']? ?[=:]`; // the next value's name
const BARE = new RegExp(
  "(?:\\[REDACTED\\]" +
    `|[^${SPACE}"'&,;()\\[\\]{}<>\\\\]+` +
    `|["'](?=[${WORD}])` +
    `|${atomic("ends", "[&,;)\\]}<>]+")}(?=[^${SPACE}"'])(?!${NEXT})` +
    `|\\\\(?!\\\\*["']|[nrt](?:${NEXT}|[${SPACE}\\\\"']|$))` +
    ")*",
  "uy",
);
const SCHEME = new RegExp(
  `(?:bearer|basic|digest|negotiate|ntlm|token|api-?key) {1,4}(?=[${WORD}.~+/=%\\[])`,
  "iuy",
);
const COOKIE_PAIRS = new RegExp(`(?:; ?[${WORD}.\\-]+=[^${SPACE};,"']*)*`, "uy");
const OPENING = /[bBfFrRuU]{0,2}(\\{0,8})(["'])/y;
/** @type {Record<string, RegExp>} */
const INSIDE = { '"': /(?:[^"\\\n]|\\[^\n])*/y, "'": /(?:[^'\\\n]|\\[^\n])*/y };
const BRACKET = new RegExp(
  "[(\\[{]|[)\\]}]" +
    `|"${atomic("double", '(?:[^"\\\\\\n]|\\\\[^\\n])*')}"` +
    `|'${atomic("single", "(?:[^'\\\\\\n]|\\\\[^\\n])*")}'`,
  "g",
);
/** @type {Record<string, RegExp>} */
const LINE = {
  "": /(?:[^\n\r\\]|\\(?![nr]))*/y,
  '"': /(?:[^\n\r\\"]|\\(?![nr"]))*/y,
  "'": /(?:[^\n\r\\']|\\(?![nr']))*/y,
};
// ("name", "value"): a header, as servers and clients keep them
const PAIR = new RegExp(
  `([(\\[][bu]?(["'])([${WORD}.\\-]+)\\2, ?[bu]?)` +
    `(?:"${atomic("double", '(?:[^"\\\\]|\\\\[^])*')}"` +
    `|'${atomic("single", "(?:[^'\\\\]|\\\\[^])*")}')(?=[)\\]])`,
  "gu",
);
const OPTION = new RegExp(
  `((?<![${WORD}\\-])-${atomic("second", "-?")}([${WORD}\\-]+)(?: {1,4}["']?|["'], ?["']))` +
    `(?:\\[REDACTED\\]|(?!-)[^${SPACE}"',)\\]}]+)`,
  "gu",
);
const ELEMENT = new RegExp(
  `(<([${WORD}.\\-:]+)(?:[${SPACE}][^<>]{0,200})?>)[^<]+(?=</)`,
  "gu",
);
const PROSE = new Set(
  `and are as by can cannot for from has in is must not of option or should to was which
  with`.split(/\s+/),
);

/**
 * Replace each value whose name is a secret's name.
 *
 * @param {string} text
 * @param {Set<string>} ends must hold the last two letters of all such names
 * @param {IsSecret} isSecret
 */
function replaceNamed(text, ends, isSecret) {
  /** @type {[number, number][]} */
  const spans = [];
  let count = 0;
  let last = 0;
  const values = new Values(text);
  for (const separator of text.matchAll(SEPARATOR)) {
    const at = separator.index;
    if (at + separator[0].length < last) continue;
    if (!ends.has(endBefore(text, at).toLowerCase())) continue;
    const name = nameBefore(text, separator, isSecret);
    if (name === null) continue;
    let [start, end] = values.extent(name);
    count += 1;
    if (count > MAX_SECRETS) end = text.length; // what holds so many is worth no more time
    if (end <= start) continue;
    // the name itself is in a secret: a longer secret
    if (name.start < last) start = /** @type {[number, number]} */ (spans.pop())[0];
    spans.push([start, end]);
    last = end;
    if (end === text.length) break;
  }
  let clean = "";
  let at = 0;
  for (const [start, end] of spans) {
    clean += text.slice(at, start) + REDACTED;
    at = end;
  }
  return spans.length ? clean + text.slice(at) : text;
}

/**
 * Replace *x* in `("name", "x")`, `--name x` and `<name>x</name>`.
 *
 * @param {string} text
 * @param {IsSecret} isSecret
 */
function replacePairs(text, isSecret) {
  text = text.replace(PAIR, (whole, opening, _quote, name) => {
    const quote = whole[whole.length - 1];
    const secret = isSecret(name.slice(-MAX_NAME));
    return secret ? opening + quote + REDACTED + quote : whole;
  });
  text = text.replace(OPTION, (whole, opening, _second, name) => {
    const secret = isSecret(name.slice(-MAX_NAME));
    return secret && !PROSE.has(whole.slice(opening.length)) ? opening + REDACTED : whole;
  });
  if (!text.includes("</")) return text;
  return text.replace(ELEMENT, (whole, opening, name) =>
    isSecret(name.slice(-MAX_NAME)) ? opening + REDACTED : whole,
  );
}

/**
 * Return the last two letters of what may be a name before a separator.
 *
 * @param {string} text
 * @param {number} at
 */
function endBefore(text, at) {
  const before = text.slice(Math.max(at - 2, 0), at);
  if (at >= 2 && isLetters(before)) return before;
  return trimEnd(text.slice(Math.max(at - BEHIND, 0), at), BETWEEN).slice(-2);
}

/**
 * Return the name before *separator* if it is a secret's.
 *
 * @param {string} text
 * @param {RegExpExecArray} separator
 * @param {IsSecret} isSecret
 * @returns {Name | null}
 */
function nameBefore(text, separator, isSecret) {
  const at = separator.index;
  const found = NAME.exec(reversed(text.slice(Math.max(at - MAX_NAME - BEHIND, 0), at)));
  if (found === null) return null;
  const groups = /** @type {Record<string, string>} */ (found.groups);
  const closing = groups.bracket + groups.quote;
  const bare = found[0].length - groups.spaces.length - groups.escape.length - closing.length;
  let name = reversed(found[0].slice(found[0].length - bare));
  const start = at - found[0].length;
  // a user and password, which URLs have
  if (start >= 3 && text.startsWith("://", start - 3)) return null;
  const before = start >= 1 ? text[start - 1] : "";
  if (!isSecret(name)) {
    // behind a written "\n" or "%3F", which are no part of the name
    if (before === "\\" && "nrt".includes(name[0])) name = name.slice(1);
    else if (before === "%") name = name.slice(2);
    if (!isSecret(name)) return null;
  }
  return {
    text: name,
    start,
    quoted: closing !== "",
    colon: separator[0][0] === ":",
    value: at + separator[0].length,
  };
}

/** @param {string} text */
function reversed(text) {
  let backwards = "";
  for (let i = text.length - 1; i >= 0; i--) backwards += text[i];
  return backwards;
}

/** Measures the values of one text. */
class Values {
  /** @param {string} text */
  constructor(text) {
    this._text = text;
    this._unclosed = 0;
  }

  /**
   * Return where the value behind *name* starts and ends.
   *
   * @param {Name} name
   * @returns {[number, number]}
   */
  extent(name) {
    const text = this._text;
    const at = name.value;
    const opening = matchAt(OPENING, text, at);
    if (opening) return this._quoted(opening);
    const wholeLine = WHOLE_LINE.test(name.text.toLowerCase().replace(/[-_]/g, ""));
    if (wholeLine && name.colon && !name.quoted) {
      const before = name.start >= 1 ? text[name.start - 1] : "";
      const line = matchAt(LINE[before === '"' || before === "'" ? before : ""], text, at);
      return [at, line ? at + line[0].length : at];
    }
    let end = this._bare(at);
    if (wholeLine) {
      const more = matchAt(COOKIE_PAIRS, text, end);
      if (more) end += more[0].length;
    }
    return [at, end];
  }

  /**
   * Measure up to the closing quote, without one up to the line's end.
   *
   * @param {RegExpExecArray} opening
   * @returns {[number, number]}
   */
  _quoted(opening) {
    const text = this._text;
    const start = opening.index + opening[0].length;
    if (!opening[1]) {
      const inside = matchAt(INSIDE[opening[2]], text, start);
      return [start, inside ? start + inside[0].length : start];
    }
    let lineEnd = text.indexOf("\n", start);
    if (lineEnd < 0) lineEnd = text.length;
    const closing = opening[1] + opening[2];
    const find = (/** @type {number} */ from) => {
      const found = text.indexOf(closing, from);
      return found >= 0 && found + closing.length <= lineEnd ? found : -1;
    };
    let end = find(start);
    // a quote of the value itself
    while (end > 0 && text[end - 1] === "\\") end = find(end + 1);
    return [start, end >= 0 ? end : lineEnd];
  }

  /** @param {number} at */
  _bare(at) {
    const text = this._text;
    const scheme = matchAt(SCHEME, text, at);
    let end = scheme ? at + scheme[0].length : at;
    for (;;) {
      const run = matchAt(BARE, text, end);
      if (run) end += run[0].length;
      if (end >= text.length || !"([{".includes(text[end])) return end;
      end = this._bracketed(end);
    }
  }

  /**
   * Return where the bracket closes; the line's end when it does not.
   *
   * @param {number} at
   */
  _bracketed(at) {
    let depth = 0;
    BRACKET.lastIndex = at;
    for (let found = BRACKET.exec(this._text); found; found = BRACKET.exec(this._text)) {
      if ("([{".includes(found[0][0])) depth += 1;
      else if (")]}".includes(found[0][0])) {
        depth -= 1;
        if (!depth) return found.index + 1;
      }
    }
    this._unclosed += 1;
    // each was looked for up to the text's end
    if (this._unclosed > MAX_UNCLOSED) return this._text.length;
    const end = this._text.indexOf("\n", at);
    return end >= 0 ? end : this._text.length;
  }
}

module.exports = { replaceNamed, replacePairs };
