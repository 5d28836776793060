// Times as people write them, in the zone shown: `node --test`.

process.env.TZ = "Europe/Berlin";

import assert from "node:assert/strict";
import { test } from "node:test";

import { Filters, typedSearch } from "../viewer/filters.js";
import { askedTime, instant, typedTime, wallTime } from "../viewer/times.js";

// The Monday after the clocks went forward.
const NOW = Date.parse("2026-03-30T10:00:00+02:00");
const CASES = {
  utc: {
    now: "2026-03-30T08:00:00Z",
    today: "2026-03-30T00:00:00Z",
    yesterday: "2026-03-29T00:00:00Z",
    "this week": "2026-03-30T00:00:00Z",
    "Last-Week": "2026-03-23T00:00:00Z",
    "last month": "2026-02-01T00:00:00Z",
    this_year: "2026-01-01T00:00:00Z",
    "last year": "2025-01-01T00:00:00Z",
    2026: "2026-01-01T00:00:00Z",
    "2026-03": "2026-03-01T00:00:00Z",
    "2026-03-07": "2026-03-07T00:00:00Z",
    "2026-03-07T04:05": "2026-03-07T04:05:00Z",
    "2026-03-07 04:05:06.25": "2026-03-07T04:05:06.25Z",
    "2026-03-07T04:05+01:00": "2026-03-07T03:05:00Z",
    "24h": "2026-03-29T08:00:00Z",
    "2 hours ago": "2026-03-30T06:00:00Z",
    "30-min-ago": "2026-03-30T07:30:00Z",
    "1 week": "2026-03-23T08:00:00Z",
  },
  local: {
    today: "2026-03-30T00:00:00+02:00",
    yesterday: "2026-03-29T00:00:00+01:00",
    "last week": "2026-03-23T00:00:00+01:00",
    "this month": "2026-03-01T00:00:00+01:00",
    "2026-04": "2026-04-01T00:00:00+02:00",
    "2026-03-29T04:00": "2026-03-29T04:00:00+02:00",
    "2026-03-29T04:00Z": "2026-03-29T04:00:00Z",
  },
};

test("each form means its beginning in the zone shown, across a change of the clocks too", () => {
  for (const [zone, cases] of Object.entries(CASES)) {
    for (const [text, wanted] of Object.entries(cases)) {
      assert.equal(instant(text, { zone, now: NOW }), Date.parse(wanted), `${text} ${zone}`);
    }
  }
  for (const text of ["", "rubbish", "2026-13", "2026-02-30", "2026-1", "25:00", "2026-03-07T24:00", "last weeks", "2 ago", "1 month ago", "2  hours"]) {
    assert.equal(instant(text, { zone: "utc", now: NOW }), null, text);
  }
});

test("a link keeps ages and words, and means the same moment in every zone otherwise", () => {
  assert.equal(typedTime("2026-11-21 04:00", "utc"), "2026-11-21T04:00:00.000Z");
  assert.equal(typedTime(" 2026-11 ", "local"), "2026-10-31T23:00:00.000Z");
  for (const text of ["15m", "yesterday", "rubbish", "2026-11-21T04:00:00Z"]) assert.equal(typedTime(text, "local"), text);
  assert.equal(typedSearch('since:2026-11 until:"last week"', new Filters()).get("until"), "last week");
  assert.match(typedSearch("since:2026-11", new Filters()).get("since"), /^2026-1[01]-/);
});

test("the server is asked without a zone, and for ages by its own clock", () => {
  const clock = { zone: "local", now: NOW };
  assert.equal(askedTime("yesterday", clock), "2026-03-28T23:00:00.000Z");
  for (const text of ["24h", "2026-03-29T04:00:00Z", "rubbish"]) assert.equal(askedTime(text, clock), text);
  assert.equal(new Filters([["since", "2026-03"]]).dependOnZone, true);
  assert.equal(new Filters([["since", "24h"], ["actor", "2026-03"]]).dependOnZone, false);
});

test("a moment comes back from its field as it was", () => {
  for (const zone of ["utc", "local"]) {
    for (const time of [NOW, NOW + 7000]) assert.equal(instant(wallTime(time, zone), { zone }), time);
  }
});

test("a plus of an address that became a blank is one again", () => {
  const meant = Date.parse("2026-11-28T00:00:00+01:00");
  assert.equal(instant("2026-11-28T00:00 01:00", { zone: "utc", now: NOW }), meant);
  assert.equal(instant("2026-11-28 00:00", { zone: "utc", now: NOW }), Date.parse("2026-11-28T00:00:00Z"));
});
