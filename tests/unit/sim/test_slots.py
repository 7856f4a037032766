"""What comes out of a file is what its class says: each slot is checked by its annotation, and by the class where types say too
little."""

from __future__ import annotations

import importlib
import pkgutil
from collections import deque
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, NamedTuple, Protocol, TypeVar

import pytest

import machemu
import masix
from machemu.abi.errors import UserError
from machemu.abi.message import Carried, CarriedMemory, CarriedPort
from machemu.abi.types import ByteOrder
from machemu.sim import saved
from machemu.sim.saved import FileKind, SavedFile
from machemu.sim.slots import SlotError, check, checks_of, compile_check
from machemu.sim.state import NATURAL, REGISTRY, U16, U32, U64, Range, Signed, Size, fields, state
from machemu.user.message import Header, Message, Region, encode, memory_wanted
from tests.support.states import Cell, Colour, Level

if TYPE_CHECKING:
    from tests.support.states import Special as Other


@state
class Point(NamedTuple):
    x: int
    name: str | None


T_co = TypeVar("T_co", covariant=True)


@state
class Held(NamedTuple, Generic[T_co]):
    place: int
    one: T_co
    more: tuple[T_co, ...] = ()


class Shape(Protocol):
    def area(self) -> int: ...


@state
class Square:
    __slots__ = ("corners", "next", "other", "side", "work")
    TRANSIENT = ("work",)
    corners: list[Point]
    next: Square | None
    other: Other | None
    side: int

    def __init__(self, side: Any) -> None:
        self.side = side
        self.corners = [Point(1, None)]
        self.next = self.other = None

    def area(self) -> int:
        return int(self.side**2)

    def check_saved(self) -> None:
        if self.side == 13:
            raise ValueError("a square has no side of 13")


RIGHT_AND_WRONG: list[tuple[Any, list[Any], list[Any]]] = [
    (int, [0, 1, NATURAL.high], [-1, NATURAL.high + 1, True, 1.0, None, "1"]),
    (Signed, [0, -1, 1 << 80], [-(1 << 80) - 1, 1 << 81, False]),
    (U16, [0, 65535], [65536, -1]),
    (U32, [0, (1 << 32) - 1], [1 << 32]),
    (U64, [0, (1 << 64) - 1], [1 << 64]),
    (Annotated[int, Range(3, 5)], [3, 5], [2, 6]),
    (Annotated[Signed, Range(3, 5)], [3, 5], [2, 6]),
    (Annotated[bytes, Size(2, 3)], [b"ab", b"abc"], [b"a", b"abcd", bytearray(2), "ab", 2]),
    (bool, [True, False], [0, 1, None]),
    (float, [0.5], [1]),
    (str, ["", "a"], [b"", None]),
    (bytes, [b""], [bytearray(), ""]),
    (bytearray, [bytearray()], [b""]),
    (None, [None], [0, False]),
    (int | None, [None, 3], ["", -3]),
    (list[int], [[], [1, 2]], [(1,), [None], [1, -1], deque()]),
    (deque[str], [deque(["a"])], [deque([1]), ["a"]]),
    (tuple[int, str], [(1, "a")], [(1,), (1, "a", 2), ("a", 1), [1, "a"]]),
    (tuple[int, ...], [(), (1, 2)], [(1, "a"), [1]]),
    (dict[str, list[int]], [{}, {"a": [1]}], [{1: [1]}, {"a": ["b"]}, [], {"a": None}]),
    (Colour, [Colour.RED], [Level.LOW, "r"]),
    (Enum, [Colour.RED, Level.LOW], ["r"]),
    (Point, [Point(1, "a"), Point(1, None)], [(1, "a"), Point("a", None), Point(1, 2)]),  # type: ignore[arg-type]
    (Held[int | None], [Held(1, None), Held(1, 2, (3, None))], [Held(1, "a"), Held(1, 2, ("a",)), Held(None, 1), (1, 2, ())]),  # type: ignore[arg-type]
    (Held[Any], [Held(1, "a", (None,))], [Held("a", 1)]),  # type: ignore[arg-type]
    (Cell, [Cell()], [Square(1), None]),
    (Shape, [Square(1)], [Cell(), 1, Square]),
    (Any, [1, None, "a"], []),
]


@pytest.mark.parametrize(("annotation", "right", "wrong"), RIGHT_AND_WRONG, ids=[str(each) for each, _, _ in RIGHT_AND_WRONG])
def test_a_value_is_what_an_annotation_says_or_not(annotation: Any, right: list[Any], wrong: list[Any]) -> None:
    holds = compile_check(annotation)
    assert [value for value in right if not holds(value)] == []
    assert [value for value in wrong if holds(value)] == []


def test_an_annotation_that_says_nothing_is_a_mistake() -> None:
    for annotation in ("text", set[int], 3):
        with pytest.raises(TypeError, match="cannot be checked"):
            compile_check(annotation)


@pytest.mark.parametrize(
    ("slot", "value", "message"),
    [
        ("side", -1, r"Square.side cannot be -1"),
        ("side", "long" * 100, r"Square.side cannot be 'longlong[long]*\.\.\."),
        ("corners", [(1, 2)], r"Square.corners cannot be such a list"),
        ("next", Cell(), r"Square.next cannot be such a Cell"),
        ("other", Cell(), r"Square.other cannot be such a Cell"),
        ("side", 13, r"Square cannot be so: a square has no side of 13"),
    ],
)
def test_a_file_with_a_slot_that_cannot_be_is_refused_and_the_slot_named(
    slot: str, value: Any, message: str, tmp_path: Path
) -> None:
    square = Square(1)
    check([square])
    setattr(square, slot, value)
    with pytest.raises(SlotError, match=message):
        check([square])
    path = tmp_path / "saved"
    saved.save(path, FileKind.MACHINE, [saved.part([square])])
    with SavedFile(path, FileKind.MACHINE) as file, pytest.raises(UserError, match=f"{path}: is damaged: .*{message}"):
        list(file.parts())


def test_every_slot_that_is_saved_says_what_it_holds() -> None:
    for package in (machemu, masix):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    unsaid = []
    for name, cls in REGISTRY.items():
        if name.startswith(("machemu.", "masix.")) and not issubclass(cls, Enum):
            slots = cls._fields if issubclass(cls, tuple) else fields(cls)  # type: ignore[attr-defined]
            unsaid += [f"{name}.{slot}" for slot in slots if slot not in dict(checks_of(cls))]
    assert unsaid == []


@pytest.mark.parametrize(
    ("size", "carried", "wrong"),
    [
        (8, (CarriedPort(4, 19, 3),), None),
        (16, (CarriedMemory(4, 2, b"ab"), CarriedMemory(12, 8, Region(0x10000, 8))), None),
        (2, (CarriedPort(4, 19, 3),), "at 4 of 2 bytes"),
        (6, (CarriedPort(4, 19, 3),), "at 4 of 6 bytes"),
        (8, (CarriedPort(-4, 19, 3),), "carried cannot be"),
        (12, (CarriedPort(8, 19, 3), CarriedPort(4, 19, 3)), "at 4 of 12 bytes"),
        (8, (CarriedMemory(4, 2, None),), "memory that is nowhere"),
    ],
)
def test_a_message_that_is_kept_can_be_encoded(size: int, carried: tuple[Carried, ...], wrong: str | None) -> None:
    message = Message(Header(3, 19, 0, 0, 100), bytes(size), carried, True)
    if wrong is None:
        check([message])
        assert encode(ByteOrder.BIG, message, [0x20000] * len(memory_wanted(message)))
    else:
        with pytest.raises(SlotError, match=wrong):
            check([message])
