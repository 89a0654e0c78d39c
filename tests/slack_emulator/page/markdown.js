// Markdown of markdown blocks, as nodes: headings, lists, quotes, tables, code.

import { make } from "./dom.js";
import { inline, link } from "./words.js";

const ITEM = /^(\s*)(?:([-*+])|(\d{1,9})[.)])\s+(.*)$/;
const FENCE = /^ {0,3}(`{3,}|~{3,})\s*(\S*)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])\s*(?:\1\s*){2,}$/;
const QUOTE = /^ {0,3}> ?/;
const COLUMNS = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

const unescape = (text) =>
  text.replace(/\\([!-/:-@[-`{-~])/g, "$1").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

const INLINE = [
  [/(`+)([\s\S]*?[^`])\1(?!`)/, (_, __, code) => make("code", {}, code.replace(/^ (.*) $/, "$1"))],
  [/\\([!-/:-@[-`{-~])/, (_, sign) => sign],
  [/!?\[([^\]]*)\]\(<?((?:https?:|mailto:)[^)\s>]+)>?(?:\s+"[^"]*")?\)/, (_, label, url) => link(url, spans(label || url))],
  [/<((?:https?:|mailto:)[^>\s]+)>/, (_, url) => link(url)],
  [/\bhttps?:\/\/[^\s<>()\]]+[^\s<>()\].,;:!?'"]/, (url) => link(url)],
  [/\*\*(?=\S)([\s\S]*?\S)\*\*/, (_, text) => make("b", {}, spans(text))],
  [/(?<!\w)__(?=\S)([\s\S]*?\S)__(?!\w)/, (_, text) => make("b", {}, spans(text))],
  [/\*(?=[^\s*])([^*]*[^\s*])\*/, (_, text) => make("i", {}, spans(text))],
  [/(?<!\w)_(?=[^\s_])([^_]*[^\s_])_(?!\w)/, (_, text) => make("i", {}, spans(text))],
  [/~~(?=\S)([\s\S]*?\S)~~/, (_, text) => make("s", {}, spans(text))],
];

const spans = (text) => inline(text, INLINE, unescape);

/** The nodes of a Markdown text. */
export function markdown(text) {
  const lines = String(text ?? "").split("\n");
  const nodes = [];
  let place = 0;
  while (place < lines.length) {
    const [node, next] = blockAt(lines, place);
    if (node) nodes.push(node);
    place = next;
  }
  return nodes;
}

function blockAt(lines, place) {
  const line = lines[place];
  if (!line.trim()) return [null, place + 1];
  if (FENCE.test(line)) return fence(lines, place);
  const heading = HEADING.exec(line);
  if (heading) return [make(`h${Math.min(6, heading[1].length + 2)}`, {}, spans(heading[2])), place + 1];
  if (RULE.test(line)) return [make("hr"), place + 1];
  if (QUOTE.test(line)) {
    const end = endOf(lines, place, (each) => QUOTE.test(each));
    const quoted = lines.slice(place, end).map((each) => each.replace(QUOTE, ""));
    return [make("blockquote", {}, markdown(quoted.join("\n"))), end];
  }
  if (line.includes("|") && COLUMNS.test(lines[place + 1] ?? "") && lines[place + 1].includes("-")) return table(lines, place);
  if (ITEM.test(line)) return list(lines, place);
  const end = endOf(lines, place + 1, (each) => each.trim() && ![FENCE, HEADING, QUOTE, ITEM].some((kind) => kind.test(each)));
  const broken = lines.slice(place, end).flatMap((each, number) => (number ? [make("br"), ...spans(each)] : spans(each)));
  return [make("p", {}, broken), end];
}

function endOf(lines, place, belongs) {
  while (place < lines.length && belongs(lines[place])) place += 1;
  return place;
}

function fence(lines, place) {
  const [, mark, language] = FENCE.exec(lines[place]);
  const closes = (line) => line.trim().startsWith(mark) && !line.trim().slice(mark.length).replaceAll(mark[0], "");
  const end = endOf(lines, place + 1, (line) => !closes(line));
  const code = lines.slice(place + 1, end).join("\n");
  return [make("pre", { "data-language": language || null }, make("code", {}, code)), end + 1];
}

function list(lines, place) {
  const [, indent, sign, first] = ITEM.exec(lines[place]);
  const items = [];
  while (place < lines.length) {
    const item = ITEM.exec(lines[place]);
    if (!item || item[1].length !== indent.length || Boolean(item[2]) !== Boolean(sign)) break;
    const end = endOf(lines, place + 1, (line) => /^\s/.test(line) && line.search(/\S/) > indent.length);
    const deeper = lines.slice(place + 1, end).join("\n");
    const task = /^\[([ xX])\]\s+(.*)$/.exec(item[4]);
    items.push(make("li", { class: task && "task" },
      task ? [task[1] === " " ? "☐ " : "☑ ", spans(task[2])] : spans(item[4]), deeper && markdown(undented(deeper))));
    place = end;
    if (!lines[place]?.trim() && ITEM.test(lines[place + 1] ?? "")) place += 1;
  }
  return [sign ? make("ul", {}, items) : make("ol", { start: first }, items), place];
}

function undented(text) {
  const margin = Math.min(...text.split("\n").filter((line) => line.trim()).map((line) => line.search(/\S/)));
  return text.split("\n").map((line) => line.slice(margin)).join("\n");
}

function table(lines, place) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim());
  const aligns = cells(lines[place + 1]).map((cell) =>
    cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : null);
  const end = endOf(lines, place + 2, (line) => line.includes("|"));
  const row = (tag) => (line) =>
    make("tr", {}, cells(line).map((cell, number) => make(tag, { class: aligns[number] }, spans(cell))));
  const drawn = make("table", {}, make("thead", {}, row("th")(lines[place])), make("tbody", {}, lines.slice(place + 2, end).map(row("td"))));
  return [make("div", { class: "scroll" }, drawn), end];
}
