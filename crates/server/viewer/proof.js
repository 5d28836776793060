// Checks proofs and checkpoints with nothing but WebCrypto, without trusting the server.
//
// Pure: no page, no network, no storage, so that node can run it in a test.
// Formats: docs/format.md; C2SP tlog-proof, tlog-checkpoint and signed-note; RFC 6962, section 2.1.

export const PROOF_HEADER = "c2sp.org/tlog-proof@v1";
const ROTATION = "trailseal-rotation@v2";
const HASH_BYTES = 32;
const ED25519 = 1;
const SAFE_NUMBER = /^(0|[1-9][0-9]{0,15})$/;

const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A check that failed. `code` is stable, `message` is for people. */
export class ProofError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "ProofError";
    this.code = code;
  }
}

/** Whether this browser can check anything: crypto.subtle does not exist on plain HTTP other than on loopback. */
export function canCheck() {
  return Boolean(globalThis.crypto?.subtle);
}

// ---- reading -------------------------------------------------------------------------------------------

/** `{extra, index, hashes, checkpoint}` of a `.tlog-proof`; `extra` holds the line's bytes. */
export function parseProof(text) {
  const fail = (why) => new ProofError("proof_invalid", `The proof is malformed: ${why}.`);
  const gap = text.indexOf("\n\n");
  if (gap < 0) throw fail("it carries no checkpoint");
  const lines = text.slice(0, gap).split("\n");
  if (lines.shift() !== PROOF_HEADER) throw fail(`it does not begin with ${PROOF_HEADER}`);
  if (!lines[0]?.startsWith("extra ")) throw fail("it does not contain the event’s line");
  const extra = fromBase64(lines.shift().slice(6));
  if (!extra) throw fail("the event’s line is not base64");
  const index = /^index (.*)$/.exec(lines.shift() ?? "")?.[1];
  if (!SAFE_NUMBER.test(index ?? "")) throw fail("it names no index");
  const hashes = lines.map(fromBase64);
  if (hashes.length > 63 || hashes.some((hash) => hash?.length !== HASH_BYTES)) {
    throw fail("a hash in it is not one");
  }
  return { extra, index: Number(index), hashes, checkpoint: text.slice(gap + 2) };
}

/** `{origin, size, root, signedText, signatures}` of a signed checkpoint. */
export function parseCheckpoint(text) {
  const fail = (why) => new ProofError("checkpoint_invalid", `The checkpoint is malformed: ${why}.`);
  const gap = text.indexOf("\n\n");
  if (gap < 0 || !text.endsWith("\n")) throw fail("it carries no signatures");
  const signedText = text.slice(0, gap + 1);
  const [origin, size, root, ...more] = signedText.split("\n");
  if (!origin || more.join("") !== "") throw fail("it does not have the three lines that it should");
  if (!SAFE_NUMBER.test(size)) throw fail("its size is not a number");
  const rootBytes = fromBase64(root ?? "");
  if (rootBytes?.length !== HASH_BYTES) throw fail("its root is not a hash");
  const signatures = text
    .slice(gap + 2, -1)
    .split("\n")
    .map((line) => {
      const match = /^— (\S+) (\S+)$/.exec(line);
      const bytes = match && fromBase64(match[2]);
      if (!bytes || bytes.length < 5) throw fail("a signature line is not one");
      return { name: match[1], id: hex(bytes.subarray(0, 4)), bytes: bytes.subarray(4) };
    });
  return { origin, size: Number(size), root: rootBytes, signedText, signatures };
}

/** `{name, id, key, text}` of a verifier key `NAME+HASH+BASE64`; its id is recomputed, not trusted. */
export async function parseKey(text) {
  const fail = (why) => new ProofError("key_invalid", `This is not a trail’s public key: ${why}.`);
  const match = /^([^\s+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text.trim());
  if (!match) throw fail("it should look like NAME+0a1b2c3d+BASE64, as `trailseal key show` prints it");
  const bytes = fromBase64(match[3]);
  if (bytes?.length !== 33 || bytes[0] !== ED25519) throw fail("it contains no Ed25519 key");
  const key = bytes.subarray(1);
  const id = await keyId(match[1], key);
  if (id !== match[2]) throw fail("its parts do not match; was it copied completely?");
  return { name: match[1], id, key, text: match[0] };
}

// ---- hashing -------------------------------------------------------------------------------------------

/** SHA-256(0x00 ‖ line), RFC 6962's leaf. */
export function leafHash(line) {
  return sha256(Uint8Array.of(0), line);
}

/** SHA-256(0x01 ‖ left ‖ right), RFC 6962's node. */
export function nodeHash(left, right) {
  return sha256(Uint8Array.of(1), left, right);
}

/** The root that a leaf and its path give in a tree of that size (RFC 9162, section 2.1.3.2). */
export async function rootFromPath(index, size, leaf, path) {
  const fail = () => new ProofError("path_invalid", "The proof’s path does not match a tree of the signed size.");
  if (index >= size)
    throw new ProofError("path_invalid", `The checkpoint covers ${size} events, so not event ${index}.`);
  let [node, last, root] = [index, size - 1, leaf];
  for (const hash of path) {
    if (last === 0) throw fail();
    if (node % 2 === 1 || node === last) {
      root = await nodeHash(hash, root);
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)];
    } else {
      root = await nodeHash(root, hash);
    }
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  if (last !== 0) throw fail();
  return root;
}

// ---- signatures ----------------------------------------------------------------------------------------

/**
 * The key that signed `checkpoint`: one of `pinned`, or one for which an unbroken chain of rotations in the
 * checkpoint vouches, within the sizes that it signs. Throws a ProofError where there is none.
 */
export async function verifyCheckpoint(checkpoint, pinned) {
  const keys = pinned.filter((key) => key.name === checkpoint.origin);
  if (keys.length === 0) {
    throw new ProofError(
      "origin_mismatch",
      `The checkpoint belongs to “${checkpoint.origin}”, but the public key belongs to another trail.`,
    );
  }
  const trusted = await withRotations(checkpoint, keys);
  let signer = null;
  let retired = null;
  for (const signature of checkpoint.signatures) {
    const key = trusted.find((each) => each.name === signature.name && each.id === signature.id);
    if (!key) continue;
    const good = await verifyEd25519(key.key, signature.bytes, utf8.encode(checkpoint.signedText));
    if (!good) {
      throw new ProofError(
        "signature_invalid",
        `The checkpoint’s signature is not by key ${key.id}: the checkpoint was changed or forged.`,
      );
    }
    if (key.from <= checkpoint.size && checkpoint.size <= key.to) signer ??= key;
    else retired ??= key;
  }
  if (signer) return signer;
  if (retired) {
    throw new ProofError(
      "key_unknown",
      `The checkpoint of size ${checkpoint.size} is signed by key ${retired.id}, which signs only sizes from ${retired.from} to ${retired.to}.`,
    );
  }
  const names = checkpoint.signatures.map((signature) => signature.id).join(", ");
  throw new ProofError(
    "key_unknown",
    `The checkpoint is not signed by the key that this browser trusts (${keys[0].id}), but by ${names}.`,
  );
}

// The trusted keys, each with the first and the last size that it signs.
async function withRotations(checkpoint, pinned) {
  const trusted = pinned.map((key) => ({ ...key, from: 0, to: Infinity }));
  // Grows during the loop: each new key may vouch for the next one.
  for (const old of trusted) {
    const id = hex(
      (
        await sha256(utf8.encode(`${checkpoint.origin}\n`), Uint8Array.of(0xff), utf8.encode(ROTATION), old.key)
      ).subarray(0, 4),
    );
    for (const line of checkpoint.signatures) {
      if (line.name !== checkpoint.origin || line.id !== id || line.bytes.length !== 104) continue;
      const next = await keyOf(checkpoint.origin, line.bytes.slice(0, 32));
      const size = new DataView(line.bytes.slice(32, 40).buffer).getBigUint64(0);
      const statement = `${ROTATION}\n${checkpoint.origin}\n${old.text}\n${next.text}\n${size}\n`;
      if (!(await verifyEd25519(old.key, line.bytes.subarray(40), utf8.encode(statement)))) continue;
      old.to = Math.min(old.to, Number(size));
      const known = trusted.find((each) => each.id === next.id && sameBytes(each.key, next.key));
      if (known) known.from = Math.max(known.from, Number(size));
      else trusted.push({ ...next, from: Number(size), to: Infinity });
    }
  }
  return trusted;
}

async function keyOf(name, key) {
  const id = await keyId(name, key);
  return { name, id, key, text: `${name}+${id}+${toBase64(Uint8Array.of(ED25519, ...key))}` };
}

async function keyId(name, key) {
  return hex((await sha256(utf8.encode(`${name}\n`), Uint8Array.of(ED25519), key)).subarray(0, 4));
}

async function verifyEd25519(key, signature, message) {
  if (signature.length !== 64) return false;
  let imported;
  try {
    imported = await crypto.subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    if (error.name === "NotSupportedError") {
      throw new ProofError("unsupported", "This browser cannot check Ed25519 signatures.");
    }
    return false;
  }
  return crypto.subtle.verify({ name: "Ed25519" }, imported, signature, message);
}

// ---- the whole check -----------------------------------------------------------------------------------

/**
 * Checks one event from beginning to end.
 *
 * `shown` is what the page got from elsewhere and displays: `{origin, index, line}` with the line's text, each
 * compared where given. Returns `{state, steps, line, personal, checkpoint, key}`; `personal` counts the personal values that
 * are sealed as cipher text, and shown as something else; `state` is `proven`, `failed`,
 * `no_key` (everything holds, but no public key is known) or `unchecked` (the browser cannot). Never throws.
 */
export async function checkProof(proofText, shown, pinned) {
  const result = { state: "failed", steps: [], line: null, personal: 0, checkpoint: null, key: null };
  const step = async (name, work) => {
    try {
      result.steps.push({ name, ok: true, message: await work() });
      return true;
    } catch (error) {
      const known = error instanceof ProofError;
      const code = known ? error.code : "unexpected";
      result.steps.push({
        name,
        ok: false,
        code,
        message: known ? error.message : `The check was interrupted: ${error.message}`,
      });
      return false;
    }
  };
  if (!canCheck()) return { ...result, state: "unchecked" };

  let proof;
  const readable = await step("form", () => {
    proof = parseProof(proofText);
    result.checkpoint = parseCheckpoint(proof.checkpoint);
    result.line = decode(proof.extra);
    return `A proof for event ${proof.index}, with a checkpoint over ${result.checkpoint.size} events.`;
  });
  if (!readable) return result;

  // The remaining steps are independent: every problem is reported, not only the first.
  const good = [
    await step("path", () => checkPath(proof, result.checkpoint)),
    await step("shown", () => checkShown(proof, result, shown)),
  ].every(Boolean);
  if (pinned.length === 0) return { ...result, state: good ? "no_key" : "failed" };
  const signed = await step("signature", async () => {
    result.key = await verifyCheckpoint(result.checkpoint, pinned);
    return `The checkpoint is signed by key ${result.key.id}.`;
  });
  const unsupported = result.steps.some((each) => each.code === "unsupported");
  return { ...result, state: good && signed ? "proven" : good && unsupported ? "unchecked" : "failed" };
}

async function checkPath(proof, checkpoint) {
  const leaf = await leafHash(proof.extra);
  const root = await rootFromPath(proof.index, checkpoint.size, leaf, proof.hashes);
  if (!sameBytes(root, checkpoint.root)) {
    throw new ProofError(
      "root_mismatch",
      "The line, the path and the checkpoint do not match: at least one of them was changed. " +
        `They give the root ${toBase64(root)}, but the checkpoint says ${toBase64(checkpoint.root)}.`,
    );
  }
  return `The line’s SHA-256 and ${proof.hashes.length} hashes of the path give the signed root.`;
}

function checkShown(proof, result, shown) {
  const { line, checkpoint } = result;
  if (shown.origin !== undefined && shown.origin !== checkpoint.origin) {
    throw new ProofError(
      "origin_mismatch",
      `The event is shown as one of “${shown.origin}”, but the checkpoint belongs to “${checkpoint.origin}”.`,
    );
  }
  if (shown.index !== undefined && shown.index !== proof.index) {
    throw new ProofError(
      "index_mismatch",
      `The event is shown as number ${shown.index}, but the proof is for ${proof.index}.`,
    );
  }
  const named = /^\{"v":1,"index":(\d+),/.exec(line)?.[1];
  if (named !== String(proof.index)) {
    throw new ProofError("index_mismatch", `The proven line does not have the index ${proof.index}.`);
  }
  const { at, from, personal } = compareWithSealed(shown.line ?? line, line);
  result.personal = personal;
  if (at !== null) {
    throw new ProofError(
      "line_differs",
      `What the server shows is not what was sealed. They differ from character ${at} on: ` +
        `shown “${around(shown.line, at)}”, sealed “${around(line, from)}”.`,
    );
  }
  if (personal === 0) return "What is shown is, character for character, what was sealed.";
  const values = personal === 1 ? "one personal value" : `${personal} personal values`;
  return (
    `What is shown is, character for character, what was sealed, except for ${values}: ` +
    "those are sealed as cipher text, which only the server can compare with what it shows."
  );
}

// A personal value as it is sealed (docs/format.md). Readers see the value, or a word in its place.
const SEALED_VALUE = /"erasable:[0-9a-f]{8}-[0-9a-f]+:[A-Za-z0-9_-]+(?::hmac:[^"\\]*)?"(?!:)/y;
const STRING = /"(?:[^"\\]|\\.)*"/y;
const WORD = /[-+.0-9A-Za-z]+/y;

/** Whether a string of a sealed line is a personal value. */
export const isSealedValue = (text) => typeof text === "string" && endOf(SEALED_VALUE, `"${text}"`, 0) === text.length + 2;

/**
 * Compares the text of a line as it is shown with the sealed one. `at` is where they differ first, and `from` the same
 * place in the sealed line; null if they are the same, apart from `personal` values that are sealed as cipher text.
 */
export function compareWithSealed(shown, sealed) {
  let [at, from, personal] = [0, 0, 0];
  while (at < shown.length || from < sealed.length) {
    if (shown[at] === sealed[from] && !startsValue(sealed, from)) {
      at += 1;
      from += 1;
      continue;
    }
    const end = startsValue(sealed, from) ? endOf(SEALED_VALUE, sealed, from) : from;
    const shownEnd = end > from ? valueEnd(shown, at) : at;
    if (shownEnd === at) {
      if (shown[at] !== sealed[from]) return { at, from, personal };
      at += 1;
      from += 1;
      continue;
    }
    if (shown.slice(at, shownEnd) !== sealed.slice(from, end)) personal += 1;
    [at, from] = [shownEnd, end];
  }
  return { at: null, from: null, personal };
}

// Outside of a string, a quote after one of these begins a value; within one, such a quote has a backslash before it.
const startsValue = (text, at) => text[at] === '"' && ":,[".includes(text[at - 1] ?? " ");

function endOf(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : at;
}

// Where the JSON value at `at` ends; `at` itself if there is none.
function valueEnd(text, at) {
  if (text[at] === '"') return endOf(STRING, text, at);
  if (text[at] !== "{" && text[at] !== "[") return endOf(WORD, text, at);
  let depth = 0;
  for (let here = at; here < text.length; here += 1) {
    if (text[here] === '"') here = Math.max(endOf(STRING, text, here) - 1, here);
    else if (text[here] === "{" || text[here] === "[") depth += 1;
    else if (text[here] === "}" || text[here] === "]") depth -= 1;
    if (depth === 0) return here + 1;
  }
  return at;
}

function around(text, at) {
  return text.slice(Math.max(0, at - 12), at + 24);
}

/** The exact line of an event from its HTTP form, which is the same text with `"origin"` added in front. */
export function lineOf(eventText) {
  return eventText.trim().replace(/^\{"origin":"(?:[^"\\]|\\.)*",/, "{");
}

// ---- bytes ---------------------------------------------------------------------------------------------

async function sha256(...parts) {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", joined));
}

function decode(bytes) {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw new ProofError("proof_invalid", "The line in the proof is not UTF-8.");
  }
}

export function sameBytes(a, b) {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function toBase64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** Strict: returns null unless it is canonical base64, since otherwise one proof could have many spellings. */
export function fromBase64(text) {
  try {
    const bytes = Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
    return toBase64(bytes) === text ? bytes : null;
  } catch {
    return null;
  }
}
