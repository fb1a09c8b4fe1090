"""Values as pydicom reads them, in the form of our own readers: the twin that those are compared with."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from broker.dataset.values import plain


def text(dataset: Dataset, keyword: str) -> str:
    """A value as text, several joined by backslash; "" when absent, empty or unreadable. No control characters."""
    try:
        value = dataset.get(keyword)
    except Exception:  # a value that does not fit its VR may raise anything, and is no value
        return ""
    if value is None or isinstance(value, Sequence | bytes):
        return ""
    return plain("\\".join(str(part) for part in value) if isinstance(value, MultiValue | list) else str(value))


def items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """The items of a sequence; none when it is absent, empty or no sequence."""
    try:
        value = dataset.get(keyword)
    except Exception:  # a sequence that cannot be read has no items
        return []
    return list(value) if isinstance(value, Sequence) else []
