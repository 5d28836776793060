// Events full of markup, and a proxy that alters what the server says: shown as text, and found.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { SKIP, alteringProxy, launch, makeTrail, newPage, proofState, row, serve } from "./support.mjs";

const BAIT = '"><img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)>javascript:alert(4)';
const HOSTILE = {
  id: "hostile/../?a=b#c",
  tenant: BAIT,
  category: "custom:other",
  action: BAIT,
  description: `\u202e${BAIT}`,
  error: { code: BAIT, message: BAIT },
  actor: { id: BAIT, name: BAIT, type: BAIT, roles: [BAIT] },
  on_behalf_of: { id: BAIT, reason: BAIT },
  resource: { type: "<b>/", id: BAIT, name: BAIT },
  related: [{ type: BAIT, id: BAIT }],
  before: { [BAIT]: BAIT, __proto__x: 1 },
  after: { [BAIT]: `${BAIT}!`, constructor: 2 },
  details: { [BAIT]: { deep: [BAIT, null] } },
  approval: BAIT,
  context: { ip: BAIT, user_agent: BAIT, request_id: BAIT, correlation_id: BAIT },
  [BAIT]: BAIT,
};

let trail;
let server;
let browser;
const step = (name, run) => test(name, { skip: SKIP }, run);

before(async () => {
  if (SKIP) return;
  trail = makeTrail([HOSTILE]);
  server = await serve(trail.dir, "--open");
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
  trail?.remove();
});

step("markup in events is text", async () => {
  const { page, problems } = await newPage(browser);
  const clean = async () =>
    assert.equal(
      await page.evaluate(
        () =>
          document.querySelectorAll("main script, main img, #drawer script, #drawer img, [onerror], [onload]").length,
      ),
      0,
    );
  await page.goto(`${server.url}?text=onerror`);
  await page.click(row);
  assert.equal(await proofState(page), "proven", await page.textContent("#proof"));
  await page.click("#diff-all");
  await clean();
  await page.click("#event-flag");
  await page.fill("#flag-reason", BAIT);
  await page.click("#flag-send");
  await page.waitForSelector("#flag-form", { state: "detached" });
  await page.click("#event-resource");
  await page.waitForSelector("[data-testid=history-event], .list-status span");
  await clean();
  await page.goBack();
  await page.click("#event-actor");
  await page.waitForSelector("#actor-page .figure");
  await clean();
  await page.goto(`${server.url}?view=reviews`);
  await page.waitForSelector("[data-testid=review]");
  await clean();
  await page.goto(`${server.url}?${new URLSearchParams({ text: BAIT, actor: BAIT, view: "__proto__", event: BAIT })}`);
  await page.waitForTimeout(500);
  await clean();
  assert.deepEqual(problems, []);
});

const ALTERED = {
  "the line": (path, text) =>
    /^\/v1\/events\/\d+$/.test(path) ? text.replace('"outcome":"', '"outcome" :"') : undefined,
  "a word of the line": (path, text) => (/^\/v1\/events\/\d+$/.test(path) ? text.replace('"v":1', '"v":2') : undefined),
  "the origin": (path, text) =>
    /^\/v1\/events\/\d+$/.test(path) ? text.replace('{"origin":"', '{"origin":"x') : undefined,
  "the list": (path, text) =>
    path === "/v1/events"
      ? text
          .replaceAll('"severity":"info"', '"severity":"debug"')
          .replaceAll('"severity":"warning"', '"severity":"debug"')
      : undefined,
  "the proven line": (path, text) =>
    path.endsWith("/proof")
      ? text.replace(/^extra (.{200})(.)/m, (_, head, char) => `extra ${head}${char === "A" ? "B" : "A"}`)
      : undefined,
  "a hash of the path": (path, text) =>
    path.endsWith("/proof")
      ? text.replace(/(\nindex \d+\n.{9})(.)/, (_, head, char) => head + (char === "A" ? "B" : "A"))
      : undefined,
  "the checkpoint's size": (path, text) =>
    path.endsWith("/proof") ? text.replace(/\n\n(\S+)\n(\d+)/, "\n\n$1\n$21") : undefined,
  "the checkpoint's root": (path, text) =>
    path.endsWith("/proof")
      ? text.replace(/(\n\n\S+\n\d+\n.{9})(.)/, (_, head, char) => head + (char === "A" ? "B" : "A"))
      : undefined,
  "the signature": (path, text) =>
    path.endsWith("/proof")
      ? text.replace(/(— \S+ .{40})(.)/, (_, head, char) => head + (char === "A" ? "B" : "A"))
      : undefined,
};

for (const [what, alter] of Object.entries(ALTERED)) {
  step(`that a proxy altered ${what} is said, without asking the server`, async () => {
    const { page, asked } = await newPage(browser);
    let isOn = false;
    let altered = 0;
    const proxy = await alteringProxy(server.url, (path, text) => {
      const other = isOn ? alter(path, text) : undefined;
      if (other !== undefined && other !== text) altered += 1;
      return other;
    });
    try {
      // A first visit, while nobody meddles, makes the browser keep the key.
      await page.goto(`${proxy.url}?view=seal`);
      await page.waitForSelector("#seal-state[data-state=proven]");
      isOn = true;
      await page.goto(`${proxy.url}?outcome=denied`);
      await page.click(row);
      assert.equal(await proofState(page), "failed");
      assert.ok(altered > 0);
      assert.ok((await page.textContent("#proof .failure")).length > 20);
      assert.deepEqual(
        asked.filter((url) => new URL(url).pathname.endsWith("/verify")),
        [],
      );
    } finally {
      await page.context().close();
      proxy.stop();
    }
  });
}

step("a past that was rewritten between two visits is said on the seal page", async () => {
  const { page } = await newPage(browser);
  await page.goto(`${server.url}?view=seal`);
  await page.waitForSelector("#seal-state[data-state=proven]");
  await page.evaluate(() => {
    const kept = JSON.parse(localStorage.getItem("trailseal.checkpoints"));
    for (const each of Object.values(kept)) each.root = btoa("x".repeat(32));
    localStorage.setItem("trailseal.checkpoints", JSON.stringify(kept));
  });
  await page.reload();
  await page.waitForSelector("#seal-state[data-state=failed]");
  assert.match(await page.textContent("#seal-state"), /rewritten/);
});

step("a key that is named later is not believed by itself", async () => {
  const { page } = await newPage(browser);
  await page.goto(`${server.url}?view=seal`);
  await page.waitForSelector("#seal-state[data-state=proven]");
  await page.click("#key-forget");
  await page.waitForSelector("#seal-state[data-state=no_key]");
  await page.goto(`${server.url}?event=1`);
  assert.equal(await proofState(page), "no_key");
  await page.goto(`${server.url}?view=seal`);
  await page.click("#key-accept");
  await page.waitForSelector("#seal-state[data-state=proven]");
});
