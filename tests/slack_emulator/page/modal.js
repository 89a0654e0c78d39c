// Modals: the topmost of a stack, its inputs and what is wrong with them.

import { act, attempt, desk } from "./desk.js";
import { at, button, drawOnce, make } from "./dom.js";
import { drawBlocks } from "./blocks.js";
import { filled } from "./elements.js";

/** Show the topmost modal, or none. */
export function drawModal() {
  const dialog = at("modal");
  const views = desk.state.views;
  const view = views.at(-1);
  if (!view) {
    drawOnce(dialog, null, () => []);
    if (dialog.open) dialog.close();
    return;
  }
  const before = dialog.dataset.view === view.id ? kept(dialog) : {};
  const { errors, ...content } = view;
  if (drawOnce(dialog, [desk.state.person, content, views.length], () => drawView(view, views.slice(0, -1)))) restore(dialog, before);
  dialog.dataset.view = view.id;
  dialog.setAttribute("aria-label", view.title);
  showErrors(dialog, errors);
  if (dialog.open) return;
  dialog.showModal();
  dialog.querySelector("[data-field] :is(input, select, textarea)")?.focus();
}

function drawView(view, below) {
  const press = (element, chosen) => act("press", {
    where: "modal", kind: element.type, wanted: chosen ?? element.action_id, given: filled(at("modal").querySelector("form")) });
  const close = () => act("close_modal");
  const blocks = drawBlocks(view.blocks, { names: desk.state.names, press });
  return [make("form", { novalidate: true, onsubmit: submit },
    make("h2", {}, below.length > 0 && button("‹", close, { class: "icon", "aria-label": `Back to ${below.at(-1).title}` }), make("span", {}, view.title),
      button("✕", close, { class: "icon", "aria-label": "Close" })),
    make("div", { class: "body" }, make("div", { class: "problem", role: "alert", id: "modal-error" }), blocks),
    make("footer", {}, button(view.close ?? "Cancel", close, { class: "action" }),
      view.submit && make("button", { class: "action primary" }, view.submit)))];
}

async function submit(event) {
  event.preventDefault();
  const form = event.target;
  if (form.ariaBusy === "true") return;
  form.ariaBusy = "true";
  const answer = await attempt("submit", { given: filled(form) });
  form.ariaBusy = "false";
  if (!form.isConnected) return;
  form.querySelector("#modal-error").textContent = answer.error ?? "";
  showErrors(at("modal"), answer.done ?? {});
  const wrong = form.querySelector('[aria-invalid="true"]');
  wrong?.closest("[data-field]").scrollIntoView({ block: "center" });
  wrong?.focus({ preventScroll: true });
}

function showErrors(dialog, errors) {
  for (const block of dialog.querySelectorAll("[data-field]")) {
    const error = errors[block.dataset.field] ?? "";
    const place = block.querySelector(".problem");
    if (place.textContent !== error) place.textContent = error;
    block.classList.toggle("wrong", Boolean(error));
    for (const field of block.querySelectorAll("input, select, textarea")) field.setAttribute("aria-invalid", String(Boolean(error)));
  }
}

// Slack keeps what was typed where a view is updated and a field keeps its id.
function kept(dialog) {
  const form = dialog.querySelector("form");
  return form ? filled(form) : {};
}

function restore(dialog, given) {
  for (const [name, value] of Object.entries(given)) {
    const fields = dialog.querySelectorAll(`[data-field="${CSS.escape(name)}"] :is(input, select, textarea)`);
    for (const field of fields) {
      if (field.type === "checkbox" || field.type === "radio") field.checked = [value].flat().includes(field.value);
      else if (field.multiple) for (const option of field.options) option.selected = value.includes(option.value);
      else field.value = value;
    }
  }
}
