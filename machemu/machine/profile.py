"""Hardware profiles: what a machine is and what its work costs in virtual time. TOML files, some of which come with machemu."""

from __future__ import annotations

from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.sim import files
from machemu.sim.toml import parse_toml

DEFAULT_PROFILE: Final = "pc486dx2-66"
DEFAULT_PROFILES: Final = {"i386": DEFAULT_PROFILE, "m68k": "sun3-60"}
"""By architecture; DEFAULT_PROFILE where nothing tells which."""
CPUS: Final = tuple(DEFAULT_PROFILES)
RAM_UNIT: Final = 1 << 20
LIMITS: Final = {"ns": 10**12, "type": (1 << 31) - 1, "subtype": (1 << 31) - 1, "mib": 1 << 20}
"""What numbers can be at most, by the last word of their key: a thousand seconds, Mach's integers."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a machine is, and how long its parts take, in virtual nanoseconds."""

    name: str
    architecture: str
    processor: str
    cpu_type: int  # Mach's numbers (mach/machine.h), as the next
    cpu_subtype: int
    ram: int  # bytes

    # The processor's and the kernel's times:
    instruction_ns: int
    trap_ns: int  # entering and leaving the kernel by a trap
    context_switch_ns: int
    page_fault_ns: int

    # The devices':
    console_byte_ns: int
    disk_seek_ns: int  # moving the arm to another place, with half a turn
    disk_byte_ns: int
    ethernet_byte_ns: int  # a byte into an interface

    # What a server whose program runs on the host would execute:
    server_handler_ns: int
    server_message_ns: int  # for each that it takes or sends
    server_byte_ns: int  # for each byte of those


def names() -> list[str]:
    """The profiles that come with machemu."""
    folder = resources.files("machemu.machine") / "profiles"
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def default_profile(architecture: str | None) -> str:
    """The profile for programs of an architecture, or for none."""
    return DEFAULT_PROFILE if architecture is None else DEFAULT_PROFILES[architecture]


def load_profile(name: str) -> Profile:
    """A profile that comes with machemu, or one from a TOML file: whatever contains a slash or ends in .toml is a path."""
    if "/" in name or name.endswith(".toml"):
        path = Path(name)
        return parse_profile(files.read_text(path, "a profile"), name, path.stem)
    if name not in names():
        raise UserError(f"there is no profile '{name}': choose one of {', '.join(names())}, or name a TOML file")
    return parse_profile((resources.files("machemu.machine") / "profiles" / f"{name}.toml").read_text(), name, name)


def parse_profile(text: str, place: str, name: str) -> Profile:
    """UserError, with `place`, where a key is missing, unknown or has a value that cannot be."""
    try:
        table = parse_toml(text)
    except UserError as error:
        raise UserError(f"{place}: {error}") from None
    known = {field.name: field.type for field in fields(Profile) if field.name not in ("name", "ram")} | {"ram_mib": "int"}
    for key, kind in known.items():
        value = table.get(key)
        if kind == "int" and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise UserError(f"{place}: {key} must be a whole number, 1 or more, and is {value!r}")
        limit = LIMITS.get(key.rpartition("_")[2])
        if isinstance(value, int) and limit is not None and value > limit:
            raise UserError(f"{place}: {key} must be {limit} at most, and is {value}")
        if kind == "str" and not isinstance(value, str):
            raise UserError(f"{place}: {key} must be a text, and is {value!r}")
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise UserError(f"{place}: unknown key {unknown[0]}; a profile has {', '.join(known)}")
    if table["architecture"] not in DEFAULT_PROFILES:
        raise UserError(f"{place}: architecture '{table['architecture']}' is none of {', '.join(DEFAULT_PROFILES)}")
    ram = table.pop("ram_mib") * RAM_UNIT
    return Profile(name=name, ram=ram, **table)
