// Suggestions as one types into the search field: names of fields, and their values.

import { fill, h, visible } from "./dom.js";
import { NAMES, labelOf, typedPart, written } from "./filters.js";
import { valuesOf } from "./forgive.js";
import { compact } from "./prefs.js";

const SHOWN = 8;
const SETTLE_MS = 120;

// Names that are suggested: text needs none, and the order is chosen elsewhere.
const SUGGESTED = NAMES.filter((name) => name !== "text" && !name.startsWith("order"));

export class Suggestions {
  /** `system` tells whether the trail's own events are shown. */
  constructor(input, system) {
    this.input = input;
    this.system = system;
    this.element = h("div", { id: "suggestions", class: "suggestions", role: "listbox", "aria-label": "Suggestions", hidden: true });
    this.chosen = -1;
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-expanded", "false");
    input.setAttribute("aria-controls", "suggestions");
    input.setAttribute("aria-autocomplete", "list");
    input.addEventListener("input", () => this.#soon());
    input.addEventListener("blur", () => this.close());
    input.addEventListener("keydown", (event) => this.#key(event));
    // The field keeps the focus.
    this.element.addEventListener("pointerdown", (event) => event.preventDefault());
  }

  close() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.#show([]);
  }

  #soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#suggest(), SETTLE_MS);
  }

  async #suggest() {
    this.asking?.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    const before = this.input.value.slice(0, this.input.selectionStart);
    const value = typedPart(before);
    if (value) {
      const { name, part, from } = value;
      const found = await valuesOf(name, part, { signal, system: this.system() }).catch(() => []);
      if (signal.aborted) return;
      this.#show(found.slice(0, SHOWN).map((each) => ({ ...each, from, text: written(each.value) })));
      return;
    }
    const word = /(?:^|\s)([a-z_]+)$/i.exec(before)?.[1];
    const names = word ? SUGGESTED.filter((name) => name.startsWith(word.toLowerCase())) : [];
    this.#show(
      names.map((name) => ({ value: `${name}:`, name: labelOf(name), from: before.length - word.length, text: `${name}:` })),
    );
  }

  #show(options) {
    this.options = options;
    this.chosen = -1;
    this.element.hidden = options.length === 0;
    this.input.setAttribute("aria-expanded", String(options.length > 0));
    this.input.removeAttribute("aria-activedescendant");
    fill(
      this.element,
      options.map((option, at) =>
        h(
          "div",
          {
            id: `suggestion-${at}`,
            class: "suggestion",
            role: "option",
            "aria-selected": "false",
            "data-testid": "suggestion",
            "data-value": option.value,
            on: { click: () => this.#take(option) },
          },
          h("bdi", { class: option.name && !option.value.endsWith(":") ? "" : "mono" }, visible(option.value.endsWith(":") ? option.value : (option.name ?? option.value), 90)),
          option.name && h("span", { class: "quiet mono" }, visible(option.value.endsWith(":") ? option.name : option.value, 90)),
          option.count !== undefined && h("span", { class: "suggestion-count quiet" }, compact(option.count)),
        ),
      ),
    );
  }

  #take({ from, text }) {
    const after = this.input.value.slice(this.input.selectionStart);
    const isName = text.endsWith(":");
    const before = this.input.value.slice(0, from) + text + (isName || after.startsWith(" ") ? "" : " ");
    this.input.value = before + after;
    this.input.setSelectionRange(before.length, before.length);
    this.#show([]);
    if (isName) this.#suggest();
  }

  #key(event) {
    if (this.element.hidden) return;
    const count = this.options.length;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.chosen = (this.chosen + (event.key === "ArrowDown" ? 1 : count) + (this.chosen < 0 && event.key === "ArrowUp" ? 1 : 0)) % count;
      [...this.element.children].forEach((each, at) => each.setAttribute("aria-selected", String(at === this.chosen)));
      this.input.setAttribute("aria-activedescendant", `suggestion-${this.chosen}`);
      this.element.children[this.chosen].scrollIntoView({ block: "nearest" });
    } else if (event.key === "Enter" && this.chosen >= 0) {
      this.#take(this.options[this.chosen]);
    } else if (event.key === "Escape") {
      this.#show([]);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}
