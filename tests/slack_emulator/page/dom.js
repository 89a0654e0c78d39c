// Elements of the page.

/** An element with attributes (`on…` are listeners) and children; what is null or false is left out. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export const at = (id) => document.getElementById(id);

/** A plain button. */
export const button = (label, onclick, attributes = {}) => make("button", { type: "button", onclick, ...attributes }, label);

const drawn = new WeakMap();

/** Fill a place anew where its content differs from what it was last drawn from; tells whether it did. */
export function drawOnce(place, content, children) {
  const key = JSON.stringify(content ?? null);
  if (drawn.get(place) === key) return false;
  drawn.set(place, key);
  keepFocus(place, () => place.replaceChildren(...children().flat(Infinity)));
  return true;
}

/** Do something that replaces what is in a place, and give the focus back to the element of the same `data-key`. */
export function keepFocus(place, change) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  change();
  if (key !== undefined) [...place.querySelectorAll("[data-key]")].find((node) => node.dataset.key === key)?.focus();
}

/** Bytes as people read them. */
export function size(bytes) {
  const step = bytes < 1000 ? 0 : bytes < 1e6 ? 1 : bytes < 1e9 ? 2 : 3;
  const value = bytes / 1000 ** step;
  return `${step && value < 10 ? value.toFixed(1) : Math.round(value)} ${["bytes", "KB", "MB", "GB"][step]}`;
}

/** The clock time of a time stamp. */
export const clock = (ts) => new Date(Number(ts) * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
