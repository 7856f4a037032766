"""Two nodes of which one asks the other with datagrams."""

from __future__ import annotations

from typing import Final

from tests.support.clusters import node

WAYS: Final = ("server", "checked", "direct")
SIZES: Final = (1, 1400)
MACHINES: Final = ("i386", "m68k")
SERVERS: Final = 'servers = ["masix.acs.server:Acs", "masix.gns.server:Gns", "masix.protocols.udp:Udp"]\n'


def cluster(machine: str, way: str, size: int, count: int) -> str:
    """`alpha` echoes, `beta` asks so often."""
    alpha = node("alpha", way, "echo", 7, machine=machine, program="datagram") + SERVERS
    beta = node("beta", way, "ask", 1, 7, count, size, machine=machine, program="datagram") + SERVERS
    return f"seed = 3\n[segments.lan]\n{alpha}{beta}"
