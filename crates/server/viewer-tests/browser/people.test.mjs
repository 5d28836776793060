// Searching as people do, in Chromium: parts of names, fields that are almost right, suggestions, times, what is empty.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { SKIP, launch, newPage, row, serve } from "./support.mjs";

const EVENTS = [
  { action: "invoice.update", actor: { id: "u-17", name: "Chen Wei" }, context: { ip: "192.0.2.7" } },
  { action: "invoice.pay", actor: { id: "u-18", name: "chen li" }, outcome: "denied" },
  { action: "user.login", actor: { id: "u-19", name: "Ana" }, time: "2026-02-28T23:30:00Z" },
  { action: "user.logout", actor: { id: "u-20", name: "Ana" }, time: "2026-03-31T22:30:00Z" },
];

let folder;
let server;
let browser;
let page;
let problems;
const step = (name, run) => test(name, { skip: SKIP }, run);
const open = async (search = "") => {
  await page.goto(server.url + search);
  await page.waitForSelector(`${row}, #empty`);
  await page.waitForSelector("#total strong", { state: "attached" });
};
const total = async () => Number((await page.textContent("#total strong")).replaceAll(",", ""));
const record = (events) =>
  fetch(`${server.url}v1/events?ack=store`, { method: "POST", body: JSON.stringify(events) }).then((answer) => assert.equal(answer.status, 202));
const search = async (typed) => {
  await page.fill("#search-input", typed);
  await page.press("#search-input", "Enter");
};
const until = (check, argument) => page.waitForFunction(check, argument);
const address = (name, values) =>
  until(([n, v]) => JSON.stringify(new URLSearchParams(location.search).getAll(n).sort()) === JSON.stringify(v), [name, values]);

before(async () => {
  if (SKIP) return;
  folder = mkdtempSync(join(tmpdir(), "trailseal-people-"));
  server = await serve(join(folder, "trail"), "--open");
  browser = await launch();
  ({ page, problems } = await newPage(browser));
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

step("an empty trail says so in the middle, and shows no rate of nothing", async () => {
  await open();
  for (const part of ["#empty h2", "#empty-command"]) {
    const middle = await page.$eval(part, (element) => {
      const box = element.getBoundingClientRect();
      return box.left + box.width / 2 - document.documentElement.clientWidth / 2;
    });
    assert.ok(Math.abs(middle) <= 1, `${part} is ${middle} px off the middle`);
  }
  await page.goto(`${server.url}?view=health`);
  const rate = "[data-testid=stat][data-name=success_rate] .figure";
  await page.waitForSelector(rate);
  assert.equal(await page.textContent(rate), "–");
});

step("the first event appears by itself, and count, chart and facets follow live", async () => {
  await open();
  await record(EVENTS);
  await page.waitForSelector(row);
  await until(() => document.querySelector("#total strong")?.textContent === "4");
  await page.waitForSelector("[data-testid=facet][data-name=action][data-value='invoice.pay']");
  await open();
  await page.click("#live-button");
  await until(() => document.querySelector("#live-state").dataset.state === "live");
  await record({ action: "live.one", actor: { id: "u-21", name: "Live" }, outcome: "failure" });
  await until(() => document.querySelector("#total strong")?.textContent === "5");
  await page.waitForSelector("[data-testid=facet][data-name=action][data-value='live.one']");
  await until(() => {
    const bars = [...document.querySelectorAll("[data-testid=bar]")];
    return bars.reduce((sum, bar) => sum + Number(bar.dataset.count), 0) === 5;
  });
  await page.click("#live-button");
});

step("a part of a name or action finds it, whatever its case", async () => {
  await open();
  await search("actor:chen");
  await address("actor", ["u-17", "u-18"]);
  await until(() => document.querySelector("#total strong")?.textContent === "2");
  await until(() => document.querySelector("#chips").textContent.includes("Chen Wei"));
  await open();
  await search("action:invoice.up");
  await address("action", ["invoice.update"]);
  await open();
  await search("actor:u-18");
  await address("actor", ["u-18"]);
  await open();
  await page.click("#filters-button");
  await page.fill("#filter-actor", "wei");
  await page.click("#filter-apply");
  await address("actor", ["u-17"]);
});

step("an unknown field is told with the nearest, which is one click away", async () => {
  await open();
  await search("acton:pay");
  await page.waitForSelector("#search-hint:not([hidden])");
  assert.match(await page.textContent("#search-hint"), /There is no field acton.*Did you mean action:pay\?/);
  await page.click("#search-hint-use");
  await address("action", ["invoice.pay"]);
  await page.waitForSelector("#search-hint", { state: "hidden" });
});

step("fields and values are suggested as one types", async () => {
  await open();
  await page.click("#search-input");
  await page.keyboard.type("ac");
  await page.waitForSelector("[data-testid=suggestion][data-value='actor:']");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  assert.match(await page.inputValue("#search-input"), /^act(or|ion):$/);
  await page.fill("#search-input", "");
  await page.keyboard.type("actor:wei");
  const option = page.locator("[data-testid=suggestion][data-value='u-17']");
  await option.waitFor();
  assert.match(await option.textContent(), /Chen Wei/);
  await option.click();
  assert.equal(await page.inputValue("#search-input"), "actor:u-17 ");
  await page.keyboard.press("Enter");
  await address("actor", ["u-17"]);
});

step("facets show names, with the id where two have one name; the address is a column and a facet", async () => {
  await open();
  const facet = (value) => page.textContent(`[data-testid=facet][data-name=actor][data-value='${value}'] .facet-name`);
  assert.equal(await facet("u-17"), "Chen Wei");
  assert.equal(await facet("u-19"), "Ana u-19");
  assert.equal(await facet("u-20"), "Ana u-20");
  assert.equal(await page.textContent(`${row}:has-text("invoice.update") .cell.address`), "192.0.2.7");
  await page.click("[data-testid=facet][data-name=ip][data-value='192.0.2.7']");
  await address("ip", ["192.0.2.7"]);
  await until(() => document.querySelector("#total strong")?.textContent === "1");
});

step("times mean the zone that is shown", async () => {
  await open("?since=2026-03&until=2026-04");
  // In Berlin, 2026-03 begins an hour before it does in UTC, and ends two hours before.
  await until(() => document.querySelector("#total strong")?.textContent === "1");
  assert.match(await page.textContent(row), /user\.login/);
  await page.click("#zone-toggle");
  await until(() => document.querySelector("[data-testid=row] .cell.action")?.textContent.includes("user.logout"));
  assert.equal(await total(), 1);
  await page.click("#zone-toggle");
  await open();
  await page.selectOption("#span-select", "yesterday..today");
  await address("since", ["yesterday"]);
  await address("until", ["today"]);
  // Or what was recorded before midnight, if that has just passed.
  await until(() => {
    const midnight = new Date();
    midnight.setHours(0, 0, 0, 0);
    const yesterday = new Date(midnight - 1).toLocaleDateString("sv-SE");
    const days = [...document.querySelectorAll("[data-testid=day]")];
    return document.querySelector("#empty") || (days.length > 0 && days.every((day) => day.dataset.day === yesterday));
  });
});

step("a range is picked in the zone shown", async () => {
  await open();
  await page.selectOption("#span-select", "choose");
  await page.fill("#range-since", "2026-03-01T00:30");
  await page.fill("#range-until", "2026-03-01T00:31");
  await page.click("#range-apply");
  await address("since", ["2026-02-28T23:30:00.000Z"]);
  await until(() => document.querySelector("#total strong")?.textContent === "1");
  assert.equal(await page.inputValue("#span-select"), "custom");
});

step("the chart ends now and begins with the first event", async () => {
  const today = () => page.evaluate(() => new Date().toLocaleDateString("sv-SE"));
  const days = [await today()];
  await open();
  await page.waitForSelector("[data-testid=bar]");
  const text = await page.getAttribute("#histogram", "aria-valuetext");
  const [, from, to] = /from (\S+) to (\S+),/.exec(text);
  days.push(await today());
  // Midnight may be between them.
  assert.ok(days.includes(to), text);
  assert.ok(from <= "2026-03-01" && from > "2025-12-31", text);
});

step("a list that follows live says how many it has", async () => {
  await open("?action=follow.count");
  await page.click("#live-button");
  await until(() => document.querySelector("#live-state").dataset.state === "live");
  for (const at of [1, 2, 3]) {
    await record({ action: "follow.count" });
    await until((count) => document.querySelectorAll("[data-testid=row]").length === count, at);
  }
  await until(() => document.querySelector("#list-status").textContent.includes("3 events"));
  await page.click("#live-button");
});

step("days stand above their rows, and rows can be denser", async () => {
  await open();
  const days = await page.$$eval("[data-testid=day]", (all) => all.map((each) => each.dataset.day));
  // Today's, which are two if midnight has just passed, and the others.
  assert.deepEqual(days.slice(-2), ["2026-04-01", "2026-03-01"]);
  assert.ok(days.length > 2 && new Set(days).size === days.length, days.join());
  const before = await page.$eval(row, (element) => element.getBoundingClientRect().height);
  const isDenser = () => until((tall) => document.querySelector("[data-testid=row]")?.getBoundingClientRect().height < tall - 8, before);
  await page.click("#density-toggle");
  await isDenser();
  await page.reload();
  // It is kept.
  await isDenser();
  await page.click("#density-toggle");
});

step("what changed is named, also on the card of a review", async () => {
  await record({ id: "changed", action: "limit.raise", before: { limit: 100 }, after: { limit: 900 } });
  await fetch(`${server.url}v1/reviews`, { method: "POST", body: JSON.stringify({ event: "changed", reason: "much" }) });
  await open("?id=changed");
  await page.click(row);
  await page.waitForSelector("#diff .diff-row.head");
  assert.deepEqual(await page.$$eval("#diff .diff-row.head > *", (all) => all.map((each) => each.textContent)), ["Field", "Before", "After"]);
  await page.goto(`${server.url}?view=reviews`);
  await page.waitForSelector("[data-testid=review] [data-testid=review-change]");
  const change = await page.textContent("[data-testid=review] [data-testid=review-change]");
  assert.match(change, /limit.*100.*900/);
});

step("on a phone, Apply is within reach", async () => {
  await page.setViewportSize({ width: 390, height: 760 });
  await open();
  await page.click("#filters-button");
  await until(() => {
    const box = document.querySelector("#filter-apply").getBoundingClientRect();
    return box.bottom <= 760 - 56 && box.top > 300;
  });
  await page.fill("#filter-action", "live");
  await page.click("#filter-apply");
  await address("action", ["live.one"]);
  await page.setViewportSize({ width: 1440, height: 900 });
});

step("a suggestion finds what it names, whatever is in it", async () => {
  const id = `o'neil "the boss", x`;
  await record({ action: "quoted.name", actor: { id, name: "O’Neil" } });
  await open();
  await page.click("#search-input");
  await page.keyboard.type("Actor:boss");
  // Those of what was typed before may still be there.
  await page.waitForSelector("[data-testid=suggestion]:has-text('O’Neil')");
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  await address("actor", [id]);
  await until(() => document.querySelector("#total strong")?.textContent === "1");
});

step("what a button is called has what stands on it, for those who say it aloud", async () => {
  await open();
  const other = await page.$$eval("button[aria-label], a[aria-label]", (all) =>
    all
      .map((each) => [each.innerText.trim().toLowerCase(), each.getAttribute("aria-label").toLowerCase()])
      .filter(([seen, called]) => /\p{L}/u.test(seen) && !called.includes(seen)),
  );
  assert.deepEqual(other, []);
});

step("what the chart says of a bar goes with the focus", async () => {
  await open();
  await page.focus("#histogram");
  await page.keyboard.press("ArrowLeft");
  await page.waitForSelector(".histogram-hint:not([hidden])");
  await page.focus("#search-input");
  await page.waitForSelector(".histogram-hint", { state: "hidden" });
});

step("an event is found by its id, whatever it is, and events of nobody are those of all", async () => {
  await record({ action: "named.stream", id: "stream" });
  await page.goto(`${server.url}?event=stream`);
  await until(() => document.querySelector("#drawer .proof, #fields") && document.querySelector("#drawer").textContent.includes("named.stream"));
  await page.goto(`${server.url}?view=actor`);
  await page.waitForSelector("#total strong");
  assert.equal(await page.$("#actor-page"), null);
});

step("a facet claims no number that it does not know", async () => {
  await open("?action=invoice.*");
  const chosen = "[data-testid=facet][data-value='invoice.*']";
  await page.waitForSelector(chosen);
  assert.equal(await page.textContent(`${chosen} .facet-count`), "");
  assert.doesNotMatch(await page.getAttribute(chosen, "title"), /\d/);
  await open("?outcome=denied&outcome=partial");
  await until(() => document.querySelector("[data-testid=facet][data-value=partial] .facet-count")?.textContent === "0");
});

step("what was typed stays when another filter changes, and what is left out is told", async () => {
  await open();
  await page.fill("#search-input", "not yet searched");
  await page.selectOption("#span-select", "24h");
  await address("since", ["24h"]);
  assert.equal(await page.inputValue("#search-input"), "not yet searched");
  await page.click("#clear-filters");
  await address("since", []);
  assert.equal(await page.inputValue("#search-input"), "");
  await record(Array.from({ length: 25 }, (_, at) => ({ action: "many.names", actor: { id: `robot-${at}` } })));
  await search("actor:robot");
  await page.waitForSelector("#search-hint:not([hidden])");
  assert.match(await page.textContent("#search-hint"), /robot is part of 25 values.*20 most frequent.*missing/);
  await page.click("[data-testid=chip-remove]");
  await page.waitForSelector("#search-hint", { state: "hidden" });
});

step("a search that failed has no number of events", async () => {
  await open();
  await page.route("**/v1/*", (asked) => asked.fulfill({ status: 429, headers: { "Retry-After": "3" }, contentType: "application/problem+json", body: "{}" }));
  await search("some words");
  await page.waitForSelector("#problem");
  await until(() => !document.querySelector("#total.stale"));
  assert.doesNotMatch(await page.textContent("#total"), /\d/);
  await page.unroute("**/v1/*");
  await page.route("**/v1/*", (asked) => asked.fulfill({ contentType: "text/html", body: "<html>sign in</html>" }));
  await search("other words");
  await until(() => /Something else answered/.test(document.querySelector("#problem")?.textContent ?? ""));
  await page.unroute("**/v1/*");
  await open("?since=2026-12-01&until=2026-01-01");
  assert.match(await page.textContent("#empty"), /The end is not later than the beginning/);
});

step("on paper, an event has the page to itself, in dark ink", async () => {
  await open("?action=invoice.update");
  await page.evaluate(() => document.documentElement.setAttribute("data-theme", "dark"));
  await page.click(row);
  await page.waitForSelector("#fields");
  await page.emulateMedia({ media: "print" });
  const { left, overflow, ink } = await page.evaluate(() => ({
    left: document.querySelector("#drawer").getBoundingClientRect().left,
    overflow: getComputedStyle(document.querySelector(".drawer-body")).overflowY,
    ink: getComputedStyle(document.querySelector(".drawer-body h1, .drawer-body h2")).color,
  }));
  await page.emulateMedia({ media: "screen" });
  assert.equal(left, 0);
  assert.equal(overflow, "visible");
  assert.ok(Math.max(...ink.match(/\d+/g).slice(0, 3).map(Number)) < 128, ink);
});

step("nothing went wrong on the way", () => {
  assert.deepEqual(problems, []);
});
