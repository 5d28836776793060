// Drives every control of the viewer in Chromium, and compares what it shows with `trailseal query`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import { SKIP, launch, makeTrail, newPage, proofState, repeated, row, serve, trailseal } from "./support.mjs";

const CHANGED = {
  id: "viewer-changed",
  tenant: "acme",
  action: "invoice.update",
  category: "data_change",
  actor: { id: "u-ana", name: "Ana Sousa", type: "user" },
  resource: { type: "invoice", id: "2026/0042" },
  before: { amount: 100, address: { city: "Lisbon" } },
  after: { amount: 120, address: { city: "Porto" }, due: "2026-12-05" },
  context: { ip: "203.0.113.9", request_id: "req-1", correlation_id: "c-1", session_id: "s-1", trace_id: "t-1" },
  on_behalf_of: { id: "u-bo" },
  severity: "warning",
  outcome: "partial",
};

const UNSAID = { id: "viewer-unsaid", action: "report.open", actor: "u-cy", resource: "report/unsaid" };

let trail;
let server;
let browser;
let page;
let problems;
let asked;
const count = (...flags) => Number(trailseal(trail.dir, "query", "--count", ...flags));
const total = async () => Number((await page.textContent("#total strong")).replaceAll(",", ""));
const open = async (search) => {
  await page.goto(server.url + search);
  await page.waitForSelector(`${row}, #empty, #problem`);
  await page.waitForSelector("#total strong");
};
const search = (name, value) =>
  page.waitForFunction(([n, v]) => new URLSearchParams(location.search).get(n) === v, [name, value]);
const step = (name, run) => test(name, { skip: SKIP }, run);

before(async () => {
  if (SKIP) return;
  trail = makeTrail([CHANGED, UNSAID]);
  server = await serve(trail.dir, "--open");
  browser = await launch();
  ({ page, problems, asked } = await newPage(browser));
});

after(async () => {
  await browser?.close();
  await server?.stop();
  trail?.remove();
});

step("every filter finds what the command line finds", async () => {
  const filters = {
    tenant: "acme",
    actor: "Ana Sousa",
    on_behalf_of: "u-bo",
    action: "invoice.*",
    category: "data_change",
    resource: "invoice/2026/0042",
    outcome: "denied",
    severity: "warning",
    ip: "203.0.113.9",
    correlation_id: "c-1",
    request_id: "req-1",
    session_id: "s-1",
    trace_id: "t-1",
    since: "2023-01-01",
    until: "2024-01-01",
    text: "system:anonymous",
    id: "viewer-changed",
  };
  for (const [name, value] of Object.entries(filters)) {
    await open(`?${new URLSearchParams({ [name]: value })}`);
    const expected = count(`--${name.replaceAll("_", "-")}=${value}`);
    assert.equal(await total(), expected, name);
    assert.equal(await page.locator(row).count(), Math.min(expected, 50), name);
    assert.ok(expected > 0, name);
  }
  const newest = JSON.parse(trailseal(trail.dir, "query", "--outcome=denied", "--limit=1", "--format=jsonl"));
  await open("?outcome=denied");
  assert.equal(await page.getAttribute(row, "data-index"), String(newest.index));
});

step("the panel, the search field, facets, chips and the back button set filters", async () => {
  await open("");
  await page.keyboard.press("/");
  await page.keyboard.type("anonymous outcome:denied");
  await page.keyboard.press("Enter");
  await search("text", "anonymous");
  await search("outcome", "denied");
  await page.goBack();
  await search("text", null);
  await page.click("[data-testid=facet][data-name=outcome][data-value=denied]");
  await search("outcome", "denied");
  await page.waitForSelector("[data-testid=facet][data-value=denied][aria-pressed=true]");
  await page.click("[data-testid=chip-remove]");
  await search("outcome", null);
  await page.click("#filters-button");
  await page.fill("#filter-actor", "u-ana");
  await page.fill("#filter-since", "2026-01-01 10:00");
  await page.click("#filter-apply");
  await search("since", "2026-01-01T09:00:00.000Z");
  await search("actor", "u-ana");
  await page.click("#clear-filters");
  await search("actor", null);
  await page.selectOption("#span-select", "24h");
  await search("since", "24h");
});

step("facets of a search that was left change the search that is asked", async () => {
  await open("");
  let counted = () => {};
  const held = new Promise((resolve) => (counted = resolve));
  await page.route("**/v1/summary*", async (asking) => {
    await held;
    await asking.continue().catch(() => {}); // The page has given up the first of them.
  });
  await page.click("[data-testid=facet][data-name=outcome][data-value=denied]");
  await search("outcome", "denied");
  await page.click("[data-testid=facet][data-name=category]");
  await page.waitForFunction(() => new URLSearchParams(location.search).has("category"));
  await search("outcome", "denied");
  counted();
  await page.waitForSelector("[data-testid=facet][data-value=denied][aria-pressed=true]");
  await page.unroute("**/v1/summary*");
});

step("an event that is opened before the counts are there does not keep them away", async () => {
  await open("");
  let counted = () => {};
  const held = new Promise((resolve) => (counted = resolve));
  await page.route("**/v1/summary*", async (asking) => {
    await held;
    await asking.continue().catch(() => {}); // The page may have given it up.
  });
  await page.click("[data-testid=facet][data-name=outcome][data-value=denied]");
  await search("outcome", "denied");
  await page.click("[data-testid=row]");
  await page.waitForSelector("#drawer");
  counted();
  // Beside an open event the facets are hidden.
  await page.waitForSelector("[data-testid=facet][data-value=denied][aria-pressed=true]", { state: "attached" });
  await page.unroute("**/v1/summary*");
});

step("the trail's own events and the order are chosen", async () => {
  await open("");
  await page.click("#filters-button");
  await page.check("#system-toggle");
  await search("system", "true");
  await page.selectOption("#order-select", "asc");
  await search("order", "asc");
  await page.selectOption("#order-by-select", "recorded");
  await search("order_by", "recorded");
  await page.waitForFunction(() => document.querySelector("[data-testid=row]")?.dataset.index === "0");
});

step("dragging over the bars zooms in, and the button out", async () => {
  await open("");
  await page.waitForSelector("[data-testid=bar]");
  const bars = await page.$$eval("[data-testid=bar]", (all) =>
    all.reduce((sum, bar) => sum + Number(bar.dataset.count), 0),
  );
  assert.equal(bars, count());
  const box = await page.locator("#histogram").boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 30);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width - 2, box.y + 30, { steps: 6 });
  await page.mouse.up();
  await page.waitForFunction(() => location.search.includes("since="));
  const { since, until } = Object.fromEntries(new URL(page.url()).searchParams);
  const zoomed = count(`--since=${since}`, `--until=${until}`);
  assert.ok(zoomed < count());
  await page.waitForFunction(
    (expected) =>
      !document.querySelector("#total.stale") &&
      document.querySelector("#total strong")?.textContent.replaceAll(",", "") === expected,
    String(zoomed),
  );
  await page.click("#zoom-out");
  await search("since", null);
});

step("an event that names no outcome shows none, and is found by that", async () => {
  await open("?resource=report/unsaid");
  assert.equal(await page.textContent(`${row} .outcome`), "");
  const facet = "[data-testid=facet][data-name=outcome][data-value=none]";
  assert.match(await page.textContent(facet), /^—/);
  await page.click(facet);
  await search("outcome", "none");
  assert.equal(await total(), 1);
  await page.click(row);
  await page.waitForSelector("#event-title");
  assert.equal(await page.locator(".event-marks .outcome").count(), 0);
});

step("the list loads more as it is scrolled, and keeps few rows in the document", async () => {
  await open("?outcome=success");
  await page.mouse.move(900, 700);
  const further = async () => {
    await page.mouse.wheel(0, 4000);
    await page.waitForTimeout(80);
  };
  await repeated(further, async () => (await page.locator("#list > .page").count()) > 10);
  await page.waitForFunction(() => document.querySelectorAll("[data-testid=row]").length <= 400);
});

step("keys move through the list, open and close", async () => {
  await open("");
  for (const key of ["j", "j", "Enter"]) await page.keyboard.press(key);
  await page.waitForSelector("#event-title");
  const first = new URL(page.url()).searchParams.get("event");
  await page.keyboard.press("j");
  await page.waitForFunction((before) => new URLSearchParams(location.search).get("event") !== before, first);
  await page.keyboard.press("k");
  await search("event", first);
  await page.keyboard.press("Escape");
  await page.waitForSelector("#drawer", { state: "hidden" });
  await page.keyboard.press("?");
  await page.waitForSelector("#help");
  await page.click("#help-close");
});

step("an event shows its changes, its fields, its line and its proof", async () => {
  await open("?id=viewer-changed");
  await page.click(row);
  assert.equal(await proofState(page), "proven", await page.textContent("#proof"));
  const paths = await page.$$eval("[data-testid=diff-row]", (rows) => rows.map((each) => each.dataset.path));
  assert.deepEqual(paths, ["amount", "address.city", "due"]);
  assert.equal(await page.textContent("[data-testid=field][data-path='context.ip'] .field-value bdi"), "203.0.113.9");
  await page.click("#raw-copy");
  const line = trailseal(trail.dir, "query", "--id=viewer-changed", "--format=jsonl").trimEnd();
  await page.waitForFunction(async (expected) => (await navigator.clipboard.readText()) === expected, line);
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#proof-download")]);
  const key = trailseal(trail.dir, "key", "show").split("\n")[0];
  assert.match(trailseal(trail.dir, "verify", "--proof", await saved.path(), "--public-key", key), /viewer-changed/);
  await page.click("[data-testid=filter-by][data-name=ip]", { force: true });
  await search("ip", "203.0.113.9");
});

step("a resource's history and an actor's trail", async () => {
  await open("?id=viewer-changed");
  await page.click(row);
  await page.click("#event-resource");
  await page.waitForSelector("[data-testid=history-event]");
  await page.waitForFunction(() => document.querySelector("#history").textContent.includes("Lisbon"));
  await page.goBack();
  await page.click("#event-actor");
  await page.waitForFunction(
    (expected) => document.querySelector("#actor-page .card .figure")?.textContent === expected,
    String(count("--actor=u-ana")),
  );
});

step("what is shown is exported", async () => {
  await open("?outcome=denied");
  for (const [kind, lines] of [
    ["csv", 2],
    ["ndjson", 1],
  ]) {
    await page.click("#export-button");
    const [saved] = await Promise.all([page.waitForEvent("download"), page.click(`#export-${kind}`)]);
    const text = readFileSync(await saved.path(), "utf8");
    assert.ok(text.trim().split("\n").length >= count("--outcome=denied") + lines - 1, kind);
    await page.waitForSelector("#export-menu", { state: "detached" });
  }
});

step("new events appear while live, and wait while the reader is further down", async () => {
  const post = async (action) => {
    const answer = await fetch(`${server.url}v1/events?ack=durable`, {
      method: "POST",
      body: JSON.stringify({ action }),
    });
    assert.equal(answer.status, 202);
  };
  await open("");
  await page.click("#live-button");
  await page.waitForSelector("#live-state[data-state=live]", { state: "attached" });
  await post("viewer.live");
  await page.waitForFunction(() =>
    document.querySelector("[data-testid=row] .action")?.textContent.includes("viewer.live"),
  );
  await page.mouse.move(900, 700);
  await repeated(
    () => page.mouse.wheel(0, 3000),
    () => page.evaluate(() => scrollY > 2000),
  );
  await post("viewer.later");
  await page.click("#new-events");
  await page.waitForFunction(() =>
    document.querySelector("[data-testid=row] .action")?.textContent.includes("viewer.later"),
  );
  await page.click("#live-button");
  await page.waitForSelector("#live-state[data-state=off]", { state: "attached" });
});

step("a late event is marked, one of the future does not own page one, and a live list goes by recording", async () => {
  const record = async (event) => {
    const answer = await fetch(`${server.url}v1/events?ack=durable`, { method: "POST", body: JSON.stringify(event) });
    assert.equal(answer.status, 202);
  };
  await record({ action: "order.future", time: "2099-01-01T00:00:00Z" });
  await record({ action: "order.late", time: "2026-01-01T00:00:00Z" });
  await record({ action: "order.now" });
  await open("?action=order.*");
  const shown = () =>
    page.$$eval("[data-testid=row]", (rows) =>
      rows.map((each) => [
        each.querySelector(".action").textContent,
        each.querySelector("[data-testid=timing]")?.textContent ?? "",
      ]),
    );
  assert.deepEqual(await shown(), [
    ["order.now", ""],
    ["order.future", "ahead"],
    ["order.late", "late"],
  ]);
  assert.match(await page.textContent("#total"), /newest first/);
  await page.click("#live-button");
  await search("order_by", "recorded");
  await page.waitForFunction(() => document.querySelector("#total")?.textContent.includes("last recorded first"));
  await page.waitForFunction(
    () => document.querySelectorAll("[data-testid=row]")[1]?.textContent.includes("order.late"),
  );
  await page.click("#live-button");
});

step("the seal is checked here, the key is kept, and a proof that was sent is judged", async () => {
  await page.goto(`${server.url}?view=seal`);
  await page.waitForSelector("#seal-state[data-state=proven]");
  await page.fill("#verify-id", "viewer-changed");
  await page.click("#verify-button");
  await page.waitForSelector("#verify-result #proof[data-state=proven]");
  await page.fill("#key-input", "rubbish");
  await page.click("#key-save");
  await page.waitForSelector(".key-form .form-error:not(:empty)");
  await page.fill("#key-input", trailseal(trail.dir, "key", "show").split("\n")[0]);
  await page.click("#key-save");
  await page.waitForFunction(() => document.querySelector(".kept-key h3")?.textContent === "Your key");
  await page.fill("#proof-paste", trailseal(trail.dir, "prove", "1"));
  await page.click("#proof-paste-check");
  await page.waitForSelector("#proof-paste-result [data-state=proven]");
});

step("an event is flagged, and the review decided", async () => {
  await open("?id=viewer-changed");
  await page.click(row);
  assert.equal(await proofState(page), "proven");
  await page.click("#event-flag");
  await page.fill("#flag-reason", "a test looks at it");
  await page.fill("#flag-confidence", "80");
  await page.click("#flag-send");
  await page.waitForSelector("#flag-form", { state: "detached" });
  await page.goto(`${server.url}?view=reviews`);
  await page.waitForSelector("[data-testid=review]");
  await page.fill("[data-testid=review-comment]", "it is fine");
  await page.click("[data-testid=review-approve]");
  await page.waitForSelector("[data-testid=review]", { state: "detached" });
  await page.click("[data-testid=review-tab][data-state=approved]");
  await page.waitForSelector("[data-testid=review][data-state=approved]");
});

step("health, time zone and colours", async () => {
  await page.goto(`${server.url}?view=health`);
  await page.waitForSelector("[data-testid=stat]");
  // What it finds while the disk is busy passes.
  await page.waitForSelector("#health-state[data-health=good]");
  await open("");
  const local = await page.textContent(`${row} time`);
  await page.click("#zone-toggle");
  await page.waitForFunction((before) => document.querySelector("[data-testid=row] time").textContent !== before, local);
  await page.click("#theme-toggle");
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
});

step("a wrong filter is told in plain words", async () => {
  await page.goto(`${server.url}?since=rubbish`);
  assert.match(await page.textContent("#problem"), /rubbish/);
});

step("nothing went wrong, nothing was asked elsewhere, and the server's own verdict never", () => {
  assert.deepEqual(problems, []);
  assert.deepEqual(
    asked.filter((url) => !url.startsWith(server.url) && !url.startsWith("blob:")),
    [],
  );
  assert.deepEqual(
    asked.filter((url) => new URL(url).pathname.endsWith("/verify")),
    [],
  );
});
