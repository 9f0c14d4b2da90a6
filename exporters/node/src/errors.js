"use strict";

/** A value that cannot be used; the text names it, and never holds a password. */
class SettingError extends Error {}

/** No answer, or none that counts: the queue may hold the batch all the same. */
class RetryableError extends Error {}

/** The queue is at one of its limits. */
class QueueFullError extends Error {}

module.exports = { QueueFullError, RetryableError, SettingError };
