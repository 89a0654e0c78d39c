// The left side: who one is, where one can go, and what the builder of the app should know.

import { act, desk, look } from "./desk.js";
import { at, button, clock, drawOnce, make } from "./dom.js";

const seen = new Map();
const SIGNS = { public: "#", private: "🔒" };

/** Draw the side. */
export function drawSide() {
  const { state, chosen } = desk;
  at("workspace").textContent = state.workspace;
  drawOnce(at("person"), [state.people, state.person], () => state.people.map((each) =>
    make("option", { value: each.id, selected: each.id === state.person }, `${each.name} · ${each.locale} · ${each.workspace}`)));
  seen.set(`${state.person}/${state.channel.id}`, state.channel.latest);
  const isDirect = (each) => each.kind === "im";
  drawOnce(at("channels"), [state.channels, chosen.channel], () => state.channels.filter((each) => !isDirect(each)).map(entry));
  drawOnce(at("apps"), [state.channels, chosen.channel], () => state.channels.filter(isDirect).map(entry));
  at("connection").textContent = state.is_connected ? "● The app is connected" : "○ Waiting for the app to connect";
  at("connection").classList.toggle("good", state.is_connected);
  drawRefused();
}

function entry(channel) {
  const isHere = channel.id === desk.chosen.channel;
  const isUnread = !isHere && channel.latest > (seen.get(`${desk.state.person}/${channel.id}`) ?? "");
  const isDirect = channel.kind === "im";
  const label = [
    make("span", { class: isDirect ? "face app" : "sign", "aria-hidden": "true" }, isDirect ? "" : SIGNS[channel.kind]),
    make("span", {}, isDirect ? desk.state.app : channel.name),
    channel.kind === "private" && make("span", { class: "unseen" }, " (private)"),
    isUnread && make("span", { class: "unseen" }, " (unread)"),
  ];
  const open = () => {
    at("side").classList.remove("open");
    look({ channel: channel.id, thread: null, tab: "messages" });
    if (isDirect) act("tab", { tab: "messages" });
  };
  return make("li", {}, button(label, open, { "aria-current": isHere ? "page" : null, class: isUnread ? "unread" : null, "data-key": channel.id }));
}

function drawRefused() {
  const { refused } = desk.state;
  at("show-refused").textContent = `Refused calls (${refused.length})`;
  drawOnce(at("refused"), refused, () => [
    make("h2", {}, "Refused calls of the app"),
    make("div", { class: "body" }, refused.length
      ? make("table", {}, make("thead", {}, make("tr", {}, ["Time", "Method", "Error", "Why"].map((word) => make("th", {}, word)))),
        make("tbody", {}, refused.map((each) => make("tr", {},
          make("td", {}, clock(each.at)), make("td", {}, make("code", {}, each.method)), make("td", {}, each.error), make("td", {}, each.why)))))
      : make("p", {}, "None: Slack did all that the app asked for.")),
    make("footer", {}, button("Close", () => at("refused").close(), { class: "action" })),
  ]);
}

/** What is pressed at the side. */
export function watchSide() {
  at("person").addEventListener("change", (event) => look({ person: event.target.value, channel: null, thread: null, tab: null }));
  at("show-refused").addEventListener("click", () => at("refused").showModal());
  at("show-side").addEventListener("click", () => {
    const isOpen = at("side").classList.toggle("open");
    at("show-side").ariaExpanded = String(isOpen);
    if (isOpen) at("side").querySelector("[aria-current]")?.focus();
  });
  document.addEventListener("click", (event) => {
    if (!at("side").contains(event.target) && event.target !== at("show-side")) at("side").classList.remove("open");
  });
  at("side").addEventListener("keydown", (event) => {
    if (event.key === "Escape") at("side").classList.remove("open");
  });
}
