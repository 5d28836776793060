// Export of what is shown, as a file: streamed from the server, with a count and a way to stop.

import { button, copyButton, fill, h, toast, visible } from "./dom.js";
import { ask } from "./api.js";
import { bytes } from "./prefs.js";

const KINDS = {
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
  const start = async (kind) => {
    stop.abort();
    stop = new AbortController();
    const stopButton = button({ id: "export-stop", kind: "small", text: "Stop", on: { click: () => stop.abort() } });
    try {
      fill(state, h("span", { class: "spinner" }), " Asking the server ", stopButton);
      const blob = await download(kind, filters, stop.signal, (size) => {
        state.childNodes[1].textContent = ` ${bytes(size)} so far `;
      });
      offer(blob, `trailseal-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.${kind}`);
      dialog.close();
      toast(`Saved ${bytes(blob.size)} as ${KINDS[kind].name}.`);
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
    h("p", { class: "quiet" }, "All events that match the filters, not only those loaded so far."),
    Object.entries(KINDS).map(([kind, { name, hint }]) =>
      h(
        "button",
        { type: "button", id: `export-${kind}`, class: "choice", on: { click: () => start(kind) } },
        h("b", {}, name),
        h("span", { class: "quiet" }, hint),
      ),
    ),
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
      "For evidence that anyone can check, use ",
      h("code", {}, "trailseal export --format bundle"),
      ".",
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}

/** The search as `trailseal query` takes it, safe to paste into a shell. */
export function commandOf(filters) {
  const flags = filters
    .query()
    .map(([name, text]) => (name === "system" ? "--system" : `--${name.replaceAll("_", "-")}=${quoted(text)}`));
  return ["trailseal query", ...flags, "--format jsonl"].join(" ");
}

function quoted(text) {
  return /^[\w.:/@%+,][\w.:/@%+,=-]*$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

async function download(kind, filters, signal, progress) {
  const response = await ask("v1/events", { query: filters.query(), accept: KINDS[kind].accept, signal });
  const type = response.headers.get("Content-Type") ?? "";
  if (!type.includes(kind)) throw new Error(`The server sent ${type || "something else"} instead of ${KINDS[kind].name}.`);
  const reader = response.body.getReader();
  const parts = [];
  let chunks = [];
  let pending = 0;
  let size = 0;
  for (;;) {
    const { value, done } = await reader.read();
    if (value) {
      chunks.push(value);
      pending += value.length;
      size += value.length;
    }
    if (pending >= PART_BYTES || done) {
      parts.push(new Blob(chunks));
      [chunks, pending] = [[], 0];
      progress(size);
    }
    if (done) return new Blob(parts, { type: KINDS[kind].accept });
  }
}

function offer(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
