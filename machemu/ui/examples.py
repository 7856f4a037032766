"""`machemu examples`: what programs and cluster files come with machemu, and where they are."""

from __future__ import annotations

import argparse
from pathlib import Path

from machemu.abi.errors import UserError
from machemu.lab.examples import CPUS, example, examples, folder


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "examples",
        help="say where the programs and cluster files that come with machemu are",
        description="Lists the programs and cluster files that come with machemu, or prints the path of one.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("name", nargs="?", help="print the path of this one alone, such as hello.elf")
    parser.add_argument(
        "--cpu", default=CPUS[0], metavar="CPU", help=f"a program for this CPU: {' or '.join(CPUS)} (default: {CPUS[0]})"
    )


def refuse_missing_example(name: str) -> None:
    """UserError where a file is not here, and a program that comes with machemu has its name."""
    if not Path(name).exists() and any(row.name == name for row in examples()):
        where = f"`machemu examples {name}` prints the path of the one that comes with machemu"
        raise UserError(f"{name}: there is no such file here; {where}")


def run(options: argparse.Namespace) -> int:
    out = options.out
    if options.name is not None:
        out.line(str(example(options.name, options.cpu)))
        return 0
    place = folder()
    out.line(f"{place}:")
    for row in examples():
        out.line(f"  {row.path.relative_to(place)}")
    return 0
