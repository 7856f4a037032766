"""What befalls a cluster, each at a virtual time. Nodes are named by their numbers, segments by theirs."""

from __future__ import annotations

from typing import Final, NamedTuple

from machemu.cluster.server_specs import GuestSpec, ServerSpec, name_of
from machemu.sim.state import state


@state
class Crash(NamedTuple):
    """The node loses its power: all that it held is lost, but its disks."""

    time: int
    node: int


@state
class Restart(NamedTuple):
    """The node loses its power, where it has it, and boots anew."""

    time: int
    node: int


@state
class Pause(NamedTuple):
    """The node stands still; frames that come wait in its interfaces as far as these have room."""

    time: int
    node: int


@state
class Resume(NamedTuple):
    """The node goes on, and finds that time has passed."""

    time: int
    node: int


@state
class Partition(NamedTuple):
    """Nodes of different groups do not hear each other on the segment; those in no group are one more."""

    time: int
    segment: int
    groups: tuple[tuple[int, ...], ...]


@state
class Cut(NamedTuple):
    """What the senders send the hearers hear no more, each frame with the probability `loss`; with `both` the other way, too. It
    adds to what else is lost on the segment."""

    time: int
    segment: int
    senders: tuple[int, ...]
    hearers: tuple[int, ...]
    loss: float
    both: bool

    def parts(self, sender: int, hearer: int) -> bool:
        """Whether it lies between two nodes."""
        return (sender in self.senders and hearer in self.hearers) or (
            self.both and sender in self.hearers and hearer in self.senders
        )


@state
class Mend(NamedTuple):
    """A cut ends."""

    time: int
    cut: Cut

    @property
    def segment(self) -> int:
        return self.cut.segment


@state
class Heal(NamedTuple):
    """All hear each other again: partition and cuts of the segment end."""

    time: int
    segment: int


@state
class SetSegment(NamedTuple):
    """Some properties of a segment become others: pairs of a field of lan.Properties and its value."""

    time: int
    segment: int
    changes: tuple[tuple[str, int | float], ...]


@state
class StartServer(NamedTuple):
    """The node starts a server."""

    time: int
    node: int
    server: ServerSpec | GuestSpec

    def told(self) -> str:
        return name_of(self.server)


@state
class StopServer(NamedTuple):
    """The node ends the task of a server."""

    time: int
    node: int
    name: str

    def told(self) -> str:
        return self.name


@state
class ReplaceServer(NamedTuple):
    """A server takes over the ports of another one, and its name among the node's servers."""

    time: int
    node: int
    name: str
    server: ServerSpec | GuestSpec

    def told(self) -> str:
        by = self.server.command if isinstance(self.server, GuestSpec) else self.server.name
        return f"{self.name} by {by}"


Action = StartServer | StopServer | ReplaceServer
NodeFault = Crash | Restart | Pause | Resume
Fault = Crash | Restart | Pause | Resume | Partition | Cut | Mend | Heal | SetSegment | Action
NAMES: Final[dict[type[Fault], str]] = {
    Crash: "crash",
    Restart: "restart",
    Pause: "pause",
    Resume: "resume",
    Partition: "partition",
    Cut: "cut",
    Mend: "mend",
    Heal: "heal",
    SetSegment: "segment",
    StartServer: "start",
    StopServer: "stop",
    ReplaceServer: "replace",
}
"""By their names in a cluster file, in its tables `faults` and `actions`, where `mend` is the end that a cut says."""
