"""The administration and configuration server of a node: services by name, and the end of the node when an essential one dies.

As the Masix paper has it: started first, reached by a port that every task has. Where a name is not this node's own it asks the
generic network server, which watches it as a privileged one. Programs written for CMU's net name server find its interface too.

A right to a service gives its use. Its name is taken away by whoever has the registration, a right that the name server made; of
a netname by whoever has the signature. Essential services and generic servers' names are for those to whom the loader gave a
right to the port for privileged servers. So are names that begin with a dot: they alone register and find those.

A message does not name its sender. The loader gives each task that it starts a port of this server's of its own, a client's: what
comes there counts as that client's, and what it makes this server keep has limits.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from machemu.abi.errors import KernError
from machemu.abi.kern_return import (
    KERN_INVALID_NAME,
    KERN_INVALID_RIGHT,
    KERN_INVALID_VALUE,
    KERN_NAME_EXISTS,
    KERN_NO_ACCESS,
    KERN_RESOURCE_SHORTAGE,
)
from machemu.abi.message import COPY_SEND, MACH_MSG_SUCCESS
from machemu.mig.interfaces.mach_host import HOST_REBOOT
from machemu.mig.interfaces.name_server import NAME_SERVER_CLIENT
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME, MACH_NOTIFY_NO_SENDERS
from machemu.mig.runtime import PolyPort
from machemu.sim.state import U32, PortName, Receive, Right, state
from machemu.user.kit import Answer, HostServer, Legacy, answered, notified, serves
from machemu.user.mach import Mach
from machemu.user.message import DEAD_NAME, Caller, Message, living
from machemu.user.notifications import DeadName, MsgAccepted, NoSenders
from masix.acs import estate
from masix.acs.names import PRIVILEGED, Entry, Watcher, flags_of
from masix.interfaces import acs, acs_client, gns, netname

ANY: Final = b"*"
"""netname's name for all hosts."""
GENERIC: Final = (b"acs", b"gns", b"gps", b"gfs", b"gms", b"udp")
"""Names of generic servers: administration, network, processes, files, memory, datagrams."""
CLOSED: Final = b"."
"""What names begin with that only privileged servers see."""
NAMES_MAX: Final = 2048
"""Names that are there at once; the last places are for generic servers."""
LOOK_UPS_MAX: Final = 64
"""Look-ups that wait for the network server."""
NAMES_OF_ONE: Final = 256
LOOK_UPS_OF_ONE: Final = 16
WATCHERS_OF_ONE: Final = 2
"""And those of one client."""
VERSION: Final = b"Masix network name server 1"
NAME_NOT_YOURS: Final = 1000
NOT_CHECKED_IN: Final = 1001
"""NETNAME_NOT_YOURS and NETNAME_NOT_CHECKED_IN of CMU's <servers/netname_defs.h>."""
NAME_TAKEN: Final = KERN_NAME_EXISTS
NO_SUCH_NAME: Final = KERN_INVALID_NAME
NOT_THE_SAME: Final = KERN_INVALID_RIGHT
NOT_ALLOWED: Final = KERN_NO_ACCESS
BAD_VALUE: Final = KERN_INVALID_VALUE
SAVE_NS: Final = 2_000_000_000
"""How long the other servers have to save when an essential one has died."""
NO_ROOM: Final = KERN_RESOURCE_SHORTAGE
NAME_MAX: Final = 79
"""Bytes of an acs_name_t; netname's names may have one more, and no other node hears of such."""
WATCHERS_MAX: Final = 8
"""And one more for privileged servers: clients could watch with each other's ports, which stay when they end."""


@state
class Acs(HostServer):
    """The name server."""

    __slots__ = ("clients", "entries", "last", "privilege", "saving", "watchers")
    name_server = True
    comes_back = True
    clients: dict[Receive, U32]
    entries: dict[bytes, Entry]
    last: U32
    privilege: Receive
    saving: int | None
    watchers: dict[Right, Watcher]

    def __init__(self) -> None:
        super().__init__()
        self.clients = {}
        """Their numbers, by their ports. What has no port of its own comes to the service's: client 0."""
        self.last = 0
        """The last client's number."""
        self.entries = {}
        """By name."""
        self.privilege = 0
        """The port for privileged servers."""
        self.watchers = {}
        """By their ports."""
        self.saving = None
        """How many servers have still to answer that they have saved; None while no essential one has died."""

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.clients = {self.service: 0}
        self.privilege = mach.given("privileged")
        mach.move_member(self.privilege, self.ports)

    def may_leave(self, mach: Mach) -> bool:
        return self.saving is None

    def legacy(self, mach: Mach) -> Legacy:
        """The port for privileged servers, the clients' and the registrations; the services, signatures and watchers; and the
        names."""
        entries = list(self.entries.values())
        del self.clients[self.service]
        receives = [self.privilege, *self.clients, *(entry.registration for entry in entries if entry.registration)]
        sends = [right for entry in entries for right in (entry.port, entry.signature) if right]
        there = [estate.Name(name, entry.client, flags_of(entry)) for name, entry in self.entries.items()]
        watchers = [estate.Watching(each.client, (*each.told,), (*each.waiting,)) for each in self.watchers.values()]
        heard = dict.fromkeys(name for each in watchers for name in (*each.told, *each.waiting))
        gone = [estate.Name(name, PRIVILEGED, 0) for name in heard if name not in self.entries]
        left = estate.Estate(self.last, (*self.clients.values(),), (*there, *gone), (*watchers,))
        sends += self.watchers
        mach.take("privileged", 0)
        self.privilege = 0
        self.clients, self.entries, self.watchers = {}, {}, {}
        return Legacy(tuple(receives), tuple(sends), estate.pack(left))

    def accepts(self, legacy: Legacy) -> bool:
        return estate.is_whole(legacy)

    def inherit(self, mach: Mach, legacy: Legacy) -> None:
        receives, sends = iter(legacy.receives), iter(legacy.sends)
        left = estate.unpack(legacy.data)
        self.last = left.last
        self.privilege = next(receives)
        mach.take("privileged", self.privilege)
        mach.move_member(self.privilege, self.ports)
        self.clients = {self.service: 0} | {next(receives): number for number in left.clients}
        for port in self.clients:
            mach.move_member(port, self.ports)
        for name, client, flags in (name for name in left.names if name.flags):
            port = next(sends)
            signature = next(sends) if flags & estate.SIGNED else 0
            registration = next(receives) if flags & estate.REGISTERED else 0
            self._see_end_of(mach, port)
            self.entries[name] = Entry(port, client, bool(flags & estate.ESSENTIAL), registration, signature)
        for client, told, waiting in left.watchers:
            port = next(sends)
            if port != DEAD_NAME:
                self._see_end_of(mach, port)
                self.watchers[port] = watcher = Watcher(client, dict.fromkeys(waiting))
                watcher.told = dict.fromkeys(told)
        self._lose(mach, DEAD_NAME)
        for port in self.watchers:
            self._speak(mach, port)

    def expired(self, mach: Mach) -> None:
        if self.saving is not None:
            self._reboot(mach)

    def sent(self, mach: Mach, message: Message, code: int) -> None:
        if code == MACH_MSG_SUCCESS:
            self._accepted(mach, message.header.remote)

    # Clients

    @serves(NAME_SERVER_CLIENT, at="privilege")
    def _begins(self, mach: Mach, request: Message, client: Any) -> tuple[Any, ...]:
        """A task has been started that has this port."""
        port = living(client)
        if port:
            self.last += 1
            self.clients[port] = self.last
            mach.move_member(port, self.ports)
            mach.notify(port, MACH_NOTIFY_NO_SENDERS.request.id, port)
        return ()

    @notified(NoSenders, at="clients")
    def _ends(self, mach: Mach, notice: NoSenders) -> None:
        """Nobody has a client's port any more. Its names are there as long as their ports."""
        if self.clients[notice.port]:
            del self.clients[notice.port]
            mach.destroy_receive(notice.port)

    @serves(acs.ACS_IS_CLIENT, at="clients")
    def _is_client(self, mach: Mach, request: Message, client: Any) -> tuple[Any, ...]:
        if not self.clients.get(client):
            raise KernError(NOT_THE_SAME)
        mach.deallocate(client)
        return ()

    def _client(self, request: Message) -> int | None:
        """Whose request it is."""
        return self.clients.get(request.header.local, PRIVILEGED)

    def _limit(self, client: int | None, kept: Iterable[int | None], most: int) -> None:
        """KERN_RESOURCE_SHORTAGE where a client has all that one may have of what is kept. kept: whose each is."""
        if client is not PRIVILEGED and sum(each == client for each in kept) >= most:
            raise KernError(NO_ROOM)

    # Requests

    def _enter(self, mach: Mach, name: bytes, entry: Entry) -> None:
        if name in self.entries:
            raise KernError(NAME_TAKEN)
        if len(self.entries) >= (NAMES_MAX if name in GENERIC else NAMES_MAX - len(GENERIC)):
            raise KernError(NO_ROOM)
        self._limit_names(entry.client)
        self._see_end_of(mach, entry.port)
        self.entries[name] = entry
        self._tell(mach, name)

    def _limit_names(self, client: int | None) -> None:
        self._limit(client, (entry.client for entry in self.entries.values()), NAMES_OF_ONE)

    def _see_end_of(self, mach: Mach, port: PortName) -> None:
        """Asks to be told when a port is dead, of which nothing was kept before."""
        if port != DEAD_NAME and port not in self.watchers and all(other.port != port for other in self.entries.values()):
            mach.notify(port, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)

    @serves(acs.ACS_REGISTER, at="clients")
    def _register(self, mach: Mach, request: Message, name: bytes, essential: int, service: Any) -> tuple[Any, ...]:
        if essential or _is_reserved(name):
            raise KernError(NOT_ALLOWED)
        return self._register_any(mach, request, name, essential, service)

    @serves(acs.ACS_REGISTER, at="privilege")
    def _register_any(self, mach: Mach, request: Message, name: bytes, essential: int, service: Any) -> tuple[Any, ...]:
        _check(name, service)
        entry = Entry(service, self._client(request), bool(essential))
        self._enter(mach, name, entry)
        entry.registration = mach.allocate_port()
        return (mach.make_send(entry.registration),)

    @serves(netname.NETNAME_CHECK_IN, at="clients")
    def _check_in(self, mach: Mach, request: Message, name: bytes, signature: Any, port: Any) -> tuple[Any, ...]:
        """A name checked in anew by whoever has its signature stands for the new port."""
        name, client = _text(name), self._client(request)
        _check(name, port)
        old = self.entries.get(name)
        if _is_reserved(name) or (old is not None and not _is_signed(old, signature)):
            raise KernError(NAME_NOT_YOURS)
        if old is not None:
            if old.client != client:
                self._limit_names(client)
            self._forget(mach, name)
        self._enter(mach, name, Entry(port, client, signature=living(signature)))
        return ()

    @serves(acs.ACS_UNREGISTER, at="clients")
    def _unregister(self, mach: Mach, request: Message, name: bytes, registration: Any) -> tuple[Any, ...]:
        self._registered(name, registration)
        mach.deallocate(registration)
        self._forget(mach, name)
        return ()

    @serves(acs.ACS_REPLACE, at="clients")
    def _replace(self, mach: Mach, request: Message, name: bytes, registration: Any, service: Any) -> tuple[Any, ...]:
        entry = self._registered(name, registration)
        _check(name, service)
        self._see_end_of(mach, service)
        mach.deallocate(entry.port)
        entry.port = service
        mach.deallocate(registration)
        self._tell(mach, name)
        return ()

    def _registered(self, name: bytes, registration: Any) -> Entry:
        """The service of a name, for whoever has its registration."""
        entry = self.entries.get(name)
        if entry is None:
            raise KernError(NO_SUCH_NAME)
        if not living(registration) or entry.registration != registration:
            raise KernError(NOT_THE_SAME)
        return entry

    @serves(netname.NETNAME_CHECK_OUT, at="clients")
    def _check_out(self, mach: Mach, request: Message, name: bytes, signature: Any) -> tuple[Any, ...]:
        name = _text(name)
        entry = self.entries.get(name)
        if entry is None:
            raise KernError(NOT_CHECKED_IN)
        if not _is_signed(entry, signature):
            raise KernError(NAME_NOT_YOURS)
        self._forget(mach, name)
        if living(signature):
            mach.deallocate(signature)
        return ()

    def _forget(self, mach: Mach, name: bytes) -> None:
        entry = self.entries.pop(name)
        for right in (entry.port, entry.signature):
            if right not in (0, DEAD_NAME):
                mach.deallocate(right)
        if entry.registration:
            mach.destroy_receive(entry.registration)
        self._tell(mach, name)

    @serves(netname.NETNAME_VERSION, at="clients")
    def _version(self, mach: Mach, request: Message) -> tuple[Any, ...]:
        return (VERSION.ljust(80, b"\0"),)

    @serves(acs.ACS_LOOK_UP_HERE, at="clients")
    def _look_up_here(self, mach: Mach, request: Message, name: bytes) -> tuple[Any, ...]:
        _see_open(name)
        return self._look_up_any_here(mach, request, name)

    @serves(acs.ACS_LOOK_UP_HERE, at="privilege")
    def _look_up_any_here(self, mach: Mach, request: Message, name: bytes) -> tuple[Any, ...]:
        entry = self.entries.get(name)
        if entry is None:
            raise KernError(NO_SUCH_NAME)
        return (mach.copy_send(entry.port),)

    @serves(acs.ACS_LOOK_UP, at="clients")
    def _look_up(self, mach: Mach, request: Message, name: bytes) -> tuple[Any, ...] | None:
        _see_open(name)
        return self._look_up_any(mach, request, name)

    @serves(acs.ACS_LOOK_UP, at="privilege")
    def _look_up_any(self, mach: Mach, request: Message, name: bytes) -> tuple[Any, ...] | None:
        if name in self.entries:
            return self._look_up_any_here(mach, request, name)
        self._ask_network(mach, request, name, False)
        return None

    @serves(netname.NETNAME_LOOK_UP, at="clients")
    def _netname_look_up(self, mach: Mach, request: Message, host: bytes, name: bytes) -> tuple[Any, ...] | None:
        """host: empty for this node, `*` for any node of the network, this one first; else the node of that name."""
        name, host = _text(name), _text(host)
        _see_open(name)
        if name in self.entries and host in (b"", ANY):
            return self._look_up_here(mach, request, name)
        if not host:
            raise KernError(NOT_CHECKED_IN)
        self._ask_network(mach, request, name, True, b"" if host == ANY else host)
        return None

    def _ask_network(self, mach: Mach, request: Message, name: bytes, is_netname: bool, host: bytes = b"") -> None:
        network = next((port for port, each in self.watchers.items() if each.client is PRIVILEGED), 0)
        if not network or len(name) > NAME_MAX or len(host) > NAME_MAX:
            raise KernError(NOT_CHECKED_IN if is_netname else NO_SUCH_NAME)
        if len(self.questions) >= LOOK_UPS_MAX:
            raise KernError(NO_ROOM)
        client = self._client(request)
        self._limit(client, (each for question in self.questions.values() for each in question.about[-1:]), LOOK_UPS_OF_ONE)
        mach.note(f"acs: step 2: {name.decode('latin-1')} is not of this node: asks the network server")
        if host:
            self.ask(mach, self._resolved_at, network, (host, name), request.caller, client)
        else:
            self.ask(mach, self._resolved, network, (name,), request.caller, is_netname, client)

    @answered(gns.GNS_RESOLVE_AT)
    def _resolved_at(self, mach: Mach, answer: Answer, caller: Caller, client: U32 | None) -> None:
        self._resolved(mach, answer, caller, True, client)

    @answered(gns.GNS_RESOLVE)
    def _resolved(self, mach: Mach, answer: Answer, caller: Caller, is_netname: bool, client: U32 | None) -> None:
        """The network server's answer: the client's."""
        if answer.code:
            mach.answer(caller, None, NOT_CHECKED_IN if is_netname else answer.code)
            return
        mach.note("acs: step 6: hands the proxy port to the client")
        mach.answer(caller, netname.NETNAME_LOOK_UP if is_netname else acs.ACS_LOOK_UP, 0, answer.results)

    # Watchers: each is told one thing at a time, what holds by then, and waits while its queue is full

    @serves(acs.ACS_WATCH, at="clients")
    def _watch(self, mach: Mach, request: Message, watcher: Any) -> tuple[Any, ...]:
        self._limit(self._client(request), (each.client for each in self.watchers.values()), WATCHERS_OF_ONE)
        return self._watch_any(mach, request, watcher, WATCHERS_MAX)

    @serves(acs.ACS_WATCH, at="privilege")
    def _watch_any(self, mach: Mach, request: Message, watcher: Any, places: int = WATCHERS_MAX + 1) -> tuple[Any, ...]:
        if not living(watcher):
            raise KernError(BAD_VALUE)
        if watcher in self.watchers or len(self.watchers) >= places:
            raise KernError(NO_ROOM)
        self._see_end_of(mach, watcher)
        client = self._client(request)
        self.watchers[watcher] = Watcher(client, dict.fromkeys(name for name in self.entries if _hears(client, name)))
        self._speak(mach, watcher)
        return ()

    def _tell(self, mach: Mach, name: bytes) -> None:
        for port, watcher in self.watchers.items():
            if not _hears(watcher.client, name):
                continue
            watcher.waiting.pop(name, None)
            if name in self.entries or name in watcher.told:
                watcher.waiting[name] = None
            self._speak(mach, port)

    def _speak(self, mach: Mach, port: PortName) -> None:
        watcher = self.watchers[port]
        if watcher.busy or not watcher.waiting:
            return
        watcher.busy = True
        name = next(iter(watcher.waiting))
        del watcher.waiting[name]
        entry = self.entries.get(name)
        if entry is None:
            del watcher.told[name]
            mach.request(acs_client.ACS_NAME_LEFT, port, (name,), notify=self.notices)
        else:
            watcher.told[name] = None
            service = PolyPort(entry.port, COPY_SEND)
            mach.request(acs_client.ACS_NAME_ENTERED, port, (name, service), notify=self.notices)

    @notified(MsgAccepted)
    def _taken(self, mach: Mach, notice: MsgAccepted) -> None:
        self._accepted(mach, notice.name)

    def _accepted(self, mach: Mach, port: PortName) -> None:
        """A watcher's queue has taken the message."""
        if port in self.watchers:
            self.watchers[port].busy = False
            self._speak(mach, port)

    # The end of servers

    @notified(DeadName)
    def _died(self, mach: Mach, notice: DeadName) -> None:
        """A port is dead; so is what it was registered under, or it watches no longer."""
        name = notice.name
        if self.watchers.pop(name, None) is not None:
            mach.deallocate(name)
        self._lose(mach, name)
        mach.deallocate(name)

    def _lose(self, mach: Mach, port: PortName) -> None:
        """What was registered with a port that is dead is gone."""
        dead = [key for key, entry in self.entries.items() if entry.port == port]
        essential = any(self.entries[key].essential for key in dead)
        for key in dead:
            self._forget(mach, key)
        if essential and self.saving is None:
            self._save_all(mach)

    def _save_all(self, mach: Mach) -> None:
        ports = dict.fromkeys(entry.port for entry in self.entries.values())
        self.saving = len(ports)
        mach.note(f"acs: an essential server has died: {len(ports)} others save and end")
        for port in ports:
            mach.request(acs_client.ACS_SAVE_AND_END, port, (), self.notices, notify=self.notices)
        mach.alarm(mach.now() + (SAVE_NS if ports else 0))

    @answered(acs_client.ACS_SAVE_AND_END, at="notices")
    def _has_saved(self, mach: Mach, answer: Answer) -> None:
        if self.saving is not None:
            self.saving -= 1
            if self.saving <= 0:
                self._reboot(mach)

    def _reboot(self, mach: Mach) -> None:
        self.saving = None
        mach.call(HOST_REBOOT, mach.given("host-port"), 0)


def _check(name: bytes, service: Any) -> None:
    """Raises KERN_INVALID_VALUE for what cannot be registered."""
    if not name or not living(service):
        raise KernError(BAD_VALUE)


def _is_reserved(name: bytes) -> bool:
    """Whether only privileged servers may register under a name."""
    return name in GENERIC or name.startswith(CLOSED)


def _see_open(name: bytes) -> None:
    """Raises KERN_NO_ACCESS for a name that only privileged servers see."""
    if name.startswith(CLOSED):
        raise KernError(NOT_ALLOWED)


def _hears(client: int | None, name: bytes) -> bool:
    """Whether who watches is told of a name."""
    return len(name) <= NAME_MAX and (client is PRIVILEGED or not name.startswith(CLOSED))


def _is_signed(entry: Entry, signature: Any) -> bool:
    """Whether netname's clients may take a name away: with its signature, or without where it has none."""
    return not entry.registration and entry.signature == living(signature)


def _text(name: bytes) -> bytes:
    """netname_name_t: up to the first zero byte."""
    return name.partition(b"\0")[0]
