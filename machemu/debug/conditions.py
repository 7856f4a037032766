"""What a run goes on to, or back to.

A condition is asked after each piece of a run whether it came in it. Where it hears of its events itself, it ends the piece with
the trap in which one happened, and the run has its full speed between them.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final, NamedTuple

from machemu.abi.types import VirtAddr
from machemu.core.kernel import Kernel
from machemu.core.observe import unwatch, watch
from machemu.kern.thread import TH_WAIT
from machemu.lab import look
from machemu.lab.errors import UsageError
from machemu.lab.history import History
from machemu.lab.subject import Machines
from machemu.lab.travel import ENDS, Point
from machemu.trace.events import Faulted, MessageMoved, Redirected, TraceEvent, TrapEntered

Way = History[Point]
SEND_OR_RECEIVE: Final = (True, False)


class Span(NamedTuple):
    """A piece of a run, from right after `begin` to `end`."""

    begin: Point
    end: Point


class Hit(NamedTuple):
    """Instructions of a watched address that began: the first and the last of a piece. traps: made before it. Itself: the virtual
    time at its end."""

    first_traps: int
    first: int
    last_traps: int
    last: int


class Condition:
    """text: in words. slow: it is looked for after each trap and each turn of threads; else it ends pieces of the run itself."""

    slow = False

    def __init__(self, text: str) -> None:
        self.text = text

    def begin(self, subject: Machines, fresh: bool) -> None:
        """It is looked for from where the subject is, whose kernel may be another than before. fresh: what is there does not
        count, such as the instruction at which the run goes on."""

    def came(self, subject: Machines) -> Hit | None:
        """Whether it has come since it was asked last."""
        raise NotImplementedError

    def end(self, subject: Machines) -> None:
        """It is not looked for any more."""

    def first(self, subject: Machines, way: Way, span: Span, hit: Hit) -> Point:
        """Where it came first in a piece of the run. It may move the subject."""
        return span.end

    def last(self, subject: Machines, way: Way, span: Span, hit: Hit, before: Point) -> Point | None:
        """Where it came last in a piece of the run, before a point; None where it did not. It may move the subject."""
        return span.end if span.end < before else None


HIT: Final = Hit(0, 0, 0, 0)
"""Where there is no more to say of it."""


class _Heard(Condition):
    """It comes with an event. As a Tracer it ends the piece of the run with the trap under way."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._kernel: Kernel | None = None
        self._heard = False

    def matches(self, event: TraceEvent) -> bool:
        raise NotImplementedError

    def emit(self, event: TraceEvent) -> None:
        if self._kernel is not None and self.matches(event):
            self._heard = True
            self._kernel.stop()

    def begin(self, subject: Machines, fresh: bool) -> None:
        self._heard = False
        if subject.node.kernel is not self._kernel:
            self._kernel = subject.node.kernel
            watch(self._kernel, self)

    def came(self, subject: Machines) -> Hit | None:
        heard, self._heard = self._heard, False
        return HIT if heard else None

    def end(self, subject: Machines) -> None:
        if self._kernel is subject.node.kernel:
            unwatch(self._kernel, self)
        self._kernel = None


class Trap(_Heard):
    """A trap is made. name: "" for any."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name

    def matches(self, event: TraceEvent) -> bool:
        return isinstance(event, TrapEntered | Redirected) and self.name in ("", event.trap)


class Message(_Heard):
    """A message moves. ids: whose; None for any. ways: whether it is sent (True) or received (False)."""

    def __init__(self, text: str, ids: frozenset[int] | None, ways: tuple[bool, ...] = SEND_OR_RECEIVE) -> None:
        super().__init__(text)
        self.ids = ids
        self.ways = ways

    def matches(self, event: TraceEvent) -> bool:
        return (
            isinstance(event, MessageMoved) and event.is_sent in self.ways and (self.ids is None or event.message_id in self.ids)
        )


class Raised(_Heard):
    """A thread takes an exception."""

    def matches(self, event: TraceEvent) -> bool:
        return isinstance(event, Faulted)


class QueueFull(_Heard):
    """A port's queue becomes full. port: its number in the machine."""

    def __init__(self, text: str, port: int) -> None:
        super().__init__(text)
        self.port = port
        self._was = False

    def matches(self, event: TraceEvent) -> bool:
        """Whether it may become full in the trap under way: what is sent is told before it is in the queue."""
        port = None if self._kernel is None else self._kernel.ipc.ports.get(self.port)
        return port is not None and port.msgcount + 1 >= port.qlimit

    def begin(self, subject: Machines, fresh: bool) -> None:
        super().begin(subject, fresh)
        self._was = self._is(subject)

    def came(self, subject: Machines) -> Hit | None:
        self._heard = False
        was, self._was = self._was, self._is(subject)
        return HIT if self._was and not was else None

    def _is(self, subject: Machines) -> bool:
        port = subject.node.kernel.ipc.ports.get(self.port)
        return port is not None and port.active and port.msgcount >= port.qlimit


class Woken(Condition):
    """A thread that waits does so no longer."""

    slow = True

    def __init__(self, text: str, thread: int) -> None:
        super().__init__(text)
        self.thread = thread
        self._waited = False

    def begin(self, subject: Machines, fresh: bool) -> None:
        self._waited = self._waits(subject)

    def came(self, subject: Machines) -> Hit | None:
        waited, self._waited = self._waited, self._waits(subject)
        return HIT if waited and not self._waited else None

    def _waits(self, subject: Machines) -> bool:
        thread = look.thread_of(subject.node.kernel, self.thread)
        return thread is not None and bool(thread.state & TH_WAIT)


class Printed(Condition):
    """The console prints a line with a text."""

    def __init__(self, text: str, wanted: bytes) -> None:
        super().__init__(text)
        self.wanted = wanted
        self._looks = ExitStack()

    def begin(self, subject: Machines, fresh: bool) -> None:
        self._looks.close()
        self._looks.enter_context(subject.console.looking_for(self.wanted, subject.node.kernel.stop))

    def came(self, subject: Machines) -> Hit | None:
        found, subject.console.found = subject.console.found, False
        return HIT if found else None

    def end(self, subject: Machines) -> None:
        self._looks.close()


class Written(Condition):
    """What a page holds becomes other than it was, by an instruction or by the kernel. task: a task's number.

    It is found where one write follows another; a page that is as it was before at the end of a trap was not written.
    """

    slow = True

    def __init__(self, text: str, task: int, address: int) -> None:
        super().__init__(text)
        self.task = task
        self.address = address
        self._was: bytes | None = None

    def begin(self, subject: Machines, fresh: bool) -> None:
        self._was = self._page(subject)

    def came(self, subject: Machines) -> Hit | None:
        was, self._was = self._was, self._page(subject)
        return HIT if was != self._was else None

    def first(self, subject: Machines, way: Way, span: Span, hit: Hit) -> Point:
        old, _ = self._ends(subject, way, span)
        return self._find(subject, way, span, old, False)

    def last(self, subject: Machines, way: Way, span: Span, hit: Hit, before: Point) -> Point | None:
        old, new = self._ends(subject, way, span)
        while new != old:
            found = self._find(subject, way, span, new, True)
            if found < before:
                return found
            way.go(span.begin)
            subject.advance(found.time - subject.instruction_ns)
            new, end = self._page(subject), subject.here()
            if not span.begin < end < found:
                return None
            span = Span(span.begin, end)
        return None

    def _ends(self, subject: Machines, way: Way, span: Span) -> tuple[bytes | None, bytes | None]:
        """The page at the begin and at the end of a piece."""
        way.go(span.end)
        new = self._page(subject)
        way.go(span.begin)
        way.mark()
        return self._page(subject), new

    def _find(self, subject: Machines, way: Way, span: Span, page: bytes | None, equal: bool) -> Point:
        """Right after the instruction from which on the page is, or is not, as given; the end of the piece where none makes it
        so."""
        low, high = span.begin.time, span.end.time
        while high - low > 1:
            middle = (low + high) // 2
            way.go(span.begin)
            subject.advance(middle)
            low, high = (low, middle) if (self._page(subject) == page) == equal else (middle, high)
        way.go(span.begin)
        subject.advance(high)
        if (self._page(subject) == page) != equal or subject.here() > span.end:
            way.go(span.end)
        return subject.here()

    def _page(self, subject: Machines) -> bytes | None:
        kernel = subject.node.kernel
        task = kernel.kern.tasks.get(self.task)
        if task is None:
            return None
        size = kernel.cpu.page_size
        try:
            return look.read(kernel, task, self.address - self.address % size, size)
        except UsageError:
            return None


class Reached(Condition):
    """An instruction at an address is the next one. task: whose; None for any task's."""

    def __init__(self, text: str, address: int, task: int | None) -> None:
        super().__init__(text)
        self.address = address
        self.task = task
        self._watch: int | None = None
        self._passed = 0
        self._hit: Hit | None = None
        self._subject: Machines | None = None

    def begin(self, subject: Machines, fresh: bool) -> None:
        self._subject, self._hit = subject, None
        kernel = subject.node.kernel
        thread = kernel.kern.sched.current
        stands = fresh and thread is not None and thread.continuation is None and thread.pcb.pc == self.address
        self._passed = kernel.cpu.executed + 1 if stands else 0
        if self._watch is None:
            self._watch = kernel.cpu.watch_code(VirtAddr(self.address), self._begins)

    def _begins(self) -> None:
        """Called by the CPU. An instruction that faults begins again with the same count."""
        assert self._subject is not None
        kernel = self._subject.node.kernel
        thread = kernel.kern.sched.current
        if kernel.cpu.executed <= self._passed or (
            self.task is not None and thread is not None and thread.task.number != self.task
        ):
            return
        traps, time, hit = kernel.trap_count, kernel.kern.clock.now(), self._hit
        self._hit = Hit(traps, time, traps, time) if hit is None else hit._replace(last_traps=traps, last=time)
        kernel.stop()

    def came(self, subject: Machines) -> Hit | None:
        hit, self._hit = self._hit, None
        return hit

    def end(self, subject: Machines) -> None:
        if self._watch is not None:
            subject.node.kernel.cpu.unwatch_code(self._watch)
            self._watch = None

    def first(self, subject: Machines, way: Way, span: Span, hit: Hit) -> Point:
        return self._before(subject, way, span, hit.first_traps, hit.first)

    def last(self, subject: Machines, way: Way, span: Span, hit: Hit, before: Point) -> Point | None:
        return self._before(subject, way, span, hit.last_traps, hit.last)

    def _before(self, subject: Machines, way: Way, span: Span, traps: int, time: int) -> Point:
        """The point right before an instruction that ends at a time, where it goes through at once."""
        way.go(span.begin)
        if traps > subject.here().traps:
            subject.advance(traps=traps - subject.here().traps)
        if time - subject.instruction_ns > subject.here().time:
            subject.advance(time - subject.instruction_ns)
        while not self._is_next(subject.node.kernel) and subject.here() < span.end:
            if subject.advance(turns=1) in ENDS:
                break
        return subject.here()

    def _is_next(self, kernel: Kernel) -> bool:
        thread = kernel.kern.sched.current
        return thread is not None and thread.continuation is None and thread.pcb.pc == self.address
