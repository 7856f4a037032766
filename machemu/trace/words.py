"""Trace events, codes and ports in words."""

from __future__ import annotations

from typing import Final

from machemu.abi.exception import EXC_BAD_ACCESS
from machemu.abi.names import EXCEPTIONS, REPLY
from machemu.trace.arguments import DISPOSITIONS, Namer, code_name, namer
from machemu.trace.events import (
    Befell,
    ClusterEvent,
    Ended,
    Faulted,
    FrameHeard,
    FrameLost,
    FrameSent,
    MemoryRef,
    MessageMoved,
    Noted,
    Redirected,
    RightRef,
    RightsRef,
    TrapEntered,
    TrapLeft,
    Value,
)
from machemu.trace.names import short_name
from machemu.trace.ports import PortKind, PortRef, port_text, right_text

TEXT_MAX = 48
VALUES_MAX = 8

ACTIONS: Final = ("start", "stop", "replace")
"""Kinds of what befalls a node's servers."""


def exception_text(exception: int, code: int, subcode: int) -> str:
    """What an exception says, by name."""
    name = EXCEPTIONS.get(exception, str(exception))
    return f"{name} code {code_name(code) if exception == EXC_BAD_ACCESS else code} subcode {subcode:#x}"


def task_text(number: int, name: str) -> str:
    """A task, such as `task 2 (pingpong.elf)`: a boot module's file, which its children are called after."""
    short = short_name(name)
    return f"task {number} ({short})" if short else f"task {number}"


def value_text(value: Value, say: Namer | None = None) -> str:
    """An argument of a message, shortened. say: gives numbers in words."""
    match value:
        case int():
            if say is not None:
                return say(value)
            return str(value) if abs(value) < 1 << 16 else f"{value:#x}"
        case bytes():
            shown = value[:TEXT_MAX].decode("latin-1").encode("unicode_escape").decode()
            return f'"{shown}"' + ("..." if len(value) > TEXT_MAX else "")
        case MemoryRef():
            return f"<{value.size} bytes out of line>"
        case RightRef():
            text = right_text(value.port)
            return f"{text} {DISPOSITIONS.get(value.disposition, value.disposition)}" if value.disposition else text
        case RightsRef():
            return carried_text(value)
    shown = ", ".join(value_text(item, say) for item in value[:VALUES_MAX])
    return f"({shown}{', ...' if len(value) > VALUES_MAX else ''})"


def carried_text(value: Value) -> str:
    """What a message of no known routine carries."""
    match value:
        case RightRef():
            return f"{DISPOSITIONS[value.disposition]} {right_text(value.port)}"
        case MemoryRef():
            return f"{value.size} bytes out of line"
        case RightsRef():
            return f"{value.count} {DISPOSITIONS[value.disposition]} rights out of line"
    return value_text(value)


def argument_text(trap: str, name: str, value: int | PortRef) -> str:
    if isinstance(value, PortRef):
        return f"{name}={port_text(value)}"
    if (say := namer(trap, name)) is not None:
        return f"{name}={say(value)}"
    if name in ("msg", "address", "namep", "child_task"):
        return f"{name}={value:#010x}"
    return f"{name}={value}"


def result_text(event: TrapLeft) -> str:
    if event.kind == "code":
        return "MACH_MSG_SUCCESS" if event.trap == "mach_msg" and event.result == 0 else code_name(event.result)
    if event.kind == "boolean":
        return "TRUE" if event.result else "FALSE"
    return port_text(event.port) if event.port is not None else str(event.result)


def call_text(event: TrapEntered) -> str:
    return f"{event.trap}({', '.join(argument_text(event.trap, name, value) for name, value in event.arguments)})"


def contents(event: MessageMoved) -> list[str]:
    """What a message holds: arguments by name where its routine is known, else how much, and what it carries."""
    if event.routine:
        routine = event.routine.removesuffix(REPLY)
        return [f"{name}={value_text(value, namer(routine, name))}" for name, value in event.arguments]
    size = [f"{event.body_size} bytes"] if event.body_size else []
    carried = [carried_text(value) for _, value in event.arguments[:VALUES_MAX]]
    return size + carried + (["..."] if len(event.arguments) > VALUES_MAX else [])


def what_text(event: MessageMoved) -> str:
    return event.routine or f"message {event.message_id}"


def detail_text(event: Befell) -> str:
    """What a fault changes: groups, a cut's sides, a server, a segment's properties; "" where there is no more to say."""
    if event.kind == "partition":
        return " | ".join(" ".join(map(str, group)) for group in event.detail)
    if event.kind in ("cut", "mend"):
        senders, hearers, loss, *both = event.detail
        part = "" if loss == ("1.0",) else f" loss={loss[0]}"
        return f"{' '.join(map(str, senders))} {'<->' if both else '->'} {' '.join(map(str, hearers))}{part}"
    if event.kind in ACTIONS:
        return ", not done: ".join(str(value) for _, value in event.detail)
    return ", ".join(f"{name}={value}" for name, value in event.detail)


def fault_text(event: Befell, whom: str = "") -> str:
    """A fault, such as `crash`, `partition: pc | sun`, `change: loss=0.5`, and with whom `partition of lan: pc | sun`."""
    kind = "change" if event.kind == "segment" else event.kind
    detail = detail_text(event)
    return kind + (f" of {whom}" if whom else "") + (f": {detail}" if detail else "")


def owner(event: ClusterEvent) -> str:
    """The node or segment to which it happened."""
    return event.node if isinstance(event, Befell) and event.node else event.segment


def cluster_text(event: ClusterEvent) -> str:
    """What happened to a node or on a segment, which is named before it."""
    match event:
        case Befell():
            return fault_text(event)
        case FrameSent():
            return f"frame {event.number} of {len(event.frame)} bytes from {event.node} {event.interface}"
        case FrameHeard():
            return f"frame {event.number} is heard by {event.node} {event.interface}"
        case FrameLost():
            return f"frame {event.number} is lost to {event.node} {event.interface}: {event.reason}"


def other_text(event: MessageMoved | Faulted | Ended | Redirected | Noted) -> str:
    if isinstance(event, MessageMoved):
        what = what_text(event)
        arrow, to = ("->", "to") if event.is_sent else ("<-", "on")
        reply = "" if event.local.kind is PortKind.NULL else f" reply to {port_text(event.local)}"
        items = f" [{', '.join(held)}]" if (held := contents(event)) else ""
        return f"  {arrow} {what} {event.size} bytes {to} {port_text(event.remote)}{reply}{items}"
    if isinstance(event, Faulted):
        return f"  !! {exception_text(event.exception, event.code, event.subcode)}"
    if isinstance(event, Redirected):
        return f"{event.trap} goes to {event.handler:#010x}"
    if isinstance(event, Noted):
        return event.text
    return "  ended"
