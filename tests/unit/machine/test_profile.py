"""Hardware profiles: those that come with machemu, and files of people's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.machine.profile import DEFAULT_PROFILE, load_profile, names, parse_profile

GOOD = """
architecture = "i386"
processor = "test"
cpu_type = 17
cpu_subtype = 1
ram_mib = 4
instruction_ns = 10
trap_ns = 20
context_switch_ns = 30
page_fault_ns = 40
console_byte_ns = 50
disk_seek_ns = 60
disk_byte_ns = 70
ethernet_byte_ns = 80
server_handler_ns = 90
server_message_ns = 100
server_byte_ns = 110
"""


def test_every_profile_that_comes_along_can_be_read() -> None:
    assert DEFAULT_PROFILE in names()
    assert "pc486-33" in names()
    for name in names():
        assert load_profile(name).name == name


def test_a_file_of_one_s_own_is_a_profile(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    profile = load_profile(str(path))
    assert (profile.name, profile.ram, profile.instruction_ns) == ("mine", 4 << 20, 10)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ram_mib = 4", "", "ram_mib must be a whole number"),
        ("trap_ns = 20", "trap_ns = 0", "trap_ns must be a whole number, 1 or more"),
        ("trap_ns = 20", "trap_ns = 1.5", "trap_ns must be a whole number"),
        ("trap_ns = 20", "trap_ns = true", "trap_ns must be a whole number"),
        ('processor = "test"', "processor = 5", "processor must be a text"),
        ('"i386"', '"vax"', "architecture 'vax' is none of i386"),
        ("trap_ns = 20", "trap_ns = 20\ntarp = 3", "unknown key tarp"),
        ("trap_ns = 20", "trap_ns =", "is not TOML"),
        ("trap_ns = 20", f"trap_ns = {10**12 + 1}", "trap_ns must be 1000000000000 at most"),
        ("trap_ns = 20", f"trap_ns = {'9' * 5000}", "has a number of more than 20 digits"),
        ("trap_ns = 20", f"trap_ns = 0x{'f' * 5000}", "trap_ns: has a number of more than 64 bits, 0xfff"),
        ("cpu_type = 17", f"cpu_type = {1 << 31}", "cpu_type must be 2147483647 at most"),
        ("ram_mib = 4", f"ram_mib = {1 << 60}", "ram_mib must be 1048576 at most"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(old: str, new: str, message: str) -> None:
    with pytest.raises(UserError, match=r"mine\.toml: ") as caught:
        parse_profile(GOOD.replace(old, new), "mine.toml", "mine")
    assert message in str(caught.value)


def test_the_page_of_profiles_says_what_they_are() -> None:
    page = (Path(__file__).parents[3] / "docs" / "profiles.md").read_text(encoding="utf-8")
    rows = dict(row.split(" | ", 1) for row in page.replace("\n| `", "\n`").splitlines() if row.startswith("`") and " | " in row)
    underneath = {"i386": "Pentium II", "m68k": "68040"}
    for name in names():
        profile = load_profile(name)
        assert rows[f"`{name}`"] == (
            f"{profile.processor} | {profile.cpu_type}, {profile.cpu_subtype} | "
            f"{profile.instruction_ns} ns | {profile.ram >> 20} MiB | {underneath[profile.architecture]} |"
        )
