"""The events of one node, in the order in which they happen: numbers, names and references. Times are virtual nanoseconds.

Each says whose it is: task and thread by their numbers in the node, 0 for the kernel's own; task_name is for people, "" for the
kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol, TypeAlias

from machemu.trace.ports import PortRef


@dataclass(frozen=True, slots=True)
class RightRef:
    """A right in a message. disposition: a mach_msg_type_name_t; 0 where the routine's definition says it."""

    disposition: int
    port: PortRef


@dataclass(frozen=True, slots=True)
class RightsRef:
    """Rights out of line, all with one disposition."""

    disposition: int
    count: int


@dataclass(frozen=True, slots=True)
class MemoryRef:
    """Memory out of line, in bytes."""

    size: int


Value: TypeAlias = "int | bytes | RightRef | RightsRef | MemoryRef | tuple[Value, ...]"
"""A part of a message."""


@dataclass(frozen=True, slots=True)
class TrapEntered:
    """A thread entered the kernel. arguments: (name, value) in the trap's order; a port name comes as PortRef."""

    time: int
    task: int
    task_name: str
    thread: int
    trap: str
    arguments: tuple[tuple[str, int | PortRef], ...]


@dataclass(frozen=True, slots=True)
class TrapLeft:
    """A trap's result goes back to the thread. kind says how to read it: 'code' (kern or msg return), 'name', 'boolean'."""

    time: int
    task: int
    task_name: str
    thread: int
    trap: str
    result: int
    kind: str
    port: PortRef | None


@dataclass(frozen=True, slots=True)
class MessageMoved:
    """A message was sent by a thread (`is_sent`) or received by it; the kernel's own messages have no sending thread."""

    time: int
    task: int
    task_name: str
    thread: int
    is_sent: bool
    message_id: int
    routine: str
    """Whose request or reply it is, "" where that is not known."""
    size: int
    """In bytes, header and body."""
    body_size: int
    remote: PortRef
    local: PortRef
    arguments: tuple[tuple[str, Value], ...]
    """The routine's, by name. Without a known routine, what rights and memory it carries, without names."""
    number: int = field(default=0, compare=False)
    """The same when a message is sent and when it is received, and no other message's; 0 where nobody watched it being sent."""


@dataclass(frozen=True, slots=True)
class Faulted:
    """A page fault that was not satisfied, or a CPU exception: what the thread's exception says."""

    time: int
    task: int
    task_name: str
    thread: int
    exception: int
    code: int
    subcode: int


class Satisfied(Enum):
    """How a page fault was satisfied."""

    ZEROS = "zeros"
    """A page of zeros was made."""
    COPY = "copy"
    """A page that was shared for copy-on-write was copied."""
    MAPPED = "mapped"
    """The page was in memory: its memory manager had given it, or somebody else had touched it."""
    WAITS = "waits"
    """The thread waits, for a memory manager or for a free frame; when it goes on it may fault again."""


@dataclass(frozen=True, slots=True)
class PageFault:
    """A thread in user mode touched a page that was not in its page tables, and no exception came of it.

    It is told to those alone who ask for page faults: no trace has it."""

    time: int
    """Right after it."""
    task: int
    task_name: str
    thread: int
    address: int
    access: int
    """VM_PROT_READ, VM_PROT_WRITE or VM_PROT_EXECUTE."""
    how: Satisfied


@dataclass(frozen=True, slots=True)
class Ended:
    """A thread ended."""

    time: int
    task: int
    task_name: str
    thread: int


@dataclass(frozen=True, slots=True)
class Redirected:
    """A trap goes to a handler of the task's own, a user address."""

    time: int
    task: int
    task_name: str
    thread: int
    trap: str
    handler: int


@dataclass(frozen=True, slots=True)
class Noted:
    """A host-side thread says what it does, in its own words."""

    time: int
    task: int
    task_name: str
    thread: int
    text: str


TraceEvent = TrapEntered | TrapLeft | Redirected | MessageMoved | Faulted | Ended | Noted


@dataclass(frozen=True, slots=True)
class FrameSent:
    """A node's interface, such as `eth0`, has a frame for its segment."""

    time: int
    segment: str
    number: int
    """Of the frames of this segment, from 1."""
    node: str
    interface: str
    begin: int
    """When its first bit is on the wire; it waits until the medium is free."""
    end: int
    """When its last one is."""
    frame: bytes


@dataclass(frozen=True, slots=True)
class FrameHeard:
    """A node's interface hears a frame."""

    time: int
    segment: str
    number: int
    node: str
    interface: str


@dataclass(frozen=True, slots=True)
class FrameLost:
    """A node's interface does not hear a frame that it would have heard at a time, or does not take it."""

    time: int
    segment: str
    number: int
    node: str
    interface: str
    reason: str
    """`loss`, `partition`, `cut`, `no power`, `halted`, `full` (as much as it takes waits for it), `crash` (it was under way)."""


@dataclass(frozen=True, slots=True)
class Befell:
    """A fault of the cluster file's. kind: as there. node, segment: whom it befell, "" where it is the other.

    detail: of a partition the groups; of a cut and of its end (`mend`) who sends, who does not hear it, the probability, and
    `both` where it is so the other way, too; of a change of a segment each property and its value.
    """

    time: int
    kind: str
    node: str
    segment: str
    detail: tuple[tuple[str, ...], ...] | tuple[tuple[str, int | float], ...]


ClusterEvent = FrameSent | FrameHeard | FrameLost | Befell
"""What happens between the nodes of a cluster; nodes and segments by their names."""


class Tracer(Protocol):
    """Who listens."""

    def emit(self, event: TraceEvent) -> None: ...
