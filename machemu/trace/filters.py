"""What somebody wants to hear of a node: its tasks, ports, traps, message ids."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from machemu.trace.events import (
    Ended,
    MessageMoved,
    Redirected,
    RightRef,
    TraceEvent,
    Tracer,
    TrapEntered,
    TrapLeft,
    Value,
)
from machemu.trace.names import short_name
from machemu.trace.ports import PORTS, PortKind, PortRef, kind_text


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of each what is wanted; where it is empty, everything is.

    tasks: numbers, and names with or without their folders. ports: a port's number in the machine as digits, or what it stands
    for in a trace's words, such as `device console`. traps: names. ids: message ids.
    """

    tasks: frozenset[int | str] = frozenset()
    ports: frozenset[str] = frozenset()
    traps: frozenset[str] = frozenset()
    ids: frozenset[int] = frozenset()

    @property
    def all(self) -> bool:
        return not (self.tasks or self.ports or self.traps or self.ids)


class Need(Enum):
    """What a call is still to show before it is wanted."""

    PORT = auto()
    TRAP = auto()
    ID = auto()


@dataclass(slots=True)
class Pending:
    """A call under way: what it has not shown yet, and its events so far, () once it is wanted."""

    needs: set[Need]
    events: list[TraceEvent] = field(default_factory=list)


class Filter:
    """Passes to a tracer the calls that are wanted, whole: a trap, the messages that it moves, its result.

    Whether a call is wanted may be known only by what it sends or receives; then what it did before comes late. What happens
    outside of a call, the kernel's own messages among it, is wanted for itself.
    """

    def __init__(self, tracer: Tracer, wanted: Wanted) -> None:
        self.tracer = tracer
        self.wanted = wanted
        pairs = ((wanted.ports, Need.PORT), (wanted.traps, Need.TRAP), (wanted.ids, Need.ID))
        self.needs = {need for given, need in pairs if given}
        self.calls: dict[int, Pending] = {}

    def emit(self, event: TraceEvent) -> None:
        if self.wanted.tasks and not self._is_of_task(event):
            return
        if not self.needs:
            self.tracer.emit(event)
            return
        if isinstance(event, TrapEntered):
            self.calls[event.thread] = Pending(set(self.needs))
        call = self.calls.get(event.thread)
        if call is None:
            if self.needs <= self._shown(event):
                self.tracer.emit(event)
            return
        call.needs -= self._shown(event)
        call.events.append(event)
        if not call.needs:
            for each in call.events:
                self.tracer.emit(each)
            call.events.clear()
        if isinstance(event, TrapLeft | Ended):
            del self.calls[event.thread]

    def _is_of_task(self, event: TraceEvent) -> bool:
        wanted, name = self.wanted.tasks, event.task_name
        return event.task in wanted or (bool(name) and (name.strip("()") in wanted or short_name(name) in wanted))

    def _shown(self, event: TraceEvent) -> set[Need]:
        """What an event meets."""
        shown = set()
        if isinstance(event, TrapEntered | TrapLeft | Redirected) and event.trap in self.wanted.traps:
            shown.add(Need.TRAP)
        if isinstance(event, MessageMoved) and event.message_id in self.wanted.ids:
            shown.add(Need.ID)
        if self.wanted.ports and any(self._is_port(port) for port in ports_of(event)):
            shown.add(Need.PORT)
        return shown

    def _is_port(self, port: PortRef) -> bool:
        wanted = self.wanted.ports
        if port.kind in (*PORTS, PortKind.DEAD_PORT) and str(port.number) in wanted:
            return True
        text = kind_text(port).removesuffix(" receive")
        return text in wanted or (port.kind is PortKind.TASK and f"task {port.number}" in wanted)


def ports_of(event: TraceEvent) -> Iterator[PortRef]:
    """All ports that an event names."""
    match event:
        case TrapEntered():
            yield from (value for _, value in event.arguments if isinstance(value, PortRef))
        case TrapLeft():
            if event.port is not None:
                yield event.port
        case MessageMoved():
            yield event.remote
            yield event.local
            yield from _ports_in(tuple(value for _, value in event.arguments))


def _ports_in(value: Value) -> Iterator[PortRef]:
    if isinstance(value, RightRef):
        yield value.port
    elif isinstance(value, tuple):
        for item in value:
            yield from _ports_in(item)
