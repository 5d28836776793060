// The reader's preferences (theme and time zone), and how times and numbers are formatted.

const read = (key, otherwise) => {
  try {
    return localStorage.getItem(`trailseal.${key}`) ?? otherwise;
  } catch {
    return otherwise;
  }
};
const write = (key, text) => {
  try {
    localStorage.setItem(`trailseal.${key}`, text);
  } catch {
    /* A private window: kept only for this page. */
  }
};

let zone = read("zone", "local");

export function timeZone() {
  return zone;
}

/** `local` or `utc`; `zone-changed` notifies everything that shows times. */
export function setTimeZone(chosen) {
  zone = chosen;
  write("zone", chosen);
  dispatchEvent(new CustomEvent("zone-changed"));
}

/** `light`, `dark`, or null for the system's choice. */
export function setTheme(chosen) {
  write("theme", chosen ?? "");
  applyTheme();
}

export function theme() {
  return read("theme", "") || null;
}

export function isDark() {
  return theme() ? theme() === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

export function applyTheme() {
  if (theme()) document.documentElement.dataset.theme = theme();
  else delete document.documentElement.dataset.theme;
}

export const checksByItself = () => read("check", "yes") === "yes";
export const setChecksByItself = (yes) => write("check", yes ? "yes" : "no");

export const isDense = () => read("density", "") === "dense";
export const setDense = (yes) => write("density", yes ? "dense" : "");

// ---- times ---------------------------------------------------------------------------------------------

const two = (number) => String(number).padStart(2, "0");

function parts(date) {
  const utc = zone === "utc";
  return {
    year: utc ? date.getUTCFullYear() : date.getFullYear(),
    month: (utc ? date.getUTCMonth() : date.getMonth()) + 1,
    day: utc ? date.getUTCDate() : date.getDate(),
    hour: utc ? date.getUTCHours() : date.getHours(),
    minute: utc ? date.getUTCMinutes() : date.getMinutes(),
    second: utc ? date.getUTCSeconds() : date.getSeconds(),
  };
}

export function day(date) {
  const { year, month, day: number } = parts(date);
  return `${year}-${two(month)}-${two(number)}`;
}

export function clock(date, { seconds = true } = {}) {
  const { hour, minute, second } = parts(date);
  return `${two(hour)}:${two(minute)}${seconds ? `:${two(second)}` : ""}`;
}

export function dayAndClock(date) {
  return `${day(date)} ${clock(date)}`;
}

/** The name of the zone in which times are shown, such as `UTC` or `UTC+02:00`. */
export function zoneName(date = new Date()) {
  if (zone === "utc") return "UTC";
  const minutes = -date.getTimezoneOffset();
  if (minutes === 0) return "UTC+00:00";
  const size = Math.abs(minutes);
  return `UTC${minutes < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** The microseconds of a time in the trail's format, which Date would drop. */
export function fraction(text) {
  return /\.(\d+)Z$/.exec(text)?.[1] ?? "";
}

const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

/** `5 minutes ago`. */
export function ago(date, now = Date.now()) {
  const seconds = Math.round((now - date.getTime()) / 1000);
  const size = Math.abs(seconds);
  if (size < 2) return "just now";
  const [unit, span] = UNITS.find(([, span]) => size >= span);
  return new Intl.RelativeTimeFormat("en", { numeric: "always" }).format(-Math.trunc(seconds / span), unit);
}

/** `2.5 days` for a length of time in seconds. */
export function span(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) ?? ["second", 1];
  const count = Math.round((seconds / size) * 10) / 10;
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

const NUMBERS = new Intl.NumberFormat("en");
const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const number = (count) => NUMBERS.format(count);
export const compact = (count) => (count < 10_000 ? NUMBERS.format(count) : COMPACT.format(count));

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = count;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) [size, unit] = [size / 1024, unit + 1];
  return `${unit === 0 ? size : size.toFixed(size < 10 ? 2 : 1)} ${units[unit]}`;
}
