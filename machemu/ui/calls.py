"""A trace as text, the short form: one line a call. A request to the kernel and its reply are one call."""

from __future__ import annotations

from dataclasses import dataclass
from io import TextIOBase
from typing import TextIO

from machemu.abi.message import MACH_RCV_MSG, MACH_RCV_TIMEOUT, MACH_SEND_MSG
from machemu.abi.names import REPLY
from machemu.trace.events import Ended, MessageMoved, TraceEvent, TrapEntered, TrapLeft
from machemu.trace.ports import PortKind, PortRef, port_text
from machemu.trace.words import call_text, contents, other_text, result_text, what_text
from machemu.ui.strace import line

USERS = (PortKind.NULL, PortKind.DEAD, PortKind.PORT, PortKind.DEAD_PORT, PortKind.PORT_SET)
"""What the kernel does not stand behind."""


@dataclass(slots=True)
class Call:
    """A trap under way, what it has sent and received so far, and what its line began with where that is written already."""

    entered: TrapEntered
    sent: MessageMoved | None = None
    received: MessageMoved | None = None
    written: str = ""


class Calls:
    """Writes events to `out`, a line a call, followed by what else happened in it.

    A call whose thread blocks, so that another's events come between, is shown as strace shows it: unfinished, then resumed.
    A reply of the kernel's is shown when it is received. open: a call that may yet come back at once; held: the lines of what
    else happened so far; blocked: calls that have been shown unfinished, by thread.
    """

    def __init__(self, out: TextIO | TextIOBase) -> None:
        self.out = out
        self.open: Call | None = None
        self.held: list[str] = []
        self.blocked: dict[int, Call] = {}

    def emit(self, event: TraceEvent) -> None:
        if isinstance(event, TrapEntered):
            self._close_open()
            self.open = Call(event)
        elif isinstance(event, TrapLeft):
            self._left(event)
        elif isinstance(event, MessageMoved) and self._is_of_call(event):
            pass
        elif self.open is not None and event.thread in (0, self.open.entered.thread):
            self.held.append(line(event, other_text(event)))
        else:
            self._close_open()
            self.out.write(line(event, other_text(event)))
        if isinstance(event, Ended):
            self.blocked.pop(event.thread, None)

    def finish(self) -> None:
        """The run is over: a call still open is shown unfinished."""
        self._close_open()
        self.out.flush()

    def _is_of_call(self, event: MessageMoved) -> bool:
        """Whether a message is told by its call's line, or by that of the call that will receive it."""
        if not event.thread:
            return event.routine.endswith(REPLY)
        is_open = self.open is not None and self.open.entered.thread == event.thread
        call = self.open if is_open else self.blocked.get(event.thread)
        if call is None:
            return False
        if event.is_sent:
            call.sent = event
        else:
            call.received = event
        return True

    def _left(self, event: TrapLeft) -> None:
        call = self.open
        if call is not None and call.entered.thread == event.thread:
            self._close_open(end_text(call, event))
            return
        self._close_open()
        call = self.blocked.pop(event.thread, None)
        if call is None:
            text = f"<... {event.trap} resumed> = {result_text(event)}"
        else:
            head = head_text(call)
            again = f"{name(call)} resumed" if head == call.written else f"{call.entered.trap} resumed: {head}"
            text = f"<... {again}>{end_text(call, event)}"
        self.out.write(line(event, text))

    def _close_open(self, end: str = "") -> None:
        if self.open is not None:
            head = head_text(self.open)
            if not end:
                self.open.written = head
                self.blocked[self.open.entered.thread] = self.open
            self.out.write(line(self.open.entered, f"{head}{end or ' <unfinished ...>'}"))
            self.out.writelines(self.held)
            self.open = None
            self.held.clear()


def head_text(call: Call) -> str:
    """A call up to its result."""
    entered, sent = call.entered, call.sent
    arguments = dict(entered.arguments)
    option, port = arguments.get("option", 0), arguments.get("rcv_name")
    if entered.trap != "mach_msg" or not isinstance(option, int) or not isinstance(port, PortRef):
        return call_text(entered)
    if sent is None:
        receives = option & (MACH_SEND_MSG | MACH_RCV_MSG) == MACH_RCV_MSG
        return f"mach_msg {receive_text(option, port, arguments.get('timeout', 0))}" if receives else call_text(entered)
    awaits = bool(option & MACH_RCV_MSG) and port.name == sent.local.name
    if is_request(sent):
        text = f"{sent.routine}({', '.join([port_text(sent.remote), *contents(sent)])})"
    else:
        text = f"mach_msg send {what_text(sent)} to {port_text(sent.remote)}{contents_text(sent)}"
    if sent.local.kind is not PortKind.NULL and not awaits:
        text += f" reply to {port_text(sent.local)}"
    if option & MACH_RCV_MSG and not (awaits and is_request(sent)):
        text += f", {receive_text(option, port, arguments.get('timeout', 0))}"
    return text


def end_text(call: Call, left: TrapLeft) -> str:
    """A call's result: a routine's own where its reply has come; else the message received, or the trap's code."""
    sent, received = call.sent, call.received
    if received is None:
        return f" = {result_text(left)}"
    code = f" {result_text(left)}" if left.result else ""
    if sent is not None and is_request(sent) and received.routine == sent.routine + REPLY:
        result, *others = contents(received)
        given = f" [{', '.join(others)}]" if others else ""
        return f" = {result.partition('=')[2]}{given}{code}"
    reply = "" if received.local.kind is PortKind.NULL else f" reply to {port_text(received.local)}"
    return f" = {what_text(received)} on {port_text(received.remote)}{reply}{contents_text(received)}{code}"


def is_request(sent: MessageMoved) -> bool:
    """Whether a message asks the kernel for something that it knows."""
    return bool(sent.routine) and not sent.routine.endswith(REPLY) and sent.remote.kind not in USERS


def name(call: Call) -> str:
    """What a call is named by when it is resumed."""
    return call.sent.routine if call.sent is not None and is_request(call.sent) else call.entered.trap


def contents_text(event: MessageMoved) -> str:
    return f" [{', '.join(held)}]" if (held := contents(event)) else ""


def receive_text(option: int, port: PortRef, timeout: object) -> str:
    return f"receive on {port_text(port)}{f' for {timeout} ms' if option & MACH_RCV_TIMEOUT else ''}"
