"""A command run in a child process, so that somebody is left to say where it was when the CPU emulator dies of a signal.

Parent and child share a board: numbers that the run keeps up to date, and what the child can still say of itself in the handler
of the signal. The parent takes the child's exit status for its own.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import chain, pairwise
from pathlib import Path
from typing import Final

from machemu.core import board
from machemu.core.board import NODE, PC, TASK, THREAD, TRAPS
from machemu.machine import accel, signals
from machemu.sim.output import Output
from machemu.sim.units import counted, time_text
from machemu.ui.status import Status

DEADLY: Final = (signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL, signal.SIGBUS)
"""What an engine dies of."""
START_TIME, START_AGE, START_TRAPS, SIGNAL, SIZE = range(board.SIZE, board.SIZE + 5)
"""More numbers on the board: where the run began, and the signal that the child was told of."""
MEMORY: Final = 1 << 16
LAST_WORDS_S: Final = 5
"""Host seconds that a dying child has for what it can still say."""
RECORD_MAX: Final = 16 << 20
"""Bytes of what is typed that are kept."""
SAVE: Final = "--save"
END: Final = "\0"
"""Between the names and values that a dying child tells."""
PR_SET_PDEATHSIG: Final = 1


class Board:
    """What parent and child share. numbers: `core.board`'s, and more. describe: gives what a dying child can say.
    finish: has what was traced so far written, a trap under way included.

    typed: a file of what the console has read from standard input, None where that is not kept.
    """

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, MEMORY)
        self.numbers = memoryview(self.memory)[: 8 * SIZE].cast("Q")
        self.describe: Callable[[], dict[str, str]] | None = None
        self.finish: Callable[[], None] | None = None
        self.typed = os.memfd_create("typed") if hasattr(os, "memfd_create") else None
        self.kept = 0

    def begin(self, time: int, traps: int) -> None:
        """A run begins at a virtual time, with so many traps made before."""
        self.numbers[START_TRAPS] = traps
        board.set_time(self.numbers, time, START_TIME)

    def keep(self, data: bytes) -> None:
        """The console has read something from standard input."""
        if self.typed is not None and self.kept + len(data) <= RECORD_MAX:
            self.kept += os.write(self.typed, data)

    def tell(self, number: int) -> None:
        """In the child, which dies of a signal."""
        self.numbers[SIGNAL] = number
        if self.describe is not None:
            words = os.fsencode(END.join(chain.from_iterable(self.describe().items())))[: MEMORY - 8 * SIZE]
            self.memory[8 * SIZE : 8 * SIZE + len(words)] = words
        if self.finish is not None:
            self.finish()

    def words(self) -> dict[str, str]:
        """In the parent: what the child could still say."""
        told = os.fsdecode(self.memory[8 * SIZE :].rstrip(b"\0")).split(END)
        return dict(zip(told[::2], told[1::2], strict=False))


def watched(command: Callable[[Board], int], arguments: Sequence[str], errors: Output) -> int:
    """Runs a command in a child where the system can; its exit status. arguments: the command line, to be run again."""
    shared = Board()
    if sys.platform != "linux":
        return command(shared)
    waited = {signal.SIGINT, signal.SIGCHLD}
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    parent = os.getpid()
    try:
        child = os.fork()
    except OSError:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return command(shared)
    if not child:
        status = int(Status.INTERNAL)
        try:
            _be_child(parent, shared)
            status = command(shared)
        finally:
            os._exit(status)
    status = _wait(child)
    signal.sigtimedwait({signal.SIGINT}, 0)  # there is nothing left to interrupt
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    number = os.WTERMSIG(status)
    if number in DEADLY or shared.numbers[SIGNAL]:
        for line in obituary(shared, number, arguments):
            errors.line(line)
        return Status.INTERNAL
    signal.signal(number, signal.SIG_DFL) if number != signal.SIGKILL else None
    os.kill(os.getpid(), number)
    return 128 + number


def _be_child(parent: int, shared: Board) -> None:
    """Dies with its parent, and says what it can when it dies of a signal. SIGINT stays blocked until somebody takes it."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(Status.INTERNAL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    accel.leave_deaths()
    defaults = {number: signals.current(number) for number in DEADLY}

    def dies(number: int, _info: int, _context: int) -> None:
        signal.alarm(LAST_WORDS_S)
        for each, default in defaults.items():
            signals.become(each, default)
        # Whatever is wrong in a process that dies, it dies: of the same signal, once the handler is over.
        with suppress(BaseException):
            shared.tell(number)
        os.kill(os.getpid(), number)

    action = signals.action(dies)
    for number in DEADLY:
        signals.become(number, action)


def _wait(child: int) -> int:
    """The child's end, as waitpid has it. Ctrl-C at a terminal reaches the child by itself; what its parent is sent goes on."""
    if signal.SIGINT in signal.sigpending():
        os.kill(child, signal.SIGINT)
    while True:
        info = signal.sigwaitinfo({signal.SIGINT, signal.SIGCHLD})
        if info.si_signo == signal.SIGCHLD:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status
        elif info.si_code <= 0:
            os.kill(child, signal.SIGINT)


def obituary(shared: Board, number: int, arguments: Sequence[str]) -> list[str]:
    """What is to be said of a child that died of a signal."""
    import shlex  # not before it is needed: it takes time to load, as the next

    from machemu.formats.symbols import symbol_at

    numbers, words = shared.numbers, shared.words()
    name = signal.Signals(numbers[SIGNAL] or number).name
    lines = [f"machemu: died of {name}, a fault of machemu's own or of its CPU emulator's: please report it with the program"]
    if not numbers[THREAD]:
        return [*lines, f"  no guest had run; to run it again: {shlex.join(['machemu', *arguments])}"]
    node = words.get("node", f"number {numbers[NODE]}" if numbers[NODE] else "")
    pc = int(words.get("pc", numbers[PC]))
    code = bytes.fromhex(words.get("code", ""))
    symbol = symbol_at(Path(words["program"]), pc, code) if "program" in words else ""
    task = f"task {numbers[TASK]}" + (f" ({words['task']})" if "task" in words else "")
    where = f"{f'node {node}, ' if node else ''}{task} thread {numbers[THREAD]}"
    lines.append(f"  {where}, pc {pc:#010x}{f' ({symbol})' if symbol else ''}, bytes there: {code.hex(' ') or 'unknown'}")
    time = time_text(board.time_of(numbers))
    lines.append(f"  it last went to user mode at {time}, pc {numbers[PC]:#010x}, after {counted(numbers[TRAPS], 'trap')}")
    return [*lines, f"  to run it again up to there: {shlex.join(again(shared, arguments))}"]


def again(shared: Board, arguments: Sequence[str]) -> list[str]:
    """The command line that runs a command again, up to where its child last went to user mode; it saves nothing."""
    numbers = shared.numbers
    options: list[str] = []
    for before, word in pairwise(["", *arguments]):
        if SAVE not in (before, word) and not word.startswith(f"{SAVE}="):
            options.append(word)
    traps = numbers[TRAPS] - numbers[START_TRAPS]
    if options[:1] == ["step"]:
        return ["machemu", *options]
    if options[:1] == ["cluster"] or not traps:
        options += ["--for", f"{board.time_of(numbers) - board.time_of(numbers, START_TIME)}ns"]
    else:
        options += ["--traps", str(traps)]
    if shared.typed is not None and (size := os.fstat(shared.typed).st_size):
        descriptor, path = tempfile.mkstemp(prefix="machemu-typed-")
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.pread(shared.typed, size, 0))
        options += ["--input", path]
    return ["machemu", *options]
