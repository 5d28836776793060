// What the viewer counts itself has the form of `/v1/summary`: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Filters } from "../viewer/filters.js";
import { summaryOf, topOf } from "../viewer/summary.js";

test("events are counted by field and second", () => {
  const events = [
    { action: "a", actor: { id: "u" }, outcome: "success", time: "2026-11-21T04:00:00.100000Z" },
    { action: "b", actor: { name: "n" }, outcome: "denied", time: "2026-11-21T04:00:00.900000Z" },
    { action: "b", outcome: "denied", resource: { type: "t" }, recorded: "2026-11-21T03:00:00.000000Z" },
    { action: "b", recorded: "2026-11-21T03:00:00.000000Z" },
  ];
  const summary = summaryOf(events);
  assert.equal(summary.total, 4);
  assert.deepEqual(summary.by_outcome, [
    { value: "denied", count: 2 },
    { value: "none", count: 1 },
    { value: "success", count: 1 },
  ]);
  assert.deepEqual(summary.by_action, [
    { value: "b", count: 3 },
    { value: "a", count: 1 },
  ]);
  assert.deepEqual(summary.by_actor, [
    { value: "n", count: 1 },
    { value: "u", count: 1 },
  ]);
  assert.deepEqual(summary.by_resource_type, [{ value: "t", count: 1 }]);
  assert.deepEqual(summary.by_tenant, []);
  assert.deepEqual(summary.histogram, [
    { start: "2026-11-21T03:00:00.000Z", count: 2 },
    { start: "2026-11-21T04:00:00.000Z", count: 2 },
  ]);
});

test("an event that claims a later time than that of its recording counts as of its recording", () => {
  const { histogram } = summaryOf([{ action: "a", time: "2099-01-01T00:00:00.000000Z", recorded: "2026-11-21T03:00:00.000000Z" }]);
  assert.deepEqual(histogram, [{ start: "2026-11-21T03:00:00.000Z", count: 1 }]);
});

test("each value that is chosen is among those asked for", () => {
  assert.equal(topOf(new Filters([["actor", "ana"]])), 10);
  assert.equal(topOf(new Filters(Array.from({ length: 20 }, (_, at) => ["actor", `u${at}`]))), 20);
});
