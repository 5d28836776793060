// Times as people write them, in the zone shown: the same forms as the server's, which takes them in UTC.

import { timeZone } from "./prefs.js";

const AGE = /^(\d{1,10})[ _-]?([smhdw]|(?:sec|second|min|minute|hr|hour|day|week)s?)(?:[ _-]ago)?$/;
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
const MOMENT = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(:\d{2}(?:\.\d+)?)?(Z|[+-]\d{2}:\d{2})$/i;
const PARTIAL = /^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:[T ](\d{2}):(\d{2})(?::(\d{2})(?:\.(\d+))?)?)?)?)?$/;

/** The time that a text means, in milliseconds; null if it is empty or cannot be read. */
export function instant(given, { zone = timeZone(), now = Date.now() } = {}) {
  // In an address, a + that is not encoded is a blank.
  const text = given.replace(/(:\d{2}(?:\.\d+)?) (\d{2}:\d{2})$/, "$1+$2");
  const age = AGE.exec(text);
  if (age) return now - Number(age[1]) * SECONDS[age[2][0]] * 1000;
  const moment = MOMENT.exec(text);
  if (moment) {
    const [, day, minute, second = ":00", offset] = moment;
    const time = Date.parse(`${day}T${minute}${second}${offset.toUpperCase()}`);
    return Number.isNaN(time) ? null : time;
  }
  return partial(text, zone) ?? word(text, zone, now);
}

/** As it goes into the address: what depends only on the zone becomes a moment; ages and words stay as they are. */
export function typedTime(text, zone = timeZone()) {
  const typed = text.trim();
  const time = partial(typed, zone);
  return time === null ? typed : new Date(time).toISOString();
}

/** As the server is asked: nothing of it depends on the zone shown any more. An age is left to the server's clock. */
export function askedTime(text, clock = {}) {
  const time = AGE.test(text) || MOMENT.test(text) ? null : instant(text, clock);
  return time === null ? text : new Date(time).toISOString();
}

/** A moment as an input of the type datetime-local has it, to the minute, or to the second if it is not on one. */
export function wallTime(time, zone = timeZone()) {
  const offset = zone === "utc" ? 0 : new Date(time).getTimezoneOffset() * 60_000;
  const text = new Date(time - offset).toISOString();
  return text.slice(17, 19) === "00" ? text.slice(0, 16) : text.slice(0, 19);
}

// A year, month, day, or a moment without an offset.
function partial(text, zone) {
  const found = PARTIAL.exec(text);
  if (!found) return null;
  const [year, month = 1, day = 1, hour = 0, minute = 0, second = 0] = found.slice(1, 7).map((part) => part && Number(part));
  const millis = Math.floor(Number(`0.${found[7] ?? 0}`) * 1000);
  if (hour > 23 || minute > 59 || second > 60) return null;
  // The day must exist.
  const whole = new Date(Date.UTC(2000, month - 1, day));
  whole.setUTCFullYear(year, month - 1, day);
  if (whole.getUTCMonth() !== month - 1 || whole.getUTCDate() !== day) return null;
  return at(zone, year, month - 1, day, hour, minute, second, millis);
}

function word(text, zone, now) {
  const date = new Date(now);
  const utc = zone === "utc";
  const [year, month, day] = utc
    ? [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
    : [date.getFullYear(), date.getMonth(), date.getDate()];
  // Days since Monday.
  const weekday = ((utc ? date.getUTCDay() : date.getDay()) + 6) % 7;
  switch (text.toLowerCase().replaceAll(/[-_]/g, " ")) {
    case "now":
      return now;
    case "today":
      return at(zone, year, month, day);
    case "yesterday":
      return at(zone, year, month, day - 1);
    case "this week":
      return at(zone, year, month, day - weekday);
    case "last week":
      return at(zone, year, month, day - weekday - 7);
    case "this month":
      return at(zone, year, month, 1);
    case "last month":
      return at(zone, year, month - 1, 1);
    case "this year":
      return at(zone, year, 0, 1);
    case "last year":
      return at(zone, year - 1, 0, 1);
    default:
      return null;
  }
}

// Years below 100 are those years, and not of the last century.
function at(zone, year, month, day, ...clock) {
  const [hour = 0, minute = 0, second = 0, millis = 0] = clock;
  const date = new Date(0);
  if (zone === "utc") {
    date.setUTCFullYear(year, month, day);
    date.setUTCHours(hour, minute, second, millis);
  } else {
    date.setHours(0, 0, 0, 0);
    date.setFullYear(year, month, day);
    date.setHours(hour, minute, second, millis);
  }
  return date.getTime();
}
