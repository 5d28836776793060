// JSON is shown without changing a digit: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { indented, parseExact, stringify } from "../viewer/json.js";

test("an indent changes nothing but white space", () => {
  const text = '{"a":12345678901234567890,"b":[1.10,-0.0,1e999,{}],"c":{"d":"x, {y}: \\"z\\"\\\\"},"e":[],"f":null}';
  assert.equal(indented(text).replace(/\n\s*/g, "").replaceAll('": ', '":'), text);
  assert.equal(indented('{"a":[1,2],"b":{}}'), '{\n  "a": [\n    1,\n    2\n  ],\n  "b": {}\n}');
});

test("numbers that are too large for JavaScript stay exact where their text can be had", () => {
  const { large, small } = parseExact('{"large":12345678901234567890,"small":7}');
  assert.equal(small, 7);
  const canTell = JSON.parse("1", (key, value, context) => context?.source) === "1";
  if (canTell) assert.equal(large, 12345678901234567890n);
  assert.equal(stringify({ a: 1, b: [true] }, 1), JSON.stringify({ a: 1, b: [true] }, null, 1));
  assert.match(stringify({ a: 12345678901234567890n }), /12345678901234567890/);
});
