"""When the last event of an order was becomes a column: the next one is never told as earlier."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    instant = sa.String(27).with_variant(sa.String(27, collation="C"), "postgresql")
    comment = "time of its last event, the next is never earlier; null: updated_at"
    op.add_column("orders", sa.Column("last_event_at", instant, nullable=True, comment=comment))
