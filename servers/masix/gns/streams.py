"""Memory of messages that go: that of a large message is sent before it, in parts, as fast as the other node finds room for it.

Streams to a node take turns, and no more than a window of all of them is under way, so that other messages do not wait. What is
not in memory is waited for by nobody: its stream goes on when the page has come.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.message import CarriedMemory
from machemu.sim.state import PortName
from machemu.user.mach import Mach
from machemu.user.message import Message, Region, regions, with_copies
from masix.gns import forward, rights
from masix.gns.context import Context
from masix.gns.convert import units
from masix.gns.large import Piece, Stream
from masix.gns.memory import unplaced
from masix.gns.ports import LARGE, Proxy
from masix.gns.translate import tell_homed
from masix.gns.wire import ORDERS, Dropped, Flush, Laid, Lay, Refused, RightKind, Stored

PART: Final = 56 << 10
WINDOW: Final = 128 << 10
"""Bytes of all streams to a node that may be on their way into place there."""
PATIENCE_NS: Final = 15_000_000_000
"""How long a message's memory may stay away."""
GONE: Final = "its port is dead"
ALIGNED: Final = 8 << 10
"""A multiple of every machine's page."""


def read(mach: Mach, message: Message) -> Message | None:
    """A message with the bytes of its memory; None where it is large, or its memory would have to be waited for."""
    memory = regions(message)
    if not memory:
        return message
    try:
        if sum(size for _, size in memory) > LARGE or not all([mach.ready(*region, False) for region in memory]):
            return None
    except KernError:
        return None
    return unplaced(mach, message)


def begin(context: Context, name: PortName, proxy: Proxy, message: Message) -> None:
    """A message's memory goes first. Meanwhile no other message is taken from the proxy's queue."""
    token = context.tables.next()
    turned = units(message, context.mach.order)
    pieces: list[Piece] = []

    def piece(item: CarriedMemory[Any], region: Region) -> Laid:
        pieces.append(Piece(region, turned[item.offset]))
        return Laid(token, len(pieces) - 1)

    stream = Stream(name, proxy, with_copies(message, Region, piece), pieces, context.mach.now())
    context.streams.by_token[token] = stream
    if proxy.kind is RightKind.SEND:
        proxy.is_streaming = True
        rights.regulate(context, name, proxy)
    context.mach.note(f"gns: step 8: {stream.total} bytes of memory go to node {proxy.node} first, as {token}")
    _go_on(context, proxy.node)


def _go_on(context: Context, node: int) -> None:
    """Sends parts to a node, as many as there is a window for; the streams take turns."""
    by_token = context.streams.by_token
    turns = deque(token for token, stream in by_token.items() if stream.node == node)
    while turns and sum(stream.under_way for stream in by_token.values() if stream.node == node) <= WINDOW - PART:
        token = turns.popleft()
        if _send_part(context, token, by_token[token]):
            turns.append(token)
            by_token[token] = by_token.pop(token)


def _send_part(context: Context, token: int, stream: Stream) -> bool:
    """Sends the next part of a stream; False where there is none, or it is not in memory."""
    mach = context.mach
    if not _has_port(context, stream):
        _abort(context, token, GONE)
        return False
    found = next(((n, piece) for n, piece in enumerate(stream.pieces) if piece.at < piece.end), None)
    if found is None:
        return False
    index, piece = found
    size = min(PART // piece.unit * piece.unit, piece.end - piece.at)
    try:
        stream.waits = not mach.ready(piece.at, size, False)
    except KernError:
        _abort(context, token, "its memory cannot be read")
        return False
    if stream.waits:
        return False
    data = mach.read(piece.at, size)
    mach.work(0, 0, size)
    order = ORDERS.index(mach.order)
    context.say(stream.node, Lay(token, stream.total, index, piece.address, piece.size, piece.unit, order, data))
    piece.at += size
    freed = piece.end if piece.at == piece.end else piece.at & -ALIGNED
    if freed > piece.start:
        mach.free([(piece.start, freed - piece.start)])
        piece.start = freed
    stream.under_way += size
    stream.since = mach.now()
    return True


def stored(context: Context, node: int, payload: Stored) -> None:
    """A part of ours is in place: the next may go, or the message itself."""
    stream = context.streams.by_token.get(payload.token)
    if stream is None or stream.node != node:
        return
    stream.under_way -= min(payload.size, stream.under_way)
    if not stream.under_way and all(piece.at == piece.end for piece in stream.pieces):
        if _has_port(context, stream):
            del context.streams.by_token[payload.token]
            stream.proxy.is_streaming = False
            forward.forward(context, stream.name, stream.proxy, stream.message)
            _follow(context, stream.name, stream.proxy)
        else:
            _abort(context, payload.token, GONE)
    _go_on(context, node)


def refused(context: Context, node: int, payload: Refused) -> None:
    """The other node cannot hold a message of ours."""
    stream = context.streams.by_token.get(payload.token)
    if stream is not None and stream.node == node:
        _abort(context, payload.token, f"node {node} cannot hold its {stream.total} bytes of memory")
        _go_on(context, node)
    else:
        context.say(node, Dropped(payload.token))


def _abort(context: Context, token: int, why: str) -> None:
    """A message whose memory goes is destroyed. Then the node's other streams can go on, for which the caller sees."""
    stream = context.streams.by_token.pop(token)
    context.mach.free([(piece.start, piece.end - piece.start) for piece in stream.pieces if piece.start < piece.end])
    stream.proxy.is_streaming = False
    context.say(stream.node, Dropped(token))
    forward.refuse(context, stream.proxy, stream.message, why)
    if context.tables.proxies.get(stream.name) is stream.proxy:
        forward.done(context, stream.name, stream.proxy, stream.message.header)
        _follow(context, stream.name, stream.proxy)


def _has_port(context: Context, stream: Stream) -> bool:
    """Whether the port that a message is for is still where its memory goes. A send-once right's proxy is used up already."""
    proxy = stream.proxy
    return proxy.kind is RightKind.SEND_ONCE or (context.tables.proxies.get(stream.name) is proxy and proxy.node == stream.node)


def _follow(context: Context, name: PortName, proxy: Proxy) -> None:
    """Now a proxy whose port has moved may ask when all that it sent has arrived, and one whose port comes here can take it."""
    tell_homed(context, [name])
    if proxy.target:
        context.say(proxy.node, Flush(proxy.number, context.node, proxy.node, proxy.number))


def lost(context: Context, node: int) -> None:
    """A node is gone, and the messages whose memory was going there."""
    for token, stream in list(context.streams.by_token.items()):
        if stream.node == node:
            _abort(context, token, f"node {node} is lost")


def expired(context: Context) -> None:
    """Looks again for memory that was not there."""
    now = context.mach.now()
    waiting = [(token, stream) for token, stream in context.streams.by_token.items() if stream.waits]
    for token, stream in waiting:
        if now >= stream.since + PATIENCE_NS:
            _abort(context, token, "its memory does not come")
    for node in sorted({stream.node for _, stream in waiting}):
        _go_on(context, node)
