"""What all sections of the profile share: unknown keys and wrong types are refused, nothing is converted silently."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from broker.mapping import fit


class Section(BaseModel):
    """A table of the profile."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=False)


def keys_at(section: type[Section], path: Sequence[str]) -> list[str]:
    """The keys that the table at this path may hold, as they are written in TOML."""
    kind: Any = section
    for part in path:
        inside = get_args(kind)
        kind = inside[-1] if inside else _fields(kind)[part].annotation
    return list(_fields(kind))


def _fields(section: type[Section]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in section.model_fields.items()}


def checked(holds: Callable[[str], bool], wanted: str) -> AfterValidator:
    """A validator that says what would be right."""

    def check(text: str) -> str:
        if not holds(text):
            raise ValueError(wanted)
        return text

    return AfterValidator(check)


AeTitle = Annotated[str, checked(fit.is_ae_title, "an AE title has 1 to 16 characters of ASCII and no backslash")]
ModalityWord = Annotated[
    str, checked(lambda text: text != "" and fit.check("CS", text) is None, "capitals, digits, blank and _, at most 16")
]
