"""The one definition of the tables; migrations and `schema/current.sql` are held to it by a test on both databases.

Instants are UTC text (ISO 8601, microseconds, Z) and scheduled times are DICOM text (YYYYMMDDHHMMSS), so that both
sort, read and compare alike on every database. Indexed text is COLLATE "C" on PostgreSQL and as long as its VR allows.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from broker.store.columns import Instant, Json, conventions, label, listed_index, own_id, reference

metadata = conventions()

id_blocks = Table(
    "id_blocks",
    metadata,
    Column(
        "name",
        label(40),
        primary_key=True,
        comment="the counter: a table, or accession, procedure_number, step_number",
    ),
    Column("next", BigInteger, nullable=False, comment="first number that no process has taken"),
    comment="Next free number of each counter; processes take blocks from it.",
)

database_identity = Table(
    "database_identity",
    metadata,
    Column("row", Integer, primary_key=True, autoincrement=False, comment="always 1: there is one row"),
    Column("identity", label(36), nullable=False, comment="a random UUID; a copy of the database keeps it"),
    Column("made_at", Instant, nullable=False, comment="when it was given"),
    comment="Which database this is; the identity.json of a data folder names it.",
)

messages = Table(
    "messages",
    metadata,
    own_id(),
    Column("received_at", Instant, nullable=False, index=True, comment="when its last byte came"),
    Column("peer", label(64), nullable=False, comment="address of the sending machine"),
    Column("sender", label(500), nullable=False, comment="sending application|facility"),
    Column("receiver", label(500), nullable=False, comment="receiving application|facility"),
    Column("message_type", label(20), nullable=False, comment="MSH-9 as type^event"),
    Column("control_id", label(200), nullable=False, comment="MSH-10"),
    Column("version", label(60), nullable=False, comment="MSH-12"),
    Column("processing_id", label(20), nullable=False, comment="MSH-11"),
    Column("charset", label(60), nullable=False, comment="MSH-18, first repetition"),
    Column("message_time", Instant, comment="MSH-7 as UTC; in the hour that comes twice, the earlier"),
    Column("digest", label(64), nullable=False, comment="SHA-256 of the raw bytes"),
    Column("raw", LargeBinary, nullable=False, comment="the bytes as they came, without framing"),
    Column(
        "outcome",
        label(20),
        nullable=False,
        index=True,
        comment="created, updated, cancelled, unchanged, duplicate, superseded, held, ignored, rejected or quarantined",
    ),
    Column("reason", Text, nullable=False, comment="the outcome in words"),
    Column("cause", label(40), comment="why it was refused; null when accepted"),
    Column("location", label(60), nullable=False, comment="ERR position, seg^seq^field^rep^comp^sub"),
    Column("answered_at", Instant, nullable=False, comment="when the answer was decided; a repeat gets the same"),
    Column("answers", BigInteger, comment="the message whose answer a repeat was given again"),
    Index("ix_messages_repeat", "control_id", "sender"),
    comment="Journal: each HL7 message as it came, and how it ended.",
)

remembered_cancels = Table(
    "remembered_cancels",
    metadata,
    own_id(),
    reference("message_id", "messages.id", comment="the message that said it"),
    Column("at", Instant, nullable=False, index=True, comment="when it came"),
    Column("sender_group", label(500), nullable=False, comment="whose number space the order numbers live in"),
    Column("application", label(250), nullable=False, comment="sending application, whose clock made the stamps"),
    Column("placer_number", label(64), index=True, comment="ORC-2 as sent"),
    Column("filler_number", label(64), index=True, comment="ORC-3 as sent"),
    Column("accession_number", label(16), index=True, comment="accession as sent"),
    Column("stamps", Json, nullable=False, comment="times of the cancel, by application/field"),
    comment="Cancels that came before their order; each stops it for 24 hours.",
)

issuers = Table(
    "issuers",
    metadata,
    own_id(),
    Column("namespace", label(250), nullable=False, comment="HD.1; empty: none"),
    Column("universal_id", label(250), nullable=False, comment="HD.2; empty: none"),
    Column("universal_type", label(20), nullable=False, comment="HD.3; empty: none"),
    UniqueConstraint("namespace", "universal_id", "universal_type"),
    comment="Assigning authorities as seen; row 0 is 'none named'.",
)

patients = Table(
    "patients",
    metadata,
    own_id(),
    Column("values", Json, nullable=False, comment="attributes that belong to the patient, by row key"),
    Column("others", Json, nullable=False, comment="further numbers as sent: [value, namespace, universal id, type]"),
    Column("stamps", Json, nullable=False, comment="latest times said of this record, by application/field"),
    Column("created_at", Instant, nullable=False, comment="when first heard of"),
    Column("updated_at", Instant, nullable=False, comment="when the row was last written"),
    comment="People, one row each.",
)

patient_identifiers = Table(
    "patient_identifiers",
    metadata,
    own_id(),
    reference("patient_id", "patients.id", index=True, comment="whose it is"),
    Column("value", label(64), nullable=False, comment="the identifier as sent"),
    reference("issuer_id", "issuers.id", comment="who gave it"),
    Column("position", Integer, nullable=False, comment="0 is the primary identifier"),
    Column("former", Boolean, nullable=False, comment="merged away; still finds its patient"),
    UniqueConstraint("value", "issuer_id"),
    comment="What a patient is called by whom.",
)

orders = Table(
    "orders",
    metadata,
    own_id(),
    reference("patient_id", "patients.id", index=True, comment="whom it is for"),
    Column("sender_group", label(500), nullable=False, comment="whose number space the order numbers live in"),
    Column("placer_number", label(64), index=True, comment="number the requester gave"),
    reference("placer_issuer_id", "issuers.id", nullable=True, comment="who gave the placer number"),
    Column("filler_number", label(64), index=True, comment="number the department gave"),
    reference("filler_issuer_id", "issuers.id", nullable=True, comment="who gave the filler number"),
    Column("visit", Json, nullable=False, comment="attributes that belong to the visit, by row key"),
    Column("created_at", Instant, nullable=False, comment="when first heard of"),
    Column("updated_at", Instant, nullable=False, comment="time of its last event that changed something"),
    Column("last_event_at", Instant, comment="time of its last event, the next is never earlier; null: updated_at"),
    UniqueConstraint("sender_group", "filler_number", "filler_issuer_id"),
    comment="Imaging service requests.",
)

requested_procedures = Table(
    "requested_procedures",
    metadata,
    own_id(),
    reference("order_id", "orders.id", index=True, comment="the order that asks for it"),
    Column("ordinal", Integer, nullable=False, comment="position in its order, from 1"),
    Column("requested_procedure_id", label(16), nullable=False, index=True, comment="Requested Procedure ID"),
    Column("accession_number", label(16), nullable=False, index=True, comment="Accession Number"),
    reference("accession_issuer_id", "issuers.id", comment="who gave the accession number"),
    Column("study_uid", label(64), nullable=False, index=True, comment="Study Instance UID of its images"),
    Column("generated", Json, nullable=False, comment="names of the values we filled in"),
    UniqueConstraint("order_id", "requested_procedure_id"),
    comment="What was asked for; one study each.",
)

scheduled_steps = Table(
    "scheduled_steps",
    metadata,
    own_id(),
    reference("order_id", "orders.id", index=True, comment="its order"),
    reference("procedure_id", "requested_procedures.id", comment="the procedure it is a part of"),
    reference("patient_id", "patients.id", comment="whom it is for"),
    Column("ordinal", Integer, nullable=False, comment="position in its procedure, from 1"),
    Column("step_id", label(16), nullable=False, comment="Scheduled Procedure Step ID"),
    Column("state", label(16), nullable=False, comment="SCHEDULED, STARTED ...: the states drawn in schema/README.md"),
    Column("held", Text, comment="why no query shows it; null: shown"),
    Column("modality", label(16), comment="Modality; null: unknown, then it is held"),
    Column("start_at", label(14), comment="YYYYMMDDHHMMSS, department wall-clock"),
    Column("values", Json, nullable=False, comment="what the sender said of the step, by row key"),
    Column("generated", Json, nullable=False, comment="names of the values we filled in"),
    Column("stamps", Json, nullable=False, comment="latest times said of this record, by application/field"),
    Column("received_at", Instant, nullable=False, comment="when first heard of"),
    Column("updated_at", Instant, nullable=False, comment="when the row was last written"),
    Column("match_patient_id", label(64), nullable=False, comment="Patient ID, to be matched"),
    Column("match_patient_name", label(200), nullable=False, comment="folded: case and accents removed"),
    Column("match_accession", label(16), nullable=False, comment="Accession Number, to be matched"),
    Column("match_procedure_id", label(16), nullable=False, comment="Requested Procedure ID, to be matched"),
    Column("match_study_uid", label(64), nullable=False, comment="Study Instance UID, to be matched"),
    Column("any_station", Boolean, nullable=False, comment="true: open to every station its modality fits"),
    Column("elements", LargeBinary, nullable=False, comment="encoded worklist elements, spliced into answers"),
    Column("rows_hash", label(64), nullable=False, comment="of the profile rows that made the elements"),
    Column("listed", Boolean, nullable=False, server_default=false(), comment="true: not held, and not ended"),
    UniqueConstraint("procedure_id", "step_id"),
    Index("ix_scheduled_steps_patient", "patient_id"),
    Index("ix_scheduled_steps_step_id", "step_id"),
    Index("ix_scheduled_steps_start", "state", "start_at"),
    Index("ix_scheduled_steps_match_patient_id", "match_patient_id"),
    Index("ix_scheduled_steps_match_patient_name", "match_patient_name"),
    Index("ix_scheduled_steps_match_accession", "match_accession"),
    Index("ix_scheduled_steps_match_procedure_id", "match_procedure_id"),
    Index("ix_scheduled_steps_match_study_uid", "match_study_uid"),
    listed_index("ix_scheduled_steps_listed_start", "start_at", "id"),
    listed_index("ix_scheduled_steps_listed_modality", "modality", "start_at", "id"),
    listed_index("ix_scheduled_steps_listed_patient_id", "match_patient_id"),
    listed_index("ix_scheduled_steps_listed_patient_name", "match_patient_name"),
    comment="What a modality finds on its worklist.",
    postgresql_with={"toast_tuple_target": 8160},  # elements stay in their row as they are; unpacking them costs more
)

scheduled_stations = Table(
    "scheduled_stations",
    metadata,
    reference("step_id", "scheduled_steps.id", comment="the step"),
    Column("ae_title", label(16), nullable=False, comment="AE title of the station"),
    Column("position", Integer, nullable=False, comment="in the sender's order, from 0"),
    PrimaryKeyConstraint("step_id", "ae_title"),
    Index("ix_scheduled_stations_ae_title", "ae_title", "step_id"),
    comment="Stations a step is planned on; none: open.",
)

aliases = Table(
    "aliases",
    metadata,
    own_id(),
    Column("kind", label(16), nullable=False, comment="accession, study_uid, procedure_id, step_id, placer or filler"),
    Column("value", label(64), nullable=False, comment="the former or generated value"),
    reference("issuer_id", "issuers.id", comment="who gave it"),
    reference("order_id", "orders.id", index=True, comment="the order it finds"),
    reference("procedure_id", "requested_procedures.id", nullable=True, comment="the procedure it finds"),
    reference("step_id", "scheduled_steps.id", nullable=True, comment="the step it finds"),
    Column("source", label(40), nullable=False, comment="why it is kept"),
    Index("ix_aliases_value", "value", "kind"),
    comment="Former and generated values that still find what they named.",
)

step_events = Table(
    "step_events",
    metadata,
    own_id(),
    Column("at", Instant, nullable=False, comment="when it happened"),
    reference("order_id", "orders.id", index=True, comment="the order it happened to"),
    reference("procedure_id", "requested_procedures.id", nullable=True, comment="the procedure, where it is about one"),
    reference("step_id", "scheduled_steps.id", nullable=True, comment="the step, where it is about one"),
    Column("kind", label(20), nullable=False, comment="created, updated, state, alias, linked, image, superseded ..."),
    Column("before", label(20), comment="state before"),
    Column("after", label(20), comment="state after"),
    Column(
        "effect",
        label(16),
        nullable=False,
        comment="how the values of the message were taken: update, descriptive, values or empty",
    ),
    Column("actor", label(500), nullable=False, comment="who caused it: hl7:APP|FACILITY, dicom:AE or broker"),
    Column("order_group", Integer, comment="number of the order in its message"),
    reference("message_id", "messages.id", nullable=True, comment="the message that caused it"),
    reference("performed_step_id", "performed_steps.id", nullable=True, comment="the performed step that caused it"),
    reference("instance_id", "instances.id", nullable=True, comment="the object that caused it"),
    Column("detail", Json, nullable=False, comment="further facts"),
    comment="The timeline: each change with its cause and actor.",
)

performed_steps = Table(
    "performed_steps",
    metadata,
    own_id(),
    Column("sop_instance_uid", label(64), nullable=False, unique=True, comment="what N-SET names it by"),
    Column("state", label(16), nullable=False, comment="IN PROGRESS, COMPLETED or DISCONTINUED"),
    Column("performed_id", label(16), nullable=False, comment="Performed Procedure Step ID"),
    Column("patient_number", label(64), nullable=False, comment="Patient ID as sent"),
    Column("patient_issuer", label(64), nullable=False, comment="Issuer of Patient ID as sent"),
    Column("modality", label(16), nullable=False, comment="Modality"),
    Column("station_ae_title", label(16), nullable=False, comment="Performed Station AE Title"),
    Column("started_at", label(14), nullable=False, comment="as the modality said it"),
    Column("ended_at", label(14), comment="as the modality said it; null: not yet"),
    Column("reason", Text, nullable=False, comment="discontinuation reason, code and meaning"),
    Column("series_count", Integer, nullable=False, comment="series named so far"),
    Column("image_count", Integer, nullable=False, comment="images named so far"),
    Column("peer", label(16), nullable=False, comment="calling AE title"),
    Column("created_at", Instant, nullable=False, comment="when the N-CREATE came"),
    Column("updated_at", Instant, nullable=False, comment="when the last N-SET came"),
    comment="Modality performed procedure steps: the facts.",
)

performed_messages = Table(
    "performed_messages",
    metadata,
    own_id(),
    reference("performed_step_id", "performed_steps.id", index=True, comment="the performed step it is about"),
    Column("at", Instant, nullable=False, comment="when it came"),
    Column("command", label(10), nullable=False, comment="N-CREATE or N-SET"),
    Column("peer", label(16), nullable=False, comment="calling AE title"),
    Column("transfer_syntax_uid", label(64), nullable=False, comment="how the dataset is encoded"),
    Column("dataset", LargeBinary, nullable=False, comment="as received"),
    comment="Each N-CREATE and N-SET as received.",
)

performed_links = Table(
    "performed_links",
    metadata,
    own_id(),
    reference("performed_step_id", "performed_steps.id", index=True, comment="what was done"),
    reference("order_id", "orders.id", index=True, comment="the order it was done for"),
    reference("procedure_id", "requested_procedures.id", comment="the procedure it was done for"),
    reference("step_id", "scheduled_steps.id", nullable=True, comment="the step it fulfils; null: the procedure only"),
    Column("how", label(40), nullable=False, comment="which names found it"),
    Column("sure", label(10), nullable=False, comment="certain, likely or proposal"),
    comment="Which performed step belongs to which scheduled step, how it was found and how sure.",
)

studies = Table(
    "studies",
    metadata,
    own_id(),
    Column("study_uid", label(64), nullable=False, comment="Study Instance UID as sent"),
    Column("patient_number", label(64), nullable=False, comment="Patient ID as sent"),
    Column("patient_issuer", label(64), nullable=False, comment="Issuer of Patient ID as sent"),
    Column("accession_number", label(16), nullable=False, comment="Accession Number as sent"),
    Column("created_at", Instant, nullable=False, comment="when its first object came"),
    UniqueConstraint("study_uid", "patient_number", "patient_issuer"),
    comment="Studies as the objects name them; a stray image makes a row of its own.",
)

series = Table(
    "series",
    metadata,
    own_id(),
    reference("study_id", "studies.id", comment="its study"),
    Column("series_uid", label(64), nullable=False, comment="Series Instance UID"),
    Column("modality", label(16), nullable=False, comment="Modality"),
    UniqueConstraint("study_id", "series_uid"),
    comment="Series as the objects name them.",
)

instances = Table(
    "instances",
    metadata,
    own_id(),
    reference("series_id", "series.id", index=True, comment="its series"),
    Column("sop_instance_uid", label(64), nullable=False, unique=True, comment="SOP Instance UID"),
    Column("sop_class_uid", label(64), nullable=False, comment="SOP Class UID"),
    Column("transfer_syntax_uid", label(64), nullable=False, comment="how the dataset is encoded"),
    Column("digest", label(64), nullable=False, comment="SHA-256 of the dataset as received"),
    Column("store", label(40), nullable=False, comment="which store holds it"),
    Column("path", label(400), nullable=False, comment="file, below the store"),
    Column("offset", BigInteger, nullable=False, comment="first byte in the file"),
    Column("length", BigInteger, nullable=False, comment="bytes in the file"),
    Column("received_at", Instant, nullable=False, comment="when it was safe"),
    Column("peer", label(16), nullable=False, comment="calling AE title"),
    reference("order_id", "orders.id", nullable=True, index=True, comment="the order it belongs to; null: not linked"),
    reference("procedure_id", "requested_procedures.id", nullable=True, comment="the procedure it belongs to"),
    reference("step_id", "scheduled_steps.id", nullable=True, comment="the step it belongs to"),
    Column("link_how", label(40), nullable=False, comment="which names found the order; empty: none"),
    Column("link_sure", label(10), nullable=False, comment="certain, likely or proposal; empty: none"),
    comment="Stored objects, where they lie and what they belong to.",
)

instance_conflicts = Table(
    "instance_conflicts",
    metadata,
    own_id(),
    reference("instance_id", "instances.id", index=True, comment="the object that has this UID"),
    Column("digest", label(64), nullable=False, comment="SHA-256 of these other bytes"),
    Column("store", label(40), nullable=False, comment="which store holds it"),
    Column("path", label(400), nullable=False, comment="file, below the store"),
    Column("offset", BigInteger, nullable=False, comment="first byte in the file"),
    Column("length", BigInteger, nullable=False, comment="bytes in the file"),
    Column("received_at", Instant, nullable=False, comment="when it was safe"),
    Column("peer", label(16), nullable=False, comment="calling AE title"),
    UniqueConstraint("instance_id", "digest"),
    comment="Objects that came under a known SOP Instance UID with other bytes: kept aside.",
)

alarms = Table(
    "alarms",
    metadata,
    own_id(),
    Column("kind", label(40), nullable=False, comment="what is wrong"),
    Column("subject", label(200), nullable=False, comment="what it is about: ids of ours, accession numbers, UIDs"),
    reference("order_id", "orders.id", nullable=True, index=True, comment="the order it is about"),
    Column("detail", Text, nullable=False, comment="the latest occurrence in words"),
    Column("first_at", Instant, nullable=False, comment="first occurrence"),
    Column("last_at", Instant, nullable=False, comment="latest occurrence"),
    Column("count", Integer, nullable=False, comment="occurrences since it was opened"),
    Column("acknowledged_at", Instant, comment="when a person closed it; null: open"),
    Column("acknowledged_by", label(64), comment="who closed it"),
    Index(
        "ix_alarms_open",
        "kind",
        "subject",
        sqlite_where=text("acknowledged_at IS NULL"),
        postgresql_where=text("acknowledged_at IS NULL"),
        unique=True,
    ),
    comment="What a person must look at; one open row for each kind and subject.",
)
