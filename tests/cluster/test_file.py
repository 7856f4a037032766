"""The cluster file: what it says, and what is said of one that is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import UserError
from machemu.cluster.faults import Crash, Heal, Partition, SetSegment
from machemu.cluster.file import load_file, parse_file
from machemu.cluster.lan import Properties
from machemu.cluster.server_specs import ServerSpec
from tests.support.clusters import MS, ROOT, SECOND, US, fault, node

SEGMENT = "[segments.lan]\n"
GOOD = SEGMENT + node("one")
PAIR = GOOD + node("two")


def cut(**keys: object) -> str:
    return fault("1s", "cut", segment="lan", **{"from": ["one"], "to": ["two"], **keys})


def test_everything_that_a_file_can_say(tmp_path: Path) -> None:
    for name in ("a.img", "b.img", "typed"):
        (tmp_path / name).write_bytes(bytes(512))
    (tmp_path / "boot.script").write_text(f"# nothing\n{ROOT}/images/m68k/hello.elf $(task-create) $(task-resume)\n")
    path = tmp_path / "cluster.toml"
    path.write_text(f"""
        seed = 5
        [segments.lan]
        bandwidth = "100M"
        latency = "1.5us"
        loss = 0.25
        duplication = 1
        reordering = 0.5
        delay = "2ms"
        [segments.quiet]
        [nodes.one]
        profile = "pentium-90"
        memory = "16M"
        module = "{ROOT}/images/i386/hello.elf"
        variables = {{ root = "hd0" }}
        disks = {{ hd0 = "a.img", sd7 = "b.img,writable" }}
        nics = {{ eth0 = "lan", eth2 = "quiet" }}
        servers = ["some.module:Server", {{ class = "other:Server", fast = true, limit = 3 }}]
        input = "typed"
        [nodes.two]
        script = "boot.script"
        modules = ["{ROOT}/images/m68k/echo.elf $(task-create) $(task-resume)"]
        [[faults]]
        at = "3s"
        kind = "crash"
        node = "two"
        [[faults]]
        at = "1s"
        kind = "partition"
        segment = "quiet"
        groups = [["two"], ["one"]]
        [[faults]]
        at = "1s"
        kind = "heal"
        segment = "quiet"
        [[faults]]
        at = "500ms"
        kind = "segment"
        segment = "lan"
        bandwidth = "1k"
        loss = 0
    """)
    spec = load_file(path)
    assert spec.seed == 5
    assert [segment.name for segment in spec.segments] == ["lan", "quiet"]
    assert spec.segments[0].properties == Properties(100_000_000, 1500, 0.25, 1.0, 0.5, 2 * MS)
    assert spec.segments[1].properties == Properties(10_000_000, 5 * US, 0.0, 0.0, 0.0, MS)
    one, two = spec.nodes
    assert (one.number, one.name, one.profile.name, one.ram) == (1, "one", "pentium-90", 16 << 20)
    assert one.lines == (f"{ROOT}/images/i386/hello.elf ${{host-port}} ${{device-port}} $(task-create) $(task-resume)",)
    assert (dict(one.variables), dict(one.nics), one.servers) == (
        {"root": "hd0"},
        {"eth0": 0, "eth2": 1},
        (ServerSpec("some.module:Server"), ServerSpec("other:Server", (("fast", True), ("limit", 3)))),
    )
    assert {name: (disk.path, disk.writable) for name, disk in one.disks.items()} == {
        "hd0": (tmp_path / "a.img", False),
        "sd7": (tmp_path / "b.img", True),
    }
    assert one.input == tmp_path / "typed"
    assert (two.number, two.profile.name, two.ram, len(two.lines), two.input) == (2, "sun3-60", two.profile.ram, 3, None)
    changes = (("bandwidth", 1000), ("loss", 0.0))
    assert spec.faults == (
        SetSegment(SECOND // 2, 0, changes),
        Partition(SECOND, 1, ((2,), (1,))),
        Heal(SECOND, 1),
        Crash(3 * SECOND, 2),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = ", "is not TOML"),
        (f"seed = {'9' * 5000}", "has a number of more than 20 digits"),
        (f"seed = 0x{'f' * 5000}", "seed: has a number of more than 64 bits, 0xfff"),
        ("", "nodes: there are 0"),
        ("colour = 1\n" + GOOD, "colour: there is no such key; there are seed, key, segments, nodes, faults"),
        ('seed = "x"\n' + GOOD, "seed: must be a whole number"),
        ("seed = -1\n" + GOOD, "seed: must be a whole number"),
        ("seed = true\n" + GOOD, "seed: must be a whole number"),
        ('key = "00"\n' + GOOD, "key: "),
        ("key = 1\n" + GOOD, "key: "),
        ("segments = 1\n" + node("one", nics=""), "segments: must be a table"),
        ("[segments]\nlan = 1\n" + node("one"), "segments.lan: must be a table"),
        ('[segments."a b"]\n' + node("one", nics=""), "segments: 'a b' is no name"),
        (SEGMENT + 'bandwidth = "fast"\n' + node("one"), "segments.lan.bandwidth: must be bits a second"),
        (SEGMENT + 'bandwidth = "0M"\n' + node("one"), "segments.lan.bandwidth: must be bits a second"),
        (SEGMENT + 'bandwidth = "1000G"\n' + node("one"), "segments.lan.bandwidth: must be bits a second"),
        (SEGMENT + "latency = 5\n" + node("one"), "segments.lan.latency: must be a time such as '5ms', and is 5"),
        (SEGMENT + 'latency = "5"\n' + node("one"), "segments.lan.latency: '5' is no time"),
        (SEGMENT + 'latency = "2000min"\n' + node("one"), "segments.lan.latency: '2000min' is more than an hour"),
        (SEGMENT + 'delay = "0s"\n' + node("one"), "segments.lan.delay: must be more than no time"),
        (SEGMENT + "loss = 1.5\n" + node("one"), "segments.lan.loss: must be a number from 0 to 1"),
        (SEGMENT + "loss = nan\n" + node("one"), "segments.lan.loss: must be a number from 0 to 1"),
        (SEGMENT + "speed = 1\n" + node("one"), "segments.lan.speed: there is no such key"),
        ("[nodes.one]\n", "nodes.one: has nothing to run"),
        ("[nodes]\none = []\n", "nodes.one: must be a table"),
        (node("one"), "nodes.one.nics: eth0: there is no segment 'lan'; there are none"),
        (SEGMENT + node("one", nics='eth4 = "lan"'), "nodes.one.nics: there can be no device 'eth4'"),
        (SEGMENT + node("one", nics="eth0 = 1"), "nodes.one.nics: eth0: there is no segment 1"),
        (GOOD + 'profile = "cray"\n', "nodes.one.profile: there is no profile 'cray'"),
        (GOOD + 'profile = "sun3-60"\n', "nodes.one.profile: sun3-60 is a machine of m68k, its programs of i386"),
        (GOOD + 'profile = "x/y.toml"\n', "nodes.one.profile: "),
        (GOOD.replace('"4M"', '"4X"'), "nodes.one.memory: '4X' is no size"),
        (GOOD.replace('"4M"', '"4G"'), "nodes.one.memory: '4G': a machine has between 1M and 2G"),
        (GOOD.replace("ether.elf", "nothing.elf"), "nodes.one.modules: "),
        (GOOD.replace("${host-port}", "${"), "nodes.one.modules: boot script line 1"),
        ("[nodes.one]\nmodules = 3\n", "nodes.one.modules: must be a list"),
        ('[nodes.one]\nscript = "nothing"\n', "nodes.one.script: "),
        (GOOD + 'disks = { fd2 = "x" }\n', "nodes.one.disks: there can be no device 'fd2'"),
        (GOOD + "disks = { hd0 = 1 }\n", "nodes.one.disks: hd0: must be a text"),
        (GOOD + 'disks = { hd0 = ",writable" }\n', "nodes.one.disks: hd0: must be a text"),
        (GOOD + 'disks = { hd0 = "x", hd1 = "./x,writable" }\n', "nodes.one.disks.hd1: "),
        (GOOD + "variables = { a = 1 }\n", "nodes.one.variables: a: must be a text"),
        (GOOD + 'servers = ["masix"]\n', "nodes.one.servers: 'masix' is no server"),
        (GOOD + "servers = [{ fast = true }]\n", "nodes.one.servers: must be a text, and is None"),
        (GOOD + 'servers = [{ class = "a:B", x = 1.5 }]\n', "nodes.one.servers: a:B: x: must be true, false,"),
        (GOOD + 'input = "nothing"\n', "nodes.one.input: "),
        ("faults = 1\n" + GOOD, "faults: must be a list"),
        ("faults = [1]\n" + GOOD, "faults[1]: must be a table"),
        (GOOD + "[[faults]]\n", "faults[1].at: is missing"),
        (GOOD + '[[faults]]\nat = "1s"\n', "faults[1].kind: is missing"),
        (GOOD + fault("1s", "flood"), "faults[1].kind: 'flood' is none of crash,"),
        (GOOD + fault("1s", "crash"), "faults[1].node: is missing"),
        (GOOD + fault("1s", "heal", segment="lan") + fault("1s", "crash", node="x"), "faults[2].node: there is no node 'x'"),
        (GOOD + fault("1s", "crash", node="one", segment="lan"), "faults[1].segment: there is no such key"),
        (GOOD + fault("1s", "segment", segment="lan"), "faults[1].segment: nothing is set"),
        (GOOD + fault("1s", "segment", segment="lan", loss=2), "faults[1].loss: must be a number"),
        (GOOD + fault("1s", "partition", segment="lan"), "faults[1].groups: is missing"),
        (
            GOOD + fault("1s", "partition", segment="lan", groups=[["one"], ["one"]]),
            "faults[1].groups: node one is in it twice: name each once",
        ),
        (GOOD + fault("1s", "partition", segment="lan", groups=["one"]), "faults[1].groups: must be a list"),
        (GOOD + fault("1s", "cut", segment="lan"), "faults[1].from: is missing"),
        (GOOD + cut(to=[]), "faults[1].to: names no node"),
        (GOOD + cut(to="one"), "faults[1].to: must be a list"),
        (GOOD + cut(to=["x"]), "faults[1].to: there is no node 'x'"),
        (PAIR + cut(to=["one"]), "faults[1].to: one is in `from`, too: nobody hears"),
        (PAIR + cut(loss=0), "faults[1].loss: must be more than 0"),
        (PAIR + cut(loss=1.5), "faults[1].loss: must be a number from 0 to 1"),
        (PAIR + cut(both=1), "faults[1].both: must be true or false"),
        (PAIR + cut(until="1s"), "faults[1].until: is not later than the begin"),
        (PAIR + cut(until=2), "faults[1].until: must be a time such as '5ms', and is 2"),
        (GOOD + fault("1s", "mend", segment="lan"), "faults[1].kind: 'mend' is none of crash,"),
        (PAIR + cut(groups=[]), "faults[1].groups: there is no such key"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(text.replace("images/", f"{ROOT}/images/"))
    with pytest.raises(UserError) as raised:
        load_file(path)
    assert str(raised.value).startswith(f"{path}: {message}")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            load_file(path)
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="is no UTF-8"):
        load_file(binary)


VALUES = st.recursive(
    st.one_of(
        st.integers(-9, 1 << 70),
        st.booleans(),
        st.floats(),
        st.sampled_from(
            ["lan", "one", "1s", "4M", "10M", "crash", "partition", "cut", "segment", "x:Y", "", "\0", "images/i386/hello.elf"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["eth0", "hd0", "one", "a b"]), inner, max_size=3),
    ),
    max_leaves=6,
)
KEYS = ["bandwidth", "latency", "loss", "delay", "profile", "memory", "module", "modules", "script", "variables", "disks", "nics"]
NODE_KEYS = [*KEYS, "servers", "input"]
FAULT_KEYS = [*KEYS, "at", "kind", "node", "segment", "groups", "from", "to", "both", "until"]


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {toml(item)}' for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return '"' + value.replace("\0", "\\u0000") + '"' if isinstance(value, str) else str(value)


def table(keys: list[str]) -> st.SearchStrategy[dict[str, object]]:
    return st.dictionaries(st.sampled_from(keys), VALUES, max_size=5)


@given(table(KEYS), table(NODE_KEYS), st.lists(table(FAULT_KEYS), max_size=2), VALUES)
def test_any_table_is_read_or_refused(
    segment: dict[str, object], node_table: dict[str, object], faults: list[dict[str, object]], seed: object
) -> None:
    text = f"seed = {toml(seed)}\nfaults = {toml(faults)}\n[segments]\nlan = {toml(segment)}\n[nodes]\none = {toml(node_table)}\n"
    tomllib.loads(text)
    try:
        spec = parse_file(text, ROOT)
    except UserError as error:
        assert str(error).split(":")[0].split(".")[0].split("[")[0] in ("seed", "faults", "segments", "nodes")
    else:
        assert len(spec.nodes) == 1


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(UserError):
        parse_file(text, ROOT)
