// Shows a proof that this browser checked itself. The server's own verdict (`…/verify`) is never requested.

import { byId, button, fill, h, icon } from "./dom.js";
import { ask, eventPath } from "./api.js";
import { keptKey, keysFor } from "./keys.js";
import { same } from "./diff.js";
import { parseExact } from "./json.js";
import { canCheck, checkProof, isSealedValue, lineOf } from "./proof.js";
import { number } from "./prefs.js";

// How often a proof is requested automatically while the event is not sealed yet.
const TRIES_MAX = 5;
// Not "not yet": the event is in a shared store, and its trail is at the server that wrote it.
const ELSEWHERE = "urn:trailseal:problem:elsewhere";
const NAMES = {
  form: "The proof can be read",
  path: "The line is in the tree",
  shown: "What is shown is what was sealed",
  signature: "The checkpoint is signed",
  list: "The list showed the same event",
  asked: "It is the requested event",
};

/** The box of one event; `{element, check}`. `source` gives `{reference, text, listed}`. */
export function proofBox(source) {
  const element = h("section", {
    id: "proof",
    class: "proof",
    "data-state": "off",
    "aria-live": "polite",
    "aria-label": "Proof",
  });
  const run = { abort: null };
  const check = async (tries = 0) => {
    run.abort?.abort();
    run.abort = new AbortController();
    await checkInto(element, source, run.abort.signal, check, tries);
  };
  show(element, "off", "seal", "Not checked yet", "This browser can check that the event is sealed as shown.", [
    checkButton("Check now", check),
  ]);
  return { element, check, close: () => run.abort?.abort() };
}

const checkButton = (text, check) => button({ id: "proof-check", kind: "small", text, on: { click: () => check() } });

async function checkInto(element, source, signal, again, tries) {
  if (!canCheck()) {
    show(element, "unchecked", "warning", "Not checked here", insecure(), []);
    return;
  }
  show(element, "checking", "seal", "Checking…", "Fetching the proof and hashing.", []);
  let text;
  try {
    const { path, query } = eventPath(source.reference, "/proof");
    const response = await ask(path, { query, accept: "text/plain, */*;q=0.5", signal, also: [409] });
    if (response.status === 409) {
      const problem = await response.json().catch(() => null);
      if (problem?.type === ELSEWHERE) {
        show(element, "unchecked", "warning", "Its proof is at another server", asSentence(problem.detail), []);
        return;
      }
      show(element, "waiting", "clock", "Not sealed yet", "The next checkpoint covers it, usually within a second.", [
        checkButton("Check again", again),
      ]);
      if (tries < TRIES_MAX)
        setTimeout(
          () => {
            if (!signal.aborted) again(tries + 1);
          },
          1000 * Number(response.headers.get("Retry-After") ?? 1),
        );
      return;
    }
    text = await response.text();
  } catch (problem) {
    if (problem.name !== "AbortError")
      show(
        element,
        "failed",
        "cross",
        "No proof",
        h("strong", { class: "failure" }, `The server gave no proof. ${problem.message}`),
        [checkButton("Try again", again)],
      );
    return;
  }
  const origin = source.reference.origin;
  const keys = await keysFor(origin);
  const result = await checkProof(
    text,
    { origin, index: Number(source.reference.index), line: lineOf(source.text) },
    keys,
  );
  if (signal.aborted) return;
  if (result.line && !isJson(result.line)) result.line = null;
  compareListed(result, source.listed);
  compareAsked(result, source.asked);
  showResult(element, result, { text, origin, index: source.reference.index, again });
}

// A genuine proof of another event does not count.
function compareAsked(result, asked) {
  if (!asked || !result.line) return;
  const { index, id } = parseExact(result.line);
  const key = String(asked.key);
  const isSame = /^\d+$/.test(key) ? key === String(index) : key.replace(/^id:/, "") === id;
  if (isSame && (!asked.origin || asked.origin === result.checkpoint.origin)) return;
  result.state = "failed";
  result.steps.push({
    name: "asked",
    ok: false,
    code: "asked_differs",
    message: `Event ${key} was requested, but the server sent event ${index}.`,
  });
}

// The list comes from a separate response: what it showed must also be what was sealed.
function compareListed(result, listed) {
  if (!listed || !result.line) return;
  const fields = Object.fromEntries(Object.entries(listed).filter(([name]) => name !== "origin"));
  if (same(fields, asShown(parseExact(result.line), fields))) return;
  result.state = "failed";
  result.steps.push({
    name: "list",
    ok: false,
    code: "list_differs",
    message: "The list showed something other than what was sealed.",
  });
}

// A sealed line with its personal values as they were shown: those are sealed as cipher text.
function asShown(sealed, shown) {
  if (isSealedValue(sealed)) return shown;
  if (sealed === null || typeof sealed !== "object") return sealed;
  const inside = (key, each) => asShown(each, shown?.[key]);
  if (Array.isArray(sealed)) return sealed.map((each, key) => inside(key, each));
  return Object.fromEntries(Object.entries(sealed).map(([key, each]) => [key, inside(key, each)]));
}

function showResult(element, result, { text, origin, index, again }) {
  const wrong = result.steps.filter((step) => !step.ok);
  const tools = [
    checkButton("Check again", again),
    button({
      id: "proof-download",
      kind: "small",
      icon: "download",
      text: "Proof",
      label: "Save the proof as a file",
      on: { click: () => save(text, index) },
    }),
  ];
  const kept = keptKey(origin);
  const sealPage = h("a", { href: "?view=seal" }, "Paste a key that you got elsewhere");
  const trust =
    result.state === "proven" &&
    kept?.how === "first seen" &&
    h(
      "p",
      { class: "proof-trust quiet" },
      "The key is the first one seen here and was never compared. ",
      h("a", { href: "?view=seal" }, "Compare it"),
      ".",
    );
  const sealed = result.personal > 0 ? "Sealed as shown, but for the personal values" : "Sealed exactly as shown";
  const faces = {
    proven: [
      "check",
      "Proven in this browser",
      [`${sealed}, in a tree of ${number(result.checkpoint?.size ?? 0)} events.`],
    ],
    no_key: [
      "warning",
      "Sealed, but by whom?",
      ["The line belongs to the checkpoint. No public key is known here to check its signature. ", sealPage, "."],
    ],
    failed: ["cross", "This proof does not hold", wrong.map((step) => h("strong", { class: "failure" }, step.message))],
    unchecked: ["warning", "Not checked here", [wrong.at(-1)?.message ?? insecure()]],
  };
  const [symbol, title, body] = faces[result.state];
  show(element, result.state, symbol, title, [h("p", {}, body), trust], tools, stepsOf(result, kept));
  if (result.state === "failed") element.scrollIntoView({ block: "nearest" });
}

export function stepsOf(result, kept) {
  return h(
    "details",
    { id: "proof-steps", open: result.state === "failed" },
    h("summary", {}, "What was checked"),
    h(
      "ul",
      { class: "steps" },
      result.steps.map((step) =>
        h(
          "li",
          {
            "data-testid": "proof-step",
            "data-step": step.name,
            "data-ok": String(step.ok),
            class: step.ok ? "good" : "bad",
          },
          icon(step.ok ? "check" : "cross", 14),
          h("span", {}, h("b", {}, `${NAMES[step.name]}${step.ok ? "" : ": no"}`), " ", step.message),
        ),
      ),
    ),
    kept && h("p", { class: "quiet mono wrap" }, `${kept.text} (${kept.how}, kept since ${kept.since.slice(0, 10)})`),
  );
}

function show(element, state, symbol, title, body, tools, more = null) {
  element.dataset.state = state;
  fill(
    element,
    h(
      "div",
      { class: "proof-head" },
      h("span", { class: "proof-symbol" }, icon(symbol, 18)),
      h(
        "div",
        { class: "proof-words" },
        h("h2", { class: "proof-title" }, title),
        typeof body === "string" ? h("p", {}, body) : body,
      ),
      h("div", { class: "proof-tools" }, tools),
    ),
    more,
  );
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

export function insecure() {
  return globalThis.isSecureContext
    ? "This browser gives this page no access to cryptography, so nothing was checked. Use `trailseal verify --proof` instead."
    : "Browsers can check signatures only over HTTPS or on this machine. Open the viewer over HTTPS, or use `trailseal verify --proof`.";
}

export function save(text, index) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = h("a", { href: url, download: `event-${index}.tlog-proof` });
  byId("main").append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

function asSentence(text = "") {
  return text && `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}
