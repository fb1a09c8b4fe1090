"""The law of matching: each predicate by cases, wild cards and folding by generated texts against naive twins."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.matching import (
    All,
    AnyItem,
    AnyOf,
    Between,
    Either,
    Equals,
    Like,
    Meaning,
    NameLike,
    Station,
    comparable,
    fold,
    is_universal,
    matches,
    name_matches,
    wildcard_matches,
    with_known_stations,
)
from broker.domain.request import Value
from broker.domain.rules import Station as KnownStation


@dataclass
class Step:
    """A step by its values."""

    values: dict[str, Value] = field(default_factory=dict)
    stations: tuple[str, ...] = ()
    modality: str | None = "CT"

    def value(self, key: str) -> Value | None:
        return self.values.get(key)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("DOE*", "DOE", True),
        ("DOE*", "DOE^ANN", True),
        ("*ANN", "DOE^ANN", True),
        ("D?E", "DOE", True),
        ("D?E", "DE", False),
        ("D?E", "DOOE", False),
        ("*", "", True),
        ("?", "", False),
        ("D*E*N", "DOE^ANN", True),
        ("DOE_1*", "DOEX1", False),
        ("DOE%", "DOE^ANN", False),
        ("[D]OE", "DOE", False),
        ("a.c", "abc", False),
        ("DOE", "doe", False),
    ],
)
def test_only_star_and_question_mark_are_wild_cards(pattern, text, expected):
    assert wildcard_matches(pattern, text) is expected


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
def test_wild_cards_mean_what_a_regular_expression_means(pattern, text):
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)

    assert wildcard_matches(pattern, text) is (re.fullmatch(expression, text, re.DOTALL) is not None)


def test_a_pattern_of_many_stars_is_answered_at_once():
    assert wildcard_matches("*a" * 5000 + "b", "a" * 10_000) is False


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("DOE^ANN", "doe^ann"),
        ("Müller^Jürgen", "muller^jurgen"),
        ("MU\u0308LLER", "muller"),
        ("Strauß", "strauss"),
        ("Łukasz^Ørsted", "lukasz^orsted"),
        ("DOE ^ ANN ^^", "doe^ann"),
        ("Yamada^Tarou=山田^太郎=", "yamada^tarou=山田^太郎"),
        ("がく", "がく"),
        ("", ""),
    ],
)
def test_folding_takes_case_and_accents_away_and_nothing_else(name, folded):
    assert fold(name) == folded


@given(st.text(max_size=40))
def test_folding_twice_changes_nothing_more(name):
    assert fold(fold(name)) == fold(name)


@pytest.mark.parametrize(
    ("key", "name", "expected"),
    [
        ("yam*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("山田*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("やまだ*", "Yamada^Tarou=山田^太郎=やまだ^たろう", True),
        ("yam*=山*", "Yamada^Tarou=山田^太郎", True),
        ("yam*=田*", "Yamada^Tarou=山田^太郎", False),
        ("=山田*", "Yamada^Tarou=山田^太郎", True),
        ("=山田*", "Yamada^Tarou", False),
        ("*tarou", "Yamada^Tarou=山田^太郎", True),
        ("yamada^tarou", "Yamada^Tarou=山田^太郎", True),
        ("yamada", "Yamada^Tarou=山田^太郎", False),
    ],
)
def test_names_of_several_groups_match_group_by_group(key, name, expected):
    assert name_matches(fold(key), fold(name)) is expected


@pytest.mark.parametrize(
    ("predicate", "expected"),
    [
        (Equals("AccessionNumber", "A1"), True),
        (Equals("AccessionNumber", "a1"), False),
        (AnyOf("StudyInstanceUID", frozenset({"1.2", "1.3"})), True),
        (AnyOf("StudyInstanceUID", frozenset({"1.4"})), False),
        (Like("AccessionNumber", "A?"), True),
        (NameLike("PatientName", "muller*"), True),
        (Between("PatientBirthDate", "19800101", "19801231", Meaning.DATE), True),
        (Between("PatientBirthDate", None, "19791231", Meaning.DATE), False),
        (Either((Equals("AccessionNumber", "X"), Equals("AccessionNumber", "A1"))), True),
        (All(), True),
        (All((Equals("AccessionNumber", "A1"), Equals("Missing", "X"))), False),
    ],
)
def test_each_predicate_has_its_meaning(predicate, expected):
    step = Step(
        {
            "AccessionNumber": " A1 ",
            "StudyInstanceUID": "1.2",
            "PatientName": "Müller^Eva",
            "PatientBirthDate": "19800704",
        }
    )

    assert matches(predicate, step) is expected


@pytest.mark.parametrize("value", [None, "", "  ", []])
@pytest.mark.parametrize(
    "predicate",
    [
        Equals("Key", "X"),
        AnyOf("Key", frozenset({"X"})),
        Like("Key", "?*"),
        NameLike("Key", "?*"),
        Between("Key", None, "99991231", Meaning.DATE),
        Between("Key", "000000.000000", None, Meaning.TIME),
        AnyItem("Key", All((Equals("CodeValue", "X"),))),
    ],
)
def test_an_unknown_value_fails_every_key(predicate, value):
    assert matches(predicate, Step({"Key": value})) is False


def test_any_value_of_a_multi_valued_attribute_may_match():
    step = Step({"Allergies": ["PENICILLIN", "LATEX"]})

    assert matches(Equals("Allergies", "LATEX"), step)
    assert matches(Like("Allergies", "PEN*"), step)
    assert not matches(Equals("Allergies", "PENICILLIN\\LATEX"), step)


def test_all_keys_of_a_sequence_must_match_in_one_item():
    codes = [{"CodeValue": "A", "CodingSchemeDesignator": "L"}, {"CodeValue": "B", "CodingSchemeDesignator": "99X"}]
    step = Step({"Codes": codes})

    def asks(code: str, scheme: str) -> bool:
        item = All((Equals("CodeValue", code), Equals("CodingSchemeDesignator", scheme)))
        return matches(AnyItem("Codes", item), step)

    assert asks("B", "99X")
    assert not asks("A", "99X")


def test_sequences_match_inside_sequences():
    step = Step({"Outer": [{"Inner": [{"UniversalEntityID": "1.2"}]}, {"Inner": []}]})
    inner = AnyItem("Inner", All((Either((Equals("UniversalEntityID", "1.2"),)),)))

    assert matches(AnyItem("Outer", All((inner,))), step)
    assert not matches(AnyItem("Outer", All((AnyItem("Inner", All((Equals("UniversalEntityID", "1"),))),))), step)


@pytest.mark.parametrize(
    ("value", "full"),
    [("10", "100000.000000"), ("1015", "101500.000000"), ("10:15:30", "101530.000000"), ("101530.5", "101530.500000")],
)
def test_times_are_compared_by_meaning(value, full):
    assert comparable(value, Meaning.TIME) == full


def test_an_open_step_answers_every_station_that_does_its_modality():
    known = {"CT1": KnownStation("CT1", ("CT",)), "MR1": KnownStation("MR1", ("MR",)), "ALL": KnownStation("ALL")}
    step = Step(stations=(), modality="CT")

    def answers(title: str) -> bool:
        return matches(with_known_stations(All((Either((Station(title),)),)), known), step)

    assert answers("CT1")
    assert answers("ALL")
    assert answers("NOBODY")
    assert not answers("MR1")


def test_a_step_with_stations_answers_only_them():
    step = Step(stations=("CT1", "CT2"))

    assert matches(Station("CT2"), step)
    assert matches(Station("CT*"), step)
    assert not matches(Station("ct1"), step)
    assert not matches(Station("CT"), step)


@pytest.mark.parametrize(("key", "expected"), [("", True), ("*", True), ("**", True), (" * ", True), ("?", False)])
def test_only_an_empty_key_and_stars_alone_ask_nothing(key, expected):
    assert is_universal(key) is expected
