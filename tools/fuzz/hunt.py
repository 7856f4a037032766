"""Runs programs, each in a process of its own that begins with the same two machines, and says how each ended."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import mmap
import os
import resource
import select
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn

from tools.fuzz.compare import first_difference
from tools.fuzz.play import Cut, Played, Run, Standstill, difference, exceptions, play, whole
from tools.fuzz.program import Program
from tools.fuzz.world import Hurt, World

PATIENCE_S: Final = 10.0
"""A hang is so much of a processor's time without progress in virtual time."""
WALL_PATIENCE: Final = 30
"""The same for a process that does not even use the processor, in multiples of that."""
LOOK_S: Final = 0.25
TEXT_MAX: Final = 4000
WHOLE, CUT = "whole", "cut"
RUNS: Final = ("", WHOLE, CUT)
TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass
class Find:
    """What a program did that none may do. kind: signal, traceback, hang, difference, neighbour or leak.

    signature: equal for finds that are probably one fault. run, step: where it happened.
    """

    kind: str
    signature: str
    text: str
    run: str = ""
    step: int = 0


@dataclass
class Result:
    """How a program ended. steps: how many of its steps began."""

    find: Find | None = None
    steps: int = 0
    instructions: int = 0
    traps: int = 0
    ended: str = ""
    exceptions: dict[str, int] = field(default_factory=dict)


class Board:
    """What a program's process tells while it runs: memory that it shares with its parent."""

    def __init__(self) -> None:
        self.words = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")

    def at(self, run: str, step: int, time: int) -> None:
        self.words[0], self.words[1], self.words[2] = RUNS.index(run), step, time

    def read(self) -> tuple[str, int, int]:
        return RUNS[self.words[0]], self.words[1], self.words[2]


class Hunter:
    """Runs programs for one architecture. Use as a context manager, one at a time in a process.

    folder: for its files. patience: seconds of a processor's time that a program may take without progress in virtual time.
    """

    def __init__(self, architecture: str, folder: Path, patience: float = PATIENCE_S) -> None:
        self.patience = patience
        self.errors = folder / f"stderr-{os.getpid()}"
        self.saved = folder / f"saved-{os.getpid()}"
        self.board = Board()
        self.worlds = World(architecture), World(architecture)
        digests = [world.node.digest() for world in self.worlds]
        if digests[0] != digests[1]:
            raise RuntimeError("two machines made alike are not equal")
        gc.collect()
        gc.freeze()  # so that the processes to come share these objects

    def __enter__(self) -> Hunter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for world in self.worlds:
            world.close()
        gc.unfreeze()

    def run(self, program: Program) -> Result:
        """Runs a program in a new process and waits for it."""
        self.board.at("", 0, 0)
        self.errors.write_bytes(b"")
        sys.stdout.flush()
        into, out = os.pipe()
        child = os.fork()
        if not child:
            os.close(into)
            self._child(program, out)
        os.close(out)
        try:
            told, hung = self._listen(child, into)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        finally:
            os.close(into)
        _, status = os.waitpid(child, 0)
        return self._result(told, hung, status)

    def _result(self, told: bytes, hung: bool, status: int) -> Result:
        run, step, _ = self.board.read()
        said = self.errors.read_text("utf-8", "replace")[-TEXT_MAX:].strip()
        if hung:
            return Result(Find("hang", f"hang: {_innermost(said)}", f"no progress in virtual time\n{said}", run, step))
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return Result(Find("signal", f"{name}: {_innermost(said)}", f"{name}\n{said}", run, step))
        if not told:
            text = f"the process ended with status {os.waitstatus_to_exitcode(status)} and said nothing\n{said}"
            return Result(Find("signal", "ended", text, run, step))
        values = json.loads(told)
        find = values.pop("find")
        return Result(find=Find(**find) if find is not None else None, **values)

    def _listen(self, child: int, into: int) -> tuple[bytes, bool]:
        """What the process says until it ends; whether it had to be ended, since it stood still."""
        told = b""
        last: object = None
        since = wall = 0.0
        while True:
            if not select.select([into], [], [], LOOK_S)[0]:
                where, used = self.board.read(), _processor_time(child)
                if where != last:
                    last, since, wall = where, used, time.monotonic()
                elif used - since > self.patience or time.monotonic() - wall > WALL_PATIENCE * self.patience:
                    os.kill(child, signal.SIGUSR1)  # it writes where it is
                    time.sleep(LOOK_S)
                    os.kill(child, signal.SIGKILL)
                    return told, True
                continue
            piece = os.read(into, 1 << 16)
            if not piece:
                return told, False
            told += piece

    # In the program's process

    def _child(self, program: Program, out: int) -> NoReturn:
        try:
            gc.disable()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            errors = os.open(self.errors, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            os.dup2(errors, 2)
            faulthandler.enable(errors)
            faulthandler.register(signal.SIGUSR1, errors)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.write(out, json.dumps(asdict(self.examine(program))).encode())
        except BaseException:
            with contextlib.suppress(OSError):
                os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(0)

    def examine(self, program: Program) -> Result:
        """Runs the program in both machines, which are not as they were afterwards."""
        played: list[Played] = []
        try:
            runs: tuple[Run, Run] = whole, Cut(program.cuts, self.saved if program.saved else None)
            for world, run, name in zip(self.worlds, runs, (WHOLE, CUT), strict=True):
                played.append(play(world, program, run, name, self.board))
            return self._compared(*played)
        except Hurt as hurt:
            return Result(self._found("neighbour", f"neighbour: {hurt}", str(hurt)))
        except Standstill as standstill:
            return Result(self._found("hang", "hang: the kernel's loop", str(standstill)))
        except BaseException as error:
            return Result(self._found("traceback", _signature(error), traceback.format_exc()[-TEXT_MAX:]))

    def _found(self, kind: str, signature: str, text: str) -> Find:
        run, step, _ = self.board.read()
        return Find(kind, signature, text, run, step)

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


def _processor_time(process: int) -> float:
    """The seconds of a processor that a child has used."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def _signature(error: BaseException) -> str:
    """An exception's class and its innermost place in this tree."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if "machemu" in Path(frame.filename).parts] or frames
    last = inside[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.name}"


def _innermost(said: str) -> str:
    """Of what faulthandler writes the innermost Python function."""
    for line in said.splitlines():
        if line.startswith("  File ") and " in " in line:
            place, _, name = line.partition(" in ")
            return f"{Path(place.split(chr(34))[1]).name}:{name.strip()}"
    return said.splitlines()[-1] if said else ""
