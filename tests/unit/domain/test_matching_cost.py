"""Comparing names and wild cards costs what they weigh; what a key may hold at most compares alike everywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.domain.matching import MOST_NAME_CHARACTERS, fold, wildcard_matches, without_repeated_stars
from tests.kit.doubling import check_linear
from tests.kit.naive_matching import covers

LONGEST_PATTERN = 1_024

NAMES = {
    "marks in the wrong order": lambda size: "A" + "\u0301\u0323" * (size // 2),
    "marks that fold to two": lambda size: "A" + "\u0344" * size,
    "letters that fold to three": lambda size: "\u0390" * size,
    "groups": lambda size: "=" * size + "Ä",
    "components": lambda size: "^" * size + "Ä",
    "blanks": lambda size: " ^" * (size // 2) + "Ä",
    "jamo": lambda size: "\u1100\u1161\u11a8" * (size // 3),
}


@pytest.mark.parametrize("make", NAMES.values(), ids=NAMES)
def test_folding_a_name_costs_what_it_weighs(make):
    check_linear(make, fold, 25_000)


PATTERNS = {
    "stars": lambda size: ("*" * size, "A" * 64),
    "stars and letters": lambda size: ("*A" * (size // 2) + "B", "A" * size),
    "stars and question marks": lambda size: ("*?" * (size // 2) + "B", "A" * size),
    "question marks": lambda size: ("?" * size + "*B", "A" * size),
    "one part again and again": lambda size: ("*AAAB" * (size // 5), "A" * size),
    "a long last part": lambda size: ("*" + "A" * (size // 2) + "B", "A" * size),
}


@pytest.mark.parametrize("make", PATTERNS.values(), ids=PATTERNS)
def test_the_worst_pattern_and_value_are_compared_in_no_time(make):
    pattern, value = make(LONGEST_PATTERN)

    check_linear(lambda times: times, lambda times: [wildcard_matches(pattern, value) for _ in range(times)], 1)
    assert not wildcard_matches(pattern, value) or set(pattern) == {"*"}


@given(st.text("AB*?.\\[\n", max_size=12), st.text("AB.\\[\n*", min_size=1, max_size=12))
def test_a_pattern_means_what_a_regular_expression_of_it_means(pattern, value):
    assert wildcard_matches(pattern, value) == covers(pattern, value)
    assert wildcard_matches(without_repeated_stars(pattern), value) == covers(pattern, value)


def test_thirty_marks_on_a_letter_count_and_the_others_do_not():
    virama = "\u094d"

    assert fold("क" + virama * 30) != fold("क" + virama * 29)
    assert fold("x" * 40 + virama * 31) == fold("x" * 40 + virama * 30)


def test_names_that_differ_beyond_all_length_are_the_same():
    assert fold("A" * MOST_NAME_CHARACTERS + "B") == fold("A" * MOST_NAME_CHARACTERS)
