"""The lists of arguments and the guard, against the parser and the application of the real vLLM."""

import os
import subprocess
from pathlib import Path

import orjson

from serving import guard
from serving.arguments import REFUSED, TAKEN, Kind, parse_arguments
from tests.places import serving_python

ASK = """
import json, sys
from fastapi import FastAPI
from starlette.testclient import TestClient
from vllm.entrypoints.launchers.cli_args import make_arg_parser
from vllm.entrypoints.serve.middleware.register import init_entrypoints_middleware
from vllm.utils.argparse_utils import FlexibleArgumentParser

parser = make_arg_parser(FlexibleArgumentParser())
options = {name: action.nargs for action in parser._actions for name in action.option_strings}
read = [vars(parser.parse_args(words)) for words in json.loads(sys.argv[1])]

app = FastAPI()
for path in ("/health", "/metrics", "/v1/load_lora_adapter"):
    app.add_api_route(path, lambda: "in")
init_entrypoints_middleware(parser.parse_args(["--middleware", sys.argv[2]]), app, ("generate",))
client = TestClient(app)
answers = {path: client.get(path).status_code for path in ("/health", "/metrics", "/v1/load_lora_adapter", "/none")}
opened = client.get("/metrics", headers={sys.argv[3]: "k"}).status_code
json.dump({"options": options, "read": read, "answers": answers, "opened": opened}, sys.stdout, default=str)
"""
NARGS = {Kind.SWITCH: 0, Kind.INTEGERS: "+"}
EXAMPLES = {Kind.SWITCH: "", Kind.INTEGERS: "1 2", Kind.INTEGER: "2", Kind.NUMBER: "0.5", Kind.SIZE: "8k"}


def test_the_lists_are_vllms_own_and_it_takes_the_guard(tmp_path: Path) -> None:
    (tmp_path / f"{guard.MODULE}.py").write_text(guard.source())
    simple = {name: f"--{name} {EXAMPLES[kind]}" for name, kind in TAKEN.items() if kind is not Kind.WORD}
    words = orjson.dumps([parse_arguments(text) for text in simple.values()])
    done = subprocess.run(
        [serving_python(), "-P", "-c", ASK, words, guard.CLASS, guard.HEADER],
        env=os.environ
        | {"VLLM_TARGET_DEVICE": "cpu", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
        | {"PYTHONPATH": str(tmp_path), guard.KEY_VARIABLE: "k"},
        capture_output=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr.decode()
    found = orjson.loads(done.stdout[done.stdout.rindex(b'{"options"') :])
    options = found["options"]
    for name, kind in TAKEN.items():
        assert options[f"--{name}"] == NARGS.get(kind), name
        assert (f"--no-{name}" in options) == (kind is Kind.SWITCH), name
    for name in " ".join(REFUSED.values()).split():
        assert f"--{name}" in options, f"--{name} is refused but no argument of this vLLM"
    for name, read in zip(simple, found["read"], strict=True):
        assert read["model_tag"] is None, f"--{name} left a word that is taken for the model"
        assert read["model"] == found["read"][0]["model"]
        assert read[name.replace("-", "_")], name
    assert found["answers"] == {"/health": 200, "/metrics": 401, "/v1/load_lora_adapter": 401, "/none": 401}
    assert found["opened"] == 200
