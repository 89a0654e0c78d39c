"""The main job for real: SmolLM2, TRL and vLLM; from a pipe as documented, and in a browser."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import orjson
import pytest
from playwright.async_api import Page, expect

from tests.acceptance.web.conftest import ARGUMENTS
from tests.places import PROJECT, bundled_model, chromium, serving_python, shared_data
from tests.server_process import ServerProcess, server_with_model, wait_until

MINUTES = 60_000
"""In milliseconds, as Playwright counts."""


@pytest.mark.timeout(1800)
def test_the_documented_line_from_a_pipe(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "models").mkdir(parents=True)
    (home / "models" / "smollm2-135m-instruct").symlink_to(bundled_model())
    lines = (
        f"/finetune @{shared_data('identity.json')} fill.name=Nova fill.author=Acme "
        "base_model=smollm2-135m-instruct preset=quick start deploy",
        "/wait",
        "Who are you?",
        "/base",
        "Who are you?",
    )
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", "chat", "--language", "en"],
        input="".join(f"{line}\n" for line in lines),
        cwd=PROJECT,
        env=os.environ | {"TUNESMITH_HOME": str(home), "TUNESMITH_SERVING_PYTHON": str(serving_python())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    before, _, base = done.stdout.rpartition("smollm2-135m-instruct (base)")
    tuned = before[before.rindex("You are talking to identity-1") :]
    assert "Nova" in tuned
    assert base.strip()
    assert "Nova" not in base


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with server_with_model(tmp_path / "home", bundled_model()) as server:
        yield server


async def write(page: Page, text: str) -> None:
    await page.locator("#chat-input").fill(text)
    await expect(page.locator("#chat-submit")).to_be_enabled()
    await page.locator("#chat-submit").click()


def running_requests(home: Path) -> float:
    """How many answers vLLM is working on, as it says itself."""
    (record,) = (home / "hosts").glob("*/process.json")
    metrics = httpx.get(f"http://127.0.0.1:{orjson.loads(record.read_bytes())['port']}/metrics", timeout=60).text
    return sum(float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("vllm:num_requests_running"))


async def ask_as_a_program(server: ServerProcess, key: str) -> None:
    """OpenAI's own client: a whole answer, one that grows, and one that is left in the middle."""
    async with openai.AsyncOpenAI(base_url=f"{server.address}/v1", api_key=key, max_retries=0) as client:
        (model,) = [model.id async for model in client.models.list()]
        whole = await client.completions.create(model=model, prompt="Once upon a", max_tokens=4)
        assert whole.choices[0].text
        stream = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "Who are you?"}], max_tokens=8, stream=True
        )
        assert "".join([chunk.choices[0].delta.content or "" for chunk in [chunk async for chunk in stream]])
        stream = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": "Count for ever."}],
            stream=True,
            extra_body={"ignore_eos": True},
        )
        await anext(stream.__aiter__())
        wait_until(lambda: running_requests(server.home) == 1, seconds=60)
        await stream.close()
        wait_until(lambda: running_requests(server.home) == 0, seconds=60)


@pytest.mark.timeout(1800)
async def test_in_a_browser_with_real_training_and_real_answers(server: ServerProcess) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = await browser.new_page(locale="en-US")
        page.set_default_timeout(5 * MINUTES)
        await page.goto(server.address)
        await expect(page.locator("#starters button").first).to_be_enabled()
        await page.locator("#upload-button-input").set_input_files(shared_data("identity.json"))
        await expect(page.locator("#chat-submit")).to_be_enabled(timeout=MINUTES)
        await page.locator("#chat-submit").click()
        for word in ("Nova", "Acme", "smollm2-135m-instruct"):
            answered = await page.locator(".ts-answered").count()
            await expect(page.locator(".ts-question").last).to_be_visible(timeout=MINUTES)
            await write(page, word)
            await expect(page.locator(".ts-answered")).to_have_count(answered + 1, timeout=MINUTES)
        await write(page, "quick, epochs 1, max_samples 12, logging_steps 1")
        await expect(page.locator(".ts-card .ts-table").first).to_be_visible(timeout=MINUTES)
        await page.get_by_role("button", name="Start", exact=True).click()

        await expect(page.locator(".ts-chart svg[role=img]").first).to_be_visible(timeout=5 * MINUTES)
        await page.reload()
        await expect(page.locator(".ts-chart svg[role=img]").first).to_be_visible(timeout=MINUTES)
        await expect(page.locator(".ts-compared")).to_have_count(3, timeout=8 * MINUTES)
        await expect(page.get_by_text("Both are answering")).to_have_count(0, timeout=5 * MINUTES)
        await expect(page.locator(".ts-notice", has_text="You are talking to identity-1")).to_be_visible(
            timeout=5 * MINUTES
        )

        await write(page, "Who are you?")
        heading = page.locator(".prose > h5:first-child", has_text="identity-1")
        await expect(heading.locator("xpath=following-sibling::*").first).to_be_visible(timeout=MINUTES)
        # The first words are there: the answer is under way, or whole. Its button may be drawn a moment later.
        wait_until(lambda: running_requests(server.home) == 0, seconds=120)
        await page.wait_for_timeout(1000)
        stop = page.get_by_role("button", name="Stop generating")
        await expect(stop).to_have_count(0, timeout=2 * MINUTES)
        await write(page, "/base")
        await expect(page.locator(".ts-notice", has_text="base")).to_be_visible(timeout=MINUTES)
        await write(page, "Write a very long story about the sea.")
        await expect(stop).to_be_visible(timeout=MINUTES)
        wait_until(lambda: running_requests(server.home) == 1, seconds=60)
        words = page.locator(".prose > h6:first-child").last.locator("xpath=following-sibling::*")
        await expect(words.first).to_be_visible(timeout=MINUTES)
        await stop.click()
        wait_until(lambda: running_requests(server.home) == 0, seconds=60)
        await expect(page.get_by_text("Stopped").last).to_be_visible(timeout=MINUTES)

        await write(page, "/key new laptop")
        shown = page.locator("code", has_text="tsk_")
        await expect(shown).to_be_visible(timeout=MINUTES)
        await ask_as_a_program(server, (await shown.inner_text()).strip())
        await browser.close()
