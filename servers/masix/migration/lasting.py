"""Receive rights that go to another node, and come back where they do not get there.

A send right to each is kept, so that it has the same name when it is back, and its holder's end is to be told. Only where the
other node has a port for it already, and the two lose each other before it is whole there, nobody has it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from machemu.abi.errors import KernError
from machemu.abi.message import MOVE_SEND_ONCE
from machemu.abi.port import RIGHT_DEAD_NAME, TYPE_DEAD_NAME, TYPE_RECEIVE, TYPE_SEND
from machemu.mig.interfaces.mach_port import MACH_PORT_MOD_REFS, MACH_PORT_TYPE
from machemu.mig.interfaces.notify import MACH_NOTIFY_PORT_DESTROYED
from machemu.sim.state import PortName, Receive
from machemu.user.mach import Mach
from machemu.user.message import NULL_NAME, UNNAMED, living


def type_of(mach: Mach, name: PortName) -> int:
    """TYPE_ bits; 0 for a name of nothing."""
    try:
        (kind,) = mach.call(MACH_PORT_TYPE, mach.task_self(), name)
    except KernError:
        return 0
    return int(kind)


def lend(mach: Mach, names: Iterable[PortName], notices: Receive) -> list[PortName]:
    """The names to send, null for a right that is not here: one that went before, and has not come back."""
    given = []
    for name in names:
        kind = type_of(mach, name)
        if kind & TYPE_RECEIVE and not kind & TYPE_SEND:
            mach.make_send(name)
        given.append(name if kind & TYPE_RECEIVE else NULL_NAME)
    mach.notify_all(MACH_NOTIFY_PORT_DESTROYED.request.id, [(name, 0, notices) for name in given if name])
    return given


def end(mach: Mach, names: Iterable[PortName]) -> None:
    """Gives up what is here of rights that were lent, or were not: they have arrived, or nobody needs them."""
    for name in names:
        kind = type_of(mach, name)
        if kind & TYPE_RECEIVE:
            mach.destroy_receive(name)
        if kind & (TYPE_SEND | TYPE_DEAD_NAME):
            mach.deallocate(name)


def arrived(mach: Mach, rights: Sequence[Any]) -> None:
    """Receive rights have come: who lent them is to hear no more of them."""
    asked = [(name, 0, NULL_NAME) for name in map(living, rights) if name]
    before = mach.exchange_requests(MACH_NOTIFY_PORT_DESTROYED.request.id, asked) if asked else []
    mach.give_up((living(each), MOVE_SEND_ONCE) for each in before)


def another(mach: Mach, name: PortName) -> PortName:
    """One more user reference of a send right or a dead name, to be moved away; what is no right stays none."""
    if name in UNNAMED:
        return name
    try:
        return mach.copy_send(name)
    except KernError:
        mach.call(MACH_PORT_MOD_REFS, mach.task_self(), name, RIGHT_DEAD_NAME, 1)
        return name
