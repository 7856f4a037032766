"""A cluster file that changed since its cluster was saved: each key holds from now on, or is refused by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.cluster import changes
from machemu.cluster.changes import RULES, Rule
from machemu.cluster.cluster import Cluster
from machemu.cluster.faults import Crash, Fault, SetSegment
from machemu.cluster.file import parse_file
from machemu.cluster.lan import Properties
from machemu.cluster.values import Table
from tests.support.clusters import MS, ROOT, US, World, fault, node

SEGMENT = "[segments.lan]\n"
SAVED = 20 * MS
CRASHED = fault("10ms", "crash", node="off")
OFF = node("off", "answer").replace("4M", "8M")
TEXT = SEGMENT + node("on", "answer") + OFF + CRASHED + fault("50ms", "pause", node="on")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cluster at 20 ms, one node of which has no power any more."""
    path = tmp_path_factory.mktemp("changes") / "saved"
    with World(TEXT) as world:
        world.run(SAVED)
        world.cluster.save(path)
    return path


def load(path: Path, text: str) -> Cluster:
    return Cluster.load(path, parse_file(text, ROOT))


def in_node(name: str, line: str) -> str:
    """The text with a line more in a node's table."""
    return TEXT.replace(f"[nodes.{name}]\n", f"[nodes.{name}]\n{line}\n")


def test_a_file_that_did_not_change_is_taken(saved: Path) -> None:
    with load(saved, TEXT) as cluster:
        assert cluster.time == SAVED
        assert cluster.faults == list(parse_file(TEXT, ROOT).faults[1:])


def test_every_key_of_the_format_has_a_rule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found: dict[str, None] = {}
    take = Table.take

    def record(self: Table, key: str, *rest: object) -> object:
        place = self.place.split(".")
        if self.place.startswith("faults["):
            place = ["faults", ""]
        elif len(place) > 1:
            place[1] = "*"
        name = ".".join((*place[:-1], key))
        found["faults" if name.startswith("faults") else name] = None
        return take(self, key, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Table, "take", record)
    parse_file(TEXT, ROOT)
    assert sorted(found) == sorted(RULES)


NEVER = [
    ("seed", f"seed = 7\nkey = '{'0' * 64}'\n{TEXT}", r"seed: is 7, and was 0 when the cluster was saved"),
    ("key", f"key = '{'0' * 64}'\n{TEXT}", r"key: is not that of the saved cluster"),
    ("segments", TEXT + "[segments.other]\n", r"segments: is lan, other, and was lan when"),
    (
        "segments",
        "[segments.other]\n" + TEXT.replace(SEGMENT, "").replace('"lan"', '"other"'),
        r"segments: is other, and was lan",
    ),
    ("nodes", SEGMENT + OFF + node("on", "answer") + CRASHED, r"nodes: is off, on, and was on, off when"),
    ("nodes", TEXT + node("third", "answer"), r"nodes: is on, off, third, and was on, off when"),
    ("nodes", TEXT.replace("nodes.on", "nodes.in").replace('"on"', '"in"'), r"nodes: is in, off, and was on, off"),
    ("nodes.*.disks", in_node("on", 'disks = { hd0 = "README.md" }'), r"nodes.on.disks: is hd0 not writable, and was nothing"),
    ("nodes.*.disks", in_node("off", 'disks = { hd0 = "README.md" }'), r"nodes.off.disks: is hd0 not writable, and was nothing"),
    ("nodes.*.nics", TEXT.replace('eth0 = "lan"', 'eth1 = "lan"', 1), r"nodes.on.nics: is eth1 lan, and was eth0 lan when"),
]

BOOTED = [
    ("nodes.*.profile", "profile = 'pc486-33'", r"profile: is processor .* 33 MHz, .*, and was processor .* 66 MHz"),
    ("nodes.*.script", "script = 'images/src/far.script'", r"script: is .*, and was nothing when"),
    ("nodes.*.module", "module = 'images/i386/hello.elf'", r"module: is images/i386/hello.elf, and was nothing when"),
    ("nodes.*.variables", "variables = { a = 'b' }", r"variables: is a b, and was nothing when"),
    ("nodes.*.servers", "servers = ['masix.acs.server:Acs']", r"servers: is masix.acs.server:Acs, and was nothing when"),
]


@pytest.mark.parametrize(("key", "text", "message"), NEVER, ids=[f"{n} {key}" for n, (key, _, _) in enumerate(NEVER)])
def test_what_the_cluster_was_made_of_is_refused_by_its_key(key: str, text: str, message: str, saved: Path) -> None:
    assert RULES[key] is Rule.NEVER
    with pytest.raises(UserError, match=f"{saved}: {message}"):
        load(saved, text)


@pytest.mark.parametrize(("key", "line", "message"), BOOTED, ids=[key for key, _, _ in BOOTED])
def test_what_a_node_boots_from_is_refused_where_it_has_power_and_else_holds(
    key: str, line: str, message: str, saved: Path
) -> None:
    assert RULES[key] is Rule.UNPOWERED
    if "script" in line:
        (saved.parent / "script").write_text("images/i386/hello.elf $(task-create) $(task-resume)\n")
        line = f"script = '{saved.parent / 'script'}'"
    with pytest.raises(
        UserError, match=rf"{saved}: nodes.on.{message}.*: a node keeps what it was booted from while it has power"
    ):
        load(saved, in_node("on", line))
    with load(saved, in_node("off", line)) as cluster:
        assert cluster.nodes[1].spec != parse_file(TEXT, ROOT).nodes[1]


def test_memory_and_modules_of_a_node_without_power_hold_from_its_next_boot_on(saved: Path) -> None:
    changed = OFF.replace("8M", "16M").replace("images/i386/ether.elf", "images/i386/hello.elf")
    text = TEXT.replace(OFF, changed) + fault("30ms", "restart", node="off")
    with World(text, load=saved) as world:
        world.run(60 * MS)
        machine = world.node("off").machine
        assert machine is not None
        assert len(machine.kernel.memory.view) == 16 << 20
        assert world.lines("off") == ["Hello from a Mach task."]
    for key, other in (("memory: is 16777216, and was 4194304", "16M"), ("modules: is ", "")):
        one = node("on", "answer").replace("4M", other) if other else node("on", "ask", 1)
        with pytest.raises(UserError, match=rf"nodes.on.{key}"):
            load(saved, TEXT.replace(node("on", "answer"), one))


def test_faults_to_come_are_the_file_s(saved: Path) -> None:
    to_come = fault("40ms", "crash", node="on") + fault("30ms", "restart", node="off")
    with World(SEGMENT + node("on", "answer") + OFF + CRASHED + to_come, load=saved) as world:
        assert [each.time for each in world.cluster.faults] == [30 * MS, 40 * MS]
        world.run(60 * MS)
        assert world.node("on").kernel is None
        assert world.node("off").powered == 30 * MS
    with load(saved, SEGMENT + node("on", "answer") + OFF + CRASHED) as cluster:
        assert cluster.faults == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace(CRASHED, ""), r"faults: 'crash' of off at 0.01 s is not there, and has befallen the saved cluster"),
        (TEXT.replace('"10ms"', '"11ms"'), r"faults: 'crash' of off at 0.011 s is new, and the saved cluster is at 0.02"),
        (TEXT + fault("19ms", "heal", segment="lan"), r"faults: 'heal' of lan at 0.019 s is new, and the saved cluster is at"),
        (TEXT + fault("1ms", "segment", segment="lan", loss=0.5), r"faults: 'segment' of lan at 0.001 s is new, and"),
    ],
)
def test_what_has_been_cannot_be_other(text: str, message: str, saved: Path) -> None:
    with pytest.raises(UserError, match=message):
        load(saved, text)


VALUES = {"bandwidth": ('"1M"', 10**6), "latency": ('"7us"', 7 * US), "delay": ('"3ms"', 3 * MS)}


@pytest.mark.parametrize("key", Properties._fields)
def test_a_segment_s_properties_hold_from_now_on(key: str, saved: Path) -> None:
    assert RULES[f"segments.*.{key}"] is Rule.ALWAYS
    written, value = VALUES.get(key, ("0.5", 0.5))
    with World(TEXT.replace(SEGMENT, f"{SEGMENT}{key} = {written}\n"), load=saved) as world:
        segment = world.cluster.segments[0]
        assert getattr(segment.properties, key) != value
        world.run(SAVED + MS)
        assert segment.properties == Properties()._replace(**{key: value})  # type: ignore[arg-type]


def test_a_change_of_a_segment_outlives_another_save(saved: Path, tmp_path: Path) -> None:
    text = TEXT.replace(SEGMENT, f"{SEGMENT}loss = 0.5\n")
    with World(text, load=saved) as world:
        world.cluster.save(tmp_path / "again")
    with World(text, load=tmp_path / "again") as world:
        world.run(SAVED + MS)
        assert world.cluster.segments[0].properties.loss == 0.5


def test_where_an_image_lies_and_what_the_console_reads_may_change(tmp_path: Path) -> None:
    image, moved, typed, saved = (tmp_path / name for name in ("image", "moved", "typed", "saved"))
    image.write_bytes(bytes(4096))
    typed.write_bytes(b"text\n")
    text = TEXT.replace("[nodes.on]\n", f'[nodes.on]\ndisks = {{ hd0 = "{image}" }}\n')
    with World(text) as world:
        world.run(SAVED)
        world.cluster.save(saved)
    image.rename(moved)
    text = text.replace(str(image), str(moved)).replace("[nodes.on]\n", f'[nodes.on]\ninput = "{typed}"\n')
    with load(saved, text) as cluster:
        assert cluster.nodes[0].spec.input == typed
    with pytest.raises(UserError, match=r"nodes.on.disks: is hd0 writable, and was hd0 not writable"):
        load(saved, text.replace(str(moved), f"{moved},writable"))
    moved.write_bytes(b"\1" * 4096)
    with pytest.raises(UserError, match="is not the image that the saved machine had"):
        load(saved, text)


def test_faults_are_told_apart_by_what_they_do() -> None:
    spec = parse_file(TEXT, ROOT)
    origin = changes.Origin((1,), changes.settings(spec), spec.faults)
    pending: list[Fault] = [SetSegment(SAVED, 0, (("loss", 0.5),))]
    assert changes.faults(origin, [*pending, *spec.faults[1:]], spec, SAVED) == [*pending, *spec.faults[1:]]
    with pytest.raises(UserError, match="has befallen"):
        changes.faults(origin._replace(faults=(*spec.faults, Crash(MS, 1))), spec.faults[1:], spec, SAVED)


def test_a_cut_that_holds_is_saved_and_its_end_comes_even_if_the_file_has_moved_it(tmp_path: Path) -> None:
    path = tmp_path / "saved"

    def text(until: str) -> str:
        sides: dict[str, object] = {"from": ["on"], "to": ["far"]}
        return SEGMENT + node("on") + node("far") + fault("10ms", "cut", segment="lan", both=True, loss=0.5, until=until, **sides)

    with World(text("50ms")) as world:
        world.run(SAVED)
        world.cluster.save(path)
        world.run(60 * MS)
        digest = world.cluster.digest()
    with World(text("50ms"), load=path) as again:
        assert [each.loss for each in again.cluster.segments[0].cuts] == [0.5]
        again.run(60 * MS)
        assert again.cluster.digest() == digest
    with load(path, text("80ms")) as later:
        later.run(60 * MS)
        assert later.segments[0].cuts
        later.run(90 * MS)
        assert not later.segments[0].cuts
    with pytest.raises(UserError, match=r"faults: 'mend' of lan at 0.015 s is new, and the saved cluster is at 0.02 s"):
        load(path, text("15ms"))
