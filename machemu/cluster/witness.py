"""Who sees what happens between the nodes of a cluster: frames on their way, frames lost, faults. As trace events."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable

from machemu.cluster.faults import NAMES, Action, Crash, Cut, Fault, Mend, NodeFault, Partition, Restart, SetSegment
from machemu.cluster.file import ClusterSpec
from machemu.cluster.lan import Carried, Segment, Station
from machemu.cluster.node import NIC_NAMES, mac_address
from machemu.trace.events import Befell, ClusterEvent, FrameHeard, FrameLost, FrameSent


class Witness:
    """Tells of each frame when it is sent, and of each interface that it is for by its address: that it hears it, once it has, or
    that it does not. An interface with IFF_PROMISC hears others' frames, too, of which nothing is told.

    Events do not come in the order of their times; but none is earlier than what was reached. flying: frames that are still to be
    heard, the next one first. Frames that were under way when somebody began to watch are not told of.
    """

    def __init__(self, spec: ClusterSpec, tell: Callable[[ClusterEvent], None]) -> None:
        self.spec = spec
        self.tell = tell
        self.flying: list[tuple[int, int, int, FrameHeard]] = []
        self.count = 0

    def carried(self, time: int, segment: Segment, sender: Station, frame: bytes, way: Carried) -> None:
        """A frame that was sent at `time` had its turn."""
        number = segment.frames
        self.tell(FrameSent(time, segment.name, number, *self._names(sender), way.begin, way.end, frame))
        for missed in way.missed:
            if is_for(frame, missed.station):
                self.tell(FrameLost(missed.time, segment.name, number, *self._names(missed.station), missed.why))
        refused = {missed.station for missed in way.missed}
        for heard in way.heard:
            if heard.station not in refused and is_for(frame, heard.station):
                self.count += 1
                event = FrameHeard(heard.time, segment.name, number, *self._names(heard.station))
                insort(self.flying, (heard.time, self.count, heard.station.node, event))

    def reached(self, time: int) -> None:
        """Nothing earlier than `time` will happen."""
        if self.flying and self.flying[0][0] < time:
            there = bisect_left(self.flying, (time,))
            for _, _, _, event in self.flying[:there]:
                self.tell(event)
            del self.flying[:there]

    def befell(self, fault: Fault, why: str = "") -> None:
        """why: for what reason an action was not done, "" where it was."""
        kind = NAMES[type(fault)]
        if isinstance(fault, Action):
            detail = (("server", fault.told()), *((("undone", why),) if why else ()))
            self.tell(Befell(fault.time, kind, self.spec.nodes[fault.node - 1].name, "", detail))
            return
        if isinstance(fault, NodeFault):
            self.tell(Befell(fault.time, kind, self.spec.nodes[fault.node - 1].name, "", ()))
            if isinstance(fault, Crash | Restart):
                self._crashed(fault.node)
            return
        segment = self.spec.segments[fault.segment].name
        if isinstance(fault, Partition):
            self.tell(Befell(fault.time, kind, "", segment, tuple(map(self._nodes, fault.groups))))
        elif isinstance(fault, Cut | Mend):
            cut = fault if isinstance(fault, Cut) else fault.cut
            way = (("both",),) if cut.both else ()
            sides = (self._nodes(cut.senders), self._nodes(cut.hearers))
            self.tell(Befell(fault.time, kind, "", segment, (*sides, (str(cut.loss),), *way)))
        else:
            self.tell(Befell(fault.time, kind, "", segment, fault.changes if isinstance(fault, SetSegment) else ()))

    def _crashed(self, node: int) -> None:
        """What is on its way to a node that loses its power reaches nobody."""
        for _, _, _, heard in (flight for flight in self.flying if flight[2] == node):
            self.tell(FrameLost(heard.time, heard.segment, heard.number, heard.node, heard.interface, "crash"))
        self.flying = [flight for flight in self.flying if flight[2] != node]

    def _nodes(self, numbers: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(self.spec.nodes[number - 1].name for number in numbers)

    def _names(self, station: Station) -> tuple[str, str]:
        return self.spec.nodes[station.node - 1].name, NIC_NAMES[station.interface]


def is_for(frame: bytes, station: Station) -> bool:
    """Whether an interface takes a frame by the frame's address: its own, a group's, or everybody's."""
    return bool(frame[:1] and frame[0] & 1) or frame[:6] == mac_address(station.node, station.interface)
