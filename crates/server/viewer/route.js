// The address: which page, which filters, which event. Everything shown can be shared as a link.

import { Filters } from "./filters.js";

/** The current address, parsed. */
export function route() {
  return new Route(new URLSearchParams(location.search));
}

export class Route {
  constructor(params) {
    this.params = params;
    this.view = params.get("view") ?? "search";
    this.filters = new Filters(params);
    const key = params.get("event");
    this.event =
      key === null
        ? null
        : {
            key,
            origin: params.get("event_origin") ?? undefined,
            tenant: params.get("event_tenant") ?? undefined,
          };
  }

  /** The address with other filters; the open event stays. */
  withFilters(filters) {
    const params = new URLSearchParams(filters.pairs);
    for (const name of ["view", "event", "event_origin", "event_tenant"]) {
      if (this.params.has(name)) params.set(name, this.params.get(name));
    }
    return `?${params}`;
  }

  /** The address with an event open: by its position, since ids can occur twice. */
  withEvent({ origin, index }) {
    const params = new URLSearchParams(this.params);
    params.set("event", index);
    params.delete("event_tenant");
    if (origin) params.set("event_origin", origin);
    else params.delete("event_origin");
    return `?${params}`;
  }

  without(name) {
    const params = new URLSearchParams(this.params);
    const names = name === "event" ? ["event", "event_origin", "event_tenant"] : [name];
    for (const each of names) params.delete(each);
    return `?${params}`;
  }
}

/** Navigates to an address; the browser's back button returns. */
export function go(address, { replace = false } = {}) {
  const url = address === "?" || address === "" ? location.pathname : address;
  if (new URL(url, location.href).href === location.href) replace = true;
  history[replace ? "replaceState" : "pushState"](null, "", url);
  dispatchEvent(new CustomEvent("route-changed"));
}

export const resourceAddress = (type, id) =>
  `?${new URLSearchParams({ view: "history", resource: id === undefined ? type : `${type}/${id}` })}`;
export const actorAddress = (id) => `?${new URLSearchParams({ view: "actor", actor: id })}`;
