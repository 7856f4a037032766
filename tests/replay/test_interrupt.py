"""Ctrl-C at any moment: never lost, nothing half done, and the saved machine goes on as if nothing had been."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from machemu.cluster.cluster import Cluster, ClusterStop
from machemu.cluster.file import parse_file
from machemu.core.kernel import Kernel, Stop
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.m68k.cpu import M68kCpu
from machemu.ui.interrupt import SAME_S, CtrlC
from tests.support.clusters import ROOT, node
from tests.support.guests import Arch
from tests.support.machine import boot, image, load

MOMENTS = (1, 2, 5, 9, 14, 23, 40)
"""The call, of each kind, in which the signal comes."""
KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
    "a trap": ("system_call", (Kernel,)),
    "a page fault": ("fault", (Kernel,)),
    "the start of the CPU": ("_start", (I386Cpu, M68kCpu)),
    "a switch of threads": ("_switch", (Kernel,)),
    "an idle moment": ("_idle", (Kernel,)),
}
"""The name of a method, and whose it is."""


class Plant:
    """Raises SIGINT inside the n-th call of a kind, before or after its work. calls: so many since it was armed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: str, moment: int) -> None:
        self.calls = 0
        self.armed = False
        name, classes = KINDS[kind]
        for cls in classes:
            self._plant(monkeypatch, cls, name, moment)

    def _plant(self, monkeypatch: pytest.MonkeyPatch, cls: type, name: str, moment: int) -> None:
        call = getattr(cls, name)

        def interrupted(of: Any, *arguments: Any) -> Any:
            self.calls += self.armed
            number = self.calls if self.armed else 0
            if number == moment and moment % 2:
                signal.raise_signal(signal.SIGINT)
            result = call(of, *arguments)
            if number == moment and not moment % 2:
                signal.raise_signal(signal.SIGINT)
            return result

        monkeypatch.setattr(cls, name, interrupted)


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_interrupted_at_any_moment_goes_on_as_if_it_had_not_been(
    arch: Arch, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with boot(image(arch, "pingpong")) as whole:
        whole.run()
        printed, digest = whole.console, whole.node.digest()
    met = 0
    for moment in MOMENTS:
        with monkeypatch.context() as patch, CtrlC() as interrupt:
            plant = Plant(patch, kind, moment)
            with boot(image(arch, "pingpong")) as machine:
                machine.kernel.interrupt = interrupt
                plant.armed = True
                interrupt.begin()
                stop = machine.run()
                plant.armed = False
                assert interrupt.asked == (plant.calls >= moment)
                # What comes as the run ends by itself has nothing to stop.
                assert (stop is Stop.INTERRUPTED) == interrupt.asked or (stop is Stop.WEDGED and plant.calls == moment)
                machine.check()
                machine.node.save(tmp_path / "saved")
                before = machine.console
                met += interrupt.asked
                interrupt.asked = False
        with load(tmp_path / "saved") as again:
            again.run()
            assert (before + again.console, again.node.digest()) == (printed, digest)
    assert met


@pytest.mark.parametrize("kind", ["a trap", "the start of the CPU"])
def test_a_cluster_interrupted_at_any_moment_goes_on_as_if_it_had_not_been(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    spec = parse_file("[segments.lan]\nloss = 0.1\n" + node("a", "ask", 3, 2) + node("b", "answer", machine="m68k"), ROOT)
    with Cluster(spec) as whole:
        whole.boot()
        whole.run()
        digest = whole.digest()
    met = 0
    for moment in MOMENTS:
        with monkeypatch.context() as patch, CtrlC() as interrupt, Cluster(spec) as cluster:
            plant = Plant(patch, kind, moment)
            cluster.boot()
            cluster.interrupt = interrupt
            for each in cluster.nodes:
                assert each.kernel is not None
                each.kernel.interrupt = interrupt
            plant.armed = True
            interrupt.begin()
            stop = cluster.run()
            assert (stop is ClusterStop.INTERRUPTED) == interrupt.asked == (plant.calls >= moment)
            met += interrupt.asked
            cluster.save(tmp_path / "saved")
        with Cluster.load(tmp_path / "saved", spec) as again:
            again.run()
            assert again.digest() == digest
    assert met > 2


def test_it_ends_the_command_at_once_before_machines_run_and_when_it_comes_twice() -> None:
    with CtrlC() as interrupt:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupt.begin()
    with CtrlC() as interrupt:
        interrupt.begin()
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert interrupt.asked
        interrupt.came -= SAME_S
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
