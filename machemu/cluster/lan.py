"""An Ethernet segment: one medium that its stations share, with the faults that real ones have."""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from machemu.cluster.faults import Cut
from machemu.sim.state import Range, Time, state
from machemu.sim.streams import Stream

PREAMBLE: Final = 8
CHECKSUM: Final = 4
GAP: Final = 12
"""Bytes' times that a frame takes on the wire beside its own: before it, behind it, and silence until the next (IEEE 802.3)."""
FRAME_MIN: Final = 60
"""Bytes of the shortest frame, without its checksum."""
SECOND_NS: Final = 1_000_000_000
BANDWIDTH_MAX: Final = 10**11
TIME_MAX: Final = 3600 * SECOND_NS


@state
class Properties(NamedTuple):
    """bandwidth: bits a second. latency: nanoseconds from any station to any other.

    loss, duplication, reordering: probabilities, for each frame and each station that it is for, that the station does not hear
    it; that it hears it twice; that it hears it later by up to `delay` nanoseconds, so that others overtake it.
    """

    bandwidth: Annotated[int, Range(1, BANDWIDTH_MAX)] = 10_000_000
    latency: Annotated[int, Range(0, TIME_MAX)] = 5_000
    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    delay: Annotated[int, Range(0, TIME_MAX)] = 1_000_000

    def wire_time(self, size: int) -> int:
        """Nanoseconds that so many bytes take, rounded up."""
        return -(-size * 8 * SECOND_NS // self.bandwidth)

    @property
    def shortest(self) -> int:
        """Nanoseconds that pass at least between the sending of a frame and its arrival; one or more."""
        return self.wire_time(PREAMBLE + FRAME_MIN + CHECKSUM) + self.latency


@state
class Station(NamedTuple):
    """A node's interface on a segment: the node's number and the interface's, such as 0 of eth0."""

    node: int
    interface: int


class Heard(NamedTuple):
    """A station hears a frame at a time."""

    time: Time
    station: Station


class Missed(NamedTuple):
    """A station does not hear a frame at the time at which it would have. why: as in trace.events.FrameLost."""

    time: Time
    station: Station
    why: str


class Carried(NamedTuple):
    """A frame's way. begin, end: when its first and its last bit are on the wire."""

    begin: Time
    end: Time
    heard: list[Heard]
    missed: list[Missed]


@state
class Segment:
    """An Ethernet that stations share: one frame at a time is on it."""

    __slots__ = (
        "name", "properties", "stations", "islands", "cuts", "free", "frames", "bytes", "losses", "copies", "delays", "gaps",
    )  # fmt: skip
    name: str
    properties: Properties
    stations: list[Station]  # those joined to it, in order

    # Nodes' numbers in groups that do not hear each other; nodes in none of them are one more such group:
    islands: tuple[tuple[int, ...], ...]
    cuts: list[Cut]  # those that hold, beside the islands
    free: Time  # when the medium is silent again

    # What it has carried:
    frames: int
    bytes: int

    # Chance:
    losses: Stream
    copies: Stream
    delays: Stream
    gaps: Stream  # of cuts

    def __init__(self, name: str, properties: Properties, stations: list[Station], seed: int) -> None:
        self.name = name
        self.properties = properties
        self.stations = stations
        self.islands = ()
        self.cuts = []
        self.free = 0
        self.frames = 0
        self.bytes = 0
        self.losses = Stream(seed, f"segment {name} loss")
        self.copies = Stream(seed, f"segment {name} duplication")
        self.delays = Stream(seed, f"segment {name} reordering")
        self.gaps = Stream(seed, f"segment {name} cut")

    def carry(self, sender: Station, time: int, size: int) -> Carried:
        """A station has a frame of `size` bytes to send at `time`; to be called in the order of time.

        It waits until the medium is free.
        """
        properties = self.properties
        start = max(time, self.free)
        end = start + properties.wire_time(PREAMBLE + size + CHECKSUM)
        self.free = start + properties.wire_time(PREAMBLE + size + CHECKSUM + GAP)
        self.frames += 1
        self.bytes += size
        soonest = end + properties.latency
        stations = [station for station in self.stations if station != sender]
        missed: list[Missed] = []
        if self.islands:
            home = self._island(sender.node)
            missed = [Missed(soonest, station, "partition") for station in stations if self._island(station.node) != home]
            stations = [station for station in stations if self._island(station.node) == home]
        if self.cuts:
            apart = [station for station in stations if self._is_cut(sender.node, station.node)]
            missed += [Missed(soonest, station, "cut") for station in apart]
            stations = [station for station in stations if station not in apart]
        if not (properties.loss or properties.duplication or properties.reordering):
            return Carried(start, end, [Heard(soonest, station) for station in stations], missed)
        heard = []
        for station in stations:
            if self.losses.chance(properties.loss):
                missed.append(Missed(soonest, station, "loss"))
                continue
            for copy in range(2 if self.copies.chance(properties.duplication) else 1):
                late = self.delays.below(properties.delay) + 1 if self.delays.chance(properties.reordering) else 0
                heard.append(Heard(soonest + late + copy * (self.free - start), station))
        return Carried(start, end, heard, missed)

    def _is_cut(self, sender: int, hearer: int) -> bool:
        """Whether a frame is lost between two nodes by any cut."""
        lost = [self.gaps.chance(cut.loss) for cut in self.cuts if cut.parts(sender, hearer)]
        return any(lost)

    def heal(self) -> None:
        """All hear each other again."""
        self.islands = ()
        self.cuts.clear()

    def _island(self, node: int) -> int:
        return next((number for number, nodes in enumerate(self.islands) if node in nodes), -1)
