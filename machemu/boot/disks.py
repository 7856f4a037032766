"""The disks of a machine, opened from the files that are their images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from machemu.machine.disk import ImageDisk


@dataclass(frozen=True, slots=True)
class DiskSpec:
    """writable: what the guest writes changes the file."""

    path: Path
    writable: bool


@contextmanager
def opened(specs: Mapping[str, DiskSpec]) -> Iterator[dict[str, ImageDisk]]:
    """Disks by name, opened. Those that are still among them at the end of the block are closed: who keeps one takes it out.

    UserError where one cannot be opened.
    """
    disks: dict[str, ImageDisk] = {}
    try:
        for name, spec in specs.items():
            disks[name] = ImageDisk.of_file(spec.path, spec.writable)
        yield disks
    finally:
        for disk in disks.values():
            disk.close()
