// What the viewer says was changed: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { changesOf, differences, endDifferences, lineDifferences, same, shortened, wordDifferences } from "../viewer/diff.js";

const rows = (before, after, options) =>
  differences(before, after, options).map(({ path, kind, before: was, after: is }) => [path.join("."), kind, was, is]);

test("only what differs is told, by its path", () => {
  assert.deepEqual(rows({ a: 1, b: { c: [1, 2], d: "x" } }, { a: 1, b: { c: [1, 3], d: "y" } }), [
    ["b.c.1", "changed", 2, 3],
    ["b.d", "changed", "x", "y"],
  ]);
  assert.deepEqual(rows({ a: 1 }, { a: 1 }), []);
});

test("what came or went is told field by field", () => {
  assert.deepEqual(rows({ gone: true }, { come: { x: 1 } }), [
    ["gone", "removed", true, undefined],
    ["come.x", "added", undefined, 1],
  ]);
  assert.deepEqual(rows(undefined, { a: 1 }), [["a", "added", undefined, 1]]);
  assert.deepEqual(rows({ a: 1 }, undefined), [["a", "removed", 1, undefined]]);
  assert.deepEqual(rows({ list: [] }, { list: {} }), [["list", "changed", [], {}]]);
  assert.deepEqual(rows({ a: null }, { a: {} }), [["a", "changed", null, {}]]);
});

test("unchanged fields are shown when asked for", () => {
  assert.deepEqual(rows({ a: 1, b: {} }, { a: 2, b: {} }, { all: true }), [
    ["a", "changed", 1, 2],
    ["b", "same", {}, {}],
  ]);
});

test("names that objects have of themselves are no fields", () => {
  assert.deepEqual(rows({}, JSON.parse('{"constructor":1,"__proto__":2}')), [
    ["constructor", "added", undefined, 1],
    ["__proto__", "added", undefined, 2],
  ]);
  assert.equal(same({}, JSON.parse('{"toString":1}')), false);
});

test("an event's own changes are used where it has no states", () => {
  assert.equal(changesOf({}), null);
  assert.deepEqual(changesOf({ changes: { "a.b": { before: 1, after: 2 } } }), [
    { path: ["a.b"], kind: "changed", before: 1, after: 2 },
  ]);
  assert.deepEqual(
    changesOf({ after: { a: 1 } }).map((row) => row.kind),
    ["added"],
  );
});

test("texts are compared by words, and long ones as a whole", () => {
  assert.deepEqual(wordDifferences("pay in thirty days", "pay in ten days"), [
    { text: "pay in ", kind: "same" },
    { text: "thirty", kind: "removed" },
    { text: "ten", kind: "added" },
    { text: " days", kind: "same" },
  ]);
  const long = "word ".repeat(2000);
  assert.equal(wordDifferences(long, `${long}!`).length, 2);
});

test("texts of many lines differ line by line", () => {
  assert.deepEqual(lineDifferences('mode = "sync"\n\n[[rule]]\n', 'mode = "async"\n\n[[rule]]\nrate = 1\n'), [
    { text: 'mode = "sync"\n', kind: "removed" },
    { text: 'mode = "async"\n', kind: "added" },
    { text: "\n[[rule]]\n", kind: "same" },
    { text: "rate = 1\n", kind: "added" },
  ]);
  assert.deepEqual(lineDifferences("", "a"), [{ text: "a", kind: "added" }]);
});

test("of two long texts, what is between their common ends is told", () => {
  const [long, more] = ["a".repeat(5000), "z".repeat(300)];
  assert.deepEqual(endDifferences(`${long}x${more}`, `${long}yy${more}`), [
    { text: long, kind: "same" },
    { text: "x", kind: "removed" },
    { text: "yy", kind: "added" },
    { text: more, kind: "same" },
  ]);
  // The ends do not overlap, and no character is cut in two.
  assert.deepEqual(endDifferences("aaa", "aa"), [
    { text: "aa", kind: "same" },
    { text: "a", kind: "removed" },
  ]);
  assert.deepEqual(endDifferences("👩", "👨"), [
    { text: "👩", kind: "removed" },
    { text: "👨", kind: "added" },
  ]);
});

test("a long text that did not change keeps its ends", () => {
  assert.deepEqual(shortened("short"), { head: "short", left: 0, tail: "" });
  const { head, left, tail } = shortened(`b${"m".repeat(998)}e`);
  assert.equal(head.length + left + tail.length, 1000);
  assert.ok(left > 500 && head.startsWith("b") && tail.endsWith("e"));
});

test("a change of a personal value is shown to whoever does not see it", () => {
  const states = (word) => ({
    before: { mail: word, plan: "a", same: word },
    after: { mail: word, plan: "b", same: word },
    changes: { mail: { before: word, after: word }, plan: { before: "a", after: "b" } },
  });
  for (const word of ["erasable", "erased", "unreadable"]) {
    const rows = changesOf(states(word));
    assert.deepEqual(
      rows.map(({ path, kind }) => [path.join("."), kind]),
      [
        ["plan", "changed"],
        ["mail", "changed"],
      ],
    );
    const all = changesOf(states(word), true).map(({ path, kind }) => `${path.join(".")} ${kind}`);
    assert.deepEqual(all.sort(), ["mail changed", "plan changed", "same same"]);
  }
  assert.deepEqual(
    changesOf(states("word")).map(({ path }) => path.join(".")),
    ["plan"],
  );
});
