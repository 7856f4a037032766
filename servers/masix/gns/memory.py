"""Memory of messages that come: put in place before a message is handed to its task, if the node can hold it.

The memory of a large message comes first, in parts (streams.py has the other side). The server waits for no frame: what cannot
be placed now is tried again, and after a while it is refused, which destroys the message as one to a dead port. Memory begins
where in its page it began at the sender, as vm_map_copyout has it: the word that stands for it in the body tells.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from machemu.abi.errors import KernError
from machemu.abi.message import Carried, CarriedMemory
from machemu.mig.interfaces.mach import VM_SET_DEFAULT_MEMORY_MANAGER, VM_STATISTICS
from machemu.user.mach import Mach
from machemu.user.message import Message, Region, living, regions, with_copies
from masix.gns.context import Context
from masix.gns.convert import turned
from masix.gns.large import Arriving
from masix.gns.wire import ORDERS, Deliver, Laid, Lay, Refused, Stored

PATIENCE_NS: Final = 250_000_000
"""How long a message waits for frames at most."""
KEPT: Final = 16
"""One of so many frames stays free where nobody pages out."""


class Room(NamedTuple):
    """free: bytes that can be had at once. all: those that can be had at all. page: those of a page."""

    free: int
    all: int
    page: int


def room(mach: Mach) -> Room:
    """What this node can hold beside what it holds: where a default memory manager pages out, other tasks' pages make room."""
    ((page, free, active, inactive, wired, *_),) = mach.call(VM_STATISTICS, mach.task_self())
    free = max(0, free - (free + active + inactive + wired) // KEPT)
    (manager,) = mach.call(VM_SET_DEFAULT_MEMORY_MANAGER, mach.given("host-port"), None)
    if not living(manager):
        return Room(free * page, free * page, page)
    mach.deallocate(living(manager))
    return Room((free + 1) * page, (free + active + inactive) * page, page)


def part(context: Context, node: int, what: Lay) -> None:
    """A part of a message's memory has come."""
    streams = context.arrivals.streams
    key = node, what.token
    if key not in streams:
        streams[key] = Arriving()
        if what.total > room(context.mach).all:
            _refuse(context, key)
    arriving = streams[key]
    if arriving is None:
        return
    if not arriving.waiting:
        arriving.since = context.mach.now()
    arriving.waiting.append(what)
    _store(context, key, arriving)


def _store(context: Context, key: tuple[int, int], arriving: Arriving) -> None:
    mach = context.mach
    stored = 0
    while arriving.waiting:
        what = arriving.waiting[0]
        region, filled = arriving.regions.get(what.place) or (Region(0, what.size), 0)
        size = len(what.data)
        if region.size != what.size or filled + size > what.size:
            _refuse(context, key)
            return
        try:
            now = room(mach)
            region = region if region.address else _allocated(mach, what.address % now.page, what.size)
            arriving.regions[what.place] = region, filled
            is_ready = now.free > 0 and mach.ready(region.address + filled, size, True)
        except KernError:
            _refuse(context, key)
            return
        if not is_ready:
            break
        is_ours = ORDERS[what.order] is mach.order
        mach.write(region.address + filled, what.data if is_ours else turned(what.data, what.unit))
        mach.work(0, 0, size)
        arriving.regions[what.place] = region, filled + size
        arriving.waiting.popleft()
        arriving.since = mach.now()
        stored += size
    if stored:
        context.say(key[0], Stored(key[1], stored))


def _refuse(context: Context, key: tuple[int, int]) -> None:
    node, token = key
    context.mach.note(f"gns: cannot hold message memory {token} of node {node}: it is refused")
    forget(context, node, token)
    context.arrivals.streams[key] = None
    context.say(node, Refused(token))


def forget(context: Context, node: int, token: int) -> None:
    """What has come of a message's memory goes."""
    arriving = context.arrivals.streams.pop((node, token), None)
    if arriving is not None:
        context.mach.free(region for region, _ in arriving.regions.values())


def lost(context: Context, node: int) -> None:
    """A node is gone, and with it the messages whose memory was coming."""
    for sender, token in list(context.arrivals.streams):
        if sender == node:
            forget(context, node, token)


def expired(context: Context) -> None:
    """Tries again what waits for room, for a while."""
    now = context.mach.now()
    for key, arriving in list(context.arrivals.streams.items()):
        if arriving is not None and arriving.waiting:
            _store(context, key, arriving)
            if arriving.waiting and now >= arriving.since + PATIENCE_NS and context.arrivals.streams.get(key):
                _refuse(context, key)


def placed(context: Context, node: int, message: Message) -> Message | None:
    """A node's message with its memory in this task; None where there is no room for it now."""
    memory = [item for item in message.carried if isinstance(item, CarriedMemory) and item.size]
    if all(isinstance(item.copy, Region) for item in memory):
        return message
    laid = next((item.copy for item in memory if isinstance(item.copy, Laid)), None)
    if laid is not None:
        return _claimed(context, node, message, laid.token)
    now = room(context.mach)
    if sum(item.size for item in memory) > now.free:
        return None
    carried: list[Carried] = []
    for item in message.carried:
        if isinstance(item, CarriedMemory) and item.size and isinstance(item.copy, bytes):
            (address,) = struct.unpack_from(context.mach.order.prefix + "I", message.body, item.offset)
            region = _filled(context.mach, address % now.page, item.copy)
            if region is None:
                context.mach.free(regions(message._replace(carried=tuple(carried))))
                return None
            carried.append(item._replace(copy=region))
        else:
            carried.append(item)
    return message._replace(carried=tuple(carried))


def _filled(mach: Mach, begin: int, data: bytes) -> Region | None:
    """New memory with these bytes, as `_allocated`; None where it would have to be waited for."""
    try:
        region = _allocated(mach, begin, len(data))
    except KernError:
        return None
    if not mach.ready(*region, True):
        mach.free([region])
        return None
    mach.write(region.address, data)
    mach.work(0, 0, region.size)
    return region


def _allocated(mach: Mach, begin: int, size: int) -> Region:
    """New memory. begin: where in its first page. Raises KernError."""
    return Region(mach.allocate(begin + size) + begin, size)


def _claimed(context: Context, node: int, message: Message, token: int) -> Message:
    """As `placed`, of memory that has come before and is complete."""
    arriving = context.arrivals.streams.pop((node, token))
    assert arriving is not None
    return with_copies(message, Laid, lambda _, laid: arriving.regions[laid.place][0])


def unplaced(mach: Mach, message: Message) -> Message:
    """A message with the bytes of its memory, which is given back."""

    def read(_: object, region: Region) -> bytes:
        data = mach.read(*region)
        mach.work(0, 0, region.size)
        return data

    found = with_copies(message, Region, read)
    mach.free(regions(message))
    return found


def is_complete(context: Context, node: int, what: Deliver) -> bool:
    """Whether the memory that should have come before a message has: that of an honest sender has."""
    memory = [item for item in what.message.carried if isinstance(item, CarriedMemory) and item.size]
    laid = {item.copy: item.size for item in memory if isinstance(item.copy, Laid)}
    if not laid:
        return True
    token = next(iter(laid)).token
    arriving = context.arrivals.streams.get((node, token)) or Arriving()
    filled = {Laid(token, place): size for place, (region, size) in arriving.regions.items() if size == region.size}
    return len(memory) == len(laid) and filled == laid


def destroyed(context: Context, node: int, message: Message) -> None:
    """The memory of a message that goes to nobody goes."""
    context.mach.free(regions(message))
    for item in message.carried:
        if isinstance(item, CarriedMemory) and isinstance(item.copy, Laid):
            forget(context, node, item.copy.token)
