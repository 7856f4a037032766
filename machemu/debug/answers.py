"""A student's answers to the questions of a lesson, and whether they are right. Nothing in such a file is ever done."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from machemu.abi.errors import UserError
from machemu.debug.errors import CommandError
from machemu.debug.expressions import Value
from machemu.debug.looker import check_line
from machemu.sim import files

SIZE_MAX: Final = 1 << 16
"""Bytes of a file of answers."""
NUMBER: Final = re.compile(r"-?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})")
TRUTHS: Final = {"yes": True, "true": True, "no": False, "false": False}
KINDS: Final[dict[type, str]] = {bool: "yes or no", int: "a number", str: "a text"}
WORD: Final = re.compile(r"[^\s,_`'\"-]+")
ARTICLES: Final = ("a", "an", "the")


class Answer(NamedTuple):
    """What somebody says. place: the file and the line, for messages."""

    place: str
    said: str


def read_answers(path: Path, questions: Sequence[str]) -> dict[str, Answer]:
    """The answers of a file, lines such as `3 = 0x2c  # why`, by question.

    UserError, with file and line, for a line that is none, and for a question that there is not, or that has two answers or none.
    """
    text = files.read(path, SIZE_MAX, "a file of answers").removeprefix(b"\xef\xbb\xbf")
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError as error:
        at = text.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{at}: is no UTF-8 text: write answers with an editor of plain text") from None
    found: dict[str, Answer] = {}
    for number, line in enumerate(lines, 1):
        try:
            name, said = _parse(line.removesuffix("\r"), questions)
            if name in found:
                raise CommandError(f"question {name} has an answer already, at {found[name].place}")
        except CommandError as error:
            raise UserError(f"{path}:{number}: {error}") from None
        if name:
            found[name] = Answer(f"{path}:{number}", said)
    missing = [name for name in questions if name not in found]
    if missing:
        raise UserError(
            f"{path}:{len(lines)}: ends without an answer to question {', '.join(missing)}: write ? where you have none"
        )
    return found


def _parse(line: str, questions: Sequence[str]) -> tuple[str, str]:
    """A question and what is said; two empty texts of a line without an answer."""
    check_line(line)
    line = line.partition("#")[0].strip()
    if not line:
        return "", ""
    name, equals, said = (part.strip() for part in line.partition("="))
    if not (name and equals and said):
        raise CommandError(f"'{line[:40]}' is no answer: write QUESTION = ANSWER, such as {questions[0]} = 0x2c")
    if name not in questions:
        raise CommandError(f"there is no question {name[:40]}: there are {', '.join(questions)}")
    return name, said


def is_right(said: str, values: Iterable[Value]) -> bool:
    """Whether an answer is one of these: a number, decimal or hexadecimal; yes or no; words, in any case and with any gaps."""
    return any(_meant(said, value) == (_plain(value) if isinstance(value, str) else value) for value in values)


def hint(said: str, values: Sequence[Value]) -> str:
    """Of which kind a right answer is, where this one is of another."""
    if any(_meant(said, value) is not None for value in values):
        return ""
    return f": {KINDS[type(values[0])]} is wanted"


def _meant(said: str, value: Value) -> Value | None:
    """What is said, as the kind that a value is of; None where it cannot be that."""
    if isinstance(value, bool):
        return TRUTHS.get(said.casefold())
    if isinstance(value, int):
        return int(said, 0 if "x" in said.lower() else 10) if NUMBER.fullmatch(said) else None
    return _plain(said)


def _plain(text: str) -> str:
    return " ".join(word for word in WORD.findall(text.casefold()) if word not in ARTICLES)
