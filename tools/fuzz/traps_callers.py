"""Who makes calls: guests by a stub of a few instructions, host-side tasks by a program."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple, ParamSpec, Protocol, TypeVar

from machemu.abi.errors import KernError, MustWait
from machemu.kern.thread import Thread
from machemu.sim.state import state
from machemu.user.own import KernelView, Memory
from machemu.vm.object import VmObject, deallocate

PULL: Final = 129
"""A trap that nobody has: a guest makes it to be given its next call."""
SWITCH: Final = 61
WAIT_OPTION: Final = 2
WAIT_MS: Final = 1 << 22
T = TypeVar("T")
P = ParamSpec("P")


class Call(NamedTuple):
    """A trap. operation: what is counted, a trap's or a routine's name. writes: what is put into the caller's memory before.

    reply: where the reply is expected, and its id; address 0 for none. text: what it is, for people.
    """

    operation: str
    number: int
    arguments: tuple[int, ...]
    writes: tuple[tuple[int, bytes], ...] = ()
    reply: tuple[int, int] = (0, 0)
    text: str = ""


NOTHING: Final = Call("", 56, ())
"""What a thread does instead of a call: it asks for the null port."""


class Place(NamedTuple):
    """Which of the callers' tasks, and which of its threads."""

    task: int
    thread: int


class Source(Protocol):
    """Whoever chooses the calls and counts their results."""

    def next(self, thread: Thread) -> Call | None:
        """The thread's next call; None when there is none any more."""

    def ended(self, call: Call, thread: int, result: int | None, code: int | None) -> None:
        """A call of a thread's has ended: with the trap's result, None where it was broken off; and the routine's code."""


Program = Callable[[KernelView, Memory], Call | None]


@state
class Caller:
    """machemu.kern.thread.Program: makes the calls that it is given; without anybody who gives any it waits."""

    __slots__ = ("arguments", "give", "number", "owed")
    TRANSIENT = ("give",)

    def __init__(self) -> None:
        self.arguments: tuple[int, ...] = ()
        self.number = self.owed = 0
        self.give: Program | None = None

    def attach(self) -> None:
        self.give = None

    def next(self, kernel: KernelView, memory: Memory, result: int | None) -> int:
        call = self.give(kernel, memory) if self.give is not None else None
        self.arguments = call.arguments if call is not None else (0, WAIT_OPTION, WAIT_MS)
        return call.number if call is not None else SWITCH


def tried(act: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T | None:
    """What `act` gives; None where the kernel refuses it or it would have to wait."""
    try:
        return act(*arguments, **named)
    except KernError:
        return None
    except MustWait as wait:
        deallocate(wait.held if isinstance(wait.held, VmObject) else None)
        return None


def stub(architecture: str, mail: int) -> bytes:
    """Asks for a call, and makes it: its number and its stack pointer lie at `mail`."""
    if architecture == "i386":
        trap = b"\x9a\0\0\0\0\x07\0"
        body = b"\xb8" + struct.pack("<i", -PULL) + trap
        body += b"\x8b\x25" + struct.pack("<I", mail + 4) + b"\xa1" + struct.pack("<I", mail) + trap
        return body + b"\xeb" + struct.pack("b", -len(body) - 2)
    body = b"\x2f\x3c" + struct.pack(">i", -PULL) + b"\x4e\x40"
    body += b"\x2e\x79" + struct.pack(">I", mail + 4) + b"\x2f\x39" + struct.pack(">I", mail) + b"\x4e\x40"
    return body + b"\x60" + struct.pack("b", -len(body) - 2)
