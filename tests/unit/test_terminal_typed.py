from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from bot.terminal.prompt import LineCompleter
from bot.terminal.typed import NoFile, parse_line, upload
from bot.texts import texts


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data.json").write_text("[]")
    (tmp_path / "数据.jsonl").write_text("{}")
    (tmp_path / "plain").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "text", "names"),
    [
        ("hello  there", "hello  there", []),
        ("/finetune @数据.jsonl lr=1e-4  start", "/finetune lr=1e-4 start", ["数据.jsonl"]),
        ('@"my data.json" learn this', "learn this", ["my data.json"]),
        ("@'my data.json'", "", ["my data.json"]),
        (r"@my\ data.json", "", ["my data.json"]),
        ("@plain @数据.jsonl", "", ["plain", "数据.jsonl"]),
        ("ask @nobody, or write to me@example.org", "ask @nobody, or write to me@example.org", []),
        ("/finetune @example", "/finetune @example", []),
    ],
)
def test_files_are_taken_out_of_a_line(folder: Path, line: str, text: str, names: list[str]) -> None:
    typed = parse_line(line)

    assert typed.text == text
    assert [path.name for path in typed.paths] == names


@pytest.mark.parametrize(
    ("line", "code"),
    [("@nothing.json", "is_missing"), ("@./nothing", "is_missing"), ('@"no such"', "is_missing"), ("@..", "is_folder")],
)
def test_what_is_no_file_is_refused(folder: Path, line: str, code: str) -> None:
    with pytest.raises(NoFile) as caught:
        parse_line(line)

    assert caught.value.code == code


async def test_a_file_is_read_piece_by_piece(folder: Path) -> None:
    (folder / "big").write_bytes(b"x" * 2_500_000)

    came = upload(folder / "big")
    pieces = [piece async for piece in came.chunks]

    assert (came.name, came.size_bytes) == ("big", 2_500_000)
    assert [len(piece) for piece in pieces] == [1 << 20, 1 << 20, 2_500_000 - (2 << 20)]


def test_commands_and_paths_are_completed(folder: Path) -> None:
    completer = LineCompleter(texts("en"))

    def completed(line: str) -> list[str]:
        return [found.text for found in completer.get_completions(Document(line), CompleteEvent())]

    assert completed("/finet") == ["/finetune"]
    assert completed("/w") == ["/wait"]
    assert completed("/finetune @pl") == ["ain"]
    assert completed("hello") == []
