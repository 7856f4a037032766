"""The guest programs and cluster files that come with machemu, in a checkout and in an installed package alike."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import NamedTuple

from machemu.lab.checks import checked
from machemu.lab.errors import UsageError
from machemu.lab.tables import Table
from machemu.machine.profile import CPUS


class ExampleRow(NamedTuple):
    """A program or a cluster file that comes with machemu. cpu: what a program is for, "" for a cluster file."""

    name: str
    cpu: str
    path: Path


def folder(name: str = "images") -> Path:
    """Where programs (`i386/`, `m68k/`), their sources (`src/`), the guest library (`lib/`) and cluster files are."""
    package = Path(str(resources.files("machemu")))
    installed = package / name
    return installed if installed.is_dir() else package.parent / name


@checked()
def examples(cpu: str | None = None) -> Table[ExampleRow]:
    """All programs, or those for a CPU, by CPU and name; and all cluster files. images/README.md says what each shows.

    UsageError for a CPU that there is not.
    """
    if cpu not in (None, *CPUS):
        raise UsageError(f"no examples for a CPU {cpu}: there are {' and '.join(CPUS)}")
    place = folder()
    wanted = CPUS if cpu is None else (cpu,)
    programs = (ExampleRow(path.name, each, path) for each in wanted for path in sorted((place / each).glob("*.elf")))
    return Table([*programs, *(ExampleRow(path.name, "", path) for path in sorted(place.glob("*.toml")))])


@checked()
def example(name: str, cpu: str = "i386") -> Path:
    """The path of a program such as "hello.elf", for a CPU, "i386" or "m68k"; or of a cluster file such as "greet.toml".

    UsageError where there is none; it lists those that there are.
    """
    found = examples(cpu)
    for row in found:
        if row.name == name:
            return row.path
    raise UsageError(f"no example {name}: there are {', '.join(row.name for row in found)}")
