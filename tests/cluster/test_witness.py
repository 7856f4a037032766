"""What a cluster tells of what happens between its nodes: each frame's end, each fault."""

from __future__ import annotations

from machemu.cluster.cluster import Cluster
from machemu.cluster.file import parse_file
from machemu.trace.events import Befell, ClusterEvent, FrameHeard, FrameLost, FrameSent
from machemu.trace.words import fault_text
from tests.support.clusters import MS, ROOT, SECOND, US, World, fault, node

BROADCAST = b"\xff" * 6
HELLOS = "".join(node(name, program="hello") for name in ("one", "two", "three"))
WIRE = 72 * 800
"""Nanoseconds from the first to the last bit of a frame of the shortest, at 10 megabits a second; the latency is 5 us."""
WAY = WIRE + 5 * US


def told(world: World) -> list[ClusterEvent]:
    events: list[ClusterEvent] = []
    world.cluster.watch(events.append)
    return events


def frame(target: bytes = BROADCAST) -> bytes:
    return target.ljust(60, b"\0")


def address(number: int) -> bytes:
    return b"\x02\0\0\0" + bytes((number, 0))


def lan(properties: str = "", faults: str = "") -> str:
    return f"[segments.lan]\n{properties}\n{HELLOS}{faults}"


def test_a_frame_is_sent_and_heard_by_those_that_it_is_for() -> None:
    with World(lan()) as world:
        world.run(SECOND)
        events = told(world)
        world.send("one", SECOND, frame())
        world.send("one", SECOND, frame(address(3)))
        world.run(2 * SECOND)
        begin = SECOND + WIRE + 12 * 800
        assert events == [
            FrameSent(SECOND, "lan", 1, "one", "eth0", SECOND, SECOND + WIRE, frame()),
            FrameSent(SECOND, "lan", 2, "one", "eth0", begin, begin + WIRE, frame(address(3))),
            FrameHeard(SECOND + WAY, "lan", 1, "two", "eth0"),
            FrameHeard(SECOND + WAY, "lan", 1, "three", "eth0"),
            FrameHeard(begin + WAY, "lan", 2, "three", "eth0"),
        ]


def test_a_lost_frame_is_told_with_its_reason() -> None:
    faults = fault("2s", "partition", segment="lan", groups=[["one"], ["two"]]) + fault("3s", "heal", segment="lan")
    faults += fault("4s", "crash", node="two") + fault("5s", "segment", segment="lan", loss=1.0)
    with World(lan(faults=faults)) as world:
        world.run(SECOND)
        events = told(world)
        for second in (2, 4, 5):
            world.run(second * SECOND + MS)
            world.send("one", second * SECOND + MS, frame())
        world.run(6 * SECOND)
    lost = [(event.number, event.node, event.reason) for event in events if isinstance(event, FrameLost)]
    assert lost == [
        (1, "two", "partition"), (1, "three", "partition"), (2, "two", "no power"), (3, "two", "loss"), (3, "three", "loss"),
    ]  # fmt: skip
    assert [event for event in events if isinstance(event, FrameHeard)] == [
        FrameHeard(4 * SECOND + MS + WAY, "lan", 2, "three", "eth0")
    ]
    assert [event for event in events if isinstance(event, Befell)] == [
        Befell(2 * SECOND, "partition", "", "lan", (("one",), ("two",))),
        Befell(3 * SECOND, "heal", "", "lan", ()),
        Befell(4 * SECOND, "crash", "two", "", ()),
        Befell(5 * SECOND, "segment", "", "lan", (("loss", 1.0),)),
    ]


def test_a_cut_its_frames_and_its_end_are_told() -> None:
    keys: dict[str, object] = {"from": ["one"], "to": ["three"]}
    faults = fault("2s", "cut", segment="lan", both=True, until="3s", **keys) + fault(
        "4s", "cut", segment="lan", loss=0.5, **keys
    )
    with World(lan(faults=faults)) as world:
        world.run(SECOND)
        events = told(world)
        world.run(2 * SECOND + MS)
        world.send("three", 2 * SECOND + MS, frame())
        world.run(5 * SECOND)
    assert [(event.number, event.node, event.reason) for event in events if isinstance(event, FrameLost)] == [(1, "one", "cut")]
    befell = [event for event in events if isinstance(event, Befell)]
    assert befell == [
        Befell(2 * SECOND, "cut", "", "lan", (("one",), ("three",), ("1.0",), ("both",))),
        Befell(3 * SECOND, "mend", "", "lan", (("one",), ("three",), ("1.0",), ("both",))),
        Befell(4 * SECOND, "cut", "", "lan", (("one",), ("three",), ("0.5",))),
    ]
    assert list(map(fault_text, befell)) == ["cut: one <-> three", "mend: one <-> three", "cut: one -> three loss=0.5"]


def test_a_frame_on_its_way_to_a_node_that_crashes_is_lost() -> None:
    with World(lan('latency = "1ms"', fault("1s", "restart", node="two"))) as world:
        world.run(SECOND - MS)
        events = told(world)
        world.send("one", SECOND - MS + US, frame())
        world.run(2 * SECOND)
    arrival = SECOND + US + WIRE
    assert events[1:] == [
        Befell(SECOND, "restart", "two", "", ()),
        FrameLost(arrival, "lan", 1, "two", "eth0", "crash"),
        FrameHeard(arrival, "lan", 1, "three", "eth0"),
    ]


def test_what_a_node_that_stands_still_has_no_room_for_is_lost() -> None:
    faults = fault("1s", "pause", node="two") + fault("2s", "resume", node="two")
    with World(lan(faults=faults)) as world:
        world.run(SECOND + MS)
        events = told(world)
        for _ in range(66):
            world.send("one", SECOND + MS, frame(address(2)))
        world.run(3 * SECOND)
    assert [(event.number, event.reason) for event in events if isinstance(event, FrameLost)] == [(65, "full"), (66, "full")]
    assert sum(isinstance(event, FrameHeard) for event in events) == 64
    assert [event.kind for event in events if isinstance(event, Befell)] == ["resume"]


def test_a_watched_cluster_runs_the_same() -> None:
    text = f"[segments.lan]\nloss = 0.3\n{node('asker', 'ask', 3, 2)}{node('answerer', 'answer', machine='m68k')}"
    digests = []
    for is_watched in (False, True):
        with Cluster(parse_file(text, ROOT)) as cluster:
            events: list[ClusterEvent] = []
            if is_watched:
                cluster.watch(events.append)
            cluster.boot()
            cluster.run(SECOND)
            digests.append(cluster.digest())
    assert events
    assert digests[0] == digests[1]
