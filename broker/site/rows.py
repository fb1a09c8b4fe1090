"""Section [rows]: attribute rows, and the ones that single senders read otherwise, into checked row sets."""

from __future__ import annotations

from collections.abc import Mapping
from json import dumps
from typing import Any, Literal

from pydantic import ConfigDict, Field

from broker.errors import SettingsError
from broker.mapping.row import PROTECTED, Match, Returns, RowSpec, Take, TooLong, Transform, build_row
from broker.mapping.rows import RowSet
from broker.site.section import Section


class SenderRowSection(Section):
    """[senders."...".rows.KEY]: how one sender's messages are read; what is returned stays the site's."""

    source: list[str] | None = None
    take: Take | None = None
    follows: str | None = None
    transform: Transform | None = None
    unit: str | None = None
    values: dict[str, str] | None = None
    too_long: TooLong | None = None

    def stated(self) -> dict[str, Any]:
        """What the table says."""
        return self.model_dump(exclude_none=True)


class RowSection(Section):
    """[rows.KEY]: where an attribute comes from, how it matches, how it is returned."""

    model_config = ConfigDict(populate_by_name=False)

    source: list[str] = Field(default_factory=list, description="HL7 paths in order of preference, or @facts")
    take: Take = Field(
        default="first", description="first, all (of the first source with a value) or every (of every source)"
    )
    follows: str = Field(default="", description="key of the row whose source decides which one counts here")
    transform: Transform = "text"
    unit: str = Field(default="", description="of a quantity, for example kg")
    values: dict[str, str] = Field(default_factory=dict, description='HL7 word = "DICOM term"; "*": other words')
    default: str = ""
    match: Match = "none"
    returns: Returns = Field(default="3", alias="return", description="DICOM type of the attribute in an answer")
    too_long: TooLong | Literal[""] = Field(default="", description="empty: as the head of default.toml says")
    title: str = Field(default="", description="what people call it")
    vr: str = Field(default="", description="for a tag that the dictionary does not know")
    remove: bool = Field(default=False, description="true: the attribute has no row")

    def spec(self) -> RowSpec:
        """As the checks of mapping take it."""
        stated = self.model_dump(exclude={"remove", "source"})
        return RowSpec(source=tuple(self.source), **stated)


def build_rows(sections: Mapping[str, RowSection], also: object = "") -> RowSet:
    """All rows, checked one by one and together.

    also    what else changes elements: the rows of single senders
    raises  SettingsError with `key` set to where the profile says it
    """
    try:
        kept = {key: section for key, section in sections.items() if not section.remove}
        for key in sections.keys() & PROTECTED.keys() - kept.keys():
            raise SettingsError(
                "this row cannot be removed: required key or type 1 attribute", row=key, setting="remove"
            )
        return RowSet([build_row(key, section.spec()) for key, section in kept.items()], dumps(also, sort_keys=True))
    except SettingsError as error:
        raise _placed(error, "rows") from None


def sender_rows(name: str, sections: Mapping[str, RowSection], changed: Mapping[str, SenderRowSection]) -> RowSet:
    """The rows as one sender's messages are read; raises SettingsError with `key` set."""
    own = dict(sections)
    for key, change in changed.items():
        if key not in own or own[key].remove:
            raise SettingsError(
                "a sender can only change rows that the site has",
                key=f"senders.{name}.rows.{key}",
                expected=f"a row [rows.{key}] first",
            )
        own[key] = own[key].model_copy(update=change.stated())
    try:
        return build_rows(own)
    except SettingsError as error:
        raise SettingsError(
            error.text, **{**error.facts, "key": f"senders.{name}.{error.facts.get('key', 'rows')}"}
        ) from None


def _placed(error: SettingsError, table: str) -> SettingsError:
    """The same error, with the key path of the profile in the place of row and setting."""
    facts = dict(error.facts)
    path = [table, str(facts.pop("row", "")), str(facts.pop("setting", "source" if "source" in facts else ""))]
    return SettingsError(error.text, **{"key": ".".join(part for part in path if part), **facts})
