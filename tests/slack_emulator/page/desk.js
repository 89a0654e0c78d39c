// What the person looks at, what stands there, and what they can do: the page's only way to the emulator.

import { at } from "./dom.js";

/** `chosen`: person, channel, thread (a root's ts) and tab, kept in the address. `state`: the newest snapshot. */
export const desk = { chosen: fromAddress(), state: null, draw: () => {} };

let waiting = new AbortController();
let fades = 0;

function fromAddress() {
  const kept = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(["person", "channel", "thread", "tab"].map((name) => [name, kept.get(name)]));
}

/** Look at something else. */
export function look(more) {
  const before = { ...desk.chosen };
  Object.assign(desk.chosen, more);
  const kept = Object.entries(desk.chosen).filter(([, value]) => value);
  history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  if (before.person !== desk.chosen.person || before.channel !== desk.chosen.channel) waiting.abort();
  else if (desk.state) desk.draw();
}

const shows = (state, { person, channel }) => state?.person === person && state?.channel.id === channel;

/** Draw every change, for ever. */
export async function follow() {
  for (;;) {
    waiting = new AbortController();
    const { person, channel } = desk.chosen;
    const asked = new URLSearchParams({ version: shows(desk.state, desk.chosen) ? desk.state.version : -1 });
    if (person) asked.set("person", person);
    if (channel) asked.set("channel", channel);
    const state = await newest(asked);
    if (state && person === desk.chosen.person && channel === desk.chosen.channel) show(state);
  }
}

async function newest(asked) {
  try {
    const answer = await fetch(`/page/state?${asked}`, { signal: waiting.signal });
    if (answer.ok) return await answer.json();
    toast(`The emulator answers ${answer.status}`);
  } catch (error) {
    if (error.name === "AbortError") return null;
    toast(`Not connected to the emulator: ${error.message}`);
  }
  await new Promise((done) => setTimeout(done, 1000));
  return null;
}

function show(state) {
  desk.state = state;
  desk.chosen.person = state.person;
  desk.chosen.channel = state.channel.id;
  if (desk.chosen.thread && !state.channel.messages.some((message) => message.ts === desk.chosen.thread)) desk.chosen.thread = null;
  try {
    desk.draw();
  } catch (error) {
    reportError(error);
  }
}

async function call(path, options) {
  try {
    const answer = await fetch(path, { method: "POST", ...options });
    return answer.ok ? await answer.json() : { error: `the emulator answers ${answer.status}` };
  } catch (error) {
    return { error: `not connected to the emulator: ${error.message}` };
  }
}

/** Do something as the person; returns what came of it, with `error` where Slack refused it. */
export const attempt = (name, more = {}) =>
  call("/page/act", { headers: { "Content-Type": "application/json" }, body: JSON.stringify({ act: name, person: desk.chosen.person, ...more }) });

/** The same; an error is shown in a corner. */
export async function act(name, more = {}) {
  const answer = await attempt(name, more);
  if (answer.error) toast(answer.error);
  return answer;
}

/** Say something in the channel, with files; returns `ts` or `error`. */
export function say(words, { thread = null, files = [] } = {}) {
  const content = new FormData();
  const named = { person: desk.chosen.person, channel: desk.chosen.channel, thread: thread ?? "", text: words };
  for (const [name, value] of Object.entries(named)) content.set(name, value);
  for (const file of files) content.append("files", file);
  return call("/page/post", { body: content });
}

/** Tell something that went wrong, for a few seconds. */
export function toast(words) {
  at("toast").textContent = words;
  clearTimeout(fades);
  fades = setTimeout(() => { at("toast").textContent = ""; }, 6000);
}
