// The page that checks a bundle or a proof in this browser alone: nothing leaves it.

import { byId, fill, h, value } from "./dom.js";
import { checkBundle, isBundle } from "./bundle.js";
import { checkProof, parseKey } from "./proof.js";

const FACES = {
  checking: ["…", "Checking"],
  proven: ["✓", "Genuine, by the key that you gave"],
  no_key: ["?", "Genuine for this key"],
  failed: ["✕", "Not genuine"],
  unchecked: ["?", "Not checked"],
};

let file = null;
let bytes = null;
let run = 0;

function show(state, ...told) {
  const [mark, title] = FACES[state];
  const place = byId("verdict");
  place.hidden = false;
  place.dataset.state = state;
  fill(place, h("h2", {}, h("span", { class: "mark", "aria-hidden": "true" }, mark), title), ...told);
}

/** The keys that were typed, one a line; throws if one is none. */
async function keys() {
  const lines = byId("key").value.split("\n").map((line) => line.trim()).filter(Boolean);
  return Promise.all(lines.map(parseKey));
}

async function check() {
  if (!file) return;
  run += 1;
  const own = run;
  const isOver = () => own !== run;
  show("checking", h("p", {}, value(file.name)));
  let pinned;
  try {
    pinned = await keys();
  } catch (error) {
    if (!isOver()) show("unchecked", h("p", {}, value(error.message)));
    return;
  }
  try {
    // Read once: it may change on the disk afterwards.
    bytes ??= new Uint8Array(await file.arrayBuffer());
  } catch {
    if (!isOver()) show("unchecked", h("p", {}, "The file cannot be read, or was changed since you chose it: choose it again."));
    return;
  }
  if (isOver()) return;
  if (isBundle(bytes)) await showBundle(pinned, isOver);
  else await showProof(new TextDecoder().decode(bytes), pinned, isOver);
}

async function showBundle(pinned, isOver) {
  const count = h("p", { class: "quiet" });
  show("checking", h("p", {}, value(file.name)), count);
  const found = await checkBundle(bytes, pinned, (done) => {
    count.textContent = `${done.toLocaleString("en")} lines proved`;
  });
  if (isOver()) return;
  if (found.problem) {
    show(found.state, h("p", {}, value(found.problem)));
    return;
  }
  const filters = Object.entries(found.filters).map(([name, values]) => `${name}: ${[values].flat().join(", ")}`);
  show(
    found.state,
    found.origins.map(({ origin, count: lines, size, key, isShown }) => [
      h("p", {}, h("b", {}, `${lines.toLocaleString("en")} of ${size.toLocaleString("en")} events`), " of ", value(origin, { class: "mono" })),
      h("p", { class: "quiet" }, "Signed by ", value(key, { class: "mono" })),
      isShown && h("p", { class: "quiet" }, "Personal values in plain are in it, too; of these only the cipher text is proved."),
    ]),
    h("p", {}, "Asked for: ", value(filters.length > 0 ? filters.join("; ") : "everything")),
    found.state === "no_key" && noKey(),
    h("p", { class: "quiet" }, "Each line in it is genuine. That no line was left out is not proved."),
  );
}

async function showProof(text, pinned, isOver) {
  const found = await checkProof(text, {}, pinned);
  if (isOver()) return;
  const steps = h("ul", {}, found.steps.map(({ ok, message }) => h("li", { class: ok ? "good" : "bad" }, value(message))));
  // A proof brings no key, so without one there is nobody of whom it says anything.
  if (found.state === "no_key") {
    show("unchecked", steps, h("p", {}, "Line and path match the checkpoint, but a proof brings no key: give the trail’s public key to check who signed it."));
    return;
  }
  show(found.state, steps, found.state === "proven" && h("pre", { class: "raw" }, value(found.line, {}, 70_000)));
}

const noKey = () =>
  h("p", { class: "warn" }, "The key came with the file, so anybody could have signed it. Compare it with one that you got from elsewhere, or give that one above.");

function take(chosen) {
  if (!chosen) return;
  [file, bytes] = [chosen, null];
  check();
}

byId("file").addEventListener("change", (event) => take(event.target.files[0]));
byId("key").addEventListener("change", check);
byId("again").addEventListener("click", check);
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});
