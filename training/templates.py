"""Chat templates without transformers: the same jinja2 sandbox, so the same text.

What transformers gives its templates is repeated here name by name (``trim_blocks``, ``tojson``, ``strftime_now``,
``raise_exception``, ``dict``, ``namespace``, the ``generation`` tag, loop controls); a test compares the two.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.runtime
import jinja2.utils
from jinja2.sandbox import ImmutableSandboxedEnvironment

from training.conversation import ChatMessage


class TemplateRefused(Exception):
    """The template itself refused the messages, or broke on them; its words are the message."""


class GenerationTag(jinja2.ext.Extension):
    """``{% generation %}`` marks what an assistant says; here its body is simply rendered."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it as an instance variable

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        """Take the body up to ``endgeneration``."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


class TemplateDict:
    """The ``dict`` of templates: it makes dictionaries and reveals nothing of the class."""

    def __call__(self, *values: Any, **named: Any) -> dict[Any, Any]:
        """As ``dict``."""
        return dict(*values, **named)

    def fromkeys(self, keys: Any, value: Any = None) -> dict[Any, Any]:
        """As ``dict.fromkeys``."""
        return dict.fromkeys(keys, value)


class TemplateNamespace(jinja2.utils.Namespace):
    """The ``namespace`` of templates: no name may begin with an underscore."""

    def __init__(*values: Any, **named: Any) -> None:
        # ``self`` is taken from the values, so that a template may write namespace(self=...).
        self, *rest = values
        attributes = dict(*rest, **named)
        for name in attributes:
            _refuse_private(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError(f"a template may not set {name!r} on a namespace")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)  # noqa: DTZ005 - templates print the local date, as transformers does


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    environment.globals["dict"] = TemplateDict()
    environment.globals["namespace"] = TemplateNamespace
    return environment


class ChatTemplate:
    """A compiled template with the special tokens it may name."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        """Raise TemplateRefused where ``source`` is not a template."""
        self.source = source
        self._special_tokens = dict(special_tokens)
        try:
            self._template = _environment().from_string(source)
        except jinja2.exceptions.TemplateError as error:
            raise TemplateRefused(str(error)) from error

    def render(self, messages: Sequence[ChatMessage], *, add_generation_prompt: bool) -> str:
        """The messages as one text; TemplateRefused where the template will not take them."""
        try:
            return self._template.render(
                messages=[{"role": message.role, "content": message.content} for message in messages],
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._special_tokens,
            )
        except (jinja2.exceptions.TemplateError, TypeError, ValueError, LookupError, ArithmeticError) as error:
            raise TemplateRefused(str(error)) from error
