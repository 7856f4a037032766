"""The loops of images/src/bench.c in a machine, and the start of one."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from machemu.boot.bootstrap import boot_modules
from machemu.boot.node import Node
from machemu.machine.profile import DEFAULT_PROFILES, load_profile

IMAGES: Final = Path(__file__).resolve().parent.parent.parent / "images"


def line(name: str, rounds: int) -> str:
    """A boot module's arguments, as both kernels take them."""
    return f"${{host-port}} ${{device-port}} {name} {rounds} $(task-create) $(task-resume)"


def loop_us(architecture: str, name: str, rounds: int) -> float:
    """Microseconds of processor time of one round of a loop of images/src/bench.c, between its two lines on the console."""
    times: list[float] = []

    def sink(data: bytes) -> None:
        if b"GO" in data or b"DONE" in data:
            times.append(time.process_time())
            if len(times) > 1:
                node.kernel.stop()

    with Node(load_profile(DEFAULT_PROFILES[architecture])) as node:
        node.kernel.console.sinks.append(sink)
        boot_modules(node.kernel, [f"{IMAGES / architecture / 'bench.elf'} {line(name, rounds)}"], {})
        node.kernel.run()
    return (times[1] - times[0]) / rounds * 1e6


def start_s(architecture: str) -> float:
    """Seconds from the start of `machemu boot hello.elf` to its first output."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "machemu", "boot", str(IMAGES / architecture / "hello.elf")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        elapsed = time.perf_counter() - began
        process.communicate()
    return elapsed
