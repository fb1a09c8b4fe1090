-- The whole database as one file, in PostgreSQL's words. SQLite has the same tables and columns.
-- Made from broker/store/tables.py by `python -m broker.store.schema_files`; do not edit.
-- What each table is for, and how states change, is told in README.md beside this file.
--
-- Instants are UTC text (2026-03-02T09:15:00.000000Z), scheduled times are DICOM text (YYYYMMDDHHMMSS),
-- JSON is text. The numbers of rows come from id_blocks.

-- Which database this is; the identity.json of a data folder names it.
CREATE TABLE database_identity (
    row INTEGER NOT NULL,  -- always 1: there is one row
    identity VARCHAR(36) COLLATE "C" NOT NULL,  -- a random UUID; a copy of the database keeps it
    made_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when it was given
    CONSTRAINT pk_database_identity PRIMARY KEY (row)
);

-- Next free number of each counter; processes take blocks from it.
CREATE TABLE id_blocks (
    name VARCHAR(40) COLLATE "C" NOT NULL,  -- the counter: a table, or accession, procedure_number, step_number
    next BIGINT NOT NULL,  -- first number that no process has taken
    CONSTRAINT pk_id_blocks PRIMARY KEY (name)
);

-- Assigning authorities as seen; row 0 is 'none named'.
CREATE TABLE issuers (
    id BIGINT NOT NULL,  -- our own number
    namespace VARCHAR(250) COLLATE "C" NOT NULL,  -- HD.1; empty: none
    universal_id VARCHAR(250) COLLATE "C" NOT NULL,  -- HD.2; empty: none
    universal_type VARCHAR(20) COLLATE "C" NOT NULL,  -- HD.3; empty: none
    CONSTRAINT pk_issuers PRIMARY KEY (id),
    CONSTRAINT uq_issuers_namespace_universal_id_universal_type UNIQUE (namespace, universal_id, universal_type)
);

-- Journal: each HL7 message as it came, and how it ended.
CREATE TABLE messages (
    id BIGINT NOT NULL,  -- our own number
    received_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when its last byte came
    peer VARCHAR(64) COLLATE "C" NOT NULL,  -- address of the sending machine
    sender VARCHAR(500) COLLATE "C" NOT NULL,  -- sending application|facility
    receiver VARCHAR(500) COLLATE "C" NOT NULL,  -- receiving application|facility
    message_type VARCHAR(20) COLLATE "C" NOT NULL,  -- MSH-9 as type^event
    control_id VARCHAR(200) COLLATE "C" NOT NULL,  -- MSH-10
    version VARCHAR(60) COLLATE "C" NOT NULL,  -- MSH-12
    processing_id VARCHAR(20) COLLATE "C" NOT NULL,  -- MSH-11
    charset VARCHAR(60) COLLATE "C" NOT NULL,  -- MSH-18, first repetition
    message_time VARCHAR(27) COLLATE "C",  -- MSH-7 as UTC; in the hour that comes twice, the earlier
    digest VARCHAR(64) COLLATE "C" NOT NULL,  -- SHA-256 of the raw bytes
    raw BYTEA NOT NULL,  -- the bytes as they came, without framing
    outcome VARCHAR(20) COLLATE "C" NOT NULL,  -- created, updated, cancelled, unchanged, duplicate, superseded, held, ignored, rejected or quarantined
    reason TEXT NOT NULL,  -- the outcome in words
    cause VARCHAR(40) COLLATE "C",  -- why it was refused; null when accepted
    location VARCHAR(60) COLLATE "C" NOT NULL,  -- ERR position, seg^seq^field^rep^comp^sub
    answered_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when the answer was decided; a repeat gets the same
    answers BIGINT,  -- the message whose answer a repeat was given again
    CONSTRAINT pk_messages PRIMARY KEY (id)
);
CREATE INDEX ix_messages_outcome ON messages (outcome);
CREATE INDEX ix_messages_received_at ON messages (received_at);
CREATE INDEX ix_messages_repeat ON messages (control_id, sender);

-- People, one row each.
CREATE TABLE patients (
    id BIGINT NOT NULL,  -- our own number
    values TEXT NOT NULL,  -- attributes that belong to the patient, by row key
    others TEXT NOT NULL,  -- further numbers as sent: [value, namespace, universal id, type]
    stamps TEXT NOT NULL,  -- latest times said of this record, by application/field
    created_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when first heard of
    updated_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when the row was last written
    CONSTRAINT pk_patients PRIMARY KEY (id)
);

-- Modality performed procedure steps: the facts.
CREATE TABLE performed_steps (
    id BIGINT NOT NULL,  -- our own number
    sop_instance_uid VARCHAR(64) COLLATE "C" NOT NULL,  -- what N-SET names it by
    state VARCHAR(16) COLLATE "C" NOT NULL,  -- IN PROGRESS, COMPLETED or DISCONTINUED
    performed_id VARCHAR(16) COLLATE "C" NOT NULL,  -- Performed Procedure Step ID
    patient_number VARCHAR(64) COLLATE "C" NOT NULL,  -- Patient ID as sent
    patient_issuer VARCHAR(64) COLLATE "C" NOT NULL,  -- Issuer of Patient ID as sent
    modality VARCHAR(16) COLLATE "C" NOT NULL,  -- Modality
    station_ae_title VARCHAR(16) COLLATE "C" NOT NULL,  -- Performed Station AE Title
    started_at VARCHAR(14) COLLATE "C" NOT NULL,  -- as the modality said it
    ended_at VARCHAR(14) COLLATE "C",  -- as the modality said it; null: not yet
    reason TEXT NOT NULL,  -- discontinuation reason, code and meaning
    series_count INTEGER NOT NULL,  -- series named so far
    image_count INTEGER NOT NULL,  -- images named so far
    peer VARCHAR(16) COLLATE "C" NOT NULL,  -- calling AE title
    created_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when the N-CREATE came
    updated_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when the last N-SET came
    CONSTRAINT pk_performed_steps PRIMARY KEY (id),
    CONSTRAINT uq_performed_steps_sop_instance_uid UNIQUE (sop_instance_uid)
);

-- Studies as the objects name them; a stray image makes a row of its own.
CREATE TABLE studies (
    id BIGINT NOT NULL,  -- our own number
    study_uid VARCHAR(64) COLLATE "C" NOT NULL,  -- Study Instance UID as sent
    patient_number VARCHAR(64) COLLATE "C" NOT NULL,  -- Patient ID as sent
    patient_issuer VARCHAR(64) COLLATE "C" NOT NULL,  -- Issuer of Patient ID as sent
    accession_number VARCHAR(16) COLLATE "C" NOT NULL,  -- Accession Number as sent
    created_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when its first object came
    CONSTRAINT pk_studies PRIMARY KEY (id),
    CONSTRAINT uq_studies_study_uid_patient_number_patient_issuer UNIQUE (study_uid, patient_number, patient_issuer)
);

-- Imaging service requests.
CREATE TABLE orders (
    id BIGINT NOT NULL,  -- our own number
    patient_id BIGINT NOT NULL,  -- whom it is for
    sender_group VARCHAR(500) COLLATE "C" NOT NULL,  -- whose number space the order numbers live in
    placer_number VARCHAR(64) COLLATE "C",  -- number the requester gave
    placer_issuer_id BIGINT,  -- who gave the placer number
    filler_number VARCHAR(64) COLLATE "C",  -- number the department gave
    filler_issuer_id BIGINT,  -- who gave the filler number
    visit TEXT NOT NULL,  -- attributes that belong to the visit, by row key
    created_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when first heard of
    updated_at VARCHAR(27) COLLATE "C" NOT NULL,  -- time of its last event that changed something
    last_event_at VARCHAR(27) COLLATE "C",  -- time of its last event, the next is never earlier; null: updated_at
    CONSTRAINT pk_orders PRIMARY KEY (id),
    CONSTRAINT uq_orders_sender_group_filler_number_filler_issuer_id UNIQUE (sender_group, filler_number, filler_issuer_id),
    CONSTRAINT fk_orders_patient_id FOREIGN KEY(patient_id) REFERENCES patients (id),
    CONSTRAINT fk_orders_placer_issuer_id FOREIGN KEY(placer_issuer_id) REFERENCES issuers (id),
    CONSTRAINT fk_orders_filler_issuer_id FOREIGN KEY(filler_issuer_id) REFERENCES issuers (id)
);
CREATE INDEX ix_orders_filler_number ON orders (filler_number);
CREATE INDEX ix_orders_patient_id ON orders (patient_id);
CREATE INDEX ix_orders_placer_number ON orders (placer_number);

-- What a patient is called by whom.
CREATE TABLE patient_identifiers (
    id BIGINT NOT NULL,  -- our own number
    patient_id BIGINT NOT NULL,  -- whose it is
    value VARCHAR(64) COLLATE "C" NOT NULL,  -- the identifier as sent
    issuer_id BIGINT NOT NULL,  -- who gave it
    position INTEGER NOT NULL,  -- 0 is the primary identifier
    former BOOLEAN NOT NULL,  -- merged away; still finds its patient
    CONSTRAINT pk_patient_identifiers PRIMARY KEY (id),
    CONSTRAINT uq_patient_identifiers_value_issuer_id UNIQUE (value, issuer_id),
    CONSTRAINT fk_patient_identifiers_patient_id FOREIGN KEY(patient_id) REFERENCES patients (id),
    CONSTRAINT fk_patient_identifiers_issuer_id FOREIGN KEY(issuer_id) REFERENCES issuers (id)
);
CREATE INDEX ix_patient_identifiers_patient_id ON patient_identifiers (patient_id);

-- Each N-CREATE and N-SET as received.
CREATE TABLE performed_messages (
    id BIGINT NOT NULL,  -- our own number
    performed_step_id BIGINT NOT NULL,  -- the performed step it is about
    at VARCHAR(27) COLLATE "C" NOT NULL,  -- when it came
    command VARCHAR(10) COLLATE "C" NOT NULL,  -- N-CREATE or N-SET
    peer VARCHAR(16) COLLATE "C" NOT NULL,  -- calling AE title
    transfer_syntax_uid VARCHAR(64) COLLATE "C" NOT NULL,  -- how the dataset is encoded
    dataset BYTEA NOT NULL,  -- as received
    CONSTRAINT pk_performed_messages PRIMARY KEY (id),
    CONSTRAINT fk_performed_messages_performed_step_id FOREIGN KEY(performed_step_id) REFERENCES performed_steps (id)
);
CREATE INDEX ix_performed_messages_performed_step_id ON performed_messages (performed_step_id);

-- Cancels that came before their order; each stops it for 24 hours.
CREATE TABLE remembered_cancels (
    id BIGINT NOT NULL,  -- our own number
    message_id BIGINT NOT NULL,  -- the message that said it
    at VARCHAR(27) COLLATE "C" NOT NULL,  -- when it came
    sender_group VARCHAR(500) COLLATE "C" NOT NULL,  -- whose number space the order numbers live in
    application VARCHAR(250) COLLATE "C" NOT NULL,  -- sending application, whose clock made the stamps
    placer_number VARCHAR(64) COLLATE "C",  -- ORC-2 as sent
    filler_number VARCHAR(64) COLLATE "C",  -- ORC-3 as sent
    accession_number VARCHAR(16) COLLATE "C",  -- accession as sent
    stamps TEXT NOT NULL,  -- times of the cancel, by application/field
    CONSTRAINT pk_remembered_cancels PRIMARY KEY (id),
    CONSTRAINT fk_remembered_cancels_message_id FOREIGN KEY(message_id) REFERENCES messages (id)
);
CREATE INDEX ix_remembered_cancels_accession_number ON remembered_cancels (accession_number);
CREATE INDEX ix_remembered_cancels_at ON remembered_cancels (at);
CREATE INDEX ix_remembered_cancels_filler_number ON remembered_cancels (filler_number);
CREATE INDEX ix_remembered_cancels_placer_number ON remembered_cancels (placer_number);

-- Series as the objects name them.
CREATE TABLE series (
    id BIGINT NOT NULL,  -- our own number
    study_id BIGINT NOT NULL,  -- its study
    series_uid VARCHAR(64) COLLATE "C" NOT NULL,  -- Series Instance UID
    modality VARCHAR(16) COLLATE "C" NOT NULL,  -- Modality
    CONSTRAINT pk_series PRIMARY KEY (id),
    CONSTRAINT uq_series_study_id_series_uid UNIQUE (study_id, series_uid),
    CONSTRAINT fk_series_study_id FOREIGN KEY(study_id) REFERENCES studies (id)
);

-- What a person must look at; one open row for each kind and subject.
CREATE TABLE alarms (
    id BIGINT NOT NULL,  -- our own number
    kind VARCHAR(40) COLLATE "C" NOT NULL,  -- what is wrong
    subject VARCHAR(200) COLLATE "C" NOT NULL,  -- what it is about: ids of ours, accession numbers, UIDs
    order_id BIGINT,  -- the order it is about
    detail TEXT NOT NULL,  -- the latest occurrence in words
    first_at VARCHAR(27) COLLATE "C" NOT NULL,  -- first occurrence
    last_at VARCHAR(27) COLLATE "C" NOT NULL,  -- latest occurrence
    count INTEGER NOT NULL,  -- occurrences since it was opened
    acknowledged_at VARCHAR(27) COLLATE "C",  -- when a person closed it; null: open
    acknowledged_by VARCHAR(64) COLLATE "C",  -- who closed it
    CONSTRAINT pk_alarms PRIMARY KEY (id),
    CONSTRAINT fk_alarms_order_id FOREIGN KEY(order_id) REFERENCES orders (id)
);
CREATE UNIQUE INDEX ix_alarms_open ON alarms (kind, subject) WHERE acknowledged_at IS NULL;
CREATE INDEX ix_alarms_order_id ON alarms (order_id);

-- What was asked for; one study each.
CREATE TABLE requested_procedures (
    id BIGINT NOT NULL,  -- our own number
    order_id BIGINT NOT NULL,  -- the order that asks for it
    ordinal INTEGER NOT NULL,  -- position in its order, from 1
    requested_procedure_id VARCHAR(16) COLLATE "C" NOT NULL,  -- Requested Procedure ID
    accession_number VARCHAR(16) COLLATE "C" NOT NULL,  -- Accession Number
    accession_issuer_id BIGINT NOT NULL,  -- who gave the accession number
    study_uid VARCHAR(64) COLLATE "C" NOT NULL,  -- Study Instance UID of its images
    generated TEXT NOT NULL,  -- names of the values we filled in
    CONSTRAINT pk_requested_procedures PRIMARY KEY (id),
    CONSTRAINT uq_requested_procedures_order_id_requested_procedure_id UNIQUE (order_id, requested_procedure_id),
    CONSTRAINT fk_requested_procedures_order_id FOREIGN KEY(order_id) REFERENCES orders (id),
    CONSTRAINT fk_requested_procedures_accession_issuer_id FOREIGN KEY(accession_issuer_id) REFERENCES issuers (id)
);
CREATE INDEX ix_requested_procedures_accession_number ON requested_procedures (accession_number);
CREATE INDEX ix_requested_procedures_order_id ON requested_procedures (order_id);
CREATE INDEX ix_requested_procedures_requested_procedure_id ON requested_procedures (requested_procedure_id);
CREATE INDEX ix_requested_procedures_study_uid ON requested_procedures (study_uid);

-- What a modality finds on its worklist.
CREATE TABLE scheduled_steps (
    id BIGINT NOT NULL,  -- our own number
    order_id BIGINT NOT NULL,  -- its order
    procedure_id BIGINT NOT NULL,  -- the procedure it is a part of
    patient_id BIGINT NOT NULL,  -- whom it is for
    ordinal INTEGER NOT NULL,  -- position in its procedure, from 1
    step_id VARCHAR(16) COLLATE "C" NOT NULL,  -- Scheduled Procedure Step ID
    state VARCHAR(16) COLLATE "C" NOT NULL,  -- SCHEDULED, STARTED ...: the states drawn in schema/README.md
    held TEXT,  -- why no query shows it; null: shown
    modality VARCHAR(16) COLLATE "C",  -- Modality; null: unknown, then it is held
    start_at VARCHAR(14) COLLATE "C",  -- YYYYMMDDHHMMSS, department wall-clock
    values TEXT NOT NULL,  -- what the sender said of the step, by row key
    generated TEXT NOT NULL,  -- names of the values we filled in
    stamps TEXT NOT NULL,  -- latest times said of this record, by application/field
    received_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when first heard of
    updated_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when the row was last written
    match_patient_id VARCHAR(64) COLLATE "C" NOT NULL,  -- Patient ID, to be matched
    match_patient_name VARCHAR(200) COLLATE "C" NOT NULL,  -- folded: case and accents removed
    match_accession VARCHAR(16) COLLATE "C" NOT NULL,  -- Accession Number, to be matched
    match_procedure_id VARCHAR(16) COLLATE "C" NOT NULL,  -- Requested Procedure ID, to be matched
    match_study_uid VARCHAR(64) COLLATE "C" NOT NULL,  -- Study Instance UID, to be matched
    any_station BOOLEAN NOT NULL,  -- true: open to every station its modality fits
    elements BYTEA NOT NULL,  -- encoded worklist elements, spliced into answers
    rows_hash VARCHAR(64) COLLATE "C" NOT NULL,  -- of the profile rows that made the elements
    listed BOOLEAN DEFAULT false NOT NULL,  -- true: not held, and not ended
    CONSTRAINT pk_scheduled_steps PRIMARY KEY (id),
    CONSTRAINT uq_scheduled_steps_procedure_id_step_id UNIQUE (procedure_id, step_id),
    CONSTRAINT fk_scheduled_steps_order_id FOREIGN KEY(order_id) REFERENCES orders (id),
    CONSTRAINT fk_scheduled_steps_procedure_id FOREIGN KEY(procedure_id) REFERENCES requested_procedures (id),
    CONSTRAINT fk_scheduled_steps_patient_id FOREIGN KEY(patient_id) REFERENCES patients (id)
)
 WITH (toast_tuple_target = 8160);
CREATE INDEX ix_scheduled_steps_listed_modality ON scheduled_steps (modality, start_at, id) WHERE listed;
CREATE INDEX ix_scheduled_steps_listed_patient_id ON scheduled_steps (match_patient_id) WHERE listed;
CREATE INDEX ix_scheduled_steps_listed_patient_name ON scheduled_steps (match_patient_name) WHERE listed;
CREATE INDEX ix_scheduled_steps_listed_start ON scheduled_steps (start_at, id) WHERE listed;
CREATE INDEX ix_scheduled_steps_match_accession ON scheduled_steps (match_accession);
CREATE INDEX ix_scheduled_steps_match_patient_id ON scheduled_steps (match_patient_id);
CREATE INDEX ix_scheduled_steps_match_patient_name ON scheduled_steps (match_patient_name);
CREATE INDEX ix_scheduled_steps_match_procedure_id ON scheduled_steps (match_procedure_id);
CREATE INDEX ix_scheduled_steps_match_study_uid ON scheduled_steps (match_study_uid);
CREATE INDEX ix_scheduled_steps_order_id ON scheduled_steps (order_id);
CREATE INDEX ix_scheduled_steps_patient ON scheduled_steps (patient_id);
CREATE INDEX ix_scheduled_steps_start ON scheduled_steps (state, start_at);
CREATE INDEX ix_scheduled_steps_step_id ON scheduled_steps (step_id);

-- Former and generated values that still find what they named.
CREATE TABLE aliases (
    id BIGINT NOT NULL,  -- our own number
    kind VARCHAR(16) COLLATE "C" NOT NULL,  -- accession, study_uid, procedure_id, step_id, placer or filler
    value VARCHAR(64) COLLATE "C" NOT NULL,  -- the former or generated value
    issuer_id BIGINT NOT NULL,  -- who gave it
    order_id BIGINT NOT NULL,  -- the order it finds
    procedure_id BIGINT,  -- the procedure it finds
    step_id BIGINT,  -- the step it finds
    source VARCHAR(40) COLLATE "C" NOT NULL,  -- why it is kept
    CONSTRAINT pk_aliases PRIMARY KEY (id),
    CONSTRAINT fk_aliases_issuer_id FOREIGN KEY(issuer_id) REFERENCES issuers (id),
    CONSTRAINT fk_aliases_order_id FOREIGN KEY(order_id) REFERENCES orders (id),
    CONSTRAINT fk_aliases_procedure_id FOREIGN KEY(procedure_id) REFERENCES requested_procedures (id),
    CONSTRAINT fk_aliases_step_id FOREIGN KEY(step_id) REFERENCES scheduled_steps (id)
);
CREATE INDEX ix_aliases_order_id ON aliases (order_id);
CREATE INDEX ix_aliases_value ON aliases (value, kind);

-- Stored objects, where they lie and what they belong to.
CREATE TABLE instances (
    id BIGINT NOT NULL,  -- our own number
    series_id BIGINT NOT NULL,  -- its series
    sop_instance_uid VARCHAR(64) COLLATE "C" NOT NULL,  -- SOP Instance UID
    sop_class_uid VARCHAR(64) COLLATE "C" NOT NULL,  -- SOP Class UID
    transfer_syntax_uid VARCHAR(64) COLLATE "C" NOT NULL,  -- how the dataset is encoded
    digest VARCHAR(64) COLLATE "C" NOT NULL,  -- SHA-256 of the dataset as received
    store VARCHAR(40) COLLATE "C" NOT NULL,  -- which store holds it
    path VARCHAR(400) COLLATE "C" NOT NULL,  -- file, below the store
    "offset" BIGINT NOT NULL,  -- first byte in the file
    length BIGINT NOT NULL,  -- bytes in the file
    received_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when it was safe
    peer VARCHAR(16) COLLATE "C" NOT NULL,  -- calling AE title
    order_id BIGINT,  -- the order it belongs to; null: not linked
    procedure_id BIGINT,  -- the procedure it belongs to
    step_id BIGINT,  -- the step it belongs to
    link_how VARCHAR(40) COLLATE "C" NOT NULL,  -- which names found the order; empty: none
    link_sure VARCHAR(10) COLLATE "C" NOT NULL,  -- certain, likely or proposal; empty: none
    CONSTRAINT pk_instances PRIMARY KEY (id),
    CONSTRAINT fk_instances_series_id FOREIGN KEY(series_id) REFERENCES series (id),
    CONSTRAINT uq_instances_sop_instance_uid UNIQUE (sop_instance_uid),
    CONSTRAINT fk_instances_order_id FOREIGN KEY(order_id) REFERENCES orders (id),
    CONSTRAINT fk_instances_procedure_id FOREIGN KEY(procedure_id) REFERENCES requested_procedures (id),
    CONSTRAINT fk_instances_step_id FOREIGN KEY(step_id) REFERENCES scheduled_steps (id)
);
CREATE INDEX ix_instances_order_id ON instances (order_id);
CREATE INDEX ix_instances_series_id ON instances (series_id);

-- Which performed step belongs to which scheduled step, how it was found and how sure.
CREATE TABLE performed_links (
    id BIGINT NOT NULL,  -- our own number
    performed_step_id BIGINT NOT NULL,  -- what was done
    order_id BIGINT NOT NULL,  -- the order it was done for
    procedure_id BIGINT NOT NULL,  -- the procedure it was done for
    step_id BIGINT,  -- the step it fulfils; null: the procedure only
    how VARCHAR(40) COLLATE "C" NOT NULL,  -- which names found it
    sure VARCHAR(10) COLLATE "C" NOT NULL,  -- certain, likely or proposal
    CONSTRAINT pk_performed_links PRIMARY KEY (id),
    CONSTRAINT fk_performed_links_performed_step_id FOREIGN KEY(performed_step_id) REFERENCES performed_steps (id),
    CONSTRAINT fk_performed_links_order_id FOREIGN KEY(order_id) REFERENCES orders (id),
    CONSTRAINT fk_performed_links_procedure_id FOREIGN KEY(procedure_id) REFERENCES requested_procedures (id),
    CONSTRAINT fk_performed_links_step_id FOREIGN KEY(step_id) REFERENCES scheduled_steps (id)
);
CREATE INDEX ix_performed_links_order_id ON performed_links (order_id);
CREATE INDEX ix_performed_links_performed_step_id ON performed_links (performed_step_id);

-- Stations a step is planned on; none: open.
CREATE TABLE scheduled_stations (
    step_id BIGINT NOT NULL,  -- the step
    ae_title VARCHAR(16) COLLATE "C" NOT NULL,  -- AE title of the station
    position INTEGER NOT NULL,  -- in the sender's order, from 0
    CONSTRAINT pk_scheduled_stations PRIMARY KEY (step_id, ae_title),
    CONSTRAINT fk_scheduled_stations_step_id FOREIGN KEY(step_id) REFERENCES scheduled_steps (id)
);
CREATE INDEX ix_scheduled_stations_ae_title ON scheduled_stations (ae_title, step_id);

-- Objects that came under a known SOP Instance UID with other bytes: kept aside.
CREATE TABLE instance_conflicts (
    id BIGINT NOT NULL,  -- our own number
    instance_id BIGINT NOT NULL,  -- the object that has this UID
    digest VARCHAR(64) COLLATE "C" NOT NULL,  -- SHA-256 of these other bytes
    store VARCHAR(40) COLLATE "C" NOT NULL,  -- which store holds it
    path VARCHAR(400) COLLATE "C" NOT NULL,  -- file, below the store
    "offset" BIGINT NOT NULL,  -- first byte in the file
    length BIGINT NOT NULL,  -- bytes in the file
    received_at VARCHAR(27) COLLATE "C" NOT NULL,  -- when it was safe
    peer VARCHAR(16) COLLATE "C" NOT NULL,  -- calling AE title
    CONSTRAINT pk_instance_conflicts PRIMARY KEY (id),
    CONSTRAINT uq_instance_conflicts_instance_id_digest UNIQUE (instance_id, digest),
    CONSTRAINT fk_instance_conflicts_instance_id FOREIGN KEY(instance_id) REFERENCES instances (id)
);
CREATE INDEX ix_instance_conflicts_instance_id ON instance_conflicts (instance_id);

-- The timeline: each change with its cause and actor.
CREATE TABLE step_events (
    id BIGINT NOT NULL,  -- our own number
    at VARCHAR(27) COLLATE "C" NOT NULL,  -- when it happened
    order_id BIGINT NOT NULL,  -- the order it happened to
    procedure_id BIGINT,  -- the procedure, where it is about one
    step_id BIGINT,  -- the step, where it is about one
    kind VARCHAR(20) COLLATE "C" NOT NULL,  -- created, updated, state, alias, linked, image, superseded ...
    before VARCHAR(20) COLLATE "C",  -- state before
    after VARCHAR(20) COLLATE "C",  -- state after
    effect VARCHAR(16) COLLATE "C" NOT NULL,  -- how the values of the message were taken: update, descriptive, values or empty
    actor VARCHAR(500) COLLATE "C" NOT NULL,  -- who caused it: hl7:APP|FACILITY, dicom:AE or broker
    order_group INTEGER,  -- number of the order in its message
    message_id BIGINT,  -- the message that caused it
    performed_step_id BIGINT,  -- the performed step that caused it
    instance_id BIGINT,  -- the object that caused it
    detail TEXT NOT NULL,  -- further facts
    CONSTRAINT pk_step_events PRIMARY KEY (id),
    CONSTRAINT fk_step_events_order_id FOREIGN KEY(order_id) REFERENCES orders (id),
    CONSTRAINT fk_step_events_procedure_id FOREIGN KEY(procedure_id) REFERENCES requested_procedures (id),
    CONSTRAINT fk_step_events_step_id FOREIGN KEY(step_id) REFERENCES scheduled_steps (id),
    CONSTRAINT fk_step_events_message_id FOREIGN KEY(message_id) REFERENCES messages (id),
    CONSTRAINT fk_step_events_performed_step_id FOREIGN KEY(performed_step_id) REFERENCES performed_steps (id),
    CONSTRAINT fk_step_events_instance_id FOREIGN KEY(instance_id) REFERENCES instances (id)
);
CREATE INDEX ix_step_events_order_id ON step_events (order_id);

-- The issuer of identifiers whose sender names none.
INSERT INTO issuers (id, namespace, universal_id, universal_type) VALUES (0, '', '', '');
