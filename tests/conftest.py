"""Each architecture in turn; and hypothesis without dice: the same examples in every run.

HYPOTHESIS_PROFILE=explore looks for new ones.
"""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

from machemu.boot.machines import MACHINES
from tests.support import quick, sample
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


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what runs in the background with Ctrl-C ignored, and programs hand that on to those that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for mark in quick.MARKS:
        config.addinivalue_line("markers", mark)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="run the part of the tests that takes less than two minutes")
    parser.addoption("--sample", type=int, metavar="SEED", help="run a third of what takes long, chosen by SEED, and the rest")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seed = config.getoption("--sample")
    if config.getoption("--quick"):
        kept = quick.chosen(items)
    elif seed is not None:
        kept = sample.sampled(items, seed)
    else:
        return
    chosen = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = kept
