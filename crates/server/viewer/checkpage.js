// The page that checks a bundle or a proof in this browser alone: nothing leaves it.

import { byId, fill, h, value } from "./dom.js";
import { FILE_BYTES_MAX, checkBundle, isBundle } from "./bundle.js";
import { PROOF_HEADER, checkProof, parseKey } from "./proof.js";

const FACES = {
  checking: ["…", "Checking"],
  proven: ["✓", "Genuine, by the key that you gave"],
  no_key: ["?", "Genuine for this key"],
  failed: ["✕", "Not genuine"],
  other_key: ["✕", "Not by the key that you gave"],
  unchecked: ["?", "Not checked"],
};

let file = null;
let bytes = null;
let run = 0;

function show(state, ...told) {
  const [mark, title] = FACES[state];
  const place = byId("verdict");
  place.hidden = false;
  place.dataset.state = state === "other_key" ? "failed" : state;
  // Which file: that of the field may be another one than was dropped.
  const what = file && h("p", { id: "checked-file" }, value(file.name, { class: "mono" }, 300), h("span", { class: "quiet" }, ` · ${file.size.toLocaleString("en")} bytes`));
  fill(place, h("h2", {}, h("span", { class: "mark", "aria-hidden": "true" }, mark), title), what, ...told);
}

/** The keys that were typed, one a line; throws if one is none. */
async function keys() {
  const lines = byId("key").value.split("\n").map((line) => line.trim()).filter(Boolean);
  return Promise.all(lines.map(parseKey));
}

async function check() {
  run += 1;
  if (!file) {
    show("unchecked", h("p", {}, "Choose a file first."));
    return;
  }
  const own = run;
  const isOver = () => own !== run;
  show("checking");
  let pinned;
  try {
    pinned = await keys();
  } catch (error) {
    if (!isOver()) show("unchecked", h("p", {}, value(error.message)));
    return;
  }
  if (isOver()) return;
  if (file.size > FILE_BYTES_MAX) {
    show("unchecked", h("p", {}, "It is too large for a browser. Use trailseal verify --bundle."));
    return;
  }
  try {
    // Read once: it may change on the disk afterwards.
    const read = bytes ?? new Uint8Array(await file.arrayBuffer());
    if (isOver()) return;
    bytes = read;
  } catch {
    if (!isOver()) show("unchecked", h("p", {}, "The file cannot be read, or was changed since you chose it: choose it again."));
    return;
  }
  const text = isBundle(bytes) ? "" : new TextDecoder().decode(bytes);
  if (isBundle(bytes)) await showBundle(pinned, isOver);
  else if (text.startsWith(PROOF_HEADER)) await showProof(text, pinned, isOver);
  else show("unchecked", h("p", {}, "It is neither a bundle (.zip) nor a proof (.tlog-proof): it does not begin as one of them."));
}

async function showBundle(pinned, isOver) {
  const count = h("p", { class: "quiet" });
  show("checking", count);
  const found = await checkBundle(bytes, pinned, (done) => {
    count.textContent = `${done.toLocaleString("en")} lines proved`;
  });
  if (isOver()) return;
  if (found.problem) {
    show(isOtherKey(found.code, pinned) ? "other_key" : found.state, h("p", {}, value(found.problem)));
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
  const wrong = found.steps.filter(({ ok }) => !ok);
  const isOther = wrong.length === 1 && isOtherKey(wrong[0].code, pinned);
  show(isOther ? "other_key" : found.state, steps, found.state === "proven" && h("pre", { class: "raw" }, value(found.line, {}, 70_000)));
}

// Somebody else may have signed it, or the key is that of another trail: of the rest, that says nothing.
const isOtherKey = (code, pinned) => pinned.length > 0 && ["origin_mismatch", "key_unknown"].includes(code);

const noKey = () =>
  h("p", { class: "warn" }, "The key came with the file, so anybody could have signed it. Compare it with one that you got from elsewhere, or give that one above.");

/** Takes the one file that was chosen or dropped; what was said of the one before does not stay. */
function take(files) {
  [file, bytes] = [files.length === 1 ? files[0] : null, null];
  if (file) {
    check();
    return;
  }
  run += 1;
  byId("verdict").hidden = files.length === 0;
  if (files.length > 1) show("unchecked", h("p", {}, `These are ${files.length} files. Choose one at a time.`));
}

byId("file").addEventListener("change", (event) => take(event.target.files));
byId("key").addEventListener("change", () => file && check());
byId("again").addEventListener("click", check);
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  const { files } = event.dataTransfer;
  if (files.length === 0) return;
  byId("file").files = files;
  take(files);
});
