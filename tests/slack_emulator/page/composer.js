// Where a person writes: words, files, slash commands, shortcuts.

import { act, attempt, desk, look, say } from "./desk.js";
import { button, make, size } from "./dom.js";
import { menuButton } from "./menu.js";
import { suggestions } from "./suggest.js";

/** Fill a form with what it takes to write; `inThread`: it writes into the open thread. */
export function composer(form, { inThread }) {
  const state = { form, inThread, files: [] };
  const picker = make("input", { type: "file", multiple: true, hidden: true, "aria-label": "Files" });
  const text = make("textarea", { rows: 1, "aria-label": inThread ? "Reply" : "Message" });
  const error = make("div", { class: "problem", role: "alert" });
  const pills = make("ul", { class: "pills", "aria-label": "Attached files" });
  const send = make("button", { class: "send", "aria-label": inThread ? "Send reply" : "Send" }, "➤");
  Object.assign(state, { text, error, pills, send });
  const more = () => [["Attach files", () => picker.click()], ...(inThread ? [] : shortcuts())];
  const suggest = suggestions(text, () => suggested(inThread));

  picker.addEventListener("change", () => { attach(state, picker.files); picker.value = ""; });
  text.addEventListener("input", () => grow(state));
  text.addEventListener("keydown", (event) => {
    if (suggest.takes(event) || event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  text.addEventListener("paste", (event) => attach(state, event.clipboardData.files));
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(state); });
  takeDropped(form.closest(".pane"), state);
  form.append(suggest.list, text, pills, picker, make("div", { class: "row" },
    menuButton("＋", "Attach files and shortcuts", more, { class: "icon" }),
    button("@", () => { text.setRangeText(`@${desk.state.app} `, text.selectionStart, text.selectionEnd, "end"); text.focus(); }, { class: "icon", "aria-label": "Mention the app" }),
    make("span", { class: "space" }), send), error);
  grow(state);
}

const shortcuts = () =>
  desk.state.shortcuts.filter((each) => each.type === "global").map((each) =>
    [`⚡ ${each.name}`, () => act("shortcut", { callback_id: each.callback_id }), { title: each.description }]);

const suggested = (inThread) => [
  ...(inThread ? [] : desk.state.commands.map((each) => ({ word: each.command, usage: each.usage_hint ?? "", what: each.description }))),
  { word: `@${desk.state.app}`, usage: "", what: "the app" },
];

function attach(state, files) {
  state.files.push(...files);
  drawPills(state);
}

function drawPills(state) {
  state.pills.replaceChildren(...state.files.map((file, place) => make("li", {}, `📎 ${file.name} `, make("small", {}, size(file.size)),
    button("✕", () => { state.files.splice(place, 1); drawPills(state); }, { "aria-label": `Remove ${file.name}` }))));
  grow(state);
}

function grow({ text, files, send }) {
  text.style.height = "auto";
  text.style.height = `${Math.min(text.scrollHeight, 240)}px`;
  send.classList.toggle("ready", Boolean(text.value.trim() || files.length));
}

function clear(state) {
  state.files = [];
  state.text.value = "";
  drawPills(state);
}

async function submit(state) {
  const words = state.text.value.trim();
  if ((!words && !state.files.length) || state.form.ariaBusy === "true") return;
  state.form.ariaBusy = "true";
  const answer = await sent(words, state);
  state.form.ariaBusy = "false";
  state.error.textContent = answer.error ?? "";
  if (!answer.error) clear(state);
}

async function sent(words, { inThread, files }) {
  const { channel, thread } = desk.chosen;
  const root = inThread ? thread : null;
  const [, command, rest] = /^(\/\S+)\s*([\s\S]*)$/.exec(words) ?? [];
  if (command) return attempt("slash", { channel, command, text: rest, thread: root });
  const answer = await say(words, { thread: root, files });
  // With an agent every message in its own tab begins a thread, and Slack opens it.
  if (answer.ts && !inThread && desk.state.channel.kind === "im") look({ thread: answer.ts });
  return answer;
}

function takeDropped(pane, state) {
  let depth = 0;
  const mark = () => pane.classList.toggle("dragging", depth > 0);
  const hasFiles = (event) => event.dataTransfer.types.includes("Files");
  pane.addEventListener("dragenter", (event) => { if (hasFiles(event)) depth += 1; mark(); });
  pane.addEventListener("dragleave", (event) => { if (hasFiles(event)) depth -= 1; mark(); });
  pane.addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
  pane.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    mark();
    attach(state, event.dataTransfer.files);
    state.text.focus();
  });
}
