// The review queue beyond the thousand reviews that one answer lists.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { SKIP, launch, newPage, serve } from "./support.mjs";

const REVIEWS = 1030;
const card = "[data-testid=review]";

let folder;
let server;
let browser;
const step = (name, run) => test(name, { skip: SKIP }, run);

before(async () => {
  if (SKIP) return;
  folder = mkdtempSync(join(tmpdir(), "trailseal-reviews-"));
  const [dir, settings, events] = ["trail", "trailseal.toml", "events"].map((name) => join(folder, name));
  writeFileSync(settings, '[[rule]]\nwhen = { action = "refund" }\nreview = "a refund"\n');
  const lines = Array.from({ length: REVIEWS }, (_, at) => JSON.stringify({ id: `e${at}`, action: "refund" }));
  writeFileSync(events, lines.join("\n"));
  const bin = process.env.VIEWER_TEST_BIN;
  execFileSync(bin, ["record", "--dir", dir, "--config", settings, events], { stdio: "ignore" });
  server = await serve(dir, "--config", settings, "--open");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

step("the older reviews come as the reader scrolls", async () => {
  const { page, problems } = await newPage(browser);
  await page.goto(`${server.url}?view=reviews`);
  await page.waitForSelector(card);
  const counted = (count) =>
    page.waitForFunction(([card, count]) => document.querySelectorAll(card).length === count, [card, count]);
  await counted(1000);
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await counted(REVIEWS);
  await page.waitForSelector(`#review-status:has-text("1,030 reviews")`);
  const ids = await page.locator(card).evaluateAll((cards) => cards.map((each) => each.dataset.id));
  assert.equal(new Set(ids).size, REVIEWS);
  // Who decides in the middle stays there.
  const last = page.locator(card).last();
  await last.scrollIntoViewIfNeeded();
  await last.locator("[data-testid=review-reject]").click();
  await page.waitForSelector(`#review-status:has-text("1,029 reviews")`);
  await counted(REVIEWS - 1);
  await page.click("[data-testid=review-tab][data-state=rejected]");
  await page.waitForSelector(`#review-status:has-text("the only review")`);
  await counted(1);
  assert.deepEqual(problems, []);
});
