"""A wrong key of the site profile stops the start with what would be right, at every depth of the profile."""

from __future__ import annotations

import tomllib

import pytest

from broker.errors import SettingsError
from broker.site.profile import read

WRONG = [
    ("colour = 1", "time_zone, "),
    ("[missing]\nmodalty = 'hold'", "modality"),
    ("[peers.CT_1]\nhidden = true", "hide_started"),
    ("[[station_rules]]\nstation = 'CT_1'\nstations = ['CT_1']", "stations"),
    ("[rows.PatientWeight]\nreturns = '3'", ", return, "),
    ("[senders.'A|B'.rows.PatientSex]\nmatch = 'none'", "transform"),
]


@pytest.mark.parametrize(("text", "right"), WRONG)
def test_an_unknown_key_of_the_profile_says_which_keys_there_are(text, right):
    with pytest.raises(SettingsError) as refused:
        read(text, tomllib.loads(text), None)

    problem = str(refused.value)
    assert "unknown key; there are" in problem
    assert right in problem.partition("there are")[2]
