"""The one definition of the tables; migrations and `schema/current.sql` are held to it by a test on both databases.

Instants are UTC text (ISO 8601, microseconds, Z) and scheduled times are DICOM text (YYYYMMDDHHMMSS), so that both
sort, read and compare alike on every database. Indexed text is COLLATE "C" on PostgreSQL and as long as its VR allows.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Instant(TypeDecorator[datetime]):
    """A UTC instant kept as text: 2026-03-02T09:15:00.000000Z."""

    impl = String(27)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value)


class Json(TypeDecorator[Any]):
    """A JSON value kept as text, keys sorted."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


def _text(length: int) -> TypeEngine[str]:
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def _id() -> Column[int]:
    """Surrogate key; its numbers come from blocks (id_blocks), so it never counts by itself."""
    return Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False)


def _ref(name: str, target: str, *, nullable: bool = False, index: bool = False) -> Column[int]:
    kind = BigInteger().with_variant(Integer, "sqlite")
    return Column(name, kind, ForeignKey(target), nullable=nullable, index=index)


id_blocks = Table(
    "id_blocks",
    metadata,
    Column("name", _text(40), primary_key=True),
    Column("next", BigInteger, nullable=False),
    comment="Next free number of each counter; processes take blocks from it.",
)

messages = Table(
    "messages",
    metadata,
    _id(),
    Column("received_at", Instant, nullable=False, index=True),
    Column("peer", _text(64), nullable=False),
    Column("sender", _text(500), nullable=False, comment="sending application|facility"),
    Column("receiver", _text(500), nullable=False, comment="receiving application|facility"),
    Column("message_type", _text(20), nullable=False),
    Column("control_id", _text(200), nullable=False, comment="MSH-10"),
    Column("version", _text(60), nullable=False),
    Column("processing_id", _text(20), nullable=False),
    Column("charset", _text(60), nullable=False),
    Column("message_time", Instant, comment="MSH-7 as UTC"),
    Column("digest", _text(64), nullable=False, comment="SHA-256 of the raw bytes"),
    Column("raw", LargeBinary, nullable=False),
    Column("outcome", _text(20), nullable=False, index=True),
    Column("reason", Text, nullable=False),
    Column("cause", _text(40), comment="why it was refused; null when accepted"),
    Column("location", _text(60), nullable=False, comment="ERR position, seg^seq^field^rep^comp^sub"),
    Column("answered_at", Instant, nullable=False),
    Column("answers", BigInteger, comment="the message whose answer a repeat was given again"),
    Index("ix_messages_repeat", "control_id", "sender"),
    comment="Journal: each HL7 message as it came, and how it ended.",
)

remembered_cancels = Table(
    "remembered_cancels",
    metadata,
    _id(),
    _ref("message_id", "messages.id"),
    Column("at", Instant, nullable=False, index=True),
    Column("sender_group", _text(500), nullable=False),
    Column("application", _text(250), nullable=False),
    Column("placer_number", _text(64), index=True),
    Column("filler_number", _text(64), index=True),
    Column("accession_number", _text(16), index=True),
    Column("stamps", Json, nullable=False),
    comment="Cancels that came before their order; each stops it for 24 hours.",
)

issuers = Table(
    "issuers",
    metadata,
    _id(),
    Column("namespace", _text(250), nullable=False),
    Column("universal_id", _text(250), nullable=False),
    Column("universal_type", _text(20), nullable=False),
    UniqueConstraint("namespace", "universal_id", "universal_type"),
    comment="Assigning authorities as seen; row 0 is 'none named'.",
)

patients = Table(
    "patients",
    metadata,
    _id(),
    Column("values", Json, nullable=False, comment="attributes that belong to the patient, by row key"),
    Column("others", Json, nullable=False, comment="further numbers as sent: [value, namespace, universal id, type]"),
    Column("stamps", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    comment="People, one row each.",
)

patient_identifiers = Table(
    "patient_identifiers",
    metadata,
    _id(),
    _ref("patient_id", "patients.id", index=True),
    Column("value", _text(64), nullable=False),
    _ref("issuer_id", "issuers.id"),
    Column("position", Integer, nullable=False, comment="0 is the primary identifier"),
    Column("former", Boolean, nullable=False, comment="merged away; still finds its patient"),
    UniqueConstraint("value", "issuer_id"),
    comment="What a patient is called by whom.",
)

orders = Table(
    "orders",
    metadata,
    _id(),
    _ref("patient_id", "patients.id", index=True),
    Column("sender_group", _text(500), nullable=False, comment="whose number space the order numbers live in"),
    Column("placer_number", _text(64), index=True),
    _ref("placer_issuer_id", "issuers.id", nullable=True),
    Column("filler_number", _text(64), index=True),
    _ref("filler_issuer_id", "issuers.id", nullable=True),
    Column("visit", Json, nullable=False, comment="attributes that belong to the visit, by row key"),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    UniqueConstraint("sender_group", "filler_number", "filler_issuer_id"),
    comment="Imaging service requests.",
)

requested_procedures = Table(
    "requested_procedures",
    metadata,
    _id(),
    _ref("order_id", "orders.id", index=True),
    Column("ordinal", Integer, nullable=False),
    Column("requested_procedure_id", _text(16), nullable=False, index=True),
    Column("accession_number", _text(16), nullable=False, index=True),
    _ref("accession_issuer_id", "issuers.id"),
    Column("study_uid", _text(64), nullable=False, index=True),
    Column("generated", Json, nullable=False, comment="names of the values we filled in"),
    UniqueConstraint("order_id", "requested_procedure_id"),
    comment="What was asked for; one study each.",
)

scheduled_steps = Table(
    "scheduled_steps",
    metadata,
    _id(),
    _ref("order_id", "orders.id", index=True),
    _ref("procedure_id", "requested_procedures.id"),
    _ref("patient_id", "patients.id"),
    Column("ordinal", Integer, nullable=False),
    Column("step_id", _text(16), nullable=False, comment="Scheduled Procedure Step ID"),
    Column("state", _text(16), nullable=False),
    Column("held", Text, comment="why no query shows it; null: shown"),
    Column("modality", _text(16)),
    Column("start_at", _text(14), comment="YYYYMMDDHHMMSS, department wall-clock"),
    Column("values", Json, nullable=False, comment="what the sender said of the step, by row key"),
    Column("generated", Json, nullable=False),
    Column("stamps", Json, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("match_patient_id", _text(64), nullable=False),
    Column("match_patient_name", _text(200), nullable=False, comment="folded: case and accents removed"),
    Column("match_accession", _text(16), nullable=False),
    Column("match_procedure_id", _text(16), nullable=False),
    Column("match_study_uid", _text(64), nullable=False),
    Column("any_station", Boolean, nullable=False, comment="true: open to every station its modality fits"),
    Column("elements", LargeBinary, nullable=False, comment="encoded worklist elements, spliced into answers"),
    Column("rows_hash", _text(64), nullable=False, comment="of the profile rows that made the elements"),
    UniqueConstraint("procedure_id", "step_id"),
    Index("ix_scheduled_steps_patient", "patient_id"),
    Index("ix_scheduled_steps_step_id", "step_id"),
    Index("ix_scheduled_steps_modality", "state", "modality", "start_at"),
    Index("ix_scheduled_steps_start", "state", "start_at"),
    Index("ix_scheduled_steps_match_patient_id", "match_patient_id"),
    Index("ix_scheduled_steps_match_patient_name", "match_patient_name"),
    Index("ix_scheduled_steps_match_accession", "match_accession"),
    Index("ix_scheduled_steps_match_procedure_id", "match_procedure_id"),
    Index("ix_scheduled_steps_match_study_uid", "match_study_uid"),
    comment="What a modality finds on its worklist.",
)

scheduled_stations = Table(
    "scheduled_stations",
    metadata,
    _ref("step_id", "scheduled_steps.id"),
    Column("ae_title", _text(16), nullable=False),
    UniqueConstraint("step_id", "ae_title"),
    Index("ix_scheduled_stations_ae_title", "ae_title", "step_id"),
    comment="Stations a step is planned on; none: open.",
)

aliases = Table(
    "aliases",
    metadata,
    _id(),
    Column("kind", _text(16), nullable=False),
    Column("value", _text(64), nullable=False),
    _ref("issuer_id", "issuers.id"),
    _ref("order_id", "orders.id", index=True),
    _ref("procedure_id", "requested_procedures.id", nullable=True),
    _ref("step_id", "scheduled_steps.id", nullable=True),
    Column("source", _text(40), nullable=False),
    Index("ix_aliases_value", "value", "kind"),
    comment="Former and generated values that still find what they named.",
)

step_events = Table(
    "step_events",
    metadata,
    _id(),
    Column("at", Instant, nullable=False),
    _ref("order_id", "orders.id", index=True),
    _ref("procedure_id", "requested_procedures.id", nullable=True),
    _ref("step_id", "scheduled_steps.id", nullable=True, index=True),
    Column("kind", _text(20), nullable=False),
    Column("before", _text(20)),
    Column("after", _text(20)),
    Column("effect", _text(16), nullable=False),
    Column("actor", _text(500), nullable=False),
    Column("order_group", Integer, comment="number of the order in its message"),
    _ref("message_id", "messages.id", nullable=True),
    _ref("performed_step_id", "performed_steps.id", nullable=True),
    _ref("instance_id", "instances.id", nullable=True),
    Column("detail", Json, nullable=False),
    comment="The timeline: each change with its cause and actor.",
)

performed_steps = Table(
    "performed_steps",
    metadata,
    _id(),
    Column("sop_instance_uid", _text(64), nullable=False, unique=True),
    Column("state", _text(16), nullable=False, comment="IN PROGRESS, COMPLETED or DISCONTINUED"),
    Column("performed_id", _text(16), nullable=False, comment="Performed Procedure Step ID"),
    Column("patient_number", _text(64), nullable=False, comment="Patient ID as sent"),
    Column("patient_issuer", _text(64), nullable=False),
    Column("modality", _text(16), nullable=False),
    Column("station_ae_title", _text(16), nullable=False),
    Column("started_at", _text(14), nullable=False, comment="as the modality said it"),
    Column("ended_at", _text(14)),
    Column("reason", Text, nullable=False, comment="discontinuation reason, code and meaning"),
    Column("series_count", Integer, nullable=False),
    Column("image_count", Integer, nullable=False),
    Column("peer", _text(16), nullable=False, comment="calling AE title"),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    comment="Modality performed procedure steps: the facts.",
)

performed_messages = Table(
    "performed_messages",
    metadata,
    _id(),
    _ref("performed_step_id", "performed_steps.id", index=True),
    Column("at", Instant, nullable=False),
    Column("command", _text(10), nullable=False, comment="N-CREATE or N-SET"),
    Column("peer", _text(16), nullable=False),
    Column("transfer_syntax_uid", _text(64), nullable=False),
    Column("dataset", LargeBinary, nullable=False, comment="as received"),
    comment="Each N-CREATE and N-SET as received.",
)

performed_links = Table(
    "performed_links",
    metadata,
    _id(),
    _ref("performed_step_id", "performed_steps.id", index=True),
    _ref("order_id", "orders.id", index=True),
    _ref("procedure_id", "requested_procedures.id"),
    _ref("step_id", "scheduled_steps.id", nullable=True, index=True),
    Column("how", _text(40), nullable=False, comment="which names found it"),
    Column("sure", _text(10), nullable=False, comment="certain, likely or proposal"),
    comment="Which performed step belongs to which scheduled step, how it was found and how sure.",
)

studies = Table(
    "studies",
    metadata,
    _id(),
    Column("study_uid", _text(64), nullable=False),
    Column("patient_number", _text(64), nullable=False, comment="Patient ID as sent"),
    Column("patient_issuer", _text(64), nullable=False),
    Column("accession_number", _text(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("study_uid", "patient_number", "patient_issuer"),
    comment="Studies as the objects name them; a stray image makes a row of its own.",
)

series = Table(
    "series",
    metadata,
    _id(),
    _ref("study_id", "studies.id"),
    Column("series_uid", _text(64), nullable=False),
    Column("modality", _text(16), nullable=False),
    UniqueConstraint("study_id", "series_uid"),
    comment="Series as the objects name them.",
)

instances = Table(
    "instances",
    metadata,
    _id(),
    _ref("series_id", "series.id", index=True),
    Column("sop_instance_uid", _text(64), nullable=False, unique=True),
    Column("sop_class_uid", _text(64), nullable=False),
    Column("transfer_syntax_uid", _text(64), nullable=False),
    Column("digest", _text(64), nullable=False, comment="SHA-256 of the dataset as received"),
    Column("store", _text(40), nullable=False, comment="which store holds it"),
    Column("path", _text(400), nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("peer", _text(16), nullable=False, comment="calling AE title"),
    _ref("order_id", "orders.id", nullable=True, index=True),
    _ref("procedure_id", "requested_procedures.id", nullable=True),
    _ref("step_id", "scheduled_steps.id", nullable=True),
    Column("link_how", _text(40), nullable=False),
    Column("link_sure", _text(10), nullable=False),
    comment="Stored objects, where they lie and what they belong to.",
)

instance_conflicts = Table(
    "instance_conflicts",
    metadata,
    _id(),
    _ref("instance_id", "instances.id", index=True),
    Column("digest", _text(64), nullable=False),
    Column("store", _text(40), nullable=False),
    Column("path", _text(400), nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("peer", _text(16), nullable=False),
    UniqueConstraint("instance_id", "digest"),
    comment="Objects that came under a known SOP Instance UID with other bytes: kept aside.",
)

alarms = Table(
    "alarms",
    metadata,
    _id(),
    Column("kind", _text(40), nullable=False),
    Column("subject", _text(200), nullable=False),
    _ref("order_id", "orders.id", nullable=True, index=True),
    Column("detail", Text, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("count", Integer, nullable=False),
    Column("acknowledged_at", Instant),
    Column("acknowledged_by", _text(64)),
    Index("ix_alarms_open", "kind", "subject", sqlite_where=text("acknowledged_at IS NULL"),
          postgresql_where=text("acknowledged_at IS NULL"), unique=True),
    comment="What a person must look at; one open row for each kind and subject.",
)
