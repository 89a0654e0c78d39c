"""Chainlit reads its configuration from a folder and the environment while it is imported: both are made here, before.

Nothing is ever written into the current directory.
"""

import json
import logging
import os
import shutil
from hashlib import sha256
from pathlib import Path

from bot.secret import read_secret
from bot.settings import Settings
from bot.texts import texts
from chainlit_app.lean import leave_out_tracing

PUBLIC = Path(__file__).parent / "public"

# Chainlit insists on TOML of its own schema; what is not named here has its default.
CONFIG = """\
[project]
session_timeout = 3600
allow_origins = []

[features]
unsafe_allow_html = false
latex = false
user_message_markdown = false
user_message_autoscroll = false
edit_message = false
auto_tag_thread = false

[features.spontaneous_file_upload]
enabled = true
accept = {}
max_files = 10
max_size_mb = 1000000000

[UI]
name = "Tunesmith"
description = "Fine-tune a model in a chat, then talk to it."
cot = "hidden"
custom_css = "/public/tunesmith.css"
custom_js = "/public/tunesmith.js"
custom_meta_url = "/"
custom_meta_image_url = "/favicon"
confirm_new_chat = false

[meta]
generated_by = "2.12.0"
"""

CHAINLIT_LANGUAGES = {"en": "en-US", "zh-CN": "zh-CN"}
"""Our languages as Chainlit's translations are named."""


def prepare(settings: Settings) -> None:
    """Make Chainlit's folder and set its environment. Call before the first import of Chainlit."""
    folder = settings.web_folder
    folder.mkdir(parents=True, exist_ok=True)
    make_public(folder / "public")
    (folder / ".chainlit" / "translations").mkdir(parents=True, exist_ok=True)
    (folder / ".chainlit" / "config.toml").write_text(CONFIG, encoding="utf-8")
    (folder / "chainlit.md").write_text("", encoding="utf-8")
    # What was uploaded and not taken in before the last end.
    shutil.rmtree(folder / ".files", ignore_errors=True)
    os.environ["CHAINLIT_APP_ROOT"] = str(folder)
    # Chainlit would read the working folder's .env into the process.
    os.environ["CHAINLIT_ENV_FILE"] = os.devnull
    os.environ["CHAINLIT_AUTH_SECRET"] = read_secret(settings.secret_path)
    # Cookies do not know ports: servers of two homes on one machine must not take each other's.
    os.environ["CHAINLIT_AUTH_COOKIE_NAME"] = f"tunesmith_{sha256(str(settings.home).encode()).hexdigest()[:8]}"
    # It warns at each page that no readme of the language is there: there is none at all.
    logging.getLogger("chainlit").setLevel(logging.ERROR)
    leave_out_tracing()


def make_public(folder: Path) -> None:
    """The folder that the browser reads: elements get their common part, since they cannot import it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PUBLIC, folder)
    elements = folder / "elements"
    common = (elements / "common.jsx").read_text(encoding="utf-8")
    (elements / "common.jsx").unlink()
    for element in elements.glob("*.jsx"):
        element.write_text(common + element.read_text(encoding="utf-8"), encoding="utf-8")


def translation(language: str) -> dict[str, object]:
    """Chainlit's own words in one of our languages, some of them replaced by ours."""
    from chainlit.config import TRANSLATIONS_DIR

    path = Path(TRANSLATIONS_DIR) / f"{CHAINLIT_LANGUAGES[language]}.json"
    tree: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    for place, text_id in OUR_WORDS.items():
        _set(tree, place.split("."), texts(language)(text_id))
    return tree


OUR_WORDS = {
    "chat.input.placeholder": "web.composer",
    "chat.input.actions.stop": "web.stop",
    "chat.commands.button": "web.commands",
    "chat.commands.availableTools": "web.commands",
    "chat.watermark": "web.footer",
    "threadHistory.thread.actions.delete.description": "web.delete_thread",
}
"""Place in Chainlit's translation -> our text."""


def _set(tree: dict[str, object], place: list[str], value: str) -> None:
    *parents, last = place
    for parent in parents:
        branch = tree[parent]
        if not isinstance(branch, dict):
            raise TypeError(f"Chainlit's translations have no place {'.'.join(place)}")
        tree = branch
    if last not in tree:
        raise KeyError(f"Chainlit's translations have no place {'.'.join(place)}")
    tree[last] = value
