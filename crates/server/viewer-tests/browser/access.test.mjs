// Sign-in by token: kept in the tab, never in an address or a cookie; and a page without WebCrypto.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { SKIP, launch, makeTrail, newPage, proofState, row, serve, trailseal } from "./support.mjs";

let trail;
let server;
let browser;
let token;
const step = (name, run) => test(name, { skip: SKIP }, run);

before(async () => {
  if (SKIP) return;
  trail = makeTrail();
  process.env.TRAILSEAL_REVIEW__SECOND_PERSON = "policy";
  server = await serve(trail.dir);
  token = /tsl_[A-Za-z0-9_-]{20,}/.exec(server.output.join("\n"))?.[0];
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.stop();
  trail?.remove();
});

step("a token is asked for, tried, kept in the tab, and given up", async () => {
  const { page, asked, problems } = await newPage(browser);
  await page.goto(`${server.url}?outcome=denied`);
  await page.fill("#token-input", "tsl_wrong_wrong_wrong_wrong");
  await page.click("#sign-in-button");
  await page.waitForSelector("#sign-in-error:not(:empty)");
  await page.fill("#token-input", token);
  await page.click("#sign-in-button");
  await page.waitForSelector(row);
  assert.equal(new URL(page.url()).search, "?outcome=denied");
  assert.equal(await page.evaluate(() => sessionStorage.getItem("trailseal.token")), token);
  await page.reload();
  await page.waitForSelector(row);
  assert.deepEqual(await page.context().cookies(), []);
  assert.deepEqual(
    asked.filter((url) => url.includes(token)),
    [],
  );
  await page.click("#sign-out");
  await page.waitForSelector("#sign-in");
  assert.equal(await page.evaluate(() => sessionStorage.getItem("trailseal.token")), null);
  assert.deepEqual(problems, []);
});

step("a token in the fragment is taken over and removed from the address", async () => {
  const { page } = await newPage(browser);
  await page.goto(`${server.url}?outcome=denied#token=${token}`);
  await page.waitForSelector(row);
  assert.equal(new URL(page.url()).hash, "");
  assert.equal(await page.evaluate(() => sessionStorage.getItem("trailseal.token")), token);
});

step("another token in the fragment takes the place of the one before, also where a token is asked for", async () => {
  const { page, problems } = await newPage(browser);
  const shown = async (pattern) => {
    await page.waitForFunction((wanted) => new RegExp(wanted).test(document.querySelector("#total strong")?.textContent ?? ""), pattern);
  };
  const viewer = async (tenant) => {
    const body = JSON.stringify({ tenant, ttl_seconds: 600 });
    const answer = await fetch(`${server.url}v1/viewer-tokens`, { method: "POST", headers: { Authorization: `Bearer ${token}` }, body });
    return (await answer.json()).token;
  };
  await page.goto(`${server.url}#token=${await viewer("nobody-has-this")}`);
  await shown("^0$");
  // As a product does whose frame shows a token that is about to expire.
  await page.evaluate((next) => location.assign(next), `#token=${token}`);
  await shown("^[1-9]");
  await page.evaluate(() => location.assign("#token=tsl_wrong_wrong_wrong_wrong"));
  await page.waitForSelector("#sign-in");
  await page.evaluate((next) => location.assign(next), `#token=${token}`);
  await shown("^[1-9]");
  assert.equal(new URL(page.url()).hash, "");
  assert.deepEqual(problems, []);
});

step("who may only review signs in to the reviews, and who may neither is told", async () => {
  const made = async (scope) => trailseal(trail.dir, "token", "create", `only-${scope}`, "--scope", scope).trim();
  const { page } = await newPage(browser);
  await page.goto(server.url);
  await page.fill("#token-input", await made("write"));
  await page.click("#sign-in-button");
  await page.waitForSelector("#sign-in-error:not(:empty)");
  const reviewer = await made("review");
  await page.fill("#token-input", reviewer);
  await page.click("#sign-in-button");
  await page.waitForSelector("#review-status");
  assert.equal(new URL(page.url()).search, "?view=reviews");
  assert.equal(await page.isVisible("#problem"), false);
  // A link to other reviews than the pending ones stays what it is.
  await page.click("#sign-out");
  await page.goto(`${server.url}?view=reviews&state=approved`);
  await page.fill("#token-input", reviewer);
  await page.click("#sign-in-button");
  await page.waitForSelector("[data-testid=review-tab][data-state=approved][aria-selected=true]");
  assert.equal(new URL(page.url()).search, "?view=reviews&state=approved");
});

step("without WebCrypto nothing is called checked", async () => {
  const { page } = await newPage(browser);
  await page.addInitScript(() => Object.defineProperty(Crypto.prototype, "subtle", { value: undefined }));
  await page.goto(`${server.url}#token=${token}`);
  await page.click(row);
  await page.waitForSelector("#proof[data-state=unchecked]");
  assert.match(await page.textContent("#proof"), /Not checked here/);
});

step("a viewer token shows its tenant alone, and believes no key by itself", async () => {
  const answer = await fetch(`${server.url}v1/viewer-tokens`, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}` },
    body: JSON.stringify({ tenant: "my-org", ttl_seconds: 600 }),
  });
  assert.equal(answer.status, 201);
  const { page } = await newPage(browser);
  await page.goto(`${server.url}#token=${(await answer.json()).token}`);
  await page.click(row);
  await page.waitForSelector("#total strong");
  const expected = trailseal(trail.dir, "query", "--count", "--tenant=my-org").trim();
  assert.equal((await page.textContent("#total strong")).replaceAll(",", ""), expected);
  assert.equal(await proofState(page), "no_key");
  await page.click("#nav-health");
  await page.waitForSelector("#problem");
});

step("a weaker policy is shown to a second person, who puts it in force", async () => {
  const ask = (path, method, body, as = token) =>
    fetch(`${server.url}v1/${path}`, { method, headers: { Authorization: `Bearer ${as}` }, body });
  const timeout = `timeout_ms = ${process.env.TRAILSEAL_TIMEOUT_MS}\n`;
  assert.equal((await ask("policy", "PUT", `mode = "off"\n${timeout}`)).status, 202);
  const scopes = ["read", "review", "admin"];
  const desk = await (await ask("tokens", "POST", JSON.stringify({ name: "desk", scopes }))).json();
  const card = "[data-testid=review][data-kind=policy]";
  const look = async (as) => {
    const { page } = await newPage(browser);
    await page.goto(`${server.url}?view=reviews#token=${as}`);
    await page.waitForSelector(card);
    return page;
  };
  const own = await look(token);
  await own.click("[data-testid=review-approve]");
  await own.waitForFunction(() => /second person/.test(document.querySelector(".form-error:not(:empty)")?.textContent));
  const page = await look(desk.token);
  assert.match(await page.textContent(card), /all other events: mode async becomes off/);
  assert.equal(await page.textContent("[data-testid=review-change] del"), '− mode = "async"');
  assert.equal(await page.textContent("[data-testid=review-change] ins"), '+ mode = "off"');
  await page.click("[data-testid=review-approve]");
  await page.waitForSelector(card, { state: "detached" });
  assert.equal(await (await ask("policy", "GET")).text(), `mode = "off"\n${timeout}`);
});
