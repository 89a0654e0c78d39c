// Slack's own way to write, `mrkdwn`, as nodes. `names`: what people and channels are called, by id.

import { make } from "./dom.js";

/** Nodes of a text: of all rules the one whose pattern matches first draws it, and the rest goes on after it. */
export function inline(text, rules, plain = (words) => words) {
  const nodes = [];
  let rest = text;
  while (rest) {
    let best = null;
    for (const [pattern, draw] of rules) {
      const match = pattern.exec(rest);
      if (match && (!best || match.index < best.match.index)) best = { match, draw };
    }
    if (!best) break;
    if (best.match.index) nodes.push(plain(rest.slice(0, best.match.index)));
    nodes.push(best.draw(...best.match));
    rest = rest.slice(best.match.index + best.match[0].length);
  }
  if (rest) nodes.push(plain(rest));
  return nodes;
}

const decode = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

export const link = (url, label) => make("a", { href: url, target: "_blank", rel: "noreferrer" }, label ?? url);

export const mention = (label) => make("span", { class: "mention" }, label);

function rules(names) {
  const inner = (text) => inline(text, all, decode);
  // Slack marks up whole words only: next to a letter, in Chinese too, a sign stays a sign.
  const around = (sign, tag) => [
    new RegExp(`(?<![\\p{L}\\p{N}${sign}])[${sign}](?!\\s)([^${sign}\\n]*[^\\s${sign}])[${sign}](?![\\p{L}\\p{N}${sign}])`, "u"),
    (_, text) => make(tag, {}, inner(text)),
  ];
  const all = [
    [/```\n?([\s\S]*?)\n?```\n?/, (_, code) => make("pre", {}, make("code", {}, decode(code)))],
    [/`([^`\n]+)`/, (_, code) => make("code", {}, decode(code))],
    [/<@(\w+)(?:\|[^>]*)?>/, (_, id) => mention(`@${names[id] ?? id}`)],
    [/<#(\w+)(?:\|([^>]*))?>/, (_, id, label) => mention(`#${label || names[id] || id}`)],
    [/<!(\w+)(?:\^[^|>]*)*(?:\|([^>]*))?>/, (_, word, label) => mention(label ? decode(label) : `@${word}`)],
    [/<((?:https?|mailto):[^|>]+)(?:\|([^>]*))?>/, (_, url, label) => link(decode(url), decode(label ?? url))],
    around("*", "b"),
    around("_", "i"),
    around("~", "s"),
  ];
  return all;
}

/** The nodes of a `mrkdwn` text; lines that begin with > are quotes. */
export function mrkdwn(text, names = {}) {
  const marks = rules(names);
  const pieces = String(text ?? "").split(/((?:^(?:&gt;|>).*(?:\n|$))+)/m);
  return pieces.filter(Boolean).map((piece) =>
    /^(&gt;|>)/.test(piece)
      ? make("blockquote", {}, inline(piece.trimEnd().replace(/^(&gt;|>) ?/gm, ""), marks, decode))
      : inline(piece, marks, decode));
}

/** The nodes of a text object, or of a string. */
export function words(text, names = {}) {
  if (!text) return [];
  if (typeof text === "string") return [text];
  return text.type === "mrkdwn" ? mrkdwn(text.text, names) : [decode(text.text)];
}
