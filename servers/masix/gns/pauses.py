"""Loss prevention: nobody sends to the ports of a task that is about to move, until it is told where they are.

Whoever moves the task asks for it, and waits until all nodes that know its ports have paused: then nothing is under way to them.
For ports that stay the pause ends with the right that it gets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import KERN_NO_ACCESS
from machemu.abi.message import MOVE_SEND
from machemu.mig.interfaces.mach_migrate import MACH_PORT_GET_SENDERS
from machemu.mig.interfaces.notify import MACH_NOTIFY_NO_SENDERS
from machemu.sim.state import U16, U31, PortName, Receive, state
from machemu.user.kit import Part, notified
from machemu.user.mach import Mach
from machemu.user.message import NO_CALLER, Caller, Message, living, name_of
from machemu.user.notifications import NoSenders
from masix.gns import rights
from masix.gns.context import Context
from masix.gns.ports import EVERYBODY, PortTables, Way
from masix.gns.wire import Pause, Paused
from masix.interfaces import gns

PORTS_MAX: Final = 6000
"""Ports of one pause; what is sent to others is recovered."""


@state
class Interval:
    """A pause. numbers: of the ports. nodes: those that have not paused yet. caller: who waits for them, NO_CALLER afterwards."""

    __slots__ = ("caller", "nodes", "numbers", "token")
    caller: Caller
    nodes: dict[U16, None]
    numbers: tuple[U31, ...]
    token: U31

    def __init__(self, caller: Caller, token: int, numbers: Iterable[int], nodes: Iterable[int]) -> None:
        self.caller = caller
        self.token = token
        self.numbers = tuple(numbers)
        self.nodes = dict.fromkeys(nodes)


@state
class Pauses(Part):
    """The pauses of a network server's ports, by the ports whose last right ends them."""

    __slots__ = ("intervals",)
    intervals: dict[Receive, Interval]

    def __init__(self) -> None:
        self.intervals = {}

    def begin(self, context: Context, request: Message, tasks: Sequence[Any], privilege: Any) -> tuple[Any, ...] | None:
        """gns_pause."""
        mach, tables = context.mach, context.tables
        if privilege != mach.given("host-port"):
            raise KernError(KERN_NO_ACCESS)
        numbers = _known(context, filter(None, map(living, tasks))) if tables.way is Way.PREVENTION else []
        mach.give_up((name_of(right), MOVE_SEND) for right in (privilege, *filter(living, tasks)))
        nodes = {node for number in numbers for node in tables.exports[number].given} - {EVERYBODY}
        if not nodes:
            return (None,)
        port = context.new_port()
        self.intervals[port] = Interval(request.caller, tables.next(), numbers, sorted(nodes))
        self._tell(context, self.intervals[port], waits=True)
        return None

    @staticmethod
    def _tell(context: Context, interval: Interval, waits: bool) -> None:
        """Tells each node of those of the ports which it knows and which are here."""
        tables = context.tables
        here = {number: export for number in interval.numbers if (export := tables.exports.get(number)) is not None}
        here = {number: export for number, export in here.items() if not tables.is_elsewhere(export.name)}
        for node in sorted({node for export in here.values() for node in export.given} - {EVERYBODY}):
            its = tuple(number for number, export in here.items() if node in export.given)
            context.say(node, Pause(interval.token if waits else 0, waits, its))

    def paused(self, context: Context, node: int, token: int) -> None:
        """A node has paused, or is lost (token 0: for all)."""
        for port, interval in self.intervals.items():
            if token in (0, interval.token) and node in interval.nodes:
                del interval.nodes[node]
                if not interval.nodes:
                    self._is_quiet(context.mach, port, interval)

    @staticmethod
    def _is_quiet(mach: Mach, port: PortName, interval: Interval) -> None:
        right = mach.make_send(port)
        mach.notify(port, MACH_NOTIFY_NO_SENDERS.request.id, port, 1)
        caller, interval.caller = interval.caller, NO_CALLER
        mach.answer(caller, gns.GNS_PAUSE, 0, (right,))

    @notified(NoSenders, at="intervals")
    def _ends(self, context: Context, notice: NoSenders) -> None:
        self._tell(context, self.intervals.pop(notice.port), waits=False)
        context.mach.destroy_receive(notice.port)


def _known(context: Context, tasks: Iterable[PortName]) -> list[int]:
    """The numbers of the tasks' ports that other nodes know."""
    mach, tables = context.mach, context.tables
    numbers: list[int] = []
    for task in tasks:
        with suppress(KernError):  # it has ended
            names = list(map(name_of, mach.call(MACH_PORT_GET_SENDERS, task)[0]))
            numbers += [tables.numbers[name] for name in names if name in tables.numbers and not tables.is_elsewhere(name)]
            mach.give_up((name, MOVE_SEND) for name in names)
    return numbers[:PORTS_MAX]


def pause(context: Context, node: int, payload: Pause) -> None:
    """Ports of another node are about to move, or stay after all."""
    tables: PortTables = context.tables
    for number in payload.numbers:
        for name, proxy in tables.proxies_for(node, number):
            if (proxy.node, proxy.number) == (node, number):
                proxy.is_paused = payload.waits
                rights.regulate(context, name, proxy)
    if payload.token:
        context.say(node, Paused(payload.token))
