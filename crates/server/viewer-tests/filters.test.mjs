// The filters of the viewer, and what people type: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Filters, VIEW, typedSearch } from "../viewer/filters.js";

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
