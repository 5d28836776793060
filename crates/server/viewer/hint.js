// What is said about a search that is not quite what was typed: its field does not exist, or it means too many values.

import { button, fill, h, icon, visible } from "./dom.js";
import { labelOf } from "./filters.js";
import { unknownName } from "./forgive.js";
import { number } from "./prefs.js";

export class SearchHint {
  /** `use` receives the typed search with the nearest field in the place of the unknown one. */
  constructor(use) {
    this.use = use;
    this.element = h("div", { id: "search-hint", class: "notice", role: "status", hidden: true });
  }

  close() {
    this.element.hidden = true;
  }

  /** `cut` is what `forgiven` says of values that are left out, or null. */
  tell(typed, cut) {
    const unknown = unknownName(typed);
    this.element.hidden = !unknown && !cut;
    if (!unknown) {
      if (cut) this.#tellCut(cut);
      return;
    }
    const { name, nearest } = unknown;
    const corrected = nearest && typed.replace(`${name}:`, `${nearest}:`);
    const use = () => {
      this.close();
      this.use(corrected);
    };
    fill(
      this.element,
      icon("warning"),
      h(
        "span",
        {},
        "There is no field ",
        h("code", {}, name),
        ", so it was searched for as text.",
        nearest ? " Did you mean " : "",
        nearest && button({ id: "search-hint-use", kind: "link", text: corrected, on: { click: use } }),
        nearest ? "?" : "",
      ),
    );
  }

  #tellCut({ name, text, count, shown }) {
    fill(
      this.element,
      icon("warning"),
      h(
        "span",
        {},
        `${labelOf(name)}: `,
        h("bdi", { class: "mono" }, visible(text, 80)),
        ` is part of ${number(count)} values. Only the ${number(shown)} most frequent are searched for, so events are missing here. Type more of it.`,
      ),
    );
  }
}
