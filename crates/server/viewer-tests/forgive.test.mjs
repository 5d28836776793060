// What people type, understood: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { labelsOf } from "../viewer/facets.js";
import { Filters, typedSearch } from "../viewer/filters.js";
import { nearestName, unknownName } from "../viewer/forgive.js";

test("a field that is almost right, or has another name elsewhere, is known", () => {
  for (const [typed, meant] of [
    ["acton", "action"],
    ["aciton", "action"],
    ["ressource", "resource"],
    ["tenent", "tenant"],
    ["user", "actor"],
    ["status", "outcome"],
    ["kubernetes", null],
    ["x", null],
  ]) {
    assert.equal(nearestName(typed), meant, typed);
  }
});

test("an unknown field is told, and what is none is not", () => {
  assert.deepEqual(unknownName("refund acton:pay"), { name: "acton", nearest: "action" });
  assert.deepEqual(unknownName("Actor:ana"), { name: "Actor", nearest: "actor" });
  assert.deepEqual(unknownName("kubernetes:x"), { name: "kubernetes", nearest: null });
  for (const typed of ["actor:ana", "http://x.example", "a sentence: with a colon", "10:30", ""]) {
    assert.equal(unknownName(typed), null, typed);
  }
});

test("system:anonymous is what an actor is called", () => {
  assert.deepEqual(typedSearch("system:anonymous", new Filters()).pairs, [["text", "system:anonymous"]]);
  assert.deepEqual(typedSearch("system:true", new Filters()).pairs, [["system", "true"]]);
});

test("facets show names, and ids where two have one name", () => {
  const labels = labelsOf([
    { value: "u-1", name: "Ana" },
    { value: "u-2", name: "Ana" },
    { value: "u-3", name: "Bo" },
    { value: "cron" },
  ]);
  assert.deepEqual([...labels.values()], [
    { name: "Ana", value: "u-1" },
    { name: "Ana", value: "u-2" },
    { name: "Bo", value: "" },
    { name: "cron", value: "" },
  ]);
});
