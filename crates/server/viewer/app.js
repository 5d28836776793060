// Starts the viewer: pages by address, the bar on top, keys that work everywhere.
//
// Test ids. Everything that can be used has an `id` (once on the page) or a `data-testid` (many times):
//
// Bar        #nav-search #nav-seal #nav-reviews #nav-health #nav-home #zone-toggle #theme-toggle #help-button
//            #sign-out #skip
// Sign-in    #sign-in (form) #token-input #token-show #sign-in-button #sign-in-error
// Search     #search-form #search-input #span-select #filters-button #live-button #export-button #refresh-button
//            #system-toggle #order-select #clear-filters #total #chips
//            #suggestions; suggestion (data-value) #search-hint #search-hint-use #density-toggle
//            #range-picker #range-since #range-until #range-apply #range-cancel; chip (data-name, data-value) with chip-remove
//            #filter-panel; #filter-NAME for each filter, #filter-since, #filter-until, #filter-apply;
//            #facets; facet (data-name, data-value, aria-pressed)
// Histogram  #histogram (drag, or arrow keys and Enter) #zoom-out; bar (data-start, data-count)
// List       #list; day (data-day); row (data-key ORIGIN#INDEX, data-index, aria-selected) #more #list-status #new-events
//            #empty #empty-command #empty-copy #empty-clear #error-retry #problem #search-stop
// Live       #live-state (data-state: connecting, live, waiting, off)
// Export     #export-menu #export-count #export-bundle #export-csv #export-json-columns #export-ndjson #export-parquet #export-stop #export-state #export-command #export-command-copy
// Event      #drawer #event-title #event-close #event-next #event-previous #event-link #event-flag
//            #proof (data-state: checking, proven, failed, no_key, unchecked, waiting, off) #proof-check
//            #proof-download #proof-steps; proof-step (data-step: form, path, shown, signature; list, asked where
//            they are wrong; data-ok)
//            #diff #diff-all; diff-row (data-path) #fields; field (data-path) #raw #raw-copy #raw-wrap
//            #event-resource #event-actor; copy; filter-by, related (data-name)
//            #flag-form #flag-reason #flag-confidence #flag-send #flag-cancel
// History    #history #history-back; history-event      Actor   #actor-page #actor-search
// Seal       #seal-origin (data-origin) #checkpoint #seal-state (data-state) #key-input #key-save #key-forget
//            #key-accept #key-notice #seal-forget, all with -1, -2, … for further trails; testids seal-origin, seal-state
//            #verify-id #verify-button #verify-result #seal-check-own #proof-paste #proof-file #proof-paste-check
//            #proof-paste-result
// Reviews    #reviews #review-tabs review-tab (data-state); review (data-id, data-state) review-comment review-approve
//            review-reject review-open #review-status #review-more
// Health     #health-state (data-health) #stats #origins; stat (data-name, data-value), sink (data-name), origin
// Help       #help (dialog) #help-close

import { announce, byId, button, fill, h, icon } from "./dom.js";
import { setToken, takeTokenFromAddress, token } from "./api.js";
import { applyTheme, isDark, setTheme, setTimeZone, timeZone, zoneName } from "./prefs.js";
import { closeDrawer, isDrawerOpen } from "./event.js";
import { openHelp } from "./help.js";
import { openSignIn } from "./signin.js";
import { forgetValues } from "./forgive.js";
import { openSearch } from "./search.js";
import { openActor, openHistory } from "./history.js";
import { openSeal } from "./seal.js";
import { openReviews } from "./reviews.js";
import { openHealth } from "./stats.js";
import { go, route } from "./route.js";

const PAGES = {
  search: { name: "Events", icon: "events", open: openSearch },
  history: { open: openHistory },
  actor: { open: openActor },
  seal: { name: "Seal", icon: "seal", open: openSeal },
  reviews: { name: "Reviews", icon: "review", open: openReviews },
  health: { name: "Health", icon: "pulse", open: openHealth },
};

let page = null;
let signIn = null;

/** Shows what the address says; a page that is already open is only updated. */
function show() {
  const here = route();
  // Without an actor, all events would be shown as those of one.
  const isPage = Object.hasOwn(PAGES, here.view) && (here.view !== "actor" || here.filters.get("actor") !== "");
  const known = isPage ? here.view : "search";
  document.title = PAGES[known].name && known !== "search" ? `${PAGES[known].name} · Trailseal` : "Trailseal";
  showNav(known);
  if (page?.view === known) {
    page.update(here);
    return;
  }
  page?.close();
  closeDrawer();
  fill(byId("main"));
  document.body.dataset.view = known;
  page = PAGES[known].open(byId("main"), here);
  page.view = known;
}

function showNav(current) {
  const links = Object.entries(PAGES)
    .filter(([, each]) => each.name)
    .map(([view, each]) =>
      h(
        "a",
        {
          id: `nav-${view}`,
          class: "nav-link",
          href: view === "search" ? "?" : `?view=${view}`,
          "aria-current": view === current ? "page" : null,
        },
        icon(each.icon, 17),
        h("span", {}, each.name),
      ),
    );
  fill(byId("nav"), links);
}

function showTools() {
  const dark = isDark();
  fill(
    byId("bar-end"),
    button({
      id: "zone-toggle",
      kind: "plain zone",
      icon: "clock",
      text: timeZone() === "utc" ? "UTC" : "Local",
      label: `${timeZone() === "utc" ? "UTC" : `Local: ${zoneName()}`}, the zone of the times; show them in ${timeZone() === "utc" ? "local time" : "UTC"}`,
      on: {
        click: () => {
          setTimeZone(timeZone() === "utc" ? "local" : "utc");
          announce(`Times in ${zoneName()}`);
        },
      },
    }),
    button({
      id: "theme-toggle",
      kind: "plain",
      icon: dark ? "sun" : "moon",
      label: dark ? "Light colours" : "Dark colours",
      on: {
        click: () => {
          setTheme(dark ? "light" : "dark");
          showTools();
          byId("theme-toggle").focus();
        },
      },
    }),
    button({ id: "help-button", kind: "plain", text: "?", label: "Keys and help", on: { click: openHelp } }),
    token() && button({ id: "sign-out", kind: "plain", icon: "exit", label: "Sign out", on: { click: signOut } }),
  );
}

function signOut() {
  setToken(null);
  askForToken("");
}

function askForToken(message) {
  if (signIn) return;
  forgetValues();
  page?.close();
  page = null;
  closeDrawer();
  document.body.dataset.view = "sign-in";
  signIn = openSignIn(byId("main"), message, (where) => {
    signIn = null;
    showTools();
    if (where) go(where, { replace: true });
    else show();
  });
  showTools();
}

addEventListener("signed-out", ({ detail }) =>
  askForToken(detail.hadToken ? "That token is not valid, or no longer valid." : ""),
);
addEventListener("popstate", () => {
  if (!signIn) show();
});
addEventListener("route-changed", () => {
  if (!signIn) show();
});
addEventListener("zone-changed", () => {
  showTools();
  page?.redraw?.();
});
// Another token, as that of a product that embeds the page: what the old one showed goes.
addEventListener("hashchange", () => {
  if (!takeTokenFromAddress()) return;
  signIn = null;
  forgetValues();
  page?.close();
  page = null;
  showTools();
  show();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showTools);

// Links inside the page change the address without reloading it.
addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href^='?']");
  if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  go(link.getAttribute("href"));
});

addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]")) return;
  const typing = event.target.closest?.("input, textarea, select");
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else if (page?.key?.(event)) event.preventDefault();
    else if (isDrawerOpen()) go(route().without("event"));
    return;
  }
  if (typing || signIn) return;
  if (event.key === "?") openHelp();
  else if (event.key === "g") waitForPlace();
  else if (event.key === "c" && isDrawerOpen()) byId("proof-check")?.click();
  else if (!page?.key?.(event)) return;
  event.preventDefault();
});

// `g` and then a letter goes to a page.
function waitForPlace() {
  const places = { e: "?", s: "?view=seal", r: "?view=reviews", h: "?view=health" };
  const second = (event) => {
    if (places[event.key]) {
      event.preventDefault();
      event.stopPropagation();
      go(places[event.key]);
    }
  };
  addEventListener("keydown", second, { capture: true, once: true });
  setTimeout(() => removeEventListener("keydown", second, { capture: true }), 1200);
}

// Embedded in another product, with a token for one tenant's events: no pages about the whole trail.
document.documentElement.classList.toggle("is-framed", window !== window.top);
applyTheme();
takeTokenFromAddress();
showTools();
show();
