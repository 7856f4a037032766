"""What a snapshot of a machine and going back to it cost, beside saving it to a file and loading that."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules
from machemu.boot.node import Node
from machemu.machine.profile import DEFAULT_PROFILES, load_profile
from tools.bench.loops import IMAGES

TRAPS: Final = 40
"""pingpong is in the middle of its messages then."""
RAM: Final = 8 << 20


def ratio(architecture: str, rounds: int) -> float:
    """Processor time of `rounds` snapshots and restores of pingpong's machine, in that of as many saves and loads."""
    with tempfile.TemporaryDirectory() as folder, Node(load_profile(DEFAULT_PROFILES[architecture]), RAM) as node:
        boot_modules(node.kernel, [f"{IMAGES / architecture / 'pingpong.elf'} {DEFAULT_LINE}"], {})
        node.kernel.run(traps=TRAPS)
        path = Path(folder, "machine")
        in_memory = in_file = 0.0
        for _ in range(rounds):
            began = time.process_time()
            node.restore(node.snapshot())
            middle = time.process_time()
            node.save(path)
            loaded = Node.load(path)
            in_memory, in_file = in_memory + middle - began, in_file + time.process_time() - middle
            loaded.close()
        return in_memory / in_file
