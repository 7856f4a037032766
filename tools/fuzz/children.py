"""Runs jobs, each in a process of its own that begins with what its parent has made, and says how each ended."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import mmap
import multiprocessing
import os
import resource
import select
import signal
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Generic, NoReturn, TypeVar

from machemu.machine import accel
from machemu.machine.i386 import division

PATIENCE_S: Final = 10.0
"""A hang is so much of a processor's time without progress in virtual time."""
WALL_PATIENCE: Final = 30
"""The same for a process that does not even use the processor, in multiples of that."""
LOOK_S: Final = 0.25
TEXT_MAX: Final = 4000
RUN_MAX: Final = 16
TICKS: Final = os.sysconf("SC_CLK_TCK")

J = TypeVar("J")
R = TypeVar("R")


@dataclass
class Find:
    """What a job did that none may do. kind: signal, traceback, hang, difference, neighbour, leak or load.

    signature: equal for finds that are probably one fault. run, step: where it happened.
    """

    kind: str
    signature: str
    text: str
    run: str = ""
    step: int = 0


class Board:
    """What a job's process tells while it runs: memory that it shares with its parent."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, mmap.PAGESIZE)
        self.words = memoryview(self.memory)[RUN_MAX:].cast("Q")

    def at(self, run: str, step: int, time: int) -> None:
        """run: of at most RUN_MAX characters."""
        self.memory[:RUN_MAX] = run.encode().ljust(RUN_MAX, b"\0")
        self.words[0], self.words[1] = step, time

    def read(self) -> tuple[str, int, int]:
        return self.memory[:RUN_MAX].rstrip(b"\0").decode(), self.words[0], self.words[1]


class Children(ABC, Generic[J, R]):
    """Runs jobs of one kind; a result is a dataclass of plain data. Use as a context manager, one at a time in a process.

    folder: for its files. patience: seconds of a processor's time that a job may take without progress in virtual time.
    """

    def __init__(self, folder: Path, patience: float = PATIENCE_S) -> None:
        self.patience = patience
        self.errors = folder / f"stderr-{os.getpid()}"
        self.saved = folder / f"saved-{os.getpid()}"
        self.board = Board()

    def __enter__(self) -> Children[J, R]:
        gc.collect()
        gc.freeze()  # so that the processes to come share these objects
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        gc.unfreeze()

    @abstractmethod
    def examine(self, job: J) -> R:
        """Does a job, in its own process."""

    @abstractmethod
    def broken(self, find: Find) -> R:
        """The result of a job whose process did not come to one."""

    @abstractmethod
    def told(self, find: Find | None, values: dict[str, Any]) -> R:
        """The result that a job's process told: `values` are its fields besides `find`."""

    def run(self, job: J) -> R:
        """Does a job in a new process and waits for it."""
        self.board.at("", 0, 0)
        self.errors.write_bytes(b"")
        sys.stdout.flush()
        into, out = os.pipe()
        child = os.fork()
        if not child:
            os.close(into)
            self._child(job, out)
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

    def _result(self, told: bytes, hung: bool, status: int) -> R:
        run, step, _ = self.board.read()
        said = shortened(self.errors.read_text("utf-8", "replace").strip())
        if hung:
            return self.broken(Find("hang", f"hang: {_innermost(said)}", f"no progress in virtual time\n{said}", run, step))
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return self.broken(Find("signal", f"{name}: {_innermost(said)}", f"{name}\n{said}", run, step))
        if not told:
            text = f"the process ended with status {os.waitstatus_to_exitcode(status)} and said nothing\n{said}"
            return self.broken(Find("signal", "ended", text, run, step))
        values = json.loads(told)
        find = values.pop("find")
        return self.told(Find(**find) if find is not None else None, values)

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

    # In the job's process

    def _child(self, job: J, out: int) -> NoReturn:
        try:
            gc.disable()
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            errors = os.open(self.errors, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            os.dup2(errors, 2)
            accel.leave_deaths()
            faulthandler.enable(errors)
            faulthandler.register(signal.SIGUSR1, errors)
            division.guard()  # whose handler of SIGFPE has just been replaced
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            told = memoryview(json.dumps(asdict(self.examine(job))).encode())  # type: ignore[call-overload]
            while told:
                told = told[os.write(out, told) :]
        except BaseException:
            with contextlib.suppress(OSError):
                os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(0)

    def found(self, kind: str, signature: str, text: str) -> Find:
        """A find where the board says that the job is."""
        run, step, _ = self.board.read()
        return Find(kind, signature, text, run, step)


def at_once(jobs: int, work: Callable[[int, Connection], None]) -> Iterator[Any]:
    """What so many processes send, as it comes: `work` gets its process's number and where to send to."""
    context = multiprocessing.get_context("fork")
    connections: list[Connection] = []
    processes = []

    def begin(job: int, out: Connection) -> None:
        for connection in connections:
            connection.close()  # so that nobody is left to send to when the parent is gone
        with contextlib.suppress(BrokenPipeError):
            work(job, out)

    for job in range(jobs):
        ours, theirs = context.Pipe(duplex=False)
        connections.append(ours)
        process = context.Process(target=begin, args=(job, theirs))
        process.start()
        theirs.close()
        processes.append(process)
    try:
        while connections:
            for ready in wait(connections):
                assert isinstance(ready, Connection)
                try:
                    yield ready.recv()
                except EOFError:
                    connections.remove(ready)
    finally:
        for process in processes:
            if connections:
                process.terminate()
            process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a process that runs programs ended before they were through")


def shortened(text: str) -> str:
    """Of long text the begin, where faulthandler has the innermost function, and the end, where a traceback has the error."""
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX // 2]}\n...\n{text[-TEXT_MAX // 2 :]}"


def signature(error: BaseException) -> str:
    """An exception's class and its innermost place in this tree."""
    frames = traceback.extract_tb(error.__traceback__)
    inside = [frame for frame in frames if {"machemu", "masix"} & set(Path(frame.filename).parts)] or frames
    last = inside[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.name}"


def _processor_time(process: int) -> float:
    """The seconds of a processor that a child has used."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def _innermost(said: str) -> str:
    """Of what faulthandler writes the innermost Python function."""
    for line in said.splitlines():
        if line.startswith("  File ") and " in " in line:
            place, _, name = line.partition(" in ")
            return f"{Path(place.split(chr(34))[1]).name}:{name.strip()}"
    return said.splitlines()[-1] if said else ""
