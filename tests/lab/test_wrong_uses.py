"""The Python API, used in ways that cannot be: each ends in one of machemu's errors that says what, where and what to do."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import machemu
from machemu import Cluster, Machine, UsageError, UserError
from machemu.lab.console import Console
from machemu.lab.isolated import IsolatedMachine
from machemu.lab.looks import Looks
from machemu.lab.members import Member
from machemu.lab.recorded import Recorded
from machemu.lab.symbols import Symbols
from tests.support.guests import ARCHS, I386
from tests.support.machine import IMAGES, image

HELLO = image(I386, "hello")
GREET = IMAGES / "greet.toml"
LIST = ["hd0.img"]
BOOTS: list[tuple[dict[str, Any], str]] = [
    ({"modules": 5}, "Machine.boot: modules=5: write a text or a path or a list of texts or paths"),
    ({"modules": None}, "Machine.boot: modules=None: write a text or a path or a list of texts or paths"),
    ({"modules": [HELLO, 5]}, "write a text or a path or a list of texts or paths"),
    ({"modules": b"hello.elf"}, "write a text or a path or a list of texts or paths"),
    ({"modules": []}, "nothing to boot: name a module"),
    ({"modules": "no\0name"}, "'no\\x00name': cannot be a file"),
    ({"lines": "hello.elf"}, "Machine.boot: lines='hello.elf': write a list of texts"),
    ({"disks": LIST}, "Machine.boot: disks=['hd0.img']: write a dict from texts to texts or paths"),
    ({"disks": {"hd0": 5}}, "write a dict from texts to texts or paths"),
    ({"disks": {"hd9": "disk"}}, "there can be no device 'hd9'"),
    ({"writable": "hd0"}, "Machine.boot: writable='hd0': write a list of texts"),
    ({"variables": {"a": 1}}, "Machine.boot: variables={'a': 1}: write a dict from texts to texts"),
    ({"profile": 5}, "Machine.boot: profile=5: write a text"),
    ({"profile": "vax"}, "there is no profile 'vax': choose one of"),
    ({"memory": 2.5}, "Machine.boot: memory=2.5: write a text or a whole number, 0 or more"),
    ({"memory": True}, "Machine.boot: memory=True: write a text or a whole number"),
    ({"memory": 5}, "5 bytes of memory: a machine has between 1M and 2G"),
    ({"memory": "much"}, "'much' is no size: write a number and K, M or G"),
    ({"date": 1994}, "Machine.boot: date=1994: write a text"),
    ({"input": 5}, "Machine.boot: input=5: write bytes or a text"),
    ({"input": "\ud800"}, "'\\ud800' at 0 is no character: give text, or bytes"),
    ({"keyboard": b"x"}, "Machine.boot: keyboard=b'x': write a text"),
    ({"folder": 5}, "Machine.boot: folder=5: write a text or a path"),
    ({"record": 1}, "Machine.boot: record=1: write True or False"),
    ({"budget": -1}, "Machine.boot: budget=-1: write a whole number, 0 or more"),
    ({"isolated": "no"}, "Machine.boot: isolated='no': write True or False"),
]
MACHINES: list[tuple[Callable[[Any], object], str]] = [
    (lambda m: m.run(5), "Machine.run: until=5: write a text or a function"),
    (lambda m: m.run(duration=1.5), "Machine.run: duration=1.5: write a text or a whole number, 0 or more"),
    (lambda m: m.run(duration=-1), "Machine.run: duration=-1: write a text or a whole number, 0 or more"),
    (lambda m: m.run(duration="soon"), "'soon' is no time: write a number and ns, us, ms, s or min"),
    (lambda m: m.run(traps=1.5), "Machine.run: traps=1.5: write a whole number, 0 or more"),
    (lambda m: m.run(traps="5"), "Machine.run: traps='5': write a whole number, 0 or more"),
    (lambda m: m.run(traps=-1), "Machine.run: traps=-1: write a whole number, 0 or more"),
    (lambda m: m.step(5), "Machine.step: kind=5: write a StepKind or a text"),
    (lambda m: m.step("leap"), "no kind of step 'leap': there are trap, instruction, message, switch"),
    (lambda m: m.step("trap", 0), "Machine.step: count=0: write a whole number, 1 or more"),
    (lambda m: m.step("trap", "2"), "Machine.step: count='2': write a whole number, 1 or more"),
    (lambda m: m.back("trap", -1), "Machine.back: count=-1: write a whole number, 1 or more"),
    (lambda m: m.back("instruction", 10**12), "there are not so many steps back: "),
    (lambda m: m.seek("10"), "Machine.seek: traps='10': write a whole number"),
    (lambda m: m.go(5), "Machine.go: point=5: write a Point, such as `point` is"),
    (lambda m: m.go((1, 2, 3, 0)), "Machine.go: point=(1, 2, 3, 0): write a Point, such as `point` is"),
    (lambda m: m.restore(5), "Machine.restore: kept=5: write a Kept"),
    (lambda m: m.restore(m.point), "write a Kept"),
    (lambda m: m.save(5), "Machine.save: path=5: write a text or a path"),
    (lambda m: m.save("no\0name"), "no\0name: cannot be written"),
    (lambda m: m.save(HELLO), f"{HELLO}: cannot be written: this run reads it, and it would be lost"),
    (lambda m: m.on("blink", print), "there is no kind of event 'blink': there are trap, result"),
    (lambda m: m.on(["trap"], print), "on: kind=['trap']: write a text"),
    (lambda m: m.on("trap", 5), "on: hook=5: write a function"),
    (lambda m: m.console.type(5), "Console.type: data=5: write bytes or a text"),
    (lambda m: m.console.type("\ud800"), "'\\ud800' at 0 is no character: give text, or bytes"),
    (lambda m: m.read(1, -1, 4), "has no memory at -0x1"),
    (lambda m: m.read(1, 0x10, -4), "Machine.read: size=-4: write a whole number, 0 or more"),
    (lambda m: m.read(1, 0x10, 4), "has no memory at 0x10"),
    (lambda m: m.read(1.0, 0, 4), "Machine.read: task=1.0: write a whole number or a text"),
    (lambda m: m.registers("1"), "Machine.registers: thread='1': write a whole number"),
    (lambda m: m.registers(99), "no thread 99: see `threads`"),
    (lambda m: m.disassemble(1, -1), "Machine.disassemble: count=-1: write a whole number, 0 or more"),
    (lambda m: m.threads.where(nix=3), "no field nix: the rows have number, task, task_name"),
    (lambda m: m.symbols.address(5), "Symbols.address: name=5: write a text"),
    (lambda m: m.symbols.address("nix"), "no symbol nix: see `symbols`"),
    (lambda m: m.symbols.at("1", 5), "Symbols.at: task='1': write a whole number"),
]
CLUSTERS: list[tuple[Callable[[Any], object], str]] = [
    (lambda c: c.nodes["gamma"], "no node gamma: there are alpha, beta"),
    (lambda c: c.step("gamma"), "no node gamma: there are alpha, beta"),
    (lambda c: c.step("alpha", count=0), "Cluster.step: count=0: write a whole number, 1 or more"),
    (lambda c: c.back("alpha", "leap"), "no kind of step 'leap'"),
    (lambda c: c.back("alpha", "instruction", 10**12), "there are not so many steps back: "),
    (lambda c: c.back("alpha", "message", 10**12), "there are not so many steps back: "),
    (lambda c: c.go(5), "Cluster.go: point=5: write a ClusterPoint, such as `point` is"),
    (lambda c: c.run(5), "Cluster.run: until=5: write a text"),
    (lambda c: c.run(duration=-1), "Cluster.run: duration=-1: write a text or a whole number, 0 or more"),
    (lambda c: c.crash(1), "Cluster.crash: node=1: write a text"),
    (lambda c: c.restart("gamma"), "no node gamma: there are alpha, beta"),
    (lambda c: c.heal("wan"), "no segment wan: there are lan"),
    (lambda c: c.partition("lan", "alpha"), "Cluster.partition: groups='alpha': write a list of texts"),
    (lambda c: c.partition("lan", ["alpha"], ["beta", "alpha"]), "node alpha is in it twice: name each once"),
    (lambda c: c.cut("lan", ["alpha", "alpha"], ["beta"]), "node alpha is in it twice: name each once"),
    (lambda c: c.cut("lan", [], ["beta"]), "a cut has nodes on both sides"),
    (lambda c: c.cut("lan", ["alpha"], ["beta"], loss=5), "a loss of more than 0 and at most 1"),
    (
        lambda c: c.cut("lan", ["alpha"], ["beta"], duration=0),
        "Cluster.cut: duration=0: write a text or a whole number, 1 or more",
    ),
    (lambda c: c.set_segment("lan", colour=1), "a segment has no colour: it has bandwidth"),
    (lambda c: c.set_segment("lan", loss=5), "loss=5: write a number from 0 to 1"),
    (lambda c: c.set_segment("lan", loss=float("nan")), "loss=nan: write a number from 0 to 1"),
    (lambda c: c.set_segment("lan", latency=0.5), "latency=0.5: write a whole number from 0 to"),
    (lambda c: c.set_segment("lan", latency="5ms"), "Cluster.set_segment: latency='5ms': write a whole number or a number"),
    (lambda c: c.set_segment("lan", delay=0), "delay=0: write a whole number from 1 to"),
    (lambda c: c.set_segment("lan", bandwidth=1), "bandwidth=1: write a whole number from 1000 to"),
    (lambda c: c.fault("nonsense"), "write keys as in a cluster file, parted by commas"),
    (lambda c: c.action("nonsense"), "write keys as in a cluster file, parted by commas"),
    (lambda c: c.start_server("gamma", "masix.gns:Gns"), "no node gamma: there are alpha, beta"),
    (lambda c: c.start_server("alpha", 5), "Cluster.start_server: server=5: write a text"),
    (lambda c: c.start_server("alpha", "masix.gns:Gns", size=None), "Cluster.start_server: size=None: write True or False or a"),
    (lambda c: c.stop_server("alpha", 5), "Cluster.stop_server: name=5: write a text"),
    (lambda c: c.servers_of("gamma"), "no node gamma: there are alpha, beta"),
    (lambda c: c.capture(5), "Cluster.capture: path=5: write a text or a path"),
    (lambda c: c.capture(GREET), f"{GREET}: cannot be written: this run reads it, and it would be lost"),
    (lambda c: c.save(GREET), f"{GREET}: cannot be written: this run reads it, and it would be lost"),
    (lambda c: c.nodes["alpha"].on("trap", 5), "Member.on: hook=5: write a function"),
    (lambda c: c.nodes["alpha"].console.type(5), "Console.type: data=5: write bytes or a text"),
]
OTHERS: list[tuple[Callable[[], object], str]] = [
    (lambda: Machine.load(5), "Machine.load: path=5: write a text or a path"),  # type: ignore[arg-type]
    (lambda: Machine.load("nowhere"), "nowhere: cannot be read"),
    (lambda: Cluster.boot(5), "Cluster.boot: file=5: write a text or a path or a ClusterSpec"),  # type: ignore[arg-type]
    (lambda: Cluster.boot(GREET, seed=-1), "Cluster.boot: seed=-1: write a whole number, 0 or more"),
    (lambda: Cluster.boot(GREET, seed=1 << 64), "Cluster.boot: seed=18446744073709551616: write a whole number"),
    (lambda: Cluster.boot(GREET, budget=-1), "Cluster.boot: budget=-1: write a whole number, 0 or more"),
    (lambda: Cluster.load(5, GREET), "Cluster.load: path=5: write a text or a path"),  # type: ignore[arg-type]
    (lambda: machemu.example(5), "example: name=5: write a text"),  # type: ignore[arg-type]
    (lambda: machemu.example("nix.elf"), "no example nix.elf: there are "),
    (lambda: machemu.examples("vax"), "no examples for a CPU vax: there are i386 and m68k"),
]
CHECKED_BY_ITSELF = {"Recorded.go"}
FOR_MACHEMU = {
    "Console": {"source", "write", "looking_for", "show", "go", "begin"},
    "Member": {"join", "traced"},
    "Recorded": {"watch_place"},
}
"""What other rooms of machemu call alone."""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with Machine.boot(HELLO) as made:
        made.run()
        yield made


@pytest.fixture(scope="module")
def isolated() -> Iterator[Machine]:
    with Machine.boot(HELLO, isolated=True) as made:
        made.run()
        yield made


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster.boot(GREET) as made:
        made.run(duration="1ms")
        yield made


@pytest.mark.parametrize(("given", "said"), BOOTS, ids=lambda each: str(each)[:60])
def test_what_cannot_be_booted(given: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").write_bytes(bytes(512))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=re.escape(said)):
        Machine.boot(**{"modules": HELLO, **given})


@pytest.mark.parametrize(("use", "said"), MACHINES, ids=[said[:60] for _, said in MACHINES])
def test_what_a_machine_cannot_do_changes_nothing(
    machine: Machine, isolated: Machine, use: Callable[[Any], object], said: str
) -> None:
    for each in (machine, isolated):
        before = each.point, each.digest()
        with pytest.raises(UserError, match=re.escape(said)):
            use(each)
        assert (each.point, each.digest()) == before


@pytest.mark.parametrize(("use", "said"), CLUSTERS, ids=[said[:60] for _, said in CLUSTERS])
def test_what_a_cluster_cannot_do_changes_nothing(cluster: Cluster, use: Callable[[Cluster], object], said: str) -> None:
    before = cluster.point, cluster.digest()
    with pytest.raises(UserError, match=re.escape(said)):
        use(cluster)
    assert (cluster.point, cluster.digest()) == before


@pytest.mark.parametrize(("use", "said"), OTHERS, ids=[said[:60] for _, said in OTHERS])
def test_what_cannot_be_made_or_found(use: Callable[[], object], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        use()


def test_a_snapshot_goes_into_machines_of_its_kind_alone(machine: Machine, tmp_path: Path) -> None:
    kept = machine.snapshot()
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(512))
    with Machine.boot(HELLO) as other:
        other.restore(kept)
        assert other.digest() == machine.digest()
    said = r"the snapshot is of a machine of i386 with \d+M of memory and no disks, and this is .*: boot one such as that"
    for module, options in ((HELLO, {"memory": "5M"}), (HELLO, {"disks": {"hd0": disk}}), (image(ARCHS["m68k"], "hello"), {})):
        with Machine.boot(module, **options) as other, pytest.raises(UsageError, match=said):
            other.restore(kept)


def test_a_machine_never_writes_over_what_it_was_made_of(tmp_path: Path) -> None:
    disk, saved = tmp_path / "disk", tmp_path / "saved"
    disk.write_bytes(bytes(1 << 20))
    with Machine.boot(HELLO.name, folder=HELLO.parent, disks={"hd0": disk}) as machine:
        for path in (HELLO, disk):
            with pytest.raises(UserError, match="this run reads it, and it would be lost"):
                machine.save(path)
        machine.save(saved)
    with Machine.load(saved, disks={"hd0": disk}) as machine:
        with pytest.raises(UserError, match="this run reads it, and it would be lost"):
            machine.save(disk)
        machine.save(saved)


def test_two_captures_are_not_written_into_one_file(tmp_path: Path) -> None:
    with Cluster.boot(GREET) as cluster:
        cluster.capture(tmp_path / "frames")
        with pytest.raises(UserError, match="this run writes something else into it"):
            cluster.capture(tmp_path / "frames")


def test_nothing_but_closing_is_done_with_what_is_closed() -> None:
    with Machine.boot(HELLO) as machine:
        kept, point = machine.snapshot(), machine.point
    calls: list[Callable[[], object]] = [
        *(machine.run, machine.step, machine.back, lambda: machine.seek(1), lambda: machine.go(point), machine.snapshot),
        *(lambda: machine.restore(kept), machine.digest, lambda: machine.save("saved"), lambda: machine.on("trap", print)),
        *(
            machine.check,
            lambda: machine.tasks,
            lambda: machine.console.type("x"),
            lambda: machine.time,
            lambda: machine.earliest,
        ),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="the machine is closed: boot or load another"):
            call()
    machine.close()


@pytest.mark.parametrize("cls", [Machine, Cluster, Recorded, Looks, Member, Console, Symbols, IsolatedMachine])
def test_each_function_of_the_api_checks_what_it_is_given(cls: type) -> None:
    """The decorator `lab.checks.checked` does it, by the types that the function says."""
    for name, member in vars(cls).items():
        function = getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(function) or name in FOR_MACHEMU.get(cls.__name__, ()):
            continue
        takes = len(inspect.signature(function).parameters) > 1
        assert not takes or hasattr(function, "__wrapped__") or function.__qualname__ in CHECKED_BY_ITSELF, function


def test_errors_are_all_user_errors_which_machemu_exports() -> None:
    for error in (machemu.UsageError, machemu.EndError, machemu.HookError, machemu.EngineDied):
        assert issubclass(error, machemu.UserError)
