"""The expressions of `assert` and `print`: numbers, texts and truth about a machine. Nothing in them changes it.

expression: all ("or" all)*         all: denial ("and" denial)*         denial: "not" denial | comparison
comparison: sum (("==" | "!=" | "<" | "<=" | ">" | ">=" | "contains") sum)?
sum: product (("+" | "-") product)*         product: unary ("*" unary)*         unary: "-" unary | value
value: number | time such as 20ms | "text" | name | name "(" [expression ("," expression)*] ")" | "(" expression ")"
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Final, NamedTuple

from machemu.debug.errors import CommandError
from machemu.sim.units import parse_time

Value = int | str | bool
TOKEN: Final = re.compile(
    r"\s*(?:(?P<time>[0-9]{1,12}(?:\.[0-9]{1,12})?(?:ns|us|ms|s|min)\b)|(?P<number>0[xX][0-9a-fA-F]{1,16}\b|[0-9]{1,20}\b)"
    r'|(?P<text>"[^"]*")|(?P<name>[A-Za-z_]\w{0,63})|(?P<sign>==|!=|<=|>=|[-+*<>(),]))'
)
COMPARISONS: Final[dict[str, Callable[[int, int], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
EQUALS: Final = ("==", "!=")
DEPTH_MAX: Final = 50
BITS_MAX: Final = 1 << 12


class Function(NamedTuple):
    """A name of the language. kinds: what its arguments are, int, str or either. optional: how many of them may be left out."""

    call: Callable[..., Value]
    kinds: tuple[type | UnionType, ...] = ()
    optional: int = 0


def evaluate(text: str, names: Mapping[str, Function]) -> Value:
    """What an expression is. CommandError where it is none."""
    parser = _Parser(_tokens(text), names)
    value = parser.expression()
    if parser.peek():
        raise CommandError(f"'{parser.peek()}' is too much in '{text}'")
    return value


def is_true(text: str, names: Mapping[str, Function]) -> bool:
    """As `evaluate`, for an expression that is true or false."""
    value = evaluate(text, names)
    if not isinstance(value, bool):
        raise CommandError(f"'{text}' is {shown(value)}, neither true nor false: compare it with something")
    return value


def shown(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value} ({value:#x})" if isinstance(value, int) else f'"{value}"'


def _tokens(text: str) -> list[tuple[str, str]]:
    found, place, text = [], 0, text.rstrip()
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise CommandError(f"'{text[place:].strip()[:20]}' is no part of an expression")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        place = match.end()
    return found


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], names: Mapping[str, Function]) -> None:
        self.tokens = tokens
        self.names = names
        self.place = self.depth = 0

    def peek(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        """The next token where it is one of these; "" otherwise."""
        token = self.peek()
        if token not in wanted or self.tokens[self.place][0] == "text":
            return ""
        self.place += 1
        return token

    def expression(self) -> Value:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise CommandError(f"an expression goes no deeper than {DEPTH_MAX}")
        value = self.all()
        while self.take("or"):
            value = _truth(value, "or") | _truth(self.all(), "or")
        self.depth -= 1
        return value

    def all(self) -> Value:
        value = self.denial()
        while self.take("and"):
            value = _truth(value, "and") & _truth(self.denial(), "and")
        return value

    def denial(self) -> Value:
        denied = False
        times = 0
        while self.take("not"):
            denied, times = not denied, times + 1
        value = self.comparison()
        return _truth(value, "not") != denied if times else value

    def comparison(self) -> Value:
        left = self.sum()
        sign = self.take(*COMPARISONS, *EQUALS, "contains")
        if not sign:
            return left
        right = self.sum()
        if sign == "contains":
            if not isinstance(left, str) or not isinstance(right, str):
                raise CommandError("contains: both sides are texts")
            return right in left
        if sign in EQUALS:
            if type(left) is not type(right):
                raise CommandError(f"{sign}: {shown(left)} and {shown(right)} are not of one kind")
            return (left == right) == (sign == "==")
        return COMPARISONS[sign](_integer(left, sign), _integer(right, sign))

    def sum(self) -> Value:
        value = self.product()
        while sign := self.take("+", "-"):
            right = _integer(self.product(), sign)
            value = _integer(value, sign) + (right if sign == "+" else -right)
        return value

    def product(self) -> Value:
        value = self.unary()
        while self.take("*"):
            value = _integer(value, "*") * _integer(self.unary(), "*")
            if value.bit_length() > BITS_MAX:
                raise CommandError("a number is too large")
        return value

    def unary(self) -> Value:
        negative = times = 0
        while self.take("-"):
            negative, times = 1 - negative, times + 1
        value = self.value()
        return (-_integer(value, "-") if negative else _integer(value, "-")) if times else value

    def value(self) -> Value:
        if self.place >= len(self.tokens):
            raise CommandError("an expression ends too early")
        if self.take("("):
            value = self.expression()
            self.close()
            return value
        kind, token = self.tokens[self.place]
        self.place += 1
        if kind == "number":
            return int(token, 0) if token[:2].lower() == "0x" else int(token)
        if kind == "time":
            return parse_time(token)
        if kind == "text":
            return token[1:-1]
        if kind == "name" and token in ("true", "false"):
            return token == "true"
        if kind != "name" or token not in self.names:
            raise CommandError(f"'{token}' is no name: there are {', '.join(self.names)}")
        return self.call(token)

    def call(self, name: str) -> Value:
        function = self.names[name]
        values: list[Value] = []
        if self.take("("):
            while not self.take(")"):
                if values and not self.take(","):
                    raise CommandError(f"{name}(...): a ',' or ')' is wanted, not '{self.peek()}'")
                values.append(self.expression())
        least, most = len(function.kinds) - function.optional, len(function.kinds)
        if not least <= len(values) <= most:
            raise CommandError(f"{name} takes {least if least == most else f'{least} to {most}'} arguments, not {len(values)}")
        for value, kind in zip(values, function.kinds, strict=False):
            if isinstance(value, bool) or not isinstance(value, kind):
                raise CommandError(f"{name}: {shown(value)} is no {'text' if kind is str else 'number'}")
        return function.call(*values)

    def close(self) -> None:
        if not self.take(")"):
            raise CommandError(f"a ')' is wanted, not '{self.peek()}'")


def _integer(value: Value, sign: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise CommandError(f"{sign}: {shown(value)} is no number")
    return value


def _truth(value: Value, sign: str) -> bool:
    if not isinstance(value, bool):
        raise CommandError(f"{sign}: {shown(value)} is neither true nor false")
    return value
