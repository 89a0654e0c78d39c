"""What people write in Slack, as they meant it."""

import pytest

from bot.slack.words import command_words, plain_words


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("lr 1e-4, 2 epochs", "lr 1e-4, 2 epochs"),
        ("a &lt; b &amp;&amp; c &gt; d", "a < b && c > d"),
        ("see <http://example.org|example.org>", "see example.org"),
        ("see <https://example.org/a|the page>", "see https://example.org/a"),
        ("<mailto:a@b.cn|a@b.cn>", "a@b.cn"),
        ("<#C1|general> and <@U7> and <!here>", "#general and @U7 and @here"),
        ("!status", "/status"),
        ("!stop answer", "/stop answer"),
        ("! 取消", "! 取消"),
        ("!!", "!!"),
        ("!wow, that is you", "!wow, that is you"),
        ("!Runs", "/Runs"),
        ("学习率改成 1e-4", "学习率改成 1e-4"),
        ("```\n  x = 1\n```", "```\n  x = 1\n```"),
    ],
)
def test_what_is_written_is_read_as_it_was_meant(written: str, meant: str) -> None:
    assert plain_words(written, app_user="UBOT") == meant


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("<@UBOT> status", "/status"),
        ("<@UBOT>   Cancel", "Cancel"),
        ("hey <@UBOT> who are you?", "hey who are you?"),
        ("<@UBOT> help me return this", "help me return this"),
        ("<@UBOT> !logs", "/logs"),
        ("<@UBOT>", ""),
    ],
)
def test_a_mention_is_taken_out(written: str, meant: str) -> None:
    assert plain_words(written, app_user="UBOT") == meant


@pytest.mark.parametrize(
    ("command", "text", "said"),
    [
        ("/finetune", "", "/finetune"),
        ("/finetune", " base_model=x start ", "/finetune base_model=x start"),
        ("/tune", "status identity-1", "/status identity-1"),
        ("/tune", "/deploy x", "/deploy x"),
        ("/tune", "", "/help"),
    ],
)
def test_slash_commands(command: str, text: str, said: str) -> None:
    assert command_words(command, text) == said
