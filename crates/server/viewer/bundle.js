// Checks a bundle with nothing but the browser: its layout, the hashes of its members, the checkpoint, and the proof of
// each line. Pure: no page, no network, no storage, so that node can run it in a test. Format: docs/export.md.

import { ProofError, canCheck, compareWithSealed, fromBase64, hex, leafHash, parseCheckpoint, parseKey, rootFromPath, sameBytes, verifyCheckpoint } from "./proof.js";

const FORMAT = "trailseal-bundle@v1";
const MEMBERS = ["lines.jsonl", "proofs.jsonl", "checkpoint", "public-key"];
const PERSONAL = "personal.jsonl";
const PACKED = "lines.jsonl.zst";
// Larger files need the command line: a browser holds all of it in memory.
export const FILE_BYTES_MAX = 2 ** 30;
// So much is read only to say how many events are in it.
const LOOK_BYTES_MAX = 2 ** 26;
const MEMBER_BYTES_MAX = 2 ** 30;
const LINE_BYTES_MAX = 1 << 16;
const TELL_EVERY = 200;

const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const END_BYTES = 22;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const wrong = (message) => new ProofError("bundle_invalid", message);
const unsupported = (message) => new ProofError("unsupported", message);

/** How many events a bundle says it has; null if it is too large to look, or cannot be read. Checks nothing. */
export async function eventsIn(blob) {
  if (blob.size > LOOK_BYTES_MAX) return null;
  try {
    const zip = membersOf(new Uint8Array(await blob.arrayBuffer()));
    return JSON.parse(await text(zip, "manifest.json")).count;
  } catch {
    return null;
  }
}

/** Whether these bytes begin like a bundle. */
export const isBundle = (bytes) => bytes.length >= 4 && view(bytes).getUint32(0, true) === 0x04034b50;

/**
 * Checks a bundle. `pinned` are keys from elsewhere; without any, the state is at best `no_key`: genuine for the key that
 * the bundle itself brings. Returns `{state, origins, problem, code}`; each origin has `{origin, count, size, key, isShown}`.
 * Never throws. `progress(done)` is told how many lines are proved.
 */
export async function checkBundle(bytes, pinned, progress = () => {}) {
  if (!canCheck()) return { state: "unchecked", origins: [], problem: "This browser cannot check signatures here." };
  const origins = [];
  try {
    const zip = membersOf(bytes);
    const manifest = JSON.parse(await text(zip, "manifest.json"));
    if (manifest.format !== FORMAT) throw wrong(`Its format is not ${FORMAT}.`);
    const claimed = Array.isArray(manifest.origins) ? manifest.origins : [];
    if (claimed.length === 0) throw wrong("It names no origin.");
    const folders = claimed.map((_, number) => folderOf(zip, number));
    const names = [...folders.flat(), "manifest.json"];
    if (names.join("\n") !== [...zip.keys()].join("\n")) {
      throw wrong("Its members are not those of its manifest, or in another order.");
    }
    let proved = 0;
    for (const [number, claim] of claimed.entries()) {
      const tell = (done) => progress(proved + done);
      const found = await checkOrigin(zip, number, manifest.members ?? {}, pinned, tell);
      if (
        claim.folder !== String(number) ||
        claim.count !== found.count ||
        claim.origin !== found.origin ||
        claim.tree_size !== found.size
      ) {
        throw wrong(`Folder ${number} is not what the manifest says.`);
      }
      if (origins.some((each) => each.origin === found.origin)) throw wrong(`${found.origin} is in it twice.`);
      proved += found.count;
      origins.push(found);
    }
    if (manifest.count !== proved) throw wrong(`It has ${proved} lines, but the manifest says ${manifest.count}.`);
    return { state: pinned.length > 0 ? "proven" : "no_key", origins, filters: manifest.filters ?? {}, problem: null };
  } catch (error) {
    const isKnown = error instanceof ProofError;
    const problem = isKnown ? error.message : `It is malformed: ${error.message}`;
    return { state: error.code === "unsupported" ? "unchecked" : "failed", code: error.code, origins: [], problem };
  }
}

function folderOf(zip, number) {
  if (zip.has(`${number}/${PACKED}`)) {
    throw unsupported("This is an archive: its lines are compressed in a way that browsers cannot read. Use trailseal verify --bundle.");
  }
  const names = MEMBERS.map((name) => `${number}/${name}`);
  return zip.has(`${number}/${PERSONAL}`) ? [...names, `${number}/${PERSONAL}`] : names;
}

async function checkOrigin(zip, number, members, pinned, tell) {
  const read = async (name) => {
    const content = await unpacked(zip, `${number}/${name}`);
    const hash = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", content)));
    if (members[`${number}/${name}`]?.sha256 !== hash) throw wrong(`${number}/${name} does not match its hash in the manifest.`);
    return content;
  };
  const checkpoint = parseCheckpoint(decoded(await read("checkpoint"), "checkpoint"));
  const own = await parseKey(decoded(await read("public-key"), "public-key"));
  const signer = await verifyCheckpoint(checkpoint, pinned.length > 0 ? pinned : [own]);
  const lines = await read("lines.jsonl");
  let [count, next] = [0, 0];
  const proofs = pairs(lines, "lines.jsonl", await read("proofs.jsonl"), "proofs.jsonl", "The lines and their proofs differ in number.");
  for (const [line, proof] of proofs) {
    const { index, hashes } = proofOf(decoded(proof, "proofs.jsonl"), count);
    if (index < next) throw wrong(`Event ${index} occurs twice or out of order.`);
    next = index + 1;
    count += 1;
    const root = await rootFromPath(index, checkpoint.size, await leafHash(line), hashes);
    if (!sameBytes(root, checkpoint.root)) throw wrong(`Line ${count} is not event ${index} of ${checkpoint.origin}.`);
    if (count % TELL_EVERY === 0) tell(count);
  }
  tell(count);
  const isShown = zip.has(`${number}/${PERSONAL}`);
  if (isShown) compareShown(await read(PERSONAL), lines);
  return { origin: checkpoint.origin, count, size: checkpoint.size, key: signer.text, isShown };
}

// Lines with personal values in plain: apart from those, they are the ones that are proved.
function compareShown(shown, lines) {
  const differ = `The lines of ${PERSONAL} are not those that are proved.`;
  for (const [line, proved] of pairs(shown, PERSONAL, lines, "lines.jsonl", differ)) {
    if (compareWithSealed(decoded(line, PERSONAL), decoded(proved, "lines.jsonl")).at !== null) throw wrong(differ);
  }
}

function proofOf(line, at) {
  const { index, hashes } = JSON.parse(line);
  const path = Array.isArray(hashes) ? hashes.map((hash) => fromBase64(String(hash))) : [];
  if (!Number.isSafeInteger(index) || index < 0 || path.length > 63 || path.some((hash) => hash?.length !== 32)) {
    throw wrong(`Proof ${at + 1} is malformed.`);
  }
  return { index, hashes: path };
}

// One at a time: a member of nothing but line ends would have more lines than memory has room for.
function* linesOf(content, name) {
  for (let begin = 0; begin < content.length; ) {
    const end = content.indexOf(10, begin);
    if (end < 0 || end - begin >= LINE_BYTES_MAX) throw wrong(`${name} has a line that is too long or has no end.`);
    yield content.subarray(begin, end);
    begin = end + 1;
  }
}

/** The lines of two members side by side; `differ` is told if one has more. */
function* pairs(content, name, other, otherName, differ) {
  const others = linesOf(other, otherName);
  for (const line of linesOf(content, name)) {
    const { value, done } = others.next();
    if (done) throw wrong(differ);
    yield [line, value];
  }
  if (!others.next().done) throw wrong(differ);
}

const text = async (zip, name) => decoded(await unpacked(zip, name), name);

function decoded(bytes, name) {
  try {
    return utf8.decode(bytes);
  } catch {
    throw wrong(`${name} is not UTF-8.`);
  }
}

// ---- the zip -------------------------------------------------------------------------------------------
//
// A zip says many things twice, and tools differ in what they believe. So each byte outside of a member's content must be
// exactly what our own writer puts there.

function view(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The members by name, in their order: `{packed, size, crc}`. */
function membersOf(bytes) {
  if (!isBundle(bytes)) throw wrong("It is not a bundle.");
  if (bytes.length > FILE_BYTES_MAX) throw unsupported("It is too large for a browser. Use trailseal verify --bundle.");
  const data = view(bytes);
  const end = bytes.length - END_BYTES;
  if (end < 0 || data.getUint32(end, true) !== 0x06054b50) throw wrong("It is truncated, or there are bytes after its end.");
  const directory = data.getUint32(end + 16, true);
  if (directory > end) throw wrong("Its directory is not where its end says.");
  const members = new Map();
  let [place, entry] = [0, directory];
  while (entry < end && data.getUint32(entry, true) === 0x02014b50) {
    const member = entryAt(bytes, data, entry, place);
    if (members.has(member.name)) throw wrong(`${member.name} is in it twice.`);
    members.set(member.name, member);
    [place, entry] = [member.next, entry + member.entryBytes];
  }
  expect(bytes, entry, written([0x06054b50, 4], [0, 2], [0, 2], [members.size, 2], [members.size, 2], [entry - directory, 4], [directory, 4], [0, 2]), "its end");
  if (entry !== end || place !== directory) throw wrong("There are bytes in it that belong to no member.");
  return members;
}

function entryAt(bytes, data, at, place) {
  if (at + ENTRY_BYTES > bytes.length) throw wrong("Its directory is truncated.");
  const [flags, crc, nameLength] = [data.getUint16(at + 8, true), data.getUint32(at + 16, true), data.getUint16(at + 28, true)];
  const name = decoded(bytes.subarray(at + ENTRY_BYTES, at + ENTRY_BYTES + nameLength), "a name");
  if (!/^[A-Za-z0-9/.-]{1,64}$/.test(name)) throw wrong("A member has a name that is not allowed.");
  const extra = at + ENTRY_BYTES + nameLength;
  if (extra + 20 > bytes.length) throw wrong("Its directory is truncated.");
  const [size, packed] = [Number(data.getBigUint64(extra + 4, true)), Number(data.getBigUint64(extra + 12, true))];
  const isPiped = flags === 8;
  const shared = (sum, sizes) => [[45, 2], [isPiped ? 8 : 0, 2], [8, 2], [0x21 << 16, 4], [sum, 4], [sizes, 4], [sizes, 4], [nameLength, 2], [20, 2]];
  const large = (...numbers) => [[1, 2], [16, 2], ...numbers.map((number) => [number, 8])];
  const label = new TextEncoder().encode(name);
  const directoryEntry = joined(
    written([0x02014b50, 4], [(3 << 8) | 45, 2], ...shared(crc, 0xffffffff), [0, 2], [0, 2], [0, 2], [0o100644 * 0x10000, 4], [place, 4]),
    label,
    written(...large(size, packed)),
  );
  expect(bytes, at, directoryEntry, `the entry of ${name}`);
  const header = joined(
    written([0x04034b50, 4], ...(isPiped ? shared(0, 0) : shared(crc, 0xffffffff))),
    label,
    written(...(isPiped ? large(0, 0) : large(size, packed))),
  );
  expect(bytes, place, header, `the header of ${name}`);
  const from = place + LOCAL_BYTES + nameLength + 20;
  const to = from + packed;
  const descriptor = isPiped ? written([0x08074b50, 4], [crc, 4], [packed, 8], [size, 8]) : new Uint8Array();
  expect(bytes, to, descriptor, `what follows ${name}`);
  const next = to + descriptor.length;
  return { name, packed: bytes.subarray(from, to), size, crc, next, entryBytes: directoryEntry.length };
}

function expect(bytes, at, wanted, what) {
  const found = bytes.subarray(at, at + wanted.length);
  if (!sameBytes(found, wanted)) throw wrong(`It does not have the layout of a bundle: ${what} is another.`);
}

// Numbers with their widths in bytes, the lowest byte first.
function written(...numbers) {
  const out = new Uint8Array(numbers.reduce((sum, [, width]) => sum + width, 0));
  let at = 0;
  for (const [number, width] of numbers) {
    for (let left = number, byte = 0; byte < width; byte += 1) {
      out[at + byte] = left % 256;
      left = Math.floor(left / 256);
    }
    at += width;
  }
  return out;
}

function joined(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

async function unpacked(zip, name) {
  const member = zip.get(name);
  if (!member) throw wrong(`${name} is not in it.`);
  if (member.size > MEMBER_BYTES_MAX) throw unsupported(`${name} is too large for a browser. Use trailseal verify --bundle.`);
  const stream = new Blob([member.packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const out = new Uint8Array(member.size);
  let at = 0;
  try {
    for (const reader = stream.getReader(); ; ) {
      const { value, done } = await reader.read();
      if (done) break;
      if (at + value.length > out.length) throw new Error("it is longer than it says");
      out.set(value, at);
      at += value.length;
    }
  } catch (error) {
    throw wrong(`${name} cannot be unpacked: ${error.message}`);
  }
  if (at !== out.length || crc32(out) !== member.crc) throw wrong(`${name} is not as long as it says, or has another checksum.`);
  return out;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let sum = byte;
  for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  return sum;
});

function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xffffffff) >>> 0;
}
