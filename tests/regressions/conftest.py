"""What the tests of regressions share."""

from __future__ import annotations

import pytest

from tests.kit.messages import Case


@pytest.fixture
def case() -> Case:
    """Names that no other test uses."""
    return Case()
