// The filters of the viewer, and what people type: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Filters, VIEW, instant, typedSearch, typedTime } from "../viewer/filters.js";

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

test("times are ages, days, or moments", () => {
  const now = Date.parse("2026-11-21T12:00:00Z");
  assert.equal(instant("24h", now), now - 86_400_000);
  assert.equal(instant("2026-11-21"), Date.parse("2026-11-21T00:00:00Z"));
  assert.equal(instant("rubbish"), null);
  assert.equal(typedTime("2026-11-21 04:00", "utc"), "2026-11-21T04:00:00.000Z");
  assert.equal(typedTime("15m", "local"), "15m");
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
