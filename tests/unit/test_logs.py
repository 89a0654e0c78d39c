import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from bot.logs import configure_logs
from bot.settings import Settings, read_settings


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield read_settings(home=tmp_path)
    for handler in set(root.handlers) - set(before):
        handler.close()
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(settings: Settings) -> list[dict[str, object]]:
    return [json.loads(line) for line in (settings.log_folder / "server.log").read_text().splitlines()]


def test_an_event_is_one_json_line_with_its_ids(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(settings)
    structlog.get_logger("bot.test").info("run.submitted", run="r1", attempt=2)

    (line,) = lines(settings)
    assert (line["event"], line["run"], line["attempt"], line["level"]) == ("run.submitted", "r1", 2, "info")
    assert str(line["timestamp"]).endswith("Z")
    assert capsys.readouterr().err == ""


def test_a_person_sees_warnings_and_a_collector_sees_all(
    tmp_path: Path, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(settings)
    structlog.get_logger("bot.test").warning("disk.low", free_bytes=3)
    assert "disk.low" in capsys.readouterr().err

    configure_logs(read_settings(home=tmp_path, log_format="json"))
    structlog.get_logger("bot.test").info("run.submitted")
    assert json.loads(capsys.readouterr().err)["event"] == "run.submitted"


def test_secrets_and_long_values_stay_out(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(settings)
    structlog.get_logger("bot.test").warning(
        "call.failed", api_key="hunter2", answer="Bearer hunter2", url="http://x/?token=hunter2&a=1", row="r" * 5000
    )
    try:
        raise ValueError("api_key=hunter2")
    except ValueError:
        structlog.get_logger("bot.test").exception("call.broke")

    text = (settings.log_folder / "server.log").read_text() + capsys.readouterr().err
    assert "hunter2" not in text
    assert "r" * 301 not in text
    assert "ValueError" in text
    assert lines(settings)[0]["url"] == "http://x/?token=***&a=1"


def test_other_libraries_warnings_come_too_and_their_chatter_does_not(settings: Settings) -> None:
    configure_logs(settings)
    logging.getLogger("httpx").info("HTTP Request")
    logging.getLogger("httpx").warning("slow %s", "host")

    assert [line["event"] for line in lines(settings)] == ["slow host"]


def test_a_conversation_in_the_terminal_is_not_disturbed(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(settings, process="terminal")
    structlog.get_logger("bot.test").error("quiet")

    assert capsys.readouterr().err == ""
    assert "quiet" in (settings.log_folder / "terminal.log").read_text()
