// The keys, and what the marks mean.

import { button, h } from "./dom.js";

const KEYS = [
  ["/", "Search"],
  ["j / k", "Next, previous event"],
  ["Enter", "Open the event"],
  ["Esc", "Close, step back"],
  ["f", "Filters"],
  ["l", "Live on and off"],
  ["r", "Search again"],
  ["c", "Check the open event’s proof"],
  ["g e, g s, g r, g h", "Events, Seal, Reviews, Health"],
  ["?", "This help"],
];

export function openHelp() {
  const dialog = h(
    "dialog",
    {
      id: "help",
      class: "dialog",
      "aria-labelledby": "help-title",
      on: {
        close: () => dialog.remove(),
        click: (event) => {
          if (event.target === dialog) dialog.close();
        },
      },
    },
    h(
      "div",
      { class: "dialog-head" },
      h("h2", { id: "help-title" }, "Keys and help"),
      button({ id: "help-close", kind: "plain", icon: "close", label: "Close", on: { click: () => dialog.close() } }),
    ),
    h(
      "dl",
      { class: "keys" },
      KEYS.map(([keys, what]) =>
        h(
          "div",
          {},
          h(
            "dt",
            {},
            keys.split(", ").map((key) => h("kbd", {}, key)),
          ),
          h("dd", {}, what),
        ),
      ),
    ),
    h("h3", {}, "Searching"),
    h(
      "p",
      {},
      "Words match anywhere in an event. ",
      h("code", {}, "name:value"),
      " makes a filter, and a part of a name is enough: ",
      h("code", {}, "actor:ana"),
      ", ",
      h("code", {}, "action:invoice.*"),
      ", ",
      h("code", {}, "resource:invoice/42"),
      ", ",
      h("code", {}, 'since:"last week"'),
      ". Several values of one filter match any of them; different filters must all match. Drag over the bars to zoom. The address holds the whole search, so you can share it.",
    ),
    h("h3", {}, "Personal values"),
    h(
      "p",
      {},
      h("code", {}, "erasable"),
      ": this token may not see the value. ",
      h("code", {}, "erased"),
      ": its person was erased, and nobody can read it any more. ",
      h("code", {}, "unreadable"),
      ": the key is missing.",
    ),
    h("h3", {}, "What is proven"),
    h(
      "p",
      {},
      "A green seal means that this browser itself hashed the line, followed the path to the signed root, and checked the signature with the key that it keeps. It does not rely on the server’s word.",
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
}
