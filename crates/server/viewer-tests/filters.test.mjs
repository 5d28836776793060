// The filters of the viewer, and what people type: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Filters, VIEW, typedPart, typedSearch, written } from "../viewer/filters.js";

test("an address and its filters say the same", () => {
  const filters = Filters.fromAddress("?action=a.*&action=b&outcome=denied&view=seal&unknown=1&since=24h&since=7d");
  assert.deepEqual(filters.pairs, [
    ["action", "a.*"],
    ["action", "b"],
    ["outcome", "denied"],
    ["since", "24h"],
  ]);
  assert.equal(Filters.fromAddress(`?${filters}`).toString(), filters.toString());
});

test("filters are added, toggled and taken away", () => {
  const filters = new Filters([["actor", "ana"]]);
  assert.deepEqual(filters.with("actor", "bo").all("actor"), ["ana", "bo"]);
  assert.deepEqual(filters.with("actor", "ana").all("actor"), ["ana"]);
  assert.equal(filters.toggled("actor", "ana").isEmpty, true);
  assert.deepEqual(filters.between("24h", "").pairs, [
    ["actor", "ana"],
    ["since", "24h"],
  ]);
  assert.equal(filters.between("24h", "").with("since", "7d").get("since"), "7d");
});

test("name:value is a filter, and the rest is text", () => {
  const typed = typedSearch(
    'refund actor:"Ana Sousa" outcome:denied http://x',
    new Filters([
      ["text", "old"],
      ["tenant", "acme"],
    ]),
  );
  assert.deepEqual(typed.pairs, [
    ["tenant", "acme"],
    ["actor", "Ana Sousa"],
    ["outcome", "denied"],
    ["text", "refund http://x"],
  ]);
  assert.deepEqual(typedSearch("nothing:special", new Filters()).pairs, [["text", "nothing:special"]]);
});

test("what people type means what it looks like", () => {
  const pairs = (typed) => typedSearch(typed, new Filters()).pairs;
  assert.deepEqual(pairs("text:refund now"), [["text", "refund now"]]);
  assert.deepEqual(pairs('a text:"b c"'), [["text", "a b c"]]);
  assert.deepEqual(pairs("Actor:ana OUTCOME:denied"), [
    ["actor", "ana"],
    ["outcome", "denied"],
  ]);
  assert.deepEqual(pairs("since:last week until:This Month refund"), [
    ["since", "last week"],
    ["until", "This Month"],
    ["text", "refund"],
  ]);
  assert.deepEqual(pairs("actor:last week"), [
    ["actor", "last"],
    ["text", "week"],
  ]);
  assert.deepEqual(pairs("system:false"), []);
  assert.deepEqual(pairs("System:anonymous"), [["text", "System:anonymous"]]);
  assert.deepEqual(Filters.fromAddress("?system=false&actor=ana").pairs, [["actor", "ana"]]);
});

test("each value can be written so that it is read again", () => {
  const quotes = ['o\'neil "x"', '"', '" "', 'a" tenant:b', "a since:last week"];
  const backslashes = ["CORP\\ana", "CORP\\ana b", "CORP\\ana b\\", "\\\\host\\a b\\\\", "\\", '\\"', '\\\\" \\'];
  for (const value of ["ana", "Ana Sousa", "a:b, c", ...quotes, ...backslashes]) {
    assert.deepEqual(typedSearch(`x actor:${written(value)} y action:"x y"`, new Filters()).pairs, [
      ["actor", value],
      ["action", "x y"],
      ["text", "x y"],
    ]);
  }
});

test("a value in quotes in which nobody doubled the backslashes is understood", () => {
  const pairs = (typed) => typedSearch(typed, new Filters()).pairs;
  assert.deepEqual(pairs('actor:"CORP\\ana b\\"'), [["actor", "CORP\\ana b\\"]]);
  assert.deepEqual(pairs('actor:"CORP\\ana b\\" action:"x y"'), [
    ["actor", "CORP\\ana b\\"],
    ["action", "x y"],
  ]);
  assert.deepEqual(pairs('actor:"Ana Sousa", refund'), [
    ["actor", "Ana Sousa"],
    ["text", ", refund"],
  ]);
  assert.deepEqual(pairs('actor:"Ana'), [["actor", '"Ana']]);
  assert.deepEqual(pairs(`actor:"${"\\".repeat(50_000)}`).length, 1);
});

test("the filter that is being typed is known by its part, and where that begins", () => {
  assert.deepEqual(typedPart("x Actor:an"), { name: "actor", part: "an", from: 8 });
  assert.deepEqual(typedPart("actor:"), { name: "actor", part: "", from: 6 });
  assert.deepEqual(typedPart('actor:"Ana S'), { name: "actor", part: "Ana S", from: 6 });
  assert.deepEqual(typedPart('actor:"CORP\\\\ana b\\\\" tenant:"a \\"b'), { name: "tenant", part: 'a "b', from: 29 });
  for (const typed of ["refund", "10:30", 'actor:"Ana Sousa" ', "nothing:x"]) assert.equal(typedPart(typed), null, typed);
});

test("a range that ends before it begins is known", () => {
  const isReversed = (since, until) => new Filters([["since", since], ["until", until]]).isReversed;
  assert.equal(isReversed("2026-12-01", "2026-01-01"), true);
  assert.equal(isReversed("today", "today"), true);
  assert.equal(isReversed("2026-01-01", "2026-12-01"), false);
  assert.equal(new Filters([["since", "2026-12-01"]]).isReversed, false);
  assert.equal(isReversed("2026-12-01", "nonsense"), false);
});

test("the order is said in words and is no filter", () => {
  const words = (pairs) => new Filters(pairs).orderInWords;
  assert.equal(words([]), "newest first");
  assert.equal(words([["order", "asc"]]), "oldest first");
  assert.equal(words([["order_by", "recorded"]]), "last recorded first");
  assert.equal(
    words([
      ["order", "asc"],
      ["order_by", "recorded"],
    ]),
    "first recorded first",
  );
  const filters = Filters.fromAddress("?actor=ana&order=asc&order_by=recorded&recorded_since=1h&recorded_since=2h");
  assert.deepEqual(filters.query(VIEW), [
    ["actor", "ana"],
    ["recorded_since", "1h"],
  ]);
});
