// From input to paint, on a trail of VIEWER_TEST_EVENTS events: 95 of 100 within 300 ms.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EVENTS, SKIP, launch, makeTrail, newPage, row, serve } from "./support.mjs";

const PAINT_MS = 300;

test("no lag", { skip: SKIP }, async (context) => {
  const trail = makeTrail();
  const server = await serve(trail.dir, "--open");
  const browser = await launch();
  try {
    const { page } = await newPage(browser);
    await page.addInitScript(() => {
      globalThis.paints = [];
      new PerformanceObserver((list) =>
        globalThis.paints.push(...list.getEntries().map((entry) => entry.duration)),
      ).observe({ type: "event", durationThreshold: 16, buffered: true });
    });
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
    for (let at = 0; at < 40; at += 1) {
      await page.keyboard.press("j");
      await page.waitForTimeout(15);
    }
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
    await page.mouse.move(900, 700);
    for (let at = 0; at < 100; at += 1) {
      await page.mouse.wheel(0, 3000);
      await page.waitForTimeout(20);
    }
    const paints = (await page.evaluate(() => globalThis.paints)).sort((a, b) => a - b);
    const p95 = paints[Math.floor(paints.length * 0.95)] ?? 0;
    context.diagnostic(
      `${EVENTS} events; paint p95 ${p95} ms, longest ${paints.at(-1)} ms of ${paints.length} slow ones; ${times.map((each) => each.join(" ")).join(" ms, ")} ms`,
    );
    assert.ok(p95 <= PAINT_MS, `${p95} ms`);
    assert.ok((await page.locator(row).count()) <= 400);
  } finally {
    await browser.close();
    await server.stop();
    trail.remove();
  }
});
