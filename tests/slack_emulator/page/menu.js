// Menus that open from a button: by mouse and keyboard.

import { button, make } from "./dom.js";

let open = null;

function close(hasFocus = false) {
  if (!open) return;
  const { opener, list } = open;
  open = null;
  list.remove();
  opener.setAttribute("aria-expanded", "false");
  if (hasFocus) opener.focus();
}

/** A button with a menu; `entries()` gives pairs of a label and what is done. */
export function menuButton(sign, label, entries, attributes = {}) {
  const opener = button(sign, (event) => {
    event.stopPropagation();
    if (open?.opener === opener) close();
    else show(opener, entries());
  }, { "aria-label": label, "aria-haspopup": "menu", "aria-expanded": "false", ...attributes });
  return make("span", { class: "menu" }, opener);
}

function show(opener, entries) {
  close();
  const list = make("div", { role: "menu", "aria-label": opener.ariaLabel, onkeydown: walk }, entries.map(([label, run, attributes]) =>
    button(label, () => { close(true); run(); }, { role: "menuitem", tabindex: -1, ...attributes })));
  open = { opener, list };
  opener.after(list);
  opener.setAttribute("aria-expanded", "true");
  const { top } = list.getBoundingClientRect();
  const around = opener.closest(".messages")?.getBoundingClientRect() ?? { top: 0, bottom: innerHeight };
  if (top + list.offsetHeight > around.bottom && top - list.offsetHeight > around.top) list.classList.add("above");
  list.firstElementChild?.focus();
}

function walk(event) {
  const entries = [...event.currentTarget.children];
  const place = entries.indexOf(document.activeElement);
  const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: -1 }[event.key];
  if (event.key === "Escape" || event.key === "Tab") close(true);
  if (next !== undefined) entries.at(next % entries.length).focus();
  if (next !== undefined || event.key === "Escape") event.preventDefault();
}

document.addEventListener("click", () => close());
