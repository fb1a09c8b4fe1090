"""A start with another profile reads the old messages again as what they are: their version still counts."""

from __future__ import annotations

from pathlib import Path

from tests.kit.brokers import PROFILE, running
from tests.kit.databases import Databases
from tests.kit.messages import Case

ONE_MORE_ROW = '[rows.EthnicGroup]\nsource = ["PID-22.2|22.1"]\nmatch = "wildcard"\nreturn = "3"\ntitle = "x"\n'
PHONE = "text only^PRN^PH^^49^221^123456^^^^^99887766"


def test_a_telephone_number_is_the_same_after_the_profile_changed(
    databases: Databases, tmp_path: Path, case: Case
) -> None:
    message = case.order(header={"version": "2.5", "address": f"1 Main^^Town||{PHONE}"})
    with databases.fresh("sqlite", tmp_path) as url:
        with running(tmp_path, url) as broker:
            broker.send(message.replace(b"|||||||A77", b"|||||A77"))
            before = broker.item(case, PatientTelephoneNumbers="")
        with running(tmp_path, url, PROFILE + ONE_MORE_ROW) as broker:
            after = broker.item(case, PatientTelephoneNumbers="")

    assert before.PatientTelephoneNumbers == "99887766"
    assert after.PatientTelephoneNumbers == "99887766"


def test_names_that_came_without_character_set_are_mended_once_the_profile_names_it(
    databases: Databases, tmp_path: Path, case: Case
) -> None:
    with databases.fresh("sqlite", tmp_path) as url:
        with running(tmp_path, url) as broker:
            broker.send(case.order(header={"name": "Łoś^Jan"}, encoding="iso8859_2"))
        with running(tmp_path, url, PROFILE + '[hl7]\ncharset = "8859/2"\n') as broker:
            mended = broker.item(case)

    assert str(mended.PatientName) == "Łoś^Jan"
