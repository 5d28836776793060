// What the page loads is there, and nothing else is: `node --test`.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

const FOLDER = new URL("../viewer/", import.meta.url);
const names = readdirSync(FOLDER);
const read = (name) => readFileSync(new URL(name, FOLDER), "utf8");
const page = read("index.html");
const PAGES = ["index.html", "check.html"];

test("every file is named by the page, and every name is a file", () => {
  const named = [...page.matchAll(/(?:href|src)="assets\/([^"]+)"/g)].map((match) => match[1]);
  // This page is a file beside those that it names.
  const also = [...read("check.html").matchAll(/(?:href|src)="([^"]+)"/g)].map((match) => match[1]);
  const all = [...new Set([...named, ...also])].sort();
  assert.deepEqual(all, names.filter((name) => !PAGES.includes(name)).sort());
});

test("nothing needs more than the content security policy allows", () => {
  for (const each of PAGES) assert.doesNotMatch(read(each), /<style|style=|<script(?![^>]*src=)|\son[a-z]+=/i);
  for (const name of names.filter((each) => each.endsWith(".js"))) {
    assert.doesNotMatch(
      read(name),
      /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\("style"|DOMParser/,
      name,
    );
  }
  for (const name of names) {
    assert.doesNotMatch(read(name).replaceAll("http://www.w3.org/2000/svg", ""), /https?:\/\/[a-z]/, name);
  }
});

test("each module says what it is for, and is not long", () => {
  for (const name of names.filter((each) => each.endsWith(".js"))) {
    assert.match(read(name), /^\/\/ [A-Z]/, name);
    assert.ok(read(name).split("\n").length <= 420, name);
  }
});
