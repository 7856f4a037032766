"""The ABI's numbers by name."""

from __future__ import annotations

import pytest

from machemu.abi import names


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0, "KERN_SUCCESS"),
        (4, "KERN_INVALID_ARGUMENT"),
        (-303, "MIG_BAD_ID"),
        (0x10000003, "MACH_SEND_INVALID_DEST"),
        (0x1000400C | 0x3000, "MACH_RCV_BODY_ERROR|0x3000"),
        (0x12345, "0x12345"),
    ],
)
def test_a_return_code_is_said_by_name(code: int, name: str) -> None:
    assert names.return_name(code) == name


def test_every_table_has_the_numbers_of_one_family() -> None:
    assert (len(names.RETURNS), len(names.MSG_RETURNS), len(names.IO_RETURNS), len(names.OPTIONS)) == (27 + 10 + 28, 28, 10, 10)
    assert names.RIGHTS == {0: "SEND", 1: "RECEIVE", 2: "SEND_ONCE", 3: "PORT_SET", 4: "DEAD_NAME"}
    assert names.OPTIONS[0x800] == "MACH_RCV_LARGE"
    assert names.TYPES[8] == "CHAR" and names.TYPES[18] == "MOVE_SEND_ONCE"
    assert names.EXCEPTIONS[1] == "EXC_BAD_ACCESS"
