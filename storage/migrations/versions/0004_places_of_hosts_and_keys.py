"""Hosts in several places, that sleep and are pinned; who asked for a service; keys to the endpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("hosts") as hosts:
        hosts.add_column(sa.Column("place", sa.String(), nullable=False, server_default=""))
        hosts.add_column(sa.Column("is_pinned", sa.Boolean(), nullable=False, server_default=sa.false()))
        hosts.add_column(sa.Column("is_asleep", sa.Boolean(), nullable=False, server_default=sa.false()))
        hosts.add_column(sa.Column("found", sa.JSON(), nullable=False, server_default="{}"))
        hosts.drop_constraint("uq_hosts_base_model_id", type_="unique")
        hosts.create_unique_constraint("uq_hosts_base_model_id_place", ["base_model_id", "place"])
    with op.batch_alter_table("threads") as threads:
        threads.add_column(sa.Column("deployment", sa.JSON(), nullable=True))
    with op.batch_alter_table("services") as services:
        services.add_column(sa.Column("user_id", sa.String(), nullable=True))
        services.add_column(sa.Column("accepts_endless", sa.String(), nullable=True))
        services.create_foreign_key("fk_services_user_id_users", "users", ["user_id"], ["id"])
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("ending", sa.String(), nullable=False),
        sa.Column("services", sa.JSON(), nullable=False),
        sa.Column("requests_per_minute", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_keys_user_id_users"),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
        sa.UniqueConstraint("user_id", "name", name="uq_api_keys_user_id_name"),
    )
