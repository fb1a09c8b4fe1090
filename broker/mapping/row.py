"""One attribute row: where an attribute comes from and stands, how it matches and how it is returned; checked here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.datadict import keyword_dict as known_keywords

from broker.dataset.charsets import TEXT
from broker.errors import SettingsError
from broker.mapping import fit
from broker.mapping.paths import Fact, Path, Source, parse_source
from broker.mapping.units import UNITS

STEP = "ScheduledProcedureStepSequence"
STATION = f"{STEP}.ScheduledStationAETitle"
START_DATE = f"{STEP}.ScheduledProcedureStepStartDate"
START_TIME = f"{STEP}.ScheduledProcedureStepStartTime"
MODALITY = f"{STEP}.Modality"
STEP_ID = f"{STEP}.ScheduledProcedureStepID"
STATUS = f"{STEP}.ScheduledProcedureStepStatus"
PERFORMING_PHYSICIAN = f"{STEP}.ScheduledPerformingPhysicianName"
PATIENT_NAME = "PatientName"
PATIENT_ID = "PatientID"
PLACER = "PlacerOrderNumberImagingServiceRequest"
FILLER = "FillerOrderNumberImagingServiceRequest"
ACCESSION = "AccessionNumber"
PROCEDURE_ID = "RequestedProcedureID"
STUDY_UID = "StudyInstanceUID"

IDENTITY = frozenset({PATIENT_ID, PLACER, FILLER, ACCESSION, PROCEDURE_ID, STUDY_UID, STEP_ID})
"""Rows that say where identifiers stand in a message; their values are typed fields of a request, not changes."""
REQUIRED = frozenset({STEP, STATION, START_DATE, START_TIME, MODALITY, PERFORMING_PHYSICIAN, PATIENT_NAME, PATIENT_ID})
"""Required matching keys (PS3.4 Table K.6-1)."""
PROTECTED: Mapping[str, str] = {
    **dict.fromkeys(REQUIRED | {STEP_ID, PROCEDURE_ID, STUDY_UID}, "1"), PERFORMING_PHYSICIAN: "2",
}  # fmt: skip
"""Rows that cannot be removed (required keys and type 1 attributes), with their return type (PS3.4 Table K.6-1)."""

Transform = Literal["text", "lines", "upper", "number", "quantity", "date", "time", "xpn", "xcn", "cnn", "code",
                    "issuer", "address", "phone"]  # fmt: skip
Take = Literal["first", "all", "every"]
Match = Literal["none", "single", "name", "wildcard", "range", "datetime", "uid_list", "sequence"]
Returns = Literal["1", "1C", "2", "2C", "3"]
TooLong = Literal["reject", "cut", "drop"]
TRANSFORMS: tuple[str, ...] = get_args(Transform)
TAKES: tuple[str, ...] = get_args(Take)
MATCHES: tuple[str, ...] = get_args(Match)
RETURNS: tuple[str, ...] = get_args(Returns)
TOO_LONG: tuple[str, ...] = get_args(TooLong)

_MATCH_VRS = {
    "name": {"PN"},
    "wildcard": {"AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"},
    "range": {"DA", "TM", "DT"},
    "datetime": {"DA", "TM"},
    "uid_list": {"UI"},
    "sequence": {"SQ"},
}
_TRANSFORM_VRS = {
    "lines": TEXT - {"PN"},
    "number": {"DS", "IS", "FD", "FL", *fit.NUMBERS},
    "quantity": {"DS", "IS", "FD", "FL", *fit.NUMBERS},
    "date": {"DA"},
    "time": {"TM"},
    "xpn": {"PN"},
    "xcn": {"PN"},
    "cnn": {"PN"},
    "code": {"SQ"},
    "issuer": {"SQ"},
    "address": TEXT - {"PN"},
    "phone": TEXT - {"PN"},
}
_CODE_MEMBERS = ("CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning", "LongCodeValue")
_ISSUER_MEMBERS = ("LocalNamespaceEntityID", "UniversalEntityID", "UniversalEntityIDType")
_NUMBER_MEMBERS = ("PatientID", "IssuerOfPatientID", "TypeOfPatientID", "IssuerOfPatientIDQualifiersSequence")
_QUALIFIER_MEMBERS = ("UniversalEntityID", "UniversalEntityIDType")

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")
_IDENTIFIER_LEVEL = frozenset({0x00080005, 0x00080201})


@dataclass(frozen=True, slots=True)
class RowSpec:
    """A row as the profile writes it; `build_row` checks it."""

    source: tuple[str, ...] = ()
    take: str = "first"
    follows: str = ""
    transform: str = "text"
    unit: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    match: str = "none"
    returns: str = "3"
    too_long: str = ""
    title: str = ""
    vr: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """A checked row.

    key      keywords (or tags of 8 hexadecimal digits) joined by dots, from the root of a worklist item
    levels   the same as tags; the last one is the attribute's own
    vm       as the dictionary has it: "1", "1-n" ...
    owner    whose value it is: "patient", "visit" or "step"
    members  of a sequence whose items a transform makes: what an item may hold, ascending
    paths    the sources in a message; facts: those of the house
    keyword  the last part of the key: how an item of a sequence names it
    multi    may hold several values (of text), so that its value is a list
    """

    key: str
    levels: tuple[int, ...]
    vr: str
    vm: str
    sources: tuple[Source, ...] = ()
    take: str = "first"
    follows: str = ""
    transform: str = "text"
    unit: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    match: str = "none"
    returns: str = "3"
    too_long: str = "cut"
    title: str = ""
    owner: str = "step"
    members: tuple[Row, ...] = ()
    paths: tuple[Path, ...] = field(init=False)
    facts: tuple[Fact, ...] = field(init=False)
    tag: int = field(init=False)
    keyword: str = field(init=False)
    multi: bool = field(init=False)

    def __post_init__(self) -> None:
        # Computed once: they are asked for with every message.
        object.__setattr__(self, "paths", tuple(s for s in self.sources if isinstance(s, Path)))
        object.__setattr__(self, "facts", tuple(s for s in self.sources if isinstance(s, Fact)))
        object.__setattr__(self, "tag", self.levels[-1])
        object.__setattr__(self, "keyword", self.key.rpartition(".")[2])
        object.__setattr__(self, "multi", self.vm != "1" and self.vr != "SQ")


def build_row(key: str, spec: RowSpec) -> Row:
    """Check one row of the profile; raises SettingsError with the row's key, what is wrong and what would be right."""
    try:
        row = _build(key, spec)
        _check(row)
    except SettingsError as error:
        raise SettingsError(error.text, **{"row": key, **error.facts}) from None
    return row


def _build(key: str, spec: RowSpec) -> Row:
    parts = key.split(".")
    levels = tuple(_tag(part) for part in parts)
    if len(levels) > 4:
        raise SettingsError("rows go at most four levels deep", expected="keywords joined by dots")
    for part, tag in zip(parts[:-1], levels[:-1], strict=True):
        if not dictionary_has_tag(tag) or dictionary_VR(tag) != "SQ":
            raise SettingsError("a row stands inside something that is no sequence", value=part, expected="a sequence")
    vr = _vr(levels[-1], spec.vr)
    sources = tuple(parse_source(text) for text in spec.source)
    vm = dictionary_VM(levels[-1]) if dictionary_has_tag(levels[-1]) else "1-n" if spec.take != "first" else "1"
    too_long = spec.too_long or _too_long(key, vr)
    row = Row(key, levels, vr, vm, sources, spec.take, spec.follows, spec.transform, spec.unit, dict(spec.values),
              spec.default, spec.match, spec.returns, too_long, spec.title or key, _owner(sources))  # fmt: skip
    return _with_members(row)


def _tag(part: str) -> int:
    if found := _TAG.fullmatch(part):
        tag = int(found[1] + found[2], 16)
    else:
        known = tag_for_keyword(part)
        if known is None:
            near = difflib.get_close_matches(part, known_keywords, 1)
            hint = f"did you mean {near[0]}?" if near else "a DICOM keyword, or a tag like 00100041 with its vr"
            raise SettingsError("not a DICOM keyword", value=part, expected=hint)
        tag = known
    if tag < 0x00080000 or tag >= 0xFFFC0000 or tag & 0xFFFF == 0 or tag in _IDENTIFIER_LEVEL:
        raise SettingsError("this attribute cannot have a row", value=part, expected="an attribute of a worklist item")
    if tag >> 16 & 1:
        raise SettingsError("private attributes cannot have a row", value=part, expected="a standard attribute")
    return tag


def _vr(tag: int, wanted: str) -> str:
    known = dictionary_VR(tag) if dictionary_has_tag(tag) else ""
    if not known and not wanted:
        raise SettingsError("the dictionary does not know this tag", expected='its vr, for example vr = "LO"')
    if known and wanted and wanted not in known.split(" or "):
        raise SettingsError("wrong VR", value=wanted, expected=f"{known} ({dictionary_keyword(tag)})")
    vr = wanted or known
    if vr not in fit.SUPPORTED:
        raise SettingsError("a row cannot have this VR", value=vr, expected=", ".join(sorted(fit.SUPPORTED)))
    return vr


def _owner(sources: tuple[Source, ...]) -> str:
    paths = [source for source in sources if isinstance(source, Path)]
    if any(path.segment in ("PV1", "PV2") for path in paths):
        return "visit"
    return "patient" if any("PID" in (path.segment, path.owner) for path in paths) else "step"


def _too_long(key: str, vr: str) -> str:
    if key in IDENTITY or vr == "UI":
        return "reject"
    return "cut" if vr in TEXT else "drop"


def _with_members(row: Row) -> Row:
    if row.vr != "SQ":
        return row
    names: tuple[str, ...] = ()
    if any(fact.name == "other_patient_ids" for fact in row.facts):
        names = _NUMBER_MEMBERS
    elif row.paths or row.facts:
        names = _CODE_MEMBERS if row.transform == "code" else _ISSUER_MEMBERS
    return replace(row, members=_members(row, names))


def _members(parent: Row, keywords: tuple[str, ...]) -> tuple[Row, ...]:
    return tuple(sorted((_member(parent, keyword) for keyword in keywords), key=lambda member: member.tag))


def _member(parent: Row, keyword: str) -> Row:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    vr = dictionary_VR(tag)
    match = (
        {"SQ": "sequence", "UT": "wildcard", "UC": "wildcard"}.get(vr, "single")
        if parent.match == "sequence"
        else "none"
    )
    row = Row(f"{parent.key}.{keyword}", (*parent.levels, tag), vr, "1", match=match, returns="1C",
              title=f"{parent.title}: {keyword}", owner=parent.owner)  # fmt: skip
    if vr != "SQ":
        return row
    return replace(row, members=_members(row, _QUALIFIER_MEMBERS))


def _check(row: Row) -> None:
    for name, value, allowed in (
        ("take", row.take, TAKES),
        ("transform", row.transform, TRANSFORMS),
        ("match", row.match, MATCHES),
        ("return", row.returns, RETURNS),
        ("too_long", row.too_long, TOO_LONG),
    ):
        if value not in allowed:
            raise SettingsError("not a value of this setting", setting=name, value=value, expected=", ".join(allowed))
    _check_kinds(row)
    if row.take != "first" and row.vm == "1" and row.vr != "SQ" and row.transform != "lines":
        raise SettingsError(
            "the attribute holds one value only", setting="take", expected="first, or transform = lines"
        )
    if (row.key in IDENTITY or row.vr == "UI") and row.too_long != "reject":
        raise SettingsError("identifiers and UIDs are never shortened", setting="too_long", expected="reject")
    if row.vr == "SQ" and row.default:
        raise SettingsError("a sequence has no default", setting="default", expected="no default")
    if row.vr != "SQ" and row.default and fit.check(row.vr, row.default):
        raise SettingsError("the default does not fit the VR", setting="default", value=row.default, expected=row.vr)
    _check_protected(row)


def _check_kinds(row: Row) -> None:
    if row.vr not in _MATCH_VRS.get(row.match, {row.vr}) or (row.vr == "SQ" and row.match not in ("none", "sequence")):
        fitting = [
            m
            for m in MATCHES
            if (row.vr in _MATCH_VRS.get(m, {row.vr})) and (row.vr != "SQ" or m in ("none", "sequence"))
        ]
        raise SettingsError("this VR does not match so", setting="match", value=row.match, expected=", ".join(fitting))
    makes_items = row.transform in ("code", "issuer")
    if row.vr not in _TRANSFORM_VRS.get(row.transform, {row.vr}) or (row.vr == "SQ" and row.paths and not makes_items):
        fitting = [t for t in TRANSFORMS if row.vr in _TRANSFORM_VRS.get(t, set() if row.vr == "SQ" else {row.vr})]
        raise SettingsError("this transform does not make the VR", setting="transform", value=row.transform,
                            expected=f"{', '.join(fitting)} for {row.vr}")  # fmt: skip
    if (row.transform == "quantity") != bool(row.unit):
        raise SettingsError(
            "a unit goes with quantity, and quantity with a unit", setting="unit", expected=", ".join(UNITS)
        )
    if row.unit and row.unit not in UNITS:
        raise SettingsError("not a unit that quantity knows", setting="unit", value=row.unit, expected=", ".join(UNITS))


def _check_protected(row: Row) -> None:
    needed = PROTECTED.get(row.key)
    if needed is not None and row.returns != needed:
        raise SettingsError("the standard fixes this return type", setting="return", value=row.returns, expected=needed)
    if row.key in REQUIRED and row.match == "none":
        raise SettingsError("a required key must match", setting="match", value="none", expected="PS3.4 Table K.6-1")
