// What the browser tests share: a server on a trail made from real records, Chromium, a proxy that alters answers.
//
// They run where `trailseal` (VIEWER_TEST_BIN), Chromium (CHROMIUM, else /usr/bin/chromium) and the npm package
// playwright-core (in NODE_PATH or a node_modules above) are there, and are skipped elsewhere:
//
//     VIEWER_TEST_BIN=target/release/trailseal node --test crates/server/viewer-tests
//
// VIEWER_TEST_EVENTS says how many events the trail gets (default 3,000).

import { execFileSync, spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";

const BIN = process.env.VIEWER_TEST_BIN;
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
export const EVENTS = Number(process.env.VIEWER_TEST_EVENTS ?? 3000);

// A busy machine takes its time, and so does what goes through all events; what the page does is counted by speed.test.mjs.
export const PATIENCE_MS = 60_000 + EVENTS / 10;

// Who asks for an event to be on disk, or for room, waits for it on a busy machine too.
process.env.TRAILSEAL_TIMEOUT_MS ??= "180000";
process.env.TRAILSEAL_HANDOFF__TIMEOUT_MS ??= "180000";

function playwright() {
  const places = [
    import.meta.url,
    ...(process.env.NODE_PATH ?? "")
      .split(delimiter)
      .filter(Boolean)
      .map((path) => join(path, "x.js")),
  ];
  for (const place of places) {
    try {
      return createRequire(place)("playwright-core");
    } catch {
      /* The next place. */
    }
  }
  return null;
}

/** Why these tests cannot run here, or false. */
export const SKIP =
  (!BIN && "VIEWER_TEST_BIN is not set") ||
  (!existsSync(CHROMIUM) && `${CHROMIUM} is not there`) ||
  (!playwright() && "playwright-core is not installed");

/** Runs the command line beside the server. */
export function trailseal(dir, ...args) {
  return execFileSync(BIN, [args[0], "--dir", dir, ...args.slice(1)], {
    encoding: "utf8",
    maxBuffer: 1 << 30,
    stdio: ["ignore", "pipe", "ignore"],
  });
}

/** A folder with a trail of the real records of `demo`, again and again, and then `extra`. */
export function makeTrail(extra = []) {
  const folder = mkdtempSync(join(tmpdir(), "trailseal-viewer-"));
  const dir = join(folder, "trail");
  const sample = join(folder, "sample");
  execFileSync(BIN, ["demo", "--dir", sample], { stdio: "ignore" });
  const lines = trailseal(sample, "query", "--format", "jsonl")
    .trim()
    .split("\n")
    .map((line) => {
      const { v, index, recorded, id, masked, invalid, truncated, recorded_by, ...event } = JSON.parse(line);
      return JSON.stringify(event);
    });
  const file = join(folder, "events.jsonl");
  const out = openSync(file, "w");
  for (let at = 0; at < EVENTS; at += lines.length) {
    writeSync(out, `${lines.slice(0, EVENTS - at).join("\n")}\n`);
  }
  for (const event of extra) writeSync(out, `${JSON.stringify(event)}\n`);
  closeSync(out);
  execFileSync(BIN, ["record", "--dir", dir, file], { stdio: "ignore" });
  return { dir, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Starts `trailseal serve` on a free port; `{url, output, stop}`. Unless it is open, its first token is in the output. */
export async function serve(dir, ...flags) {
  const child = spawn(BIN, ["serve", "--dir", dir, "--listen", "127.0.0.1:0", ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const output = [];
  const last = flags.includes("--open") ? /^data in / : /^admin token/;
  const url = await new Promise((resolve, reject) => {
    child.once("exit", (code) => reject(new Error(`the server ended with ${code}: ${output.join("\n")}`)));
    createInterface(child.stdout).on("line", (line) => {
      output.push(line);
      if (!last.test(line)) return;
      const [, found] = /listening on (http:\/\/\S+)/.exec(output.join("\n"));
      resolve(`${found.replace(/\/$/, "")}/`);
    });
  });
  const stop = () =>
    new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) resolve();
      child.once("exit", resolve);
      child.kill("SIGTERM");
    });
  return { url, output, stop };
}

/** Chromium with nothing of its own on the network. */
export function launch() {
  return playwright().chromium.launch({
    executablePath: CHROMIUM,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** A page in a fresh profile; `problems` and `asked` collect what went wrong and what was requested. */
export async function newPage(browser, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 900 },
    timezoneId: "Europe/Berlin",
    acceptDownloads: true,
    permissions: ["clipboard-read", "clipboard-write"],
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  // They go away by themselves, after some seconds.
  await page.addInitScript(() => {
    globalThis.toasts = [];
    new MutationObserver((changes) => {
      for (const node of changes.flatMap((change) => [...change.addedNodes])) {
        if (node.classList?.contains("toast")) globalThis.toasts.push(node.textContent);
      }
    }).observe(document, { childList: true, subtree: true });
  });
  const problems = [];
  const asked = [];
  page.on("pageerror", (error) => problems.push(String(error.stack)));
  page.on("dialog", (dialog) => {
    problems.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of [34]\d\d/.test(message.text())) problems.push(message.text());
  });
  page.on("request", (request) => asked.push(request.url()));
  return { page, problems, asked };
}

/** Stands between browser and server; `alter(path, text)` answers another text, or undefined to leave it. */
export async function alteringProxy(target, alter) {
  const server = http.createServer((request, response) => {
    const url = new URL(request.url, target);
    const onward = http.request(
      url,
      { method: request.method, headers: { ...request.headers, host: url.host, "accept-encoding": "identity" } },
      (answer) => {
        const chunks = [];
        answer
          .on("data", (chunk) => chunks.push(chunk))
          .on("end", () => {
            const body = Buffer.concat(chunks);
            const altered = alter(url.pathname, body.toString("utf8"));
            const headers = { ...answer.headers };
            delete headers["content-length"];
            delete headers["transfer-encoding"];
            response.writeHead(answer.statusCode, headers);
            response.end(altered === undefined ? body : altered);
          });
      },
    );
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  });
  await new Promise((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

export const row = "[data-testid=row]";

/** What the newest toast says, once there are more than `before` of them that match. */
export async function toasted(page, pattern, before = 0) {
  const matching = ([source, count]) => {
    const found = globalThis.toasts.filter((text) => new RegExp(source).test(text));
    return found.length > count && found.at(-1);
  };
  return (await page.waitForFunction(matching, [pattern.source, before])).jsonValue();
}

/** Does something again until a condition holds. */
export async function repeated(act, holds) {
  const end = Date.now() + PATIENCE_MS;
  for (; !(await holds()); await act()) if (Date.now() > end) throw new Error(`it never held: ${holds}`);
}

/** Waits until the proof of the open event is judged, and answers the state. */
export async function proofState(page) {
  await page.waitForFunction(() =>
    ["proven", "failed", "no_key", "unchecked"].includes(document.querySelector("#proof")?.dataset.state),
  );
  return page.getAttribute("#proof", "data-state");
}
