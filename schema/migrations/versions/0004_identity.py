"""The database gets an identity, so that a data folder can say which database it belongs to."""

from datetime import UTC, datetime
from uuid import uuid4

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    label = sa.String(36).with_variant(sa.String(36, collation="C"), "postgresql")
    instant = sa.String(27).with_variant(sa.String(27, collation="C"), "postgresql")
    table = op.create_table(
        "database_identity",
        sa.Column("row", sa.Integer, nullable=False, autoincrement=False, comment="always 1: there is one row"),
        sa.Column("identity", label, nullable=False, comment="a random UUID; a copy of the database keeps it"),
        sa.Column("made_at", instant, nullable=False, comment="when it was given"),
        sa.PrimaryKeyConstraint("row", name="pk_database_identity"),
        comment="Which database this is; the identity.json of a data folder names it.",
    )
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    op.bulk_insert(table, [{"row": 1, "identity": str(uuid4()), "made_at": now}])
