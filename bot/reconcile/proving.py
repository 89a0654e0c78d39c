"""Before a service is ready: it reads as it was trained, and it ends an answer by itself.

Both are asked with rows of the data set that the model was trained on; see ``serving.parity`` for the first.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import structlog
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from bot.hosting import context_tokens, served_name
from bot.routing import Target
from bot.sightings import Known
from bot.speaking import Speaking
from bot.tokenizers import Tokenizers
from bot.world import World
from serving.chat import ChatRequest, ends_by_itself
from serving.parity import Prompt, check_parity, prompts
from serving.sampling import SamplingValue
from serving.services import ChatTooLong, NotProven, Replica
from storage.artifact_errors import Incomplete
from storage.models import DatasetVersion, Model, Run
from training.conversation import Conversation
from training.datasets import DatasetError, DatasetReport, conversations
from training.datasets.preview import ROWS_LOOKED_AT
from training.datasets.probes import telling, with_short_answers
from training.tokens import ChatTokenizer, TokenizerError
from training.trainer.data import chosen, data_file
from training.trainer.exits import BadData

log = structlog.get_logger(__name__)

QUESTIONS = 3
"""Asked at most, until one answer ends."""

LEAST_TOKENS = 64
"""Of an answer's room; three times the row's own answer where that is more."""

PATIENT_TOKENS = 512
"""The last question's room at least: a model that is talkative is not yet one that never ends."""

FEW_TOKENS = 8
"""Of an answer that need not end."""


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What is asked, and how many tokens its answer may have."""

    messages: tuple[BaseMessage, ...]
    room: int


GREETING = _Question(messages=(HumanMessage("Hi"),), room=PATIENT_TOKENS)
"""Asked of models whose data is not known."""


@dataclass(frozen=True, kw_only=True)
class _Material:
    """What a model's own data gives."""

    tokenizer: ChatTokenizer
    """The trainer's."""
    prompts: tuple[Prompt, ...]
    questions: tuple[_Question, ...]


class Proving:
    """Puts services to the proof; what is read for it is not kept."""

    def __init__(self, world: World, speaking: Speaking) -> None:
        self._world = world
        self._speaking = speaking
        self._tokenizers = Tokenizers()

    async def prove(self, known: Known, replica: Replica) -> None:
        """Returns when the service is as it should be at ``replica``.

        Raises NotProven where it is not; what ``stream_answer`` raises, and ArtifactError, where that cannot be told
        for now.
        """
        model, address = known.model, replica.address
        target = Target(address=address, model=served_name(model), base=known.base, place=known.host.place)
        try:
            material = await self._material(model, target)
            if material is None:
                log.info("service.parity_skipped", service=known.service.id, model=model.id)
            else:
                await check_parity(address, target.model, material.prompts, material.tokenizer)
            requests = await self._requests(material.questions if material else (), target, model.system_prompt)
            await self._require_an_end(known, replica, requests)
        except TokenizerError as error:
            raise NotProven(f"tokenizer_error.{error.code}", **error.params) from error
        except ChatTooLong as error:
            raise NotProven(error.code, **error.params) from error

    async def _require_an_end(self, known: Known, replica: Replica, requests: Sequence[ChatRequest]) -> None:
        """Ask until an answer ends by itself; where somebody accepts that none does, an answer is enough."""
        service = known.service
        accepts_endless = service.accepts_endless == known.model.id
        for request in requests:
            async with self._speaking.routes.place_at(known, replica, turn=f"proof:{service.id}"):
                is_ended = await ends_by_itself(_cut(request) if accepts_endless else request)
            if is_ended or accepts_endless:
                return
            log.info("service.answer_without_end", service=service.id, tokens=request.sampling["max_tokens"])
        raise NotProven("proof.endless", tries=len(requests), tokens=requests[-1].sampling["max_tokens"])

    async def _requests(
        self, questions: Sequence[_Question], target: Target, system: str | None
    ) -> Sequence[ChatRequest]:
        """As a person's messages make them; a greeting where there is no question, or none that fits."""
        requests = []
        for question in questions:
            with suppress(ChatTooLong):  # a row that was cut in training
                requests.append(await self._request(question, target, system))
        return requests or [await self._request(GREETING, target, system)]

    async def _request(self, question: _Question, target: Target, system: str | None) -> ChatRequest:
        sampling: dict[str, SamplingValue] = {"temperature": 0, "max_tokens": question.room}
        return await self._speaking.request(target, question.messages, system=system, sampling=sampling)

    async def _material(self, model: Model, target: Target) -> _Material | None:
        """None where the data that the model was made of is not known, or not here any more."""
        async with self._world.store.reading() as session:
            run = await session.get(Run, model.run_id) if model.run_id else None
            if run is None:
                return None
            version = await session.get_one(DatasetVersion, run.dataset_version_id)
            base = await session.get_one(Model, run.base_model_id)
        context = context_tokens(self._world, target.base, target.place)
        try:
            file = data_file(await self._world.artifacts.fetch(version.artifact))
            tokenizer = await self._tokenizers.of(await self._world.folder_of(base))
        except (BadData, Incomplete, TokenizerError) as error:
            log.warning("service.without_data", run=run.id, kind=type(error).__name__)
            return None
        try:
            return await asyncio.to_thread(_read, file, version, run, model, tokenizer, context)
        except DatasetError as error:
            log.warning("service.without_data", run=run.id, kind=error.code)
            return None


def _cut(request: ChatRequest) -> ChatRequest:
    return replace(request, sampling={**request.sampling, "max_tokens": FEW_TOKENS})


def _read(
    file: Path, version: DatasetVersion, run: Run, model: Model, tokenizer: ChatTokenizer, context: int
) -> _Material:
    """The rows as they were trained: the same ones, filled and cut alike."""
    report = DatasetReport.from_json(version.report)
    every = conversations(file, report, fills=run.fills)
    trained = chosen(every, excluded=report.bad_lines, most=run.spec.get("max_samples"))
    rows = list(islice(trained, ROWS_LOOKED_AT))
    longest = min(int(run.spec["cutoff_length"]), context)

    def fits(row: Conversation) -> bool:
        return all(len(example.input_ids) <= longest for example in tokenizer.encode(row))

    before_answers = [prompt for row in telling(rows, fits) for prompt in prompts(row, tokenizer)]
    questions = with_short_answers(rows, model.system_prompt, QUESTIONS)
    return _Material(
        tokenizer=tokenizer,
        prompts=tuple(prompt for prompt in before_answers if len(prompt.ids) < longest),
        questions=tuple(_question(row, tokenizer, row is questions[-1]) for row in questions),
    )


def _question(row: Conversation, tokenizer: ChatTokenizer, is_last: bool) -> _Question:
    *asked, answer = row.messages
    room = max(LEAST_TOKENS, 3 * len(tokenizer.ids(answer.content)), PATIENT_TOKENS if is_last else 0)
    messages = [AIMessage(one.content) if one.role == "assistant" else HumanMessage(one.content) for one in asked]
    return _Question(messages=tuple(messages), room=room)
