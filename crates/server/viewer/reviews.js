// The review queue: what was flagged, and what people decided. If two decide at once, one wins and the other is told.

import { announce, button, fill, h, icon, showProblem, toast, value } from "./dom.js";
import { ask, askJson, eventPath } from "./api.js";
import { changesOf, diffTable, linesDiff } from "./diff.js";
import { closeDrawer, isDrawerOpen, openDrawer } from "./event.js";
import { nameOf, outcomeChip, resourceOf, timeTag } from "./row.js";
import { number } from "./prefs.js";
import { route } from "./route.js";

const STATES = [
  ["pending", "Waiting"],
  ["approved", "Approved"],
  ["rejected", "Rejected"],
];

export function openReviews(root, first) {
  const page = new ReviewsPage(root);
  page.update(first);
  return page;
}

class ReviewsPage {
  constructor(root) {
    this.tabs = h("div", { id: "review-tabs", class: "tabs", role: "tablist", "aria-label": "State" });
    this.near = new IntersectionObserver((entries) =>
      entries
        .filter((entry) => entry.isIntersecting)
        .forEach(({ target }) => {
          this.near.unobserve(target);
          this.#tell(target.about);
        }),
    );
    this.place = h("div", { class: "reviews", id: "reviews", role: "tabpanel", "aria-live": "polite" });
    this.status = h("div", { id: "review-status", class: "list-status", role: "status" });
    // The next page comes as the reader scrolls.
    this.end = new IntersectionObserver(
      ([entry]) => {
        this.atEnd = entry.isIntersecting;
        if (this.atEnd) this.#more();
      },
      { rootMargin: "600px 0px" },
    );
    this.end.observe(this.status);
    fill(
      root,
      h(
        "div",
        { class: "page narrow" },
        h(
          "header",
          { class: "page-head" },
          h("h1", {}, "Reviews"),
          h(
            "p",
            { class: "lead" },
            "Events flagged by a person, a rule or a program, and changes that need a second person. Each decision is itself an event of the trail and is sealed like the others.",
          ),
        ),
        this.tabs,
        this.place,
        this.status,
      ),
    );
  }

  update(here) {
    const state = STATES.some(([each]) => each === here.params.get("state")) ? here.params.get("state") : "pending";
    if (state !== this.state) {
      this.state = state;
      this.#load();
    }
    if (here.event) openDrawer(here.event, null);
    else if (isDrawerOpen()) closeDrawer();
  }

  close() {
    this.asking?.abort();
    this.near.disconnect();
    this.end.disconnect();
  }

  redraw() {
    this.#load();
  }

  key(event) {
    if (event.key !== "r") return false;
    this.#load();
    return true;
  }

  #load() {
    this.asking?.abort();
    this.asking = new AbortController();
    this.near.disconnect();
    this.count = 0;
    this.next = null;
    fill(
      this.tabs,
      STATES.map(([state, name]) =>
        h(
          "a",
          {
            class: "tab",
            role: "tab",
            href: `?view=reviews&state=${state}`,
            "data-testid": "review-tab",
            "data-state": state,
            "aria-selected": String(state === this.state),
          },
          name,
        ),
      ),
    );
    fill(this.place);
    this.#fetch(null);
  }

  #more() {
    if (this.next && !this.loading) this.#fetch(this.next);
  }

  // The newest reviews, or those that are older than `before`.
  async #fetch(before) {
    const { signal } = this.asking;
    this.loading = true;
    fill(this.status, h("span", { class: "spinner" }), h("span", {}, "Loading"));
    try {
      const query = [["state", this.state], ...(before ? [["before", before]] : [])];
      const answer = await askJson("v1/reviews", { query, signal });
      this.next = answer.next;
      this.count += answer.reviews.length;
      this.place.append(...answer.reviews.map((review) => this.#card(review)));
      this.loading = false;
      this.#sayEnd();
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.loading = false;
      showProblem(this.status, problem, () => this.#fetch(before));
    }
  }

  #sayEnd() {
    const { signal } = this.asking;
    if (this.next) {
      fill(
        this.status,
        button({ id: "review-more", kind: "small", text: "More", on: { click: () => this.#more() } }),
      );
      // New content may have moved the end out of view.
      setTimeout(() => this.atEnd && !signal.aborted && this.#more(), 50);
    } else if (this.count > 0) {
      const all = this.count === 1 ? "That is the only review." : `That is all: ${number(this.count)} reviews.`;
      fill(this.status, h("span", { class: "quiet" }, all));
    } else {
      fill(this.status);
      fill(
        this.place,
        h(
          "div",
          { id: "empty", class: "empty" },
          icon("review", 30),
          h("h2", {}, this.state === "pending" ? "Nothing is waiting for you" : "None yet"),
          h(
            "p",
            {},
            this.state === "pending"
              ? "Flag an event and give a reason, or let a rule of the policy flag it. It then waits here for a second pair of eyes."
              : "Decisions appear here.",
          ),
        ),
      );
    }
  }

  #card(review) {
    const comment = h("textarea", {
      rows: 2,
      placeholder: "Reason (kept forever)",
      "aria-label": "Comment",
      "data-testid": "review-comment",
    });
    const error = h("p", { class: "form-error", role: "alert" });
    const card = h("article", {
      class: "review",
      "data-testid": "review",
      "data-id": review.id,
      "data-state": review.state,
      "data-kind": review.kind,
    });
    const decide = (decision) => this.#decide(card, review, decision, comment.value, error);
    const confidence = Number(review.confidence);
    const parts = CHANGES[review.kind];
    const isChange = Boolean(parts);
    const [title, about] = isChange ? parts(review) : this.#eventParts(card, review);
    return fill(
      card,
      h(
        "header",
        { class: "review-head" },
        title,
        h("span", { class: "grow" }),
        h("span", { class: `chip state ${review.state}` }, review.state ?? ""),
      ),
      about,
      !isChange && h("blockquote", {}, value(review.reason || "No reason was given.")),
      h(
        "p",
        { class: "quiet" },
        isChange ? "Requested" : "Flagged",
        review.requested_by && [" by ", value(review.requested_by)],
        review.requested && [" · ", timeTag(review.requested)],
        review.confidence !== undefined &&
          Number.isFinite(confidence) && [" · confidence ", h("b", {}, `${Math.round(confidence * 100)} %`)],
      ),
      review.state === "pending"
        ? h(
            "div",
            { class: "review-decide" },
            comment,
            error,
            h(
              "div",
              { class: "actions" },
              button({
                icon: "cross",
                text: "Reject",
                kind: "danger",
                "data-testid": "review-reject",
                on: { click: () => decide("rejected") },
              }),
              !review.outdated && button({
                icon: "check",
                text: isChange ? "Approve and apply" : "Approve",
                kind: "primary",
                "data-testid": "review-approve",
                on: { click: () => decide("approved") },
              }),
            ),
          )
        : h(
            "p",
            { class: "decided" },
            h("b", {}, review.state ?? ""),
            review.decided_by && [" by ", value(review.decided_by)],
            review.decided && [" · ", timeTag(review.decided)],
            review.comment && h("q", {}, value(review.comment)),
          ),
    );
  }

  #eventParts(card, review) {
    const title = h(
      "a",
      { class: "mono review-open", "data-testid": "review-open", href: route().withEvent(review) },
      value(String(review.event), {}, 120),
    );
    const about = h("p", { class: "quiet" }, `Event ${number(review.index)}`);
    const change = h("div", { class: "review-change" });
    card.about = { review, title, about, change };
    this.near.observe(card);
    return [title, [about, change]];
  }

  // The event is fetched when its card comes into view.
  async #tell({ review, title, about, change }) {
    try {
      const { path, query } = eventPath(review);
      const event = await askJson(path, { query, signal: this.asking.signal });
      fill(title, value(event.action ?? "", {}, 120));
      fill(
        about,
        value(nameOf(event.actor) || "somebody", {}, 100),
        event.resource && [" → ", value(resourceOf(event.resource) ?? "", { class: "mono" }, 160)],
        " · ",
        timeTag(event.time ?? event.recorded),
        " ",
        outcomeChip(event.outcome),
      );
      const rows = changesOf(event);
      if (rows) fill(change, diffTable(rows, { "data-testid": "review-change" }));
    } catch {
      /* The card is useful without it. */
    }
  }

  async #decide(card, review, decision, comment, error) {
    const buttons = card.querySelectorAll("button");
    buttons.forEach((each) => {
      each.disabled = true;
    });
    error.textContent = "";
    try {
      const body = { decision, ...(comment.trim() ? { comment: comment.trim() } : {}) };
      await ask(`v1/reviews/${encodeURIComponent(review.id)}`, { method: "POST", body });
      card.remove();
      toast(
        decision === "approved" ? "Approved. The decision is in the trail." : "Rejected. The decision is in the trail.",
      );
      announce(`The review was ${decision}`);
      // The other cards stay, and so does the scroll position.
      this.count -= 1;
      this.#sayEnd();
    } catch (problem) {
      buttons.forEach((each) => {
        each.disabled = false;
      });
      if (problem.status === 409) {
        toast(`Not decided: ${problem.message}`, "bad");
        this.#load();
      } else {
        error.textContent = problem.message;
      }
    }
  }
}

/** What a change would do, in words and line by line. */
function changeParts(review) {
  const weakens = review.weakens ?? [];
  return [
    h("b", { class: "review-open" }, "A weaker policy"),
    h(
      "div",
      { class: "change" },
      review.outdated &&
        h("p", { class: "form-error" }, "The policy has changed since. Reject this, and ask for a new request."),
      h("ul", { class: "weakens" }, weakens.map((text) => h("li", {}, value(text, {}, 300)))),
      linesDiff(review.from ?? "", review.to ?? "", { "data-testid": "review-change", "aria-label": "What would change" }),
    ),
  ];
}

/** What would go, and what is known of where it goes first. */
function retirementParts(review) {
  const told = [
    `Everything that was recorded at least ${number(review.older_than_days)} days ago`,
    review.for_tenant && `Only events of the tenant ${review.for_tenant}`,
    review.category?.length && `Only the categories ${review.category.join(", ")}`,
    review.archive ? `First archived in ${review.archive}` : "Archived first if the settings say so",
  ];
  return [
    h("b", { class: "review-open" }, "Events to be retired, for good"),
    h(
      "div",
      { class: "change" },
      h("ul", { class: "weakens" }, told.filter(Boolean).map((text) => h("li", {}, value(text, {}, 300)))),
    ),
  ];
}

/** Whose values would become unreadable: nobody is named, only the keys. */
function erasureParts(review) {
  const keys = review.keys ?? [];
  const told = [
    keys.length === 1 ? `The values under the key ${keys[0]}` : `The values under the keys ${keys.join(", ")}`,
    review.reason,
  ];
  return [
    h("b", { class: "review-open" }, "A person’s values to be erased, for good"),
    h(
      "div",
      { class: "change" },
      h("ul", { class: "weakens" }, told.filter(Boolean).map((text) => h("li", {}, value(text, {}, 300)))),
    ),
  ];
}

/** What is said of each kind of change that needs a second person. */
const CHANGES = { policy: changeParts, retention: retirementParts, erasure: erasureParts };
