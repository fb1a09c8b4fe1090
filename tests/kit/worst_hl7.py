"""The worst HL7 messages of a size: each makes one reader do as much as a byte can ask of it."""

from __future__ import annotations

from collections.abc import Callable

HEADER = rb"MSH|^~\&|RIS|HOSP|MWL|RAD|20260301090000||ORM^O01|C1|P|2.3.1||||||"
PATIENT = b"\rPID|||4711^^^HOSP||Brook^Clara"
ORDER = b"\rORC|NW|PO1\rOBR|1|PO1||CT1^CT chest^L||||||||||||||||||||CT|||^^^20260303101500"

Maker = Callable[[int], bytes]
"""About how many bytes -> a message."""


def message(
    after: bytes = b"", *, charset: bytes = b"UNICODE UTF-8", patient: bytes = PATIENT, before: bytes = b"",
    order: bytes = ORDER,
) -> bytes:  # fmt: skip
    """An order with more segments before or behind it, or with other ones in the place of its own."""
    return HEADER + charset + patient + before + order + after + b"\r"


def many(unit: bytes) -> Callable[[int], bytes]:
    return lambda size: unit * (size // len(unit))


def note(unit: bytes, charset: bytes = b"UNICODE UTF-8") -> Maker:
    """A note of one text, over and over."""
    return lambda size: message(b"\rNTE|1||" + many(unit)(size) + b"x", charset=charset)


def behind(unit: bytes) -> Maker:
    return lambda size: message(many(unit)(size))


def before(unit: bytes) -> Maker:
    return lambda size: message(before=many(unit)(size))


def pid(begin: bytes, unit: bytes) -> Maker:
    return lambda size: message(patient=b"\rPID|||" + begin + many(unit)(size) + b"|")


def lines_of_base64(size: int) -> bytes:
    return message(b"".join(b"\rOBX|%d|TX|PDF||" % n + b"QUJD" * 19 for n in range(size // 92)))


LINES: dict[str, Maker] = {
    "line feeds": note(b"\n"),
    "returns": behind(b"\r"),
    "both": behind(b"\r\n"),
    "segments of one letter": behind(b"\rA"),
    "segments ended by line feeds": lambda size: behind(b"\rNTE|1")(size).replace(b"\r", b"\n"),
    "fields": pid(b"1||Brook", b"|ab"),
}
CHARSETS: dict[str, Maker] = {
    "ISO 2022 escapes": note(b"\x1b(B\x1b$B"),
    "ISO 2022 escapes with letters": note(b"\x1b(Ba"),
    "kana": note(b"\x1b(I1\x1b(B"),
    "spelt ISO 2022 escapes": note(rb"\C2842" + b"\\", b"8859/1~ISO IR87"),
    "one wide character": lambda size: note(b"a")(size).replace(b"||aa", "||\U0001f600".encode()),
    "bytes without meaning": note(b"\xff"),
    "bytes without meaning in a small set": note(b"\xa5", b"8859/3"),
    "zeros": note(b"\x00"),
    "names of sets": lambda size: message(charset=many(b"8859/1~")(size)),
}
ESCAPES: dict[str, Maker] = {
    "delimiters": note(rb"\F" + b"\\"),
    "hexadecimal": note(rb"\X41" + b"\\"),
    "long hexadecimal": lambda size: message(b"\rNTE|1||\\X" + many(b"41")(size) + b"\\"),
    "spacing": note(rb"\.sp99" + b"\\"),
    "stray": note(b"\\"),
}
PARTS: dict[str, Maker] = {
    "repetitions of a number": pid(b"", b"12^^^A~"),
    "repetitions of a name": pid(b"1||", b"ab^c~"),
    "components": pid(b"1||", b"ab^"),
    "subcomponents": pid(b"1||", b"ab&"),
    "observations": behind(b"\rOBX|1|NM|x||1"),
    "observations that are looked for": behind(b"\rOBX|1|NM|29463-7||"),
    "notes": behind(b"\rNTE|1||a"),
    "notes of the patient": before(b"\rNTE|1||a"),
    "allergies": before(b"\rAL1|1||a^b"),
    "MSH-3": lambda size: message().replace(b"RIS", many(b"a^")(size)),
    "MSH-9": lambda size: message().replace(b"O01", b"O01" + many(b"~a")(size)),
    "base64 in lines": lines_of_base64,
    "base64 in one field": lambda size: message(b"\rOBX|1|ED|PDF||^AP^^Base64^" + many(b"QUJD")(size)),
}
ORDERS: dict[str, Maker] = {
    "orders": behind(b"\rORC|NW|1\rOBR|1"),
    "orders with observations": behind(b"\rOBR\rOBX"),
    "orders under one patient's observations": lambda size: message(
        many(b"\rORC|NW|1\rOBR|1")(size // 2), before=many(b"\rOBX|1|NM|x||1")(size // 2)
    ),
    "orders that share": lambda size: message(
        many(b"\rOBR")(size // 2), order=b"\rORC|NW|" + b"a" * (size // 2) + b"\rOBR"
    ),
}
EVERY: dict[str, Maker] = {**LINES, **CHARSETS, **ESCAPES, **PARTS, **ORDERS}
