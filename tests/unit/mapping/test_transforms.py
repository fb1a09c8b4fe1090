"""The fourteen transforms, names and what a VR holds."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.mapping import fit
from broker.mapping.paths import find, parse_path
from broker.mapping.row import TRANSFORMS as NAMES
from broker.mapping.row import RowSpec, build_row
from broker.mapping.stamps import read_stamp
from broker.mapping.transforms import TRANSFORMS, NoValue, Setting
from tests.unit.mapping.reading import first_group

KEYS = {
    "text": "PatientComments", "lines": "PatientComments", "upper": "PatientSex", "number": "PatientWeight",
    "quantity": "PatientWeight", "date": "StudyDate", "time": "StudyTime", "xpn": "PatientMotherBirthName",
    "xcn": "RequestingPhysician", "cnn": "RequestingPhysician", "code": "RequestedProcedureCodeSequence",
    "issuer": "IssuerOfAdmissionIDSequence", "address": "PatientAddress", "phone": "PatientTelephoneNumbers",
}  # fmt: skip


def made(
    name: str, field: str, source: str = "OBR-4", *, version: str = "2.5", zone: str = "", **options: Any
) -> list[Any]:
    if name == "quantity":
        options = {"unit": "kg", **options}
    row = build_row(KEYS[name], RowSpec(source=(source,), transform=name, **options))
    group = first_group("ORC|NW", "OBR|1|||" + field)
    setting = Setting(row, ZoneInfo(zone) if zone else None, version)
    return TRANSFORMS[name](find(parse_path(source), group), setting)


def test_every_transform_a_row_may_name_exists() -> None:
    assert set(TRANSFORMS) == set(NAMES) == set(KEYS)


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("text", r"a\T\b\F\c", "a&b|c"),
        ("text", r"one\.br\two", "one\ntwo"),
        ("text", "R^^^HOSP^^", "R^^^HOSP"),
        ("upper", " m ", "M"),
        ("number", "72,50", "72.5"),
        ("number", "0100", "100"),
        ("quantity", "72 kg", "72"),
        ("quantity", "154.32 lbs", "69.998375"),
        ("quantity", "3500g", "3.5"),
        ("date", "20260302101500+0100", "20260302"),
        ("time", "20260302101500.123-0500", "101500"),
        ("time", "202603021015", "101500"),
        ("time", "2026030210", "100000"),
        ("xpn", "Doe^Jane^A^Jr^Dr^PhD", "Doe^Jane^A^Dr^Jr PhD"),
        ("xpn", "DOE", "DOE"),
        ("xpn", "van Dyck&van&Dyck^Anna", "van Dyck^Anna"),
        ("xpn", r"O\E\Hara=x^Ann", "OHarax^Ann"),
        ("xpn", "O\u2019Hara^Ann", "O'Hara^Ann"),
        ("xcn", "7^Refer^Rita^M^Jr^Dr^MD", "Refer^Rita^M^Dr^Jr MD"),
        ("xcn", "7", ""),
        ("code", "CT1^CT chest^L", {"CodeValue": "CT1", "CodingSchemeDesignator": "L", "CodeMeaning": "CT chest"}),
        ("code", "CT1", {"CodeValue": "CT1", "CodingSchemeDesignator": "L", "CodeMeaning": "CT1"}),
        ("code", "12345678901234567^x^SCT", {
            "LongCodeValue": "12345678901234567", "CodingSchemeDesignator": "SCT", "CodeMeaning": "x"}),
        ("code", "A^b^L^^^^V2", {
            "CodeValue": "A", "CodingSchemeDesignator": "L", "CodingSchemeVersion": "V2", "CodeMeaning": "b"}),
        ("issuer", "AA^1.2.3^ISO", {
            "LocalNamespaceEntityID": "AA", "UniversalEntityID": "1.2.3", "UniversalEntityIDType": "ISO"}),
        ("issuer", "AA^^ISO", {"LocalNamespaceEntityID": "AA"}),
        ("address", "1 Main^Flat 2^Town^^123^UK", "1 Main, Flat 2, Town, 123, UK"),
        ("address", "1 Main^" + "x" * 70, "1 Main"),
        ("phone", "^^^^44^20^5550100^7", "+44 20 5550100 x7"),
        ("phone", "x^^^^44^20^5550100^^^^^+44 20 5550100", "+44 20 5550100"),
        ("phone", "(020) 5550100", "(020) 5550100"),
    ],
)  # fmt: skip
def test_a_transform_makes_a_value(name: str, field: str, value: Any) -> None:
    assert made(name, field) == [value]


def test_cnn_reads_a_name_in_subcomponents() -> None:
    assert made("cnn", "9&Tech&Tom&&Jr&Mr^x", "OBR-4.1") == ["Tech^Tom^^Mr^Jr"]


def test_before_version_2_5_the_free_text_of_a_telephone_number_comes_first() -> None:
    assert made("phone", "(020) 1^^^^44^20^5550100", version="2.3.1") == ["(020) 1"]


def test_a_map_of_words_maps_the_scheme_of_a_code() -> None:
    assert made("code", "CT1^CT^L", values={"L": "99HOSP"})[0]["CodingSchemeDesignator"] == "99HOSP"


def test_text_without_code_makes_no_item() -> None:
    assert made("code", "^free text") == []


def test_lines_are_joined() -> None:
    assert made("lines", r"one~two\.br\three", "OBR-4[*]") == ["one\ntwo\nthree"]


def test_a_stamp_with_offset_is_told_by_the_department_s_clock_where_date_and_time_belong_together() -> None:
    assert made("time", "20260302233000-0500", zone="Europe/Berlin") == ["053000"]
    assert made("date", "20260302233000-0500", zone="Europe/Berlin") == ["20260303"]


@pytest.mark.parametrize(
    ("name", "field"),
    [("number", "heavy"), ("number", "1e999999"), ("quantity", "72"), ("quantity", "72 m"), ("quantity", "kg"),
     ("date", "20260230"), ("date", "tomorrow"), ("time", "20260302250000"), ("date", "99991231235959-1200")],
)  # fmt: skip
def test_what_means_nothing_gives_no_value_and_a_reason(name: str, field: str) -> None:
    with pytest.raises(NoValue):
        made(name, field, zone="Pacific/Auckland")


@pytest.mark.parametrize("field", ["2026", "202603"])
def test_a_date_without_day_gives_none(field: str) -> None:
    assert made("date", field) == []


@pytest.mark.parametrize(
    ("repetitions", "name"),
    [
        ("Yamada^Tarou^^^^^L^A~山田^太郎^^^^^L^I~やまだ^たろう^^^^^L^P", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("山田^太郎^^^^^L^I", "=山田^太郎"),
        ("山田^太郎", "=山田^太郎"),
        ("ヤマダ^タロウ", "ヤマダ^タロウ"),
        ("Shown^Name^^^^^D~Legal^Name^^^^^L", "Legal^Name"),
        ("Shown^Name^^^^^D~Other^Name^^^^^A", "Other^Name"),
        ("Shown^Name^^^^^D", "Shown^Name"),
        ("Иванов^Иван", "Иванов^Иван"),
    ],
)
def test_repetitions_of_a_name_become_the_groups_of_one(repetitions: str, name: str) -> None:
    assert made("xpn", repetitions, "OBR-4[*]") == [name]


@pytest.mark.parametrize(
    ("vr", "text", "problem"),
    [
        ("SH", "x" * 16, None),
        ("SH", "x" * 17, fit.Problem.TOO_LONG),
        ("SH", "ä" * 16, None),
        ("PN", "x" * 64 + "=" + "y" * 64, None),
        ("PN", "x" * 65, fit.Problem.TOO_LONG),
        ("CS", "ct", fit.Problem.UNREADABLE),
        ("CS", "A" * 17, fit.Problem.TOO_LONG),
        ("AE", "CT 1", None),
        ("AE", "CT\\1", fit.Problem.UNREADABLE),
        ("AE", "A" * 17, fit.Problem.TOO_LONG),
        ("DA", "20260229", fit.Problem.UNREADABLE),
        ("TM", "1015", None),
        ("TM", "2460", fit.Problem.UNREADABLE),
        ("US", "65536", fit.Problem.UNREADABLE),
        ("IS", "-12", None),
        ("DS", "1e3", None),
        ("DS", "1,5", fit.Problem.UNREADABLE),
        ("UI", "1.2.03", fit.Problem.UNREADABLE),
        ("UI", "1.2.0", None),
        ("UI", "1." + "2" * 63, fit.Problem.TOO_LONG),
        ("LT", "x" * 10241, fit.Problem.TOO_LONG),
    ],
)
def test_a_vr_says_what_fits_it(vr: str, text: str, problem: fit.Problem | None) -> None:
    assert fit.check(vr, text) is problem


def test_backslashes_become_slashes_except_where_text_has_lines() -> None:
    assert fit.clean("LO", "a\\b\x07") == "a/b"
    assert fit.clean("LT", "a\\b\x07\nc") == "a\\b\nc"


@given(st.sampled_from(["SH", "LO", "PN", "ST"]), st.text(max_size=200))
def test_what_is_cut_fits(vr: str, text: str) -> None:
    assert fit.check(vr, fit.cut(vr, fit.clean(vr, text))) is None


@given(st.text(st.sampled_from("0123456789+-. "), max_size=30))
def test_a_stamp_is_a_day_of_the_calendar_or_nothing(text: str) -> None:
    stamp = read_stamp(text, ZoneInfo("Europe/Berlin"))

    assert stamp is None or stamp.date == "" or fit.is_date(stamp.date)
