"""Answers to a lesson's questions, held against what the machine says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from machemu.abi.errors import UserError
from machemu.debug.answers import hint, is_right, read_answers
from machemu.debug.errors import CommandError
from machemu.debug.expressions import Value


class Grading:
    """say, complain: take a line for standard output, and for standard error. left: answers to what has not been asked yet.
    count, wrong: how many answers there are, and how many of them were not right."""

    def __init__(self, path: Path, questions: list[str], say: Callable[[str], None], complain: Callable[[str], None]) -> None:
        if not questions:
            raise UserError(f"{path}: the commands that were given ask no `question`")
        self.left = read_answers(path, questions)
        self.count = len(self.left)
        self.say = say
        self.complain = complain
        self.wrong = 0

    def hold(self, question: str, values: list[Value]) -> None:
        """Says whether the answer to a question is one of these, and not which. CommandError where it has been asked already."""
        if question not in self.left:
            raise CommandError(f"question {question}: it is asked twice, or by a short name of the command `question`")
        place, said = self.left.pop(question)
        right = is_right(said, values)
        self.say(f"question {question}: {'right' if right else 'not right'}")
        if not right:
            self.wrong += 1
            self.complain(f"machemu: {place}: question {question}: '{said[:40]}' is not right{hint(said, values)}")

    def finish(self) -> bool:
        """Says how many are right, and gives back whether all are. UserError where a question was left out."""
        if self.left:
            raise UserError(f"question {', '.join(self.left)}: the commands end before it is asked")
        self.say(f"{self.count - self.wrong} of {self.count} are right")
        return not self.wrong
