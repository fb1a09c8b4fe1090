"""Specific Character Sets of datasets (PS3.3 C.12.1.1.2, PS3.5 6.1): text to their bytes and back."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence

import pydicom.charset

TEXT = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""Representations that the character set of a dataset is about."""
LONG_TEXT = frozenset({"LT", "ST", "UT"})
"""Text with lines, in which a backslash is an ordinary character and one value is all there is."""

MOST_SETS = 16
"""Names in one Specific Character Set that count; there are 16 sets with code extensions (PS3.3 Table C.12-3)."""

UTF_8 = "ISO_IR 192"
"""The set that holds every text."""

Encoder = Callable[[str, str], bytes]
"""VR and text to bytes; raises UnicodeError when the set does not hold the text."""

_SINGLE = {
    "": "ascii", "ISO_IR 6": "ascii", "ISO_IR 13": "shift_jis", "ISO_IR 100": "latin_1", "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3", "ISO_IR 110": "iso8859_4", "ISO_IR 126": "iso8859_7", "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8", "ISO_IR 144": "iso8859_5", "ISO_IR 148": "iso8859_9", "ISO_IR 166": "iso8859_11",
    "ISO_IR 192": "utf_8", "ISO_IR 203": "iso8859_15", "GB18030": "gb18030", "GBK": "gbk",
}  # fmt: skip
"""Sets that stand alone, and their codecs; pydicom 3.0.2 takes ISO_IR 203 for Latin-1."""

_EXTENSIONS = frozenset({
    "ISO 2022 IR 6", "ISO 2022 IR 13", "ISO 2022 IR 58", "ISO 2022 IR 87", "ISO 2022 IR 100", "ISO 2022 IR 101",
    "ISO 2022 IR 109", "ISO 2022 IR 110", "ISO 2022 IR 126", "ISO 2022 IR 127", "ISO 2022 IR 138", "ISO 2022 IR 144",
    "ISO 2022 IR 148", "ISO 2022 IR 149", "ISO 2022 IR 159", "ISO 2022 IR 166",
})  # fmt: skip
_CODECS = frozenset(codecs.lookup(codec).name for codec in pydicom.charset.python_encoding.values())
"""Codecs of all sets that there are."""
_NAME_MARKS = re.compile(r"([\\^=])")
_VALUE_MARKS = re.compile(r"(\\)")
_LINE_MARKS = re.compile(r"([\r\n\t\f])")


def names_of(value: object) -> tuple[str, ...]:
    """(0008,0005) as pydicom gives it, as names without blanks; () when it is absent or empty."""
    if value is None or value == "":
        return ()
    values = [value] if isinstance(value, str) else list(value)[:MOST_SETS]  # type: ignore[call-overload]
    names = tuple(str(name).strip().upper().replace("ISO-IR", "ISO_IR") for name in values)
    return names if any(names) else ()


def encoder_of(names: Sequence[str]) -> Encoder | None:
    """How to encode text in a dataset's sets; None when we do not know them."""
    if len(names) == 1 and (codec := _SINGLE.get(_alone(names[0]))) is not None:
        return _japanese if codec == "shift_jis" else lambda vr, text: text.encode(codec)
    try:
        return _with_extensions(_pydicom_encodings(names)) if names else None
    except UnicodeError:
        return None


def decode(vr: str, raw: bytes, names: Sequence[str]) -> str:
    """Text of one element in a dataset's sets; raises UnicodeError when the bytes mean nothing in them."""
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    if len(names) <= 1:
        codec = _SINGLE.get(_alone(names[0]) if names else "")
        if codec is not None:
            return raw.decode(codec)
    return pydicom.charset.decode_bytes(raw, _pydicom_encodings(names), _marks(vr))


def readable(vr: str, raw: bytes, names: Sequence[str]) -> str:
    """Text of one element, whatever its bytes are worth: as `decode` has it where they mean something.

    Where not, an undeclared character is read as Latin-1, and one that its set does not have becomes U+FFFD.
    """
    escaped = b"\x1b" in raw
    if raw.isascii() and not escaped:
        return raw.decode("ascii")
    if not escaped or len(names) > 1:
        try:
            return decode(vr, raw, names)
        except UnicodeError:
            pass  # anybody may have made it
    return pydicom.charset.decode_bytes(raw, _nearest_encodings(names), _marks(vr))


def _nearest_encodings(names: Sequence[str]) -> list[str]:
    """Codecs of sets that may be misspelt or unknown; Latin-1 for those that are none of DICOM's."""
    latin_1 = pydicom.charset.default_encoding
    try:
        encodings = pydicom.charset.convert_encodings(list(names))
        # The library takes any name of a codec of Python's, among them some that need the square of a text's length.
        return [encoding if codecs.lookup(encoding).name in _CODECS else latin_1 for encoding in encodings]
    except (LookupError, ValueError):  # a name that no codec can have
        return [latin_1]


def _pydicom_encodings(names: Sequence[str]) -> list[str]:
    if not all(name in ("", "ISO_IR 6") or name in _EXTENSIONS for name in names):
        raise UnicodeError("no list of character sets")
    return pydicom.charset.convert_encodings(list(names))


def _marks(vr: str) -> set[int]:
    """Characters after which the first set holds again (PS3.5 6.1.2.5.3)."""
    return {ord(mark) for mark in ("\\^=" if vr == "PN" else "\r\n\t\f" if vr in LONG_TEXT else "\\")}


def _alone(name: str) -> str:
    """A set with code extensions that comes alone extends nothing."""
    return name.replace("ISO 2022 IR", "ISO_IR")


def _japanese(vr: str, text: str) -> bytes:
    """JIS X 0201 has no backslash and no tilde; the codec's two-byte characters are none of it."""
    for char in text:
        if not (char < "\x7f" and char != "~") and not "\uff61" <= char <= "\uff9f":
            raise UnicodeError("not in JIS X 0201")
    return text.encode("shift_jis")


def _with_extensions(encodings: list[str]) -> Encoder:
    def encode(vr: str, text: str) -> bytes:
        marks = _NAME_MARKS if vr == "PN" else _LINE_MARKS if vr in LONG_TEXT else _VALUE_MARKS
        return b"".join(_fragment(part, encodings) for part in marks.split(text))

    return encode


def _fragment(text: str, encodings: list[str]) -> bytes:
    """Between two delimiters one set holds all of it, or the text does not fit (PS3.5 6.1.2.5.3)."""
    if text.isascii():
        return text.encode("ascii")
    # pydicom takes the default repertoire for Latin-1; where it comes first, Latin letters would go out undeclared.
    undeclared = encodings[0] == pydicom.charset.default_encoding and _holds(text, encodings[0])
    if undeclared or not any(_holds(text, codec) for codec in encodings):
        raise UnicodeError("no set of the list holds the text")
    encoded = pydicom.charset.encode_string(text, encodings)
    if pydicom.charset.decode_bytes(encoded, encodings, set()) != text:
        raise UnicodeError("the sets of the list do not hold the text")
    return encoded


def _holds(text: str, codec: str) -> bool:
    try:
        text.encode(codec)
    except UnicodeError:
        return False
    return True
