"""The modules of Masix's interfaces are what their definitions give, and no two use the same numbers."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import machemu.mig
import masix
from machemu.mig import pygen
from machemu.mig.parser import parse

PACKAGE = Path(masix.__file__).parent
KERNEL = Path(machemu.mig.__file__).parent / "defs"
NAMES = sorted(path.stem for path in (PACKAGE / "defs").glob("*.defs"))


@pytest.mark.parametrize("name", NAMES)
def test_the_module_is_made_of_its_definition(name: str) -> None:
    made = pygen.generate(parse(PACKAGE / "defs" / f"{name}.defs", [KERNEL]))
    output = f"servers/masix/interfaces/{name}.py"
    advice = f"run python -m machemu.mig servers/masix/defs/{name}.defs -I machemu/mig/defs --python {output}"
    assert made == (PACKAGE / "interfaces" / f"{name}.py").read_text(), advice


def test_no_module_lacks_a_definition() -> None:
    assert sorted(path.stem for path in (PACKAGE / "interfaces").glob("[!_]*.py")) == NAMES


def test_no_number_is_used_twice() -> None:
    used: list[int] = []
    for name in NAMES:
        module = importlib.import_module(f"masix.interfaces.{name}")
        for routine in module.ROUTINES.values():
            used += [routine.request.id] + ([routine.reply.id] if routine.reply is not None else [])
    assert len(used) == len(set(used))
