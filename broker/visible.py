"""Text of a peer as a terminal, a log line or a metric label may show it: nothing in it acts, all of it can be seen.

Control characters move a terminal's cursor or change its state (ECMA-48), direction characters reorder what is read
(Unicode UAX 9), line separators forge lines. Each is shown as an escape: \\x1b, \\u202e.
"""

from __future__ import annotations

import unicodedata


def visible(text: str) -> str:
    """The same text with every control, format, separator and unpaired surrogate character written as an escape.

    Spaces of any width stay as they are, and a backslash too: what looks like an escape may have been sent so.
    """
    # The first test covers nearly all text, at the speed of a copy.
    return text if text.isprintable() else "".join(map(_shown, text))


def distinct(text: str) -> str:
    """As visible, but two different texts never look the same: backslashes are doubled."""
    return visible(text.replace("\\", "\\\\"))


def is_inert(letter: str) -> bool:
    """True when a terminal only draws it."""
    return letter.isprintable() or unicodedata.category(letter) == "Zs"


def _shown(letter: str) -> str:
    return letter if is_inert(letter) else letter.encode("unicode_escape").decode("ascii")
