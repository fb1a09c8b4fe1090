"""Who follows the log into the journal must find the repeat, not the message that it repeats."""

from __future__ import annotations

from tests.unit.domain.orders import Ris, order


def test_a_repeat_carries_its_own_journal_id_beside_the_first_ones() -> None:
    ris = Ris()
    first = ris.send(order(), control_id="M1", digest="d")

    again = ris.send(order(), control_id="M1", digest="d")

    assert again.message_id == first.message_id
    assert first.journal_id is None
    assert again.journal_id not in (None, first.message_id)
