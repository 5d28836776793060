// Whether rows are dense: more of them at once, for who wants that.

import { button } from "./dom.js";
import { isDense, setDense } from "./prefs.js";

/** A button that turns it on and off. */
export function densityToggle() {
  const apply = () => {
    document.body.classList.toggle("dense", isDense());
    face.setAttribute("aria-pressed", String(isDense()));
  };
  const change = () => {
    setDense(!isDense());
    apply();
  };
  const face = button({ id: "density-toggle", kind: "small", text: "Dense", label: "Dense: more rows at once", on: { click: change } });
  apply();
  return face;
}
