"""Every kind of block that Slack has, as messages."""

from typing import Any

from tests.acceptance.slack.small_app import a_button, plain, section

Json = dict[str, Any]

MARKDOWN = """# Heading one
Some **bold**, *italic*, ~~struck~~, `code` and a [link](https://example.com). 1 < 2 && <b>not bold</b>

- one
  - nested **deep**
- two

3. third
4. fourth

> a quote
> goes on

| model | loss |
|:--|--:|
| tuned | **0.41** |

```python
def f(x):
    return "**not bold**"
```
- [x] done
"""
MRKDWN = (
    "*bold* _italic_ ~struck~ `code` <https://example.com|a link> 1 &lt; 2 &amp;&amp; &lt;b&gt;\n"
    "中*文*字 snake_case_name 2*3*4\n&gt; quoted\nafter ```*not bold*```"
)


def raw(text: str) -> Json:
    return {"type": "raw_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def leaf(text: str, **style: bool) -> Json:
    return {"type": "text", "text": text, **({"style": style} if style else {})}


def line(*leaves: Json) -> Json:
    return {"type": "rich_text_section", "elements": list(leaves)}


def rich(*parts: Json) -> Json:
    return {"type": "rich_text", "elements": list(parts)}


def task(name: str, status: str) -> Json:
    return {"type": "task_card", "task_id": name, "title": name, "status": status}


OPTIONS = [{"text": plain(name), "value": name} for name in ("First", "Second")]
WIDE = [[raw(f"column {column} of {row}") for column in range(12)] for row in range(3)]

CLASSIC: list[Json] = [
    {"type": "header", "text": plain("A header")},
    section(MRKDWN, accessory=a_button("Beside", "beside")),
    {"type": "section", "fields": [mrkdwn("*1,204*\nrows"), mrkdwn("*7*\nproblems")]},
    {"type": "context", "elements": [mrkdwn("small *words*"), plain("plain *words*")]},
    {"type": "divider"},
    {
        "type": "actions",
        "elements": [
            a_button("Start", "start", style="primary"),
            a_button("Stop", "stop", style="danger"),
            {"type": "static_select", "action_id": "menu", "placeholder": plain("Choose"), "options": OPTIONS},
            {"type": "overflow", "action_id": "more", "options": OPTIONS},
            {"type": "radio_buttons", "action_id": "one", "options": OPTIONS},
            {"type": "checkboxes", "action_id": "some", "options": OPTIONS},
        ],
    },
]
RICH = rich(
    line(leaf("rich "), leaf("bold", bold=True), {"type": "link", "url": "https://example.com", "text": "link"}),
    {"type": "rich_text_list", "style": "ordered", "elements": [line(leaf("one")), line(leaf("two"))]},
    {"type": "rich_text_preformatted", "elements": [leaf("preformatted")]},
    {"type": "rich_text_quote", "elements": [leaf("quoted")]},
)
NEW: list[Json] = [
    {"type": "alert", "level": "warning", "text": mrkdwn("Eight rows are *cut*.")},
    {
        "type": "card",
        "title": mrkdwn("A card"),
        "subtitle": mrkdwn("its subtitle"),
        "body": mrkdwn("its *body*"),
        "actions": [a_button("Open the card", "card")],
    },
    {"type": "carousel", "elements": [{"type": "card", "title": mrkdwn(f"Card {number}")} for number in range(5)]},
    {"type": "plan", "title": "A plan", "tasks": [task("Check", "complete"), task("Train", "in_progress")]},
]
MESSAGES: list[list[Json]] = [
    CLASSIC,
    [{"type": "markdown", "text": MARKDOWN}],
    [{"type": "table", "column_settings": [{"align": "right"}], "rows": [*WIDE, [rich(line(leaf("rich")))] * 12]}],
    [RICH],
    NEW,
]
