// Blocks as nodes. `context`: names (by id) and press(element, chosen), called for what a person does with them.

import { make } from "./dom.js";
import { acting, input } from "./elements.js";
import { markdown } from "./markdown.js";
import { richText } from "./richtext.js";
import { mrkdwn, words } from "./words.js";

/** The nodes of blocks, one for each. */
export const drawBlocks = (blocks, context) => blocks.map((block) => drawBlock(block, context));

function drawBlock(block, context) {
  const node = (DRAWERS[block.type] ?? unknown)(block, context);
  node.classList.add("block", block.type);
  return node;
}

const ALERT_MARKS = { info: "ℹ️", success: "✅", warning: "⚠️", error: "🛑", default: "💬" };
const TASK_MARKS = { pending: "○", in_progress: "◐", complete: "✓", error: "✕" };

const DRAWERS = {
  section,
  header: (block, { names }) => make("div", { role: "heading", "aria-level": 3 }, words(block.text, names)),
  context: (block, context) => make("div", {}, block.elements.map((each) => contextElement(each, context))),
  divider: () => make("div", {}, make("hr")),
  markdown: (block) => make("div", {}, markdown(block.text)),
  image,
  actions: (block, context) => make("div", {}, block.elements.map((each) => acting(each, context))),
  context_actions: (block, context) => make("div", {}, block.elements.map((each) => acting(each, context))),
  table,
  rich_text: (block, { names }) => make("div", {}, richText(block, names)),
  input: (block, context) => input(block, context),
  alert: (block, { names }) =>
    make("div", { class: block.level ?? "default", role: "note" },
      make("span", { "aria-hidden": "true" }, ALERT_MARKS[block.level ?? "default"]), make("div", { class: "prose" }, words(block.text, names))),
  card,
  carousel: (block, context) => make("div", {}, drawBlocks(block.elements, context)),
  container,
  task_card: (block, { names }) =>
    make("div", { class: block.status },
      make("div", {}, make("span", { class: "mark", "aria-label": block.status.replace("_", " "), role: "img" }, TASK_MARKS[block.status]), " ", block.title),
      block.details && make("div", { class: "details" }, richText(block.details, names)),
      block.output && make("div", { class: "details" }, richText(block.output, names)),
      block.sources && make("div", { class: "details" }, block.sources.map((each) => words(`${each.text} `)))),
  plan: (block, context) => make("div", {}, make("b", {}, block.title), drawBlocks(block.tasks, context)),
  file: (block) => make("div", {}, `📎 ${block.external_id}`),
};

// A type that this page does not know: nothing is hidden from whoever builds the app.
const unknown = (block) => make("div", {}, make("pre", {}, JSON.stringify(block, null, 1)));

function section(block, context) {
  const text = block.text && make("div", { class: "prose" }, words(block.text, context.names));
  const fields = block.fields &&
    make("div", { class: "fields" }, block.fields.map((field) => make("div", { class: "prose" }, words(field, context.names))));
  const accessory = block.accessory &&
    (block.accessory.type === "image" ? picture(block.accessory) : acting(block.accessory, context));
  return make("div", {}, make("div", { class: "main" }, text, fields), accessory);
}

const contextElement = (element, { names }) =>
  element.type === "image" ? picture(element) : make("div", { class: "prose" }, words(element, names));

function image(block, { names }) {
  const title = block.title && make("figcaption", {}, words(block.title, names));
  return make("figure", {}, title, picture(block));
}

const picture = (element) =>
  make("img", { alt: element.alt_text, src: element.slack_file ? `/page/file/${element.slack_file.id}` : element.image_url });

function table(block, { names }) {
  const settings = block.column_settings ?? [];
  const cell = (tag) => (content, column) =>
    make(tag, { class: `${settings[column]?.align ?? ""} ${settings[column]?.is_wrapped ? "wrapped" : ""}`.trim() || null },
      content.type === "rich_text" ? richText(content, names) : String(content.text ?? content.value ?? ""));
  const [first, ...rest] = block.rows;
  const drawn = make("table", {}, make("thead", {}, make("tr", {}, first.map(cell("th")))),
    make("tbody", {}, rest.map((row) => make("tr", {}, row.map(cell("td"))))));
  return make("div", { class: "scroll" }, drawn);
}

function card(block, context) {
  const { names } = context;
  const texts = ["title", "subtitle", "body"].map((part) =>
    block[part] && make("div", { class: `prose ${part}` }, mrkdwn(block[part].text, names)));
  return make("div", {},
    block.hero_image && make("div", { class: "hero" }, picture(block.hero_image)),
    make("div", { class: "lead" }, block.icon && picture(block.icon), make("div", {}, texts)),
    block.actions && make("div", { class: "actions" }, block.actions.map((each) => acting(each, context))));
}

function container(block, context) {
  const title = block.rich_text_title ? richText(block.rich_text_title, context.names) : words(block.title, context.names);
  const inner = drawBlocks(block.child_blocks, context);
  if (!block.is_collapsible) return make("div", {}, make("b", {}, title), inner);
  return make("div", {}, make("details", { open: !block.default_collapsed }, make("summary", {}, title), inner));
}
