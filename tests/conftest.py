"""Each architecture in turn; and hypothesis without dice: the same examples in every run.

HYPOTHESIS_PROFILE=explore looks for new ones.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

from machemu.boot.machines import MACHINES
from tests.support.guests import ARCHS, Arch

settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", deadline=None, max_examples=2000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session", params=[arch for arch in ARCHS.values() if arch.name in MACHINES], ids=lambda arch: arch.name)
def arch(request: pytest.FixtureRequest) -> Arch:
    """Each architecture in turn."""
    found = request.param
    assert isinstance(found, Arch)
    return found
