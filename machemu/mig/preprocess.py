"""The part of C's preprocessor that .defs files use: #include, #if and its kin, #define of plain names, #undef, comments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from machemu.abi.errors import UserError

_COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:[^"\\\n]|\\.)*"', re.S)
_DIRECTIVE = re.compile(r"\s*#\s*(\w+)\s*(.*)")
_WORD = re.compile(r"[A-Za-z_]\w*")
_INCLUDE = re.compile(r'<([^>]+)>|"([^"]+)"')
_TOKEN = re.compile(r"\s*(\d[0-9a-fA-FxX]*[uUlL]*|[A-Za-z_]\w*|&&|\|\||[=!<>]=|[()!<>+*-])")
_PRECEDENCE = {"||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "+": 5, "-": 5, "*": 6}
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the result and where it stood."""

    text: str
    file: str
    number: int


@dataclass(slots=True)
class _Branch:
    """An #if that is open.

    active: whether its lines count now; taken: whether one of its branches has; outer: whether it stands in lines that count.
    """

    active: bool
    taken: bool
    outer: bool
    where: str


@dataclass(slots=True)
class Preprocessor:
    """Makes one text of a file and all that it includes."""

    include: tuple[Path, ...] = ()
    macros: dict[str, str] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    def run(self, path: Path) -> list[Line]:
        """The lines of `path` after preprocessing; UserError with file and line for what cannot be."""
        self._file(path, 0)
        return self.lines

    def _file(self, path: Path, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise UserError(f"{path}: files include each other without end")
        try:
            text = path.read_text("utf-8", "replace")
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from error
        branches: list[_Branch] = []
        for number, line in _logical_lines(_COMMENT.sub(_blank, text)):
            match = _DIRECTIVE.fullmatch(line)
            if match:
                self._directive(path, f"{path}:{number}:1", match, branches, depth)
            elif not branches or branches[-1].active:
                self.lines.append(Line(self._expand(line), str(path), number))
        if branches:
            raise UserError(f"{branches[-1].where}: this #if has no #endif")

    def _directive(self, path: Path, where: str, match: re.Match[str], branches: list[_Branch], depth: int) -> None:
        name, rest = match[1], match[2].strip()
        active = not branches or branches[-1].active
        if name in ("if", "ifdef", "ifndef"):
            value = active and self._condition(where, name, rest)
            branches.append(_Branch(value, value, active, where))
        elif name in ("elif", "else", "endif"):
            if not branches:
                raise UserError(f"{where}: #{name} without #if")
            self._close(where, name, rest, branches)
        elif not active:
            return
        elif name == "include":
            self._file(self._find(where, path, rest), depth + 1)
        elif name == "define":
            word, *text = rest.split(maxsplit=1) or [""]
            if not _WORD.fullmatch(word):
                raise UserError(f"{where}: only plain names can be defined in .defs files, not {word or 'nothing'!r}")
            self.macros[word] = "".join(text)
        elif name == "undef":
            self.macros.pop(rest, None)
        elif name == "error":
            raise UserError(f"{where}: {rest}")
        elif name not in ("pragma", "line"):
            raise UserError(f"{where}: #{name} is not known here")

    def _close(self, where: str, name: str, rest: str, branches: list[_Branch]) -> None:
        branch = branches[-1]
        if name == "endif":
            branches.pop()
        elif name == "else":
            branch.active = branch.outer and not branch.taken
            branch.taken = True
        else:
            branch.active = branch.outer and not branch.taken and self._evaluate(where, rest)
            branch.taken = branch.taken or branch.active

    def _condition(self, where: str, name: str, rest: str) -> bool:
        if name == "if":
            return self._evaluate(where, rest)
        word = _WORD.match(rest)
        if not word:
            raise UserError(f"{where}: #{name} wants a name")
        return (word[0] in self.macros) == (name == "ifdef")

    def _evaluate(self, where: str, text: str) -> bool:
        defined = re.sub(r"\bdefined\s*(?:\(\s*(\w+)\s*\)|(\w+))", lambda m: str(int((m[1] or m[2]) in self.macros)), text)
        return _Expression(where, self._expand(defined)).value() != 0

    def _find(self, where: str, path: Path, rest: str) -> Path:
        match = _INCLUDE.match(self._expand(rest))
        if not match:
            raise UserError(f"{where}: #include wants a name in quotes or angle brackets")
        directories = (path.parent, *self.include) if match[2] else self.include
        for directory in directories:
            if (directory / (match[1] or match[2])).is_file():
                return directory / (match[1] or match[2])
        raise UserError(f"{where}: {match[1] or match[2]} is in none of {', '.join(map(str, directories)) or 'no directories'}")

    def _expand(self, text: str, active: frozenset[str] = frozenset()) -> str:
        if not self.macros:
            return text

        def word(match: re.Match[str]) -> str:
            name = match[0]
            if name in active or name not in self.macros:
                return name
            return self._expand(self.macros[name], active | {name})

        return _WORD.sub(word, text)


def _blank(match: re.Match[str]) -> str:
    """A comment becomes blanks of its own extent, so that columns stay; a string stays."""
    return match[0] if match[0].startswith('"') else re.sub(r"[^\n]", " ", match[0])


def _logical_lines(text: str) -> Iterable[tuple[int, str]]:
    """Lines with their numbers, those that end in a backslash joined to the next."""
    held, start = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.endswith("\\"):
            held, start = held + line[:-1], start or number
        else:
            yield start or number, held + line
            held, start = "", 0


class _Expression:
    """An #if's expression; names that are not defined are 0."""

    def __init__(self, where: str, text: str) -> None:
        self.where = where
        self.text = text
        self.tokens: list[str] = []
        position = 0
        while position < len(text.rstrip()):
            match = _TOKEN.match(text, position)
            if not match:
                raise UserError(f"{where}: {text[position:].strip()!r} is not understood in #if {text.strip()}")
            self.tokens.append(match[1])
            position = match.end()
        self.position = 0

    def value(self) -> int:
        value = self._binary(1)
        if self.position != len(self.tokens):
            raise UserError(f"{self.where}: #if {self.text.strip()} does not end where it should")
        return value

    def _next(self) -> str:
        self.position += 1
        if self.position > len(self.tokens):
            raise UserError(f"{self.where}: #if {self.text.strip()} lacks something")
        return self.tokens[self.position - 1]

    def _unary(self) -> int:
        token = self._next()
        if token == "!":
            return int(not self._unary())
        if token == "-":
            return -self._unary()
        if token == "(":
            value = self._binary(1)
            if self._next() != ")":
                raise UserError(f"{self.where}: #if {self.text.strip()} lacks a )")
            return value
        if token[0].isdigit():
            digits = token.rstrip("uUlL")
            return int(digits, 8 if digits[0] == "0" and digits.isdigit() and len(digits) > 1 else 0)
        if _WORD.fullmatch(token):
            return 0
        raise UserError(f"{self.where}: {token!r} is out of place in #if {self.text.strip()}")

    def _binary(self, level: int) -> int:
        left = self._unary()
        while self.position < len(self.tokens) and _PRECEDENCE.get(self.tokens[self.position], 0) >= level:
            operator = self._next()
            left = _apply(operator, left, self._binary(_PRECEDENCE[operator] + 1))
        return left


def _apply(operator: str, left: int, right: int) -> int:
    results: Mapping[str, int] = {
        "||": int(bool(left or right)),
        "&&": int(bool(left and right)),
        "==": int(left == right),
        "!=": int(left != right),
        "<": int(left < right),
        ">": int(left > right),
        "<=": int(left <= right),
        ">=": int(left >= right),
        "+": left + right,
        "-": left - right,
        "*": left * right,
    }
    return results[operator]
