"""The Python API: a cluster is run, stepped node by node, goes back with all its nodes, and has faults set while it runs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from machemu import Cluster, EndError, HookError, Machine, Reason, UsageError
from machemu.lab.looks import Looks
from machemu.lab.travel import current_thread, runs_instructions
from machemu.trace.events import MessageMoved, TraceEvent
from tests.support.guests import ARCHS, Arch
from tests.support.machine import IMAGES, image, module

GREET = IMAGES / "greet.toml"
BEGINNING = "3ms"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster.boot(GREET) as made:
        yield made


def test_it_runs_shows_its_nodes_and_goes_back_to_any_point_and_on_again(cluster: Cluster) -> None:
    assert cluster.run(duration=BEGINNING) is Reason.DURATION
    begun, digest = cluster.point, cluster.digest()
    assert cluster.run("END") is Reason.UNTIL
    end = cluster.point, cluster.digest()
    printed = {name: node.console.text for name, node in cluster.nodes.items()}
    assert "answer 2: -400 GOOD MORNING" in printed["beta"]
    cluster.go(begun)
    assert cluster.digest() == digest
    assert not cluster.nodes["beta"].console.text
    cluster.go(end[0])
    assert cluster.digest() == end[1]
    assert {name: node.console.text for name, node in cluster.nodes.items()} == printed
    assert cluster.nodes["alpha"].tasks.where(name="gns")
    assert repr(cluster).startswith("<cluster of alpha, beta, ")


@pytest.mark.parametrize("node", ["alpha", "beta"])
@pytest.mark.parametrize("kind", ["trap", "message", "switch", "instruction"])
@pytest.mark.slow
def test_steps_of_a_node_back_are_its_steps_forwards_in_the_other_order(cluster: Cluster, node: str, kind: str) -> None:
    """By instruction from where a host-side server's traps are followed by a guest's instructions."""
    cluster.run(duration="11.31ms" if (node, kind) == ("alpha", "instruction") else BEGINNING)
    seen = []
    for _ in range(8):
        traps = cluster.nodes[node].kernel.trap_count
        cluster.step(node, kind)
        assert cluster.nodes[node].kernel.trap_count >= traps
        seen.append((cluster.point, cluster.digest()))
    for expected in reversed(seen[:-1]):
        cluster.back(node, kind)
        assert (cluster.point, cluster.digest()) == expected
    with Cluster.boot(GREET, record=False) as uncut:
        for point, digest in seen:
            uncut.run(duration=point.time - uncut.time)
            assert uncut.digest() == digest


@pytest.mark.parametrize("kind", ["switch", "instruction"])
def test_a_node_alone_makes_the_steps_of_a_machine(arch: Arch, kind: str, tmp_path: Path) -> None:
    """But for those that take no time: a thread that ends leaves the CPU, and another has it at once."""
    path = image(arch, "pingpong")
    (tmp_path / "one.toml").write_text(
        f'[nodes.one]\nmodules = ["{path} ${{host-port}} ${{device-port}} $(task-create) $(task-resume)"]\n'
    )

    def steps(machine: Looks, step: Callable[[], object]) -> list[tuple[int, int, int]]:
        seen = list[tuple[int, int, int]]()
        while len(seen) < 10:
            step()
            kernel = machine.kernel
            if thread := current_thread(kernel):
                seen.append((kernel.kern.clock.now(), kernel.trap_count, thread))
        return seen

    with Machine.boot(path) as machine, Cluster.boot(tmp_path / "one.toml") as cluster:
        machine.run(traps=20)
        cluster.step("one", "trap", 20)
        expected = steps(machine, lambda: machine.step(kind))
        assert steps(cluster.nodes["one"], lambda: cluster.step("one", kind)) == expected


def test_a_node_that_boots_anew_makes_its_first_step_then(cluster: Cluster) -> None:
    cluster.run(duration="3.3ms")
    while not runs_instructions(cluster.nodes["beta"].kernel):
        cluster.run(duration="10us")
    cluster.restart("beta")
    restarted, digest = cluster.point, cluster.digest()
    first = cluster.step("beta", "trap"), cluster.digest()
    cluster.go(restarted)
    cluster.step("beta", "instruction")
    assert (cluster.point, cluster.digest()) == first
    cluster.step("beta", "instruction")
    cluster.back("beta", "instruction")
    assert (cluster.point, cluster.digest()) == first
    cluster.back("beta", "instruction")
    assert (cluster.point, cluster.digest()) == (restarted, digest)


@pytest.mark.parametrize("kind", ["message", "switch", "instruction"])
def test_a_step_back_from_any_time_is_the_last_one_before_it(cluster: Cluster, kind: str) -> None:
    """Also where it is looked for further and further away."""
    cluster.run(duration=BEGINNING)
    ends = [cluster.step("beta", kind).time for _ in range(6)]
    end = cluster.point
    for time in (ends[-1] - 1, ends[-2] + 1, ends[2] + 1000, ends[2]):
        cluster.go(end._replace(time=time))
        assert cluster.back("beta", kind).time == max(each for each in ends if each < time)


def test_a_step_is_where_an_uncut_run_comes_to(cluster: Cluster) -> None:
    cluster.run(duration=BEGINNING)
    cluster.step("beta", "trap", 3)
    cluster.step("alpha", "instruction", 2)
    with Cluster.boot(GREET, record=False) as uncut:
        uncut.run(duration=cluster.time)
        assert uncut.digest() == cluster.digest()
        with pytest.raises(UsageError, match="record=False"):
            uncut.back("alpha")


def test_faults_befall_it_while_it_runs_and_are_undone_by_going_back(cluster: Cluster) -> None:
    cluster.run(duration=BEGINNING)
    begun, digest = cluster.point, cluster.digest()
    cluster.crash("alpha")
    cluster.run(duration="5ms")
    assert not cluster.nodes["alpha"].powered
    with pytest.raises(UsageError, match="node alpha has no power: `restart` it"):
        cluster.nodes["alpha"].tasks  # noqa: B018
    crashed = cluster.point, cluster.digest()
    cluster.restart("alpha")
    cluster.pause("beta")
    cluster.set_segment("lan", loss=1.0)
    cluster.run(duration="5ms")
    assert cluster.nodes["alpha"].powered
    assert "paused" in repr(cluster.nodes["beta"])
    cluster.go(crashed[0])
    assert cluster.digest() == crashed[1]
    cluster.go(begun)
    assert cluster.digest() == digest
    assert cluster.nodes["alpha"].powered


def test_a_partition_keeps_nodes_apart_until_it_is_healed(cluster: Cluster) -> None:
    cluster.partition("lan", ["alpha"], ["beta"])
    assert cluster.run("END", duration="1s") is Reason.DURATION
    cluster.heal("lan")
    assert cluster.run("END", duration="30s") is Reason.UNTIL


def test_hooks_hear_of_a_node_s_events_once_and_stop_the_run(cluster: Cluster) -> None:
    messages: list[TraceEvent] = []
    cluster.nodes["beta"].on("message", messages.append)
    cluster.run(duration="6ms")
    heard = len(messages)
    assert heard
    assert all(isinstance(event, MessageMoved) for event in messages)
    cluster.back("beta")
    assert len(messages) == heard
    stop = cluster.nodes["alpha"].on("trap", lambda event: cluster.stop())
    assert cluster.run() is Reason.STOPPED
    stop.remove()

    def fails(event: TraceEvent) -> None:
        raise ZeroDivisionError

    cluster.nodes["alpha"].on("trap", fails)
    with pytest.raises(HookError, match="ZeroDivisionError"):
        cluster.run()


def test_steps_of_a_node_end_where_a_hook_raises(cluster: Cluster) -> None:
    cluster.run(duration=BEGINNING)

    def fails(event: TraceEvent) -> None:
        raise ZeroDivisionError

    cluster.nodes["beta"].on("trap", fails)
    traps = cluster.nodes["beta"].kernel.trap_count
    with pytest.raises(HookError, match="ZeroDivisionError"):
        cluster.step("beta", "trap", 5)
    assert cluster.nodes["beta"].kernel.trap_count == traps + 1


def test_a_saved_cluster_goes_on_and_frames_are_captured(cluster: Cluster, tmp_path: Path) -> None:
    cluster.capture(tmp_path / "frames.pcapng")
    cluster.run(duration="6ms")
    cluster.save(tmp_path / "saved")
    cluster.run("END")
    with Cluster.load(tmp_path / "saved", GREET) as loaded:
        loaded.run(duration=cluster.time - loaded.time)
        assert loaded.digest() == cluster.digest()
    cluster.close()
    assert (tmp_path / "frames.pcapng").stat().st_size > 500


ALONE = """
[nodes.one]
module = "{module}"
"""


def test_ctrl_c_leaves_a_node_that_runs_alone_between_two_traps(tmp_path: Path) -> None:
    (tmp_path / "alone.toml").write_text(ALONE.format(module=module(ARCHS["i386"], "messages")))
    with Cluster.boot(tmp_path / "alone.toml", record=False) as alone:
        node = alone.nodes["one"]
        hook = node.on("trap", lambda event: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            alone.run()
        hook.remove()
        assert "END" not in node.console.lines
        assert alone.run("END") is Reason.UNTIL


def test_a_node_reads_its_input_from_the_beginning_at_each_boot_unless_it_is_to_read_none(tmp_path: Path) -> None:
    (tmp_path / "typed").write_bytes(b"one\n")
    (tmp_path / "alone.toml").write_text(ALONE.format(module=image(ARCHS["i386"], "echo")) + 'input = "typed"\n')
    with Cluster.boot(tmp_path / "alone.toml") as alone:
        alone.run()
        alone.restart("one")
        alone.run(duration="1s")
        assert alone.nodes["one"].console.text == "you said ONE\n" * 2
    with Cluster.boot(tmp_path / "alone.toml", inputs=False) as silent:
        silent.run()
        assert not silent.nodes["one"].console.text


def test_wrong_uses_say_what_to_do(cluster: Cluster) -> None:
    with pytest.raises(EndError, match="there are not so many steps back"):
        cluster.back("alpha")
    cluster.run()
    with pytest.raises(EndError, match="node alpha makes no further trap within 60 s"):
        cluster.step("alpha")
    cluster.close()
    with pytest.raises(UsageError, match="the cluster is closed"):
        cluster.run()
    assert repr(cluster) == "<cluster, closed>"
