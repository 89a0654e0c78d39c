"""Files become data sets: kept once, checked, named, shown; refused files leave nothing."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from bot.ingest import ingest
from bot.names import bare_file_name, numbered, suggested_name
from bot.replies import DatasetCard, Listing, Log
from bot.turns import Upload
from storage.models import Dataset, DatasetVersion
from tests.conversing import Bench, bench, identity, support, upload, write_rows
from tests.recording import words


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(tmp_path / "home") as made:
        yield made


async def versions(desk: Bench) -> list[tuple[str, str]]:
    """Data set name and file name of every version, the oldest first."""
    async with desk.world.store.reading() as session:
        query = select(Dataset.name, DatasetVersion.file_name).join(DatasetVersion).order_by(DatasetVersion.created_at)
        return [(name, file_name) for name, file_name in (await session.execute(query)).all()]


def kept_files(desk: Bench) -> list[Path]:
    return [path for path in Path(desk.world.settings.artifacts_root).rglob("*") if path.is_file()]


async def test_the_same_file_is_one_version_and_another_content_a_new_one(desk: Bench, tmp_path: Path) -> None:
    path = support(tmp_path / "support.jsonl")
    first = await ingest(desk.world, upload(path))
    again = await ingest(desk.world, upload(path))
    assert first.version_id == again.version_id
    support(path, bad=1)
    other = await ingest(desk.world, upload(path))
    assert other.version_id not in {None, first.version_id}
    assert await versions(desk) == [("support", "support.jsonl")] * 2


async def test_the_same_content_under_two_names_is_kept_once(desk: Bench, tmp_path: Path) -> None:
    one = identity(tmp_path / "one.jsonl")
    two = identity(tmp_path / "two.jsonl")
    assert (await ingest(desk.world, upload(one))).version_id != (await ingest(desk.world, upload(two))).version_id
    assert [name for name, _ in await versions(desk)] == ["one", "two"]
    folders = list(desk.world.artifacts.local_path("datasets").iterdir())
    assert len(folders) == 1
    assert sorted(path.name for path in folders[0].iterdir()) == ["data.jsonl", "manifest.json"]


async def test_chinese_file_names_are_shown_and_the_data_sets_get_plain_names(desk: Bench, tmp_path: Path) -> None:
    await ingest(desk.world, upload(identity(tmp_path / "客服问答.jsonl")))
    await ingest(desk.world, upload(support(tmp_path / "另一个.jsonl")))
    await ingest(desk.world, upload(support(tmp_path / "客服问答.jsonl", bad=1)))
    assert await versions(desk) == [
        ("dataset", "客服问答.jsonl"),
        ("dataset-2", "另一个.jsonl"),
        ("dataset", "客服问答.jsonl"),
    ]


@pytest.mark.parametrize(
    ("content", "name", "error"),
    [
        ("just words", "notes.txt", "dataset_error."),
        ("", "empty.jsonl", "dataset_error.empty_file"),
        ('{"instruction": "a", "output": ""}\n', "bad.jsonl", "upload.no_good_rows"),
        ('{"a": 1}\n', "other.jsonl", "dataset_error."),
    ],
)
async def test_a_refused_file_leaves_nothing(desk: Bench, tmp_path: Path, content: str, name: str, error: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    found = await ingest(desk.world, upload(path))
    assert found.version_id is None
    assert (found.error or "").startswith(error)
    assert await versions(desk) == []
    assert not kept_files(desk)
    replies = await desk.say(files=[path])
    assert f"I cannot use **{name}**" in words(replies[0])
    assert not desk.went_well
    assert await desk.draft() is None


async def test_a_file_that_is_too_large_is_refused_while_it_comes(desk: Bench) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1_000_000

    settings = desk.world.settings.model_copy(update={"max_upload_bytes": 5_000_000})
    desk.world = replace(desk.world, settings=settings)
    for size in (5_000_001, None):
        sent = Upload(name="big.jsonl", size_bytes=size, chunks=chunks())
        found = await ingest(desk.world, sent)
        assert found.error == "upload.too_large"
    assert not kept_files(desk)


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("../../etc/passwd", "passwd"), ("C:\\data\\a b.jsonl", "a b.jsonl"), ("x\n\x00y.json", "xy.json"), ("/", ""),
        ("数据.jsonl", "数据.jsonl"), ("a" * 300, "a" * 200),
    ],
)  # fmt: skip
def test_file_names_lose_their_folders(name: str, bare: str) -> None:
    assert bare_file_name(name) == bare


def test_names_for_experiments() -> None:
    assert suggested_name("My Data (1)") == "my-data-1"
    assert suggested_name("客服") is None
    assert numbered("nova", {"nova-1", "nova-2"}) == "nova-3"
    assert len(numbered("x" * 80, ())) == 63


async def test_the_card_names_problems_with_line_and_field(desk: Bench, tmp_path: Path) -> None:
    rows: list[dict[str, object] | str] = [
        {"instruction": "q", "output": "a", "system": "You are Mira."},
        {"instruction": "问题", "output": "答案", "system": "You are Mira."},
        '{"instruction": "broken"',
        {"instruction": "no answer", "output": ""},
    ]
    (card, *_) = await desk.say("/dataset", files=[write_rows(tmp_path / "mixed.jsonl", rows)])
    assert isinstance(card, DatasetCard)
    seen = words(card)
    for expected in ("Line 3", "Line 4", "output", "You are Mira.", "English", "Chinese"):
        assert expected in seen
    assert card.facts[0].value == "2"
    learned = [segment.text for sample in card.samples for segment in sample if segment.is_learned]
    assert learned == ["a<|im_end|>", "答案<|im_end|>"]


async def test_listings_and_all_problems(desk: Bench, tmp_path: Path) -> None:
    (empty,) = await desk.say("/datasets")
    assert isinstance(empty, Listing)
    assert empty.empty
    assert not empty.items
    await desk.say("/dataset", files=[support(tmp_path / "support.jsonl", bad=12)])
    await desk.say("/dataset", files=[identity(tmp_path / "identity.jsonl")])
    (listing,) = await desk.say("/datasets")
    assert isinstance(listing, Listing)
    assert [item.title for item in listing.items] == ["identity", "support"]
    (log,) = await desk.say(listing.items[1].choices[1].say + " problems")
    assert isinstance(log, Log)
    assert len(log.text.splitlines()) == 12
    (card,) = await desk.say("/dataset support")
    assert isinstance(card, DatasetCard)
    assert len(card.problems) == 6
    assert (card.more_label, card.less_label) == ("Show {n} more", "Show fewer")
    replies = await desk.say(card.choices[0].say)
    assert "12 rows cannot be trained" in words(replies[-1])
    (wrong,) = await desk.say("/dataset suport")
    assert "Did you mean `support`?" in words(wrong)


async def test_a_renamed_data_set_keeps_its_versions(desk: Bench, tmp_path: Path) -> None:
    path = identity(tmp_path / "identity.jsonl")
    await desk.say(files=[path])
    replies = await desk.say("dataset_name=persona.v2")
    assert "Noted: Data set name persona.v2" in "\n".join(map(words, replies))
    path.write_text(path.read_text() + json.dumps({"instruction": "more", "output": "{{name}}"}) + "\n")
    await desk.say("/dataset", files=[path])
    assert await versions(desk) == [("persona.v2", "identity.jsonl")] * 2
