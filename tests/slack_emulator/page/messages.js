// Messages of a channel or a thread; only what changed is drawn anew.

import { act, desk, look } from "./desk.js";
import { at, button, clock, keepFocus, make, size } from "./dom.js";
import { drawBlocks } from "./blocks.js";
import { menuButton } from "./menu.js";
import { mrkdwn } from "./words.js";

const AT_END_PIXELS = 80;

/** Draw messages into a place, oldest first, and keep its end in sight where it was. */
export function drawMessages(place, messages, { isThread }) {
  const scope = `${desk.state.channel.id}/${isThread ? desk.chosen.thread : ""}`;
  const last = messages.at(-1);
  if (place.dataset.scope !== scope) place.replaceChildren();
  // One's own new message is always shown.
  if (place.dataset.scope !== scope || (last?.user === desk.state.person && place.dataset.last !== last.ts)) leaving.delete(place);
  Object.assign(place.dataset, { scope, last: last?.ts ?? "" });
  keepFocus(place, () => arrange(place, messages, isThread));
  toEnd(place);
}

const leaving = new WeakSet();

const toEnd = (place) => { if (!leaving.has(place)) place.scrollTop = place.scrollHeight; };

/** Keep the end of a place in sight, also when pictures arrive, unless the person scrolls away from it. */
export function stayAtEnd(place) {
  place.addEventListener("load", () => toEnd(place), { capture: true });
  new ResizeObserver(() => toEnd(place)).observe(place);
  let before = place.scrollTop;
  place.addEventListener("scroll", () => {
    if (place.scrollHeight - place.scrollTop - place.clientHeight < AT_END_PIXELS) leaving.delete(place);
    // Only upwards: of a picture that has arrived since, our own way to the end tells as of a place before the end.
    else if (place.scrollTop < before) leaving.add(place);
    before = place.scrollTop;
  });
}

function arrange(place, messages, isThread) {
  const known = new Map([...place.children].map((node) => [node.dataset.ts, node]));
  const wanted = messages.map((message, number) => {
    const replies = isThread ? [] : repliesTo(message);
    const isFollowing = follows(messages[number - 1], message);
    const key = JSON.stringify([message, replies.length, replies.at(-1)?.ts, isFollowing, desk.state.names, desk.state.person]);
    const node = known.get(message.ts);
    return node?.key === key ? node : Object.assign(drawMessage(message, replies, { isThread, isFollowing }), { key });
  });
  const status = drawStatus(isThread);
  if (status) wanted.push(status);
  const kept = new Set(wanted);
  for (const node of [...place.children]) if (!kept.has(node)) node.remove();
  wanted.forEach((node, number) => { if (place.children[number] !== node) place.insertBefore(node, place.children[number] ?? null); });
}

const repliesTo = (message) => desk.state.channel.messages.filter((each) => each.thread_ts === message.ts && !each.is_ephemeral);

// Messages of one author within five minutes stand below one name.
const follows = (before, message) =>
  before && before.user === message.user && !message.is_ephemeral && !before.is_ephemeral && Number(message.ts) - Number(before.ts) < 300;

function drawMessage(message, replies, { isThread, isFollowing }) {
  const name = desk.state.names[message.user] ?? message.user;
  const node = make("article", { class: `message ${isFollowing ? "following" : ""} ${message.is_ephemeral ? "ephemeral" : ""} ${message.is_streaming ? "streaming" : ""}`,
    "aria-label": `${name}, ${clock(message.ts)}`, "data-ts": message.ts },
    isFollowing ? make("time", { class: "face" }, clock(message.ts).replace(/\s?[AP]M/i, "")) : face(message.user, name, message.is_app),
    make("div", { class: "content" },
      message.is_ephemeral && make("div", { class: "only-you" }, "👁 Only visible to you"),
      !isFollowing && make("div", { class: "head" }, make("span", { class: "name" }, name), message.is_app && make("span", { class: "app-tag" }, "APP"),
        make("time", {}, clock(message.ts))),
      content(message),
      message.is_edited && make("small", { class: "edited" }, "(edited)"),
      message.files.map(drawFile),
      replies.length > 0 && drawReplies(message, replies)),
    tools(message, isThread));
  return node;
}

/** The picture of somebody: their first letter. */
export const face = (id, name, isApp) =>
  make("span", { class: `face ${isApp ? "app" : ""}`, style: isApp ? null : `--hue: ${hue(id)}`, "aria-hidden": "true" }, isApp ? "" : [...name][0]);

const hue = (id) => [...id].reduce((sum, sign) => (sum * 31 + sign.codePointAt(0)) % 360, 7);

function content(message) {
  const press = (element, chosen) =>
    act("press", { where: "message", channel: desk.state.channel.id, ts: message.ts, kind: element.type, wanted: chosen ?? element.action_id });
  if (message.blocks.length) return drawBlocks(message.blocks, { names: desk.state.names, press });
  return message.text ? make("div", { class: "block prose" }, mrkdwn(message.text, desk.state.names)) : null;
}

function drawFile(file) {
  const address = `/page/file/${file.id}`;
  const label = [make("b", {}, file.name), make("small", {}, size(file.size))];
  if (file.mimetype.startsWith("image/")) return make("figure", { class: "file-image" }, make("img", { src: address, alt: file.name }), make("figcaption", {}, label));
  return make("a", { class: "file", href: address, download: file.name }, make("span", { "aria-hidden": "true" }, "📄"), make("span", {}, label));
}

function drawReplies(message, replies) {
  const who = [...new Map(replies.map((each) => [each.user, each])).values()].slice(0, 4);
  return button([who.map((each) => face(each.user, desk.state.names[each.user] ?? each.user, each.is_app)),
    make("b", {}, replies.length === 1 ? "1 reply" : `${replies.length} replies`), make("small", {}, `Last reply ${clock(replies.at(-1).ts)}`)],
    () => openThread(message.ts), { class: "replies", "data-key": `replies:${message.ts}` });
}

function tools(message, isThread) {
  if (message.is_ephemeral) return null;
  const place = { channel: desk.state.channel.id, ts: message.ts };
  const entries = () => [
    ...(isThread ? [] : [["Reply in thread", () => openThread(message.ts)]]),
    ...desk.state.shortcuts.filter((each) => each.type === "message").map((each) =>
      [`⚡ ${each.name}`, () => act("message_shortcut", { ...place, callback_id: each.callback_id }), { title: each.description }]),
    ["Copy text", () => navigator.clipboard.writeText(message.text)],
    ...(message.user === desk.state.person
      ? [["Edit message", () => edit(message)], ["Delete message", () => act("delete", place), { class: "danger" }]]
      : []),
  ];
  const reply = !isThread && button("💬", () => openThread(message.ts), { "aria-label": "Reply in thread", class: "icon" });
  return make("div", { class: "tools" }, reply, menuButton("⋮", "More actions", entries, { class: "icon", "data-key": `more:${message.ts}` }));
}

function edit(message) {
  const node = document.querySelector(`#${desk.chosen.thread && message.thread_ts ? "replies" : "messages"} [data-ts="${message.ts}"] .content`);
  const text = make("textarea", { "aria-label": "Edited message", rows: 2 }, message.text);
  const form = make("form", { class: "editing" }, text, make("div", { class: "row" },
    button("Cancel", () => form.remove(), { class: "action" }), make("button", { class: "action primary" }, "Save")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await act("edit", { channel: desk.state.channel.id, ts: message.ts, text: text.value });
    form.remove();
  });
  node.append(form);
  text.focus();
}

/** Open a thread in the side panel. */
export function openThread(ts) {
  look({ thread: ts });
  at("reply").querySelector("textarea").focus();
}

function drawStatus(isThread) {
  const status = isThread && desk.state.channel.statuses[desk.chosen.thread];
  return status ? make("p", { class: "status", "data-ts": "status" }, `${desk.state.app} ${status}`) : null;
}
