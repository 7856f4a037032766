"""A machine, and a node of a cluster, as conditions see them: they go back and forth to find where one came."""

from __future__ import annotations

from collections.abc import Callable

from machemu.core.kernel import Kernel
from machemu.debug.conditions import AnyPoint, Changing, Condition, Span, Way
from machemu.lab.console import Console
from machemu.lab.members import ClusterPoint, Clusters, Member
from machemu.lab.moments import settle
from machemu.lab.sought import Place
from machemu.lab.subject import Machines
from machemu.lab.travel import ENDS, Point


class Standing:
    """What a machine's place gives."""

    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def kernel(self) -> Kernel:
        return self._place.kernel

    @property
    def console(self) -> Console:
        return self._place.console

    @property
    def instruction_ns(self) -> int:
        return self.kernel.kern.clock.instruction_ns


class Whole(Standing):
    """A machine. conditions.Subject."""

    def __init__(self, subject: Machines) -> None:
        super().__init__(subject)
        self.subject = subject

    def here(self) -> Point:
        return self.subject.here()

    def advance(self, time: int) -> None:
        self.subject.advance(time)

    def settle(self, condition: Condition, way: Way, span: Span) -> AnyPoint:
        return span.end

    def stand_before(self, way: Way, span: Span, traps: int, time: int, is_next: Callable[[Kernel], bool]) -> Point:
        """Where it goes through at once: a thread may yet get the CPU before it."""
        subject = self.subject
        way.go(span.begin)
        if traps > subject.here().traps:
            subject.advance(traps=traps - subject.here().traps)
        if time - subject.instruction_ns > subject.here().time:
            subject.advance(time - subject.instruction_ns)
        while not is_next(subject.kernel) and subject.here() < span.end:
            if subject.advance(turns=1) in ENDS:
                break
        return subject.here()


class InNode(Standing):
    """A node, with its cluster around it. conditions.Subject."""

    def __init__(self, clusters: Clusters, member: Member) -> None:
        super().__init__(member)
        self.clusters = clusters
        self.member = member

    def here(self) -> ClusterPoint:
        return self.clusters.here()

    def advance(self, time: int) -> None:
        self.clusters.run(time)
        self.clusters.catch_up(self.member)

    def settle(self, condition: Condition, way: Way, span: Span) -> AnyPoint:
        if isinstance(condition, Changing):
            span, old, _ = condition.ends(self, way, span)
            return condition.find(self, way, span, old, False)
        assert span.whole is not None and span.moment is not None
        way.go(span.whole.begin)
        settle(self.clusters, self.member, condition, span.moment, span.whole.end.time)
        return self.here()

    def stand_before(self, way: Way, span: Span, traps: int, time: int, is_next: Callable[[Kernel], bool]) -> AnyPoint:
        """All nodes come to the time at which it begins."""
        assert span.whole is not None
        way.go(span.whole.begin)
        self.clusters.run(time - self.instruction_ns)
        return self.here()
