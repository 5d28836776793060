// Export of what is shown, as a file: streamed from the server, with a count and a way to stop.

import { button, copyButton, fill, h, toast, visible } from "./dom.js";
import { ask, askJson } from "./api.js";
import { eventsIn } from "./bundle.js";
import { VIEW } from "./filters.js";
import { bytes, day, number } from "./prefs.js";

const KINDS = {
  bundle: {
    accept: "application/zip",
    type: "zip",
    ending: "zip",
    name: "Evidence",
    hint: "A bundle for somebody who does not trust this server: the exact lines with their proofs and the signed checkpoint. Events of the last second may not be sealed yet and are left out.",
  },
  csv: {
    accept: "text/csv",
    name: "CSV",
    hint: "For spreadsheets: one row per event, with the main fields. Cells cannot run as formulas.",
  },
  ndjson: {
    accept: "application/x-ndjson",
    name: "NDJSON",
    hint: "For programs: one JSON object per line, with every field.",
  },
  parquet: {
    accept: "application/vnd.apache.parquet",
    name: "Parquet",
    hint: "For your own SQL: DuckDB, pandas, Spark.",
  },
};
// The parts of a long download are passed to the browser, which keeps them on disk.
const PART_BYTES = 8 << 20;

export function openExport(filters) {
  const command = commandOf(filters);
  const state = h("p", { id: "export-state", class: "quiet", role: "status" });
  let stop = new AbortController();
  const dialog = h("dialog", {
    id: "export-menu",
    class: "dialog",
    "aria-labelledby": "export-title",
    on: {
      close: () => {
        stop.abort();
        dialog.remove();
      },
    },
  });
  const found = h("p", { id: "export-count", class: "quiet" }, "Counting the events that match.");
  const json = h("input", { id: "export-json-columns", type: "checkbox" });
  let count = null;
  const counted = async () => {
    try {
      ({ count } = await askJson("v1/events", { query: [...filters.asked(VIEW), ["count", "true"]], signal: stop.signal }));
      fill(found, h("strong", {}, number(count)), count === 1 ? " event matches the filters." : " events match the filters, not only those loaded so far.");
    } catch (problem) {
      if (problem.name !== "AbortError") fill(found, "All events that match the filters, not only those loaded so far.");
    }
  };
  const start = async (kind) => {
    stop.abort();
    stop = new AbortController();
    const stopButton = button({ id: "export-stop", kind: "small", text: "Stop", on: { click: () => stop.abort() } });
    try {
      fill(state, h("span", { class: "spinner" }), " Asking the server ", stopButton);
      const more = kind === "csv" && json.checked ? [["json_columns", "true"]] : [];
      const { blob, events } = await download(kind, filters, more, stop.signal, (size) => {
        state.childNodes[1].textContent = ` ${bytes(size)} so far `;
      });
      const name = fileName(filters, KINDS[kind].ending ?? kind);
      offer(blob, name);
      dialog.close();
      const counted = events === null ? "" : `${number(events)} ${events === 1 ? "event" : "events"}, `;
      const less = kind === "bundle" && count !== null && events !== null && events < count;
      toast(`Saved ${counted}${bytes(blob.size)}, as ${name}.${less ? ` ${number(count)} matched: what is not sealed yet is left out.` : ""}`);
    } catch (problem) {
      fill(
        state,
        problem.name === "AbortError"
          ? "Stopped; nothing was saved."
          : (problem.message ?? "The download was interrupted; nothing was saved."),
      );
    }
  };
  fill(
    dialog,
    h(
      "div",
      { class: "dialog-head" },
      h("h2", { id: "export-title" }, "Export what is shown"),
      button({ kind: "plain", icon: "close", label: "Close", on: { click: () => dialog.close() } }),
    ),
    found,
    Object.entries(KINDS).map(([kind, { name, hint }]) => [
      h(
        "button",
        { type: "button", id: `export-${kind}`, class: "choice", on: { click: () => start(kind) } },
        h("b", {}, name),
        h("span", { class: "quiet" }, hint),
      ),
      kind === "csv" && h("label", { class: "switch quiet" }, json, "CSV also has before, after, changes and details, as JSON"),
    ]),
    state,
    h(
      "details",
      { class: "more" },
      h("summary", {}, "The same search on the command line"),
      h(
        "div",
        { class: "command-box" },
        h("pre", { id: "export-command", class: "command" }, visible(command)),
        copyButton(() => command, { id: "export-command-copy", label: "Copy the command" }),
      ),
    ),
    h(
      "p",
      { class: "quiet" },
      "Whoever gets the evidence checks it with ",
      h("a", { href: "assets/check.html", target: "_blank", rel: "noopener" }, "the page that checks files"),
      ", in the browser alone, or with ",
      h("code", {}, "trailseal verify --bundle"),
      ".",
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  counted();
}

/** A name that says what the file has: the filters, and the day. */
export function fileName(filters, ending, now = new Date()) {
  const parts = filters.query(VIEW).flatMap(([name, text]) => (name === "system" ? ["system"] : [name, text]));
  const slug = parts
    .join("-")
    .replaceAll(/[^\p{L}\p{M}\p{N}._]+/gu, "-")
    .slice(0, 80)
    .replaceAll(/^[-.]+|[-.]+$/g, "");
  return `${["trailseal", slug, day(now)].filter(Boolean).join("-")}.${ending}`;
}

/** The search as `trailseal query` takes it, safe to paste into a shell. */
export function commandOf(filters) {
  const flags = filters
    .asked()
    .map(([name, text]) => (name === "system" ? "--system" : `--${name.replaceAll("_", "-")}=${quoted(text)}`));
  return ["trailseal query", ...flags, "--format jsonl"].join(" ");
}

function quoted(text) {
  return /^[\w.:/@%+,][\w.:/@%+,=-]*$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

async function download(kind, filters, more, signal, progress) {
  const response = await ask("v1/events", { query: [...filters.asked(), ...more], accept: KINDS[kind].accept, signal });
  const type = response.headers.get("Content-Type") ?? "";
  if (!type.includes(KINDS[kind].type ?? kind)) throw new Error(`The server sent ${type || "something else"} instead of ${KINDS[kind].name}.`);
  const reader = response.body.getReader();
  const counter = COUNTERS[kind]?.();
  const parts = [];
  let chunks = [];
  let pending = 0;
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (value) {
      counter?.take(value);
      chunks.push(value);
      pending += value.length;
      size += value.length;
    }
    if (pending >= PART_BYTES || done) {
      parts.push(new Blob(chunks));
      [chunks, pending] = [[], 0];
      progress(size);
    }
    if (!done) continue;
    const blob = new Blob(parts, { type: KINDS[kind].accept });
    return { blob, events: kind === "bundle" ? await eventsIn(blob) : (counter?.events() ?? null) };
  }
}

// How many events a file has, where the page can tell: what matched when it was opened may be another number.
const COUNTERS = { ndjson: () => rowCounter(), csv: () => rowCounter({ quote: 0x22, heads: 1 }) };

/** Counts lines, but for those within quotes, and without the first `heads`. */
export function rowCounter({ quote = -1, heads = 0 } = {}) {
  let [rows, isQuoted] = [0, false];
  return {
    take: (chunk) => {
      for (const byte of chunk) {
        if (byte === quote) isQuoted = !isQuoted;
        else if (byte === 0x0a && !isQuoted) rows += 1;
      }
    },
    events: () => Math.max(0, rows - heads),
  };
}

function offer(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
