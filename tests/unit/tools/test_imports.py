"""Imports that tie tests together are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.imports import ROOT, complaints

SHARED = "move what is shared to tests/support"
MISPLACED = "a test of tools belongs into tests/unit/tools"


@pytest.mark.parametrize(
    ("path", "line", "complaint"),
    [
        ("tests/kernel/test_a.py", "from tests.kernel.test_b import Actor", f"imports tests.kernel.test_b.Actor: {SHARED}"),
        ("tests/kernel/test_a.py", "from tests.kernel import helper", f"imports tests.kernel.helper: {SHARED}"),
        ("tests/kernel/test_a.py", "import tests.kernel.helper", f"imports tests.kernel.helper: {SHARED}"),
        ("tests/kernel/test_a.py", "from tools import oracle", f"imports tools.oracle: {MISPLACED}"),
        (
            "tests/kernel/test_a.py",
            "TEXT = 'servers = [\"tools.bench.callers:Caller\"]'",
            f"imports tools.bench.callers: {MISPLACED}",
        ),
        ("tests/support/a.py", "from tools.bench import loops", f"imports tools.bench.loops: {MISPLACED}"),
        (
            "tests/unit/tools/test_a.py",
            "from tests.unit.tools.test_b import run",
            f"imports tests.unit.tools.test_b.run: {SHARED}",
        ),
        ("tools/a.py", "from tests.cluster.test_calls import pair", f"imports tests.cluster.test_calls.pair: {SHARED}"),
    ],
)
def test_an_import_of_another_test_or_of_tools_is_found(tmp_path: Path, path: str, line: str, complaint: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(f"import sys\n{line}\n")
    assert complaints(tmp_path) == [f"{path}:2: {complaint}"]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("tests/kernel/test_a.py", "from tests.support.machine import boot"),
        ("tests/kernel/test_a.py", "from tests.support import testdisk"),
        ("tests/kernel/test_a.py", "SAID = 'python -m tools.bench: what it costs'"),
        ("tests/unit/tools/test_a.py", "from tools import dev"),
        ("tests/conformance/test_oracle.py", "from tools import oracle"),
        ("tools/a.py", "from tests.support.machine import boot"),
    ],
)
def test_what_is_shared_and_what_tests_tools_is_let_through(tmp_path: Path, path: str, line: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(line + "\n")
    assert complaints(tmp_path) == []


@pytest.mark.slow
def test_this_tree_has_none() -> None:
    assert complaints(ROOT) == []
