"""How a message leaves for the node of its port, and what becomes of its proxy port then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from machemu.abi.message import PORT_SEND_ONCE, CarriedPorts
from machemu.sim.state import PortName
from machemu.user.mach import rights as rights_of
from machemu.user.message import Header, Message, right_of
from masix.gns import rights
from masix.gns.context import Context
from masix.gns.ports import Proxy
from masix.gns.translate import Translator, proxies_of
from masix.gns.wire import Deliver, NetRight, OnceUnused, RightKind

RIGHTS_MAX: Final = 4096
"""Rights out of line of a message that goes to another node."""
FULL: Final = "there is no room for its rights"
BACKLOG_MAX: Final = 16 << 20
"""Bytes that may be on their way to a node."""


def why_not(context: Context, proxy: Proxy, message: Message) -> str:
    """Why a message would make the servers keep too much; empty where it does not."""
    if context.backlog(proxy.node) > BACKLOG_MAX:
        return "too much is on its way to its node"
    if sum(len(item.ports) for item in message.carried if isinstance(item, CarriedPorts)) > RIGHTS_MAX:
        return "it has too many rights"
    return "" if context.tables.has_room(message, proxy.payer()) else FULL


def refuse(context: Context, proxy: Proxy, message: Message, why: str) -> None:
    """A message that cannot get to its port goes as one to a dead port."""
    context.mach.note(f"gns: message {message.header.id} for node {proxy.node} port {proxy.number} is destroyed: {why}")
    context.mach.destroy(message)
    if message.header.local_type == PORT_SEND_ONCE:
        context.say(proxy.node, OnceUnused(proxy.number))


def forward(context: Context, name: PortName, proxy: Proxy, message: Message) -> None:
    """Sends a message on; its memory is in it, or has gone before."""
    header = message.header
    once = [name for name, disposition in rights_of(message) if disposition == PORT_SEND_ONCE]
    translator = Translator(context, proxy.payer(), proxies_of(context, once), sends_onces=True)
    answer = translator.give(right_of(header.remote), header.remote_type, proxy.node)
    if answer.kind is RightKind.DEAD:
        answer = answer._replace(number=header.remote_type)
    given = translator.give_all(message, proxy.node)
    context.mach.note(f"gns: step 8: sends it to the network server of node {proxy.node}")
    to = NetRight(RightKind.SEND_ONCE if header.local_type == PORT_SEND_ONCE else RightKind.SEND, proxy.node, proxy.number)
    context.say(proxy.node, Deliver(to, answer, context.mach.order, given))
    went(context, name, proxy, header)
    passed(context, translator.passed)


def passed(context: Context, names: Iterable[PortName]) -> None:
    """Of proxies send-once rights have been given away, perhaps the last rights."""
    for name in names:
        if name in context.tables.proxies and context.tables.proxies[name].is_unused:
            rights.unused_here(context, name)


def went(context: Context, name: PortName, proxy: Proxy, header: Header) -> None:
    """A message of a proxy's queue has been sent on."""
    if proxy.kind is RightKind.SEND:
        proxy.under_way += 1
        done(context, name, proxy, header)


def done(context: Context, name: PortName, proxy: Proxy, header: Header) -> None:
    """No message of a proxy's queue is in hand any more: the next may come."""
    rights.regulate(context, name, proxy)
    if proxy.is_unused:
        rights.unused_here(context, name)
    while proxy.flushes and proxy.flushes[0][0] <= header.seqno + 1:
        context.say(proxy.node, proxy.flushes.pop(0)[1]._replace(number=proxy.number))
