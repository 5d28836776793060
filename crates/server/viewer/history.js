// The history of one resource, with what changed each time; and the events of one actor.

import { button, fill, h, icon, showProblem, value } from "./dom.js";
import { askJson } from "./api.js";
import { changesOf, diffTable } from "./diff.js";
import { closeDrawer, isDrawerOpen, openDrawer } from "./event.js";
import { Filters, VIEW } from "./filters.js";
import { Histogram, summaryQuery } from "./histogram.js";
import { EventList } from "./list.js";
import { keyOf, nameOf, outcomeChip, severityMark, timeTag } from "./row.js";
import { ago, clock, day, number } from "./prefs.js";
import { actorAddress, go, route } from "./route.js";

const PAGE = 50;
const CHANGES_SHOWN = 8;

// ---- a resource ----------------------------------------------------------------------------------------

export function openHistory(root, first) {
  const page = new HistoryPage(root);
  page.update(first);
  return page;
}

class HistoryPage {
  constructor(root) {
    this.root = root;
  }

  update(here) {
    const resource = here.params.get("resource") ?? "";
    if (resource !== this.resource) this.#load(resource);
    for (const each of this.timeline.children)
      each.classList.toggle("is-open", each.dataset.key === `${here.event?.origin ?? ""}#${here.event?.key}`);
    showDrawer(
      here,
      this.events?.find((event) => String(event.index) === here.event?.key),
      (by) => this.#move(by),
    );
  }

  close() {
    this.asking?.abort();
  }

  redraw() {
    const { resource } = this;
    this.resource = null;
    this.#load(resource);
  }

  async #load(resource) {
    this.asking?.abort();
    this.asking = new AbortController();
    this.resource = resource;
    this.events = [];
    const slash = resource.indexOf("/");
    this.type = slash < 0 ? resource : resource.slice(0, slash);
    this.id = slash < 0 ? "" : resource.slice(slash + 1);
    this.timeline = h("ol", { id: "history", class: "timeline", "aria-label": "Events, oldest first" });
    this.status = h("div", { class: "list-status", role: "status" });
    fill(
      this.root,
      h(
        "div",
        { class: "page narrow" },
        h(
          "a",
          { id: "history-back", class: "back", href: `?${new URLSearchParams({ resource })}` },
          icon("left", 15),
          "All events with this resource",
        ),
        h(
          "header",
          { class: "page-head" },
          h("p", { class: "eyebrow" }, "History of ", value(this.type || "a resource")),
          h("h1", { class: "mono" }, value(this.id || this.type || "—")),
        ),
        this.timeline,
        this.status,
      ),
    );
    if (!this.id) {
      fill(this.status, "A history needs one resource: type and id.");
      return;
    }
    await this.#more(null);
  }

  async #more(cursor) {
    const { signal } = this.asking;
    fill(this.status, h("span", { class: "spinner" }), "Loading");
    try {
      const query = [["limit", String(PAGE)], ...(cursor ? [["cursor", cursor]] : [])];
      const answer = await askJson(
        `v1/resources/${encodeURIComponent(this.type)}/${encodeURIComponent(this.id)}/history`,
        { query, signal },
      );
      this.events.push(...answer.events);
      this.timeline.append(...answer.events.map((event) => moment(event)));
      if (answer.next && answer.events.length < PAGE) {
        await this.#more(answer.next);
        return;
      }
      fill(
        this.status,
        answer.next
          ? button({ id: "more", kind: "small", text: "Later events", on: { click: () => this.#more(answer.next) } })
          : h(
              "span",
              { class: "quiet" },
              this.events.length === 0 ? "No events about this resource." : "This is its latest state.",
            ),
      );
    } catch (problem) {
      if (problem.name !== "AbortError") showProblem(this.status, problem, () => this.#more(cursor));
    }
  }

  key(event) {
    if (event.key === "j") return this.#move(1);
    if (event.key === "k") return this.#move(-1);
    return false;
  }

  #move(by) {
    const here = route().event;
    const at = this.events.findIndex((event) => String(event.index) === here?.key && event.origin === here?.origin);
    const next = this.events[at + by];
    if (next) go(route().withEvent(next), { replace: Boolean(here) });
    return true;
  }
}

function moment(event) {
  const rows = changesOf(event);
  const more = rows && rows.length > CHANGES_SHOWN;
  return h(
    "li",
    { class: `moment ${event.outcome ?? ""}`, "data-testid": "history-event", "data-key": keyOf(event) },
    h(
      "div",
      { class: "moment-head" },
      timeTag(event.time ?? event.recorded),
      h("a", { class: "moment-action mono", href: route().withEvent(event) }, value(event.action ?? "")),
      outcomeChip(event.outcome),
      severityMark(event.severity),
    ),
    event.actor &&
      h(
        "p",
        { class: "moment-actor" },
        "by ",
        h("a", { href: actorAddress(event.actor.id ?? event.actor.name ?? "") }, value(nameOf(event.actor), {}, 200)),
      ),
    event.description && h("p", {}, value(event.description)),
    rows?.length > 0 && diffTable(rows.slice(0, CHANGES_SHOWN)),
    more && h("p", { class: "quiet" }, `and ${rows.length - CHANGES_SHOWN} more changes; open the event to see them`),
  );
}

// ---- an actor ------------------------------------------------------------------------------------------

export function openActor(root, first) {
  const page = new ActorPage(root);
  page.update(first);
  return page;
}

class ActorPage {
  constructor(root) {
    this.root = root;
  }

  update(here) {
    if (here.filters.toString() !== this.filters?.toString()) this.#show(here.filters);
    if (here.event) this.list.select(`${here.event.origin ?? ""}#${here.event.key}`, { focus: false });
    showDrawer(here, this.list.current, (by) => this.key({ key: by > 0 ? "j" : "k" }));
  }

  close() {
    this.asking?.abort();
    this.list?.close();
    this.histogram?.close();
  }

  redraw() {
    this.list.redraw();
    this.histogram.draw();
  }

  #show(filters) {
    this.close();
    this.filters = filters;
    this.asking = new AbortController();
    this.histogram = new Histogram((since, until) => go(route().withFilters(this.filters.between(since, until))));
    this.cards = h("div", { class: "actor-cards" });
    const listRoot = h("section", { class: "list", "aria-label": "What the actor did" });
    const actor = filters.get("actor");
    fill(
      this.root,
      h(
        "div",
        { class: "page", id: "actor-page" },
        h("a", { class: "back", id: "actor-search", href: `?${filters}` }, icon("left", 15), "Search in these events"),
        h(
          "header",
          { class: "page-head" },
          h("p", { class: "eyebrow" }, "Events of"),
          (this.heading = h("h1", {}, value(actor || "—"))),
        ),
        this.cards,
        h(
          "section",
          { class: "overview" },
          h("div", { class: "overview-head" }, h("p", { class: "total" }, "Over time"), this.histogram.zoomOut),
          this.histogram.element,
        ),
        listRoot,
      ),
    );
    this.list = new EventList({
      root: listRoot,
      load: (cursor, limit) => this.#load(cursor, limit),
      onOpen: (event) => go(route().withEvent(event), { replace: isDrawerOpen() }),
      onEmpty: (place) =>
        fill(
          place,
          h(
            "div",
            { id: "empty", class: "empty" },
            h("h2", {}, "No events of this actor"),
            h("p", {}, "No event has this id or name."),
          ),
        ),
    });
    this.list.start();
    this.#summarise();
  }

  async #load(cursor, limit) {
    const query = [...this.filters.asked(), ["limit", String(limit)], ...(cursor ? [["cursor", cursor]] : [])];
    const answer = await askJson("v1/events", { query, signal: this.asking.signal });
    return { events: answer.events, next: answer.next ?? null, scanned: answer.scanned_to };
  }

  async #summarise() {
    const { signal } = this.asking;
    try {
      const query = this.filters.asked(VIEW);
      const [summary, oldest, newest] = await Promise.all([
        askJson("v1/summary", { query: summaryQuery(this.filters), signal }),
        ...["asc", "desc"].map((order) =>
          askJson("v1/events", { query: [...query, ["order_by", "recorded"], ["order", order], ["limit", "1"]], signal }),
        ),
      ]);
      this.histogram.show(summary, this.filters);
      this.#name(newest.events[0]?.actor);
      const seen = (answer, label) => {
        const at = answer.events[0] && new Date(answer.events[0].recorded);
        return at && card(label, day(at), "", `${clock(at)} · ${ago(at)}`);
      };
      const counted = (...outcomes) =>
        summary.by_outcome
          .filter(({ value: each }) => outcomes.includes(each))
          .reduce((sum, each) => sum + each.count, 0);
      const denied = counted("denied", "failure");
      // Events without an outcome do not count.
      const named = summary.total - counted("none");
      const of = named === summary.total ? "of them" : "of those with an outcome";
      const share = named > 0 ? `${Math.round((denied / named) * 1000) / 10} % ${of}` : null;
      fill(
        this.cards,
        h(
          "div",
          { class: "cards four" },
          card("Events", number(summary.total)),
          card("Denied or failed", number(denied), denied > 0 ? "bad" : "", share),
          seen(oldest, "First recorded"),
          seen(newest, "Last recorded"),
        ),
        h(
          "div",
          { class: "cards two" },
          this.#top("Most frequent actions", "action", summary.by_action),
          this.#top("Most frequent resource types", "resource", summary.by_resource_type),
        ),
      );
    } catch (problem) {
      if (problem.name !== "AbortError") showProblem(this.cards, problem, () => this.#summarise());
    }
  }

  // The actor's name in the newest event, next to the requested one.
  #name(actor) {
    const asked = this.filters.get("actor");
    const other = actor && [actor.name, actor.id].find((each) => each && each !== asked);
    if (!other) return;
    fill(
      this.heading,
      value(actor.name || asked, {}, 200),
      h("span", { class: "beside mono" }, value(actor.name === asked || !actor.name ? other : asked, {}, 200)),
    );
  }

  #top(label, name, values = []) {
    return (
      values.length > 0 &&
      h(
        "div",
        { class: "card" },
        h("h2", {}, label),
        h(
          "ul",
          { class: "top" },
          values
            .slice(0, 4)
            .map((each) =>
              h(
                "li",
                {},
                h(
                  "a",
                  { class: "mono", href: `?${new Filters([...this.filters.pairs, [name, each.value]])}` },
                  value(each.value, {}, 80),
                ),
                h("span", { class: "quiet" }, number(each.count)),
              ),
            ),
        ),
      )
    );
  }

  key(event) {
    if (event.key !== "j" && event.key !== "k") return false;
    const next = this.list.move(event.key === "j" ? 1 : -1);
    if (next && isDrawerOpen()) go(route().withEvent(next), { replace: true });
    return true;
  }
}

// ---- shared --------------------------------------------------------------------------------------------

const card = (label, text, kind = "", more = null) =>
  h(
    "div",
    { class: `card ${kind}` },
    h("h2", {}, label),
    h("p", { class: "figure" }, text),
    more && h("p", { class: "quiet" }, more),
  );

function showDrawer(here, known, move) {
  if (here.event) openDrawer(here.event, known, { move });
  else if (isDrawerOpen()) closeDrawer();
}
