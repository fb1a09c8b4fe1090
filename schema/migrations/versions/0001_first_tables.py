"""All tables of the first release."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def label(length: int) -> sa.types.TypeEngine[str]:
    """Indexed text sorts by its bytes on every database."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "id_blocks",
        sa.Column("name", label(40), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_id_blocks")),
    )
    op.create_table(
        "issuers",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("namespace", label(250), nullable=False),
        sa.Column("universal_id", label(250), nullable=False),
        sa.Column("universal_type", label(20), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issuers")),
        sa.UniqueConstraint(
            "namespace", "universal_id", "universal_type", name=op.f("uq_issuers_namespace_universal_id_universal_type")
        ),
    )
    op.create_table(
        "messages",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("received_at", label(27), nullable=False),
        sa.Column("peer", label(64), nullable=False),
        sa.Column("sender", label(500), nullable=False),
        sa.Column("receiver", label(500), nullable=False),
        sa.Column("message_type", label(20), nullable=False),
        sa.Column("control_id", label(200), nullable=False),
        sa.Column("version", label(60), nullable=False),
        sa.Column("processing_id", label(20), nullable=False),
        sa.Column("charset", label(60), nullable=False),
        sa.Column("message_time", label(27), nullable=True),
        sa.Column("digest", label(64), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("outcome", label(20), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cause", label(40), nullable=True),
        sa.Column("location", label(60), nullable=False),
        sa.Column("answered_at", label(27), nullable=False),
        sa.Column("answers", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
    )
    op.create_index(op.f("ix_messages_outcome"), "messages", ["outcome"], unique=False)
    op.create_index(op.f("ix_messages_received_at"), "messages", ["received_at"], unique=False)
    op.create_index("ix_messages_repeat", "messages", ["control_id", "sender"], unique=False)
    op.create_table(
        "patients",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("values", sa.Text(), nullable=False),
        sa.Column("others", sa.Text(), nullable=False),
        sa.Column("stamps", sa.Text(), nullable=False),
        sa.Column("created_at", label(27), nullable=False),
        sa.Column("updated_at", label(27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patients")),
    )
    op.create_table(
        "performed_steps",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("sop_instance_uid", label(64), nullable=False),
        sa.Column("state", label(16), nullable=False),
        sa.Column("performed_id", label(16), nullable=False),
        sa.Column("patient_number", label(64), nullable=False),
        sa.Column("patient_issuer", label(64), nullable=False),
        sa.Column("modality", label(16), nullable=False),
        sa.Column("station_ae_title", label(16), nullable=False),
        sa.Column("started_at", label(14), nullable=False),
        sa.Column("ended_at", label(14), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("series_count", sa.Integer(), nullable=False),
        sa.Column("image_count", sa.Integer(), nullable=False),
        sa.Column("peer", label(16), nullable=False),
        sa.Column("created_at", label(27), nullable=False),
        sa.Column("updated_at", label(27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_performed_steps")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_performed_steps_sop_instance_uid")),
    )
    op.create_table(
        "studies",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("study_uid", label(64), nullable=False),
        sa.Column("patient_number", label(64), nullable=False),
        sa.Column("patient_issuer", label(64), nullable=False),
        sa.Column("accession_number", label(16), nullable=False),
        sa.Column("created_at", label(27), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        sa.UniqueConstraint(
            "study_uid",
            "patient_number",
            "patient_issuer",
            name=op.f("uq_studies_study_uid_patient_number_patient_issuer"),
        ),
    )
    op.create_table(
        "orders",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("patient_id", ID, nullable=False),
        sa.Column("sender_group", label(500), nullable=False),
        sa.Column("placer_number", label(64), nullable=True),
        sa.Column("placer_issuer_id", ID, nullable=True),
        sa.Column("filler_number", label(64), nullable=True),
        sa.Column("filler_issuer_id", ID, nullable=True),
        sa.Column("visit", sa.Text(), nullable=False),
        sa.Column("created_at", label(27), nullable=False),
        sa.Column("updated_at", label(27), nullable=False),
        sa.ForeignKeyConstraint(["filler_issuer_id"], ["issuers.id"], name=op.f("fk_orders_filler_issuer_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_orders_patient_id")),
        sa.ForeignKeyConstraint(["placer_issuer_id"], ["issuers.id"], name=op.f("fk_orders_placer_issuer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
        sa.UniqueConstraint(
            "sender_group",
            "filler_number",
            "filler_issuer_id",
            name=op.f("uq_orders_sender_group_filler_number_filler_issuer_id"),
        ),
    )
    op.create_index(op.f("ix_orders_filler_number"), "orders", ["filler_number"], unique=False)
    op.create_index(op.f("ix_orders_patient_id"), "orders", ["patient_id"], unique=False)
    op.create_index(op.f("ix_orders_placer_number"), "orders", ["placer_number"], unique=False)
    op.create_table(
        "patient_identifiers",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("patient_id", ID, nullable=False),
        sa.Column("value", label(64), nullable=False),
        sa.Column("issuer_id", ID, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("former", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuers.id"], name=op.f("fk_patient_identifiers_issuer_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_patient_identifiers_patient_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_patient_identifiers")),
        sa.UniqueConstraint("value", "issuer_id", name=op.f("uq_patient_identifiers_value_issuer_id")),
    )
    op.create_index(op.f("ix_patient_identifiers_patient_id"), "patient_identifiers", ["patient_id"], unique=False)
    op.create_table(
        "performed_messages",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("performed_step_id", ID, nullable=False),
        sa.Column("at", label(27), nullable=False),
        sa.Column("command", label(10), nullable=False),
        sa.Column("peer", label(16), nullable=False),
        sa.Column("transfer_syntax_uid", label(64), nullable=False),
        sa.Column("dataset", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["performed_step_id"], ["performed_steps.id"], name=op.f("fk_performed_messages_performed_step_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_performed_messages")),
    )
    op.create_index(
        op.f("ix_performed_messages_performed_step_id"), "performed_messages", ["performed_step_id"], unique=False
    )
    op.create_table(
        "remembered_cancels",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("message_id", ID, nullable=False),
        sa.Column("at", label(27), nullable=False),
        sa.Column("sender_group", label(500), nullable=False),
        sa.Column("application", label(250), nullable=False),
        sa.Column("placer_number", label(64), nullable=True),
        sa.Column("filler_number", label(64), nullable=True),
        sa.Column("accession_number", label(16), nullable=True),
        sa.Column("stamps", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_remembered_cancels_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_remembered_cancels")),
    )
    op.create_index(
        op.f("ix_remembered_cancels_accession_number"), "remembered_cancels", ["accession_number"], unique=False
    )
    op.create_index(op.f("ix_remembered_cancels_at"), "remembered_cancels", ["at"], unique=False)
    op.create_index(op.f("ix_remembered_cancels_filler_number"), "remembered_cancels", ["filler_number"], unique=False)
    op.create_index(op.f("ix_remembered_cancels_placer_number"), "remembered_cancels", ["placer_number"], unique=False)
    op.create_table(
        "series",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("study_id", ID, nullable=False),
        sa.Column("series_uid", label(64), nullable=False),
        sa.Column("modality", label(16), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_series_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_series")),
        sa.UniqueConstraint("study_id", "series_uid", name=op.f("uq_series_study_id_series_uid")),
    )
    op.create_table(
        "alarms",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("kind", label(40), nullable=False),
        sa.Column("subject", label(200), nullable=False),
        sa.Column("order_id", ID, nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("first_at", label(27), nullable=False),
        sa.Column("last_at", label(27), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("acknowledged_at", label(27), nullable=True),
        sa.Column("acknowledged_by", label(64), nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_alarms_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarms")),
    )
    op.create_index(
        "ix_alarms_open",
        "alarms",
        ["kind", "subject"],
        unique=True,
        sqlite_where=sa.text("acknowledged_at IS NULL"),
        postgresql_where=sa.text("acknowledged_at IS NULL"),
    )
    op.create_index(op.f("ix_alarms_order_id"), "alarms", ["order_id"], unique=False)
    op.create_table(
        "requested_procedures",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("order_id", ID, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("requested_procedure_id", label(16), nullable=False),
        sa.Column("accession_number", label(16), nullable=False),
        sa.Column("accession_issuer_id", ID, nullable=False),
        sa.Column("study_uid", label(64), nullable=False),
        sa.Column("generated", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["accession_issuer_id"], ["issuers.id"], name=op.f("fk_requested_procedures_accession_issuer_id")
        ),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_requested_procedures_order_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requested_procedures")),
        sa.UniqueConstraint(
            "order_id", "requested_procedure_id", name=op.f("uq_requested_procedures_order_id_requested_procedure_id")
        ),
    )
    op.create_index(
        op.f("ix_requested_procedures_accession_number"), "requested_procedures", ["accession_number"], unique=False
    )
    op.create_index(op.f("ix_requested_procedures_order_id"), "requested_procedures", ["order_id"], unique=False)
    op.create_index(
        op.f("ix_requested_procedures_requested_procedure_id"),
        "requested_procedures",
        ["requested_procedure_id"],
        unique=False,
    )
    op.create_index(op.f("ix_requested_procedures_study_uid"), "requested_procedures", ["study_uid"], unique=False)
    op.create_table(
        "scheduled_steps",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("order_id", ID, nullable=False),
        sa.Column("procedure_id", ID, nullable=False),
        sa.Column("patient_id", ID, nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("step_id", label(16), nullable=False),
        sa.Column("state", label(16), nullable=False),
        sa.Column("held", sa.Text(), nullable=True),
        sa.Column("modality", label(16), nullable=True),
        sa.Column("start_at", label(14), nullable=True),
        sa.Column("values", sa.Text(), nullable=False),
        sa.Column("generated", sa.Text(), nullable=False),
        sa.Column("stamps", sa.Text(), nullable=False),
        sa.Column("received_at", label(27), nullable=False),
        sa.Column("updated_at", label(27), nullable=False),
        sa.Column("match_patient_id", label(64), nullable=False),
        sa.Column("match_patient_name", label(200), nullable=False),
        sa.Column("match_accession", label(16), nullable=False),
        sa.Column("match_procedure_id", label(16), nullable=False),
        sa.Column("match_study_uid", label(64), nullable=False),
        sa.Column("any_station", sa.Boolean(), nullable=False),
        sa.Column("elements", sa.LargeBinary(), nullable=False),
        sa.Column("rows_hash", label(64), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_scheduled_steps_order_id")),
        sa.ForeignKeyConstraint(["patient_id"], ["patients.id"], name=op.f("fk_scheduled_steps_patient_id")),
        sa.ForeignKeyConstraint(
            ["procedure_id"], ["requested_procedures.id"], name=op.f("fk_scheduled_steps_procedure_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheduled_steps")),
        sa.UniqueConstraint("procedure_id", "step_id", name=op.f("uq_scheduled_steps_procedure_id_step_id")),
    )
    op.create_index("ix_scheduled_steps_match_accession", "scheduled_steps", ["match_accession"], unique=False)
    op.create_index("ix_scheduled_steps_match_patient_id", "scheduled_steps", ["match_patient_id"], unique=False)
    op.create_index("ix_scheduled_steps_match_patient_name", "scheduled_steps", ["match_patient_name"], unique=False)
    op.create_index("ix_scheduled_steps_match_procedure_id", "scheduled_steps", ["match_procedure_id"], unique=False)
    op.create_index("ix_scheduled_steps_match_study_uid", "scheduled_steps", ["match_study_uid"], unique=False)
    op.create_index("ix_scheduled_steps_modality", "scheduled_steps", ["state", "modality", "start_at"], unique=False)
    op.create_index(op.f("ix_scheduled_steps_order_id"), "scheduled_steps", ["order_id"], unique=False)
    op.create_index("ix_scheduled_steps_patient", "scheduled_steps", ["patient_id"], unique=False)
    op.create_index("ix_scheduled_steps_start", "scheduled_steps", ["state", "start_at"], unique=False)
    op.create_index("ix_scheduled_steps_step_id", "scheduled_steps", ["step_id"], unique=False)
    op.create_table(
        "aliases",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("kind", label(16), nullable=False),
        sa.Column("value", label(64), nullable=False),
        sa.Column("issuer_id", ID, nullable=False),
        sa.Column("order_id", ID, nullable=False),
        sa.Column("procedure_id", ID, nullable=True),
        sa.Column("step_id", ID, nullable=True),
        sa.Column("source", label(40), nullable=False),
        sa.ForeignKeyConstraint(["issuer_id"], ["issuers.id"], name=op.f("fk_aliases_issuer_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_aliases_order_id")),
        sa.ForeignKeyConstraint(["procedure_id"], ["requested_procedures.id"], name=op.f("fk_aliases_procedure_id")),
        sa.ForeignKeyConstraint(["step_id"], ["scheduled_steps.id"], name=op.f("fk_aliases_step_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_aliases")),
    )
    op.create_index(op.f("ix_aliases_order_id"), "aliases", ["order_id"], unique=False)
    op.create_index("ix_aliases_value", "aliases", ["value", "kind"], unique=False)
    op.create_table(
        "instances",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("series_id", ID, nullable=False),
        sa.Column("sop_instance_uid", label(64), nullable=False),
        sa.Column("sop_class_uid", label(64), nullable=False),
        sa.Column("transfer_syntax_uid", label(64), nullable=False),
        sa.Column("digest", label(64), nullable=False),
        sa.Column("store", label(40), nullable=False),
        sa.Column("path", label(400), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("received_at", label(27), nullable=False),
        sa.Column("peer", label(16), nullable=False),
        sa.Column("order_id", ID, nullable=True),
        sa.Column("procedure_id", ID, nullable=True),
        sa.Column("step_id", ID, nullable=True),
        sa.Column("link_how", label(40), nullable=False),
        sa.Column("link_sure", label(10), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_instances_order_id")),
        sa.ForeignKeyConstraint(["procedure_id"], ["requested_procedures.id"], name=op.f("fk_instances_procedure_id")),
        sa.ForeignKeyConstraint(["series_id"], ["series.id"], name=op.f("fk_instances_series_id")),
        sa.ForeignKeyConstraint(["step_id"], ["scheduled_steps.id"], name=op.f("fk_instances_step_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instances")),
        sa.UniqueConstraint("sop_instance_uid", name=op.f("uq_instances_sop_instance_uid")),
    )
    op.create_index(op.f("ix_instances_order_id"), "instances", ["order_id"], unique=False)
    op.create_index(op.f("ix_instances_series_id"), "instances", ["series_id"], unique=False)
    op.create_table(
        "performed_links",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("performed_step_id", ID, nullable=False),
        sa.Column("order_id", ID, nullable=False),
        sa.Column("procedure_id", ID, nullable=False),
        sa.Column("step_id", ID, nullable=True),
        sa.Column("how", label(40), nullable=False),
        sa.Column("sure", label(10), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_performed_links_order_id")),
        sa.ForeignKeyConstraint(
            ["performed_step_id"], ["performed_steps.id"], name=op.f("fk_performed_links_performed_step_id")
        ),
        sa.ForeignKeyConstraint(
            ["procedure_id"], ["requested_procedures.id"], name=op.f("fk_performed_links_procedure_id")
        ),
        sa.ForeignKeyConstraint(["step_id"], ["scheduled_steps.id"], name=op.f("fk_performed_links_step_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_performed_links")),
    )
    op.create_index(op.f("ix_performed_links_order_id"), "performed_links", ["order_id"], unique=False)
    op.create_index(
        op.f("ix_performed_links_performed_step_id"), "performed_links", ["performed_step_id"], unique=False
    )
    op.create_index(op.f("ix_performed_links_step_id"), "performed_links", ["step_id"], unique=False)
    op.create_table(
        "scheduled_stations",
        sa.Column("step_id", ID, nullable=False),
        sa.Column("ae_title", label(16), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["step_id"], ["scheduled_steps.id"], name=op.f("fk_scheduled_stations_step_id")),
        sa.PrimaryKeyConstraint("step_id", "ae_title", name=op.f("pk_scheduled_stations")),
    )
    op.create_index("ix_scheduled_stations_ae_title", "scheduled_stations", ["ae_title", "step_id"], unique=False)
    op.create_table(
        "instance_conflicts",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("instance_id", ID, nullable=False),
        sa.Column("digest", label(64), nullable=False),
        sa.Column("store", label(40), nullable=False),
        sa.Column("path", label(400), nullable=False),
        sa.Column("offset", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        sa.Column("received_at", label(27), nullable=False),
        sa.Column("peer", label(16), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name=op.f("fk_instance_conflicts_instance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instance_conflicts")),
        sa.UniqueConstraint("instance_id", "digest", name=op.f("uq_instance_conflicts_instance_id_digest")),
    )
    op.create_index(op.f("ix_instance_conflicts_instance_id"), "instance_conflicts", ["instance_id"], unique=False)
    op.create_table(
        "step_events",
        sa.Column("id", ID, autoincrement=False, nullable=False),
        sa.Column("at", label(27), nullable=False),
        sa.Column("order_id", ID, nullable=False),
        sa.Column("procedure_id", ID, nullable=True),
        sa.Column("step_id", ID, nullable=True),
        sa.Column("kind", label(20), nullable=False),
        sa.Column("before", label(20), nullable=True),
        sa.Column("after", label(20), nullable=True),
        sa.Column("effect", label(16), nullable=False),
        sa.Column("actor", label(500), nullable=False),
        sa.Column("order_group", sa.Integer(), nullable=True),
        sa.Column("message_id", ID, nullable=True),
        sa.Column("performed_step_id", ID, nullable=True),
        sa.Column("instance_id", ID, nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["instances.id"], name=op.f("fk_step_events_instance_id")),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_step_events_message_id")),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name=op.f("fk_step_events_order_id")),
        sa.ForeignKeyConstraint(
            ["performed_step_id"], ["performed_steps.id"], name=op.f("fk_step_events_performed_step_id")
        ),
        sa.ForeignKeyConstraint(
            ["procedure_id"], ["requested_procedures.id"], name=op.f("fk_step_events_procedure_id")
        ),
        sa.ForeignKeyConstraint(["step_id"], ["scheduled_steps.id"], name=op.f("fk_step_events_step_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_events")),
    )
    op.create_index(op.f("ix_step_events_order_id"), "step_events", ["order_id"], unique=False)
    op.create_index(op.f("ix_step_events_step_id"), "step_events", ["step_id"], unique=False)
    op.execute("INSERT INTO issuers (id, namespace, universal_id, universal_type) VALUES (0, '', '', '')")
