"""docs/booting.md is true: its scripts boot."""

from __future__ import annotations

from pathlib import Path

from tests.support.commands import run

PAGE = (Path(__file__).parents[2] / "docs" / "booting.md").read_text()


def block(number: int, language: str = "text") -> str:
    return PAGE.split(f"```{language}\n")[number].split("```")[0]


def test_its_boot_script_starts_both_programs(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(block(1))
    done = run("boot", "--script", tmp_path / "script")
    assert (done.returncode, sorted(done.stdout.splitlines())) == (0, ["DONE", "GO", "Hello from a Mach task."])
