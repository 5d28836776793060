// Shows what changed between before and after: path by path, and within texts word by word. The first half is pure.

import { stringify } from "./json.js";
import { h, value, visible } from "./dom.js";
import { number } from "./prefs.js";

const WORDS_MAX = 400;
// Of what did not change, so much is shown before and after a change.
const SAME_SHOWN = 160;
// Texts that have so much in common are shown by what differs.
const ENDS_MIN = 64;

/** `[{path, kind, before, after}]` of everything that differs; `kind` is added, removed, changed or same. */
export function differences(before, after, { all = false } = {}, path = []) {
  if (isContainer(before) && isContainer(after) && Array.isArray(before) === Array.isArray(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    const rows = keys.flatMap((key) => differences(own(before, key), own(after, key), { all }, [...path, key]));
    if (rows.length > 0 || !all) return rows;
  }
  if (same(before, after)) return all ? [{ path, kind: "same", before, after }] : [];
  // An object that was added or removed as a whole is also shown field by field.
  if (before === undefined && isFilled(after)) return differences(Array.isArray(after) ? [] : {}, after, { all }, path);
  if (after === undefined && isFilled(before))
    return differences(before, Array.isArray(before) ? [] : {}, { all }, path);
  const kind = before === undefined ? "added" : after === undefined ? "removed" : "changed";
  return [{ path, kind, before, after }];
}

const own = (container, key) => (Object.hasOwn(container, key) ? container[key] : undefined);
const isContainer = (json) => json !== null && typeof json === "object";
const isFilled = (json) => isContainer(json) && Object.keys(json).length > 0;

export function same(a, b) {
  if (Object.is(a, b)) return true;
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key]));
}

/** The longest common run of words: `[{text, kind}]` with same, removed, added. */
export function wordDifferences(before, after) {
  return textDifferences(before, after, /\w+|\s+|[^\w\s]/gu);
}

const isHigh = (text, at) => /[\ud800-\udbff]/.test(text.charAt(at));

/** What is between the common beginning and the common end of two texts, as `wordDifferences` tells it. */
export function endDifferences(before, after) {
  const most = Math.min(before.length, after.length);
  let front = 0;
  while (front < most && before[front] === after[front]) front += 1;
  if (isHigh(before, front - 1)) front -= 1;
  let back = 0;
  while (back < most - front && before.at(-1 - back) === after.at(-1 - back)) back += 1;
  if (back > 0 && isHigh(before, before.length - back - 1)) back -= 1;
  return [
    { text: before.slice(0, front), kind: "same" },
    { text: before.slice(front, before.length - back), kind: "removed" },
    { text: after.slice(front, after.length - back), kind: "added" },
    { text: before.slice(before.length - back), kind: "same" },
  ].filter(({ text }) => text !== "");
}

/** A text that did not change, without its middle if it is long: `left` characters. */
export function shortened(text) {
  if (text.length <= 2 * SAME_SHOWN + 40) return { head: text, left: 0, tail: "" };
  const [head, tail] = [text.slice(0, SAME_SHOWN), text.slice(-SAME_SHOWN)];
  return { head, left: text.length - head.length - tail.length, tail };
}

/** The same by lines, which keep their ends. */
export function lineDifferences(before, after) {
  return textDifferences(before, after, /[^\n]*\n|[^\n]+/g);
}

function textDifferences(before, after, token) {
  const [a, b] = [before, after].map((text) => text.match(token) ?? []);
  if (a.length * b.length > WORDS_MAX * WORDS_MAX)
    return [
      { text: before, kind: "removed" },
      { text: after, kind: "added" },
    ];
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      lengths[i][j] = a[i] === b[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const parts = [];
  const put = (text, kind) => {
    if (parts.at(-1)?.kind === kind) parts.at(-1).text += text;
    else parts.push({ text, kind });
  };
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      put(a[i], "same");
      [i, j] = [i + 1, j + 1];
    } else if (j >= b.length || (i < a.length && lengths[i + 1][j] >= lengths[i][j + 1])) {
      put(a[i], "removed");
      i += 1;
    } else {
      put(b[j], "added");
      j += 1;
    }
  }
  return parts;
}

/** What stands in the place of a personal value that the reader does not see. */
const HIDDEN = new Set(["erasable", "erased", "unreadable"]);

/** Whether a value is such a word: nobody can search for what it stands for. */
export const isHidden = (json) => HIDDEN.has(json);

/** What changed where both states show the same word. */
function hiddenChanges(event) {
  return Object.entries(isContainer(event.changes) ? event.changes : {})
    .filter(([, change]) => isContainer(change) && isHidden(change.before) && change.before === change.after)
    .map(([path, { before, after }]) => ({ path: [path], kind: "changed", before, after }));
}

/** What an event changed, from its states or else from its `changes`; null if it has neither. */
export function changesOf(event, all = false) {
  if (event.before !== undefined || event.after !== undefined) {
    const hidden = hiddenChanges(event);
    const isTold = ({ path, kind }) => kind === "same" && hidden.some((row) => row.path[0] === path.join("."));
    const shown = differences(event.before ?? undefined, event.after ?? undefined, { all });
    return [...shown.filter((row) => !isTold(row)), ...hidden];
  }
  if (!isContainer(event.changes)) return null;
  return Object.entries(event.changes).map(([path, change]) => {
    const [before, after] = isContainer(change) ? [own(change, "before"), own(change, "after")] : [undefined, change];
    return {
      path: [path],
      before,
      after,
      kind: before === undefined ? "added" : after === undefined ? "removed" : "changed",
    };
  });
}

// ---- showing -------------------------------------------------------------------------------------------

const MARKS = { added: "+", removed: "−", changed: "~", same: "" };
const WORDS = { added: "added", removed: "removed", changed: "changed", same: "unchanged" };
const TAGS = { added: "ins", removed: "del", same: "span" };

/** Two multi-line texts as one, with removed and added lines. */
export function linesDiff(before, after, attributes = {}) {
  const lines = lineDifferences(before, after).flatMap(({ text, kind }) =>
    text
      .replace(/\n$/, "")
      .split("\n")
      .map((line) => h(TAGS[kind], {}, `${MARKS[kind] || " "} ${visible(line)}`)),
  );
  return h("pre", { class: "lines-diff mono", ...attributes }, lines);
}

/** The rows as a table: path, before, after. */
export function diffTable(rows, attributes = {}) {
  if (rows.length === 0) return h("p", { class: "quiet", ...attributes }, "Before and after are the same.");
  const head = h(
    "div",
    { class: "diff-row head", role: "row" },
    ["Field", "Before", "After"].map((name) => h("span", { role: "columnheader" }, name)),
  );
  return h("div", { class: "diff", role: "table", "aria-label": "What changed", ...attributes }, head, rows.map(diffRow));
}

const alike = (parts) => parts.filter((part) => part.kind === "same").reduce((sum, part) => sum + part.text.trim().length, 0);

function diffRow({ path, kind, before, after }) {
  const texts = kind === "changed" && typeof before === "string" && typeof after === "string";
  let parts = texts ? wordDifferences(before, after) : [];
  let inline = texts && alike(parts) * 3 >= Math.max(before.length, after.length);
  // A difference far behind must not stand beyond what is shown of a long text.
  if (texts && !inline) {
    parts = endDifferences(before, after);
    inline = alike(parts) >= ENDS_MIN;
  }
  const cells = inline
    ? [
        h("span", { class: "diff-value", role: "cell" }, words(parts, "added")),
        h("span", { class: "diff-value", role: "cell" }, words(parts, "removed")),
      ]
    : [before, after].map((json, at) =>
        h(
          "span",
          { class: "diff-value", role: "cell" },
          json === undefined ? null : side(json, kind === "same" ? null : at === 0 ? "del" : "ins"),
        ),
      );
  return h(
    "div",
    { class: `diff-row ${kind}`, role: "row", "data-testid": "diff-row", "data-path": path.join(".") },
    h(
      "span",
      { class: "diff-path mono", role: "rowheader" },
      h("span", { class: "diff-mark", "aria-label": WORDS[kind] }, MARKS[kind]),
      value(path.join(".") || "(all)", {}, 300),
    ),
    kind === "same" ? cells[0] : cells,
  );
}

function words(parts, without) {
  return parts
    .filter((part) => part.kind !== without)
    .map(({ text, kind }) =>
      kind === "same" ? unchanged(text) : h(kind === "added" ? "ins" : "del", {}, visible(text)),
    );
}

function unchanged(text) {
  const { head, left, tail } = shortened(text);
  return [visible(head), left > 0 && h("span", { class: "quiet" }, ` … ${number(left)} characters are the same … `), visible(tail)];
}

function side(json, tag) {
  const text = isContainer(json) ? stringify(json, 1) : typeof json === "string" ? json : String(json);
  const shown = value(
    text === "" ? "“”" : text,
    { class: isContainer(json) ? "mono pre" : typeof json === "string" ? "" : "mono" },
    4000,
  );
  return tag ? h(tag, {}, shown) : shown;
}
