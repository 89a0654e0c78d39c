"""The plan that is being made in a thread: everything given so far, and what is being asked."""

from pydantic import BaseModel, ConfigDict, Field

from storage.models import Thread
from training.parameters import Value


class Draft(BaseModel):
    """Kept in ``threads.draft``, so that a restart in the middle of a question loses nothing."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version_id: str | None = None
    """The data set version that is learned from."""
    offered_version_id: str | None = None
    """A version that came with a file while another one was in the plan: the person is asked which to use."""
    leaves_out_bad_rows: bool = False
    fills: dict[str, str] = Field(default_factory=dict)
    """Placeholder -> what stands in its place; ``{{itself}}`` keeps it as it is."""
    base_model: str | None = None
    """By its name in the catalogue."""
    place: str | None = None
    """Where it trains, by name, where there are several places."""
    preset: str | None = None
    values: dict[str, Value] = Field(default_factory=dict)
    """What the person set, by parameter."""
    experiment: str | None = None
    """The name that the person gave; none: a suggested one."""
    deploys: bool = True
    open: str = ""
    """The id of what is being asked: ``dataset``, ``fill.name`` ..., ``form``, ``review``."""
    open_key: str = ""
    """The key of the message that asks it."""

    def changed(self, **changes: object) -> "Draft":
        """The draft with some fields changed."""
        return self.model_copy(update=changes)

    @property
    def has_answers(self) -> bool:
        """Whether anything was given besides the data set."""
        return bool(
            self.fills or self.base_model or self.place or self.preset or self.values or self.leaves_out_bad_rows
        )


def read_draft(thread: Thread) -> Draft | None:
    """The plan that is open in a thread."""
    return Draft.model_validate(thread.draft) if thread.draft is not None else None


def write_draft(thread: Thread, draft: Draft | None) -> None:
    """Keep the plan with its thread, within the caller's transaction."""
    thread.draft = draft.model_dump(mode="json") if draft else None
