"""What Alembic runs: the migrations on the connection it was given, or as SQL text for the dialect it was given."""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

from storage.models import Base, UtcDateTime


def render_item(kind: str, found: object, _: AutogenContext) -> str | Literal[False]:
    """Write our times as SQLAlchemy's own type: a migration must not change when the models do."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(found, UtcDateTime) else False


if context.is_offline_mode():
    context.configure(
        dialect_name=context.config.attributes["dialect"], target_metadata=Base.metadata, literal_binds=True
    )
else:
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=Base.metadata,
        render_item=render_item,
        render_as_batch=True,
    )
with context.begin_transaction():
    context.run_migrations()
