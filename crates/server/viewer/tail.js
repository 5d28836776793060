// Live tail: server-sent events read by fetch, so that the token travels in a header; resumed where it broke.

import { ask, serverSentEvents } from "./api.js";
import { VIEW } from "./filters.js";
import { parseExact } from "./json.js";

const WAIT_MS = [500, 1000, 2000, 5000, 10_000, 15_000];
// Events are shown a few times a second, however fast they come.
const SHOW_EVERY_MS = 150;

export class Tail {
  constructor({ onEvents, onState }) {
    Object.assign(this, { onEvents, onState });
    this.isOn = false;
  }

  /** Follows from now on; `ready` is called once the stream is open, to fetch what came before it. */
  async start(filters, ready = null) {
    this.stop(true);
    this.isOn = true;
    const run = new AbortController();
    this.run = run;
    this.buffer = [];
    let last = null;
    let failures = 0;
    this.onState("connecting", "Connecting to the live stream");
    while (!run.signal.aborted) {
      try {
        const response = await ask("v1/events/stream", {
          query: filters.query([...VIEW, "until", "since", "recorded_since", "recorded_until"]),
          accept: "text/event-stream",
          signal: run.signal,
          headers: last ? { "Last-Event-ID": last } : {},
        });
        this.onState("live", "Live: new events appear as they are recorded");
        ready?.();
        ready = null;
        for await (const message of serverSentEvents(response)) {
          failures = 0;
          if (message.id) last = message.id;
          this.#take(message);
        }
      } catch (problem) {
        if (run.signal.aborted) return;
        // Retrying does not help if the token may not do this.
        if ([400, 401, 403, 404, 422].includes(problem.status)) {
          this.stop();
          this.onState("off", problem.message);
          return;
        }
      }
      if (run.signal.aborted) return;
      const wait = WAIT_MS[Math.min(failures, WAIT_MS.length - 1)];
      failures += 1;
      this.onState("waiting", "The live stream was interrupted; it resumes as soon as the server responds");
      await new Promise((resolve) => {
        setTimeout(resolve, wait);
      });
    }
  }

  #take(message) {
    if (message.data === "") return;
    try {
      this.buffer.push(parseExact(message.data));
    } catch {
      return;
    }
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.onEvents(this.buffer.splice(0).reverse());
    }, SHOW_EVERY_MS);
  }

  stop(silently = false) {
    this.run?.abort();
    clearTimeout(this.timer);
    this.timer = null;
    this.isOn = false;
    if (!silently) this.onState("off", "Live is off");
  }
}
