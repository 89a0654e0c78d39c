// What can be pressed, chosen or filled in.

import { button, make } from "./dom.js";
import { words } from "./words.js";

const plain = (text) => words(text).join("");

export const optionsOf = (element) => [...(element.options ?? []), ...(element.option_groups ?? []).flatMap((group) => group.options)];

/** An element of an actions block, or an accessory. */
export function acting(element, context) {
  return (ELEMENTS[element.type] ?? unknown)(element, context);
}

const unknown = (element) => make("code", {}, element.type);

const ELEMENTS = {
  button: (element, context) =>
    element.url
      ? make("a", { class: `action ${element.style ?? ""}`, href: element.url, target: "_blank", rel: "noreferrer" }, plain(element.text))
      : press(element, context, plain(element.text), { class: `action ${element.style ?? ""}`, "aria-label": element.accessibility_label }),
  icon_button: (element, context) =>
    press(element, context, "✕", { class: "action quiet", "aria-label": element.accessibility_label ?? plain(element.text) }),
  feedback_buttons: (element, context) =>
    make("span", { role: "group", "aria-label": "Feedback", class: "feedback" }, [element.positive_button, element.negative_button].map((each) =>
      button(plain(each.text), (event) => {
        for (const other of event.target.parentElement.children) other.ariaPressed = String(other === event.target);
        context.press(element, each.value);
      }, { class: "action quiet", "aria-pressed": "false", "aria-label": each.accessibility_label, "data-key": `${element.action_id}:${each.value}` }))),
  static_select: menu,
  overflow: (element, context) => menu({ ...element, placeholder: { type: "plain_text", text: "⋯" } }, context),
  radio_buttons: (element, context) => choices(element, "radio", (option) => context.press(element, plain(option.text))),
  checkboxes: (element, context) => choices(element, "checkbox", (option) => context.press(element, plain(option.text))),
};

const press = (element, context, label, attributes) =>
  button(label, async () => { if (await agrees(element.confirm)) context.press(element); }, { "data-key": element.action_id, ...attributes });

function menu(element, context) {
  const label = plain(element.placeholder) || "Choose";
  const selected = element.initial_option?.value;
  const draw = (option) => make("option", { value: plain(option.text), selected: option.value === selected }, plain(option.text));
  const groups = (element.option_groups ?? []).map((group) => make("optgroup", { label: plain(group.label) }, group.options.map(draw)));
  const drawn = make("select", { class: "action", "aria-label": label, "data-key": element.action_id },
    make("option", { value: "", disabled: true, selected: selected === undefined }, label), (element.options ?? []).map(draw), groups);
  drawn.addEventListener("change", async () => { if (await agrees(element.confirm)) context.press(element, drawn.value); });
  return drawn;
}

/** Ask what an element wants to have confirmed first. */
function agrees(confirm) {
  if (!confirm) return Promise.resolve(true);
  return new Promise((done) => {
    const end = (answer) => () => { dialog.remove(); done(answer); };
    const dialog = make("dialog", { class: "modal", "aria-label": plain(confirm.title), oncancel: end(false) },
      make("h2", {}, plain(confirm.title)), make("div", { class: "body" }, words(confirm.text)),
      make("footer", {}, button(plain(confirm.deny) || "Cancel", end(false), { class: "action" }),
        button(plain(confirm.confirm) || "OK", end(true), { class: `action ${confirm.style ?? "primary"}` })));
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** An input block of a modal; its error has its place below the field. */
export function input(block, { names }) {
  const { element, block_id: name } = block;
  const id = `field-${name}`;
  const isGroup = element.type === "radio_buttons" || element.type === "checkboxes";
  const field = isGroup ? choices(element, element.type === "checkboxes" ? "checkbox" : "radio", null, name) : line(element, id, name);
  field.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  const label = [words(block.label, names), block.optional && make("small", {}, " (optional)")];
  return make("div", { "data-field": name },
    isGroup ? make("fieldset", {}, make("legend", {}, label), field) : make("label", { for: id }, label),
    isGroup ? null : field,
    make("div", { class: "problem", role: "alert", id: `${id}-error` }),
    block.hint && make("small", { class: "hint", id: `${id}-hint` }, words(block.hint, names)));
}

const KINDS = { number_input: "text", email_text_input: "email", url_text_input: "url" };

function line(element, id, name) {
  const placeholder = plain(element.placeholder) || null;
  if (element.options || element.option_groups) {
    const isSeveral = element.type.startsWith("multi_");
    const first = new Set([element.initial_option, ...(element.initial_options ?? [])].map((option) => option?.value));
    const draw = (option) => make("option", { value: option.value, selected: first.has(option.value) }, plain(option.text));
    const none = !isSeveral && !element.initial_option && make("option", { value: "" }, placeholder ?? "Choose an option");
    return make("select", { id, name, multiple: isSeveral }, none, optionsOf(element).map(draw));
  }
  if (element.multiline) return make("textarea", { id, name, placeholder, rows: 4 }, element.initial_value ?? "");
  return make("input", { id, name, placeholder, type: KINDS[element.type] ?? "text", value: element.initial_value ?? "", autocomplete: "off" });
}

function choices(element, type, onchange, name = element.action_id) {
  const first = new Set([element.initial_option, ...(element.initial_options ?? [])].map((option) => option?.value));
  return make("div", { role: type === "radio" ? "radiogroup" : "group", class: "choices" }, optionsOf(element).map((option) =>
    make("label", {}, make("input", { type, name, value: option.value, checked: first.has(option.value), onchange: onchange && (() => onchange(option)) }),
      make("span", {}, words(option.text), option.description && make("small", {}, words(option.description))))));
}

/** What stands in the inputs of a form, by field. */
export function filled(form) {
  const given = {};
  for (const block of form.querySelectorAll("[data-field]")) {
    const fields = [...block.querySelectorAll("input, select, textarea")];
    const [first] = fields;
    if (first.type === "checkbox") given[block.dataset.field] = fields.filter((field) => field.checked).map((field) => field.value);
    else if (first.type === "radio") given[block.dataset.field] = fields.find((field) => field.checked)?.value ?? "";
    else if (first.multiple) given[block.dataset.field] = [...first.selectedOptions].map((option) => option.value);
    else given[block.dataset.field] = first.value;
  }
  return given;
}
