"""Finds where two machines that should be equal are not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, Final

from machemu.boot.node import Node
from machemu.sim.graph import parts_of
from machemu.sim.state import REGISTRY

FOUND_MAX: Final = 12
MISSING: Final = object()


def first_difference(a: Node, b: Node) -> str:
    """The first few places where the two differ, with both values; state first, then bytes of RAM."""
    found = [*_state_differences(a.kernel, b.kernel), *_memory_differences(a, b)]
    return "\n".join(found[:FOUND_MAX]) or "no difference but in the graphs' sharing"


def _memory_differences(a: Node, b: Node) -> Iterable[str]:
    one, other = (bytes(node.kernel.memory.view[node.cpu.own_memory :]) for node in (a, b))
    start = a.cpu.own_memory
    for place in range(0, len(one), 4):
        if one[place : place + 4] != other[place : place + 4]:
            yield f"RAM at {start + place:#x}: {one[place : place + 4].hex()} and {other[place : place + 4].hex()}"


def _state_differences(a: object, b: object) -> Iterable[str]:
    """Walks both graphs side by side, each object once."""
    seen: set[int] = set()
    todo: deque[tuple[str, Any, Any]] = deque([("kernel", a, b)])
    while todo:
        path, one, other = todo.popleft()
        if type(one) is not type(other):
            yield f"{path}: {_shown(one)} and {_shown(other)}"
        elif isinstance(one, dict):
            pairs = zip_longest(one.items(), other.items(), fillvalue=(MISSING, MISSING))
            todo.extend((f"{path}[{_shown(x[0])}]", x, y) for x, y in pairs)
        elif isinstance(one, list | tuple | deque) and not hasattr(one, "_fields"):
            todo.extend((f"{path}[{n}]", x, y) for n, (x, y) in enumerate(zip_longest(one, other, fillvalue=MISSING)))
        elif type(one) in REGISTRY.values() and not hasattr(type(one), "__members__"):
            if id(one) not in seen:
                seen.add(id(one))
                todo.extend((f"{path}.{name}", getattr(one, name), getattr(other, name)) for name in parts_of(type(one)))
        elif one != other:
            yield f"{path}: {_shown(one)} and {_shown(other)}"


def _shown(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value} ({value:#x})"
    return (
        repr(value)[:80]
        if isinstance(value, str | bytes | bytearray)
        else type(value).__name__
        if value is not MISSING
        else "nothing"
    )
