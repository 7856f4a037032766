"""The table of rights: what becomes of rights to a node's own ports that a task takes along (rights.toml says it in words)."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError

KINDS: Final = ("host", "host-privileged", "processor-set-name", "processor-set", "name-server", "device-master", "printer")
"""What rights are for that every node has. Managers tell each other a kind by its place here, from 1 on."""
OTHER: Final = 0
"""The kind of every other right."""
REBOUND, FORWARDED = "rebound", "forwarded"
DEFAULT: Final = Path(__file__).parent / "rights.toml"


def rebound(path: Path = DEFAULT) -> tuple[str, ...]:
    """The kinds that a table says are rebound. UserError, which names the file and the key, for what is no table of rights."""
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path}: is no TOML: {error}") from None
    for kind, becomes in table.items():
        if kind not in KINDS:
            raise UserError(f"{path}: {kind}: there is no such right; there are {', '.join(KINDS)}")
        if becomes not in (REBOUND, FORWARDED):
            raise UserError(f"{path}: {kind}: is {becomes!r}, and can be '{REBOUND}' or '{FORWARDED}'")
    return tuple(kind for kind in KINDS if table.get(kind) == REBOUND)
