// Builds elements. Text goes in as text nodes only: nothing from an event is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes, listeners (`on: {click}`) and children; null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  element.append(...nodes(children));
  return element;
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  setAttributes(element, attributes);
  element.append(...nodes(children));
  return element;
}

function setAttributes(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    } else if (name === "value" || name === "checked" || name === "selected" || name === "indeterminate") {
      element[name] = value;
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

export function byId(id) {
  return document.getElementById(id);
}

/** Replaces all children. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
  return element;
}

// Invisible characters, and those that change how their neighbours are shown, are shown by their code, so that
// an event cannot make itself look like another one. What joins the parts of an emoji may stay.
const UNSEEN =
  /(?<=\p{Extended_Pictographic})\ufe0f|(?<=[\p{Extended_Pictographic}\u{1f3fb}-\u{1f3ff}]\ufe0f?)\u200d(?=\p{Extended_Pictographic})|((?![\t\n])\p{Cc}|\p{Default_Ignorable_Code_Point}|[\u2028\u2029\u2800\ufff9-\ufffb])/gu;

/** Text from an event, with unseen characters made visible, cut for display at `max`. */
export function visible(text, max = 4000) {
  const whole = String(text);
  // Not in the middle of a character.
  const end = /[\ud800-\udbff]/.test(whole.charAt(max - 1)) ? max - 1 : max;
  const cut = whole.length > max ? `${whole.slice(0, end)}…` : whole;
  return cut.replace(UNSEEN, (char, unseen) =>
    unseen ? `\u27e8U+${char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9` : char,
  );
}

/** A value from an event, isolated from its neighbours' writing direction. */
export function value(text, attributes = {}, max = 4000) {
  return h("bdi", attributes, visible(text, max));
}

const ICONS = {
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16 16l4.5 4.5",
  filter: "M3 6h18M6.5 12h11M10 18h4",
  close: "M6 6l12 12M18 6 6 18",
  copy: "M9 9h10v11H9zM5 15V4h10",
  check: "M5 12.5l4.5 4.5L19 7.5",
  cross: "M7 7l10 10M17 7 7 17",
  seal: "M12 3l2.2 1.6 2.7-.1.7 2.6 2.2 1.6-.9 2.6.9 2.5-2.2 1.6-.7 2.7-2.7-.1L12 19.6 9.8 18l-2.7.1-.7-2.7-2.2-1.6.9-2.5-.9-2.6 2.2-1.6.7-2.6 2.7.1ZM9 11.3l2.2 2.2L15.2 9.5",
  live: "M12 10.5a1.5 1.5 0 1 0 0 3 1.5 1.5 0 0 0 0-3M8 16a5.6 5.6 0 0 1 0-8M16 8a5.6 5.6 0 0 1 0 8M5.3 18.7a9.5 9.5 0 0 1 0-13.4M18.7 5.3a9.5 9.5 0 0 1 0 13.4",
  download: "M12 4v11M7.5 11 12 15.5 16.5 11M5 20h14",
  flag: "M6 21V4h11l-2 4 2 4H6",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M18.7 5.3l-1.4 1.4M6.7 17.3l-1.4 1.4",
  moon: "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5Z",
  clock: "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 0 0 0-17M12 7.5V12l3 2",
  events: "M4 6h16M4 12h16M4 18h10",
  review: "M4 5h16v11H9l-5 4z M8.5 10.5l2.5 2.5 4.5-4.5",
  pulse: "M3 12h4l2.5-7 5 14 2.5-7h4",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4.2 4.2 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4.2 4.2 0 0 0 6 6l1-1",
  down: "M6 9l6 6 6-6",
  left: "M15 5l-7 7 7 7",
  person: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8M4.5 20c1-4 4-5.5 7.5-5.5s6.5 1.5 7.5 5.5",
  history: "M4 5v5h5M4.6 15a8 8 0 1 0 .2-6.5L4 10M12 8v4.5l3 1.7",
  exit: "M14 4h5v16h-5M10 8l-4 4 4 4M6 12h9",
  warning: "M12 4 2.8 20h18.4ZM12 10v5M12 17.4v.2",
  zoomout: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14ZM16 16l4.5 4.5M8 11h6",
};

/** A line icon; decoration only, so hidden from screen readers. */
export function icon(name, size = 16) {
  return svg(
    "svg",
    {
      class: "icon",
      width: size,
      height: size,
      viewBox: "0 0 24 24",
      fill: "none",
      stroke: "currentColor",
      "stroke-width": 1.75,
      "stroke-linecap": "round",
      "stroke-linejoin": "round",
      "aria-hidden": "true",
      focusable: "false",
    },
    svg("path", { d: ICONS[name] }),
  );
}

/** A button with an icon, a text, or both; `label` names a button without text. */
export function button({ icon: iconName, text, label, kind = "", ...attributes }) {
  return h(
    "button",
    { type: "button", class: `button ${kind}`, "aria-label": label, title: label, ...attributes },
    iconName && icon(iconName),
    text && h("span", {}, text),
  );
}

/** A button that copies what `read` returns, and briefly says so. */
export function copyButton(read, { text = "", label = "Copy", ...attributes } = {}) {
  const face = button({ icon: "copy", text, label, kind: text ? "" : "plain", ...attributes });
  face.addEventListener("click", async (event) => {
    event.stopPropagation();
    const copied = await copy(String(await read()));
    face.firstElementChild.replaceWith(icon(copied ? "check" : "cross"));
    announce(copied ? "Copied" : "Could not copy");
    setTimeout(() => face.firstElementChild.replaceWith(icon("copy")), 1400);
  });
  return face;
}

// navigator.clipboard does not exist on plain HTTP other than on loopback.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea", { class: "offscreen", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

/** Says something to screen readers. */
export function announce(text) {
  const region = byId("announcements");
  region.textContent = "";
  requestAnimationFrame(() => {
    region.textContent = text;
  });
}

/** A short note at the page's edge that disappears by itself. */
export function toast(text, kind = "") {
  const note = h("div", { class: `toast ${kind}`, role: "status" }, text);
  byId("toasts").append(note);
  setTimeout(() => note.remove(), kind === "bad" ? 8000 : 3500);
}

/** Says in `place` what went wrong; `again`, if it is given, tries once more. */
export function showProblem(place, problem, again) {
  fill(
    place,
    h(
      "div",
      { class: "notice bad", role: "alert", id: "problem" },
      icon("warning"),
      h("span", {}, problem.message),
      again && button({ id: "error-retry", kind: "small", text: "Try again", on: { click: again } }),
    ),
  );
}
