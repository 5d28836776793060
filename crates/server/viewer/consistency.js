// Shows that a newer tree begins with all of an older one, from the hash tiles. Pure, like proof.js.
//
// The proof is built here from tiles (C2SP tlog-tiles, height 8), and then checked against both signed
// roots as RFC 9162, section 2.1.4.2, says: a server that invents tiles cannot make it hold.

import { ProofError, nodeHash, sameBytes } from "./proof.js";

const HASH_BYTES = 32;
const TILE_HASHES = 256;

/** The path of a tile, of that width: `tile/0/x001/234.p/5`. */
export function tilePath(level, number, width) {
  const digits = String(number)
    .padStart(Math.ceil(String(number).length / 3) * 3, "0")
    .match(/.{3}/g);
  const name = digits.map((group, at) => (at < digits.length - 1 ? `x${group}` : group)).join("/");
  return `tile/${level}/${name}${width < TILE_HASHES ? `.p/${width}` : ""}`;
}

/**
 * Throws a ProofError unless the tree of `newer` begins with the tree of `older`; both are `{size, root}`.
 * `fetchTile(path)` returns a tile's bytes.
 */
export async function checkGrowth(older, newer, fetchTile) {
  if (newer.size < older.size) {
    throw new ProofError(
      "rollback",
      `The trail covers ${newer.size} events now, but covered ${older.size} before: it was rolled back.`,
    );
  }
  const differ = () =>
    new ProofError(
      "root_mismatch",
      `The trail does not begin with what it held at ${older.size} events: its past was rewritten.`,
    );
  if (older.size === 0) return;
  if (older.size === newer.size) {
    if (!sameBytes(older.root, newer.root)) throw differ();
    return;
  }
  const nodes = new Nodes(newer.size, fetchTile);
  const proof = await subproof(older.size, 0, newer.size, true, nodes);
  if (!(await holds(older, newer, proof))) throw differ();
}

// RFC 9162, section 2.1.4.1, over the leaves from..to; `m` of them belong to the older tree.
async function subproof(m, from, to, isWhole, nodes) {
  const size = to - from;
  if (m === size) return isWhole ? [] : [await nodes.root(from, to)];
  const half = largestPower(size);
  return m <= half
    ? [...(await subproof(m, from, from + half, isWhole, nodes)), await nodes.root(from + half, to)]
    : [...(await subproof(m - half, from + half, to, false, nodes)), await nodes.root(from, from + half)];
}

async function holds(older, newer, proof) {
  const path = isPower(older.size) ? [older.root, ...proof] : [...proof];
  let [node, last] = [older.size - 1, newer.size - 1];
  while (node % 2 === 1) [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  if (path.length === 0) return false;
  let [oldRoot, newRoot] = [path[0], path[0]];
  for (const hash of path.slice(1)) {
    if (last === 0) return false;
    if (node % 2 === 1 || node === last) {
      oldRoot = await nodeHash(hash, oldRoot);
      newRoot = await nodeHash(hash, newRoot);
      while (node % 2 === 0 && node !== 0) [node, last] = [node / 2, Math.floor(last / 2)];
    } else {
      newRoot = await nodeHash(newRoot, hash);
    }
    [node, last] = [Math.floor(node / 2), Math.floor(last / 2)];
  }
  return last === 0 && sameBytes(oldRoot, older.root) && sameBytes(newRoot, newer.root);
}

class Nodes {
  constructor(size, fetchTile) {
    this.size = size;
    this.fetchTile = fetchTile;
    this.tiles = new Map();
  }

  /** The root over the leaves from..to, as the tiles give it. */
  async root(from, to) {
    const size = to - from;
    if (isPower(size) && from % size === 0) return this.#node(Math.round(Math.log2(size)), from / size);
    const half = largestPower(size);
    return nodeHash(await this.root(from, from + half), await this.root(from + half, to));
  }

  async #node(level, number) {
    const tileLevel = Math.floor(level / 8);
    const count = 2 ** (level % 8);
    const first = number * count;
    const tile = await this.#tile(tileLevel, Math.floor(first / TILE_HASHES));
    let row = Array.from({ length: count }, (_, at) => {
      const start = ((first % TILE_HASHES) + at) * HASH_BYTES;
      return tile.subarray(start, start + HASH_BYTES);
    });
    while (row.length > 1) {
      row = await Promise.all(
        Array.from({ length: row.length / 2 }, (_, at) => nodeHash(row[2 * at], row[2 * at + 1])),
      );
    }
    return row[0];
  }

  async #tile(level, number) {
    const width = Math.min(TILE_HASHES, Math.floor(this.size / TILE_HASHES ** level) - number * TILE_HASHES);
    const path = tilePath(level, number, width);
    if (!this.tiles.has(path)) this.tiles.set(path, this.fetchTile(path));
    const tile = await this.tiles.get(path);
    if (tile.length !== width * HASH_BYTES) {
      throw new ProofError(
        "tile_invalid",
        `The tile ${path} has ${tile.length} bytes instead of ${width * HASH_BYTES}.`,
      );
    }
    return tile;
  }
}

const isPower = (size) => Number.isInteger(Math.log2(size));

// The largest power of two below `size`.
function largestPower(size) {
  let power = 1;
  while (power * 2 < size) power *= 2;
  return power;
}
