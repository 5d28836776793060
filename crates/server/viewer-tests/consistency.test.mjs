// Runs the viewer's check of growth in node, over trees of many sizes made here.

import assert from "node:assert/strict";
import { test } from "node:test";

import { checkGrowth, tilePath } from "../viewer/consistency.js";
import { leafHash, nodeHash } from "../viewer/proof.js";

test("tiles are named as C2SP tlog-tiles says", () => {
  assert.equal(tilePath(0, 0, 256), "tile/0/000");
  assert.equal(tilePath(0, 1234067, 256), "tile/0/x001/x234/067");
  assert.equal(tilePath(1, 5, 3), "tile/1/005.p/3");
});

test("a tree that grew begins with each older one", async () => {
  const log = await Log.of(600);
  for (const size of [1, 2, 3, 255, 256, 257, 511, 512, 599, 600]) {
    for (const older of [0, 1, 2, 3, 200, 255, 256, 257, 511, 512, 599].filter((each) => each <= size)) {
      await checkGrowth(await log.at(older), await log.at(size), log.tiles(size));
    }
  }
});

test("a rewritten past, a shorter trail and false tiles are found", async () => {
  const log = await Log.of(600);
  const other = await Log.of(600, 17);
  const check = (older, newer, tiles) => checkGrowth(older, newer, tiles);
  await assert.rejects(check(await log.at(300), await other.at(600), other.tiles(600)), { code: "root_mismatch" });
  await assert.rejects(check(await log.at(300), await other.at(600), log.tiles(600)), { code: "root_mismatch" });
  await assert.rejects(check(await log.at(256), await other.at(600), other.tiles(600)), { code: "root_mismatch" });
  await assert.rejects(check(await log.at(600), await other.at(600), other.tiles(600)), { code: "root_mismatch" });
  await assert.rejects(check(await log.at(600), await log.at(599), log.tiles(599)), { code: "rollback" });
  const cut = async (path) => (await log.tiles(600)(path)).subarray(32);
  await assert.rejects(check(await log.at(300), await log.at(600), cut), { code: "tile_invalid" });
});

/** A tree over made-up lines; the line at `changed` is another one. */
class Log {
  static async of(size, changed = -1) {
    const log = new Log();
    log.leaves = await Promise.all(
      Array.from({ length: size }, (_, at) =>
        leafHash(new TextEncoder().encode(`line ${at}${at === changed ? "!" : ""}`)),
      ),
    );
    return log;
  }

  async at(size) {
    return { size, root: size === 0 ? new Uint8Array(32) : await rootOf(this.leaves.slice(0, size)) };
  }

  tiles(size) {
    return async (path) => {
      const [, level, number, width] = /^tile\/(\d)\/(\d{3})(?:\.p\/(\d+))?$/.exec(path);
      const span = 256 ** Number(level);
      const first = Number(number) * 256;
      const hashes = [];
      for (let at = 0; at < Number(width ?? 256); at += 1) {
        const from = (first + at) * span;
        assert.ok(from + span <= size, `${path} goes beyond the tree`);
        hashes.push(await rootOf(this.leaves.slice(from, from + span)));
      }
      return Buffer.concat(hashes);
    };
  }
}

async function rootOf(leaves) {
  if (leaves.length === 1) return leaves[0];
  const at = 2 ** Math.floor(Math.log2(leaves.length - 1));
  return nodeHash(await rootOf(leaves.slice(0, at)), await rootOf(leaves.slice(at)));
}
