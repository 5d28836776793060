// The review queue: what was flagged, and what people decided. Two at once: one wins, the other is told.

import { announce, button, fill, h, icon, toast, value } from "./dom.js";
import { ask, askJson } from "./api.js";
import { closeDrawer, isDrawerOpen, openDrawer } from "./event.js";
import { showProblem } from "./history.js";
import { nameOf, outcomeChip, resourceOf, timeTag } from "./list.js";
import { go, route } from "./route.js";

const STATES = [["pending", "Waiting"], ["approved", "Approved"], ["rejected", "Rejected"]];

export function openReviews(root, first) {
  const page = new ReviewsPage(root);
  page.update(first);
  return page;
}

class ReviewsPage {
  constructor(root) {
    this.tabs = h("div", { id: "review-tabs", class: "tabs", role: "tablist", "aria-label": "State" });
    this.place = h("div", { class: "reviews", id: "reviews", role: "tabpanel", "aria-live": "polite" });
    fill(root, h("div", { class: "page narrow" }, h("header", { class: "page-head" }, h("h1", {}, "Reviews"), h("p", { class: "lead" }, "Events that somebody, a rule or a program flagged. Each decision is an event of the trail itself, and sealed like the others.")), this.tabs, this.place));
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
  }

  redraw() {
    this.#load();
  }

  key(event) {
    if (event.key !== "r") return false;
    this.#load();
    return true;
  }

  async #load() {
    this.asking?.abort();
    this.asking = new AbortController();
    fill(this.tabs, STATES.map(([state, name]) => h("a", { class: "tab", role: "tab", href: `?view=reviews&state=${state}`, "data-testid": "review-tab", "data-state": state, "aria-selected": String(state === this.state) }, name)));
    fill(this.place, h("p", { class: "list-status" }, h("span", { class: "spinner" }), "Loading"));
    try {
      const answer = await askJson("v1/reviews", { query: [["state", this.state]], signal: this.asking.signal });
      const reviews = Array.isArray(answer) ? answer : answer.reviews ?? [];
      fill(this.place, reviews.map((review) => this.#card(review)),
        reviews.length === 0 && h("div", { id: "empty", class: "empty" }, icon("review", 30), h("h2", {}, this.state === "pending" ? "Nothing waits for you" : "None yet"),
          h("p", {}, this.state === "pending" ? "Open an event and flag it with its reason, and it waits here for a second pair of eyes." : "Decisions appear here once somebody made them.")));
    } catch (problem) {
      if (problem.name !== "AbortError") showProblem(this.place, problem, () => this.#load());
    }
  }

  #card(review) {
    const event = typeof review.event === "object" && review.event !== null ? review.event : null;
    const id = event?.id ?? review.event_id ?? review.event ?? "";
    const origin = event?.origin ?? review.origin;
    const index = event?.index ?? review.index ?? id;
    const comment = h("textarea", { rows: 2, placeholder: "Why (kept for ever)", "aria-label": "Comment", "data-testid": "review-comment" });
    const error = h("p", { class: "form-error", role: "alert" });
    const card = h("article", { class: "review", "data-testid": "review", "data-id": review.id, "data-state": review.state });
    const decide = (decision) => this.#decide(card, review, decision, comment.value, error);
    const confidence = Number(review.confidence);
    return fill(card,
      h("header", { class: "review-head" },
        h("a", { class: "mono review-open", "data-testid": "review-open", href: route().withEvent({ origin, index }) }, value(event?.action ?? String(id), {}, 120)),
        event && outcomeChip(event.outcome), h("span", { class: "grow" }), h("span", { class: `chip state ${review.state}` }, review.state ?? "")),
      event && h("p", { class: "quiet" }, value(nameOf(event.actor) || "somebody", {}, 100), event.resource && [" → ", value(resourceOf(event.resource) ?? "", { class: "mono" }, 160)], " · ", timeTag(event.time ?? event.recorded)),
      h("blockquote", {}, value(review.reason ?? "No reason was given.")),
      h("p", { class: "quiet" }, "Flagged", review.requested_by && [" by ", value(nameOf(review.requested_by) || String(review.requested_by))], review.requested && [" · ", timeTag(review.requested)],
        review.confidence !== undefined && review.confidence !== null && Number.isFinite(confidence) && [" · confidence ", h("b", {}, `${Math.round(confidence <= 1 ? confidence * 100 : confidence)} %`)]),
      review.state === "pending" ? h("div", { class: "review-decide" }, comment, error, h("div", { class: "actions" },
        button({ icon: "cross", text: "Reject", kind: "danger", "data-testid": "review-reject", on: { click: () => decide("rejected") } }),
        button({ icon: "check", text: "Approve", kind: "primary", "data-testid": "review-approve", on: { click: () => decide("approved") } })))
        : h("p", { class: "decided" }, h("b", {}, review.state ?? ""), review.decided_by && [" by ", value(nameOf(review.decided_by) || String(review.decided_by))], review.decided && [" · ", timeTag(review.decided)], review.comment && h("q", {}, value(review.comment))));
  }

  async #decide(card, review, decision, comment, error) {
    const buttons = card.querySelectorAll("button");
    buttons.forEach((each) => { each.disabled = true; });
    error.textContent = "";
    try {
      const body = { decision, ...(comment.trim() ? { comment: comment.trim() } : {}) };
      await ask(`v1/reviews/${encodeURIComponent(review.id)}`, { method: "POST", body });
      card.remove();
      toast(decision === "approved" ? "Approved. The decision is in the trail." : "Rejected. The decision is in the trail.");
      announce(`The review was ${decision}`);
      this.#load();
    } catch (problem) {
      buttons.forEach((each) => { each.disabled = false; });
      if (problem.status === 409) {
        toast(`Somebody else decided this already. ${problem.message}`, "bad");
        this.#load();
      } else {
        error.textContent = problem.message;
      }
    }
  }
}

/** The form that flags an event; `close` puts it away. */
export function flagForm(event, close) {
  const reason = h("textarea", { id: "flag-reason", rows: 2, required: true, placeholder: "What should a second person look at?" });
  const confidence = h("input", { id: "flag-confidence", type: "number", min: "0", max: "100", step: "1", placeholder: "—", inputmode: "numeric" });
  const error = h("p", { class: "form-error", role: "alert" });
  const send = h("button", { id: "flag-send", type: "submit", class: "button primary" }, "Send to review");
  const submit = async (submitted) => {
    submitted.preventDefault();
    send.disabled = true;
    error.textContent = "";
    try {
      const body = { event: event.id, reason: reason.value.trim(), origin: event.origin, index: event.index };
      if (confidence.value !== "") body.confidence = Number(confidence.value) / 100;
      await ask("v1/reviews", { method: "POST", body });
      toast("Flagged. It waits under Reviews.");
      close();
    } catch (problem) {
      error.textContent = problem.message;
    }
    send.disabled = false;
  };
  return h("form", { id: "flag-form", class: "flag-form", on: { submit } },
    h("label", { for: "flag-reason" }, "Flag for review"), reason, error,
    h("div", { class: "actions" }, h("label", { class: "quiet" }, "Confidence ", confidence, " %"), h("span", { class: "grow" }),
      button({ id: "flag-cancel", text: "Cancel", on: { click: close } }), send));
}
