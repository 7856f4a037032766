"""State comes back from a file as it was, and a file that is not one of ours can fail and do nothing else."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import InvariantError, UserError
from machemu.sim import saved
from machemu.sim.saved import Reader, SavedError, Writer
from machemu.sim.state import state

RAM_MAX = 1 << 20
NO_RAM = memoryview(b"")


@state
class Colour(Enum):
    RED = "r"
    BLUE = "b"


@state
class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Unregistered(IntEnum):
    ONE = 1


@state
class Pair(NamedTuple):
    left: Any
    right: Any


@state
class Cell:
    __slots__ = ("engine", "first", "second")
    TRANSIENT = ("engine",)

    def __init__(self, first: Any = None, second: Any = None) -> None:
        self.first = first
        self.second = second
        self.engine = open


@state
class Special(Cell):
    __slots__ = ("third",)

    def __init__(self, first: Any, third: Any) -> None:
        super().__init__(first)
        self.third = third


class Stranger:
    pass


def copy(root: Any) -> Any:
    return Reader(Writer().encode(root)).decode()


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(1 << 300), 1 << 300),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
    st.sampled_from([*Colour, *Level]),
)
KEYS = st.one_of(st.integers(), st.text(max_size=3), st.tuples(st.integers(), st.sampled_from(Colour)))


@st.composite
def graphs(draw: st.DrawFn) -> Any:
    """Containers that hold leaves, tuples of leaves and one another in any way, cycles included."""
    makers = draw(st.lists(st.sampled_from([list, dict, deque, Cell, bytearray]), min_size=1, max_size=8))
    nodes: list[Any] = [maker() for maker in makers]
    member = st.sampled_from(nodes)
    value = st.one_of(LEAVES, member, st.tuples(LEAVES, member), st.builds(Pair, member, LEAVES))
    for node in nodes:
        if isinstance(node, Cell):
            node.first, node.second = draw(value), draw(value)
        elif isinstance(node, bytearray):
            node.extend(draw(st.binary(max_size=5)))
        elif isinstance(node, dict):
            node.update(draw(st.dictionaries(KEYS, value, max_size=4)))
        else:
            node.extend(draw(st.lists(value, max_size=4)))
    return nodes[0]


def same(one: Any, other: Any) -> bool:
    """Whether two graphs have the same values and the same sharing."""
    seen: dict[int, int] = {}
    back: dict[int, int] = {}
    visited: set[int] = set()
    work = [(one, other)]
    while work:
        a, b = work.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, (list, deque, dict, bytearray, Cell)):
            if seen.setdefault(id(a), id(b)) != id(b) or back.setdefault(id(b), id(a)) != id(a):
                return False
            if id(a) in visited:
                continue
            visited.add(id(a))
        if isinstance(a, Cell):
            work += [(a.first, b.first), (a.second, b.second)]
        elif isinstance(a, dict):
            if list(a) != list(b):
                return False
            work += zip(a.values(), b.values(), strict=True)
        elif isinstance(a, (list, deque, tuple)):
            if len(a) != len(b):
                return False
            work += zip(a, b, strict=True)
        elif isinstance(a, Enum):
            if a is not b:
                return False
        elif a != b:
            return False
    return True


@given(graphs())
def test_any_graph_comes_back_with_its_values_order_and_sharing(root: Any) -> None:
    again = copy(root)
    assert same(root, again)
    assert Writer().encode(again) == Writer().encode(root)


def test_sharing_and_cycles_are_kept() -> None:
    shared = [1]
    cell = Cell(shared, {"a": shared})
    shared.append(cell)  # type: ignore[arg-type]
    again = copy(cell)
    assert again.first is again.second["a"]
    assert again.first[1] is again


def test_a_dict_may_have_keys_that_hold_objects() -> None:
    cell = Cell()
    cell.first = {(cell, 4096): None}
    again = copy(cell)
    assert list(again.first) == [(again, 4096)]


def test_a_subclass_keeps_its_own_and_its_base_slots() -> None:
    again = copy(Special(1, 3))
    assert type(again) is Special
    assert (again.first, again.second, again.third) == (1, None, 3)


def test_true_is_not_one_and_zero_is_not_false() -> None:
    assert [type(value) for value in copy([True, 1, 0, False])] == [bool, int, int, bool]


def test_enum_members_come_back_as_themselves() -> None:
    again = copy((Colour.BLUE, Level.HIGH))
    assert again == (Colour.BLUE, Level.HIGH)
    assert type(again[1]) is Level


def test_named_tuples_and_tuples_have_no_identity() -> None:
    pair = Pair(1, "x")
    assert Writer().encode([pair, pair]) == Writer().encode([pair, Pair(1, "x")])
    assert type(copy(pair)) is Pair


def test_lists_have_an_identity() -> None:
    inner: list[int] = []
    assert Writer().encode([inner, inner]) != Writer().encode([inner, []])


def test_depth_costs_no_recursion() -> None:
    root: list[Any] = []
    for _ in range(100_000):
        root = [root]
    again, depth = copy(root), 0
    while again:
        again, depth = again[0], depth + 1
    assert depth == 100_000


def test_transient_slots_are_not_saved_and_not_set_after_a_load() -> None:
    again = copy(Cell(1))
    assert not hasattr(again, "engine")


@pytest.mark.parametrize("value", [{1, 2}, Stranger(), Unregistered.ONE, open, memoryview(b"x"), range(3)])
def test_what_is_no_state_is_refused_by_the_name_of_its_slot(value: Any) -> None:
    with pytest.raises(InvariantError, match=r"Cell\.second: .* cannot be saved"):
        Writer().encode([Cell(1, {"k": [(value,)]})])


def test_a_slot_that_was_never_set_is_refused_by_name() -> None:
    with pytest.raises(InvariantError, match=r"Cell.*first"):
        Writer().encode(Cell.__new__(Cell))


def test_a_class_without_slots_cannot_be_state() -> None:
    with pytest.raises(TypeError, match="Stranger"):
        state(Stranger)


# Digests


def test_equal_states_have_equal_digests_and_others_not() -> None:
    ram = memoryview(bytes(2 * saved.PAGE))
    assert saved.digest(Cell([1], 2), ram) == saved.digest(Cell([1], 2), ram)
    others = [Cell([1], 3), Cell((1,), 2), Special([1], 2), [[1], 2]]
    assert len({saved.digest(root, ram) for root in [Cell([1], 2), *others]}) == 5
    changed = bytearray(ram)
    changed[-1] = 1
    assert saved.digest(Cell([1], 2), memoryview(changed)) != saved.digest(Cell([1], 2), ram)


def test_the_order_of_a_dict_counts() -> None:
    assert saved.digest({1: 2, 3: 4}, NO_RAM) != saved.digest({3: 4, 1: 2}, NO_RAM)


# Files


def saved_file(tmp_path: Path) -> Path:
    path = tmp_path / "machine"
    ram = bytearray(8 * saved.PAGE)
    ram[5 * saved.PAGE + 7] = 9
    saved.save(path, Cell({"key": Colour.RED}, Pair(b"bytes", -5)), memoryview(ram))
    return path


def test_a_file_gives_state_and_memory_back(tmp_path: Path) -> None:
    root, [ram] = saved.load(saved_file(tmp_path), RAM_MAX)
    assert isinstance(root, Cell)
    assert root.first == {"key": Colour.RED}
    assert root.second == Pair(b"bytes", -5)
    assert (ram.size, list(ram.pages)) == (8 * saved.PAGE, [5])
    memory = bytearray(ram.size)
    ram.fill(memoryview(memory))
    assert [place for place, byte in enumerate(memory) if byte] == [5 * saved.PAGE + 7]


def test_a_file_may_hold_several_memories_or_none(tmp_path: Path) -> None:
    path = tmp_path / "machines"
    saved.save(path, None)
    assert saved.load(path, RAM_MAX) == (None, [])
    memories = [bytes(saved.PAGE), b"\1" * 2 * saved.PAGE]
    saved.save(path, None, *[memoryview(memory) for memory in memories])
    _, rams = saved.load(path, RAM_MAX)
    assert [(ram.size, list(ram.pages)) for ram in rams] == [(saved.PAGE, []), (2 * saved.PAGE, [0, 1])]


def test_a_digest_of_several_memories_tells_where_each_byte_lies() -> None:
    page, zero = b"\1" * saved.PAGE, bytes(saved.PAGE)
    memories = [(page + zero,), (zero + page,), (page, zero), (zero, page), (page,), (zero,), ()]
    assert len({saved.digest_all(None, [memoryview(memory) for memory in each]) for each in memories}) == len(memories)


def test_pages_of_zeros_take_no_room(tmp_path: Path) -> None:
    saved.save(tmp_path / "machine", None, memoryview(bytes(1 << 24)))
    assert (tmp_path / "machine").stat().st_size < 200


def test_saving_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    saved_file(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["machine"]


def test_a_state_that_cannot_be_saved_leaves_the_old_file(tmp_path: Path) -> None:
    path = saved_file(tmp_path)
    before = path.read_bytes()
    with pytest.raises(InvariantError):
        saved.save(path, {1, 2}, NO_RAM)
    assert path.read_bytes() == before


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        saved.save(tmp_path / "nowhere" / "machine", None, NO_RAM)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing.*cannot be read"):
        saved.load(tmp_path / "nothing", RAM_MAX)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = saved_file(tmp_path)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match="machine"):
            saved.load(path, RAM_MAX)


def test_every_flipped_bit_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    path = saved_file(tmp_path)
    whole = path.read_bytes()
    expected, memories = saved.load(path, RAM_MAX)
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            root, rams = saved.load(path, RAM_MAX)
        except UserError:
            continue
        assert Writer().encode(root) == Writer().encode(expected)
        assert rams == memories


def test_something_behind_the_end_is_refused(tmp_path: Path) -> None:
    path = saved_file(tmp_path)
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(UserError, match="follows its end"):
        saved.load(path, RAM_MAX)


def test_foreign_files_and_other_versions_are_told_apart(tmp_path: Path) -> None:
    path = saved_file(tmp_path)
    whole = path.read_bytes()
    header, _, packed = whole.partition(b"\n")
    for foreign in (b"", b"\n", b"\x7fELF" + bytes(100), bytes(1000), b"machemu saved machine\n"):
        path.write_bytes(foreign)
        with pytest.raises(UserError, match="no saved machine"):
            saved.load(path, RAM_MAX)
    magic, version, schema = header.rsplit(b" ", 2)
    for other in (b" ".join((magic, b"999", schema)), b" ".join((magic, version, b"0" * 16))):
        path.write_bytes(other + b"\n" + packed)
        with pytest.raises(UserError, match="another version"):
            saved.load(path, RAM_MAX)


def packed_file(path: Path, plain: bytes) -> Path:
    """A file with a right header and checksum around bytes of our choice."""
    header = f"{saved.MAGIC.decode()} {saved.FORMAT} {saved.schema()}\n".encode()
    path.write_bytes(header + zstandard.ZstdCompressor(write_checksum=True).compress(plain))
    return path


@given(st.binary(max_size=200))
def test_any_bytes_as_a_graph_are_refused_or_read(data: bytes) -> None:
    with suppress(SavedError):
        Reader(data).decode()


@given(graphs(), st.data())
def test_a_graph_with_bytes_replaced_is_refused_or_read(root: Any, data: st.DataObject) -> None:
    encoded = bytearray(Writer().encode(root))
    for place in data.draw(st.lists(st.integers(0, len(encoded) - 1), min_size=1, max_size=4)):
        encoded[place] = data.draw(st.integers(0, 255))
    with suppress(SavedError):
        Reader(bytes(encoded)).decode()


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "subprocess.Popen", "machemu.sim.saved.Reader"])
def test_classes_that_are_no_state_cannot_be_named(name: str) -> None:
    data = bytes((saved.OBJECT, 0, len(name))) + name.encode()
    with pytest.raises(SavedError, match="no state class"):
        Reader(data).decode()


def test_an_enum_is_not_made_and_a_class_has_no_members() -> None:
    for tag, cls in ((saved.OBJECT, Colour), (saved.OBJECT, Pair), (saved.ENUM, Cell), (saved.RECORD, Cell)):
        name = f"{cls.__module__}.{cls.__qualname__}".encode()
        with pytest.raises(SavedError):
            Reader(bytes((tag, 0, len(name))) + name + bytes(4)).decode()


def test_a_key_that_has_no_hash_is_refused() -> None:
    with pytest.raises(SavedError, match="key"):
        Reader(bytes((saved.DICT, 1, saved.LIST, 0, saved.NONE))).decode()


@pytest.mark.parametrize("tag", [saved.STR, saved.BYTES, saved.BYTEARRAY, saved.TUPLE, saved.LIST, saved.DICT, saved.DEQUE])
def test_a_claimed_length_makes_no_room(tag: int) -> None:
    with pytest.raises(SavedError, match="ends early"):
        Reader(bytes((tag, *[0xFF] * 8, 0x7F))).decode()


def test_more_objects_than_a_machine_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Writer().encode([[] for _ in range(20)])
    monkeypatch.setattr(saved, "OBJECTS_MAX", 20)
    with pytest.raises(SavedError, match="more objects"):
        Reader(data).decode()


def test_a_file_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved, "GRAPH_MAX", 1 << 20)
    with pytest.raises(UserError, match="larger than a machine"):
        saved.load(packed_file(tmp_path / "bomb", bytes(1 << 26)), RAM_MAX)


def test_memory_that_is_larger_than_allowed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "machine"
    saved.save(path, None, memoryview(bytes(2 * RAM_MAX)))
    with pytest.raises(UserError, match="memory is larger"):
        saved.load(path, RAM_MAX)


def test_pages_outside_the_memory_are_refused(tmp_path: Path) -> None:
    plain = bytes((1, saved.NONE, 1, 2, 1, 2)) + bytes(saved.PAGE)
    with pytest.raises(UserError, match="outside its memory"):
        saved.load(packed_file(tmp_path / "machine", plain), RAM_MAX)


@given(st.binary(max_size=100))
def test_any_content_in_a_right_frame_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, plain: bytes) -> None:
    path = packed_file(tmp_path_factory.getbasetemp() / "any", plain)
    try:
        saved.load(path, RAM_MAX)
    except UserError as error:
        assert str(path) in str(error)
