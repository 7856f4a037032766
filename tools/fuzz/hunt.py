"""Runs programs, each in a process of its own that begins with the same two machines, and says how each ended."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from machemu.machine import accel
from tools.fuzz.children import PATIENCE_S, TEXT_MAX, Children, Find, signature
from tools.fuzz.compare import first_difference
from tools.fuzz.play import Cut, Played, Run, Standstill, difference, exceptions, play, whole
from tools.fuzz.program import Program
from tools.fuzz.world import CpuWorld, Hurt

WHOLE, CUT = "whole", "cut"


@dataclass
class Result:
    """How a program ended. steps: how many of its steps began."""

    find: Find | None = None
    steps: int = 0
    instructions: int = 0
    traps: int = 0
    ended: str = ""
    exceptions: dict[str, int] = field(default_factory=dict)


class Hunter(Children[Program, Result]):
    """Runs programs for one architecture."""

    def __init__(self, architecture: str, folder: Path, patience: float = PATIENCE_S) -> None:
        super().__init__(folder, patience)
        with accel.left_out():
            whole = CpuWorld(architecture)
        self.worlds = whole, CpuWorld(architecture)
        digests = [world.node.digest() for world in self.worlds]
        if digests[0] != digests[1]:
            raise RuntimeError("two machines made alike are not equal")

    def __enter__(self) -> Hunter:
        super().__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for world in self.worlds:
            world.close()
        super().__exit__(kind, error, trace)

    def broken(self, find: Find) -> Result:
        return Result(find)

    def told(self, find: Find | None, values: dict[str, Any]) -> Result:
        return Result(find, **values)

    def examine(self, program: Program) -> Result:
        """Runs the program in both machines, which are not as they were afterwards."""
        played: list[Played] = []
        try:
            runs: tuple[Run, Run] = whole, Cut(program.cuts, self.saved if program.saved else None)
            for world, run, name in zip(self.worlds, runs, (WHOLE, CUT), strict=True):
                played.append(play(world, program, run, name, self.board))
            return self._compared(*played)
        except Hurt as hurt:
            return Result(self.found("neighbour", f"neighbour: {hurt}", str(hurt)))
        except Standstill as standstill:
            return Result(self.found("hang", "hang: the kernel's loop", str(standstill)))
        except BaseException as error:
            return Result(self.found("traceback", signature(error), traceback.format_exc()[-TEXT_MAX:]))

    def _compared(self, a: Played, b: Played) -> Result:
        find = None
        apart = difference(a, b)
        if apart is not None:
            text = apart.text or first_difference(*(world.node for world in self.worlds))
            find = Find("difference", f"difference: {apart.what}", text[:TEXT_MAX], CUT, apart.step)
        for world, name in zip(self.worlds, (WHOLE, CUT), strict=True):
            left = world.end()
            if left and find is None:
                find = Find("leak", "leak", left, name, len(a.stops))
        last = a.stops[-1][1] if a.stops else None
        ended = "nothing ran" if last is None else "ended" if not last.is_alive else "stood" if last.raised else "ran on"
        steps = 1 + max((number for number, _ in a.stops), default=-1)
        return Result(find, steps, a.instructions, last.traps if last else 0, ended, dict(exceptions(a)))
