// Evidence without a terminal, in Chromium: what Export saves, and the page that checks it in the browser alone.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { onePage } from "../../check-page.mjs";
import { SKIP, launch, newPage, row, serve, toasted, trailseal } from "./support.mjs";

const BIN = process.env.VIEWER_TEST_BIN;
const step = (name, run) => test(name, { skip: SKIP }, run);

let folder;
let dir;
let server;
let browser;
let page;
let problems;
let asked;
const place = (name) => join(folder, name);

before(async () => {
  if (SKIP) return;
  folder = mkdtempSync(join(tmpdir(), "trailseal-evidence-"));
  dir = place("trail");
  server = await serve(dir, "--open");
  const events = Array.from({ length: 300 }, (_, at) => ({ action: `step.${at % 3}`, actor: { id: `u-${at % 2}` }, before: { n: at }, after: { n: at + 1 } }));
  await fetch(`${server.url}v1/events?ack=store`, { method: "POST", body: JSON.stringify(events) });
  browser = await launch();
  ({ page, problems, asked } = await newPage(browser));
  // Sealed about a second later.
  await page.goto(server.url);
  await page.waitForFunction(async () => {
    const { origins } = await (await fetch("v1/origins")).json();
    return origins[0].sealed >= 301;
  });
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

async function saved(kind, search, { json = false } = {}) {
  await page.goto(`${server.url}${search}`);
  await page.waitForSelector(row);
  await page.click("#export-button");
  await page.waitForSelector("#export-count strong");
  const count = Number(await page.textContent("#export-count strong"));
  if (json) await page.check("#export-json-columns");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click(`#export-${kind}`)]);
  const path = place(download.suggestedFilename());
  await download.saveAs(path);
  // Parquet is not read here, so nothing is claimed of it.
  const events = kind === "parquet" ? "" : `${count} events, `;
  await toasted(page, new RegExp(`Saved ${events}[\\d.]+ (B|KiB|MiB), as trailseal-`));
  return { count, name: download.suggestedFilename(), path };
}

step("each format is saved under a name that says what it has, with the count beforehand", async () => {
  const today = () => page.evaluate(() => new Date().toLocaleDateString("sv-SE"));
  const before = await today();
  const bundle = await saved("bundle", "?actor=u-1&action=step.1");
  // Midnight may be between them.
  const names = [before, await today()].map((day) => `trailseal-actor-u-1-action-step.1-${day}.zip`);
  assert.ok(names.includes(bundle.name), bundle.name);
  assert.equal(bundle.count, 50);
  const key = trailseal(dir, "key", "show").split("\n")[0];
  const verdict = JSON.parse(execFileSync(BIN, ["verify", "--bundle", bundle.path, "--public-key", key, "--json"], { encoding: "utf8" }));
  assert.deepEqual([verdict.ok, verdict.count, verdict.key_pinned], [true, 50, true]);
  const parquet = await saved("parquet", "?action=step.2");
  assert.equal(readFileSync(parquet.path).subarray(0, 4).toString(), "PAR1");
  const ndjson = await saved("ndjson", "?action=step.2");
  assert.equal(readFileSync(ndjson.path, "utf8").trim().split("\n").length, ndjson.count);
  const csv = await saved("csv", "?action=step.2", { json: true });
  const [header, first] = readFileSync(csv.path, "utf8").split("\n");
  assert.match(header, /,error,before,after,changes,details$/);
  assert.match(first, /"\{""n"":\d+\}"/);
  const plain = await saved("csv", "");
  assert.match(readFileSync(plain.path, "utf8").split("\n")[0], /,error$/);
});

step("what was saved is counted in the file, and not beforehand", async () => {
  await page.goto(`${server.url}?system=true`);
  await page.waitForSelector(row);
  for (const [at, kind] of ["csv", "ndjson", "bundle"].entries()) {
    await page.click("#export-button");
    await page.waitForSelector("#export-count strong");
    // What happens between counting and saving.
    for (const limit of [1, 2, 3]) await fetch(`${server.url}v1/events?limit=${limit}`);
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(`#export-${kind}`)]);
    const path = place(download.suggestedFilename());
    await download.saveAs(path);
    const said = Number(/Saved ([\d,]+) events/.exec(await toasted(page, /Saved [\d,]+ events/, at))[1].replaceAll(",", ""));
    const held = {
      csv: () => readFileSync(path, "utf8").trim().split("\n").length - 1,
      ndjson: () => readFileSync(path, "utf8").trim().split("\n").length,
      bundle: () => JSON.parse(execFileSync(BIN, ["verify", "--bundle", path, "--json"], { encoding: "utf8" })).count,
    }[kind]();
    assert.equal(said, held, kind);
  }
});

step("the name of a file keeps letters of every language", async () => {
  await page.goto(`${server.url}?actor=${encodeURIComponent("u-1")}&text=${encodeURIComponent("März/אבג")}`);
  await page.waitForSelector("#empty");
  await page.click("#export-button");
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export-csv")]);
  assert.match(download.suggestedFilename(), /^trailseal-actor-u-1-text-März-אבג-[\d-]+\.csv$/);
});

const pages = { "as the viewer serves it": () => `${server.url}assets/check.html`, "as one file": () => {
  writeFileSync(place("check.html"), onePage());
  return pathToFileURL(place("check.html")).href;
} };

async function verdict(path, key = "") {
  await page.fill("#key", key);
  await page.setInputFiles("#file", path);
  await page.waitForFunction(() => document.querySelector("#verdict").dataset.state !== "checking");
  await page.evaluate(() => delete document.querySelector("#verdict").dataset.state);
  await page.click("#again");
  await page.waitForFunction(() => !["checking", undefined].includes(document.querySelector("#verdict").dataset.state));
  return { state: await page.getAttribute("#verdict", "data-state"), text: await page.textContent("#verdict") };
}

for (const [name, address] of Object.entries(pages)) {
  step(`the page that checks, ${name}, tells genuine from forged and asks for the key`, async () => {
    const key = trailseal(dir, "key", "show").split("\n")[0];
    const bundle = place("evidence.zip");
    execFileSync(BIN, ["export", "--dir", dir, "--action", "step.0", "--format", "bundle", "--out", bundle], { stdio: "ignore" });
    const proof = place("one.tlog-proof");
    execFileSync(BIN, ["prove", "--dir", dir, "7", "--out", proof], { stdio: "ignore" });
    await page.goto(address());
    const before = asked.length;
    const unpinned = await verdict(bundle);
    assert.equal(unpinned.state, "no_key", unpinned.text);
    assert.match(unpinned.text, /Genuine for this key.*100 of \d+ events.*step\.0.*anybody could have signed it/s);
    assert.doesNotMatch(unpinned.text, /\bok\b/i);
    assert.equal((await verdict(bundle, key)).state, "proven");
    assert.equal((await verdict(proof, key)).state, "proven");
    assert.equal((await verdict(proof)).state, "unchecked");
    const [origin] = key.split("+");
    const other = execFileSync(BIN, ["key", "show", "--dir", (execFileSync(BIN, ["record", "--dir", place("other"), "-"], { input: '{"action":"a"}\n', env: { ...process.env, TRAILSEAL_ORIGIN: origin } }), place("other"))], { encoding: "utf8" }).split("\n")[0];
    const forged = await verdict(bundle, other);
    assert.equal(forged.state, "failed", forged.text);
    assert.equal((await verdict(bundle, "nonsense")).state, "unchecked");
    // Each byte counts: no change anywhere in it goes unnoticed.
    const bytes = readFileSync(bundle);
    for (let at = 0; at < bytes.length; at += Math.ceil(bytes.length / 60)) {
      const changed = Buffer.from(bytes);
      changed[at] ^= 1;
      // Under a name of its own: a browser keeps what it knows of a file.
      writeFileSync(place(`changed-${at}.zip`), changed);
      const found = await verdict(place(`changed-${at}.zip`), key);
      assert.equal(found.state === "proven", false, `byte ${at} of ${bytes.length}: ${found.text}`);
    }
    writeFileSync(place("longer.zip"), Buffer.concat([bytes, Buffer.from("x")]));
    assert.equal((await verdict(place("longer.zip"), key)).state, "failed");
    assert.deepEqual(asked.slice(before).filter((url) => !/^blob:|\/icon\.svg$/.test(url)), [], "nothing was sent anywhere");
  });
}

step("the page that checks names the file, and says what it is not", async () => {
  const bundle = place("named.zip");
  execFileSync(BIN, ["export", "--dir", dir, "--action", "step.0", "--format", "bundle", "--out", bundle], { stdio: "ignore" });
  await page.goto(`${server.url}assets/check.html`);
  await page.click("#again");
  assert.match(await page.textContent("#verdict"), /Choose a file first/);
  assert.match((await verdict(bundle)).text, /named\.zip/);
  const drop = (...names) =>
    page.evaluate((all) => {
      const data = new DataTransfer();
      for (const name of all) data.items.add(new File(["hello"], name));
      dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
    }, names);
  await drop("note.txt");
  await page.waitForFunction(() => /note\.txt.*neither a bundle/s.test(document.querySelector("#verdict").textContent));
  assert.equal(await page.getAttribute("#verdict", "data-state"), "unchecked");
  assert.equal(await page.$eval("#file", (field) => field.files[0].name), "note.txt");
  await drop("a.zip", "b.zip");
  await page.waitForFunction(() => /one at a time/.test(document.querySelector("#verdict").textContent));
  await page.setInputFiles("#file", []);
  await page.waitForSelector("#verdict", { state: "hidden" });
  execFileSync(BIN, ["record", "--dir", place("elsewhere"), "-"], { input: '{"action":"a"}\n', env: { ...process.env, TRAILSEAL_ORIGIN: "example.org/elsewhere" } });
  const elsewhere = await verdict(bundle, trailseal(place("elsewhere"), "key", "show").split("\n")[0]);
  assert.equal(elsewhere.state, "failed");
  assert.match(elsewhere.text, /Not by the key that you gave.*another trail/s);
  assert.doesNotMatch(elsewhere.text, /Not genuine/);
});

step("the page that checks judges the file that was chosen last, also where an earlier one is read later", async () => {
  await page.goto(`${server.url}assets/check.html`);
  await page.evaluate(() => {
    const read = File.prototype.arrayBuffer;
    File.prototype.arrayBuffer = async function () {
      if (this.name === "slow.txt") await new Promise((resolve) => (window.readSlow = resolve));
      return read.call(this);
    };
    window.choose = (text, name) => {
      const data = new DataTransfer();
      data.items.add(new File([text], name));
      dispatchEvent(new DragEvent("drop", { dataTransfer: data, cancelable: true }));
    };
    window.choose("c2sp.org/tlog-proof@v1\nnonsense", "slow.txt");
  });
  await page.waitForFunction(() => window.readSlow);
  await page.evaluate(() => window.choose("hello", "quick.txt"));
  const isQuick = () => page.waitForFunction(() => /quick\.txt.*neither a bundle/s.test(document.querySelector("#verdict").textContent));
  await isQuick();
  await page.evaluate(() => window.readSlow());
  await page.click("#again");
  await isQuick();
});

step("an event of a shared store whose trail is at another server says where its proof is, and does not wait for it", async () => {
  let asks = 0;
  const detail = "the proof of this event is at the server of its trail: ask there for event 7 of example.com/b";
  await page.route("**/v1/events/*/proof*", (asked) => {
    asks += 1;
    const body = JSON.stringify({ type: "urn:trailseal:problem:elsewhere", title: "Conflict", status: 409, detail });
    return asked.fulfill({ status: 409, contentType: "application/problem+json", body });
  });
  await page.goto(`${server.url}?event=7`);
  await page.waitForSelector("#proof[data-state=unchecked]");
  const said = await page.textContent("#proof");
  assert.match(said, /Its proof is at another server/);
  assert.ok(said.includes(`${detail[0].toUpperCase()}${detail.slice(1)}.`), said);
  assert.equal(asks, 1);
  await page.unroute("**/v1/events/*/proof*");
});

step("nothing went wrong on the way", () => {
  assert.deepEqual(problems, []);
});
