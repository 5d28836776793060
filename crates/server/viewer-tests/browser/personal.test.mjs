// Personal values in the page: a word for whoever may not see them, the values for whoever may, another word once the person is
// erased; and what is shown is proven in each case.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { SKIP, launch, newPage, proofState, row, serve } from "./support.mjs";

const PLAIN = "Zq7Rhubarb";
const SETTINGS = `[[personal]]
fields = ["actor.name", "actor.email", "details.contact", "before.phone", "after.phone"]
subject = "actor.id"
[[personal]]
field = "context.ip"
subject = "actor.id"
searchable = true
`;
const event = (who) => ({
  action: "user.update",
  id: `e-${who}`,
  actor: { id: who, name: `${PLAIN} ${who}`, email: `${who}@${PLAIN}.example` },
  resource: { type: "user", id: who },
  before: { phone: `${PLAIN} 1`, plan: "free" },
  after: { phone: `${PLAIN} 2`, plan: "paid" },
  details: { contact: { phone: PLAIN, hours: [8, 17] }, note: "nothing of anybody" },
  context: { ip: "192.0.2.7" },
});

let folder;
let dir;
let server;
let browser;
let seeing;
let blind;
const step = (name, run) => test(name, { skip: SKIP }, run);

before(async () => {
  if (SKIP) return;
  folder = mkdtempSync(join(tmpdir(), "trailseal-viewer-"));
  dir = join(folder, "trail");
  const config = join(folder, "trailseal.toml");
  writeFileSync(config, SETTINGS);
  server = await serve(dir, "--config", config);
  const first = /tsl_[A-Za-z0-9_-]{20,}/.exec(server.output.join("\n"))[0];
  const headers = { Authorization: `Bearer ${first}` };
  const post = async (path, body) => {
    const answer = await fetch(server.url + path, { method: "POST", headers, body: JSON.stringify(body) });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
    return answer.json();
  };
  await post("v1/events?ack=durable", ["u-ann", "u-bob"].map(event));
  seeing = (await post("v1/tokens", { name: "seeing", scopes: ["read", "personal"] })).token;
  blind = (await post("v1/tokens", { name: "blind", scopes: ["read"] })).token;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

const shot = async (page, name) => {
  // For whoever wants to look.
  const place = process.env.VIEWER_TEST_SHOTS;
  if (place) await page.screenshot({ path: join(place, `${name}.png`), fullPage: true });
};

/** Opens the event of this person, and answers all that the page says. */
const opened = async (page, who) => {
  await page.goto(`${server.url}?actor=${who}`);
  await page.click(row);
  assert.equal(await proofState(page), "proven");
  return page.evaluate(() => document.body.innerText);
};

const signedIn = async (token) => {
  const { page, problems } = await newPage(browser);
  await page.goto(`${server.url}#token=${token}`);
  await page.waitForSelector(row);
  return { page, problems };
};

step("whoever may not see personal values sees a word, and that it is proven what stands for it", async () => {
  const { page, problems } = await signedIn(blind);
  const text = await opened(page, "u-ann");
  await shot(page, "blind");
  assert.ok(text.includes("erasable") && !text.includes(PLAIN) && !text.includes("erasable:"), text);
  assert.match(await page.textContent("#proof"), /Sealed as shown, but for the personal values/);
  // That something was changed stays visible; what nobody could find is no link.
  assert.match(await page.textContent("#diff"), /phone/);
  assert.equal(await page.locator('a[href*="ip=erasable"]').count(), 0);
  assert.deepEqual(problems, []);
});

step("whoever may see them does", async () => {
  const { page, problems } = await signedIn(seeing);
  const text = await opened(page, "u-ann");
  await shot(page, "seeing");
  for (const value of [`${PLAIN} u-ann`, `u-ann@${PLAIN}.example`, `${PLAIN} 1`, `${PLAIN} 2`, "192.0.2.7"]) {
    assert.ok(text.includes(value), `${value}: ${text}`);
  }
  assert.ok(!text.includes("erasable:") && !text.includes("hmac:"), text);
  assert.deepEqual(problems, []);
});

step("after an erasure nobody sees them, and what is shown is proven still", async () => {
  execFileSync(process.env.VIEWER_TEST_BIN, ["erase", "--dir", dir, "--subject", "u-ann"], { stdio: "ignore" });
  const { page, problems } = await signedIn(seeing);
  const text = await opened(page, "u-ann");
  await shot(page, "erased");
  assert.ok(text.includes("erased") && !text.includes(`${PLAIN} u-ann`), text);
  assert.ok((await opened(page, "u-bob")).includes(`${PLAIN} u-bob`), "the other's stay");
  assert.deepEqual(problems, []);
});
