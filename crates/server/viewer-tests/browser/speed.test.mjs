// The work that the page does, on a trail of VIEWER_TEST_EVENTS events: it is what lag comes from, and the same on every machine.
// How long it takes from input to paint is printed.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EVENTS, SKIP, launch, makeTrail, newPage, row, serve } from "./support.mjs";

// Rows of a page, and in the document at a time.
const PAGE = 50;
const ROWS_MAX = 400;

test("the page does little at a time", { skip: SKIP }, async (context) => {
  const trail = makeTrail();
  const server = await serve(trail.dir, "--open");
  const browser = await launch();
  try {
    const { page, asked } = await newPage(browser);
    await page.addInitScript(() => {
      globalThis.made = 0;
      globalThis.most = 0;
      new MutationObserver((changes) => {
        const isRow = (node) => node.dataset?.testid === "row";
        for (const node of changes.flatMap((change) => [...change.addedNodes])) {
          if (node.querySelectorAll) globalThis.made += isRow(node) + node.querySelectorAll("[data-testid=row]").length;
        }
        globalThis.most = Math.max(globalThis.most, document.querySelectorAll("[data-testid=row]").length);
      }).observe(document, { childList: true, subtree: true });
      globalThis.paints = [];
      new PerformanceObserver((list) =>
        globalThis.paints.push(...list.getEntries().map((entry) => entry.duration)),
      ).observe({ type: "event", durationThreshold: 16, buffered: true });
    });
    // How many rows were made, and how often the server was asked, since the last time.
    let [made, lists] = [0, 0];
    const work = async () => {
      const before = [made, lists];
      made = await page.evaluate(() => globalThis.made);
      lists = asked.filter((url) => /\/v1\/events\?/.test(url)).length;
      return { made: made - before[0], lists: lists - before[1] };
    };
    const times = [];
    const timed = async (what, act, done) => {
      const from = performance.now();
      await act();
      await done();
      times.push([what, Math.round(performance.now() - from)]);
    };
    const rows = (query) =>
      page.waitForFunction(
        (expected) =>
          location.search.includes(expected) &&
          document.querySelector("[data-testid=row]") &&
          !document.querySelector("#list.stale"),
        query,
      );
    await timed(
      "first page",
      () => page.goto(server.url),
      () => page.waitForSelector(row),
    );
    await page.waitForSelector("#total strong");
    const works = [["first page", await work()]];
    for (const outcome of ["denied", "failure", "success"]) {
      await timed(
        `filter ${outcome}`,
        () => page.click(`[data-testid=facet][data-name=outcome][data-value=${outcome}]`),
        () => rows(`outcome=${outcome}`),
      );
      await page.goBack();
      await page.waitForFunction(
        () => !location.search && !document.querySelector("#list.stale") && !document.querySelector("#facets.stale"),
      );
    }
    works.push(["filters", await work()]);
    for (let at = 0; at < 40; at += 1) {
      await page.keyboard.press("j");
      await page.waitForTimeout(15);
    }
    works.push(["keys", await work()]);
    await timed(
      "open",
      () => page.keyboard.press("Enter"),
      () => page.waitForSelector("#event-title"),
    );
    for (let at = 0; at < 20; at += 1) {
      await page.keyboard.press("j");
      await page.waitForTimeout(60);
    }
    await page.keyboard.press("Escape");
    works.push(["open events", await work()]);
    await page.mouse.move(900, 700);
    for (let at = 0; at < 100; at += 1) {
      await page.mouse.wheel(0, 3000);
      await page.waitForTimeout(20);
    }
    works.push(["scrolling", await work()]);
    const paints = (await page.evaluate(() => globalThis.paints)).sort((a, b) => a - b);
    const p95 = paints[Math.floor(paints.length * 0.95)] ?? 0;
    context.diagnostic(
      `${EVENTS} events; ${works.map(([what, { made: rows, lists: asks }]) => `${what}: ${rows} rows, ${asks} asks`).join("; ")}; paint p95 ${p95} ms, longest ${paints.at(-1)} ms of ${paints.length} slow ones; ${times.map((each) => each.join(" ")).join(" ms, ")} ms`,
    );
    // What each may do at most: rows of so many pages, and asks for them and for what comes next.
    const limits = {
      "first page": { made: 2 * PAGE, lists: 3 },
      // Three there, and three back.
      filters: { made: 6 * 2 * PAGE, lists: 6 * 3 },
      // A mark that moves makes no row anew; the next page may come into sight.
      keys: { made: 2 * PAGE, lists: 2 },
      "open events": { made: 2 * PAGE, lists: 2 },
      // Each row once, each page once.
      scrolling: { made: EVENTS, lists: EVENTS / PAGE + 2 },
    };
    for (const [what, done] of works) {
      const allowed = limits[what];
      assert.ok(done.made <= allowed.made && done.lists <= allowed.lists, `${what}: ${JSON.stringify({ done, allowed })}`);
    }
    assert.ok(works.at(-1)[1].made > 0, "nothing was scrolled");
    const most = await page.evaluate(() => globalThis.most);
    assert.ok(most <= ROWS_MAX, `${most} rows at a time`);
  } finally {
    await browser.close();
    await server.stop();
    trail.remove();
  }
});
