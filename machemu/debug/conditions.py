"""What a run goes on to, or back to.

A condition is asked after each piece of a run whether it came in it. Where it hears of its events itself, it ends the piece with
the trap in which one happened, and the run has its full speed between them.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

from machemu.abi.types import VirtAddr
from machemu.core.kernel import Kernel
from machemu.ipc.port import Port
from machemu.kern.thread import TH_WAIT
from machemu.lab import look
from machemu.lab.console import Lookout
from machemu.lab.errors import UsageError
from machemu.lab.history import History
from machemu.lab.members import ClusterPoint
from machemu.lab.moments import Moment
from machemu.lab.sought import Hit, OfEvent, Place, Sought
from machemu.lab.travel import Point
from machemu.machine.seams import Cpu
from machemu.trace.events import Faulted, MessageMoved, PageFault, Redirected, TraceEvent, TrapEntered

Way = History[Any]
AnyPoint = Point | ClusterPoint
SEND_OR_RECEIVE: Final = (True, False)


class Span(NamedTuple):
    """A piece of a run, from right after `begin` to `end`. Of a node's: moment, and whole, the piece of its cluster's run."""

    begin: AnyPoint
    end: AnyPoint
    whole: Span | None = None
    moment: Moment | None = None


@dataclass(frozen=True)
class At(Hit):
    """Instructions of a watched address that began: the first and the last of a piece. traps: made before it. Itself: the virtual
    time at its end."""

    first_traps: int
    first: int
    last_traps: int
    last: int


class Subject(Place, Protocol):
    """A machine, or a node of a cluster, that goes back and forth. Its methods move it."""

    @property
    def instruction_ns(self) -> int:
        """Nanoseconds of an instruction."""

    def here(self) -> AnyPoint: ...

    def advance(self, time: int) -> None:
        """Goes on to a virtual time, to the end of what is under way then."""

    def settle(self, condition: Condition, way: Way, span: Span) -> AnyPoint:
        """Where a condition came that was met in a piece of the run."""

    def stand_before(self, way: Way, span: Span, traps: int, time: int, is_next: Callable[[Kernel], bool]) -> AnyPoint:
        """The point right before an instruction that ends at a time, and has so many traps before it."""


class Condition(Sought, ABC):
    """text: in words."""

    text: str
    slow = fine = False

    def missing(self, kernel: Kernel) -> str:
        """What it is about, in words, where that is not there yet; "" where it is."""
        return ""

    def first(self, subject: Subject, way: Way, span: Span, hit: Hit) -> AnyPoint:
        """Where it came first in a piece of the run. It may move the subject."""
        return subject.settle(self, way, span)

    def last(self, subject: Subject, way: Way, span: Span, hit: Hit, before: AnyPoint) -> AnyPoint | None:
        """Where it came last in a piece of the run, before a point; None where it did not. It may move the subject."""
        point = subject.settle(self, way, span)
        return point if point < before else None


class _Heard(OfEvent, Condition):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class Trap(_Heard):
    """A trap is made. name: "" for any."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name

    def matches(self, event: TraceEvent) -> bool:
        return isinstance(event, TrapEntered | Redirected) and self.name in ("", event.trap)


class Made(_Heard):
    """So many traps have been made since power-on."""

    def __init__(self, text: str, traps: int) -> None:
        super().__init__(text)
        self.traps = traps

    def matches(self, event: TraceEvent) -> bool:
        """Whether it is made now: it is counted once it is told."""
        assert self._kernel is not None
        return isinstance(event, TrapEntered | Redirected) and self._kernel.trap_count + 1 >= self.traps


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


class Touched(_Heard):
    """A page fault is satisfied, or its thread waits. task: whose; None for any. address: in the page; None for any."""

    hears_faults = True

    def __init__(self, text: str, task: int | None, address: int | None) -> None:
        super().__init__(text)
        self.task = task
        self.address = address

    def missing(self, kernel: Kernel) -> str:
        return "" if self.task is None or self.task in kernel.kern.tasks else f"task {self.task}"

    def matches(self, event: TraceEvent) -> bool:
        return False

    def matches_fault(self, event: PageFault) -> bool:
        assert self._kernel is not None
        size = self._kernel.cpu.page_size
        return self.task in (None, event.task) and (self.address is None or self.address // size == event.address // size)


class QueueFull(_Heard):
    """A port's queue becomes full. port: finds it, also where there was none when this was said. name: of the port, in words."""

    def __init__(self, text: str, port: Callable[[Kernel], Port | None], name: str) -> None:
        super().__init__(text)
        self.port = port
        self.name = name
        self._was = False

    def missing(self, kernel: Kernel) -> str:
        return "" if self.port(kernel) else self.name

    def matches(self, event: TraceEvent) -> bool:
        """Whether it may become full in the trap under way: what is sent is told before it is in the queue."""
        port = None if self._kernel is None else self.port(self._kernel)
        return port is not None and port.msgcount + 1 >= port.qlimit

    def begin(self, place: Place, fresh: bool) -> None:
        super().begin(place, fresh)
        self._was = self._is(place)

    def came(self, place: Place) -> Hit | None:
        self._heard = False
        was, self._was = self._was, self._is(place)
        return Hit() if self._was and not was else None

    def _is(self, place: Place) -> bool:
        port = self.port(place.kernel)
        return port is not None and port.active and port.msgcount >= port.qlimit


class Printed(Condition):
    """The console prints a line with a text."""

    def __init__(self, text: str, wanted: bytes) -> None:
        self.text = text
        self.wanted = wanted
        self._looks = ExitStack()
        self._lookout: Lookout | None = None

    def begin(self, place: Place, fresh: bool) -> None:
        self._looks.close()
        self._lookout = self._looks.enter_context(place.console.looking_for(self.wanted, place.kernel.stop))

    def came(self, place: Place) -> Hit | None:
        assert self._lookout is not None
        found, self._lookout.found = self._lookout.found, False
        return Hit() if found else None

    def end(self, place: Place) -> None:
        self._looks.close()


class Changing(Condition):
    """A state becomes other than it was."""

    slow = True

    def __init__(self, text: str) -> None:
        self.text = text
        self._was: object = None

    def state(self, place: Place) -> object:
        """What it is now."""
        raise NotImplementedError

    def counts(self, was: object, now: object) -> bool:
        """Whether a change is what is looked for."""
        return was != now

    def begin(self, place: Place, fresh: bool) -> None:
        self._was = self.state(place)

    def came(self, place: Place) -> Hit | None:
        was, self._was = self._was, self.state(place)
        return Hit() if self.counts(was, self._was) else None

    def end(self, place: Place) -> None:
        pass

    def find(self, subject: Subject, way: Way, span: Span, state: object, equal: bool) -> AnyPoint:
        """Right after the instruction from which on the state is, or is not, as given; the end of the piece where none makes it
        so."""
        low, high = span.begin.time, span.end.time
        while high - low > 1:
            middle = (low + high) // 2
            way.go(span.begin)
            subject.advance(middle)
            low, high = (low, middle) if (self.state(subject) == state) == equal else (middle, high)
        way.go(span.begin)
        subject.advance(high)
        if (self.state(subject) == state) != equal or subject.here() > span.end:
            way.go(span.end)
        return subject.here()

    def ends(self, subject: Subject, way: Way, span: Span) -> tuple[Span, object, object]:
        """A piece in which it came, and the state at its begin and at its end."""
        way.go(span.begin)
        way.mark()
        old = self.state(subject)
        way.go(span.end)
        if self.state(subject) == old:  # it took no time, and followed what ended there
            subject.advance(span.end.time + 1)
        return span._replace(end=subject.here()), old, self.state(subject)


class Woken(Changing):
    """A thread that waits does so no longer."""

    def __init__(self, text: str, thread: int) -> None:
        super().__init__(text)
        self.thread = thread

    def missing(self, kernel: Kernel) -> str:
        return "" if look.thread_of(kernel, self.thread) else f"thread {self.thread}"

    def state(self, place: Place) -> object:
        thread = look.thread_of(place.kernel, self.thread)
        return thread is not None and bool(thread.state & TH_WAIT)

    def counts(self, was: object, now: object) -> bool:
        return bool(was) and not now


class Written(Changing):
    """What a page holds becomes other than it was, by an instruction or by the kernel. task: a task's number.

    It is found where one write follows another; a page that is as it was before at the end of a trap was not written.
    """

    def __init__(self, text: str, task: int, address: int) -> None:
        super().__init__(text)
        self.task = task
        self.address = address

    def missing(self, kernel: Kernel) -> str:
        return "" if self.task in kernel.kern.tasks else f"task {self.task}"

    def first(self, subject: Subject, way: Way, span: Span, hit: Hit) -> AnyPoint:
        span, old, _ = self.ends(subject, way, span)
        return self.find(subject, way, span, old, False)

    def last(self, subject: Subject, way: Way, span: Span, hit: Hit, before: AnyPoint) -> AnyPoint | None:
        span, old, new = self.ends(subject, way, span)
        while new != old:
            found = self.find(subject, way, span, new, True)
            if found < before:
                return found
            way.go(span.begin)
            subject.advance(found.time - subject.instruction_ns)
            new, end = self.state(subject), subject.here()
            if not span.begin < end < found:
                return None
            span = Span(span.begin, end)
        return None

    def state(self, place: Place) -> object:
        kernel = place.kernel
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
        self.text = text
        self.address = address
        self.task = task
        self._watch: int | None = None
        self._cpu: Cpu | None = None
        self._passed = 0
        self._hit: At | None = None
        self._place: Place | None = None

    def missing(self, kernel: Kernel) -> str:
        return "" if self.task is None or self.task in kernel.kern.tasks else f"task {self.task}"

    def begin(self, place: Place, fresh: bool) -> None:
        self._place, self._hit = place, None
        kernel = place.kernel
        thread = kernel.kern.sched.current
        stands = fresh and thread is not None and thread.continuation is None and thread.pcb.pc == self.address
        self._passed = kernel.cpu.executed + 1 if stands else 0
        if kernel.cpu is not self._cpu:
            self._cpu = kernel.cpu
            self._watch = kernel.cpu.watch_code(VirtAddr(self.address), self._begins)

    def _begins(self) -> None:
        """Called by the CPU. An instruction that faults begins again with the same count.

        The run goes back to before the instruction: what the rest of the piece prints is not shown yet.
        """
        assert self._place is not None
        kernel = self._place.kernel
        thread = kernel.kern.sched.current
        if kernel.cpu.executed <= self._passed or (
            self.task is not None and thread is not None and thread.task.number != self.task
        ):
            return
        traps, time, hit = kernel.trap_count, kernel.kern.clock.now(), self._hit
        self._hit = At(traps, time, traps, time) if hit is None else replace(hit, last_traps=traps, last=time)
        self._place.console.screen.hold()
        kernel.stop()

    def came(self, place: Place) -> Hit | None:
        hit, self._hit = self._hit, None
        return hit

    def end(self, place: Place) -> None:
        if self._watch is not None and place.kernel.cpu is self._cpu:
            self._cpu.unwatch_code(self._watch)
        self._watch = self._cpu = None

    def first(self, subject: Subject, way: Way, span: Span, hit: Hit) -> AnyPoint:
        assert isinstance(hit, At)
        return subject.stand_before(way, span, hit.first_traps, hit.first, self._is_next)

    def last(self, subject: Subject, way: Way, span: Span, hit: Hit, before: AnyPoint) -> AnyPoint | None:
        assert isinstance(hit, At)
        return subject.stand_before(way, span, hit.last_traps, hit.last, self._is_next)

    def _is_next(self, kernel: Kernel) -> bool:
        thread = kernel.kern.sched.current
        return thread is not None and thread.continuation is None and thread.pcb.pc == self.address
