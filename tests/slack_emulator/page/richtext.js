// Rich text, the form in which Slack keeps what people write, as nodes.

import { make } from "./dom.js";
import { link, mention } from "./words.js";

const TAGS = { bold: "b", italic: "i", strike: "s", code: "code" };

const LEAVES = {
  text: (leaf) => leaf.text,
  link: (leaf) => link(leaf.url, leaf.text ?? leaf.url),
  emoji: (leaf) => (leaf.unicode ? String.fromCodePoint(...leaf.unicode.split("-").map((code) => parseInt(code, 16))) : `:${leaf.name}:`),
  user: (leaf, names) => mention(`@${names[leaf.user_id] ?? leaf.user_id}`),
  channel: (leaf, names) => mention(`#${names[leaf.channel_id] ?? leaf.channel_id}`),
  broadcast: (leaf) => mention(`@${leaf.range}`),
  date: (leaf) => leaf.fallback ?? new Date(leaf.timestamp * 1000).toLocaleString(),
  color: (leaf) => leaf.value,
};

function leaf(element, names) {
  const content = (LEAVES[element.type] ?? (() => `[${element.type}]`))(element, names);
  return Object.entries(TAGS).reduce(
    (node, [style, tag]) => (element.style?.[style] ? make(tag, {}, node) : node), content);
}

const leaves = (part, names) => part.elements.map((each) => leaf(each, names));

const PARTS = {
  rich_text_section: (part, names) => make("div", { class: "prose" }, leaves(part, names)),
  rich_text_preformatted: (part, names) => make("pre", {}, make("code", {}, leaves(part, names))),
  rich_text_quote: (part, names) => make("blockquote", {}, leaves(part, names)),
  rich_text_list: (part, names) =>
    make(part.style === "ordered" ? "ol" : "ul", { style: `margin-left: ${1.5 * (part.indent ?? 0)}em`, start: part.offset ? part.offset + 1 : null },
      part.elements.map((item) => make("li", {}, leaves(item, names)))),
};

/** The nodes of a rich_text block. */
export const richText = (block, names = {}) =>
  block.elements.map((part) => (PARTS[part.type] ?? (() => make("div", {}, `[${part.type}]`)))(part, names));
