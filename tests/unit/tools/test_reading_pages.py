"""The page that leads through the code names files and functions that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NAMED = re.compile(r"\[`([A-Za-z_.0-9]+)`\]\((\.\./[^)]*\.py)\)")


def names_in(path: Path) -> set[str]:
    """What a module defines at its top, and Class.method of its classes."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            methods = (part.name for part in node.body if isinstance(part, ast.FunctionDef))
            found |= {node.name, *(f"{node.name}.{method}" for method in methods)}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def test_every_function_and_class_that_the_page_on_the_kernel_names_is_in_its_file() -> None:
    page = ROOT / "docs" / "kernel.md"
    named = NAMED.findall(page.read_text())
    assert len(named) > 50
    assert [(name, file) for name, file in named if name not in names_in(page.parent / file)] == []
