"""Refuses Python files and functions that have grown too long to be read at once: `python -m tools.lengths`.

Modules that our MIG writes do not count. EXCEPTIONS names what may be longer, and why; an exception without a use is refused too.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDERS: Final = ("machemu", "servers", "tools", "tests")
WRITTEN_BY_MIG: Final = "interfaces"
FILE_MAX, FUNCTION_MAX = 500, 60
"""In lines."""
EXCEPTIONS: Final = {
    "tests/cluster/test_file.py:test_everything_that_a_file_can_say": "one file with every key, and what is read from it",
    "tests/unit/ipc/test_mach_msg.py": "the options and errors of one trap",
    "tests/unit/ipc/test_transcripts.py:test_ports_as_the_real_kernel": "a boot module's steps beside its transcript",
}


def too_long(root: Path) -> dict[str, str]:
    """By place, FILE or FILE:FUNCTION, what to say of it."""
    found: dict[str, str] = {}
    for path in sorted(path for folder in FOLDERS for path in (root / folder).rglob("*.py")):
        if path.parent.name == WRITTEN_BY_MIG:
            continue
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root).as_posix()
        lines = text.count("\n")
        if lines > FILE_MAX:
            found[name] = f"{name}: {lines} lines, and {FILE_MAX} are enough: cut it where the meaning changes"
        for function in _functions(ast.parse(text)):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_MAX:
                place = f"{name}:{function.lineno}: {function.name}"
                found[f"{name}:{function.name}"] = f"{place}: {lines} lines, and {FUNCTION_MAX} are enough: it does too much"
    return found


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def complaints(root: Path, exceptions: dict[str, str]) -> list[str]:
    """What is too long without being an exception, and the exceptions that are none."""
    found = too_long(root)
    unused = [f"{place}: is an exception in tools/lengths.py, and is short enough" for place in exceptions if place not in found]
    return [text for place, text in found.items() if place not in exceptions] + unused


if __name__ == "__main__":
    said = complaints(ROOT, EXCEPTIONS)
    print("\n".join(said) or f"no file over {FILE_MAX} lines, no function over {FUNCTION_MAX}, {len(EXCEPTIONS)} exceptions")
    sys.exit(bool(said))
