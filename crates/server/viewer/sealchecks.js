// Checks any event by its id, and any proof that somebody sent; part of the seal page.

import { button, fill, h, icon, showProblem, value } from "./dom.js";
import { ask, eventPath } from "./api.js";
import { keptKey, keysFor } from "./keys.js";
import { canCheck, checkProof } from "./proof.js";
import { insecure, proofBox, stepsOf } from "./proofview.js";
import { route } from "./route.js";

/** Shows the result in a box: a state, a symbol, a title, and sentences. */
export function say(state, name, symbol, title, body) {
  state.dataset.state = name;
  fill(
    state,
    h(
      "div",
      { class: "proof-head" },
      h("span", { class: "proof-symbol" }, icon(symbol, 18)),
      h(
        "div",
        { class: "proof-words" },
        h("h2", { class: "proof-title" }, title),
        body.map((each) => (typeof each === "string" ? h("p", {}, each) : each)),
      ),
    ),
  );
}

export function checkOne() {
  const input = h("input", {
    id: "verify-id",
    placeholder: "index or id",
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Event’s index or id",
  });
  const result = h("div", { id: "verify-result", "aria-live": "polite" });
  let box = null;
  const submit = async (event) => {
    event.preventDefault();
    box?.close();
    const key = input.value.trim();
    if (!key) return;
    try {
      const { path } = eventPath({ id: key });
      const response = await ask(path, { also: [300] });
      if (response.status === 300) {
        const { events } = await response.json();
        fill(
          result,
          h("p", {}, "Several events have this id:"),
          h(
            "ul",
            { class: "choices" },
            events.map((each) =>
              h(
                "li",
                {},
                h("a", { class: "mono", href: route().withEvent(each) }, value(`${each.origin}#${each.index}`)),
              ),
            ),
          ),
        );
        return;
      }
      const text = await response.text();
      const found = JSON.parse(text);
      box = proofBox({ reference: { origin: found.origin, index: found.index }, text });
      fill(
        result,
        h("p", {}, h("a", { class: "mono", href: route().withEvent(found) }, value(`#${found.index} ${found.action}`))),
        box.element,
      );
      box.check();
    } catch (problem) {
      showProblem(result, problem);
    }
  };
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "Check one event"),
    h(
      "form",
      { class: "joined", on: { submit } },
      input,
      h("button", { id: "verify-button", type: "submit", class: "button" }, "Check"),
    ),
    result,
  );
}

export function checkFile() {
  const area = h("textarea", {
    id: "proof-paste",
    class: "mono",
    rows: 4,
    spellcheck: "false",
    placeholder: "c2sp.org/tlog-proof@v1 …",
    "aria-label": "Proof",
  });
  const file = h("input", {
    id: "proof-file",
    type: "file",
    "aria-label": "Proof file",
    on: {
      change: async () => {
        area.value = (await file.files[0]?.text()) ?? "";
      },
    },
  });
  const result = h("div", { id: "proof-paste-result", "aria-live": "polite" });
  const check = async () => {
    if (!canCheck()) {
      fill(result, h("p", { class: "notice" }, insecure()));
      return;
    }
    const text = area.value.endsWith("\n") ? area.value : `${area.value}\n`;
    const origin = /\n\n([^\n]+)\n/.exec(text)?.[1] ?? "";
    const kept = keptKey(origin);
    const proven = await checkProof(text, {}, await keysFor(origin));
    const box = h("div", { class: "proof", "data-state": proven.state });
    const words = {
      proven: ["check", "It is genuine", "This line is in the signed trail."],
      no_key: ["warning", "Sealed, but by whom?", "No public key is kept here for its trail."],
      failed: ["cross", "This proof does not hold", ""],
      unchecked: ["warning", "Not checked here", ""],
    };
    const [symbol, title, body] = words[proven.state];
    say(box, proven.state, symbol, title, [
      body,
      ...proven.steps.filter((step) => !step.ok).map((step) => h("strong", { class: "failure" }, step.message)),
    ]);
    box.append(stepsOf(proven, kept));
    fill(
      result,
      box,
      proven.line && proven.state !== "failed" && h("pre", { class: "raw" }, value(proven.line, {}, 70_000)),
    );
  };
  return h(
    "section",
    { class: "panel" },
    h("h2", {}, "Check a proof that somebody sent you"),
    h(
      "p",
      { class: "quiet" },
      "A .tlog-proof from ",
      h("code", {}, "trailseal prove"),
      " or this page. It is checked here and sent nowhere.",
    ),
    area,
    h(
      "div",
      { class: "actions start" },
      file,
      h("span", { class: "grow" }),
      button({ id: "proof-paste-check", text: "Check", on: { click: check } }),
    ),
    result,
  );
}
