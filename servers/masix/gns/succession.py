"""How a network server's state is made ready to be another's, which takes over its ports, its sessions and what waits.

Its sequence numbers begin anew with the receive rights; memory does not go along; and the kernel tells no more of full queues.
"""

from __future__ import annotations

from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.message import CarriedMemory
from machemu.user.message import Message, regions
from masix.gns import traffic
from masix.gns.context import Context
from masix.gns.liveness import partners
from masix.gns.memory import unplaced
from masix.gns.ports import Export

MEMORY_MAX: Final = 1 << 20
PORTS_MAX: Final = 4096
"""Bytes of messages that can wait for full queues, and the ports and rights that there can be: to hand over more would take so
long, 0.1 ms a right on a Sun-3, that other nodes missed this one."""


def is_at_rest(context: Context) -> bool:
    """Whether no large message and no receive right is under way, there is not too much, and memory that waits can be read."""
    tables = context.tables
    if context.streams.by_token or any(context.arrivals.streams.values()) or tables.coming or tables.kept() > PORTS_MAX:
        return False
    if any(context.is_full(node) for node in partners(tables, context.arrivals)):
        return False
    waiting = [what for export in tables.exports.values() for what in _messages(export)]
    memory = sum(item.size for what in waiting for item in what.carried if isinstance(item, CarriedMemory))
    if memory + sum(len(what.body) for what in waiting) > MEMORY_MAX:
        return False
    try:
        return all([context.mach.ready(*region, False) for what in waiting for region in regions(what)])
    except KernError:
        return False


def _messages(export: Export) -> list[Message]:
    """Those that wait for room in a port's queue."""
    return [what for _, what in export.waiting or () if isinstance(what, Message)]


def make_ready(context: Context) -> None:
    """Before the rights go."""
    tables = context.tables
    for name, proxy in tables.proxies.items():
        if proxy.flushes:
            before = context.mach.receive_status(name).seqno
            proxy.flushes = [(max(0, at - before), flush) for at, flush in proxy.flushes]
    for export in tables.exports.values():
        for place, (node, what) in enumerate(export.waiting or ()):
            assert export.waiting is not None
            if isinstance(what, Message):
                export.waiting[place] = node, unplaced(context.mach, what)


def go_on(context: Context) -> None:
    """Once the rights have come: messages that wait are handed over, since nobody tells any more that there is room."""
    for export in list(context.tables.exports.values()):
        traffic.accepted(context, export.name)
