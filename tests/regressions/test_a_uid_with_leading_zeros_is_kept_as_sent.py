"""Some RIS make UIDs with leading zeros; every scanner takes them, so the order is taken too, with a warning."""

from __future__ import annotations

from tests.unit.mapping.reading import order, placed


def test_a_uid_with_leading_zeros_is_kept_as_sent() -> None:
    request = placed(*order(after=("ZDS|1.2.03",)))

    assert request.orders[0].study_uid == "1.2.03"
    assert "StudyInstanceUID" in request.warnings[0]
