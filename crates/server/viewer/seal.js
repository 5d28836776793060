// The seal: each trail's newest checkpoint, checked here; the key that this browser keeps; proofs of any event.

import { button, copyButton, fill, h, icon, showProblem, toast, value } from "./dom.js";
import { ask, askJson } from "./api.js";
import { checkGrowth } from "./consistency.js";
import { closeDrawer, isDrawerOpen, openDrawer } from "./event.js";
import {
  forgetCheckpoint,
  forgetKey,
  keepCheckpoint,
  keptCheckpoint,
  keptKey,
  keyFromServer,
  keysFor,
  pinKey,
} from "./keys.js";
import { ago, checksByItself, number, setChecksByItself } from "./prefs.js";
import { canCheck, fromBase64, parseCheckpoint, toBase64, verifyCheckpoint } from "./proof.js";
import { insecure } from "./proofview.js";
import { checkFile, checkOne, say } from "./sealchecks.js";

export function openSeal(root, first) {
  const page = new SealPage(root);
  page.update(first);
  return page;
}

class SealPage {
  constructor(root) {
    this.asking = new AbortController();
    this.trails = h("div", { class: "trails" });
    fill(
      root,
      h(
        "div",
        { class: "page narrow" },
        h(
          "header",
          { class: "page-head" },
          h("h1", {}, "The seal"),
          h(
            "p",
            { class: "lead" },
            "Every event is a leaf of a tree whose size and root are signed. Nobody without the signing key can edit, delete or insert an event unnoticed. This browser checked what you see here, not the server.",
          ),
        ),
        this.trails,
        checkOne(),
        checkFile(),
        h(
          "section",
          { class: "panel" },
          h(
            "label",
            { class: "switch" },
            h("input", {
              id: "seal-check-own",
              type: "checkbox",
              checked: checksByItself(),
              on: { change: (event) => setChecksByItself(event.target.checked) },
            }),
            "Check the proof of each event when it is opened",
          ),
        ),
      ),
    );
    this.#load();
  }

  update(here) {
    if (here.event) openDrawer(here.event, null);
    else if (isDrawerOpen()) closeDrawer();
  }

  close() {
    this.asking.abort();
  }

  key(event) {
    if (event.key === "r") this.#load();
    return event.key === "r";
  }

  async #load() {
    fill(this.trails, h("p", { class: "list-status" }, h("span", { class: "spinner" }), "Loading"));
    try {
      const notes = await checkpoints(this.asking.signal);
      fill(
        this.trails,
        notes.length === 0
          ? h("p", { class: "notice" }, "There is no checkpoint yet.")
          : notes.map((note, at) => trail(note, this.asking.signal, (id) => (at === 0 ? id : `${id}-${at}`))),
      );
    } catch (problem) {
      if (problem.name !== "AbortError") showProblem(this.trails, problem, () => this.#load());
    }
  }
}

// `[{note, tiles}]`: every trail's newest checkpoint, and the path of its tiles.
async function checkpoints(signal) {
  const own = await ask("checkpoint", { accept: "text/plain", signal }).then(
    (response) => response.text(),
    (problem) => {
      if (problem.name === "AbortError" || problem.status === 0) throw problem;
      return null;
    },
  );
  const others = await askJson("v1/origins", { signal }).then(
    (answer) => answer.origins ?? [],
    (problem) => {
      // A token for one tenant does not see the trails; the server's own checkpoint is enough then.
      if (own === null) throw problem;
      return [];
    },
  );
  const ownName = own?.split("\n")[0];
  const rest = others
    .filter((each) => each.origin !== ownName && typeof each.checkpoint === "string")
    .map((each) => ({
      note: each.checkpoint,
      tiles: `origins/${each.origin.split("/").map(encodeURIComponent).join("/")}/`,
    }));
  return [...(own === null ? [] : [{ note: own, tiles: "" }]), ...rest];
}

// ---- one trail -----------------------------------------------------------------------------------------

// `named` makes ids that are unique on the page: the first trail has the plain ones.
function trail({ note, tiles }, signal, named) {
  const origin = note.split("\n")[0];
  const state = h("div", {
    id: named("seal-state"),
    "data-testid": "seal-state",
    class: "proof",
    "data-state": "checking",
    "aria-live": "polite",
  });
  const keyPlace = h("div", { class: "key-place" });
  const card = h("section", {
    class: "panel trail",
    id: named("seal-origin"),
    "data-testid": "seal-origin",
    "data-origin": origin,
  });
  const check = async () => {
    await checkTrail(note, tiles, state, signal, check);
    fill(keyPlace, await keyForm(origin, check, named));
  };
  fill(
    card,
    h("div", { class: "section-head" }, h("h2", { class: "mono trail-name" }, value(origin))),
    state,
    checkpointFacts(note, named),
    keyPlace,
  );
  check();
  return card;
}

async function checkTrail(note, tiles, state, signal, again) {
  if (!canCheck()) {
    say(state, "unchecked", "warning", "Not checked here", [insecure()]);
    return;
  }
  say(state, "checking", "seal", "Checking…", ["Verifying the signature."]);
  let checkpoint;
  try {
    checkpoint = parseCheckpoint(note);
    const keys = await keysFor(checkpoint.origin);
    if (keys.length === 0) {
      say(state, "no_key", "warning", "Signed, but by whom?", [
        "No public key is kept here for this trail. Paste one that you got elsewhere.",
      ]);
      return;
    }
    const key = await verifyCheckpoint(checkpoint, keys);
    const kept = keptCheckpoint(checkpoint.origin);
    const grown = await compareWithKept(checkpoint, kept, tiles, signal);
    keepCheckpoint(checkpoint, toBase64(checkpoint.root), note);
    say(state, "proven", "check", `${number(checkpoint.size)} events are sealed`, [
      h("p", {}, `Signed by key ${key.id}. ${grown}`),
    ]);
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (problem.code === "unsupported") {
      say(state, "unchecked", "warning", "Not checked here", [problem.message]);
      return;
    }
    const forget =
      ["rollback", "root_mismatch"].includes(problem.code) &&
      button({
        kind: "small",
        id: "seal-forget",
        text: "Forget the kept checkpoint",
        on: {
          click: () => {
            forgetCheckpoint(checkpoint.origin);
            again();
          },
        },
      });
    say(state, "failed", "cross", "This seal does not hold", [
      h("strong", { class: "failure" }, problem.message),
      forget,
    ]);
  }
}

// What this browser saw before must be the beginning of what it sees now.
async function compareWithKept(checkpoint, kept, tiles, signal) {
  if (!kept) return "From now on this browser remembers it and notices if the past is rewritten.";
  const older = { size: kept.size, root: fromBase64(kept.root) };
  const fetchTile = async (path) =>
    new Uint8Array(
      await (await ask(tiles + path, { accept: "application/octet-stream, */*;q=0.5", signal })).arrayBuffer(),
    );
  try {
    await checkGrowth(older, checkpoint, fetchTile);
  } catch (problem) {
    // This token may not read tiles: then the growth cannot be shown, and the page says so.
    if (problem.status === 404)
      return `It was not compared with the ${number(kept.size)} events seen ${ago(new Date(kept.seen))}: this server has no tiles of this trail.`;
    if ([401, 403].includes(problem.status))
      return `It was not compared with the ${number(kept.size)} events seen ${ago(new Date(kept.seen))}: this token may not read tiles.`;
    throw problem;
  }
  const when = ago(new Date(kept.seen));
  return checkpoint.size === kept.size
    ? `The same as this browser saw ${when}.`
    : `It begins with all ${number(kept.size)} events that this browser saw sealed ${when}: none of them was rewritten.`;
}

function checkpointFacts(note, named) {
  const [, size, root] = note.split("\n");
  return h(
    "div",
    {},
    h(
      "dl",
      { class: "facts tight" },
      h(
        "div",
        { class: "fact" },
        h("dt", {}, "Events under this seal"),
        h("dd", {}, Number.isSafeInteger(Number(size)) ? number(Number(size)) : value(size ?? "")),
      ),
      h("div", { class: "fact" }, h("dt", {}, "Root of the tree"), h("dd", { class: "mono" }, value(root ?? ""))),
    ),
    h(
      "details",
      { class: "more" },
      h("summary", {}, "The signed checkpoint"),
      h(
        "div",
        { class: "command-box" },
        h("pre", { id: named("checkpoint"), class: "command" }, value(note)),
        copyButton(() => note, { label: "Copy the checkpoint" }),
      ),
      h(
        "p",
        { class: "quiet" },
        "Keep it somewhere else. ",
        h("code", {}, "trailseal verify --checkpoint FILE"),
        " shows later that nothing before it was changed.",
      ),
    ),
  );
}

async function keyForm(origin, again, named) {
  const kept = keptKey(origin);
  const offered = await keyFromServer(origin);
  const input = h("input", {
    id: named("key-input"),
    class: "mono",
    placeholder: `${origin}+0a1b2c3d+AR…`,
    autocomplete: "off",
    spellcheck: "false",
    "aria-label": "Public key",
  });
  const error = h("p", { class: "form-error", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    try {
      const key = await pinKey(input.value);
      if (key.name !== origin) toast(`Kept as the key of ${key.name}.`);
      again();
    } catch (problem) {
      error.textContent = problem.message;
    }
  };
  const differs = kept && offered && offered !== kept.text;
  const accept = async () => {
    await pinKey(offered, "first seen");
    again();
  };
  return [
    !kept &&
      offered &&
      h(
        "div",
        { class: "kept-key" },
        h("h3", {}, "The key that the server names"),
        h("p", { class: "mono wrap" }, value(offered)),
        h("p", { class: "quiet" }, "Only the server itself says that it is the right one."),
        button({ id: named("key-accept"), kind: "small", text: "Trust and keep it", on: { click: accept } }),
      ),
    kept &&
      h(
        "div",
        { class: "kept-key" },
        h("h3", {}, kept.how === "pasted" ? "Your key" : "The key first seen"),
        h("p", { class: "mono wrap" }, value(kept.text)),
        kept.how === "first seen" &&
          h(
            "p",
            { id: named("key-notice"), class: "notice" },
            icon("warning"),
            h(
              "span",
              {},
              `Taken from this server ${ago(new Date(kept.since))}, and kept since. If the server was not honest then, this key is not genuine either. Compare it with `,
              h("code", {}, "trailseal key show"),
              " on the machine that records, or paste a key that reached you another way.",
            ),
          ),
        differs &&
          h(
            "p",
            { class: "notice" },
            icon("warning"),
            h(
              "span",
              {},
              "The server names another key now. It is trusted only if a rotation signed by the kept key leads to it.",
            ),
          ),
      ),
    h(
      "form",
      { class: "key-form", on: { submit } },
      h(
        "div",
        { class: "joined" },
        input,
        h("button", { id: named("key-save"), type: "submit", class: "button" }, "Keep this key"),
        kept &&
          button({
            id: named("key-forget"),
            kind: "plain",
            text: "Forget",
            label: "Forget the kept key",
            on: {
              click: () => {
                forgetKey(origin);
                again();
              },
            },
          }),
      ),
      error,
    ),
  ];
}
