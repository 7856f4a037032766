"""A trace as JSON Lines (jsonlines.org): an object an event, with the fields that the event has in `trace.events`."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any, Final, Protocol

from machemu.trace import events
from machemu.trace.events import ClusterEvent, MemoryRef, RightRef, RightsRef, TraceEvent
from machemu.trace.ports import PortRef


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object: ...


FIELDS: Final = {
    kind: tuple(field.name for field in fields(kind))
    for kind in (
        events.TrapEntered, events.TrapLeft, events.Redirected, events.MessageMoved, events.Faulted, events.Ended, events.Noted,
        events.FrameSent, events.FrameHeard, events.FrameLost, events.Befell,
    )
}  # fmt: skip
"""By kind of event."""


class JsonLines:
    """Writes each event to `out`."""

    def __init__(self, out: Sink) -> None:
        self.out = out

    def write(self, node: str, boot: int, event: TraceEvent | ClusterEvent) -> None:
        """node: the name of the event's node, "" for a machine alone and what happens between nodes. boot: which of its boots."""
        kind = type(event)
        made: dict[str, Any] = {"event": kind.__name__}
        if node:
            made |= {"node": node, "boot": boot}
        for name in FIELDS[kind]:
            made[name] = plain(getattr(event, name))
        if isinstance(event, events.TrapEntered) or (isinstance(event, events.MessageMoved) and event.routine):
            made["arguments"] = dict(made["arguments"])
        elif isinstance(event, events.MessageMoved):
            made["arguments"] = [value for _, value in made["arguments"]]
        self.out.write(json.dumps(made, ensure_ascii=True).encode() + b"\n")


def plain(value: Any) -> Any:
    """A field's value as JSON has it. Bytes are {"hex": ...}; a port has no number, label or is_receive where that is nothing."""
    match value:
        case bytes():
            return {"hex": value.hex()}
        case tuple():
            return [plain(item) for item in value]
        case PortRef():
            made: dict[str, Any] = {"name": value.name, "kind": value.kind.name}
            if value.number:
                made["number"] = value.number
            if value.label:
                made["label"] = value.label
            if value.is_receive:
                made["is_receive"] = True
            return made
        case RightRef():
            return {"disposition": value.disposition, "port": plain(value.port)}
        case RightsRef():
            return {"disposition": value.disposition, "count": value.count}
        case MemoryRef():
            return {"size": value.size}
    return value
