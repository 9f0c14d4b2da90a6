"use strict";

/** What stands in the place of a secret. */
const REDACTED = "[REDACTED]";

module.exports = { REDACTED };
