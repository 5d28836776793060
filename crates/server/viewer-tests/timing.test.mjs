// What the list says of an event that was recorded long after its time, or whose time is of the future: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.localStorage ??= { getItem: () => null, setItem: () => {} };
const { timing } = await import("../viewer/row.js");

const at = (time, recorded, more = {}) => timing({ time, recorded, ...more });

test("an event recorded more than an hour after its time is marked", () => {
  const recorded = "2026-11-21T04:00:00.000000Z";
  assert.deepEqual(at("2026-11-21T03:00:00.000000Z", recorded), { text: "2026-11-21T03:00:00.000000Z", mark: null });
  const late = at("2026-11-20T04:00:00.000000Z", recorded);
  assert.equal(late.mark, "late");
  assert.match(late.says, /Recorded 1 day later/);
});

test("a time ahead of the trail's clock is shown as that of recording", () => {
  const recorded = "2026-11-21T04:00:00.000000Z";
  for (const time of ["2099-01-01T00:00:00.000000Z", "2026-11-21T04:00:00.000001Z"]) {
    const ahead = at(time, recorded, { time_ahead: true });
    assert.deepEqual([ahead.text, ahead.mark], [recorded, "ahead"]);
    assert.ok(ahead.says.includes(time));
    // Lines from before there was the mark.
    assert.equal(at(time, recorded).mark, "ahead");
  }
  assert.equal(at(recorded, recorded).mark, null);
  assert.deepEqual(at("no time", recorded), { text: "no time", mark: null });
});
