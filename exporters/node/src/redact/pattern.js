"use strict";
/**
 * What regular expressions of Python have and those of JavaScript lack.
 *
 * The patterns of this folder are those of `godot_otel/redact`, and must find the same:
 * `tests/contract` compares them on any text.
 */

/** Letters, digits and `_` of any language, inside of brackets. */
const WORD = "\\p{L}\\p{N}_";

/** White space as Python has it, inside of brackets. */
const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";

/**
 * Match *pattern* and never give back a part of it; a possessive quantifier is this.
 *
 * @param {string} name of a group, once in an expression
 * @param {string} pattern
 */
function atomic(name, pattern) {
  return `(?=(?<${name}>${pattern}))\\k<${name}>`;
}

/**
 * Match *pattern*, which must be sticky, at an index.
 *
 * @param {RegExp} pattern
 * @param {string} text
 * @param {number} at
 */
function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/**
 * Return *text* without the characters at its end that *last* matches, one at a time: an
 * expression that ends in `+$` takes quadratic time.
 *
 * @param {string} text
 * @param {RegExp} last
 */
function trimEnd(text, last) {
  let end = text.length;
  while (end > 0 && last.test(text[end - 1])) end -= 1;
  return text.slice(0, end);
}

const LETTERS = /^\p{L}+$/u;

/** @param {string} text */
function isLetters(text) {
  return LETTERS.test(text);
}

module.exports = { WORD, SPACE, atomic, matchAt, isLetters, trimEnd };
