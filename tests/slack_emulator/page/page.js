// The workspace as a person sees it in Slack.

import { drawBlocks } from "./blocks.js";
import { composer } from "./composer.js";
import { act, desk, follow, look, say, toast } from "./desk.js";
import { at, button, drawOnce } from "./dom.js";
import { drawMessages, stayAtEnd } from "./messages.js";
import { drawModal } from "./modal.js";
import { drawSide, watchSide } from "./side.js";

const SIGNS = { public: "# ", private: "🔒 ", im: "" };

function draw() {
  const { state, chosen } = desk;
  const { channel } = state;
  const isDirect = channel.kind === "im";
  const isHome = isDirect && chosen.tab === "home";
  const name = isDirect ? state.app : channel.name;
  drawSide();
  at("title").textContent = SIGNS[channel.kind] + name;
  document.title = `${name} – ${state.workspace}`;
  drawTabs(isDirect, isHome);
  at("home").hidden = !isHome;
  at("messages").hidden = at("composer").hidden = isHome;
  at("composer").querySelector("textarea").placeholder = `Message ${isDirect ? "" : "#"}${name}`;
  at("reply").querySelector("textarea").placeholder = "Reply…";
  drawHome();
  if (!isHome) drawMessages(at("messages"), channel.messages.filter((each) => !each.thread_ts), { isThread: false });
  drawPrompts(isDirect && !isHome);
  drawThread(isHome ? null : chosen.thread, SIGNS[channel.kind] + name);
  drawModal();
}

function drawTabs(isDirect, isHome) {
  at("tabs").hidden = !isDirect;
  drawOnce(at("tabs"), isHome, () => ["Home", "Messages"].map((label) =>
    button(label, () => openTab(label.toLowerCase()), { role: "tab", "aria-selected": String(isHome === (label === "Home")), "data-key": label })));
}

function openTab(tab) {
  look({ tab, thread: null });
  act("tab", { tab });
}

function drawHome() {
  const { state } = desk;
  const press = (element, chosen) => act("press", { where: "home", kind: element.type, wanted: chosen ?? element.action_id });
  drawOnce(at("home"), [state.home, state.person], () =>
    state.home ? drawBlocks(state.home, { names: state.names, press }) : ["The app has not drawn its home yet."]);
}

function drawPrompts(isShown) {
  const prompts = isShown ? desk.state.prompts : [];
  at("prompts").hidden = !prompts.length;
  drawOnce(at("prompts"), prompts, () => prompts.map((prompt) => button(prompt.title, async () => {
    const answer = await say(prompt.message);
    if (answer.error) toast(answer.error);
    else look({ thread: answer.ts });
  }, { "data-key": prompt.title })));
}

function drawThread(thread, place) {
  at("thread").hidden = !thread;
  document.body.classList.toggle("has-thread", Boolean(thread));
  at("thread-place").textContent = place;
  if (!thread) return;
  const messages = desk.state.channel.messages.filter((each) => each.ts === thread || each.thread_ts === thread);
  drawMessages(at("replies"), messages, { isThread: true });
}

at("close-thread").addEventListener("click", () => { look({ thread: null }); at("composer").querySelector("textarea").focus(); });
at("modal").addEventListener("cancel", (event) => { event.preventDefault(); act("close_modal"); });
composer(at("composer"), { inThread: false });
composer(at("reply"), { inThread: true });
watchSide();
stayAtEnd(at("messages"));
stayAtEnd(at("replies"));
desk.draw = draw;
follow();
