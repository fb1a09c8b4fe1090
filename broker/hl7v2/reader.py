"""Reads HL7 v2 messages: bytes to segments whose fields are split when they are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from broker.errors import UnreadableMessage
from broker.hl7v2 import charset
from broker.hl7v2.segments import Segment, Segments

UTF_8_MARK = b"\xef\xbb\xbf"
AFTER = b"\r\n\x00\x0b\x1c"
BEFORE = AFTER + b" \t"
"""What may stand around a message: ends of lines, the bytes of a frame, and blanks before it."""
MOST_HEADER_BYTES = 10_000
"""Bytes of MSH that are looked at before anything is decoded."""
MOST_CHARSETS = 20
"""Repetitions of MSH-18 that are looked at; ISO 2022 knows no more sets than this."""
_MSH_18 = 17
"""Where MSH-18 stands when MSH is split: MSH-1 is the separator itself."""


@dataclass(frozen=True, slots=True)
class Delimiters:
    """What MSH-1 and MSH-2 say; a fifth character of MSH-2 (truncation, 2.7) is accepted and not used."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"

    @property
    def encoding_characters(self) -> str:
        """MSH-2."""
        return self.component + self.repetition + self.escape + self.subcomponent


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was split into segments.

    raw          as received
    charset      MSH-18, first repetition ("" when empty)
    undecodable  some bytes meant nothing in the declared set; what they mean was guessed, or U+FFFD stands for them
    """

    raw: bytes
    charset: str
    delimiters: Delimiters
    segments: Segments
    undecodable: bool

    @property
    def header(self) -> Segment:
        return self.segments[0]

    def first(self, name: str) -> Segment | None:
        """The first segment of this name."""
        at = self.segments.find(name)
        return self.segments[at] if at >= 0 else None


def read(raw: bytes, default_charset: str = "") -> Message:
    """Split a message.

    raw              one message without its frame; ended by CR, LF or CRLF; one UTF-8 byte order mark is skipped
    default_charset  table 0211 name that holds when MSH-18 says nothing of the bytes and they are no UTF-8
    raises           UnreadableMessage when it does not start with a usable MSH; TooMany past a bound of `segments`
    source           HL7 2.5.1 2.5.4, 2.6, 2.15.9

    Costs time and memory in proportion to the bytes, whatever they are: a few bytes for each segment, and one text.
    """
    marked = raw.startswith(UTF_8_MARK)
    body = (raw[3:] if marked else raw).lstrip(BEFORE).rstrip(AFTER)
    delimiters = _delimiters(body)
    names = _charset_names(body, delimiters)
    declared = names[0] if any(names) else ""
    held = True
    if not any(charset.says_more_than_ascii(name) for name in names):
        names = [charset.UTF_8 if marked or charset.is_utf_8(body) else default_charset]
        held = not declared or body.isascii()
    elif len(names) > 1:
        body = _real_escapes(body, delimiters)
    text, clean = charset.decode(body, names)
    return Message(raw, declared, delimiters, Segments(text, delimiters.field), not (clean and held))


def _delimiters(body: bytes) -> Delimiters:
    if body[:3] != b"MSH":
        raise UnreadableMessage("the message does not start with MSH")
    separator = body[3:4]
    marks = _first_line(body[4:10].split(separator or b"|", 1)[0])
    chosen = separator + marks[:4]
    if len(chosen) != 5 or len(marks) > 5 or len(set(chosen)) != 5 or not _usable(chosen):
        raise UnreadableMessage("MSH-1 and MSH-2 do not name five different delimiters")
    return Delimiters(*chosen.decode("ascii"))


def _usable(marks: bytes) -> bool:
    return all(0x20 < mark < 0x7F and not chr(mark).isalnum() for mark in marks)


def _first_line(body: bytes) -> bytes:
    return body.split(b"\r", 1)[0].split(b"\n", 1)[0]


def _charset_names(body: bytes, delimiters: Delimiters) -> list[str]:
    """MSH-18, read before anything is decoded: names of sets are ASCII."""
    fields = _first_line(body[:MOST_HEADER_BYTES]).split(delimiters.field.encode(), _MSH_18 + 1)
    if len(fields) <= _MSH_18:
        return []
    names = fields[_MSH_18].decode("ascii", "replace").split(delimiters.repetition, MOST_CHARSETS)
    return [name.strip() for name in names[:MOST_CHARSETS]]


def _real_escapes(body: bytes, delimiters: Delimiters) -> bytes:
    r"""Put ISO 2022 escapes in the place of `\Cxxyy\` and `\Mxxyyzz\`: what follows them may look like delimiters."""
    mark = re.escape(delimiters.escape.encode())
    spelt = re.compile(mark + rb"[CM]((?:[0-9A-Fa-f]{2}){2,3})" + mark)
    real = bytearray()  # `sub` would keep an object for each escape
    at = 0
    for found in spelt.finditer(body):
        real += body[at : found.start()]
        real += b"\x1b" + bytes.fromhex(found[1].decode())
        at = found.end()
    return bytes(real + body[at:]) if at else body
