"""Symbols of the executables that a machine's tasks were booted from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from machemu.formats.symbols import Symbol, symbols_of
from machemu.lab.checks import checked
from machemu.lab.errors import UsageError
from machemu.lab.tables import Address, Table


class SymbolRow(NamedTuple):
    """task: whose executable it is in. address: in the task's memory. size: in bytes, 0 where the file does not say."""

    task: int
    name: str
    address: Address
    size: int


class Symbols(Table[SymbolRow]):
    """By task and address. Tasks whose file is not there, or has no symbols, have none.

    folder: where the tasks' paths begin. tasks: the names of tasks, by number.
    """

    def __init__(self, folder: Path, tasks: Mapping[int, str]) -> None:
        known: dict[str, list[Symbol]] = {}
        for name in tasks.values():
            known.setdefault(name, _symbols(folder / name.strip("()")))
        super().__init__(
            SymbolRow(task, symbol.name, Address(symbol.address), symbol.size)
            for task, name in tasks.items()
            for symbol in known[name]
        )

    @checked()
    def address(self, name: str, task: int | None = None) -> int:
        """Where a symbol is. UsageError where there is none, or several at different addresses."""
        found = {row.address for row in self if row.name == name and task in (None, row.task)}
        if len(found) != 1:
            raise UsageError(f"{'no' if not found else 'more than one'} symbol {name}: see `symbols`")
        return found.pop()

    @checked()
    def at(self, task: int, address: int) -> str:
        """`name+0xoffset` of the last symbol that is not behind an address of a task, "" where none is."""
        before = (row for row in self if row.task == task and row.address <= address)
        found = max(before, key=lambda row: row.address, default=None)
        return "" if found is None else f"{found.name}+{address - found.address:#x}"


def _symbols(path: Path) -> list[Symbol]:
    """As symbols_of: a file is read again where it has changed."""
    try:
        stat = path.stat()
    except OSError:
        return []
    return _read(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int, _size: int) -> list[Symbol]:
    return symbols_of(path)
