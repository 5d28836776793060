// Talks to the server: the token, errors in plain words, and streams.

import { parseExact } from "./json.js";

const TOKEN_KEY = "trailseal.token";

/** A response that is not a success: RFC 9457's fields, and a message for people. */
export class Problem extends Error {
  constructor(status, body, retryAfter) {
    super(inPlainWords(status, body, retryAfter));
    this.name = "Problem";
    this.status = status;
    this.type = body?.type ?? "";
    this.retryAfter = retryAfter;
  }
}

// In the place of a status: the answer is none of this server's.
const NOT_OURS = -1;

function inPlainWords(status, body, retryAfter) {
  const said = body?.detail || body?.title || "";
  const again = retryAfter ? ` Try again in ${retryAfter} s.` : " Try again in a moment.";
  const sentence = said ? ` ${said.charAt(0).toUpperCase()}${said.slice(1)}${/[.!?]$/.test(said) ? "" : "."}` : "";
  switch (status) {
    case 0:
      return "The server does not respond. Check that it is running and that you are online.";
    case NOT_OURS:
      return "Something else answered in the place of the server, such as a proxy that wants you to sign in. Reload the page.";
    case 400:
    case 422:
      if (body?.type?.endsWith(":work-limit")) return sentence.trim();
      return `The request is not valid.${sentence}`;
    case 401:
      return "Sign in with a token that has the scope read.";
    case 403:
      return `This token does not allow that.${sentence}`;
    case 404:
      return `It does not exist, or this token may not see it.${sentence}`;
    case 408:
      return `That took too long.${again}`;
    case 409:
      return sentence.trim() || "It was changed meanwhile, or is not ready yet. Reload the page.";
    case 429:
      return `Too many requests.${again}`;
    case 503:
      return `The server cannot do this now.${sentence}${again}`;
    default:
      return `The server responded with ${status}.${sentence}`;
  }
}

// If a page of another site frames this one, the browser may refuse storage: then the token is kept for this page only.
let kept = null;

export function token() {
  try {
    return sessionStorage.getItem(TOKEN_KEY) ?? kept;
  } catch {
    return kept;
  }
}

export function setToken(text) {
  kept = text;
  try {
    if (text) sessionStorage.setItem(TOKEN_KEY, text);
    else sessionStorage.removeItem(TOKEN_KEY);
  } catch {
    /* See above. */
  }
}

/** Whether a text could be a token at all: other characters cannot be sent in a header. */
export const isToken = (text) => /^[\x21-\x7e]+$/.test(text);

/** Takes `#token=…` from the address and removes it there, before any request is made; tells whether there was one. */
export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given === null) return false;
  if (isToken(given)) setToken(given);
  history.replaceState(history.state, "", location.pathname + location.search);
  return true;
}

/** The URL of an API path, also if the server is reached below a prefix. */
export function address(path, query) {
  const url = new URL(path, new URL(".", location.href.split(/[?#]/)[0]));
  if (query) url.search = new URLSearchParams(query).toString();
  return url;
}

// The browser keeps nothing on disk: audited data may be secret.
/** Sends a request and returns the Response; throws a Problem unless it is a success or its status is in `also`. */
export async function ask(
  path,
  { query, method = "GET", body, accept = "application/json", signal, headers = {}, also = [] } = {},
) {
  const asked = { Accept: accept, ...headers };
  const used = token();
  if (used) asked.Authorization = `Bearer ${used}`;
  if (body !== undefined) asked["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      signal,
      headers: asked,
      credentials: "omit",
      cache: "no-store",
      redirect: "error",
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, null, null);
  }
  if (response.ok || also.includes(response.status)) return response;
  const details = await response.json().catch(() => null);
  const problem = new Problem(response.status, details, response.headers.get("Retry-After"));
  // A late response to the old token does not sign out a token that was entered meanwhile.
  if (response.status === 401 && used === token()) {
    dispatchEvent(new CustomEvent("signed-out", { detail: { hadToken: Boolean(used) } }));
  }
  throw problem;
}

export async function askJson(path, options) {
  const response = await ask(path, options);
  let text;
  try {
    text = await response.text();
  } catch (error) {
    throw error.name === "AbortError" ? error : new Problem(0, null, null);
  }
  try {
    return parseExact(text);
  } catch {
    throw new Problem(NOT_OURS, null, null);
  }
}

/** The path of an event: by its index and origin if both are known, else by id. */
export function eventPath({ origin, index, id, tenant }, rest = "") {
  const query = [];
  if (origin) query.push(["origin", origin]);
  if (tenant) query.push(["tenant", tenant]);
  // The path of that name is the stream.
  const key = index !== undefined && index !== null ? String(index) : id === "stream" ? "id:stream" : id;
  return { path: `v1/events/${encodeURIComponent(key)}${rest}`, query };
}

/** Reads server-sent events: yields `{id, event, data}`. Comments and unknown fields are skipped. */
export async function* serverSentEvents(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let message = { id: undefined, event: "message", data: [] };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
      rest = lines.pop();
      for (const line of lines) {
        if (line === "") {
          // An id without data gives the stream's position.
          if (message.data.length > 0 || message.id !== undefined) yield { ...message, data: message.data.join("\n") };
          message = { id: undefined, event: "message", data: [] };
          continue;
        }
        const [, field, content] = /^([^:]*)(?:: ?(.*))?$/s.exec(line);
        if (field === "data") message.data.push(content ?? "");
        else if (field === "id") message.id = content ?? "";
        else if (field === "event") message.event = content ?? "message";
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
