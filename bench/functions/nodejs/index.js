"use strict";
// Functions of known kinds, measured by bench/measure_functions.py.
const crypto = require("crypto");
const zlib = require("zlib");

const rows = Array.from({ length: 3000 }, (_, n) => ({ id: n, name: `name-${n}`, tags: [n, n + 1] }));
const text = JSON.stringify(rows);

exports.parse = async (event) => {
  let copy = rows;
  for (let n = 0; n < 12 * event.size; n++) copy = JSON.parse(JSON.stringify(copy));
  return copy.length;
};

exports.hash = async (event) => {
  let state = text;
  for (let n = 0; n < 400 * event.size; n++) {
    state = crypto.createHash("sha256").update(text + state).digest("hex");
  }
  return state;
};

exports.api = async (event) => {
  let total = 0;
  for (let n = 0; n < 4; n++) {
    await new Promise((resolve) => setTimeout(resolve, 15));
    total += JSON.stringify(JSON.parse(text)).length;
  }
  return total;
};

exports.squeeze = async (event) => {
  const all = Array.from({ length: 4 }, () =>
    new Promise((resolve, reject) =>
      zlib.gzip(text + text, (error, packed) => (error ? reject(error) : resolve(packed.length)))));
  return (await Promise.all(all)).reduce((a, b) => a + b, 0);
};
