"""Reads HL7 v2 messages: bytes to segments whose fields are split when they are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from broker.errors import UnreadableMessage
from broker.hl7v2 import charset

UTF_8_MARK = b"\xef\xbb\xbf"
AFTER = b"\r\n\x00\x0b\x1c"
BEFORE = AFTER + b" \t"
"""What may stand around a message: ends of lines, the bytes of a frame, and blanks before it."""
_END_OF_SEGMENT = re.compile(rb"[\r\n]")
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


class Segment:
    """One segment; values are still escaped and hold the delimiters.

    name      three characters; "" for a line that is no segment
    position  index in `message.segments`
    ordinal   n-th segment of this name in the message, from 1
    """

    __slots__ = ("_fields", "_separator", "name", "ordinal", "position", "text")

    def __init__(self, name: str, text: str, separator: str, position: int, ordinal: int) -> None:
        self.name = name
        self.text = text
        self.position = position
        self.ordinal = ordinal
        self._separator = separator
        self._fields: list[str] | None = None

    def field(self, number: int) -> str:
        """Raw text of a field by its HL7 number, also for MSH; "" when absent."""
        fields = self._fields
        if fields is None:
            fields = self.text.split(self._separator)
            if self.name == "MSH":
                fields.insert(1, self._separator)
            self._fields = fields
        return fields[number] if number < len(fields) else ""


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
    segments: tuple[Segment, ...]
    undecodable: bool

    @property
    def header(self) -> Segment:
        return self.segments[0]

    def first(self, name: str) -> Segment | None:
        """The first segment of this name."""
        for segment in self.segments:
            if segment.name == name:
                return segment
        return None


def read(raw: bytes, default_charset: str = "") -> Message:
    """Split a message.

    raw              one message without its frame; ended by CR, LF or CRLF; one UTF-8 byte order mark is skipped
    default_charset  table 0211 name that holds when MSH-18 says nothing of the bytes and they are no UTF-8
    raises           UnreadableMessage when it does not start with a usable MSH
    source           HL7 2.5.1 2.5.4, 2.6, 2.15.9
    """
    marked = raw.startswith(UTF_8_MARK)
    body = (raw[3:] if marked else raw).lstrip(BEFORE).rstrip(AFTER)
    delimiters = _delimiters(body)
    names = _charset_names(body, delimiters)
    declared = names[0] if any(names) else ""
    held = True
    if not any(charset.says_more_than_ascii(name) for name in names):
        names = [charset.UTF_8 if marked or _is_utf_8(body) else default_charset]
        held = not declared or body.isascii()
    elif len(names) > 1:
        body = _real_escapes(body, delimiters)
    text, clean = charset.decode(body, names)
    return Message(raw, declared, delimiters, _segments(text, delimiters.field), not (clean and held))


def _is_utf_8(body: bytes) -> bool:
    """Text of another set is as good as never valid UTF-8 by chance."""
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _delimiters(body: bytes) -> Delimiters:
    if body[:3] != b"MSH":
        raise UnreadableMessage("the message does not start with MSH")
    separator = body[3:4]
    marks = body[4:10].split(separator or b"|", 1)[0]
    marks = _END_OF_SEGMENT.split(marks, maxsplit=1)[0]
    chosen = separator + marks[:4]
    if len(chosen) != 5 or len(marks) > 5 or len(set(chosen)) != 5 or not _usable(chosen):
        raise UnreadableMessage("MSH-1 and MSH-2 do not name five different delimiters")
    return Delimiters(*chosen.decode("ascii"))


def _usable(marks: bytes) -> bool:
    return all(0x20 < mark < 0x7F and not chr(mark).isalnum() for mark in marks)


def _charset_names(body: bytes, delimiters: Delimiters) -> list[str]:
    """MSH-18, read before anything is decoded: names of sets are ASCII."""
    header = _END_OF_SEGMENT.split(body, maxsplit=1)[0]
    fields = header.split(delimiters.field.encode(), _MSH_18 + 1)
    if len(fields) <= _MSH_18:
        return []
    names = fields[_MSH_18].decode("ascii", "replace").split(delimiters.repetition)
    return [name.strip() for name in names]


def _real_escapes(body: bytes, delimiters: Delimiters) -> bytes:
    r"""Put ISO 2022 escapes in the place of `\Cxxyy\` and `\Mxxyyzz\`: what follows them may look like delimiters."""
    mark = re.escape(delimiters.escape.encode())
    spelt = mark + rb"[CM]((?:[0-9A-Fa-f]{2}){2,3})" + mark
    return re.sub(spelt, lambda found: b"\x1b" + bytes.fromhex(found[1].decode()), body)


def _segments(text: str, separator: str) -> tuple[Segment, ...]:
    segments: list[Segment] = []
    counts: dict[str, int] = {}
    for line in _lines(text, separator):
        if not line:
            continue
        name = line[:3] if line[3:4] == separator or len(line) == 3 else ""
        ordinal = counts[name] = counts.get(name, 0) + 1
        segments.append(Segment(name, line, separator, len(segments), ordinal))
    return tuple(segments)


def _lines(text: str, separator: str) -> list[str]:
    """Segments end with CR; LF and CRLF are taken too, but an LF inside a text is not an end."""
    if "\n" not in text:
        return text.split("\r")
    return re.split(rf"\r\n?|\n+(?=[A-Z][A-Z0-9][A-Z0-9]{re.escape(separator)})", text)
