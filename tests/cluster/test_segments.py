"""What a segment does to frames, at times computed by hand."""

from __future__ import annotations

import pytest

from tests.support.clusters import MS, SECOND, US, Ear, World, fault, node

BROADCAST = b"\xff" * 6
KIND = b"\x88\xb6"
HELLOS = "".join(node(name, program="hello") for name in ("one", "two", "three"))


def lan(text: str = "", nodes: str = HELLOS, faults: str = "") -> str:
    return f"[segments.lan]\n{text}\n{nodes}{faults}"


def frame(number: int = 0, size: int = 60, target: bytes = BROADCAST) -> bytes:
    return (target + bytes(6) + KIND + number.to_bytes(4, "big")).ljust(size, b"\0")


def test_a_frame_arrives_after_its_length_and_the_latency() -> None:
    with World(lan('bandwidth = "10M"\nlatency = "7us"')) as world:
        world.run(SECOND)
        two, three = Ear(world.node("two")), Ear(world.node("three"))
        own = Ear(world.node("one"))
        world.send("one", SECOND, frame())
        world.run(2 * SECOND)
        # 8 bytes of preamble, 60 of frame, 4 of checksum, 800 ns each
        assert two.heard == three.heard == [(SECOND + 72 * 800 + 7 * US, frame())]
        assert own.heard == []
        assert world.frames == [(0, SECOND + 72 * 800, frame())]


def test_frames_wait_for_the_medium_and_a_gap() -> None:
    with World(lan('bandwidth = "10M"\nlatency = "1us"')) as world:
        world.run(SECOND)
        ear = Ear(world.node("three"))
        world.send("two", SECOND + 10 * US, frame(2, 1514))
        world.send("one", SECOND, frame(1, 1000))
        world.run(2 * SECOND)
        free = SECOND + (8 + 1000 + 4 + 12) * 800
        assert ear.heard == [
            (SECOND + 1012 * 800 + US, frame(1, 1000)),
            (free + 1526 * 800 + US, frame(2, 1514)),
        ]


def test_no_more_shortest_frames_pass_than_ten_megabits_carry() -> None:
    """14,880 a second, as everybody's tables have it."""
    with World(lan('bandwidth = "10M"\nlatency = "0us"')) as world:
        world.run(SECOND)
        ear = Ear(world.node("two"))
        for number in range(100):
            world.send("one", SECOND, frame(number))
        world.run(2 * SECOND)
        assert [heard for _, heard in ear.heard] == [frame(number) for number in range(100)]
        assert 99 * SECOND // (ear.heard[-1][0] - ear.heard[0][0]) == 14_880


def test_what_two_nodes_send_at_one_moment_goes_in_the_order_of_the_nodes() -> None:
    with World(lan()) as world:
        world.run(SECOND)
        ear = Ear(world.node("three"))
        world.send("two", SECOND, frame(2))
        world.send("one", SECOND, frame(1))
        world.run(2 * SECOND)
        assert [heard for _, heard in ear.heard] == [frame(1), frame(2)]


def test_segments_are_apart_and_a_node_may_be_on_several() -> None:
    nodes = node("one", program="hello") + node("gate", program="hello", nics='eth0 = "lan", eth3 = "far"')
    nodes += node("two", program="hello", nics='eth1 = "far"')
    with World(lan(nodes=nodes) + '[segments.far]\nbandwidth = "1G"\nlatency = "2ms"\n') as world:
        world.run(SECOND)
        near, far = Ear(world.node("gate")), Ear(world.node("gate"), 3)
        end = Ear(world.node("two"), 1)
        world.send("one", SECOND, frame(1))
        world.send("gate", SECOND, frame(2), 3)
        world.run(2 * SECOND)
        assert [heard for _, heard in near.heard] == [frame(1)]
        assert far.heard == []
        assert end.heard == [(SECOND + 72 * 8 + 2 * MS, frame(2))]
        assert [nic.address for nic in world.node("gate").nics.values()] == [b"\2\0\0\0\2\0", b"\2\0\0\0\2\3"]


@pytest.mark.parametrize(("what", "counts"), [("loss", range(50, 110)), ("duplication", range(260, 340)), ("reordering", [200])])
def test_faults_of_the_medium_come_as_often_as_said(what: str, counts: range) -> None:
    share = 0.6 if what == "loss" else 0.5
    with World(lan(f'{what} = {share}\ndelay = "20ms"')) as world:
        world.run(SECOND)
        ears = [Ear(world.node("two")), Ear(world.node("three"))]
        for number in range(200):
            world.send("one", SECOND + number * MS, frame(number))
        world.run(3 * SECOND)
        for ear in ears:
            assert len(ear.heard) in counts
            sent = [int.from_bytes(heard[14:18], "big") for _, heard in ear.heard]
            assert (sent != sorted(sent)) is (what == "reordering")
            late = max(time - SECOND - number * MS for (time, _), number in zip(ear.heard, sent, strict=True))
            assert late <= (21 * MS if what == "reordering" else 200 * US)
        assert ears[0].heard != ears[1].heard, "each station has its own luck"
        assert world.cluster.segments[0].frames == 200


def test_the_seed_decides_what_is_lost() -> None:
    def heard(seed: int) -> list[tuple[int, bytes]]:
        with World(lan("loss = 0.5"), seed) as world:
            world.run(SECOND)
            ear = Ear(world.node("two"))
            for number in range(50):
                world.send("one", SECOND + number * MS, frame(number))
            world.run(3 * SECOND)
            return ear.heard

    assert heard(1) == heard(1) != heard(2)


def test_a_partition_heals() -> None:
    faults = fault("2s", "partition", segment="lan", groups=[["one"], ["three"]]) + fault("3s", "heal", segment="lan")
    with World(lan(faults=faults)) as world:
        world.run(SECOND)
        ears = [Ear(world.node(name)) for name in ("one", "two", "three")]
        for n in range(3):
            world.send("one", (n + 1) * SECOND + 1, frame(10 + n))
            world.send("two", (n + 1) * SECOND + 2, frame(20 + n))
            world.run((n + 2) * SECOND)
        world.run(5 * SECOND)
        numbers = [[int.from_bytes(heard[14:18], "big") for _, heard in ear.heard] for ear in ears]
        assert numbers == [[20, 22], [10, 12], [10, 20, 12, 22]]


def test_islands_of_more_than_one_hear_one_another() -> None:
    faults = fault("1s", "partition", segment="lan", groups=[["one", "three"]])
    with World(lan(faults=faults)) as world:
        world.run(2 * SECOND)
        ears = [Ear(world.node(name)) for name in ("two", "three")]
        world.send("one", 2 * SECOND, frame())
        world.run(3 * SECOND)
        assert [len(ear.heard) for ear in ears] == [0, 1]


def cut(at: str, senders: str, hearers: str, **keys: object) -> str:
    """A fault between nodes that are named in words of a text."""
    return fault(at, "cut", segment="lan", **{"from": senders.split(), "to": hearers.split(), **keys})


def heard_by_all(faults: str, times: range) -> dict[str, list[int]]:
    """What each node hears of one frame of each that is sent in each second: ten times the second, and the sender's number."""
    with World(lan(faults=faults)) as world:
        names = ("one", "two", "three")
        world.run(SECOND)
        ears = {name: Ear(world.node(name)) for name in names}
        for second in times:
            for number, name in enumerate(names, 1):
                world.run(second * SECOND + number * MS)
                world.send(name, second * SECOND + number * MS, frame(10 * second + number))
        world.run((times.stop + 1) * SECOND)
        return {name: [int.from_bytes(heard[14:18], "big") for _, heard in ear.heard] for name, ear in ears.items()}


def test_two_of_three_nodes_do_not_hear_each_other_until_a_cut_ends() -> None:
    assert heard_by_all(cut("1500ms", "one", "three", both=True, until="2500ms"), range(1, 4)) == {
        "one": [12, 13, 22, 32, 33],
        "two": [11, 13, 21, 23, 31, 33],
        "three": [11, 12, 22, 31, 32],
    }


def test_a_cut_goes_one_way_and_several_hold_at_once() -> None:
    cuts = cut("1500ms", "one", "two three", until="3500ms") + cut("1500ms", "three one", "two", until="2500ms")
    assert heard_by_all(cuts, range(1, 5)) == {
        "one": [12, 13, 22, 23, 32, 33, 42, 43],
        "two": [11, 13, 33, 41, 43],
        "three": [11, 12, 22, 32, 41, 42],
    }


def test_a_segment_that_heals_has_no_cuts_and_their_ends_come_to_nothing() -> None:
    faults = cut("1500ms", "one", "two", until="3500ms") + fault("2500ms", "heal", segment="lan")
    assert heard_by_all(faults, range(2, 5))["two"] == [23, 31, 33, 41, 43]


def test_a_cut_loses_as_much_as_it_says_one_way() -> None:
    with World(lan(faults=cut("1s", "one", "two", loss=0.6))) as world:
        world.run(SECOND)
        ears = [Ear(world.node(name)) for name in ("two", "three", "one")]
        for number in range(200):
            world.send("one", SECOND + number * MS, frame(number))
            world.send("two", SECOND + number * MS, frame(number))
        world.run(3 * SECOND)
        assert len(ears[0].heard) in range(50, 110)
        assert [len(ear.heard) for ear in ears[1:]] == [400, 200]


def test_a_segment_s_properties_change_at_their_time() -> None:
    faults = fault("1s", "segment", segment="lan", latency="3ms", bandwidth="100M") + fault(
        "2s", "segment", segment="lan", loss=1
    )
    with World(lan('latency = "1us"', faults=faults)) as world:
        world.run(SECOND)
        ear = Ear(world.node("two"))
        world.send("one", SECOND - 1, frame(1))
        world.send("one", SECOND, frame(2))
        world.send("one", 2 * SECOND, frame(3))
        world.run(3 * SECOND)
        silence = SECOND - 1 + 84 * 800
        assert ear.heard == [(SECOND - 1 + 72 * 800 + US, frame(1)), (silence + 72 * 80 + 3 * MS, frame(2))]
