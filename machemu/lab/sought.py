"""What is looked for while machines run: it notices that it came, and may end the piece of the run in which it did."""

from __future__ import annotations

from typing import Protocol

from machemu.core.kernel import Kernel
from machemu.core.observe import unwatch, watch
from machemu.lab.console import Console
from machemu.lab.travel import StepKind, state
from machemu.trace.events import MessageMoved, PageFault, Redirected, TraceEvent, TrapEntered


class Place(Protocol):
    """A machine, or a node of a cluster with power. kernel: another one when it was gone back, or has booted anew."""

    @property
    def kernel(self) -> Kernel: ...

    @property
    def console(self) -> Console: ...


class Hit:
    """That it came, with what is known of it."""


class Sought(Protocol):
    """slow: it is looked for after each trap and each turn of threads; else it ends pieces of the run itself. fine: after each
    instruction, too."""

    @property
    def slow(self) -> bool: ...

    @property
    def fine(self) -> bool: ...

    def begin(self, place: Place, fresh: bool) -> None:
        """It is looked for from where the machine is, whose kernel may be another than before. fresh: what is there does not
        count, such as the instruction at which the run goes on."""

    def came(self, place: Place) -> Hit | None:
        """Whether it has come since it was asked last."""

    def end(self, place: Place) -> None:
        """It is not looked for any more."""


class OfEvent:
    """It comes with an event. As a Tracer it ends the piece of the run with the trap under way."""

    slow = fine = False
    hears_faults = False

    def __init__(self) -> None:
        self._kernel: Kernel | None = None
        self._heard = False

    def matches(self, event: TraceEvent) -> bool:
        raise NotImplementedError

    def matches_fault(self, event: PageFault) -> bool:
        """With `hears_faults`."""
        return False

    def emit(self, event: TraceEvent) -> None:
        if self.matches(event):
            self._came()

    def faulted(self, event: PageFault) -> None:
        if self.matches_fault(event):
            self._came()

    def _came(self) -> None:
        if self._kernel is not None:
            self._heard = True
            self._kernel.stop()

    def begin(self, place: Place, fresh: bool) -> None:
        self._heard = False
        if place.kernel is not self._kernel:
            self._kernel = place.kernel
            watch(self._kernel, self, self.faulted if self.hears_faults else None)

    def came(self, place: Place) -> Hit | None:
        heard, self._heard = self._heard, False
        return Hit() if heard else None

    def end(self, place: Place) -> None:
        if self._kernel is place.kernel:
            unwatch(self._kernel, self)
        self._kernel = None


class Stepped(OfEvent):
    """A trap is made, or a message moves."""

    def __init__(self, kind: StepKind) -> None:
        super().__init__()
        self._types = MessageMoved if kind is StepKind.MESSAGE else TrapEntered | Redirected

    def matches(self, event: TraceEvent) -> bool:
        return isinstance(event, self._types)


class Changed:
    """Instructions or traps were executed, or another thread has the CPU. fine: as Sought."""

    slow = True

    def __init__(self, kind: StepKind, fine: bool = False) -> None:
        self.fine = fine
        self._kind = kind
        self._was: tuple[int, ...] = ()

    def begin(self, place: Place, fresh: bool) -> None:
        self._was = state(place.kernel, self._kind)

    def came(self, place: Place) -> Hit | None:
        was, self._was = self._was, state(place.kernel, self._kind)
        return Hit() if was != self._was else None

    def end(self, place: Place) -> None:
        pass


def step_of(kind: StepKind) -> Sought:
    """The end of a step."""
    if kind in (StepKind.TRAP, StepKind.MESSAGE):
        return Stepped(kind)
    return Changed(kind, fine=kind is StepKind.INSTRUCTION)
