"""Clusters whose network servers replicate names: a program that has services and looks for them, and what the servers hold."""

from __future__ import annotations

from typing import Any

from machemu.abi.message import COPY_SEND, MAKE_SEND_ONCE, CarriedPort
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message
from machemu.user.server import Server
from masix.gns.directory import Directory
from masix.gns.server import Gns
from masix.interfaces import acs
from tests.support.clusters import MS, World, with_guests
from tests.support.name_servers import GUEST, HOST
from tests.support.net import serve_two

NOBODY, DEAD = 0, -1
WHO = 700
ANSWER = 10_000
SERVERS = (
    '"masix.acs.server:Acs", {{ class = "masix.gns.server:Gns"{switch} }}, {{ class = "tests.support.namers:Namer"{script} }}'
)


@state
class Namer(Server):
    """Does the steps of a script, each at its time of the cluster's; a life that begins later leaves those before out.

    A script is such as `100+a 250-a 300?a`: at so many milliseconds it has a service of that name, has it no more, looks for one
    and asks it on which node it is. answers: the name and the node of each look-up; NOBODY: there is none, DEAD: its port is.
    has: the names of its services. registered: those whose registration is to come, in order; registrations: by name.
    """

    __slots__ = ("answers", "asked", "found", "has", "node", "port", "queue", "registered", "registrations", "reply", "script")

    def __init__(self, node: int, script: str) -> None:
        self.node = node
        self.script: list[tuple[int, str, bytes]] = []
        for step in script.split():
            sign = next(sign for sign in "+-?" if sign in step)
            time, _, name = step.partition(sign)
            self.script.append((int(time) * MS, sign, name.encode()))
        self.has: dict[bytes, None] = {}
        self.registered: list[bytes] = []
        self.registrations: dict[bytes, int] = {}
        self.queue: list[bytes] = []
        self.asked: bytes | None = None
        self.found: Any = None
        self.answers: list[tuple[bytes, int]] = []
        self.port = self.reply = 0

    @classmethod
    def on_node(cls, node: int, seed: int, key: bytes, *, script: str = "") -> Namer:
        return cls(node, script)

    def start(self, mach: Mach) -> None:
        self.port, self.reply, _ = serve_two(mach)
        self.script = [step for step in self.script if step[0] >= mach.now()]
        mach.alarm(self.script[0][0] if self.script else None)

    def expired(self, mach: Mach) -> None:
        while self.script and self.script[0][0] <= mach.now():
            _, sign, name = self.script.pop(0)
            if sign == "+":
                self.has[name] = None
                mach.request(acs.ACS_REGISTER, mach.given("name-server"), (name, 0, mach.copy_send(self.port)), self.reply)
                self.registered.append(name)
            elif sign == "-":
                self.has.pop(name, None)
                if name in self.registrations:
                    mach.request(acs.ACS_UNREGISTER, mach.given("name-server"), (name, self.registrations.pop(name)))
            else:
                self.queue.append(name)
        self._ask(mach)
        mach.alarm(self.script[0][0] if self.script else None)

    def _ask(self, mach: Mach) -> None:
        if self.asked is None and self.queue:
            self.asked = self.queue.pop(0)
            mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (self.asked,), self.reply)

    def _answered(self, mach: Mach, node: int) -> None:
        assert self.asked is not None
        self.answers.append((self.asked, node))
        if isinstance(self.found, int):
            mach.deallocate(self.found)
        self.asked = self.found = None
        self._ask(mach)

    def receive(self, mach: Mach, message: Message) -> None:
        header = message.header
        if header.id == WHO:
            mach.send(Message(Header(header.remote, header.remote_type, 0, 0, ANSWER + self.node), b"", (), False))
        elif header.id == acs.ACS_REGISTER.request.id + 100:
            name = self.registered.pop(0)
            for each in message.carried:
                assert isinstance(each, CarriedPort) and isinstance(each.port, int)
                self.registrations[name] = each.port
        elif header.id == acs.ACS_LOOK_UP.request.id + 100:
            right = message.carried[0] if message.carried else None
            self.found = right.port if isinstance(right, CarriedPort) else None
            if isinstance(self.found, int):
                mach.send(Message(Header(self.found, COPY_SEND, self.reply, MAKE_SEND_ONCE, WHO), b"", (), False))
            else:
                self._answered(mach, DEAD if message.carried else NOBODY)
        elif self.asked is not None:
            self._answered(mach, header.id - ANSWER if header.id >= ANSWER else DEAD)

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        if message.header.id == WHO:
            self._answered(mach, DEAD)


def cluster(scripts: list[str], lan: str = "", switch: str = ", replicates = true", faults: str = "", place: str = HOST) -> str:
    """Nodes n1, n2 and so on with a Namer each, i386 and m68k in turn."""
    text = f"seed = 9\n[segments.lan]\n{lan}\n"
    for number, script in enumerate(scripts, 1):
        profile = ("pc486dx2-66", "sun3-60")[number % 2]
        servers = SERVERS.format(switch=switch, script=f', script = "{script}"')
        text += f'[nodes.n{number}]\nmemory = "4M"\nprofile = "{profile}"\nservers = [{servers}]\nnics = {{ eth0 = "lan" }}\n'
    return (with_guests(text) if place == GUEST else text) + faults


def programs(world: World, kind: type[Any]) -> dict[int, Any]:
    """The program of a class on each node that has power, by the node's number."""
    return {node.number: program for node in world.cluster.nodes for program in world.programs(node.name, kind)}


def directories(world: World) -> dict[int, Directory]:
    return {number: server.directory for number, server in programs(world, Gns).items()}


def answers(world: World) -> dict[int, list[tuple[bytes, int]]]:
    return {number: program.answers for number, program in programs(world, Namer).items()}


def check_agreed(world: World) -> None:
    """All nodes with power are in one view, and hold the names that their name servers have, and no others."""
    found = directories(world)
    groups = {number: directory.group for number, directory in found.items()}
    assert not any(group is None or group.blocked for group in groups.values()), groups
    views = {group.view for group in groups.values() if group is not None}
    members = {directory.endpoint.me for directory in found.values()}
    assert [set(view.members) for view in views] == [members]
    assert len({directory.replica.digest() for directory in found.values()}) == 1
    for directory in found.values():
        entries = {(int.from_bytes(key[:2], "big"), key[10:]): value for key, value in directory.replica.entries.items()}
        names = {(number, name) for number, program in programs(world, Namer).items() for name in program.has}
        assert entries.keys() == names and len(entries) == len(directory.replica.entries)
        for (number, name), value in entries.items():
            assert found[number].own[name] == int.from_bytes(value, "big")
