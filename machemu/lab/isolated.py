"""A machine in a process of its own, so that whoever uses it is still there when the CPU emulator dies."""

from __future__ import annotations

import faulthandler
import mmap
import os
import pickle
import signal
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, Final

from machemu.core import board
from machemu.lab.checks import checked
from machemu.lab.errors import EngineDied, HookError, UsageError
from machemu.lab.hooks import Hook
from machemu.lab.machine import Machine
from machemu.lab.running import on_ctrl_c
from machemu.machine import accel
from machemu.sim.units import counted, time_text

INSIDE: Final = ("kernel", "node", "task", "thread")
"""What of a machine cannot leave its process."""
CONSOLE: Final = ("data", "text", "lines")
DONE, RAISED, EVENT = "done", "raised", "event"


class IsolatedConsole:
    """As lab.console.Console, but for `echo`."""

    data: bytes
    text: str
    lines: list[str]

    def __init__(self, machine: IsolatedMachine) -> None:
        self._machine = machine

    def __getattr__(self, name: str) -> Any:
        if name not in CONSOLE:
            raise AttributeError(f"an isolated machine's console has no {name}")
        return self._machine._ask("console", name)

    def type(self, data: bytes | str) -> None:
        self._machine._ask("type", data)

    def __repr__(self) -> str:
        return self.text


class IsolatedMachine:
    """As Machine, in a child process; what it gives is data, and hooks are called in this one. `kernel`, `node`, `task` and
    `thread` stay inside, and a condition of a run must be one that pickle takes.

    EngineDied where the process has died, with the place that it had come to. Not for platforms without fork.
    """

    def __init__(self, make: Callable[[], Machine]) -> None:
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        self._numbers = memoryview(self._shared)[: 8 * board.SIZE].cast("Q")
        self._pipe, theirs = Pipe()
        self._hooks: dict[int, Hook] = {}
        self._closed = self._asking = False
        self.console = IsolatedConsole(self)
        self.pid = os.fork()
        """The child's."""
        if not self.pid:
            status = 1
            try:
                self._pipe.close()
                _serve(theirs, make, self._numbers)
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        try:
            self._receive()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Ends the process."""
        if not self._closed:
            self._closed = True
            self._pipe.close()
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self.pid, 0)

    def __enter__(self) -> IsolatedMachine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<machine, closed>" if self._closed else f"<isolated {self._ask('repr')[1:]}"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(Machine, name):
            raise AttributeError(f"a machine has no {name}")
        if name in INSIDE:
            raise UsageError(
                f"the {name} of an isolated machine is in another process: use tables, or boot without isolated=True"
            )
        if callable(getattr(Machine, name)):
            return lambda *arguments, **options: self._ask("call", name, arguments, options)
        return self._ask("get", name)

    @checked()
    def on(self, kind: str, hook: Callable[[Any], None]) -> Hook:
        """As Machine.on. Each event crosses between the processes, which takes some 50 microseconds."""
        number = self._ask("hook", kind)
        made = self._hooks[number] = Hook(kind, hook, lambda _: self._ask("remove hook", number))
        return made

    def stop(self) -> None:
        """Called by a hook: the run ends right after the trap under way."""
        self._stopping = True

    def _ask(self, *request: Any) -> Any:
        if self._closed:
            raise UsageError("the machine is closed: boot or load another")
        if self._asking:
            raise UsageError("the machine is running: a hook of an isolated machine may call `stop`, and nothing else of it")
        try:
            data = pickle.dumps(request)
        except Exception as error:
            raise UsageError(f"{error}: what goes to an isolated machine must be data that pickle takes") from None
        self._asking, self._stopping = True, False
        try:
            with on_ctrl_c(lambda: os.kill(self.pid, signal.SIGINT)):
                with suppress(OSError):
                    self._pipe.send_bytes(data)
                return self._receive()
        finally:
            self._asking = False

    def _receive(self) -> Any:
        failed: tuple[Hook, BaseException] | None = None
        while True:
            try:
                kind, value = self._pipe.recv()
            except (EOFError, OSError):
                raise self._died() from None
            if kind != EVENT:
                break
            number, event = value
            hook = self._hooks[number]
            try:
                if failed is None:
                    hook.call(event)
            except BaseException as error:  # the child is told to stop first
                failed = hook, error
            with suppress(OSError):
                self._pipe.send(self._stopping or failed is not None)
        if failed is not None:
            hook, cause = failed
            raise HookError(f"{hook!r} raised {type(cause).__name__}: {cause}; remove it or mend it, and run on") from cause
        if kind == RAISED:
            raise value
        return value

    def _died(self) -> EngineDied:
        """The child is gone: where it was."""
        self._closed = True
        self._pipe.close()
        _, status = os.waitpid(self.pid, 0)
        how = f"of {signal.Signals(os.WTERMSIG(status)).name}" if os.WIFSIGNALED(status) else f"with status {status >> 8}"
        numbers = self._numbers
        place: dict[str, int] = {
            "time": board.time_of(numbers),
            "traps": numbers[board.TRAPS],
            "task": numbers[board.TASK],
            "thread": numbers[board.THREAD],
            "pc": numbers[board.PC],
        }
        where = f"task {place['task']} thread {place['thread']}, which went to user mode at pc {place['pc']:#010x}"
        traps = numbers[board.TRAPS]
        text = (
            f"the process of the machine died {how} in {where}, at {time_text(place['time'])}, after {counted(traps, 'trap')}: "
            f"`run(traps={traps})` of another one comes right before it"
        )
        return EngineDied(text, place)


def boot_isolated(*arguments: Any, **options: Any) -> IsolatedMachine:
    """As Machine.boot, in a process of its own."""
    return IsolatedMachine(lambda: Machine.boot(*arguments, **options))


def _serve(pipe: Connection, make: Callable[[], Machine], numbers: Any) -> None:
    """In the child: does what it is asked, until the other end is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.disable()  # the other end tells of its death
    accel.leave_deaths()
    try:
        machine = make()
        machine.watch_place(numbers)
    except Exception as error:
        _send(pipe, RAISED, error)
        return
    served = _Served(pipe, machine)
    pipe.send((DONE, None))
    while True:
        try:
            request = pickle.loads(pipe.recv_bytes())
        except (EOFError, OSError):
            return
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            answer: tuple[str, Any] = DONE, served.do(*request)
        except BaseException as error:  # KeyboardInterrupt is the other end's, too
            answer = RAISED, error
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _send(pipe, *answer)


def _send(pipe: Connection, kind: str, value: Any) -> None:
    try:
        pipe.send((kind, value))
    except OSError:
        return
    except Exception as error:
        what = f"{type(value).__name__}: {value}" if kind == RAISED else f"its answer cannot leave the process: {error}"
        pipe.send((RAISED, UsageError(what)))


class _Served:
    """The machine in the child, with the hooks of the other end."""

    def __init__(self, pipe: Connection, machine: Machine) -> None:
        self.pipe = pipe
        self.machine = machine
        self.hooks: dict[int, Any] = {}
        self.numbers = count(1)

    def do(self, what: str, *arguments: Any) -> Any:
        if what == "get":
            return getattr(self.machine, arguments[0])
        if what == "call":
            name, given, options = arguments
            return getattr(self.machine, name)(*given, **options)
        if what == "console":
            return getattr(self.machine.console, arguments[0])
        if what == "type":
            return self.machine.console.type(arguments[0])
        if what == "repr":
            return repr(self.machine)
        if what == "hook":
            return self._hook(arguments[0])
        hook = self.hooks.pop(arguments[0], None)
        return None if hook is None else hook.remove()

    def _hook(self, kind: str) -> int:
        number = next(self.numbers)

        def tell(event: Any) -> None:
            self.pipe.send((EVENT, (number, event)))
            if self.pipe.recv():
                self.machine.stop()

        self.hooks[number] = self.machine.on(kind, tell)
        return number
