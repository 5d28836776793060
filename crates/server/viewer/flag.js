// The form that flags an event for review.

import { button, h, toast } from "./dom.js";
import { ask } from "./api.js";

/** The form that flags an event; `close` removes it. */
export function flagForm(event, close) {
  const reason = h("textarea", {
    id: "flag-reason",
    rows: 2,
    required: true,
    placeholder: "What should a second person look at?",
  });
  const confidence = h("input", {
    id: "flag-confidence",
    type: "number",
    min: "0",
    max: "100",
    step: "1",
    placeholder: "—",
    inputmode: "numeric",
  });
  const error = h("p", { class: "form-error", role: "alert" });
  const send = h("button", { id: "flag-send", type: "submit", class: "button primary" }, "Send to review");
  const submit = async (submitted) => {
    submitted.preventDefault();
    send.disabled = true;
    error.textContent = "";
    try {
      const body = {
        event: /^\d+$/.test(event.id ?? "") ? `id:${event.id}` : (event.id ?? String(event.index)),
        reason: reason.value.trim(),
      };
      if (confidence.value !== "") body.confidence = Number(confidence.value) / 100;
      await ask("v1/reviews", { method: "POST", body });
      toast("Flagged. It is waiting under Reviews.");
      close();
    } catch (problem) {
      error.textContent = problem.message;
    }
    send.disabled = false;
  };
  return h(
    "form",
    { id: "flag-form", class: "flag-form", on: { submit } },
    h("label", { for: "flag-reason" }, "Flag for review"),
    reason,
    error,
    h(
      "div",
      { class: "actions" },
      h("label", { class: "quiet" }, "Confidence ", confidence, " %"),
      h("span", { class: "grow" }),
      button({ id: "flag-cancel", text: "Cancel", on: { click: close } }),
      send,
    ),
  );
}
