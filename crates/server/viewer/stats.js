// Health and numbers: does the trail keep up, and did anything go wrong?

import { fill, h, icon, showProblem, value } from "./dom.js";
import { ask, askJson } from "./api.js";
import { bytes, clock, number, span } from "./prefs.js";

const EVERY_MS = 30_000;

const WORDS = {
  good: ["check", "Healthy", "Everything sent is recorded and delivered in time."],
  warning: ["warning", "Warning", "Something lags or failed, but within the configured limits."],
  critical: ["cross", "Critical", "Events failed, or are waiting longer than they should."],
  unknown: ["pulse", "Unknown", "The server did not say."],
};

const LABELS = {
  submitted: "Sent in",
  succeeded: "Recorded",
  failed: "Failed",
  success_rate: "Success rate",
  queue_size: "Not in the store yet",
  "events.accepted": "Accepted",
  "events.durable": "On disk",
  "events.sealed": "Sealed",
  "not_durable.events": "Not on disk yet",
  "not_durable.seconds": "The oldest has waited for",
  "handoff.used_bytes": "Handoff in use",
  "handoff.bytes": "Handoff size",
  "reviews.pending": "Reviews waiting",
  "counted.refused": "Refused",
  "counted.unconfirmed": "Unconfirmed",
  "counted.sampled_out": "Sampled out",
  "counted.off": "Not recorded by policy",
  "counted.masked": "Masked",
  "counted.slow_writes": "Writes over a second",
  "counted.commits": "Commits",
  "counted.durable_bytes": "Bytes made durable",
};
// Shown elsewhere, or by the page as a whole.
const ELSEWHERE = new Set(["origin", "health", "sinks", "reading", "outbox"]);
// Any of these is worth a look.
const LOSSES = new Set(["failed", "counted.refused", "counted.unconfirmed"]);

export function openHealth(root) {
  return new HealthPage(root);
}

class HealthPage {
  constructor(root) {
    this.asking = new AbortController();
    this.state = h("section", { id: "health-state", class: "health", "aria-live": "polite" });
    this.numbers = h("div", { id: "stats" });
    this.origins = h("section", { id: "origins" });
    this.when = h("p", { class: "quiet" });
    fill(
      root,
      h(
        "div",
        { class: "page" },
        h("header", { class: "page-head" }, h("h1", {}, "Health"), this.when),
        this.state,
        this.numbers,
        this.origins,
      ),
    );
    this.#load();
    this.timer = setInterval(() => {
      if (!document.hidden) this.#load(this.last !== undefined);
    }, EVERY_MS);
  }

  update() {}

  close() {
    clearInterval(this.timer);
    this.asking.abort();
  }

  redraw() {
    this.#load();
  }

  key(event) {
    if (event.key === "r") this.#load();
    return event.key === "r";
  }

  // Looking at the trails is itself recorded, so it is not repeated.
  async #load(again = false) {
    const { signal } = this.asking;
    const quietly = (promise) =>
      promise.catch((problem) => {
        if (problem.name === "AbortError") throw problem;
        return { problem };
      });
    try {
      const [counters, stats, origins, ready] = await Promise.all([
        quietly(
          ask("admin/audit/stats", { signal }).then(async (response) => ({
            body: await response.json(),
            health: response.headers.get("X-Audit-Health"),
          })),
        ),
        quietly(askJson("v1/stats", { signal })),
        again ? this.last : quietly(askJson("v1/origins", { signal })),
        quietly(
          ask("readyz", { signal, accept: "*/*", also: [503] }).then(async (response) => ({
            isReady: response.ok,
            ...(await response.json().catch(() => ({}))),
          })),
        ),
      ]);
      this.last = origins;
      this.#show(counters, stats, origins, ready);
    } catch {
      /* The page was left. */
    }
  }

  #show(counters, stats, origins, ready) {
    fill(this.when, `As of ${clock(new Date())}, updated every ${EVERY_MS / 1000} s while this page is open.`);
    if (counters.problem && stats.problem) {
      fill(this.numbers);
      fill(this.origins);
      showProblem(this.state, stats.problem, () => this.#load());
      return;
    }
    const ages = healthOf(stats);
    const worst = worse(counters.health ?? "unknown", ages);
    const refuses = ready.isReady === false;
    const name = refuses ? "critical" : worst;
    const [symbol, title, words] = WORDS[name] ?? WORDS.unknown;
    this.state.dataset.health = name;
    fill(
      this.state,
      h("span", { class: "proof-symbol" }, icon(symbol, 22)),
      h(
        "div",
        {},
        h("h2", {}, refuses ? "Not accepting events" : title),
        h(
          "p",
          {},
          refuses ? value((ready.problems ?? []).join("; ") || "The server says that it is not ready.") : words,
        ),
      ),
    );
    fill(
      this.numbers,
      counters.body &&
        h(
          "section",
          {},
          h("h2", { class: "group" }, "Since it started"),
          h(
            "div",
            { class: "cards" },
            Object.entries(counters.body).map(([key, each]) =>
              // Of nothing there is no rate.
              stat(key, key === "success_rate" && counters.body.submitted === 0 ? "–" : each),
            ),
          ),
        ),
      !stats.problem &&
        h(
          "section",
          {},
          h("h2", { class: "group" }, "The trail"),
          h(
            "div",
            { class: "cards" },
            flat(stats)
              .filter(isShown)
              .map(([key, each]) => stat(key, each)),
          ),
        ),
      Array.isArray(stats.sinks) &&
        stats.sinks.length > 0 &&
        h(
          "section",
          {},
          h("h2", { class: "group" }, "Delivery"),
          h("div", { class: "trail-list" }, stats.sinks.map(sinkRow), outboxRow(stats.outbox), searchRow(stats.reading)),
        ),
    );
    fill(
      this.origins,
      !origins.problem &&
        origins.origins?.length > 0 && [
          h("h2", { class: "group" }, "Trails"),
          h("div", { class: "trail-list" }, origins.origins.map(originRow)),
        ],
    );
  }
}

function healthOf(stats) {
  const said = stats.health ?? stats.status ?? "unknown";
  return typeof said === "string" ? said : (said.status ?? said.state ?? "unknown");
}

function worse(a, b) {
  const order = ["unknown", "good", "warning", "critical"];
  return order[Math.max(order.indexOf(a), order.indexOf(b), 0)];
}

// Nested numbers by their path, so that numbers from a newer server are also shown.
function flat(json, prefix = "") {
  return Object.entries(json).flatMap(([key, each]) => {
    const path = prefix ? `${prefix}.${key}` : key;
    if (Array.isArray(each))
      return each.flatMap((one, at) =>
        one !== null && typeof one === "object"
          ? flat(one, `${path}.${one.name ?? one.origin ?? at}`)
          : [[`${path}.${at}`, one]],
      );
    return each !== null && typeof each === "object" ? flat(each, path) : [[path, each]];
  });
}

function stat(key, each) {
  const name = key.split(".").at(-1);
  const label =
    LABELS[key] ??
    key
      .replace(/^counted\./, "")
      .replaceAll("_", " ")
      .replaceAll(".", " · ");
  const text =
    typeof each === "number"
      ? /(^|_)bytes$/.test(name)
        ? bytes(each)
        : /(^|_)seconds$|_age$|^age/.test(name)
          ? span(each)
          : number(each)
      : typeof each === "boolean"
        ? each
          ? "yes"
          : "no"
        : each === null
          ? "—"
          : String(each);
  const mood = LOSSES.has(key) && each > 0 ? "bad" : "";
  return h(
    "div",
    { class: `card ${mood}`, "data-testid": "stat", "data-name": key, "data-value": String(each) },
    h("h2", {}, label.charAt(0).toUpperCase() + label.slice(1)),
    h("p", { class: "figure" }, value(text, {}, 120)),
  );
}

// Counts of rare events are shown once they are not zero, and parts that a server does not have never.
function isShown([key, each]) {
  return each !== null && !ELSEWHERE.has(key.split(".")[0]) && (!key.startsWith("counted.") || LOSSES.has(key) || each !== 0);
}

function sinkRow(sink) {
  const { events = 0, seconds = 0 } = sink.lag ?? {};
  return h(
    "div",
    { class: "trail-row", "data-testid": "sink", "data-name": sink.name },
    h("b", { class: "mono" }, value(sink.name ?? "")),
    h("span", {}, `${number(sink.stored ?? 0)} stored`),
    h("span", {}, events > 0 ? `${number(events)} left, the oldest for ${span(seconds)}` : "nothing left"),
    h("span", { class: `chip health-${sink.health}` }, value(sink.state ?? "")),
    sink.reason && h("p", { class: "reason" }, value(sink.reason)),
  );
}

// What an application wrote in its own transactions, on its way into the trail.
function outboxRow(outbox) {
  if (!outbox) return null;
  const { waiting = 0, claimed = 0, oldest_seconds: oldest = 0, put_aside: aside = 0 } = outbox.seen ?? {};
  const left = waiting + claimed > 0 ? `${number(waiting + claimed)} left, the oldest for ${span(oldest)}` : "nothing left";
  return h(
    "div",
    { class: "trail-row", "data-testid": "outbox" },
    h("b", {}, "Outbox"),
    h("span", {}, `${number(outbox.taken_over ?? 0)} taken over`),
    h("span", {}, outbox.seen?.waiting === undefined ? "what is left is not known" : left),
    aside > 0 && h("span", {}, `${number(aside)} put aside`),
    h("span", { class: `chip health-${outbox.health}` }, value(outbox.state ?? "")),
    outbox.reason && h("p", { class: "reason" }, value(outbox.reason)),
  );
}

// Only a shared store can be out of reach.
function searchRow(reading) {
  if (reading?.from !== "store") return null;
  return h(
    "div",
    { class: "trail-row", "data-testid": "reading" },
    h("b", {}, "Searches"),
    h("span", {}, "answered from the shared store"),
    h("span", { class: `chip health-${reading.state === "running" ? "good" : "warning"}` }, value(reading.state ?? "")),
    reading.reason && h("p", { class: "reason" }, value(reading.reason)),
  );
}

function originRow(origin) {
  const { size, sealed } = origin;
  const behind = origin.lag?.events ?? 0;
  return h(
    "div",
    { class: "trail-row", "data-testid": "origin", "data-origin": origin.origin },
    h("b", { class: "mono" }, value(origin.origin ?? "")),
    Number.isFinite(size) && h("span", {}, `${number(size)} events, including its own`),
    Number.isFinite(sealed) && h("span", {}, `${number(sealed)} sealed`),
    behind > 0 && h("span", { class: "quiet" }, `${number(behind)} ${Number.isFinite(origin.stored) ? "not in the store yet" : "not indexed yet"}`),
    h("a", { href: "?view=seal" }, "Show its seal"),
  );
}
