"""The events of one node, in the order in which they happen. Times are virtual nanoseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PortRef:
    """A port name with what it stands for in the space of the task concerned, e.g. `task-self` or `port 12 receive`."""

    name: int
    what: str


@dataclass(frozen=True, slots=True)
class TrapEntered:
    """A thread entered the kernel. arguments: (name, value) in the trap's order; a port name comes as PortRef."""

    time: int
    task: int
    thread: int
    trap: str
    arguments: tuple[tuple[str, int | PortRef], ...]


@dataclass(frozen=True, slots=True)
class TrapLeft:
    """A trap's result goes back to the thread. kind says how to read it: 'code' (kern or msg return), 'name', 'boolean'."""

    time: int
    task: int
    thread: int
    trap: str
    result: int
    kind: str
    port: PortRef | None


@dataclass(frozen=True, slots=True)
class MessageMoved:
    """A message was sent by a thread (`sent`) or received by it; the kernel's own messages have no sending thread.

    what: the routine's name where the id is known. items: each item of the body, already in words.
    """

    time: int
    task: int
    thread: int
    sent: bool
    message_id: int
    what: str
    size: int
    remote: PortRef
    local: PortRef
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Faulted:
    """A page fault that was not satisfied, or a CPU exception: what the thread's exception says."""

    time: int
    task: int
    thread: int
    exception: int
    code: int
    subcode: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A thread, or with thread 0 a whole task, ended."""

    time: int
    task: int
    thread: int


@dataclass(frozen=True, slots=True)
class Redirected:
    """A trap goes to a handler of the task's own, a user address."""

    time: int
    task: int
    thread: int
    trap: str
    handler: int


@dataclass(frozen=True, slots=True)
class Noted:
    """A host-side thread says what it does."""

    time: int
    task: int
    thread: int
    what: str


Event = TrapEntered | TrapLeft | Redirected | MessageMoved | Faulted | Ended | Noted


class Tracer(Protocol):
    """Who listens."""

    def emit(self, event: Event) -> None: ...
