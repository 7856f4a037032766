"""The transcripts in the lessons' pages: what the commands that a page shows say.

`python3 tools/dev.py tables lessons` writes them anew into lessons/; with `--check` it compares. A command that a page shows
without what it says stays so.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from machemu.ui.lessons import BOOTS, Lesson, find

PROMPT: Final = "machemu> "
BLOCK: Final = re.compile(rf"(?<=```text\n){PROMPT}.*?(?=```)", re.DOTALL)


def parts(session: str) -> list[str]:
    """Each command with what it says."""
    return [part for part in re.split(rf"^(?={PROMPT})", session, flags=re.MULTILINE) if part]


def made(lesson: Lesson) -> str:
    """The page as it should be."""
    text = lesson.page.read_text()
    shown = [part for block in BLOCK.findall(text) for part in parts(block)]
    given = [word for part in shown for word in ("-c", part.splitlines()[0].removeprefix(PROMPT))]
    command = [sys.executable, "-m", "machemu", "step", "--lesson", lesson.name, *given]
    told = parts(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    fresh = iter([said if part.count("\n") > 1 else part for part, said in zip(shown, told, strict=True)])
    return BLOCK.sub(lambda block: "".join(next(fresh) for _ in parts(block[0])), text)


def main(arguments: Sequence[str]) -> int:
    """Writes the pages; 1 where one is old with --check, 2 for anything else."""
    if list(arguments) not in ([], ["--check"]):
        print(f"usage: lessons [--check], not {' '.join(arguments)}", file=sys.stderr)
        return 2
    lessons = [find(name) for name in BOOTS]
    old = [lesson for lesson in lessons if made(lesson) != lesson.page.read_text()]
    for lesson in old:
        if arguments:
            print(f"lessons/{lesson.page.name} is old: run python3 tools/dev.py tables lessons")
        else:
            lesson.page.write_text(made(lesson))
    return 1 if arguments and old else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
