"""Character sets of HL7 table 0211: bytes to text and back, ISO 2022 escapes included."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Sequence

from broker.hl7v2.growing import GrowingText

UTF_8 = "UNICODE UTF-8"
MOST_AT_ONCE = 1 << 16
"""Bytes that are decoded in one call: a codec lets no other thread run, and some take a second for ten megabytes."""
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

CODECS = {
    "ASCII": "ascii",
    "ISO IR6": "ascii",
    "8859/1": "iso8859_1",
    "8859/2": "iso8859_2",
    "8859/3": "iso8859_3",
    "8859/4": "iso8859_4",
    "8859/5": "iso8859_5",
    "8859/6": "iso8859_6",
    "8859/7": "iso8859_7",
    "8859/8": "iso8859_8",
    "8859/9": "iso8859_9",
    "8859/15": "iso8859_15",
    "ISO IR14": "shift_jis",
    "ISO IR87": "iso2022_jp_ext",
    "ISO IR159": "iso2022_jp_ext",
    "JAS2020": "iso2022_jp_ext",
    "JIS X 0202": "iso2022_jp_ext",
    "KS X 1001": "euc_kr",
    "GB 18030-2000": "gb18030",
    "BIG-5": "big5",
    UTF_8: "utf_8",
    "UNICODE": "utf_8",
}
"""HL7 table 0211 -> Python codec. UNICODE is read as UTF-8; UTF-16 and UTF-32 have no place in an MLLP frame."""

_TURN = re.compile(rb"\x1b(?:\$[()]?[@A-D]|[()][A-Z]|-[A-Z])|[\r\n]+")
"""What may change the meaning of the bytes after it: a designation, or the end of a segment."""
_KANA = bytes(byte | 0x80 for byte in range(256))
"""Half-width katakana: seven bits to the eight that Shift JIS has them in."""

_DESIGNATIONS = {
    b"\x1b(B": "ascii",
    b"\x1b(J": "shift_jis",
    b"\x1b(I": "kana",
    b"\x1b)I": "shift_jis",
    b"\x1b$@": "94x94",
    b"\x1b$B": "94x94",
    b"\x1b$(D": "jis x 0212",
    b"\x1b$)C": "euc_kr",
    b"\x1b$)A": "gb2312",
    b"\x1b-A": "iso8859_1",
    b"\x1b-B": "iso8859_2",
    b"\x1b-C": "iso8859_3",
    b"\x1b-D": "iso8859_4",
    b"\x1b-F": "iso8859_7",
    b"\x1b-G": "iso8859_6",
    b"\x1b-H": "iso8859_8",
    b"\x1b-L": "iso8859_5",
    b"\x1b-M": "iso8859_9",
    b"\x1b-b": "iso8859_15",
}


def codec_of(name: str) -> str | None:
    """The Python codec of a table 0211 name, also when it is spelt "ISO-IR 87" or "utf-8"; None: unknown."""
    return _BY_FOLDED_NAME.get(_folded(name))


def says_more_than_ascii(name: str) -> bool:
    """False for ASCII and for names that nobody knows: they do not say what bytes above 0x7F mean."""
    return codec_of(name) not in (None, "ascii")


def decode(raw: bytes, names: Sequence[str]) -> tuple[str, bool]:
    """Turn a message's bytes into text.

    names    MSH-18 as sent, all repetitions; empty or unknown means 7-bit ASCII
    returns  the text and whether every byte had a meaning; one that had none becomes U+FFFD
    source   HL7 2.5.1 2.15.9.18, table 0211
    """
    if b"\x1b" in raw:
        text, clean = _decode_escaped(raw, names)
    elif raw.isascii():
        text, clean = raw.decode("ascii"), True
    else:
        text, clean = _decode_run(raw, _initial_codec(names))
    if "\x00" in text:
        return text.replace("\x00", REPLACEMENT), False
    return text, clean


def is_utf_8(raw: bytes) -> bool:
    """Text of another set is as good as never valid UTF-8 by chance."""
    try:
        return raw.isascii() or bool(_text(raw, "utf_8"))
    except UnicodeDecodeError:
        return False


def encode(text: str, name: str) -> bytes:
    """Turn text into bytes of a table 0211 set; an empty name is ASCII.

    raises  UnicodeEncodeError when the set does not hold the text; LookupError when the set is unknown
    """
    codec = codec_of(name)
    if codec is None:
        raise LookupError("unknown character set")
    return text.encode(codec)


def _initial_codec(names: Sequence[str]) -> str:
    """What bytes above 0x7F mean before any escape: the first set that says more than ASCII."""
    for name in names:
        codec = codec_of(name)
        if codec not in (None, "ascii", "iso2022_jp_ext"):
            return str(codec)
    return "ascii"


def _decode_escaped(raw: bytes, names: Sequence[str]) -> tuple[str, bool]:
    """ISO 2022: each escape says what the bytes after it mean; the end of a segment ends it (HL7 2.5.1 2.15.9.18)."""
    initial = codec = _initial_codec(names)
    out = GrowingText()
    clean, at = True, 0
    for found in _TURN.finditer(raw):
        clean &= _write_run(out, raw[at : found.start()], codec)
        at, turn = found.end(), found[0]
        if turn in _DESIGNATIONS:
            codec = initial if turn == b"\x1b(B" else _DESIGNATIONS[turn]
        else:
            clean &= _write_run(out, turn, codec)
            codec = codec if turn[:1] == b"\x1b" else initial
    clean &= _write_run(out, raw[at:], codec)
    return out.text(), clean


def _write_run(out: GrowingText, run: bytes, codec: str) -> bool:
    """Add the text of a run; False when some byte had no meaning."""
    if not run:
        return True
    text, known = _decode_run(run, codec)
    out.write(text)
    return known


def _decode_run(run: bytes, codec: str) -> tuple[str, bool]:
    if codec == "94x94":
        run, codec = b"\x1b$B" + run + b"\x1b(B", "iso2022_jp_ext"
    elif codec == "jis x 0212":
        run, codec = b"\x1b$(D" + run + b"\x1b(B", "iso2022_jp_ext"
    elif codec == "kana":
        run, codec = run.translate(_KANA), "shift_jis"
    try:
        return _text(run, codec).replace("\x1b", REPLACEMENT), b"\x1b" not in run or codec == "iso2022_jp_ext"
    except UnicodeDecodeError:
        return _text(run, codec, "replace"), False


def _text(run: bytes, codec: str, errors: str = "strict") -> str:
    """What bytes.decode gives; a long run in pieces, between which other threads may run."""
    if len(run) <= MOST_AT_ONCE:
        return run.decode(codec, errors)
    decoder = getincrementaldecoder(codec)(errors)
    pieces = (run[at : at + MOST_AT_ONCE] for at in range(0, len(run), MOST_AT_ONCE))
    return "".join([*map(decoder.decode, pieces), decoder.decode(b"", True)])


def _folded(name: str) -> str:
    folded = re.sub(r"[\s_\-/]+", "", name).upper()
    return folded.removeprefix("ISO") if folded.startswith("ISO8859") else folded


_BY_FOLDED_NAME = {_folded(name): codec for name, codec in CODECS.items()} | {
    "": "ascii",
    "USASCII": "ascii",
    "UTF8": "utf_8",
    "BIG5": "big5",
    "GB18030": "gb18030",
    "KSC5601": "euc_kr",
    "JISX0208": "iso2022_jp_ext",
}
