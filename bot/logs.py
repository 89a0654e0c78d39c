"""Logs: one event a line, with the ids it concerns; never a data row, never a secret.

JSON goes to a file of the home, short lines (or JSON) to the terminal. Other libraries' warnings take the same way.
"""

import logging
import logging.handlers
import re
import sys
from collections.abc import Sequence
from typing import Any, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from bot.settings import Settings

SECRET_NAMES = re.compile(r"token$|secret|password|api_?key|authorization|cookie|credential", re.IGNORECASE)
SECRET_TEXT = re.compile(r"(?i)\b(bearer\s+|(?:api_?key|token|secret|password)=|xox[a-z.]*-|xapp-)[^\s&\"']+")
LONGEST_VALUE = 300
FILE_BYTES = 10_000_000
KEPT_FILES = 3


def configure_logs(settings: Settings, *, process: Literal["server", "terminal"] = "server") -> None:
    """Send every log of this process to ``<process>.log`` of the home, and the server's to stderr too: warnings for a
    person, everything as JSON for whoever collects it.

    A file has one writer (it is rotated), and nothing is written between the lines of a conversation.
    """
    settings.log_folder.mkdir(parents=True, exist_ok=True)
    file = logging.handlers.RotatingFileHandler(
        settings.log_folder / f"{process}.log", maxBytes=FILE_BYTES, backupCount=KEPT_FILES, encoding="utf-8"
    )
    file.setFormatter(_formatter(structlog.processors.JSONRenderer(ensure_ascii=False)))
    handlers: list[logging.Handler] = [file]
    if process == "server":
        terminal = logging.StreamHandler(sys.stderr)
        terminal.setFormatter(_formatter(_terminal_renderer(settings)))
        if settings.log_format == "human":
            # A person reads the address; everything else is in the file.
            terminal.setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level.upper())))
        handlers.append(terminal)
    _take_over(handlers, settings.log_level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace what looks like a secret by its name or in its text, and cut long values: they may be data."""
    return {name: _safe(name, value) for name, value in event.items()}


def _safe(name: str, value: Any) -> Any:
    if name == "exception":
        return SECRET_TEXT.sub(r"\1***", value) if isinstance(value, str) else value
    if name.startswith("_") or name == "exc_info":
        return value
    if SECRET_NAMES.search(name):
        return "***"
    if not isinstance(value, str):
        return value
    text = SECRET_TEXT.sub(r"\1***", value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}… ({len(text)} characters)"


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _formatter(renderer: Processor) -> structlog.stdlib.ProcessorFormatter:
    steps: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        hide_secrets,
        renderer,
    ]
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_shared(), processors=steps)


def _terminal_renderer(settings: Settings) -> Processor:
    if settings.log_format == "json":
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0, pad_level=False)


def _take_over(handlers: Sequence[logging.Handler], level: str) -> None:
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel("WARNING")
    for package in ("bot", "chainlit_app", "serving", "storage", "training"):
        logging.getLogger(package).setLevel(level)
    # Uvicorn and Chainlit bring handlers of their own: without them their warnings come here.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "chainlit"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel("WARNING")
