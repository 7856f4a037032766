"""Where a boot script's modules are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from machemu.formats import packed


@dataclass(frozen=True, slots=True)
class Modules:
    """folder: where the paths begin that a boot script names."""

    folder: Path = Path()

    def read(self, path: str, what: str = "an executable") -> bytes:
        """A module's bytes, unpacked. what: what it has to be. UserError for one that cannot be read."""
        return packed.read(self.folder / path, what)
