// Sign-in by token: kept in this tab's sessionStorage, sent as a header, never in a cookie or an address.

import { byId, button, fill, h } from "./dom.js";
import { ask, isToken, setToken } from "./api.js";
import { route } from "./route.js";

/** Asks for a token; calls `done` once the server accepts it, with the page to go to if it may not see the one that was asked for. */
export function openSignIn(root, message, done) {
  const input = h("input", {
    id: "token-input",
    type: "password",
    class: "mono",
    autocomplete: "off",
    spellcheck: "false",
    autocapitalize: "off",
    placeholder: "tsl_…",
    "aria-describedby": "sign-in-error",
    required: true,
  });
  const error = h("p", { id: "sign-in-error", class: "form-error", role: "alert" }, message);
  const submit = h("button", { id: "sign-in-button", type: "submit", class: "button primary wide" }, "Sign in");
  const show = button({
    id: "token-show",
    kind: "plain",
    text: "Show",
    label: "Show the token",
    on: {
      click: () => {
        input.type = input.type === "password" ? "text" : "password";
        show.lastElementChild.textContent = input.type === "password" ? "Show" : "Hide";
      },
    },
  });

  const signIn = async (event) => {
    event.preventDefault();
    error.textContent = "";
    const token = input.value.trim();
    if (!isToken(token)) {
      error.textContent = "This is not a token. A token begins with tsl_ and contains no spaces.";
      input.select();
      return;
    }
    submit.disabled = true;
    setToken(token);
    const { problem, where } = await tryToken();
    submit.disabled = false;
    if (!problem) {
      done(where);
      return;
    }
    setToken(null);
    error.textContent = problem;
    input.select();
  };

  fill(
    root,
    h(
      "form",
      { id: "sign-in", class: "sign-in", on: { submit: signIn } },
      h("img", { src: "assets/icon.svg", alt: "", width: 44, height: 44 }),
      h("h1", {}, "Sign in to the trail"),
      h(
        "p",
        { class: "lead" },
        "Paste a token with scope read or review. It stays in this tab and is sent only to this server.",
      ),
      h("label", { for: "token-input" }, "Token"),
      h("div", { class: "joined" }, input, show),
      error,
      submit,
      h(
        "details",
        { class: "quiet" },
        h("summary", {}, "Where do I get one?"),
        h("p", {}, "The server printed an administrator’s token on its first start. Make your own with"),
        h("pre", { class: "command" }, "trailseal token create my-name --scope read"),
      ),
    ),
  );
  if (matchMedia("(hover: hover)").matches) byId("token-input").focus();
  return {};
}

async function tryToken() {
  try {
    await ask("v1/events", { query: [["limit", "1"]] });
    return {};
  } catch (problem) {
    if (problem.status === 403 && (await mayReview())) return route().view === "reviews" ? {} : { where: REVIEWS };
    const isUnknown = problem.status === 401;
    return { problem: isUnknown ? "The server does not know this token. Was it copied completely, or has it expired?" : problem.message };
  }
}

// Who decides reviews need not see all events.
const REVIEWS = "?view=reviews";
const mayReview = () => ask("v1/reviews", { query: [["state", "pending"]] }).then(() => true, () => false);
