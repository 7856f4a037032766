"""`machemu lessons`: the lessons that come with machemu, their pages, and what each boots."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final, NamedTuple

from machemu.abi.errors import UserError
from machemu.lab.examples import example, folder
from machemu.machine.profile import CPUS

BOOTS: Final = {
    "message": "pingpong.elf",
    "right": "portpass.elf",
    "copy-on-write": "inherit.elf",
    "pager": "mapper.elf",
    "exception": "handler.elf",
    "call": "greet.toml",
}
"""The lessons in their order, and the program or cluster that each is about."""


class Lesson(NamedTuple):
    """page: what a student reads. questions: the command file that finds the answers. boots: as `example` knows it."""

    name: str
    page: Path
    questions: Path
    boots: str

    def title(self) -> str:
        return self.page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def find(name: str) -> Lesson:
    """UserError where there is none."""
    if name not in BOOTS:
        raise UserError(f"no lesson '{name}': there are {', '.join(BOOTS)}")
    place = folder("lessons")
    return Lesson(name, place / f"{name}.md", place / f"{name}.step", BOOTS[name])


def take(options: argparse.Namespace) -> None:
    """What --lesson means becomes files to boot and, where answers are graded, a command file. UserError where it cannot be."""
    if options.lesson is not None:
        lesson = find(options.lesson)
        if options.files or options.lines or options.script or options.load:
            raise UserError(f"--lesson {lesson.name}: it says what is booted: leave modules and --load out")
        path = example(lesson.boots, options.cpu or CPUS[0])
        options.files, options.folder = ([str(path)], Path()) if path.suffix == ".toml" else ([path.name], path.parent)
        if options.answers is not None:
            options.given = [("-x", str(lesson.questions)), *options.given]
    elif options.cpu is not None:
        raise UserError(f"--cpu {options.cpu}: it is for the program of a lesson: name one by --lesson, or leave it out")
    if options.answers is not None and not options.given:
        raise UserError(f"--answers {options.answers}: name the lesson by --lesson, or the file with its questions by -x")


def run(options: argparse.Namespace) -> int:
    out = options.out
    if options.name is not None:
        lesson = find(options.name.removesuffix(".step"))
        out.write((lesson.questions if options.name.endswith(".step") else lesson.page).read_bytes())
        return 0
    out.line(f"{folder('lessons')}:")
    for name in BOOTS:
        lesson = find(name)
        out.line(f"  {name:<14} {lesson.title()}")
    return 0
