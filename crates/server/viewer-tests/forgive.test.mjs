// What people type, understood: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { labelsOf } from "../viewer/facets.js";
import { Filters, typedSearch } from "../viewer/filters.js";
import { forgetValues, forgiven, nearestName, unknownName } from "../viewer/forgive.js";

test("a field that is almost right, or has another name elsewhere, is known", () => {
  for (const [typed, meant] of [
    ["acton", "action"],
    ["aciton", "action"],
    ["ressource", "resource"],
    ["tenent", "tenant"],
    ["user", "actor"],
    ["status", "outcome"],
    ["kubernetes", null],
    ["x", null],
  ]) {
    assert.equal(nearestName(typed), meant, typed);
  }
});

test("an unknown field is told, and what is none is not", () => {
  assert.deepEqual(unknownName("refund acton:pay"), { name: "acton", nearest: "action" });
  assert.deepEqual(unknownName("session:s1"), { name: "session", nearest: "session_id" });
  assert.equal(unknownName("Actor:ana"), null);
  assert.deepEqual(unknownName("kubernetes:x"), { name: "kubernetes", nearest: null });
  for (const typed of ["actor:ana", "http://x.example", "a sentence: with a colon", "10:30", ""]) {
    assert.equal(unknownName(typed), null, typed);
  }
});

// The server's values, for `forgiven`; `asked` collects what it was asked.
function serving(values, asked = []) {
  forgetValues();
  globalThis.location ??= new URL("http://127.0.0.1/");
  globalThis.sessionStorage ??= { getItem: () => null };
  globalThis.fetch = async (url) => {
    asked.push(url.search);
    return new Response(JSON.stringify({ values: typeof values === "function" ? values(url) : values }));
  };
  return asked;
}
const meant = async (name, text, more = []) => {
  const { filters, cut } = await forgiven(new Filters([...more, [name, text]]), new Filters(), undefined);
  return { values: filters.all(name), cut };
};

test("more matches than are searched for are told", async () => {
  serving(Array.from({ length: 45 }, (_, at) => ({ value: `ana-${at}`, count: 45 - at })));
  const { values, cut } = await meant("actor", "ana");
  assert.equal(values.length, 20);
  assert.deepEqual(cut, { name: "actor", text: "ana", count: 45, shown: 20 });
  assert.equal((await meant("actor", "ana-44")).cut, null);
});

test("the trail's own events count where they are shown", async () => {
  const own = (url) => (url.searchParams.get("system") === "true" ? [{ value: "trail.read", count: 9 }] : []);
  serving(own);
  assert.deepEqual((await meant("action", "trail.re")).values, ["trail.re"]);
  assert.deepEqual((await meant("action", "trail.re", [["system", "true"]])).values, ["trail.read"]);
});

test("a value that has come since is found", async () => {
  const all = [{ value: "ana", count: 1 }];
  serving(() => all);
  assert.deepEqual((await meant("actor", "bo")).values, ["bo"]);
  all.push({ value: "boris", count: 1 });
  assert.deepEqual((await meant("actor", "bo")).values, ["boris"]);
});

test("values are kept for a while, and all fields are asked for at once", async () => {
  const asked = serving((url) => [{ value: `${url.searchParams.get("field")}-1`, count: 1 }]);
  const { fetch } = globalThis;
  let [running, most] = [0, 0];
  globalThis.fetch = async (url) => {
    most = Math.max(most, (running += 1));
    await new Promise((resolve) => setTimeout(resolve, 5));
    running -= 1;
    return fetch(url);
  };
  const typed = new Filters([["actor", "acto"], ["actor", "tor"], ["tenant", "tena"], ["resource", "resou"]]);
  const { filters } = await forgiven(typed, new Filters(), undefined);
  assert.deepEqual(filters.pairs, [["actor", "actor-1"], ["tenant", "tenant-1"], ["resource", "resource_type-1"]]);
  assert.deepEqual([asked.length, most], [3, 3]);
  assert.deepEqual((await meant("tenant", "nant")).values, ["tenant-1"]);
  assert.equal(asked.length, 3);
  // What the kept values do not have is asked for again, once.
  const unknown = new Filters([["actor", "zed"], ["actor", "zoe"]]);
  assert.equal((await forgiven(unknown, new Filters(), undefined)).filters.toString(), unknown.toString());
  assert.equal(asked.length, 4);
});

test("a search that another one replaced is given up", async () => {
  serving([]);
  globalThis.fetch = async () => {
    throw new DOMException("aborted", "AbortError");
  };
  await assert.rejects(forgiven(new Filters([["actor", "a"], ["tenant", "b"]]), new Filters(), undefined), { name: "AbortError" });
});

test("a whole address is that address, and a part of one finds those that have it", async () => {
  serving(["192.0.2.70", "192.0.2.71:443", "2001:db8::1:2"].map((value) => ({ value, count: 1 })));
  assert.deepEqual((await meant("ip", "192.0.2.7")).values, ["192.0.2.7"]);
  assert.deepEqual((await meant("ip", "192.0.2.")).values, ["192.0.2.70", "192.0.2.71:443"]);
  assert.deepEqual((await meant("ip", "2001:db8::1")).values, ["2001:db8::1"]);
  assert.deepEqual((await meant("ip", "2001:db8:")).values, ["2001:db8::1:2"]);
  assert.deepEqual((await meant("ip", "::1:")).values, ["2001:db8::1:2"]);
  const whole = ["::1", "::", "fe80::", "::ffff:10.0.0.1", "[::1]", "[::1]:443", "[2001:db8::1]", "[2001:DB8:0::1]:443", "1:2:3:4:5:6:7:8", "10.0.0.1:80"];
  // Each is a part of another value.
  serving(whole.map((address) => ({ value: `${address}0`, count: 1 })));
  for (const address of whole) assert.deepEqual((await meant("ip", address)).values, [address]);
  for (const part of ["1:2:3:4:5:6:7", "[::1", "[::1]:", "10.0.0.", "::ffff:10.0."]) assert.notDeepEqual((await meant("ip", part)).values, [part], part);
});

test("a star stands for any text in fields without patterns of their own, too", async () => {
  const asked = serving([{ value: "u-1", name: "Ana Sousa" }, { value: "u-2", name: "Bo Ana" }, { value: "u.3" }]);
  assert.deepEqual((await meant("actor", "ana*")).values, ["u-1"]);
  assert.deepEqual((await meant("actor", "*ana")).values, ["u-2"]);
  assert.deepEqual((await meant("actor", "u.*")).values, ["u.3"]);
  assert.deepEqual((await meant("actor", "*")).values, ["u-1", "u-2", "u.3"]);
  asked.length = 0;
  assert.deepEqual((await meant("action", "invoice.*")).values, ["invoice.*"]);
  assert.deepEqual(asked, []);
});

test("among more values than the server names, what was typed is asked for, and nothing is not", async () => {
  const asked = serving((url) => {
    const part = url.searchParams.get("part");
    return part === null ? Array.from({ length: 1000 }, (_, at) => ({ value: `t-${at}`, count: 1 })) : [{ value: "rare", count: 1 }];
  });
  assert.deepEqual((await meant("tenant", "rar")).values, ["rare"]);
  assert.equal(new URLSearchParams(asked.at(-1)).get("part"), "rar");
  asked.length = 0;
  for (const stars of ["*", "**"]) assert.deepEqual((await meant("tenant", stars)).cut, { name: "tenant", text: stars, count: 1000, shown: 20 });
  assert.deepEqual(asked, []);
});

test("system:anonymous is what an actor is called", () => {
  assert.deepEqual(typedSearch("system:anonymous", new Filters()).pairs, [["text", "system:anonymous"]]);
  assert.deepEqual(typedSearch("system:true", new Filters()).pairs, [["system", "true"]]);
});

test("facets show names, and ids where two have one name", () => {
  const labels = labelsOf([
    { value: "u-1", name: "Ana" },
    { value: "u-2", name: "Ana" },
    { value: "u-3", name: "Bo" },
    { value: "cron" },
  ]);
  assert.deepEqual([...labels.values()], [
    { name: "Ana", value: "u-1" },
    { name: "Ana", value: "u-2" },
    { name: "Bo", value: "" },
    { name: "cron", value: "" },
  ]);
});
