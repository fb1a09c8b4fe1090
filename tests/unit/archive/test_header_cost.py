"""Reading a header costs what it weighs, whatever it is heavy with, and stops at its bounds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from broker.archive.header import read_header
from broker.errors import BeyondBounds, UnreadableDataset
from tests.kit.doubling import check_linear
from tests.kit.heavy_datasets import (
    HEAVY,
    PATIENT_NAME,
    PRIVATE,
    REQUESTS,
    deflated,
    elements,
    items,
    nested,
    text,
)

IMPLICIT, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"
SIZE = 20_000


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., object]:
    def read_it(content: bytes, syntax: str = IMPLICIT) -> object:
        file = tmp_path / "heavy.dcm"
        file.write_bytes(content)
        return read_header(file, 0, syntax)

    return read_it


@pytest.mark.parametrize("make", HEAVY.values(), ids=HEAVY)
def test_a_header_costs_what_it_weighs(make: Callable[[int], bytes], read: Callable[..., object]) -> None:
    def refused_or_read(content: bytes) -> None:
        with suppress(UnreadableDataset):
            read(content)

    check_linear(make, refused_or_read, SIZE)


def test_a_deflated_header_costs_what_it_unfolds_to(read: Callable[..., object]) -> None:
    def made(size: int) -> bytes:
        return deflated(b"\x10\0\x10\0UC\0\0" + (2 * size).to_bytes(4, "little") + b"A\\" * size)

    check_linear(made, lambda content: read(content, DEFLATED), SIZE)


def test_of_many_values_the_first_are_taken(read: Callable[..., object]) -> None:
    header = read(text(PATIENT_NAME, b"A\\" * 5_000_000))

    assert header.patient_name.startswith("A\\A")  # type: ignore[attr-defined]
    assert len(header.patient_name) <= 4_096  # type: ignore[attr-defined]


BEYOND = {
    "a sequence within itself": nested(PRIVATE, 65),
    "elements": elements(60_000) + elements(60_000),
    "items": items(PRIVATE, 60_000, undefined=True),
    "a deflated stream": deflated(b"\x09\0\x10\0OB\0\0\0\0\0\x7f" + bytes(40 << 20)),
}


@pytest.mark.parametrize("content", BEYOND.values(), ids=BEYOND)
def test_past_a_bound_the_refusal_names_it(content: bytes, read: Callable[..., object]) -> None:
    with pytest.raises(BeyondBounds) as refused:
        read(content, IMPLICIT if content.startswith(b"\x09\0") else DEFLATED)

    assert "too" in refused.value.text


def test_requests_nested_as_deep_as_you_like_are_passed_by(read: Callable[..., object]) -> None:
    header = read(nested(REQUESTS, 60) + text(PATIENT_NAME + (1 << 17), b""))

    assert len(header.requests) == 1  # type: ignore[attr-defined]
