// What may follow a slash or an @ that is being typed.

import { make } from "./dom.js";

let lists = 0;

/** A list above `text`; `known()` gives words with their usage and what they do. `takes(key)`: the key was for it. */
export function suggestions(text, known) {
  const list = make("ul", { role: "listbox", class: "suggestions", id: `suggestions-${(lists += 1)}`, "aria-label": "Suggestions", hidden: true });
  let shown = [];
  let place = 0;
  text.setAttribute("aria-controls", list.id);
  text.setAttribute("aria-autocomplete", "list");

  const begun = () => /(?:^(\/\S*)|(?:^|\s)(@\S*))$/.exec(text.value.slice(0, text.selectionStart));
  const draw = () => {
    list.hidden = !shown.length;
    list.replaceChildren(...shown.map((each, number) => make("li", {
      role: "option", id: `${list.id}-${number}`, "aria-selected": String(number === place), onmousedown: (event) => { event.preventDefault(); take(each); },
    }, make("b", {}, each.word), " ", each.usage, make("small", {}, each.what))));
    if (shown.length) text.setAttribute("aria-activedescendant", `${list.id}-${place}`);
    else text.removeAttribute("aria-activedescendant");
    list.children[place]?.scrollIntoView({ block: "nearest" });
  };
  const hide = () => { shown = []; draw(); };
  const take = (each) => {
    const word = begun()?.[1] ?? begun()?.[2] ?? "";
    text.setRangeText(`${each.word} `, text.selectionStart - word.length, text.selectionStart, "end");
    hide();
  };
  text.addEventListener("input", () => {
    const word = begun()?.[1] ?? begun()?.[2];
    shown = word ? known().filter((each) => each.word.toLowerCase().startsWith(word.toLowerCase()) && each.word !== word) : [];
    place = 0;
    draw();
  });
  text.addEventListener("blur", hide);

  const keys = {
    ArrowDown: () => { place = (place + 1) % shown.length; draw(); },
    ArrowUp: () => { place = (place + shown.length - 1) % shown.length; draw(); },
    Enter: () => take(shown[place]),
    Tab: () => take(shown[place]),
    Escape: hide,
  };
  const takes = (event) => {
    if (!shown.length || !keys[event.key] || event.shiftKey || event.isComposing) return false;
    event.preventDefault();
    keys[event.key]();
    return true;
  };
  return { list, takes };
}
