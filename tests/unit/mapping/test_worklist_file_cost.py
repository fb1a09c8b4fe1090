"""Reading a worklist file costs what it weighs, in any form; past a bound it is refused with the reason."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime

import pytest

from broker.domain.request import ReceivedMessage
from broker.errors import BeyondBounds, UnreadableDataset
from broker.mapping.worklist_file import lines_of
from broker.mapping.worklist_item import read_item
from broker.site.profile import load
from tests.kit.doubling import check_linear
from tests.kit.heavy_datasets import HEAVY, SCHEDULED, deflated, elements, escapes, items, nested, text

SITE = load(None)
RECEIVED = ReceivedMessage(b"", "import", datetime(2026, 3, 1, tzinfo=UTC), SITE.sender("import", ""))
STEP = items(0x00400100, 1, text(0x00400002, b"20260302"))
PATIENT = text(0x00100020, b"P1")
HEAD = "(0010,0020) LO [P1]\n"


def read_or_refused(raw):
    with suppress(UnreadableDataset):
        read_item(raw, RECEIVED, SITE)
    lines_of(raw)


@pytest.mark.parametrize("make", HEAVY.values(), ids=HEAVY)
def test_a_file_costs_what_it_weighs(make):
    check_linear(lambda size: make(size) + PATIENT + STEP, read_or_refused, 10_000)


def one_value(line, last="]"):
    return lambda size: HEAD + "(0010,0010) PN [" + line * (size // len(line)) + last


DUMPS = {
    "lines": lambda size: HEAD * (size // len(HEAD)),
    "lines of one value": lambda size: HEAD + "(0010,4000) LT [\n" + "x\n" * min(size // 2, 900),
    "long lines of one value": lambda size: HEAD + "(0010,4000) LT [" + ("x" * (size // 500) + "\n") * 500 + "]",
    "brackets and comments": one_value("]#", "\n]"),
    "brackets and blanks": one_value("] ", "x\n]"),
    "dots": one_value(".", "\n]"),
    "dots and blanks": one_value("... ", "\n]"),
    "comments": one_value("... #", "\n]"),
    "blanks": lambda size: HEAD + " " * size,
    "blanks before a value": lambda size: HEAD + "(0010,0010)" + " " * size + "X",
    "numbers": lambda size: HEAD + "(0010,21c0) US " + "1\\" * (size // 2),
    "a number": lambda size: HEAD + "(0010,21c0) US " + "1" * size,
    "a broken number": lambda size: HEAD + "(0010,1020) FD " + "1" * size + "e",
    "sequences": lambda size: HEAD + "(0040,0100) SQ\n(fffe,e000) -\n" * (size // 29),
    "items": lambda size: HEAD + "(0040,0100) SQ\n" + "(fffe,e000) -\n(fffe,e00d) -\n" * (size // 28),
}


@pytest.mark.parametrize("make", DUMPS.values(), ids=DUMPS)
def test_a_dump_costs_what_it_weighs(make):
    check_linear(lambda size: make(size).encode(), read_or_refused, 10_000)


def test_a_name_of_escapes_costs_no_more_than_its_beginning():
    check_linear(lambda size: escapes(size // 9) + PATIENT + STEP, read_or_refused, 20_000)


BEYOND = {
    "elements": elements(120_000),
    "items": items(SCHEDULED, 120_000),
    "nested sequences": nested(SCHEDULED, 100),
    "steps": items(0x00400100, 101, text(0x00400002, b"20260302")),
    "a deflated file": b"\x02\0\x10\0UI\x16\0" + b"1.2.840.10008.1.2.1.99" + deflated(bytes(8 << 20)),
    "elements of a dump": HEAD.encode() * 100_001,
}  # fmt: skip


@pytest.mark.parametrize("raw", BEYOND.values(), ids=BEYOND)
def test_past_a_bound_a_file_is_refused_with_the_reason(raw):
    with pytest.raises(BeyondBounds) as refused:
        read_item(raw, RECEIVED, SITE)

    assert "too" in refused.value.text or "more than" in refused.value.text


def test_a_letter_of_utf_8_ends_no_line_of_a_dump():
    dump = HEAD + "(0008,0005) CS [ISO_IR 192]\n(0010,0010) PN [Åsa]\n"
    dump += "(0040,0100) SQ\n(fffe,e000) -\n(0040,0002) DA 20260302\n(fffe,e00d) -\n(fffe,e0dd) -\n"

    found = read_item(dump.encode(), RECEIVED, SITE).request

    assert found.patient.changes["PatientName"] == "Åsa"
