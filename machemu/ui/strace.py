"""A trace as text, the full form: one line a trap and a message, in the manner of strace."""

from __future__ import annotations

from io import TextIOBase
from typing import TextIO

from machemu.trace.events import TraceEvent, TrapEntered, TrapLeft
from machemu.trace.words import call_text, other_text, result_text, task_text
from machemu.ui.timeline import stamp

WHO_WIDTH = 30


class Strace:
    """Writes events to `out`. A trap is one line with its result, what it did follows.

    A trap whose thread blocks, so that another's events come between, is shown as strace shows it: unfinished, then resumed.
    open: a trap that may yet come back at once; held: the lines of what it did so far.
    """

    def __init__(self, out: TextIO | TextIOBase) -> None:
        self.out = out
        self.open: TrapEntered | None = None
        self.held: list[str] = []

    def emit(self, event: TraceEvent) -> None:
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


def line(event: TraceEvent, text: str) -> str:
    """A line of the trace: virtual time, who, what."""
    who = task_text(event.task, event.task_name) if event.task else "kernel"
    if event.thread:
        who += f" thread {event.thread}"
    return f"{stamp(event.time)} {who:<{WHO_WIDTH}} {text}\n"
