// Events over time: drag (or arrow keys and Enter) to zoom in, and back out.

import { button, fill, h, svg } from "./dom.js";
import { VIEW } from "./filters.js";
import { clock, day, number, timeZone } from "./prefs.js";
import { topOf } from "./summary.js";
import { instant } from "./times.js";

const HEIGHT = 84;
const FLOOR = 64;
const BARS_MIN = 24;
const BARS_MAX = 120;
const BARS_ASKED = 96;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
// prettier-ignore
const STEPS = [
  1000, 5000, 15_000, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR,
  DAY, 2 * DAY, 7 * DAY, 30 * DAY, 91 * DAY, 365 * DAY, 3 * 365 * DAY,
];

/** The summary's parameters: if the span is known, bars that fill it; else the server chooses. */
export function summaryQuery(filters) {
  const [since, until] = [instant(filters.get("since")), instant(filters.get("until"))];
  const span = since === null ? null : (until ?? Date.now()) - since;
  const step = span > 0 && STEPS.find((each) => span / each <= BARS_ASKED);
  return [...filters.asked(VIEW), ["top", String(topOf(filters))], ...(step ? [["bucket", `${step / 1000}s`]] : [])];
}

export class Histogram {
  /** `zoom(since, until)` receives ISO times; both are empty to zoom out. */
  constructor(zoom, { id = "histogram" } = {}) {
    this.zoom = zoom;
    this.hint = h("div", { class: "histogram-hint", hidden: true });
    this.element = h("div", {
      id,
      class: "histogram",
      role: "slider",
      tabindex: "0",
      "aria-label": "Events over time",
      "aria-valuetext": "Loading",
      on: {
        pointerdown: (event) => this.#press(event),
        pointermove: (event) => this.#drag(event),
        pointerup: (event) => this.#release(event),
        pointercancel: () => this.#cancel(),
        pointerleave: () => {
          if (!this.from) this.#point(null);
        },
        keydown: (event) => this.#key(event),
        blur: () => {
          this.cursor = null;
          this.anchor = null;
          this.#point(null);
          this.draw();
        },
      },
    });
    this.zoomOut = button({
      id: id === "histogram" ? "zoom-out" : `${id}-zoom-out`,
      kind: "small",
      icon: "zoomout",
      text: "Zoom out",
      on: { click: () => this.zoom("", "") },
    });
    this.zoomOut.hidden = true;
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(this.element);
  }

  close() {
    this.sized.disconnect();
  }

  /** Shows a summary's bars in the span of the filters; null if there is no summary. */
  show(summary, filters) {
    this.bars = (summary?.histogram ?? []).map(({ start, count }) => ({ start: Date.parse(start), count }));
    this.width = (summary?.bucket_seconds ?? 1) * 1000;
    this.#span(filters);
    this.#join();
    this.#span(filters);
    this.zoomOut.hidden = !(filters?.get("since") || filters?.get("until"));
    this.cursor = null;
    this.anchor = null;
    this.draw();
  }

  // The server's bars are as narrow as a maximum of 48 allows, and sparse if there are few events. Wider bars
  // of the same kind then show where there are many.
  #join() {
    const fits = (width) => (this.end - this.start) / width <= BARS_MAX;
    const width = fits(this.width) ? this.width : STEPS.find((step) => step % this.width === 0 && fits(step));
    if (!width || width === this.width) return;
    const joined = new Map();
    for (const { start, count } of this.bars) {
      const at = Math.floor(start / width) * width;
      joined.set(at, (joined.get(at) ?? 0) + count);
    }
    this.bars = [...joined].map(([start, count]) => ({ start, count }));
    this.width = width;
  }

  #span(filters) {
    const since = filters && instant(filters.get("since"));
    const until = filters && instant(filters.get("until"));
    const last = this.bars.at(-1);
    // From the first event to now, if no time is chosen.
    this.start = since ?? this.bars[0]?.start ?? 0;
    this.end = until ?? (since !== null || last ? Date.now() : 0);
    if (last) {
      // A bar that begins before the span, or ends after its end, is shown completely; nothing is after now.
      this.start = Math.min(this.start, this.bars[0].start);
      this.end = Math.max(this.end, until === null ? last.start : last.start + this.width);
    }
    // Otherwise a few bars would be as wide as the page.
    const spare = BARS_MIN * this.width - (this.end - this.start);
    if (last && spare > 0) this.start -= spare;
  }

  draw() {
    const wide = this.element.clientWidth;
    if (!this.bars || wide === 0) return;
    const most = this.bars.reduce((max, bar) => Math.max(max, bar.count), 0);
    const total = this.bars.reduce((sum, bar) => sum + bar.count, 0);
    this.element.setAttribute("aria-valuemin", 0);
    this.element.setAttribute("aria-valuemax", Math.max(0, this.bars.length - 1));
    this.element.setAttribute("aria-valuenow", this.cursor ?? 0);
    this.element.setAttribute(
      "aria-valuetext",
      this.bars.length === 0
        ? "No events"
        : `${number(total)} events from ${day(new Date(this.start))} to ${day(new Date(this.end))}, at most ${number(most)} in one bar`,
    );
    const each = Math.max(2, this.#x(this.start + this.width) - 1.5);
    const bars = this.bars.map((bar) => {
      const tall = Math.max(2, (bar.count / most) * (FLOOR - 6));
      return svg("rect", {
        class: "bar-of",
        "data-testid": "bar",
        "data-start": new Date(bar.start).toISOString(),
        "data-count": bar.count,
        x: Math.min(this.#x(bar.start), wide - each).toFixed(1),
        width: each.toFixed(1),
        y: (FLOOR - tall).toFixed(1),
        height: tall.toFixed(1),
        rx: Math.min(2, each / 2),
      });
    });
    this.selection = svg("rect", { class: "selection", y: 0, height: FLOOR, x: 0, width: 0 });
    fill(
      this.element,
      svg(
        "svg",
        { width: wide, height: HEIGHT, viewBox: `0 0 ${wide} ${HEIGHT}`, "aria-hidden": "true" },
        svg("line", { class: "floor", x1: 0, x2: wide, y1: FLOOR + 0.5, y2: FLOOR + 0.5 }),
        this.#ticks(wide),
        bars,
        this.selection,
      ),
      this.hint,
    );
    this.#showSelection();
  }

  #ticks(wide) {
    if (this.end <= this.start) return [];
    const step = STEPS.find((size) => (this.end - this.start) / size <= Math.max(2, wide / 110)) ?? STEPS.at(-1) * 3;
    const shift = timeZone() === "utc" ? 0 : new Date(this.start).getTimezoneOffset() * MINUTE;
    const ticks = [];
    for (let at = Math.ceil((this.start - shift) / step) * step + shift; at < this.end; at += step) {
      const x = this.#x(at);
      const date = new Date(at);
      const label =
        step >= 300 * DAY
          ? day(date).slice(0, 7)
          : step >= 28 * DAY
            ? day(date).slice(0, 7)
            : step >= DAY
              ? day(date)
              : clock(date, { seconds: step < MINUTE });
      const isDay = step < DAY && clock(date) === "00:00:00";
      if (x < 4 || x > wide - (isDay || step >= DAY ? 72 : 44)) continue;
      ticks.push(
        svg("line", { class: "tick", x1: x, x2: x, y1: FLOOR, y2: FLOOR + 4 }),
        svg("text", { class: "tick-label", x: x + 4, y: HEIGHT - 5 }, isDay ? day(date) : label),
      );
    }
    return ticks;
  }

  #x(time) {
    return this.end > this.start ? ((time - this.start) / (this.end - this.start)) * this.element.clientWidth : 0;
  }

  #time(x) {
    const share = Math.min(1, Math.max(0, x / this.element.clientWidth));
    return this.start + share * (this.end - this.start);
  }

  // ---- pointing ------------------------------------------------------------------------------------------

  #offset(event) {
    return event.clientX - this.element.getBoundingClientRect().left;
  }

  #press(event) {
    if (event.button !== 0 || !this.bars?.length) return;
    this.from = { x: this.#offset(event) };
    this.element.setPointerCapture(event.pointerId);
  }

  #drag(event) {
    const x = this.#offset(event);
    this.#point(x);
    if (!this.from) return;
    this.from.to = x;
    this.#showSelection();
  }

  #release(event) {
    const from = this.from;
    this.#cancel();
    if (!from) return;
    const to = this.#offset(event);
    if (Math.abs(to - from.x) < 4) {
      const bar = this.#barAt(to);
      if (bar) this.#zoomTo(bar.start, bar.start + this.width);
      return;
    }
    this.#zoomTo(this.#time(Math.min(from.x, to)), this.#time(Math.max(from.x, to)));
  }

  #cancel() {
    this.from = null;
    this.#showSelection();
  }

  // Snaps to whole bars, so that the zoom matches what is seen; within one bar, as drawn.
  #zoomTo(since, until) {
    const whole = until - since > this.width;
    const origin = this.bars[0]?.start ?? 0;
    const snap = (time) => origin + Math.round((time - origin) / this.width) * this.width;
    const [from, to] = whole ? [snap(since), snap(until)] : [Math.floor(since), Math.ceil(until)];
    if (to > from) this.zoom(new Date(from).toISOString(), new Date(to).toISOString());
  }

  #barAt(x) {
    const time = this.#time(x);
    const near = this.#time(3) - this.#time(0);
    return this.bars.find((bar) => time >= bar.start - near && time < bar.start + this.width + near);
  }

  #point(x) {
    const bar = x === null ? null : this.#barAt(x);
    this.hint.hidden = !bar;
    if (!bar) return;
    const [from, to] = [new Date(bar.start), new Date(bar.start + this.width)];
    const text = this.width >= DAY ? `${day(from)} – ${day(to)}` : `${day(from)} ${clock(from)} – ${clock(to)}`;
    fill(this.hint, h("b", {}, number(bar.count)), ` ${text}`);
    this.hint.style.left = `${Math.min(Math.max(this.#x(bar.start + this.width / 2), 90), this.element.clientWidth - 90)}px`;
  }

  #showSelection() {
    if (!this.selection) return;
    let [left, right] =
      this.from?.to === undefined ? [0, 0] : [Math.min(this.from.x, this.from.to), Math.max(this.from.x, this.from.to)];
    if (this.cursor !== null && this.cursor !== undefined && this.bars[this.cursor]) {
      const ends = [this.bars[this.cursor], this.bars[this.anchor ?? this.cursor]].map((bar) => bar.start);
      [left, right] = [this.#x(Math.min(...ends)), this.#x(Math.max(...ends) + this.width)];
    }
    this.selection.setAttribute("x", left);
    this.selection.setAttribute("width", Math.max(0, right - left));
  }

  // ---- keys ----------------------------------------------------------------------------------------------

  #key(event) {
    const count = this.bars?.length ?? 0;
    if (count === 0) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const before = this.cursor ?? (event.key === "ArrowRight" ? -1 : count);
      if (event.shiftKey) this.anchor ??= Math.max(0, Math.min(count - 1, before));
      this.cursor = Math.max(0, Math.min(count - 1, before + (event.key === "ArrowRight" ? 1 : -1)));
      if (!event.shiftKey) this.anchor = null;
      const bar = this.bars[this.cursor];
      this.#point(this.#x(bar.start + this.width / 2));
      this.#showSelection();
      const date = new Date(bar.start);
      this.element.setAttribute("aria-valuenow", this.cursor);
      this.element.setAttribute(
        "aria-valuetext",
        `${number(bar.count)} events from ${day(date)} ${clock(date)}; Enter zooms in`,
      );
    } else if (event.key === "Enter" && this.cursor !== null) {
      const ends = [this.bars[this.cursor], this.bars[this.anchor ?? this.cursor]].map((bar) => bar.start);
      this.zoom(new Date(Math.min(...ends)).toISOString(), new Date(Math.max(...ends) + this.width).toISOString());
    } else if (event.key === "Backspace") {
      this.zoom("", "");
    } else {
      return;
    }
    event.preventDefault();
  }
}
