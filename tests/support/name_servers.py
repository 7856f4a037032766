"""The name server of a node in both its forms: on the host, in Python, and as a guest, in C."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import pytest

from machemu.boot.bootstrap import boot_server
from machemu.core.name_server import NameServer, launch_server
from machemu.user.server import Server
from masix.acs.server import Acs
from tests.support.machine import IMAGES, Machine, image

HOST, GUEST = "host", "guest"
PLACES: Final = (HOST, GUEST)
both_places = pytest.mark.parametrize("place", PLACES)


def launch_servers(machine: Machine, place: str, servers: Sequence[tuple[str, Server]]) -> NameServer:
    """The name server and others, each with its task's name and privileged."""
    if place == HOST:
        made = launch_server(machine.kernel, Acs(), "acs", None)
    else:
        made = boot_server(machine.kernel, str(image(machine.arch, "acs")), None, is_name_server=True)
    assert made is not None
    for name, server in servers:
        assert launch_server(machine.kernel, server, name, made, privileged=True) is made
    return made


def left_out() -> list[str]:
    """What the guest leaves out, as the page on the servers lists it."""
    page = (IMAGES.parent / "docs" / "masix.md").read_text()
    chapter = page.split("\nIt leaves out:\n\n")[1].split("\n\n")[0]
    return [" ".join(item.split()) for item in re.split(r"^- ", chapter, flags=re.MULTILINE) if item]


def skip_guest(place: str, beginning: str) -> None:
    """Skips a test of the guest for what it leaves out, which is named by the beginning of its line in the list."""
    if place == GUEST:
        (reason,) = (item for item in left_out() if item.startswith(beginning))
        pytest.skip(reason)
