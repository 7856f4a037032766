"""A trace as text: one line a trap and a message, in the manner of strace."""

from __future__ import annotations

from io import TextIOBase
from typing import TextIO

from machemu.abi.exception import Exc
from machemu.abi.kern_return import KernReturn, MigReturn
from machemu.abi.message import MsgReturn, Option
from machemu.abi.port import Right
from machemu.trace.events import Ended, Event, Faulted, MessageMoved, Noted, PortRef, Redirected, TrapEntered, TrapLeft

CODES: dict[int, str] = {int(code): code.name for family in (KernReturn, MigReturn, MsgReturn) for code in family}
MSG_MASK = 0x3C00
NO_PORT = PortRef(0, "")
RIGHTS = {int(right): right.name for right in Right}
EXCEPTIONS = {int(exception): exception.name for exception in Exc}


def code_name(code: int) -> str:
    """A kern_return_t or mach_msg_return_t by name; MACH_MSG's sub-codes are appended in hexadecimal."""
    if code == 0:
        return "KERN_SUCCESS"
    name = CODES.get(code)
    if name is None and code & 0xFFFFC3FF in CODES:
        return f"{CODES[code & 0xFFFFC3FF]}|{code & MSG_MASK:#x}"
    return name or f"{code:#x}"


def exception_text(exception: int, code: int, subcode: int) -> str:
    """What an exception says, by name."""
    name = EXCEPTIONS.get(exception, str(exception))
    return f"{name} code {code_name(code) if exception == Exc.EXC_BAD_ACCESS else code} subcode {subcode:#x}"


def option_text(value: int) -> str:
    names = [member.name.removeprefix("MACH_") for member in Option if member and value & member and member.name]
    rest = value & ~sum(Option)
    return "|".join(names + ([f"{rest:#x}"] if rest else [])) or "0"


def port_text(port: PortRef) -> str:
    if not port.name and port.what:
        return port.what
    return f"{port.name} ({port.what})" if port.what else str(port.name)


def argument_text(name: str, value: int | PortRef) -> str:
    if isinstance(value, PortRef):
        return f"{name}={port_text(value)}"
    if name == "option":
        return f"{name}={option_text(value)}"
    if name == "right":
        return f"{name}={RIGHTS.get(value, value)}"
    if name in ("msg", "address", "namep", "child_task"):
        return f"{name}={value:#010x}"
    return f"{name}={value}"


def result_text(event: TrapLeft) -> str:
    if event.kind == "code":
        return "MACH_MSG_SUCCESS" if event.trap == "mach_msg" and event.result == 0 else code_name(event.result)
    return port_text(event.port) if event.port is not None else str(event.result)


class Strace:
    """Writes events to `out`. A trap is one line with its result, what it did follows.

    A trap whose thread blocks, so that another's events come between, is shown as strace shows it: unfinished, then resumed.
    open: a trap that may yet come back at once; held: the lines of what it did so far.
    """

    def __init__(self, out: TextIO | TextIOBase) -> None:
        self.out = out
        self.open: TrapEntered | None = None
        self.held: list[str] = []

    def emit(self, event: Event) -> None:
        if isinstance(event, TrapEntered):
            self._close_open()
            self.open = event
        elif isinstance(event, TrapLeft):
            result = result_text(event)
            if self.open is not None and self.open.thread == event.thread:
                self._close_open(f" = {result}")
            else:
                self._close_open()
                self.out.write(line(event, f"<... {event.trap} resumed> = {result}"))
        elif self.open is not None and event.thread in (0, self.open.thread):
            self.held.append(line(event, other_text(event)))
        else:
            self._close_open()
            self.out.write(line(event, other_text(event)))

    def finish(self) -> None:
        """The run is over: a trap still open is shown unfinished."""
        self._close_open()
        self.out.flush()

    def _close_open(self, end: str = " <unfinished ...>") -> None:
        if self.open is not None:
            self.out.write(line(self.open, call_text(self.open) + end))
            self.out.writelines(self.held)
            self.open = None
            self.held.clear()


def line(event: Event, text: str) -> str:
    """A line of the trace: virtual time, who, what."""
    seconds, rest = divmod(event.time, 1_000_000_000)
    who = f"task {event.task} thread {event.thread}" if event.thread else f"task {event.task}" if event.task else "kernel"
    return f"{seconds:4}.{rest:09} {who:<18} {text}\n"


def call_text(event: TrapEntered) -> str:
    return f"{event.trap}({', '.join(argument_text(name, value) for name, value in event.arguments)})"


def other_text(event: MessageMoved | Faulted | Ended | Redirected | Noted) -> str:
    if isinstance(event, MessageMoved):
        arrow, to = ("->", "to") if event.sent else ("<-", "on")
        reply = f" reply to {port_text(event.local)}" if event.local != NO_PORT else ""
        items = f" [{', '.join(event.items)}]" if event.items else ""
        return f"  {arrow} {event.what} {event.size} bytes {to} {port_text(event.remote)}{reply}{items}"
    if isinstance(event, Faulted):
        return f"  !! {exception_text(event.exception, event.code, event.subcode)}"
    if isinstance(event, Redirected):
        return f"{event.trap} goes to {event.handler:#010x}"
    if isinstance(event, Noted):
        return event.what
    return "  ended"
