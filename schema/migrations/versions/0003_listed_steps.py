"""Whether a step is listed becomes a column: a step that starts stays where it is in the indexes of listed ones."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LISTED = "held IS NULL AND state NOT IN ('CANCELED', 'COMPLETED', 'DEPARTED', 'DISCONTINUED')"
INDEXES = {
    "ix_scheduled_steps_listed_start": ["start_at", "id"],
    "ix_scheduled_steps_listed_modality": ["modality", "start_at", "id"],
    "ix_scheduled_steps_listed_patient_id": ["match_patient_id"],
    "ix_scheduled_steps_listed_patient_name": ["match_patient_name"],
}


def upgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "scheduled_steps")
    # Nothing asks by these, or others serve as well; and each step that moved wrote them.
    op.drop_index("ix_scheduled_steps_modality", "scheduled_steps")
    op.drop_index("ix_step_events_step_id", "step_events")
    op.drop_index("ix_performed_links_step_id", "performed_links")
    comment = "true: not held, and not ended"
    op.add_column(
        "scheduled_steps", sa.Column("listed", sa.Boolean, nullable=False, server_default=sa.false(), comment=comment)
    )
    op.execute(f"UPDATE scheduled_steps SET listed = true WHERE {LISTED}")
    condition = sa.text("listed")
    for name, columns in INDEXES.items():
        op.create_index(
            name, "scheduled_steps", columns, unique=False, sqlite_where=condition, postgresql_where=condition
        )
