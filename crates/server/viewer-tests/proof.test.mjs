// Runs the viewer's own check of proofs in node, on a proof that `trailseal prove` made: `node --test`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  checkProof,
  compareWithSealed,
  isSealedValue,
  lineOf,
  parseCheckpoint,
  parseKey,
  parseProof,
  rootFromPath,
  leafHash,
  nodeHash,
  toBase64,
  verifyCheckpoint,
} from "../viewer/proof.js";

const read = (name) => readFileSync(new URL(`data/${name}`, import.meta.url), "utf8");
const PROOF = read("event-42.tlog-proof");
const KEY = await parseKey(read("public-key"));
const LINE = new TextDecoder().decode(parseProof(PROOF).extra);
const ORIGIN = parseCheckpoint(parseProof(PROOF).checkpoint).origin;
const SHOWN = { origin: ORIGIN, index: 42, line: LINE };

const failures = (result) => result.steps.filter((step) => !step.ok).map((step) => step.code);

test("a genuine proof holds", async () => {
  const result = await checkProof(PROOF, SHOWN, [KEY]);
  assert.deepEqual(failures(result), []);
  assert.equal(result.state, "proven");
  assert.equal(result.line, LINE);
  assert.equal(result.key.id, KEY.id);
});

test("without a key nothing is called proven", async () => {
  const result = await checkProof(PROOF, SHOWN, []);
  assert.equal(result.state, "no_key");
});

test("every changed byte of the proof is found", async () => {
  // Not every position, but all of the short lines and a sample of the long one.
  const lineEnd = PROOF.indexOf("\nindex ");
  for (let at = 0; at < PROOF.length; at += at > 40 && at < lineEnd - 8 ? 97 : 1) {
    const other = PROOF[at] === "A" ? "B" : "A";
    const result = await checkProof(PROOF.slice(0, at) + other + PROOF.slice(at + 1), SHOWN, [KEY]);
    assert.equal(result.state, "failed", `position ${at} (${JSON.stringify(PROOF.slice(at - 5, at + 5))})`);
  }
});

test("what is shown must be what was sealed", async () => {
  const changed = LINE.replace('"outcome":"success"', '"outcome":"failure"');
  assert.notEqual(changed, LINE);
  const result = await checkProof(PROOF, { ...SHOWN, line: changed }, [KEY]);
  assert.equal(result.state, "failed");
  assert.deepEqual(failures(result), ["line_differs"]);
  assert.deepEqual(failures(await checkProof(PROOF, { ...SHOWN, index: 41 }, [KEY])), ["index_mismatch"]);
  assert.deepEqual(failures(await checkProof(PROOF, { ...SHOWN, origin: "example.com/other" }, [KEY])), [
    "origin_mismatch",
  ]);
});

test("another key's signature is not taken", async () => {
  const { privateKey, publicKey } = await crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"]);
  const stranger = await keyNamed(ORIGIN, publicKey);
  assert.deepEqual(failures(await checkProof(PROOF, SHOWN, [stranger])), ["key_unknown"]);

  // A forger signs a tree of one false line with a key of his own.
  const forged = LINE.replace('"index":42', '"index":0');
  const root = toBase64(await leafHash(new TextEncoder().encode(forged)));
  const body = `${ORIGIN}\n1\n${root}\n`;
  const note = await sign(body, stranger, privateKey);
  const proof = `c2sp.org/tlog-proof@v1\nextra ${Buffer.from(forged).toString("base64")}\nindex 0\n\n${note}`;
  const shown = { origin: ORIGIN, index: 0, line: forged };
  assert.equal((await checkProof(proof, shown, [stranger])).state, "proven");
  assert.deepEqual(failures(await checkProof(proof, shown, [KEY])), ["key_unknown"]);
});

test("a new key is trusted when the old one vouches for it", async () => {
  const [first, second, third] = await Promise.all(
    [1, 2, 3].map(() => crypto.subtle.generateKey({ name: "Ed25519" }, true, ["sign", "verify"])),
  );
  const keys = await Promise.all([first, second, third].map((pair) => keyNamed(ORIGIN, pair.publicKey)));
  const body = `${ORIGIN}\n9\n${toBase64(new Uint8Array(32))}\n`;
  const rotations = [
    await rotation(keys[0], first.privateKey, keys[1], 4),
    await rotation(keys[1], second.privateKey, keys[2], 9),
  ];
  const signed = await sign(body, keys[2], third.privateKey);

  const vouched = parseCheckpoint(signed + rotations.join(""));
  assert.equal((await verifyCheckpoint(vouched, [keys[0]])).id, keys[2].id);
  assert.equal((await verifyCheckpoint(vouched, [keys[1]])).id, keys[2].id);
  // A link is missing; or the chain is told by somebody else.
  await assert.rejects(verifyCheckpoint(parseCheckpoint(signed + rotations[1]), [keys[0]]), { code: "key_unknown" });
  const forged = await rotation(keys[0], second.privateKey, keys[2], 4);
  await assert.rejects(verifyCheckpoint(parseCheckpoint(signed + forged), [keys[0]]), { code: "key_unknown" });
  // A key that was rotated away signs nothing larger, and a new one nothing smaller.
  const retired = (await sign(body, keys[0], first.privateKey)) + rotations.join("");
  await assert.rejects(verifyCheckpoint(parseCheckpoint(retired), [keys[0]]), { code: "key_unknown" });
  const early = signed + (await rotation(keys[0], first.privateKey, keys[2], 10));
  await assert.rejects(verifyCheckpoint(parseCheckpoint(early), [keys[0]]), { code: "key_unknown" });
});

test("a key whose parts do not belong together is refused", async () => {
  await assert.rejects(parseKey(read("public-key").replace(/\+[0-9a-f]{8}\+/, "+00000000+")), { code: "key_invalid" });
  await assert.rejects(parseKey("not a key"), { code: "key_invalid" });
});

test("paths of every leaf in trees of many sizes give the root", async () => {
  const bytes = (number) => new TextEncoder().encode(`leaf ${number}`);
  for (const size of [1, 2, 3, 5, 8, 13]) {
    const leaves = await Promise.all(Array.from({ length: size }, (_, at) => leafHash(bytes(at))));
    const root = await rootOf(leaves);
    for (let index = 0; index < size; index += 1) {
      const path = await pathOf(index, leaves);
      assert.deepEqual(await rootFromPath(index, size, leaves[index], path), root);
      await assert.rejects(rootFromPath(index, size, leaves[index], [...path, root]), { code: "path_invalid" });
    }
    await assert.rejects(rootFromPath(size, size, leaves[0], []), { code: "path_invalid" });
  }
});

test("the line is what is left of an event without its origin", () => {
  assert.equal(lineOf('{"origin":"a/b","v":1,"index":0}\n'), '{"v":1,"index":0}');
  assert.equal(lineOf('{"origin":"a\\"b","v":1}'), '{"v":1}');
});

// ---- RFC 6962, written plainly, to compare with --------------------------------------------------------

const split = (size) => 2 ** Math.floor(Math.log2(size - 1));

async function rootOf(leaves) {
  if (leaves.length === 1) return leaves[0];
  const at = split(leaves.length);
  return nodeHash(await rootOf(leaves.slice(0, at)), await rootOf(leaves.slice(at)));
}

async function pathOf(index, leaves) {
  if (leaves.length === 1) return [];
  const at = split(leaves.length);
  return index < at
    ? [...(await pathOf(index, leaves.slice(0, at))), await rootOf(leaves.slice(at))]
    : [...(await pathOf(index - at, leaves.slice(at))), await rootOf(leaves.slice(0, at))];
}

// ---- a signer ------------------------------------------------------------------------------------------

const raw = async (publicKey) => new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));

async function idOf(name, type, key) {
  const bytes = Buffer.concat([Buffer.from(`${name}\n`), type, key]);
  return Buffer.from(await crypto.subtle.digest("SHA-256", bytes)).subarray(0, 4);
}

async function keyNamed(name, publicKey) {
  const key = await raw(publicKey);
  const id = await idOf(name, Buffer.of(1), key);
  return parseKey(`${name}+${id.toString("hex")}+${Buffer.concat([Buffer.of(1), key]).toString("base64")}`);
}

async function signature(privateKey, text) {
  return Buffer.from(await crypto.subtle.sign({ name: "Ed25519" }, privateKey, Buffer.from(text)));
}

async function sign(body, key, privateKey) {
  const bytes = Buffer.concat([Buffer.from(key.id, "hex"), await signature(privateKey, body)]);
  return `${body}\n— ${key.name} ${bytes.toString("base64")}\n`;
}

async function rotation(old, oldPrivate, next, size) {
  const statement = `trailseal-rotation@v2\n${old.name}\n${old.text}\n${next.text}\n${size}\n`;
  const id = await idOf(old.name, Buffer.from("\xfftrailseal-rotation@v2", "latin1"), old.key);
  const at = Buffer.alloc(8);
  at.writeBigUInt64BE(BigInt(size));
  const bytes = Buffer.concat([id, next.key, at, await signature(oldPrivate, statement)]);
  return `— ${old.name} ${bytes.toString("base64")}\n`;
}

test("personal values are sealed as cipher text and shown as anything", () => {
  const token = "erasable:3fa91c02-1f:AAAAAAAAAAAAAAAAAAAAAAAA_-a";
  const sealed = `{"v":1,"actor":{"id":"u1","email":"${token}"},"details":{"a":["${token}:hmac:0a1b:ff"],"b":"x"}}`;
  const shownAs = (one, two) => sealed.replace(`"${token}"`, one).replace(`"${token}:hmac:0a1b:ff"`, two);
  for (const [one, two, personal] of [
    ['"a@example.com"', '"erased"', 2],
    ['"with \\" and \\\\"', '{"a":[1,{"b":"}"}],"c":null}', 2],
    ["12.5e-3", "null", 2],
    ["[]", `"${token}:hmac:0a1b:ff"`, 1],
  ]) {
    assert.deepEqual(compareWithSealed(shownAs(one, two), sealed), { at: null, from: null, personal }, one);
  }
  const shown = shownAs('"a@example.com"', '"erasable"');
  for (const [from, to] of [
    ['"id":"u1"', '"id":"u2"'],
    ['"b":"x"', '"b":"y"'],
    ['"b":"x"', '"b":"x","c":1'],
    ['"a@example.com"', '"a@example.com","admin":true'],
    ['"a@example.com"', ""],
    ['"email"', '"mail"'],
    ['}}', '}'],
  ]) {
    const { at } = compareWithSealed(shown.replace(from, to), sealed);
    assert.notEqual(at, null, `${from} became ${to}`);
  }
  // What only looks like one, in a key or within a text, is compared as it stands.
  for (const text of [`{"${token}":1}`, `{"a":"x \\"${token}\\""}`, `{"a":"${token} "}`]) {
    assert.equal(compareWithSealed(text.replace("erasable", "erased12"), text).at !== null, true, text);
    assert.deepEqual(compareWithSealed(text, text), { at: null, from: null, personal: 0 });
  }
  assert.equal(isSealedValue(token), true);
  assert.equal(isSealedValue(`${token}"`), false);
  assert.equal(isSealedValue("erasable"), false);
});
