"use strict";
/**
 * What never leaves the process: values with a secret's name, secrets inside texts.
 *
 * `redactor` decides; `named` finds what a text calls by name (`password=x`), `bare` what
 * gives itself away by its form (private keys, tokens, passwords in URLs). The same as
 * `godot_otel/redact`.
 */

module.exports = { ...require("./redacted"), ...require("./redactor") };
