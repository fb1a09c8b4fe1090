"""What all sections of the profile share: unknown keys and wrong types are refused, nothing is converted silently."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from broker.mapping import fit


class Section(BaseModel):
    """A table of the profile."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=False)


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
