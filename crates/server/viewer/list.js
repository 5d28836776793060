// The list of events: pages come as the reader scrolls, and only those near the window are in the document,
// so a million events cost no more than a hundred.

import { button, fill, h, icon } from "./dom.js";
import { number } from "./prefs.js";
import { dayHead, dayOf, headOf, keyOf, rowOf } from "./row.js";

const PAGE = 50;
// Beyond this many in memory, the oldest pages are dropped; they can be loaded again.
const PAGES_MAX = 400;
const MARGIN = "1500px 0px";

/** One list; `load(cursor)` returns `{events, next, scanned}`. */
export class EventList {
  constructor({ root, load, onOpen, onEmpty, onProblem, isByTime = () => true }) {
    Object.assign(this, { load, onOpen, onEmpty, onProblem, isByTime });
    this.pages = [];
    this.keys = new Set();
    this.next = null;
    this.selected = null;
    this.generation = 0;
    this.scanned = 0;
    this.waiting = [];
    this.rows = h("div", { class: "rows", id: "list", role: "listbox", "aria-label": "Events", tabindex: "-1" });
    this.fresh = button({
      id: "new-events",
      kind: "primary pill",
      text: " ",
      on: {
        click: () => {
          this.showWaiting(true);
          scrollTo({ top: 0 });
        },
      },
    });
    this.fresh.hidden = true;
    this.status = h("div", { id: "list-status", class: "list-status", role: "status" });
    fill(root, this.fresh, headOf(), this.rows, this.status);
    this.near = new IntersectionObserver(
      (entries) => entries.forEach(({ target, isIntersecting }) => this.#mount(target.page, isIntersecting)),
      { rootMargin: MARGIN },
    );
    this.end = new IntersectionObserver(
      ([entry]) => {
        this.atEnd = entry.isIntersecting;
        if (this.atEnd) this.more();
      },
      { rootMargin: "600px 0px" },
    );
    this.end.observe(this.status);
  }

  close() {
    this.generation += 1;
    this.near.disconnect();
    this.end.disconnect();
  }

  /** Starts over; the old content stays until the first page is there, so that nothing flickers. */
  async start() {
    this.generation += 1;
    this.loading = false;
    this.stopped = false;
    this.hasFailed = false;
    this.isCut = false;
    this.gained = 0;
    this.settle?.();
    this.settled = new Promise((resolve) => {
      this.settle = resolve;
    });
    this.scanned = 0;
    this.rows.classList.add("stale");
    this.rows.classList.toggle("by-recording", !this.isByTime());
    await this.#fetch(null, true);
  }

  /** The next page; `asked` if the reader pressed the button, which loads more than scrolling does. */
  async more(asked = false) {
    if (!this.next || this.loading || this.stopped) return;
    if (!asked && this.pages.length >= PAGES_MAX) this.#say("much");
    else await this.#fetch(this.next, false);
  }

  async #fetch(cursor, first) {
    const generation = this.generation;
    this.loading = true;
    this.#say("loading");
    let page;
    try {
      page = await this.load(cursor, PAGE);
    } catch (problem) {
      if (generation !== this.generation || problem.name === "AbortError") return;
      this.loading = false;
      this.hasFailed = true;
      this.settle();
      if (first) this.#clear();
      this.rows.classList.remove("stale");
      this.#sayProblem(problem, () => (first ? this.start() : this.more()));
      return;
    }
    if (generation !== this.generation) return;
    this.loading = false;
    this.hasFailed = false;
    if (first) {
      this.#clear();
      this.rows.classList.remove("stale");
    }
    this.next = page.next;
    this.scanned += Number(page.scanned ?? 0) || 0;
    this.add(page.events);
    if (this.pages.length === 0 && !this.next) this.onEmpty?.(this.status);
    else this.#say(this.next ? "more" : "end");
    // A page may be short although there is more (a search stopped at its work limit): continue until one is full.
    this.gained = page.events.length < PAGE ? (this.gained ?? 0) + page.events.length : PAGE;
    const isShort = this.gained < PAGE;
    if (!isShort) this.gained = 0;
    if (!isShort || !this.next) this.settle();
    if (this.next && (isShort || this.atEnd))
      setTimeout(
        () => {
          if (generation === this.generation) this.more();
        },
        isShort ? 0 : 50,
      );
  }

  #clear() {
    this.near.disconnect();
    this.rows.replaceChildren();
    this.pages = [];
    this.keys.clear();
    this.waiting = [];
    this.fresh.hidden = true;
  }

  /** Every matching event, if all of them are loaded; else null. */
  everything() {
    if (this.next || this.isCut || this.hasFailed || this.loading || this.rows.classList.contains("stale")) return null;
    return [...this.waiting, ...this.pages.flatMap((page) => page.events)];
  }

  /** Appends older events. */
  add(events) {
    const page = this.#page(events);
    if (!page) return;
    this.pages.push(page);
    this.rows.append(page.element);
    this.near.observe(page.element);
  }

  /** Puts newer events on top: at once if the reader is there, else on request. */
  prepend(events) {
    this.waiting.unshift(...events.filter((event) => !this.keys.has(keyOf(event))));
    if (this.waiting.length > PAGE * PAGES_MAX) this.waiting.length = PAGE * PAGES_MAX;
    this.showWaiting(this.rows.getBoundingClientRect().top > 0);
  }

  showWaiting(now) {
    if (now && this.waiting.length > 0) {
      const events = this.waiting;
      this.waiting = [];
      const first = this.pages[0];
      // The newest page grows up to its size, then a new one starts: the document stays in few pieces.
      const joined = first && first.events.length + events.length <= PAGE ? [...events, ...first.events] : null;
      if (joined) {
        this.#drop(first, 0);
        this.keys = new Set(this.pages.flatMap((page) => page.events.map(keyOf)));
      }
      const page = this.#page(joined ?? events);
      if (page) {
        page.fresh = new Set(events.map(keyOf));
        this.pages.unshift(page);
        this.rows.prepend(page.element);
        this.#mount(page, true);
        this.near.observe(page.element);
      }
      while (this.pages.length > PAGES_MAX) {
        this.#drop(this.pages.at(-1), this.pages.length - 1);
        this.next = null;
        this.isCut = true;
        this.#say("cut");
      }
      if (!this.next && !this.isCut && !this.loading && !this.hasFailed) this.#say("end");
    }
    this.fresh.hidden = this.waiting.length === 0;
    this.fresh.lastElementChild.textContent = `${number(this.waiting.length)} new ${this.waiting.length === 1 ? "event" : "events"}`;
  }

  #drop(page, at) {
    this.near.unobserve(page.element);
    page.element.remove();
    this.pages.splice(at, 1);
  }

  #page(all) {
    const events = all.filter((event) => {
      const key = keyOf(event);
      return !this.keys.has(key) && this.keys.add(key);
    });
    if (events.length === 0) return null;
    const element = h("div", { class: "page", role: "group" });
    const page = { events, element, mounted: false };
    element.page = page;
    return page;
  }

  // A page that is removed keeps its height, so that nothing jumps.
  #mount(page, isNear) {
    if (!page || page.mounted === isNear) return;
    page.mounted = isNear;
    if (isNear) {
      // The day stands above its first row, and on top of each page, where it stays while the page is scrolled. In the
      // order of recording, days may take turns: there, rows of another day than that on top have their own.
      page.rows = page.events.map((event) => this.#row(event, page.fresh?.has(keyOf(event))));
      const days = page.events.map(dayOf);
      const isHead = (day, at) => day && (at === 0 || (this.isByTime() && day !== days[at - 1]));
      const isOther = (day, at) => at > 0 && !this.isByTime() && day !== days[0];
      days.forEach((day, at) => page.rows[at].classList.toggle("other-day", isOther(day, at)));
      fill(
        page.element,
        page.rows.map((row, at) => [isHead(days[at], at) && dayHead(days[at]), row]),
      );
      page.fresh = null;
      page.element.style.height = "";
    } else {
      page.element.style.height = `${page.element.offsetHeight}px`;
      page.element.replaceChildren();
    }
  }

  #row(event, isFresh) {
    const key = keyOf(event);
    const row = rowOf(event, { isFresh, isSelected: key === this.selected });
    row.addEventListener("click", (click) => {
      if (click.metaKey || click.ctrlKey || click.shiftKey) return;
      click.preventDefault();
      this.select(key, { focus: false });
      this.onOpen(event);
    });
    row.addEventListener("focus", () => this.select(key, { focus: false, scroll: false }));
    return row;
  }

  #say(what) {
    const count = this.pages.reduce((sum, page) => sum + page.events.length, 0);
    if (what === "loading") {
      const where = this.scanned > 0 && this.next ? ` · ${number(this.scanned)} events searched` : "";
      fill(
        this.status,
        h("span", { class: "spinner", "aria-hidden": "true" }),
        h("span", {}, "Loading", where),
        this.scanned > 0 &&
          this.next &&
          button({
            id: "search-stop",
            kind: "small",
            text: "Stop",
            on: {
              click: () => {
                this.stopped = true;
                this.settle();
                this.generation += 1;
                this.loading = false;
                this.#say("stopped");
              },
            },
          }),
      );
    } else if (what === "much") {
      fill(
        this.status,
        h("span", {}, `${number(count)} events are loaded; a filter finds things faster.`),
        button({ id: "more", kind: "small", text: "More", on: { click: () => this.more(true) } }),
      );
    } else if (what === "more" || what === "stopped") {
      fill(
        this.status,
        button({
          id: "more",
          kind: "small",
          text: what === "stopped" ? "Continue searching" : "More",
          on: {
            click: () => {
              this.stopped = false;
              this.more(true);
            },
          },
        }),
        what === "stopped" && h("span", {}, "Stopped; not everything was searched."),
      );
    } else if (what === "cut") {
      fill(
        this.status,
        h("span", {}, "Older events were dropped to make room for new ones."),
        button({ kind: "small", text: "Reload", on: { click: () => this.start() } }),
      );
    } else if (count > 0) {
      fill(
        this.status,
        h("span", { class: "quiet" }, count === 1 ? "That is the only event." : `That is all: ${number(count)} events.`),
      );
    } else {
      fill(this.status);
    }
  }

  #sayProblem(problem, again) {
    fill(
      this.status,
      h(
        "div",
        { class: "notice bad", role: "alert", id: "problem" },
        icon("warning"),
        h("span", {}, problem.message),
        button({ id: "error-retry", kind: "small", text: "Try again", on: { click: again } }),
      ),
    );
    this.onProblem?.(problem);
  }

  /** Redraws times after a change of zone. */
  redraw() {
    for (const page of this.pages.filter((each) => each.mounted)) {
      page.mounted = false;
      this.#mount(page, true);
    }
  }

  // ---- selection -----------------------------------------------------------------------------------------

  find(key) {
    for (const [at, page] of this.pages.entries()) {
      const within = page.events.findIndex((event) => keyOf(event) === key);
      if (within >= 0) return { at, page, within, event: page.events[within] };
    }
    return null;
  }

  select(key, { focus = true, scroll = true } = {}) {
    this.rows.querySelector("[aria-selected=true]")?.setAttribute("aria-selected", "false");
    this.selected = key;
    const found = key && this.find(key);
    if (!found) return null;
    this.#mount(found.page, true);
    const row = found.page.rows[found.within];
    for (const other of this.rows.querySelectorAll("[tabindex='0']")) other.tabIndex = -1;
    row.setAttribute("aria-selected", "true");
    row.tabIndex = 0;
    if (scroll) row.scrollIntoView({ block: "nearest" });
    if (focus) row.focus({ preventScroll: true });
    return found.event;
  }

  /** The event after (or before) the selected one; loads more at the end. */
  move(by) {
    const found = this.selected && this.find(this.selected);
    if (!found) return this.pages[0] ? this.select(keyOf(this.pages[0].events[0])) : null;
    let { at, within } = found;
    within += by;
    if (within < 0) at -= 1;
    else if (within >= found.page.events.length) at += 1;
    const page = this.pages[at];
    if (!page) {
      if (by > 0) this.more();
      return null;
    }
    const event = page === found.page ? page.events[within] : page.events.at(by > 0 ? 0 : -1);
    return this.select(keyOf(event));
  }

  get current() {
    return this.selected ? this.find(this.selected)?.event : null;
  }
}
