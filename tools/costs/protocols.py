"""What a datagram costs with the library and without: the table of docs/protocols.md.

`python3 tools/dev.py tables protocols` prints it. Each figure is the difference between two runs, one of
which asks more datagrams than the other, so that what happens once is not in it.
"""

from __future__ import annotations

from typing import NamedTuple

from machemu.cluster.lan import CHECKSUM, FRAME_MIN, PREAMBLE, Properties
from machemu.core.observe import watch
from machemu.trace.events import MessageMoved, TraceEvent, TrapEntered, TrapLeft
from masix.net.frames import DATA_START
from tests.support.clusters import SECOND, US, World
from tests.support.datagrams import MACHINES, SIZES, WAYS, cluster

FEW, MANY = 10, 60


class Cost(NamedTuple):
    """Of both nodes together. time: nanoseconds; wired: those in which a frame goes into an interface or over the segment;
    working: those in which applications' instructions are executed. switches: from one thread to another."""

    time: float
    wired: float
    working: float
    traps: float
    messages: float
    switches: float


class Counter:
    """A tracer that counts on one node."""

    def __init__(self) -> None:
        self.traps = self.messages = self.switches = self.thread = 0

    def emit(self, event: TraceEvent) -> None:
        if isinstance(event, TrapEntered | TrapLeft):
            self.switches += event.thread != self.thread
            self.thread = event.thread
        self.traps += isinstance(event, TrapEntered)
        # The kernel's own messages are sent by no thread.
        self.messages += isinstance(event, MessageMoved) and event.is_sent


def total(machine: str, way: str, size: int, count: int) -> Cost:
    """A whole run, from power on until all have come back, each at once."""
    with World(cluster(machine, way, size, count)) as world:
        kernels = [each.kernel for each in world.cluster.nodes if each.kernel is not None]
        counters = [Counter() for _ in kernels]
        for kernel, counter in zip(kernels, counters, strict=True):
            watch(kernel, counter)
        world.run(20 * SECOND)
        (time,) = (
            time for time, _, line in world.printed if line.startswith(f"{count} of {size} bytes came back, 0 asked again")
        )
        profile = world.node("alpha").spec.profile
        segment = Properties()
        frame = DATA_START + size
        wire = segment.wire_time(PREAMBLE + max(frame, FRAME_MIN) + CHECKSUM) + segment.latency
        return Cost(
            time,
            2 * count * (frame * profile.ethernet_byte_ns + wire),
            sum(kernel.cpu.executed for kernel in kernels) * profile.instruction_ns,
            sum(counter.traps for counter in counters),
            sum(counter.messages for counter in counters),
            sum(counter.switches for counter in counters),
        )


def round_trip(machine: str, way: str, size: int) -> Cost:
    """What a datagram there and back costs."""
    few, many = total(machine, way, size, FEW), total(machine, way, size, MANY)
    return Cost._make((more - less) / (MANY - FEW) for more, less in zip(many, few, strict=True))


def table() -> str:
    lines = [
        "| machine | bytes | way | µs | off the wire | in applications | traps | messages | switches | gain |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for machine in MACHINES:
        for size in SIZES:
            costs = {way: round_trip(machine, way, size) for way in WAYS}
            server = costs["server"]
            for way, cost in costs.items():
                own = cost.time - cost.wired
                given = server.time - server.wired
                numbers = [f"{ns / US:.0f}" for ns in (cost.time, own, cost.working)]
                numbers += [f"{count:.0f}" for count in (cost.traps, cost.messages, cost.switches)]
                numbers.append(f"{given / own:.2f}")
                lines.append(f"| {machine} | {size} | {way} | {' | '.join(numbers)} |")
    return "\n".join(lines) + "\n"
