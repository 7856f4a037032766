"""Refuses imports that tie tests together: `python -m tools.imports`.

A test imports of tests nothing but tests.support, so that it can be read alone. Only the tests of tools and the comparison with
the real kernel import tools. tests.support imports no tools; tools import of tests nothing but tests.support. What a cluster
file in a test names counts too: "package.module:Class".
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SUPPORT: Final = "tests.support"
KNOW_TOOLS: Final = ("tests/unit/tools/", "tests/conformance/test_oracle.py", "tools/")
"""What may import tools, by the beginnings of paths."""
CLASS: Final = re.compile(r"\b((?:tests|tools)(?:\.\w+)+):[A-Za-z]\w*")
"""A class as cluster files name it."""


def imported(text: str) -> Iterator[tuple[int, str]]:
    """Line and module of each import of a module of tests or tools; where names come from a package, with each name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = CLASS.findall(node.value)
        else:
            continue
        yield from ((node.lineno, name) for name in found if name.split(".")[0] in ("tests", "tools"))


def complaints(root: Path) -> list[str]:
    """What is wrong, each with its place."""
    found = []
    for path in sorted(path for folder in ("tests", "tools") for path in (root / folder).rglob("*.py")):
        name = path.relative_to(root).as_posix()
        for line, module in imported(path.read_text(encoding="utf-8")):
            if module.startswith("tests.") and not module.startswith(f"{SUPPORT}."):
                found.append(f"{name}:{line}: imports {module}: move what is shared to tests/support")
            elif module.startswith("tools.") and not name.startswith(KNOW_TOOLS):
                found.append(f"{name}:{line}: imports {module}: a test of tools belongs into tests/unit/tools")
    return found


if __name__ == "__main__":
    said = complaints(ROOT)
    print("\n".join(said) or "tests import of each other nothing but tests.support")
    sys.exit(bool(said))
