// A range of time to choose: two moments in the zone shown.

import { button, fill, h } from "./dom.js";
import { instant, typedTime, wallTime } from "./times.js";
import { timeZone, zoneName } from "./prefs.js";

export class RangePicker {
  /** `choose(since, until)` receives ISO times; either may be empty. */
  constructor(choose) {
    this.choose = choose;
    this.element = h("form", {
      id: "range-picker",
      class: "range-picker",
      hidden: true,
      "aria-label": "Range of time",
      on: {
        submit: (event) => this.#apply(event),
        keydown: (event) => {
          if (event.key !== "Escape") return;
          event.stopPropagation();
          this.close();
        },
      },
    });
  }

  /** Opens it with the range that the filters have. */
  open(filters, back) {
    this.back = back;
    this.since = this.#input("range-since", filters.get("since"));
    this.until = this.#input("range-until", filters.get("until"));
    this.error = h("p", { class: "form-error", role: "alert" });
    fill(
      this.element,
      h("label", { for: "range-since" }, "From"),
      this.since,
      h("label", { for: "range-until" }, "to, not included"),
      this.until,
      h("span", { class: "quiet" }, zoneName()),
      this.error,
      h("span", { class: "grow" }),
      button({ id: "range-cancel", text: "Cancel", on: { click: () => this.close() } }),
      h("button", { id: "range-apply", type: "submit", class: "button primary" }, "Apply"),
    );
    this.element.hidden = false;
    this.since.focus();
  }

  close() {
    if (this.element.hidden) return;
    this.element.hidden = true;
    this.back?.focus();
  }

  #input(id, text) {
    const time = text ? instant(text) : null;
    const shown = time === null ? "" : wallTime(time);
    // Seconds need to be filled in only where there are some.
    const step = shown.length > "2026-11-28T00:00".length ? "1" : null;
    return h("input", { id, type: "datetime-local", step, max: "9999-12-31T23:59", value: shown });
  }

  #apply(event) {
    event.preventDefault();
    const [since, until] = [this.since, this.until].map((input) => typedTime(input.value, timeZone()));
    if (since && until && until <= since) {
      this.error.textContent = "The end must be later than the beginning.";
      return;
    }
    this.element.hidden = true;
    this.choose(since, until);
  }
}
