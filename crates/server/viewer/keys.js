// The public keys that this browser keeps, one per trail: pasted by the reader, or the first one seen.

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
    /* A private window: kept only for this page. */
  }
}

/** `{text, how, since}` for a trail: `how` is `pasted` or `first seen`; null if none is kept. */
export function keptKey(origin) {
  const kept = all();
  return (Object.hasOwn(kept, origin) ? kept[origin] : seenHere.get(origin)) ?? null;
}

/** Forgets the trail's key, and does not trust the next one seen either. */
export function forgetKey(origin) {
  keep({ ...all(), [origin]: null });
  seenHere.delete(origin);
}

/** Keeps a key that the reader pasted or chose to trust. Throws a ProofError if it is not a key. */
export async function pinKey(text, how = "pasted") {
  const key = await parseKey(text);
  const kept = { text: key.text, how, since: new Date().toISOString() };
  seenHere.set(key.name, kept);
  keep({ ...all(), [key.name]: kept });
  return key;
}

/**
 * The keys to check a trail's signatures with; none if none is kept. At the very first visit the keys that the
 * server names are taken and kept from then on: trust on first use, which the page says. Later ones are not:
 * somebody in between could name a trail and a key of his own.
 */
export async function keysFor(origin) {
  if (Object.keys(all()).length === 0 && seenHere.size === 0) await takeFirstKeys();
  const kept = keptKey(origin);
  try {
    return kept ? [await parseKey(kept.text)] : [];
  } catch {
    return [];
  }
}

async function takeFirstKeys() {
  for (const { origin, public_key: text } of await originsFromServer()) {
    try {
      const key = await parseKey(text ?? "");
      if (key.name === origin) await pinKey(text, "first seen");
    } catch {
      /* Only keys are kept. */
    }
  }
}

/** The key that the server names for the trail: to be shown, not trusted. */
export async function keyFromServer(origin) {
  return (await originsFromServer()).find((each) => each.origin === origin)?.public_key ?? null;
}

async function originsFromServer() {
  // Not for every event: a token for one tenant is refused anyway.
  if (!named || performance.now() - named.at > ASK_AGAIN_MS) {
    const answer = askJson("v1/origins").then(
      (each) => each.origins ?? [],
      () => [],
    );
    named = { at: performance.now(), answer };
  }
  return named.answer;
}

// ---- checkpoints that were seen ------------------------------------------------------------------------

const SEEN = "trailseal.checkpoints";

/** The newest checkpoint of a trail that this browser found to be correct: `{size, root, note, seen}`, or null. */
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
