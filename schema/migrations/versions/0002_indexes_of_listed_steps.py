"""Partial indexes of the steps that the worklist shows by default; their elements stay in the row on PostgreSQL."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
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
    condition = sa.text(LISTED)
    for name, columns in INDEXES.items():
        op.create_index(
            name, "scheduled_steps", columns, unique=False, sqlite_where=condition, postgresql_where=condition
        )
    if op.get_context().dialect.name == "postgresql":
        op.execute("ALTER TABLE scheduled_steps SET (toast_tuple_target = 8160)")
