"""State comes back from bytes as it was, and bytes that are no graph can fail and do nothing else."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import InvariantError
from machemu.sim import graph, saved
from machemu.sim.graph import Reader, SavedError, Writer
from machemu.sim.pages import PAGE
from machemu.sim.state import state
from tests.support.states import Cell, Colour, Level, Pair, Special, Stranger, Unregistered

NO_RAM = memoryview(b"")


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


@pytest.mark.slow
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
    ram = memoryview(bytes(2 * PAGE))
    assert saved.digest(Cell([1], 2), ram) == saved.digest(Cell([1], 2), ram)
    others = [Cell([1], 3), Cell((1,), 2), Special([1], 2), [[1], 2]]
    assert len({saved.digest(root, ram) for root in [Cell([1], 2), *others]}) == 5
    changed = bytearray(ram)
    changed[-1] = 1
    assert saved.digest(Cell([1], 2), memoryview(changed)) != saved.digest(Cell([1], 2), ram)


def test_the_order_of_a_dict_counts() -> None:
    assert saved.digest({1: 2, 3: 4}, NO_RAM) != saved.digest({3: 4, 1: 2}, NO_RAM)


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
    data = bytes((graph.OBJECT, 0, len(name))) + name.encode()
    with pytest.raises(SavedError, match="no state class"):
        Reader(data).decode()


def test_an_enum_is_not_made_and_a_class_has_no_members() -> None:
    for tag, cls in ((graph.OBJECT, Colour), (graph.OBJECT, Pair), (graph.ENUM, Cell), (graph.RECORD, Cell)):
        name = f"{cls.__module__}.{cls.__qualname__}".encode()
        with pytest.raises(SavedError):
            Reader(bytes((tag, 0, len(name))) + name + bytes(4)).decode()


def test_a_key_that_has_no_hash_is_refused() -> None:
    with pytest.raises(SavedError, match="key"):
        Reader(bytes((graph.DICT, 1, graph.LIST, 0, graph.NONE))).decode()


@pytest.mark.parametrize("tag", [graph.STR, graph.BYTES, graph.BYTEARRAY, graph.TUPLE, graph.LIST, graph.DICT, graph.DEQUE])
def test_a_claimed_length_makes_no_room(tag: int) -> None:
    with pytest.raises(SavedError, match=r"ends early|host's memory"):
        Reader(bytes((tag, *[0xFF] * 8, 0x7F))).decode()


@pytest.mark.parametrize(
    "value", [[[]] * 20, [[] for _ in range(20)], "x" * 1000, b"x" * 1000, 1 << 5000, [0.5] * 20, ((),) * 20]
)
def test_a_graph_takes_no_more_memory_than_it_may_and_its_writer_knows_how_much(value: Any) -> None:
    writer = Writer()
    data = writer.encode(value)
    assert Reader(data, room=writer.weight()).decode() == value
    with pytest.raises(SavedError, match="more of the host's memory than it may"):
        Reader(data, room=writer.weight() // 6).decode()


def test_a_graph_comes_in_pieces_of_any_size() -> None:
    root = {"a": [1, 1 << 300, "text", b"bytes" * 100], Pair(1, 2): Special(1, deque([bytearray(b"x")]))}
    data = Writer().encode(root)
    for size in (1, 2, 7, 64, len(data)):
        pieces = iter([data[at : at + size] for at in range(0, len(data), size)])
        assert same(Reader(b"", lambda pieces=pieces: next(pieces, b"")).decode(), root)  # type: ignore[misc]
