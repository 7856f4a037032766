"""What a saved file holds, changed: bits, numbers, texts, references and containers of the graph, most of them in servers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from machemu.sim import graph
from machemu.sim.graph import Frame, Reader, encode_number
from machemu.sim.pages import PAGE

SERVERS: Final = 0.85
"""The share of changes that are made in what a server holds."""
OWNERS: Final = ("masix.", "machemu.user.")
LEAVES: Final = (
    graph.NONE, graph.TRUE, graph.FALSE, graph.INT, graph.NEGATIVE, graph.FLOAT, graph.STR, graph.BYTES, graph.REFERENCE,
    graph.ENUM,
)  # fmt: skip
COUNTED: Final = (graph.TUPLE, graph.LIST, graph.DICT, graph.DEQUE)
NUMBERS: Final = (
    0,
    1,
    2,
    3,
    7,
    255,
    4096,
    (1 << 16) - 1,
    1 << 16,
    (1 << 31) - 1,
    (1 << 32) - 1,
    1 << 32,
    (1 << 63) - 1,
    1 << 64,
    1 << 200,
)


class Token:
    """A value in the bytes of a graph: where it is, its kind, what holds it, and the values in it that it counts."""

    __slots__ = ("children", "end", "head", "owner", "place", "start", "tag")

    def __init__(self, start: int, tag: int, owner: str, place: str) -> None:
        self.start = start
        self.head = self.end = start
        self.tag = tag
        self.owner = owner
        self.place = place
        self.children: list[Token] = []


class Indexer(Reader):
    """Reads what stands behind a file's header and notes the values of its graphs."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data, room=1 << 40)
        self.tokens: list[Token] = []
        self.open: list[Token] = []

    def file(self) -> None:
        """The head, whose values are not noted, and each part: a graph, and the pages of its memory."""
        head = self.graph()
        self.tokens.clear()
        for size in head.memories:
            self.graph()
            while size and self.number():
                self.take(PAGE)

    def _value(self, frames: list[Frame]) -> Any:
        token = Token(self.place, self.data[self.place], *self._owner(frames))
        self.tokens.append(token)
        if self.open:
            self.open[-1].children.append(token)
        value = super()._value(frames)
        token.head = token.end = self.place
        if value is graph.PENDING:
            self.open.append(token)
        return value

    def _finish(self, frame: Frame) -> Any:
        self.open.pop().end = self.place
        return super()._finish(frame)

    @staticmethod
    def _owner(frames: list[Frame]) -> tuple[str, str]:
        """The class whose slot holds what comes next, and the slot."""
        for frame in reversed(frames):
            if isinstance(frame.kind, type) and frame.kind.__module__ not in ("builtins", "collections"):
                slot = graph.parts_of(frame.kind)[len(frame.values)]
                return f"{frame.kind.__module__}.{frame.kind.__qualname__}", slot
        return "", ""


class Changer:
    """Changes the unpacked bytes of a saved file."""

    def __init__(self, plain: bytes) -> None:
        self.plain = plain
        indexer = Indexer(plain)
        indexer.file()
        self.all = indexer.tokens
        self.servers = [token for token in self.all if token.owner.startswith(OWNERS)]

    def change(self, chooser: random.Random) -> tuple[bytes, str]:
        """Other bytes, and what is other in them."""
        plain, said = self.plain, []
        made: Callable[[random.Random], tuple[list[tuple[int, int, bytes]], str]]
        made = chooser.choice(
            (self._flip, self._number, self._number, self._swap, self._replace, self._cut, self._cut, self._text, self._refer)
        )
        edits, what = made(chooser)
        said.append(what)
        for start, end, data in sorted(edits, reverse=True):
            plain = plain[:start] + data + plain[end:]
        return plain, "; ".join(said)

    def _pick(self, chooser: random.Random, *tags: int) -> Token:
        tokens = self.servers if self.servers and chooser.random() < SERVERS else self.all
        while True:
            token = chooser.choice(tokens)
            if token.tag in tags:
                return token

    @staticmethod
    def _where(token: Token) -> str:
        return f"{token.owner}.{token.place}"

    def _flip(self, chooser: random.Random) -> tuple[list[tuple[int, int, bytes]], str]:
        tokens = self.servers if chooser.random() < SERVERS else self.all
        token = chooser.choice(tokens)
        at = chooser.randrange(token.start, token.head)
        value = self.plain[at] ^ 1 << chooser.randrange(8)
        return [(at, at + 1, bytes((value,)))], f"a bit of {self._where(token)}"

    def _number(self, chooser: random.Random) -> tuple[list[tuple[int, int, bytes]], str]:
        token = self._pick(chooser, graph.INT)
        value = Reader(self.plain[token.start + 1 : token.end]).number()
        other = chooser.choice((*NUMBERS, value + 1, abs(value - 1), chooser.randrange(1 << 16), chooser.randrange(1 << 32)))
        data = bytes((graph.INT,)) + encode_number(other)
        if chooser.random() < 0.1:
            data = bytes((graph.NEGATIVE,)) + encode_number(max(1, other))
        return [(token.start, token.end, data)], f"{self._where(token)} is {other} instead of {value}"

    def _swap(self, chooser: random.Random) -> tuple[list[tuple[int, int, bytes]], str]:
        one, other = self._pick(chooser, *LEAVES), self._pick(chooser, *LEAVES)
        if one is other:
            return [], "nothing"
        edits = [
            (one.start, one.end, self.plain[other.start : other.end]),
            (other.start, other.end, self.plain[one.start : one.end]),
        ]
        return edits, f"{self._where(one)} and {self._where(other)} have changed places"

    def _replace(self, chooser: random.Random) -> tuple[list[tuple[int, int, bytes]], str]:
        one, other = self._pick(chooser, *LEAVES), self._pick(chooser, *LEAVES)
        data = chooser.choice((self.plain[other.start : other.end], b"\0", b"\1", b"\5\0", b"\6\0", bytes((graph.TUPLE, 0))))
        return [(one.start, one.end, data)], f"{self._where(one)} is {data!r}"

    def _cut(self, chooser: random.Random) -> tuple[list[tuple[int, int, bytes]], str]:
        """A container with fewer values, or with one of them twice."""
        for _ in range(100):
            token = self._pick(chooser, *COUNTED)
            if token.children:
                break
        else:
            return [], "nothing"
        each = 2 if token.tag == graph.DICT else 1
        count = len(token.children) // each
        if chooser.random() < 0.3:
            first = chooser.randrange(count) * each
            values = self.plain[token.children[first].start : token.children[first + each - 1].end]
            head = bytes((token.tag,)) + encode_number(count + 1)
            return [(token.start, token.head, head), (token.end, token.end, values)], f"{self._where(token)} has a value twice"
        left = chooser.randrange(count)
        head = bytes((token.tag,)) + encode_number(left)
        start = token.children[left * each].start
        return [(token.start, token.head, head), (start, token.end, b"")], f"{self._where(token)} has {left} values of {count}"

    def _text(self, chooser: random.Random) -> tuple[list[tuple[int, int, bytes]], str]:
        token = self._pick(chooser, graph.STR, graph.BYTES)
        reader = Reader(self.plain[token.start + 1 : token.end], room=1 << 40)
        text = bytearray(reader.string())
        how = chooser.randrange(3)
        if how == 0:
            del text[chooser.randrange(len(text) + 1) :]
        elif how == 1:
            text += chooser.randbytes(chooser.randrange(1, 40))
        elif text:
            text[chooser.randrange(len(text))] = chooser.randrange(256)
        data = bytes((token.tag,)) + encode_number(len(text)) + text
        return [(token.start, token.end, data)], f"{self._where(token)} has {len(text)} other bytes"

    def _refer(self, chooser: random.Random) -> tuple[list[tuple[int, int, bytes]], str]:
        token = self._pick(chooser, graph.REFERENCE)
        value = Reader(self.plain[token.start + 1 : token.end]).number()
        other = max(0, value + chooser.choice((-1, 1, -2, 2, -chooser.randrange(200), chooser.randrange(200))))
        return [
            (token.start, token.end, bytes((graph.REFERENCE,)) + encode_number(other))
        ], f"{self._where(token)} is another object"
