"""Nodes of a cluster: guests that talk across machines, power that fails, runs that are cut, saved and loaded."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from machemu.abi.device import IFF_PROMISC
from machemu.abi.errors import UserError
from machemu.cluster import changes
from machemu.cluster.cluster import ClusterStop
from machemu.cluster.file import parse_file
from machemu.kern.clock import DEFAULT_DATE
from machemu.sim import saved
from tests.support.clusters import MS, PORTS, ROOT, SECOND, START, World, fault, node

LAN = '[segments.lan]\nlatency = "10us"\n'
NOISY = '[segments.lan]\nloss = 0.2\nduplication = 0.1\nreordering = 0.3\ndelay = "3ms"\n'
ANSWERS = [f"answer {n} from node 2, asked {2 if n == 1 else 1}" for n in range(1, 6)]
"""The first question comes before the other node listens."""


def pair(asker: str = "i386", answerer: str = "m68k", lan: str = LAN, count: int = 5) -> str:
    return lan + node("asker", "ask", count, 2, machine=asker) + node("answerer", "answer", machine=answerer)


@pytest.mark.parametrize("asker", ["i386", "m68k"])
@pytest.mark.parametrize("answerer", ["i386", "m68k"])
def test_guests_of_any_two_machines_exchange_frames(asker: str, answerer: str) -> None:
    with World(pair(asker, answerer)) as world:
        assert world.run() is ClusterStop.WEDGED
        answers = [line for line in world.lines("asker") if line.startswith("answer")]
        assert [line.split(",")[0] for line in answers] == [f"answer {n} from node 2" for n in range(1, 6)]
        assert world.lines("asker")[-1] == "END"
        assert "question 5 from node 1" in world.lines("answerer")


def test_a_broadcast_reaches_every_node() -> None:
    text = LAN + node("asker", "ask", 3, machine="m68k") + "".join(node(f"n{n}", "answer") for n in range(5))
    with World(text) as world:
        world.run()
        for n in range(5):
            assert world.lines(f"n{n}")[-2:] == [f"question {number} from node 1" for number in (2, 3)]


def test_answers_come_through_loss_duplication_and_reordering() -> None:
    with World(pair(lan=NOISY, count=20)) as world:
        world.run(20 * SECOND)
        assert world.lines("asker")[-1] == "END"
        assert sum(not line.endswith(" asked 1") for line in world.lines("asker") if line.startswith("answer")) > 2


def test_a_node_that_crashes_is_silent_until_it_boots_anew() -> None:
    faults = fault("105500us", "crash", node="answerer") + fault("1s", "restart", node="answerer")
    with World(pair() + faults) as world:
        world.run(900 * MS)
        assert world.node("answerer").kernel is None
        assert world.lines("answerer")[-1] == "question 4 from node 1"
        assert world.node("answerer").frames == 3
        world.run()
        assert world.lines("answerer").count("device_set_filter -> 00000000") == 2
        booted = [when for when, name, line in world.printed if name == "answerer" and "filter" in line]
        assert SECOND < booted[1] < SECOND + 20 * MS
        assert world.lines("asker")[-1] == "END"
        assert sum(not line.endswith(" asked 1") for line in world.lines("asker") if line.startswith("answer")) == 2


def test_frames_on_the_wire_outlive_their_sender() -> None:
    """The answer to question 1 leaves before the crash, at about 6 ms, and arrives after it."""
    with World(pair(lan='[segments.lan]\nlatency = "5ms"\n') + fault("8ms", "crash", node="answerer")) as world:
        world.run(150 * MS)
        asked, answered = (
            next(when for when, _, line in world.printed if line.startswith(what)) for what in ("quest", "answer ")
        )
        assert asked < 8 * MS < answered


def test_a_node_that_stands_still_finds_that_time_has_passed() -> None:
    faults = fault("105ms", "pause", node="answerer") + fault("550ms", "resume", node="answerer")
    with World(pair() + faults) as world:
        world.run()
        late = [when for when, name, _ in world.printed if name == "answerer" and when > 105 * MS]
        assert min(late) > 550 * MS
        # what came in between waited in the interface, oldest first
        assert world.lines("answerer").count("question 4 from node 1") == 5
        assert world.lines("asker")[-1] == "END"


def test_a_restart_of_a_running_node_is_a_crash_and_a_boot() -> None:
    with World(pair() + fault("105ms", "restart", node="asker")) as world:
        world.run()
        assert world.lines("asker").count("END") == 1
        assert [line for line in world.lines("asker")[-6:-1]] == [f"answer {n} from node 2, asked 1" for n in range(1, 6)]
        assert world.cluster.nodes[0].powered == 105 * MS


def test_a_disk_outlives_a_crash(tmp_path: Path) -> None:
    """The conformance module writes, and finds what it wrote after the restart only on a disk that keeps it."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    lines = f"['images/i386/default_pager.elf {PORTS} hd0 {START}']"
    text = f'[nodes.one]\nmodules = {lines}\ndisks = {{ hd0 = "{image}" }}\n' + fault("1s", "restart", node="one")
    with World(text) as world:
        world.run(SECOND)
        disk = world.node("one").disks["hd0"]
        disk.write(3, b"kept" * 128)
        world.run(2 * SECOND)
        assert world.lines("one") == ["default pager: 256 pages on hd0"] * 2
        assert world.node("one").disks["hd0"] is disk
        assert disk.read(3, 1) == b"kept" * 128
    assert image.read_bytes() == bytes(1 << 20)


def test_a_disk_of_a_node_without_power_is_saved(tmp_path: Path) -> None:
    image, path = tmp_path / "disk.img", tmp_path / "saved"
    image.write_bytes(bytes(1 << 20))
    lines = f"['images/i386/default_pager.elf {PORTS} hd0 {START}']"
    text = f'[nodes.one]\nmodules = {lines}\ndisks = {{ hd0 = "{image}" }}\n'
    text += fault("1s", "crash", node="one") + fault("3s", "restart", node="one")
    with World(text) as world:
        world.run(SECOND)
        world.node("one").disks["hd0"].write(3, b"kept" * 128)
        world.run(2 * SECOND)
        world.cluster.save(path)
    with World(text, load=path) as again:
        again.run(4 * SECOND)
        assert again.lines("one") == ["default pager: 256 pages on hd0"]
        assert again.node("one").disks["hd0"].read(3, 1) == b"kept" * 128


def test_a_frame_for_another_wakes_nobody_but_who_listens_to_all() -> None:
    with World(LAN + node("one", "answer") + node("two", "answer") + node("three", "answer")) as world:
        world.run(SECOND)
        world.node("three").drivers[0].flags |= IFF_PROMISC
        world.send("one", SECOND, b"\2\0\0\0\7\0" + bytes(6) + b"\x88\xb5" + bytes(46))
        world.run(2 * SECOND)
        clocks = [each.kernel.kern.clock.now() for each in world.cluster.nodes if each.kernel is not None]
        assert clocks[1] < SECOND < clocks[2]
        assert not world.node("two").inbox


def test_the_time_of_day_goes_on_while_a_node_is_off() -> None:
    with World(pair() + fault("1s", "crash", node="asker") + fault("5s", "restart", node="asker")) as world:
        world.run(6 * SECOND)
        kernel = world.node("asker").kernel
        assert kernel is not None
        assert 5 * SECOND < kernel.kern.clock.now() <= 6 * SECOND
        assert kernel.kern.clock.time_of_day()[0] == DEFAULT_DATE + 5


# The same run


def busy(lan: str = NOISY) -> str:
    """Nodes that compute, ask, answer and fail."""
    nodes = node("asker", "ask", 4, 2) + node("answerer", "answer", machine="m68k") + node("shout", "ask", 2, 0, 700)
    nodes += node("bench", "threads", 2000, program="bench")
    faults = fault("5ms", "pause", node="bench") + fault("9ms", "resume", node="bench") + fault("115ms", "crash", node="answerer")
    faults += fault("116ms", "partition", segment="lan", groups=[["asker"]]) + fault("119ms", "restart", node="answerer")
    return lan + nodes + faults + fault("120ms", "heal", segment="lan") + fault("118ms", "segment", segment="lan", latency="0us")


END = 330 * MS


@pytest.fixture(scope="module")
def whole() -> tuple[list[tuple[int, str, str]], str]:
    with World(busy()) as world:
        world.run(END)
        assert len(world.printed) > 15
        return world.result()


@pytest.mark.slow
def test_two_runs_are_one(whole: tuple[list[tuple[int, str, str]], str]) -> None:
    with World(busy()) as world:
        world.run(END)
        assert world.result() == whole
    with World(busy(), seed=9) as world:
        world.run(END)
        assert world.result()[1] != whole[1]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, END), max_size=40))
def test_where_a_run_is_cut_changes_nothing(whole: tuple[list[tuple[int, str, str]], str], cuts: list[int]) -> None:
    with World(busy()) as world:
        for cut in sorted(cuts):
            world.run(cut)
        world.run(END)
        assert world.result() == whole


@pytest.mark.slow
def test_a_run_cut_into_slices_of_any_size_is_the_same(whole: tuple[list[tuple[int, str, str]], str]) -> None:
    for step in (13_777, 1_000_003):
        with World(busy()) as world:
            for cut in range(step, END, step):
                world.run(cut)
            world.run(END)
            assert world.result() == whole


def test_stopping_at_each_line_changes_nothing(whole: tuple[list[tuple[int, str, str]], str]) -> None:
    with World(busy()) as world:
        for each in world.cluster.nodes:
            assert each.kernel is not None
            each.kernel.console.sinks.append(lambda data: world.cluster.stop())
        stops = 0
        while world.run(END) is ClusterStop.ASKED:
            stops += 1
        assert stops > 10
        assert world.result() == whole


@pytest.mark.parametrize("cut", [0, 1 * MS, 7 * MS, 103 * MS, 115 * MS, 117 * MS, 125 * MS])
def test_a_cluster_is_saved_and_goes_on_as_if_it_had_not_been(
    whole: tuple[list[tuple[int, str, str]], str], cut: int, tmp_path: Path
) -> None:
    path = tmp_path / "cluster"
    with World(busy()) as world:
        world.run(cut)
        world.cluster.save(path)
        digest, before = world.cluster.digest(), world.printed
    with World(busy(), load=path) as again:
        assert again.cluster.digest() == digest
        assert again.cluster.time == cut
        again.run(END)
        printed, end = again.result()
        assert (sorted(before + printed), end) == whole


def test_a_cluster_is_not_loaded_with_another_profile_or_from_something_else(tmp_path: Path) -> None:
    path = tmp_path / "cluster"
    with World(pair()) as world:
        world.run(3 * MS)
        world.cluster.save(path)
    slower = tmp_path / "slower.toml"
    profile = (ROOT / "machemu/machine/profiles/pc486dx2-66.toml").read_text()
    slower.write_text(profile.replace("ethernet_byte_ns = 800", "ethernet_byte_ns = 900"))
    with pytest.raises(UserError, match=r"nodes.asker.profile: is ethernet_byte_ns 900, and was ethernet_byte_ns 800"):
        World(pair().replace("[nodes.asker]\n", f"[nodes.asker]\nprofile = '{slower}'\n"), load=path)
    for origin, why in ((None, "does not say of which cluster file"), (origin_of(pair()), "its root is no cluster")):
        saved.save(path, saved.FileKind.CLUSTER, [saved.part([1])], origin)
        with pytest.raises(UserError, match=why):
            World(pair(), load=path)


def origin_of(text: str) -> changes.Origin:
    """What a file says that holds the cluster of a text, all of whose nodes have power."""
    spec = parse_file(text, ROOT)
    return changes.Origin(tuple(each.number for each in spec.nodes), changes.settings(spec), spec.faults)


@pytest.mark.parametrize(
    ("what", "value"),
    [("segments", [None]), ("segments", []), ("offers", [3]), ("faults", None)],
)
def test_a_damaged_cluster_is_refused(what: str, value: object, tmp_path: Path) -> None:
    path = tmp_path / "cluster"
    with World(pair()) as world:
        world.run(3 * MS)
        nodes = [each.save() for each in world.cluster.nodes]
        kept = getattr(world.cluster, what)
        setattr(world.cluster, what, value)
        saved.save(path, saved.FileKind.CLUSTER, [saved.part(world.cluster), *nodes], origin_of(pair()))
        setattr(world.cluster, what, kept)
    with pytest.raises(UserError, match="damaged"):
        World(pair(), load=path)


def kept(part: saved.Part) -> saved.Part:
    """A part that can be written more than once."""
    return part._replace(pages=tuple(part.pages))


def test_a_part_that_is_missing_extra_or_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cluster"
    with World(pair()) as world:
        one, two = (kept(each.save()) for each in world.cluster.nodes)
        memory = memoryview(bytearray(4 << 20))
        bare = [saved.part(each) for each in world.cluster.nodes]
        world.cluster.nodes[0].crash()
        off = world.cluster.nodes[0].save()
        none = kept(saved.part(None, memory))
        parts = [(), (one,), (two, one), (one, one), (one, two, one), (one, two, none), bare, (one, bare[1])]
        parts += [(one, none), (one, saved.part(None)), (off._replace(size=4096), two)]
        for each in parts:
            saved.save(path, saved.FileKind.CLUSTER, [saved.part(world.cluster), *each], origin_of(pair()))
            with pytest.raises(UserError, match="damaged"):
                World(pair(), load=path)
        for each in ((one, two), (off, two)):
            saved.save(path, saved.FileKind.CLUSTER, [saved.part(world.cluster), *each], origin_of(pair()))
            World(pair(), load=path).cluster.close()


@pytest.mark.slow
def test_idle_nodes_cost_nothing() -> None:
    """An hour of 64 nodes that wait is over at once."""
    text = LAN + "".join(node(f"n{n}", "answer", machine=("i386", "m68k")[n % 2]) for n in range(64))
    with World(text + fault("1h", "pause", node="n0").replace("1h", "60min")) as world:
        world.run(SECOND)
        began = time.perf_counter()
        assert world.run(3600 * SECOND) is ClusterStop.TIME
        assert time.perf_counter() - began < 0.5
