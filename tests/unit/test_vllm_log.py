"""Beginnings that failed, as vLLM 0.32 tells of them."""

from pathlib import Path

import pytest

from serving.vllm_log import awaited_telling_line, telling_line

TOO_LONG = """
  File "/x/pydantic/_internal/_dataclasses.py", line 121, in __init__
    s.__pydantic_validator__.validate_python(ArgsKwargs(args, kwargs), self_instance=s)
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (100000) is greater than 8192. [type=value_error, input_value=...]
    For further information visit https://errors.example/value_error
"""

IN_THE_ENGINE = """
(EngineCore pid=8) INFO 11-25 02:29:28 [core.py:133] Initializing a V1 LLM engine (v0.32.0)
(EngineCore pid=8) ERROR 11-25 02:29:49 [core.py:1170] Traceback (most recent call last):
(EngineCore pid=8) ERROR 11-25 02:29:49 [core.py:1170]   File "/x/vllm/v1/core/kv_cache_utils.py", line 700, in check
(EngineCore pid=8) ERROR 11-25 02:29:49 [core.py:1170] ValueError: To serve at least one request, 0.5 GiB is needed.
(APIServer pid=7)   File "/x/vllm/v1/engine/utils.py", line 1000, in wait_for_engine_startup
(APIServer pid=7) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""

DIED_LATER = """
(APIServer pid=7) ERROR 11-25 02:57:07 [async_llm.py:906] AsyncLLM output_handler failed.
(APIServer pid=7) v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above).
INFO:     Application shutdown complete.
"""

OUT_OF_MEMORY = "(EngineCore pid=8) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.\n"
USAGE = "usage: api_server.py [-h]\napi_server.py: error: argument --max-lora-rank: invalid choice: 17\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            TOO_LONG,
            "User-specified max_model_len (100000) is greater than 8192.",
        ),
        (IN_THE_ENGINE, "To serve at least one request, 0.5 GiB is needed."),
        (DIED_LATER, None),
        (OUT_OF_MEMORY, "CUDA out of memory. Tried to allocate 2 GiB."),
        (USAGE, "argument --max-lora-rank: invalid choice: 17"),
        ("INFO:     Application startup complete.\n", None),
        ("", None),
    ],
)
def test_the_line_that_tells(tmp_path: Path, text: str, line: str | None) -> None:
    log = tmp_path / "log.txt"
    log.write_text(text)
    assert telling_line(log) == line


def test_no_log_tells_nothing(tmp_path: Path) -> None:
    assert telling_line(tmp_path / "log.txt") is None


def test_a_long_log_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_text("ValueError: old\n" + "x" * 300_000 + "\nValueError: new " + "y" * 1000 + "\nbye\n")
    line = telling_line(log)
    assert line is not None
    assert line.startswith("new yyy")
    assert len(line) == 300


def test_last_words_that_reach_the_log_late_are_waited_for() -> None:
    refused = "api_server.py: error: argument --max-model-len: invalid int value: 'many'\n"
    states = iter(["", "usage: api_server.py [options]\n", f"usage: api_server.py [options]\n{refused}"])
    assert "invalid int value: 'many'" in (awaited_telling_line(lambda: next(states), (0.01, 0.01, 0.01)) or "")
    assert awaited_telling_line(lambda: "", (0.01,)) is None
