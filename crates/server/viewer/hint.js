// What is said about a search whose field does not exist.

import { button, fill, h, icon } from "./dom.js";
import { unknownName } from "./forgive.js";

export class UnknownHint {
  /** `use` receives the typed search with the nearest field in the place of the unknown one. */
  constructor(use) {
    this.use = use;
    this.element = h("div", { id: "search-hint", class: "notice", role: "status", hidden: true });
  }

  tell(typed) {
    const unknown = unknownName(typed);
    this.element.hidden = !unknown;
    if (!unknown) return;
    const { name, nearest } = unknown;
    const corrected = nearest && typed.replace(`${name}:`, `${nearest}:`);
    const use = () => {
      this.element.hidden = true;
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
}
