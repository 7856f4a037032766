"""machemu/machine/i386/x87.bin is what tools/x87.c makes."""

from __future__ import annotations

import subprocess

import pytest

from tools import x87 as maker


@pytest.mark.slow
def test_the_machine_code_is_what_the_source_makes() -> None:
    """With the compiler that made it; else the same functions."""
    try:
        made = maker.made()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no compiler: {error}")
    there = maker.TARGET.read_bytes()
    names = [{line.split()[0] for line in blob.partition(b"\n\n")[0].splitlines()[1:]} for blob in (made, there)]
    assert names[0] == names[1]
    if made.splitlines()[0] == there.splitlines()[0]:
        assert made == there
