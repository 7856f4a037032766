"""`machemu examples`: what programs and cluster files come with machemu, and where they are."""

from __future__ import annotations

import argparse
from pathlib import Path

from machemu.abi.errors import UserError
from machemu.lab.examples import example, examples, folder
from machemu.machine.profile import CPUS


def refuse_missing_example(name: str) -> None:
    """UserError where a file is not here, and a program that comes with machemu has its name."""
    if not Path(name).exists() and any(row.name == name for row in examples()):
        where = f"`machemu examples {name}` prints the path of the one that comes with machemu"
        raise UserError(f"{name}: there is no such file here; {where}")


def run(options: argparse.Namespace) -> int:
    out = options.out
    if options.name is not None:
        out.line(str(example(options.name, options.cpu or CPUS[0])))
        return 0
    place, rows = folder(), examples(options.cpu)
    out.line(f"{place}:")
    for row in rows:
        out.line(f"  {row.path.relative_to(place)}")
    return 0
