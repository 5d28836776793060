// Text from events, made visible: `node --test`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { visible } from "../viewer/dom.js";

test("what cannot be seen is shown by its code", () => {
  const unseen = "\u0000 \u0007 \u001b \u007f \u0085 \u00ad \u034f \u061c \u115f \u1160 \u17b4 \u180e \u200b \u200d \u200f \u202e \u2028 \u2060 \u2066 \u2800 \u3164 \ufe0f \ufeff \uffa0 \ufffa";
  for (const char of unseen.split(" ")) {
    const code = char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
    assert.equal(visible(`ad${char}min`), `ad⟨U+${code}⟩min`);
  }
  // Letters that no font draws: an unseen text within a text.
  assert.equal(visible("admin\u{e0061}\u{e007f}"), "admin⟨U+E0061⟩⟨U+E007F⟩");
  assert.equal(visible("a\tb\nc"), "a\tb\nc");
});

test("an emoji of several parts stays one", () => {
  for (const emoji of ["👩‍👩‍👧‍👦 Zoë", "🏳️‍🌈", "❤️", "👩🏽‍🚒"]) assert.equal(visible(emoji), emoji);
  assert.equal(visible("1\ufe0f"), "1⟨U+FE0F⟩");
  assert.equal(visible("a\u200d👩"), "a⟨U+200D⟩👩");
});

test("a text is not cut within a character", () => {
  assert.equal(visible("a👩b", 2), "a…");
  assert.equal(visible("a👩b", 3), "a👩…");
});
