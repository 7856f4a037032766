"""Programs that know the source of the Masix servers and turn that against them, and what they are told."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.message import (
    COPY_SEND,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND,
    MSG_TYPE_BYTE,
    CarriedMemory,
    CarriedPort,
    CarriedPorts,
    TypeDescriptor,
)
from machemu.mig.interfaces.mach import TASK_TERMINATE
from machemu.mig.interfaces.mach_port import MACH_PORT_SET_QLIMIT
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS
from machemu.mig.interfaces.succession import SUCCESSION_BEGIN
from machemu.mig.runtime import PolyPort, Routine
from machemu.sim.state import state
from machemu.user.mach import Mach, rights
from machemu.user.message import Header, Message
from masix.acs.server import NAMES_OF_ONE
from masix.interfaces import acs, acs_client, gns, gns_protocol, netname, udp
from tests.support.clients import CALL, MS, NETNAME_SIZE, REPLY_ID, Client

LONG: Final = "IHHII"
FIRST_MS: Final = 200
VICTIM: Final = b"bank"


@state
class Attacker(Client):
    """Makes one attempt, by its name, once it has rights to the victim, to the network server and to its own service. codes: how
    its requests were answered. came: ids of whatever else came."""

    __slots__ = ("attempt", "came", "codes", "gns", "mine", "registration", "round", "victim")

    def __init__(self, node: int, attempt: str) -> None:
        super().__init__(node)
        self.attempt = attempt
        self.codes: list[int] = []
        self.came: list[int] = []
        self.gns = self.mine = self.registration = self.victim = self.round = 0

    def begin(self, mach: Mach) -> None:
        mach.alarm(FIRST_MS * MS)

    def expired(self, mach: Mach) -> None:
        self.round += 1
        if self.round == 1:
            for name in (VICTIM, b"gns"):
                self.ask(mach, acs.ACS_LOOK_UP, name)
            self.ask(mach, acs.ACS_REGISTER, b"mine", 0, copied(self.port))
        elif self.round == 2:
            ATTEMPTS[self.attempt](self, mach)
        elif self.round <= 4 and self.attempt in AGAIN:
            AGAIN[self.attempt](self, mach)
        if self.round <= 4:
            mach.alarm(mach.now() + 100 * MS)

    def receive(self, mach: Mach, message: Message) -> None:
        header, held = message.header, rights(message)
        if header.local == self.reply and self.round == 1 and held:
            if header.id == acs.ACS_REGISTER.request.id + REPLY_ID:
                self.registration = held[0][0]
            elif self.victim:
                self.gns = held[0][0]
            else:
                self.victim = held[0][0]
        elif header.local == self.reply and len(message.body) >= 8 and not message.carried:
            self.codes.append(struct.unpack_from(f"{mach.order.prefix}i", message.body, 4)[0])
        else:
            self.came.append(header.id)
            mach.destroy(message)

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        """The kernel has refused it."""

    # What attempts are made of

    def ask(self, mach: Mach, routine: Routine, *values: Any, to: int = 0, reply: int = 0) -> None:
        mach.request(routine, to or mach.given("name-server"), values, reply or self.reply)

    def send(self, mach: Mach, to: int, number: int, body: bytes = b"", carried: tuple[Any, ...] = (), **keys: int) -> None:
        """A message of any kind. reply, reply_type: its other right."""
        reply = keys.get("reply", 0)
        kind = keys.get("reply_type", MAKE_SEND_ONCE if reply else 0)
        mach.send(Message(Header(to, COPY_SEND, reply, kind, number), body, carried, bool(carried)), timeout=10)

    def carry(self, mach: Mach, to: int, right: PolyPort) -> None:
        """A message with a right in it."""
        word = TypeDescriptor(right.disposition, 32, 1).word(mach.order)
        body = struct.pack(f"{mach.order.prefix}II", word, 0)
        self.send(mach, to, 5000, body, (CarriedPort(4, right.disposition, right.port),))

    def notice(self, mach: Mach, number: int, value: int) -> None:
        """A notification as the kernel would send it, to all servers there are."""
        body = struct.pack(f"{mach.order.prefix}II", TypeDescriptor(15, 32, 1).word(mach.order), value)
        for to in self.servers(mach):
            self.send(mach, to, number, body)

    def servers(self, mach: Mach) -> tuple[int, ...]:
        return mach.given("name-server"), self.gns, self.victim


def copied(right: int) -> PolyPort:
    return PolyPort(right, COPY_SEND)


def padded(name: bytes) -> bytes:
    return name.ljust(NETNAME_SIZE, b"\0")


Attempt = Callable[[Attacker, Mach], None]
ATTEMPTS: Final[dict[str, Attempt]] = {}
"""By what each tries. A cluster of servers and their clients goes on as before, whichever is made."""
AGAIN: Final[dict[str, Attempt]] = {}
"""What some go on with."""


def attempt(name: str) -> Callable[[Attempt], Attempt]:
    def mark(function: Attempt) -> Attempt:
        ATTEMPTS[name] = function
        return function

    return mark


def _with_right(name: str, routine: Routine, right: Callable[[Attacker, Mach], Any], *more: Callable[[Attacker], Any]) -> None:
    """An attempt to take the victim's name away, or to replace it, by a right that is not its registration."""

    def do(self: Attacker, mach: Mach) -> None:
        self.ask(mach, routine, VICTIM, right(self, mach), *(each(self) for each in more))

    ATTEMPTS[name] = do


def _dead(self: Attacker, mach: Mach) -> PolyPort:
    port = mach.make_send(mach.allocate_port())
    mach.destroy_receive(port)
    return copied(port)


KEYS: Final[dict[str, Callable[[Attacker, Mach], Any]]] = {
    "the service's own right": lambda self, mach: copied(self.victim),
    "no right": lambda self, mach: PolyPort(0, COPY_SEND),
    "a dead name": _dead,
    "another name's registration": lambda self, mach: copied(self.registration),
    "the name server's port": lambda self, mach: copied(mach.given("name-server")),
    "a port of its own": lambda self, mach: PolyPort(mach.allocate_port(), MAKE_SEND),
}
for what, key in KEYS.items():
    _with_right(f"unregisters by {what}", acs.ACS_UNREGISTER, key)
    _with_right(f"replaces by {what}", acs.ACS_REPLACE, key, lambda self: copied(self.port))


def _check_in(self: Attacker, mach: Mach, name: bytes, signature: Any) -> None:
    self.ask(mach, netname.NETNAME_CHECK_IN, padded(name), signature, copied(self.port))


@attempt("checks in over a registered name")
def _over(self: Attacker, mach: Mach) -> None:
    for signature in (0, self.victim, self.registration):
        _check_in(self, mach, VICTIM, copied(signature))


@attempt("checks in under generic servers' names, with bytes behind them")
def _generic(self: Attacker, mach: Mach) -> None:
    for name in (b"gns", b"gns\0x", b"acs\0", b"gps", b"gfs", b"gms", b"udp"):
        _check_in(self, mach, name, copied(self.port))


@attempt("checks out generic servers and the service")
def _out(self: Attacker, mach: Mach) -> None:
    for name in (b"gns", b"gns\0x", VICTIM):
        for signature in (0, self.victim, self.gns, mach.given("name-server")):
            self.ask(mach, netname.NETNAME_CHECK_OUT, padded(name), copied(signature))


@attempt("registers essential services and generic servers")
def _essential(self: Attacker, mach: Mach) -> None:
    for name, essential in ((b"heart", 1), (b"heart", -1), (b"gns", 0), (b"gps", 0), (b"udp", 0), (b"acs", 1)):
        self.ask(mach, acs.ACS_REGISTER, name, essential, copied(self.port))


@attempt("registers the name again, and ends with it")
def _again(self: Attacker, mach: Mach) -> None:
    self.ask(mach, acs.ACS_REGISTER, VICTIM, 0, copied(self.port))
    self.ask(mach, acs.ACS_REGISTER, VICTIM + b"\0", 0, copied(self.port))
    mach.request(TASK_TERMINATE, mach.task_self(), ())


@attempt("registers the servers' own ports, and takes that back")
def _their_ports(self: Attacker, mach: Mach) -> None:
    for number, port in enumerate(self.servers(mach)):
        for turn in range(3):
            _check_in(self, mach, b"x%d%d" % (number, turn), PolyPort(0, COPY_SEND))
            self.ask(mach, netname.NETNAME_CHECK_IN, padded(b"x%d" % number), PolyPort(0, COPY_SEND), copied(port))
            self.ask(mach, netname.NETNAME_CHECK_OUT, padded(b"x%d" % number), PolyPort(0, COPY_SEND))


@attempt("registers its registration, and ends that")
def _circular(self: Attacker, mach: Mach) -> None:
    self.ask(mach, acs.ACS_REGISTER, b"loop", 0, copied(self.registration))
    self.ask(mach, acs.ACS_UNREGISTER, b"mine", copied(self.registration))
    self.ask(mach, acs.ACS_LOOK_UP, b"loop")


@attempt("signs with the service's own right, and replaces it by itself")
def _signed(self: Attacker, mach: Mach) -> None:
    for _ in range(3):
        self.ask(mach, netname.NETNAME_CHECK_IN, padded(b"s"), copied(self.victim), copied(self.victim))
    self.ask(mach, netname.NETNAME_CHECK_OUT, padded(b"s"), copied(self.victim))


@attempt("watches with the servers' own ports")
def _watch_them(self: Attacker, mach: Mach) -> None:
    for port in self.servers(mach):
        mach.request(acs.ACS_WATCH, mach.given("name-server"), (copied(port),))
    self.ask(mach, acs.ACS_UNREGISTER, b"mine", copied(self.registration))


@attempt("takes all places of watchers and hears nothing")
def _deaf(self: Attacker, mach: Mach) -> None:
    for _ in range(20):
        port = mach.allocate_port()
        mach.call(MACH_PORT_SET_QLIMIT, mach.task_self(), port, 0)
        mach.request(acs.ACS_WATCH, mach.given("name-server"), (PolyPort(port, MAKE_SEND),))
    self.ask(mach, acs.ACS_UNREGISTER, b"mine", copied(self.registration))


@attempt("forges the kernel's notifications")
def _forged(self: Attacker, mach: Mach) -> None:
    for number in range(64, 73):
        for value in (0, 1, 5, 8, 9, 0xFFFFFFFF):
            self.notice(mach, number, value)


@attempt("forges notifications by the right to answer a question")
def _forged_by_answer(self: Attacker, mach: Mach) -> None:
    self.send(mach, self.victim, CALL, reply=self.port, reply_type=MAKE_SEND)
    for number in (MACH_NOTIFY_DEAD_NAME.request.id, MACH_NOTIFY_NO_SENDERS.request.id):
        body = struct.pack(f"{mach.order.prefix}II", TypeDescriptor(15, 32, 1).word(mach.order), 5)
        self.send(mach, self.victim, number, body, reply=self.port)


@attempt("forges the loader's word that a server has a successor")
def _succession(self: Attacker, mach: Mach) -> None:
    for to in self.servers(mach):
        self.ask(mach, SUCCESSION_BEGIN, copied(self.port), to=to)


@attempt("forges answers of servers")
def _answers(self: Attacker, mach: Mach) -> None:
    for interface in (acs, gns, netname, gns_protocol, acs_client):
        for routine in interface.ROUTINES.values():
            for to in self.servers(mach):
                body = struct.pack(f"{mach.order.prefix}Ii", TypeDescriptor(2, 32, 1).word(mach.order), 0)
                self.send(mach, to, routine.request.id + REPLY_ID, body)


@attempt("tells the network server of names as the name server does")
def _names(self: Attacker, mach: Mach) -> None:
    self.ask(mach, acs_client.ACS_NAME_LEFT, VICTIM, to=self.gns)
    self.ask(mach, acs_client.ACS_NAME_ENTERED, VICTIM, copied(self.port), to=self.gns)


@attempt("tells servers to save and end")
def _end(self: Attacker, mach: Mach) -> None:
    for to in self.servers(mach):
        self.ask(mach, acs_client.ACS_SAVE_AND_END, to=to)


@attempt("has servers answer each other")
def _reflect(self: Attacker, mach: Mach) -> None:
    for to in self.servers(mach):
        for back in self.servers(mach):
            for number in (5001, 5100, 5101, 5150, 5152, 5200, 71, 72):
                self.send(mach, to, number, reply=back, reply_type=COPY_SEND)


@attempt("wants answers at a port whose queue is full")
def _full(self: Attacker, mach: Mach) -> None:
    port = mach.make_send(mach.allocate_port())
    mach.call(MACH_PORT_SET_QLIMIT, mach.task_self(), port, 0)
    for to in self.servers(mach)[:2]:
        for number in (5001, 5003, 5200):
            self.send(mach, to, number, reply=port, reply_type=COPY_SEND)


@attempt("sends names that are none")
def _bad_names(self: Attacker, mach: Mach) -> None:
    for name in (b"", b"\xff" * 79, b"\x1b[2J", b"x" * 79, b"a\nb"):
        self.ask(mach, acs.ACS_REGISTER, name, 0, copied(self.port))
        self.ask(mach, acs.ACS_LOOK_UP, name)
        self.ask(mach, gns.GNS_RESOLVE_AT, name, name, to=self.gns)
    for host in (b"x" * 80, b"\xff" * 80):
        self.ask(mach, netname.NETNAME_LOOK_UP, host, b"y" * 80)


@attempt("sends requests that are cut or too long")
def _cut(self: Attacker, mach: Mach) -> None:
    for to in self.servers(mach):
        for number in (*range(5000, 5008), *range(5200, 5206), 5250, 5252, 5254):
            for size in (0, 4, 84, 4096):
                self.send(mach, to, number, bytes(size), reply=self.reply)


@attempt("sends a message of half a megabyte in line")
def _inline(self: Attacker, mach: Mach) -> None:
    for to in self.servers(mach):
        self.send(mach, to, 5001, bytes(512 << 10), reply=self.reply)


@attempt("sends a megabyte of memory where a name belongs")
def _memory(self: Attacker, mach: Mach) -> None:
    size = 1 << 20
    word = TypeDescriptor(0, 0, 0, False, True).word(mach.order)
    body = struct.pack(f"{mach.order.prefix}{LONG}", word, MSG_TYPE_BYTE, 8, size, 0)
    for to in (*self.servers(mach), self.port):
        self.send(mach, to, 5001, body, (CarriedMemory(len(body) - 4, size, bytes(size)),), reply=self.reply)


@attempt("sends thousands of rights at once")
def _many(self: Attacker, mach: Mach) -> None:
    names = (self.port,) * 3000
    word = TypeDescriptor(0, 0, 0, False, True).word(mach.order)
    body = struct.pack(f"{mach.order.prefix}{LONG}", word, MAKE_SEND, 32, len(names), 0)
    for to in self.servers(mach):
        self.send(mach, to, 5001, body, (CarriedPorts(len(body) - 4, MAKE_SEND, names),), reply=self.reply)


@attempt("sends receive rights whose queues hold rights to the servers")
def _wells(self: Attacker, mach: Mach) -> None:
    for to in self.servers(mach):
        well = mach.make_send(mach.allocate_port())
        for _ in range(5):
            self.carry(mach, well, copied(to))
        self.carry(mach, to, PolyPort(well, MOVE_RECEIVE))


@attempt("registers a service and dies while it is asked")
def _dies(self: Attacker, mach: Mach) -> None:
    for _ in range(20):
        self.ask(mach, acs.ACS_LOOK_UP, b"nowhere%d" % self.round)
        self.ask(mach, gns.GNS_RESOLVE, b"nowhere", to=self.gns)
    mach.request(TASK_TERMINATE, mach.task_self(), ())


@attempt("asks for a thousand names at once")
def _thousand(self: Attacker, mach: Mach) -> None:
    for number in range(1000):
        self.ask(mach, acs.ACS_LOOK_UP, b"n%d" % number)


@attempt("asks the network server for a thousand names at once")
def _thousand_of_it(self: Attacker, mach: Mach) -> None:
    for number in range(1000):
        self.ask(mach, gns.GNS_RESOLVE, b"n%d" % number, to=self.gns)


@attempt("registers names until it gets no more")
def _hoard(self: Attacker, mach: Mach) -> None:
    for number in range(NAMES_OF_ONE + 50):
        self.ask(mach, acs.ACS_REGISTER, b"h%d" % number, 0, copied(self.port))


@attempt("registers protocols without the device's port")
def _protocols(self: Attacker, mach: Mach) -> None:
    for privilege in (0, self.port, self.gns, mach.given("name-server"), self.victim):
        values = b"evil", 0x9000, 0, copied(self.port), copied(privilege)
        self.ask(mach, gns_protocol.GNS_PROTOCOL_REGISTER, *values, to=self.gns)


@attempt("writes frames as if it had a connection")
def _frames(self: Attacker, mach: Mach) -> None:
    for to in self.servers(mach):
        self.ask(mach, gns_protocol.GNS_CONNECTION_CLOSE, to=to)
        self.ask(mach, gns_protocol.GNS_PROTOCOL_UNREGISTER, to=to)
        mach.request(gns_protocol.GNS_CONNECTION_WRITE, to, (bytes(60),))


@attempt("asks the network server what is the datagram server's")
def _datagrams(self: Attacker, mach: Mach) -> None:
    for to in self.servers(mach):
        for routine in udp.ROUTINES.values():
            self.send(mach, to, routine.request.id, bytes(32), reply=self.reply)


@attempt("registers, finds and watches names that are the servers' own")
def _closed(self: Attacker, mach: Mach) -> None:
    for name in (b".process@a", b".process@b", b".migration@b", b".x"):
        self.ask(mach, acs.ACS_REGISTER, name, 0, copied(self.port))
        self.ask(mach, netname.NETNAME_CHECK_IN, padded(name), None, copied(self.port))
        self.ask(mach, acs.ACS_LOOK_UP, name)
        self.ask(mach, netname.NETNAME_LOOK_UP, padded(b"b"), padded(name))


@attempt("asks the node for its own name by way of the network")
def _own(self: Attacker, mach: Mach) -> None:
    for host in (b"a", b"b", b"", b"*", b"a\0b"):
        self.ask(mach, netname.NETNAME_LOOK_UP, padded(host), padded(b"mine"))
        self.ask(mach, gns.GNS_RESOLVE_AT, host, b"acs", to=self.gns)


@attempt("names itself as the service of another node")
def _shadow(self: Attacker, mach: Mach) -> None:
    """Node b finds the nearest: its own node has no such name, so that both answer, if this one may answer, too."""
    for name in (VICTIM + b" ", b" " + VICTIM, VICTIM.upper(), VICTIM + b"\x01"):
        self.ask(mach, acs.ACS_REGISTER, name, 0, copied(self.port))


@attempt("sends a port set's name and names that it does not have")
def _no_rights(self: Attacker, mach: Mach) -> None:
    ports = mach.allocate_port_set()
    for name in (ports, 0x7777, 0xFFFFFFFE, 0):
        for kind in (COPY_SEND, MOVE_SEND, MAKE_SEND, MOVE_RECEIVE):
            for to in self.servers(mach):
                self.carry(mach, to, PolyPort(name, kind))


@attempt("gives its rights to the servers away until none is left")
def _gives_away(self: Attacker, mach: Mach) -> None:
    for to in self.servers(mach):
        for _ in range(50):
            self.carry(mach, self.victim, copied(to))
    for to in (self.gns, self.victim):
        try:
            while True:
                mach.deallocate(to)
        except KernError:
            continue


@attempt("calls as fast as it can")
def _flood(self: Attacker, mach: Mach) -> None:
    for _ in range(300):
        self.send(mach, self.victim, CALL, reply=self.reply)
        self.ask(mach, acs.ACS_LOOK_UP, VICTIM)


AGAIN["calls as fast as it can"] = _flood
AGAIN["asks for a thousand names at once"] = _thousand
