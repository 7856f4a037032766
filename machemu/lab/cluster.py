"""A cluster to work with from Python: run it, step one of its nodes, go back with all of them, let faults befall it."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.cluster.cluster import Cluster as Inner
from machemu.cluster.cluster import ClusterStop
from machemu.cluster.faults import (
    Crash,
    Cut,
    Fault,
    Heal,
    Mend,
    Partition,
    Pause,
    ReplaceServer,
    Restart,
    Resume,
    SetSegment,
    StartServer,
    StopServer,
)
from machemu.cluster.file import SEED_MAX, ClusterSpec, load_file
from machemu.cluster.pcap import Capture
from machemu.cluster.schedule import ACTIONS, Names, check_cut, check_once, class_of_kind, from_line
from machemu.cluster.server_specs import ServerSpec
from machemu.cluster.servers import load_server
from machemu.cluster.values import a_class, check_properties
from machemu.core.kernel import Stop
from machemu.lab.back import NEAR
from machemu.lab.checks import checked
from machemu.lab.console import Screen
from machemu.lab.errors import EndError, UsageError
from machemu.lab.history import BUDGET, History
from machemu.lab.members import ClusterPoint, Clusters, Member, Members
from machemu.lab.moments import Moment, Moments, settle
from machemu.lab.recorded import REASONS, Reason, Recorded, kind_of
from machemu.lab.sought import Changed, Sought, step_of
from machemu.lab.travel import StepKind, runs_instructions
from machemu.sim import files
from machemu.sim.output import Output
from machemu.sim.units import time_text
from machemu.trace.events import ClusterEvent

PATIENCE_NS: Final = 60_000_000_000
"""Virtual time in which a node must make its next step."""
NEAR_NS: Final = 200_000
GROWTH: Final = 8
"""Virtual time before a point in which a node's last step is looked for; and how many times more, as long as there is none."""
FEW_NS: Final = 200
"""The same, where it is looked for instruction by instruction."""
STOPS: Final = {
    ClusterStop.ASKED: Stop.ASKED,
    ClusterStop.INTERRUPTED: Stop.INTERRUPTED,
    ClusterStop.TIME: Stop.TIME,
    ClusterStop.WEDGED: Stop.WEDGED,
}


class Cluster(Recorded[ClusterPoint, Clusters, Inner]):
    """A cluster, made by `Cluster.boot` or `Cluster.load`.

    nodes: by their names in the cluster file.
    """

    _what = "cluster"

    def __init__(
        self, inner: Inner, record: bool = True, budget: int = BUDGET, inputs: bool = True, read: Sequence[Path] = ()
    ) -> None:
        super().__init__(inner.interrupt, read)
        self._captures: list[Path] = []
        self._files = ExitStack()
        self.screen = Screen()
        self.nodes: Mapping[str, Member] = Members({node.name: Member(self, node, inputs) for node in inner.nodes})
        members = list(self.nodes.values())
        self._begin(inner, Clusters(inner, members, record), members, budget if record else None)

    @classmethod
    @checked(budget=0, seed=0)
    def boot(
        cls,
        file: str | Path | ClusterSpec,
        *,
        seed: int | None = None,
        record: bool = True,
        budget: int = BUDGET,
        inputs: bool = True,
    ) -> Cluster:
        """The machines that a cluster file describes, switched on. seed: of all that is random, instead of the file's.

        record: whether it can go back; without, a run that is stopped leaves each node where it has come to, and does not bring
        the others there. budget: as Machine.boot. inputs: whether the nodes' consoles read the files that the cluster file names.
        UserError where the file is wrong or a node cannot be booted.
        """
        if seed is not None and seed >= SEED_MAX:
            raise UsageError(f"Cluster.boot: seed={seed}: write a whole number, 0 or more and less than 2^64")
        spec = _spec(file)
        inner = Inner(spec, seed)
        try:
            inner.boot()
            return cls(inner, record, budget, inputs, _files(file, spec))
        except BaseException:
            inner.close()
            raise

    @classmethod
    @checked(budget=0)
    def load(
        cls,
        path: str | Path,
        file: str | Path | ClusterSpec,
        *,
        record: bool = True,
        budget: int = BUDGET,
        inputs: bool = True,
    ) -> Cluster:
        """A cluster that was saved, of the cluster file `file`. UserError where they do not fit. The rest is as in `boot`."""
        spec = _spec(file)
        return cls(Inner.load(Path(path), spec), record, budget, inputs, _files(file, spec))

    def close(self) -> None:
        """As Machine.close; and captures end."""
        self._files.close()
        super().close()

    def __enter__(self) -> Cluster:
        return self

    def __repr__(self) -> str:
        if self._inside is None:
            return "<cluster, closed>"
        return f"<cluster of {', '.join(self.nodes)}, {time_text(self.time)}>"

    @property
    def inner(self) -> Inner:
        """The cluster's inside, for what this API has no name for: nothing in it is promised to stay."""
        return self._open()

    def _rejoin(self) -> None:
        self.inner.interrupt = self._interrupt
        if self._place is not None:
            self.inner.board = self._place
        for kernel in self._subject.kernels():
            self._join(kernel)

    @property
    def time(self) -> int:
        """Nanoseconds of virtual time to which all nodes have come."""
        return self.inner.time

    # Going on

    @checked(duration=0)
    def run(self, until: str | None = None, *, duration: str | int | None = None) -> Reason:
        """Goes on, and says why it ended. until: a text that a node prints in a line. duration: at most so much virtual time,
        nanoseconds or as "20ms"."""
        return self._run(until, duration, lambda time: REASONS[STOPS[self._subject.run(time)]])

    @checked(count=1)
    def step(self, node: str, kind: StepKind | str = StepKind.TRAP, count: int = 1) -> ClusterPoint:
        """All nodes go on until one has made so many steps; where the cluster is then.

        EndError where the node makes none any more.
        """
        member, what = self.nodes[node], kind_of(kind)
        return self._step(count, lambda: self._step_node(member, what))

    def _step_node(self, member: Member, kind: StepKind) -> None:
        sought = step_of(kind)
        if kind is StepKind.INSTRUCTION and self._execute(member, sought):
            return
        start = self._subject.take()
        seen = Moments([(member, sought)], self._subject.stop)
        self.screen.hold()
        try:
            with self._unheard(), seen.watching():
                self._subject.run(self.time + PATIENCE_NS)
        finally:
            self._subject.restore(start)
            self.screen.show()
        if not seen.all:
            raise EndError(f"node {member.name} makes no further {kind.value} within {time_text(PATIENCE_NS)}; `back` goes back")
        settle(self._subject, member, sought, seen.all[0])

    def _execute(self, member: Member, sought: Sought) -> bool:
        """Goes on by an instruction of a guest's thread that has the CPU: whether it did."""
        kernel = member.node.kernel
        if kernel is None or not runs_instructions(kernel):
            return False
        sought.begin(member, True)
        self._subject.run(max(self.time, kernel.kern.clock.now()) + 1)
        self._subject.catch_up(member)
        return member.node.kernel is kernel and sought.came(member) is not None

    @checked(count=1)
    def back(self, node: str, kind: StepKind | str = StepKind.TRAP, count: int = 1) -> ClusterPoint:
        """All nodes go back to the last step of one of them, so many times; where the cluster is then.

        EndError where there are not so many since `earliest`.
        """
        member, what = self.nodes[node], kind_of(kind)
        most = partial(self._subject.steps_since, member=member, kind=what)
        return self._back(count, most, lambda history: self._back_node(member, what, history))

    def _back_node(self, member: Member, kind: StepKind, history: History[ClusterPoint]) -> bool:
        target = self.point
        limit = history.segment(target)
        if limit == target:
            if limit == history.first:
                return False
            history.go(target._replace(acts=target.acts - 1))
            return True
        if kind is StepKind.INSTRUCTION:
            found = self._back_instruction(member, limit, target)
        else:
            found = self._back_to(member, step_of(kind), limit, target, NEAR_NS)
        if not found:
            history.go(limit)
        return True

    def _back_instruction(self, member: Member, limit: ClusterPoint, target: ClusterPoint) -> bool:
        """As _back_to. Single instructions are looked for in the last piece alone in which any were executed."""
        for begin, pieces in self._windows(member, Changed(StepKind.INSTRUCTION), limit, target, NEAR_NS):
            for piece in reversed(pieces):
                first = begin._replace(time=max(begin.time, piece.begin))
                last = begin._replace(time=min(target.time, piece.end + 1))
                if self._back_to(member, step_of(StepKind.INSTRUCTION), first, last, FEW_NS):
                    return True
        return False

    def _back_to(self, member: Member, sought: Sought, limit: ClusterPoint, target: ClusterPoint, near: int) -> bool:
        """Goes to where something came in a node last, between two points: whether it did. near: as _windows."""
        for begin, moments in self._windows(member, sought, limit, target, near):
            for moment in reversed([each for each in moments if each.end < target.time]):
                self._recorded().go(begin)
                settle(self._subject, member, sought, moment, target.time)
                if self.point < target:
                    return True
        return False

    def _windows(
        self, member: Member, sought: Sought, limit: ClusterPoint, target: ClusterPoint, near: int
    ) -> Iterator[tuple[ClusterPoint, list[Moment]]]:
        """What came in pieces of the run between two points, each with where it begins, the last piece first. near: virtual time
        of that one."""
        history, end = self._recorded(), target
        while end > limit:
            begin = max(target._replace(time=target.time - near), limit)
            history.go(begin)
            if self._subject.work - history.mark_before(begin).work > NEAR:
                history.mark()
            seen = Moments([(member, sought)])
            with seen.watching():
                history.follow(end)
            yield begin, seen.all
            end, near = begin, near * GROWTH

    # What is done to it

    @checked()
    def crash(self, node: str) -> None:
        """A node loses its power, and all but its disks. As every fault, when the run goes on."""
        self._befall(Crash(self.time, self._number(node)))

    @checked()
    def restart(self, node: str) -> None:
        """A node loses its power, where it has it, and boots anew."""
        self._befall(Restart(self.time, self._number(node)))

    @checked()
    def pause(self, node: str) -> None:
        """A node stands still."""
        self._befall(Pause(self.time, self._number(node)))

    @checked()
    def resume(self, node: str) -> None:
        """A node goes on, and finds that time has passed."""
        self._befall(Resume(self.time, self._number(node)))

    @checked()
    def partition(self, segment: str, *groups: Sequence[str]) -> None:
        """Nodes of different groups do not hear each other; those in no group are one more. Until `heal`, or another one."""
        numbers = tuple(tuple(map(self._number, group)) for group in groups)
        check_once(numbers, list(self.nodes))
        self._befall(Partition(self.time, self._segment(segment), numbers))

    @checked(duration=1)
    def cut(
        self,
        segment: str,
        senders: Sequence[str],
        hearers: Sequence[str],
        *,
        loss: float = 1.0,
        both: bool = False,
        duration: str | int | None = None,
    ) -> None:
        """What `senders` send is lost to `hearers`, each frame with the probability `loss`; with `both` the other way, too. For a
        virtual time, nanoseconds or as "20ms", or until `heal`. Several cuts may hold at once."""
        if not senders or not hearers or not 0 <= loss <= 1:
            raise UsageError("a cut has nodes on both sides, and a loss of more than 0 and at most 1")
        sides = tuple(map(self._number, senders)), tuple(map(self._number, hearers))
        check_once(sides, list(self.nodes))
        cut = Cut(self.time, self._segment(segment), *sides, float(loss), both)
        check_cut(cut, list(self.nodes))
        end = self._deadline(duration)
        self._befall(cut, *([] if duration is None else [Mend(end, cut)]))

    @checked()
    def heal(self, segment: str) -> None:
        """All hear each other again: a partition and cuts end."""
        self._befall(Heal(self.time, self._segment(segment)))

    @checked()
    def set_segment(self, segment: str, **properties: int | float) -> None:
        """Changes a segment's bandwidth (bits a second), latency and delay (nanoseconds), loss, duplication, reordering
        (probabilities)."""
        check_properties(properties)
        self._befall(SetSegment(self.time, self._segment(segment), tuple(properties.items())))

    @checked()
    def fault(self, text: str) -> None:
        """A fault as a cluster file has it: its keys, parted by commas, such as 'kind = "crash", node = "sun", at = "2s"'.

        Without `at` it comes when the run goes on. UserError for what is no fault, or is over already.
        """
        self._from_line("faults", text)

    @checked()
    def action(self, text: str) -> None:
        """Something is done to a node's servers, as `actions` of a cluster file say it; the rest is as in `fault`.

        What cannot be done then changes nothing: `undone` says why.
        """
        self._from_line("actions", text)

    @checked()
    def action_in_words(self, kind: str, words: Sequence[str], node: str) -> None:
        """An action of a kind that another package has, in words that its class takes, such as "migrate" and ["8", "to", "beta"].

        When the run goes on. UserError for other words, and where there is no such kind.
        """
        try:
            name = "" if kind in ACTIONS else class_of_kind(kind)
            take = getattr(load_server(name), "in_words", None) if name else None
            if take is None:
                raise ValueError("takes no words: write keys as in a cluster file, after `action`")
            options = take(words)
        except ValueError as error:
            raise UserError(f"{kind}: {error}") from None
        self._befall(StartServer(self.time, self._number(node), ServerSpec(name, tuple(options.items()))))

    @checked()
    def start_server(self, node: str, server: str, **options: bool | int | str) -> None:
        """A node starts a server of a class `module:class`, with options of the class. When the run goes on."""
        self._befall(StartServer(self.time, self._number(node), _class(server, options)))

    @checked()
    def stop_server(self, node: str, name: str) -> None:
        """A node ends a server's task. name: the class in small letters, or a guest's path; see `servers_of`."""
        self._befall(StopServer(self.time, self._number(node), name))

    @checked()
    def replace_server(self, node: str, name: str, server: str, **options: bool | int | str) -> None:
        """A server takes over another one's ports, with the messages in them, and its name."""
        self._befall(ReplaceServer(self.time, self._number(node), name, _class(server, options)))

    @checked()
    def servers_of(self, node: str) -> list[str]:
        """The names of a node's servers."""
        member = self.nodes[node]
        servers = member.node.servers
        return [] if servers is None else servers.names(member.kernel)

    @property
    def undone(self) -> Sequence[str]:
        """Of each action that could not be done when and why, in words, as far as this process has run it."""
        return self.inner.undone

    def _from_line(self, key: str, text: str) -> None:
        names = Names([segment.name for segment in self.inner.segments], list(self.nodes))
        self._befall(*from_line(key, text, names, self.time))

    def _befall(self, *faults: Fault) -> None:
        def add() -> None:
            for fault in faults:
                insort(self.inner.faults, fault, key=lambda each: each.time)

        self.act(add)

    def _number(self, node: str) -> int:
        return self.nodes[node].node.number

    def _segment(self, name: str) -> int:
        names = [segment.name for segment in self.inner.segments]
        if name not in names:
            raise UsageError(f"no segment {name}: there are {', '.join(names)}")
        return names.index(name)

    @checked()
    def capture(self, path: str | Path) -> None:
        """Writes all frames of all segments to a file from now on, as pcapng, until the cluster is closed. What runs again after
        going back is written once more."""
        files.keep_apart([*self._captures, Path(path)], self._read)
        file = Output.create(Path(path))
        self._captures.append(Path(path))
        capture = Capture(file, [segment.name for segment in self.inner.segments])

        def finish() -> None:
            capture.finish()
            file.close()
            file.check()

        self._files.callback(finish)

        def happened(event: ClusterEvent) -> None:
            if not self._quiet:
                capture.happened(event)

        self.inner.watch(happened)


def _class(name: str, options: Mapping[str, bool | int | str]) -> ServerSpec:
    try:
        return a_class({"class": name, **options})
    except ValueError as error:
        raise UsageError(str(error)) from None


def _spec(file: str | Path | ClusterSpec) -> ClusterSpec:
    return file if isinstance(file, ClusterSpec) else load_file(Path(file))


def _files(file: str | Path | ClusterSpec, spec: ClusterSpec) -> list[Path]:
    """What a cluster is made of."""
    return [*([] if isinstance(file, ClusterSpec) else [Path(file)]), *spec.files()]
