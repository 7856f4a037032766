"""Lists of things that show themselves as tables, in a terminal and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from machemu.lab.errors import UsageError

Row = TypeVar("Row", bound=NamedTuple)


class Address(int):
    """A number that is shown in hexadecimal."""

    def __repr__(self) -> str:
        return f"{int(self):#x}"

    __str__ = __repr__


class Table(list[Row], Generic[Row]):
    """A list of named tuples. Its `repr` is a table of text; a notebook shows a table."""

    def where(self, **fields: Any) -> Table[Row]:
        """The rows whose fields have these values. UsageError for a field that there is not."""
        for name in fields:
            if self and name not in self.columns():
                raise UsageError(f"no field {name}: the rows have {', '.join(self.columns())}")
        return Table(row for row in self if all(getattr(row, name) == value for name, value in fields.items()))

    def columns(self) -> tuple[str, ...]:
        return self[0]._fields if self else ()

    def __repr__(self) -> str:
        if not self:
            return "(none)"
        lines = [self.columns(), *(tuple(map(cell, row)) for row in self)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def _repr_html_(self) -> str:
        return f"<table>{_row('th', self.columns())}{''.join(_row('td', map(cell, row)) for row in self)}</table>"


def cell(value: object) -> str:
    """A field's text."""
    if value is None:
        return ""
    if isinstance(value, tuple | list):
        return " ".join(map(cell, value))
    return str(value)


def _row(tag: str, texts: Iterable[str]) -> str:
    from html import escape  # not before it is needed: it takes time to load

    return f"<tr>{''.join(f'<{tag}>{escape(text)}</{tag}>' for text in texts)}</tr>"
