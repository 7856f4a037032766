"""Makes the tables of the docs: `python3 tools/dev.py tables NAME [ARGUMENTS]`.

calls, names, groups, protocols, processes and under-way print what servers cost. api, coverage, differences and
far-messages write their pages, lessons the transcripts of the lessons', picture draws the README's and picture-of-move
the migration page's; with --check these compare, and what is old is exit status 1.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final

from tools import api, coverage, differences, far_messages, lessons, picture, picture_of_move
from tools.costs import calls, groups, names, processes, protocols, under_way


def printed(table: Callable[[], str]) -> Callable[[Sequence[str]], int]:
    """A command that prints a table."""

    def command(arguments: Sequence[str]) -> int:
        if arguments:
            print(f"tables: this one takes no arguments: {' '.join(arguments)}", file=sys.stderr)
            return 2
        print(table(), end="")
        return 0

    return command


TABLES: Final[dict[str, Callable[[Sequence[str]], int]]] = {
    "calls": printed(calls.table),
    "names": printed(names.table),
    "groups": printed(groups.table),
    "protocols": printed(protocols.table),
    "processes": printed(processes.table),
    "under-way": printed(under_way.table),
    "api": api.main,
    "coverage": coverage.main,
    "differences": differences.main,
    "far-messages": far_messages.main,
    "lessons": lessons.main,
    "picture": picture.main,
    "picture-of-move": picture_of_move.main,
}


def main(arguments: Sequence[str]) -> int:
    """Makes one table; 2 where there is none of the name."""
    if not arguments or arguments[0] not in TABLES:
        what = f"there is no table {arguments[0]}" if arguments else "which table?"
        print(f"tables: {what}: name one of {', '.join(TABLES)}", file=sys.stderr)
        return 2
    return TABLES[arguments[0]](arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
