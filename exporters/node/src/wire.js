"use strict";
/** What of protobuf's wire format reading our own batches needs. */

/** @typedef {Map<number, any[]>} Message field number: values, as they came */

/**
 * Read one message: numbers as BigInt, everything else as bytes.
 *
 * @param {Buffer} data
 * @returns {Message}
 */
function read(data) {
  /** @type {Message} */
  const fields = new Map();
  let at = 0;
  const varint = () => {
    let number = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = data[at++];
      if (byte === undefined) throw new RangeError("a message ends within a number");
      number |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return number;
    }
  };
  while (at < data.length) {
    const tag = Number(varint());
    let value;
    if ((tag & 7) === 0) value = varint();
    else {
      const length = { 1: 8, 2: -1, 5: 4 }[tag & 7];
      if (length === undefined) throw new RangeError("no field of OTLP");
      const bytes = length < 0 ? Number(varint()) : length;
      value = data.subarray(at, (at += bytes));
    }
    const values = fields.get(tag >> 3);
    if (values) values.push(value);
    else fields.set(tag >> 3, [value]);
  }
  return fields;
}

/**
 * @param {Message} message
 * @param {number} field
 * @returns {Message[]}
 */
function messages(message, field) {
  return (message.get(field) ?? []).map(read);
}

/**
 * @param {Message} message
 * @param {number} field
 */
function string(message, field) {
  return (message.get(field)?.[0] ?? Buffer.alloc(0)).toString("utf8");
}

/**
 * @param {Message} message
 * @param {number} field
 * @returns {bigint}
 */
function fixed64(message, field) {
  return message.get(field)?.[0].readBigUInt64LE() ?? 0n;
}

module.exports = { fixed64, messages, read, string };
