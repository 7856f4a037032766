"""A cluster whose servers have work of every kind under way."""

from __future__ import annotations

from pathlib import Path
from typing import Final

IMAGES: Final = Path(__file__).parents[2] / "images"
SERVERS: Final = (
    'servers = ["masix.acs.server:Acs", "masix.protocols.udp:Udp", '
    '{ class = "masix.gns.server:Gns", announces = true, introduces = true, prepares = true, replicates = true }]\n'
    'memory = "2M"\nnics = { eth0 = "lan" }\n'
)
START: Final = "$(task-create) $(task-resume)"
TEXT: Final = f"""
[segments.lan]
loss = 0.05
[nodes.alpha]
modules = ["m68k/datagram.elf ${{host-port}} ${{device-port}} direct echo 7 {START}",
           "m68k/greet.elf ${{host-port}} ${{device-port}} call greeter 50 {START}"]
{SERVERS}
[nodes.beta]
modules = ["i386/datagram.elf ${{host-port}} ${{device-port}} direct ask 1 7 50 1400 {START}",
           "i386/greet.elf ${{host-port}} ${{device-port}} serve greeter {START}"]
{SERVERS}
"""
