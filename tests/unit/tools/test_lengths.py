"""What tools/lengths.py refuses."""

from pathlib import Path

from tools import lengths


def tree(root: Path, name: str, lines: list[str]) -> None:
    for folder in lengths.FOLDERS:
        (root / folder).mkdir(exist_ok=True)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("".join(line + "\n" for line in lines))


def function(lines: int) -> list[str]:
    return ["def long() -> None:", *["    print()"] * (lines - 1)]


def test_what_is_just_short_enough_is_accepted(tmp_path: Path) -> None:
    tree(tmp_path, "machemu/a.py", function(60) + ["x = 1"] * 440)
    assert lengths.complaints(tmp_path, {}) == []


def test_a_file_and_a_function_that_are_too_long_are_named_with_their_lengths(tmp_path: Path) -> None:
    tree(tmp_path, "servers/a.py", function(61) + ["x = 1"] * 440)
    assert lengths.complaints(tmp_path, {}) == [
        "servers/a.py: 501 lines, and 500 are enough: cut it where the meaning changes",
        "servers/a.py:1: long: 61 lines, and 60 are enough: it does too much",
    ]


def test_an_exception_is_accepted_where_it_is_needed_and_only_there(tmp_path: Path) -> None:
    tree(tmp_path, "tools/a.py", function(61))
    exceptions = {"tools/a.py:long": "a table"}
    assert lengths.complaints(tmp_path, exceptions) == []
    tree(tmp_path, "tools/a.py", function(60))
    assert lengths.complaints(tmp_path, exceptions) == [
        "tools/a.py:long: is an exception in tools/lengths.py, and is short enough",
    ]


def test_modules_that_mig_writes_do_not_count(tmp_path: Path) -> None:
    tree(tmp_path, "machemu/a.py", [])
    tree(tmp_path, "machemu/interfaces/b.py", function(600))
    assert lengths.complaints(tmp_path, {}) == []
