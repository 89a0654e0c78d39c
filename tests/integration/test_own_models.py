"""A person's own base models: from a folder, and from a hub."""

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import psutil
import pytest

from bot.hub import MODULE
from bot.reconcile import hub
from bot.reconcile.models import ModelsLoop
from bot.replies import RunCard, Text
from bot.stopping import CannotGoOnError
from storage.manifests import write_manifest
from storage.models import Model
from storage.states import ModelState
from tests.conversing import TEMPLATE, write_tokenizer
from tests.fake_hub import fake_hub
from tests.living import Living, living, until

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "vocab_size": 300,
    "max_position_embeddings": 512,
}


def make_checkpoint(folder: Path, **changes: object) -> Path:
    """A whole checkpoint as far as one can tell without running it."""
    write_tokenizer(folder, template=TEMPLATE)
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    tensor = {"dtype": "BF16", "shape": [300, 8], "data_offsets": [0, 4800]}
    header = json.dumps({"model.embed_tokens.weight": tensor}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4800))
    return folder


async def test_a_folder_is_looked_at_and_added_once(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "My-Model")
    async with living(tmp_path / "home") as life:
        await life.house.say(f"/models add {folder}")
        await life.house.say(f"/models add {folder}")
        [_, model] = await life.rows(Model)
        assert (model.name, model.state, model.source) == ("my-model", ModelState.READY, str(folder))
        assert model.facts["context_tokens"] == 512
        assert "**my-model** is here now" in life.shown(Text)[-1].markdown
        assert life.shown(Text)[-1].choices[0].say == "/finetune base_model=my-model"
        await life.house.converse([("/models", "my-model")])


async def test_a_folder_that_cannot_be_tuned_is_refused_with_the_reason(tmp_path: Path) -> None:
    vision = make_checkpoint(tmp_path / "vision", architectures=["CLIPModel"])
    silent = make_checkpoint(tmp_path / "silent")
    (silent / "tokenizer_config.json").write_text("{}")
    async with living(tmp_path / "home") as life:
        await life.house.converse([(f"/models add {vision}", "CLIPModel"), (f"/models add {silent}", "chat template")])
        assert len(await life.rows(Model)) == 1


async def test_a_prepared_checkpoint_is_registered_at_the_start(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path / "home" / "models" / "bundled")
    half = make_checkpoint(tmp_path / "home" / "models" / "half")
    write_manifest(folder)
    async with living(tmp_path / "home") as life:
        assert [model.name for model in await life.rows(Model)] == ["bundled", "tiny-instruct"]
    async with living(tmp_path / "home", base_models=()) as life:
        assert [model.name for model in await life.rows(Model)] == ["bundled", "tiny-instruct"]
    assert half.is_dir()


async def fetch(life: Living, endpoint: str) -> None:
    application = life.house.application
    models = ModelsLoop(application.world, application.delivery, endpoint=endpoint)
    await models.once()
    await models.settle()
    await application.delivery.deliver_due()


async def test_a_model_is_fetched_from_a_hub(tmp_path: Path) -> None:
    there = make_checkpoint(tmp_path / "there")
    (there / "pytorch_model.bin").write_bytes(b"not needed")
    async with living(tmp_path / "home") as life:
        await life.house.say("/models add acme/Small-Chat")
        assert life.card("model").status == "Fetching from the hub"
        assert await life.is_busy()
        with fake_hub({"acme/Small-Chat": there}) as endpoint:
            await fetch(life, endpoint)
        [_, model] = await life.rows(Model)
        folder = life.house.application.world.settings.models_folder / "small-chat"
        assert (model.name, model.state, model.source) == ("small-chat", ModelState.READY, str(folder))
        assert not (folder / "pytorch_model.bin").exists()
        assert life.card("model").status == "Ready"
        assert not await life.is_busy()
        await life.house.converse([("/models add acme/Small-Chat", "is here already")])


async def test_a_model_that_is_not_on_the_hub(tmp_path: Path) -> None:
    async with living(tmp_path / "home") as life:
        await life.house.say("/models add acme/nothing")
        with fake_hub({}) as endpoint:
            await fetch(life, endpoint)
        card = life.card("model")
        assert (card.status, card.tone) == ("Could not be fetched", "bad")
        assert "There is no model acme/nothing on the hub" in card.note
        assert not await life.is_busy()


async def test_without_a_network_one_is_told_what_to_do_and_can_try_again(tmp_path: Path) -> None:
    there = make_checkpoint(tmp_path / "there")
    async with living(tmp_path / "home") as life:
        await life.house.say("/models add acme/small")
        await fetch(life, "http://127.0.0.1:9")
        card = life.card("model")
        assert "cannot be reached" in card.note
        await life.house.say(card.choices[0].say)
        with fake_hub({"acme/small": there}) as endpoint:
            await fetch(life, endpoint)
        assert life.card("model").status == "Ready"
        assert len(await life.rows(Model)) == 2


@pytest.mark.parametrize("name", ["acme/x.git", "acme/a..b", "acme/-b"])
async def test_a_name_that_the_hub_does_not_take_holds_up_no_other(tmp_path: Path, name: str) -> None:
    there = make_checkpoint(tmp_path / "there")
    async with living(tmp_path / "home") as life:
        await life.house.say(f"/models add {name}")
        await life.house.say("/models add acme/small")
        with fake_hub({"acme/small": there}) as endpoint:
            await fetch(life, endpoint)
            assert f"There is no model {name} on the hub" in life.shown(RunCard)[0].note
            await fetch(life, endpoint)
        assert [model.state for model in (await life.rows(Model))[1:]] == [ModelState.FAILED, ModelState.READY]


@contextmanager
def hub_that_says(words: bytes) -> Iterator[str]:
    """Something that answers everything alike where a hub should be."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(words)))
            self.end_headers()
            self.wfile.write(words)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its name in the library
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("words", "note"), [(b"<html>", "cannot be reached"), (b"[]", "went wrong on my side")])
async def test_whatever_a_hub_says_the_fetch_ends_and_can_be_tried_again(
    tmp_path: Path, words: bytes, note: str
) -> None:
    async with living(tmp_path / "home") as life:
        await life.house.say("/models add acme/small")
        with hub_that_says(words) as endpoint:
            await fetch(life, endpoint)
        card = life.card("model")
        assert note in card.note
        assert card.choices[0].say == "/models add acme/small"
        assert not await life.is_busy()


async def test_a_fetch_that_stalls_ends_with_the_loops_and_goes_on_later(tmp_path: Path) -> None:
    there = make_checkpoint(tmp_path / "there")
    async with living(tmp_path / "home") as life:
        await life.house.say("/models add acme/small")
        application = life.house.application
        with fake_hub({"acme/small": there}, stalls_in="model.safetensors") as endpoint:
            models = ModelsLoop(application.world, application.delivery, endpoint=endpoint)
            await models.once()
            await until(lambda: any("KB" in fact for fact in life.card("model").facts))
            await asyncio.wait_for(models.cancel(), 60)
        words = [process.cmdline() for process in psutil.Process().children() if process.is_running()]
        assert not any(MODULE in line for line in words), words
        with fake_hub({"acme/small": there}) as endpoint:
            await fetch(life, endpoint)
        assert life.card("model").status == "Ready"


def test_a_fetch_ends_with_whoever_began_it(tmp_path: Path) -> None:
    there = make_checkpoint(tmp_path / "there")
    with fake_hub({"acme/small": there}, stalls_in="model.safetensors") as endpoint:
        command = [sys.executable, "-P", "-m", MODULE, "acme/small", str(tmp_path / "small"), endpoint]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as fetching:
            assert fetching.stdin is not None
            assert fetching.stdout is not None
            assert "total" in fetching.stdout.readline()
            assert fetching.poll() is None
            fetching.stdin.close()
            assert fetching.wait(60) == 1


async def test_a_hub_that_accepts_and_says_nothing_is_given_up(tmp_path: Path) -> None:
    totals: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(CannotGoOnError) as raised:
            await hub.fetch("acme/small", tmp_path / "small", totals.append, endpoint=endpoint, silence_s=2)
    assert raised.value.code == "hub_unreachable"


async def test_another_organisation_s_model_of_the_same_name_is_another_model(tmp_path: Path) -> None:
    there = make_checkpoint(tmp_path / "there")
    async with living(tmp_path / "home") as life:
        with fake_hub({"acme/Small": there, "other/Small": there}) as endpoint:
            for name in ("acme/Small", "other/Small"):
                await life.house.say(f"/models add {name}")
                await fetch(life, endpoint)
        models = (await life.rows(Model))[1:]
        assert [(model.name, model.facts["hub_name"]) for model in models] == [
            ("small", "acme/Small"),
            ("small-2", "other/Small"),
        ]
        assert len({model.source for model in models}) == 2
        await life.house.say(f"/models add {models[1].source}")
        await life.house.converse(
            [
                ("/models add other/small", "**small-2** is here already."),
                ("/models add acme/small", "**small** is here already."),
            ]
        )


async def test_of_a_prepared_model_nobody_says_that_it_is_the_hub_s(tmp_path: Path) -> None:
    write_manifest(make_checkpoint(tmp_path / "home" / "models" / "small"))
    async with living(tmp_path / "home") as life:
        await life.house.converse([("/models add acme/Small", "Whether it is acme/Small of the hub is not known.")])
        assert len(await life.rows(Model)) == 2
