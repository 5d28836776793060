// The public keys that this browser keeps, one a trail: pasted by the reader, or the first one seen.

import { askJson } from "./api.js";
import { parseKey } from "./proof.js";

const STORE = "trailseal.keys";
const ASK_AGAIN_MS = 5000;
const seenHere = new Map();
let named = null;

function all() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
}

function keep(keys) {
  try {
    localStorage.setItem(STORE, JSON.stringify(keys));
  } catch {
    /* A private window: kept for this page alone. */
  }
}

/** `{text, how, since}` for a trail: `how` is `pasted` or `first seen`; null if none is kept. */
export function keptKey(origin) {
  const kept = all();
  return Object.hasOwn(kept, origin) ? kept[origin] : (seenHere.get(origin) ?? null);
}

export function forgetKey(origin) {
  const keys = all();
  delete keys[origin];
  keep(keys);
  seenHere.delete(origin);
}

/** Keeps a key that somebody brought from elsewhere. Throws a ProofError if it is none. */
export async function pinKey(text) {
  const key = await parseKey(text);
  remember(key, "pasted");
  return key;
}

function remember(key, how) {
  const kept = { text: key.text, how, since: new Date().toISOString() };
  seenHere.set(key.name, kept);
  keep({ ...all(), [key.name]: kept });
}

/**
 * The keys to check a trail's signatures with. Where none is kept, the one that the server names is taken and
 * kept from then on: trust on first use, which the page says. None if the server does not tell one.
 */
export async function keysFor(origin, offered) {
  const kept = keptKey(origin);
  if (kept) return [await parseKey(kept.text)];
  const first = offered ?? (await keyFromServer(origin));
  if (!first) return [];
  try {
    const key = await parseKey(first);
    if (key.name !== origin) return [];
    remember(key, "first seen");
    return [key];
  } catch {
    return [];
  }
}

/** What the server says is the trail's key; only for a first look, and to show where it differs. */
export async function keyFromServer(origin) {
  // Not once an event: a token for one tenant gets no answer anyway.
  if (!named || performance.now() - named.at > ASK_AGAIN_MS)
    named = { at: performance.now(), answer: askJson("v1/origins").catch(() => ({})) };
  try {
    const { origins } = await named.answer;
    const found = origins?.find((each) => each.origin === origin);
    return found?.public_key ?? null;
  } catch {
    return null;
  }
}

// ---- checkpoints that were seen ------------------------------------------------------------------------

const SEEN = "trailseal.checkpoints";

/** The newest checkpoint of a trail that this browser found to be right: `{size, root, note, seen}`, or null. */
export function keptCheckpoint(origin) {
  try {
    return JSON.parse(localStorage.getItem(SEEN))?.[origin] ?? null;
  } catch {
    return null;
  }
}

export function keepCheckpoint({ origin, size }, root, note) {
  try {
    const kept = JSON.parse(localStorage.getItem(SEEN)) ?? {};
    kept[origin] = { size, root, note, seen: new Date().toISOString() };
    localStorage.setItem(SEEN, JSON.stringify(kept));
  } catch {
    /* A private window: nothing is kept. */
  }
}

export function forgetCheckpoint(origin) {
  try {
    const kept = JSON.parse(localStorage.getItem(SEEN)) ?? {};
    delete kept[origin];
    localStorage.setItem(SEEN, JSON.stringify(kept));
  } catch {
    /* Nothing was kept. */
  }
}
