"""Servers that follow each other, and clients that count what they are answered."""

from __future__ import annotations

import hashlib
import struct
from typing import Any, Final

import pytest

from machemu.abi.message import COPY_SEND, MAKE_SEND_ONCE, MSG_TYPE_BYTE, CarriedMemory, TypeDescriptor
from machemu.mig.runtime import PolyPort
from machemu.sim.state import PortName, Right, state
from machemu.user.kit import Answer, HostServer, Legacy, answered, serves
from machemu.user.mach import Mach
from machemu.user.message import Caller, Header, Message
from masix.gns.server import Gns
from masix.interfaces import acs, acs_client
from tests.support.clients import CALL, MS, REPLY_ID, pattern

NAME: Final = b"desk"
PROFILES: Final = {"i386": "pc486dx2-66", "m68k": "sun3-60"}
SUCCESSORS: Final = "tests.support.successors"
both_machines = pytest.mark.parametrize("architecture", list(PROFILES))
PUSHED: Final = 20
COUNT: Final = struct.Struct(">II")


@state
class Desk(HostServer):
    """Numbers its calls, over all that follow it. slow: calls that it answers only when the name server has answered, too."""

    __slots__ = ("count", "registration", "slow", "version")
    registration: Right

    def __init__(self, version: int = 1, slow: bool = False) -> None:
        super().__init__()
        self.count = self.registration = 0
        self.version = version
        self.slow = slow

    def start(self, mach: Mach) -> None:
        super().start(mach)
        own = NAME, 0, PolyPort(self.service, COPY_SEND)
        self.ask(mach, self._registered, mach.given("name-server"), own)

    @answered(acs.ACS_REGISTER)
    def _registered(self, mach: Mach, answer: Answer) -> None:
        (self.registration,) = answer.results

    def legacy(self, mach: Mach) -> Legacy:
        right, self.registration = self.registration, 0
        return Legacy((), (right,) if right else (), COUNT.pack(self.count, self.version))

    def inherit(self, mach: Mach, legacy: Legacy) -> None:
        self.count, before = COUNT.unpack(legacy.data)
        self.registration = legacy.sends[0] if legacy.sends else 0
        mach.note(f"desk: version {self.version} follows {before}")

    @serves(acs_client.ACS_SAVE_AND_END)
    def _end(self, mach: Mach, request: Message) -> tuple[()]:
        mach.leave(True)
        return ()

    def other(self, mach: Mach, message: Message) -> None:
        if message.header.id != CALL:
            super().other(mach, message)
            return
        self.count += 1
        if self.slow:
            self.ask(mach, self._looked, mach.given("name-server"), (b"nobody",), message.caller, self.count)
        else:
            _number(mach, message.caller, self.count, self.version)

    @answered(acs.ACS_LOOK_UP_HERE)
    def _looked(self, mach: Mach, answer: Answer, caller: Caller, number: int) -> None:
        _number(mach, caller, number, self.version)


def _number(mach: Mach, caller: Caller, number: int, version: int) -> None:
    header = Header(caller.reply, caller.disposition, 0, 0, CALL + REPLY_ID)
    word = TypeDescriptor(MSG_TYPE_BYTE, 8, COUNT.size).word(mach.order)
    mach.send(Message(header, struct.pack(f"{mach.order.prefix}I", word) + COUNT.pack(number, version), (), False))


@state
class Stubborn(Desk):
    """As Desk, and takes nothing over from others."""

    __slots__ = ()
    legacy = HostServer.legacy


@state
class Visitor(HostServer):
    """Calls the desk `calls` times, each `every` microseconds, whether it is answered or not: answers by number and version."""

    __slots__ = ("answers", "calls", "desk", "every", "lost")
    desk: Right

    def __init__(self, calls: int, every: int = 1000) -> None:
        super().__init__()
        self.desk = self.lost = 0
        self.answers: list[tuple[int, int]] = []
        self.calls, self.every = calls, every

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(mach.now() + 20 * MS)

    def expired(self, mach: Mach) -> None:
        if not self.desk:
            self.ask(mach, self._found, mach.given("name-server"), (NAME,))
            return
        self.calls -= 1
        header = Header(self.desk, COPY_SEND, self.service, MAKE_SEND_ONCE, CALL)
        mach.send(Message(header, b"", (), False), timeout=50)
        if self.calls:
            mach.alarm(mach.now() + self.every * 1000)

    @answered(acs.ACS_LOOK_UP)
    def _found(self, mach: Mach, answer: Answer) -> None:
        self.desk = living_right(answer)
        mach.alarm(mach.now() + self.every * 1000)

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        if message.header.id == CALL:
            self.lost += 1
        super().unsent(mach, message, code)

    def other(self, mach: Mach, message: Message) -> None:
        if message.header.id == CALL + REPLY_ID:
            self.answers.append(COUNT.unpack_from(message.body, 4))
        else:
            self.lost += 1


@state
class Looker(HostServer):
    """Looks a name up `calls` times, one after the other from 30 ms on: how often it was found, and other answers' codes."""

    __slots__ = ("calls", "codes", "found", "name")

    def __init__(self, name: str, calls: int) -> None:
        super().__init__()
        self.name, self.calls, self.found = name.encode(), calls, 0
        self.codes: list[int] = []

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(mach.now() + 30 * MS)

    def expired(self, mach: Mach) -> None:
        self.calls -= 1
        self.ask(mach, self._looked, mach.given("name-server"), (self.name,))

    @answered(acs.ACS_LOOK_UP)
    def _looked(self, mach: Mach, answer: Answer) -> None:
        if living_right(answer):
            self.found += 1
            mach.deallocate(living_right(answer))
        else:
            self.codes.append(answer.code)
        if self.calls:
            self.expired(mach)


@state
class Sleeper(HostServer):
    """A service called `desk` that takes nothing before `wake_ms`. heard: the id and the memory's digest of each message."""

    __slots__ = ("heard", "wake_ms")

    def __init__(self, wake_ms: int) -> None:
        super().__init__()
        self.wake_ms = wake_ms
        self.heard: list[tuple[int, str]] = []

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.move_member(self.service, 0)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (NAME, 0, PolyPort(self.service, COPY_SEND)))
        mach.alarm(self.wake_ms * MS)

    def expired(self, mach: Mach) -> None:
        mach.move_member(self.service, self.ports)

    def other(self, mach: Mach, message: Message) -> None:
        data = b"".join(item.copy for item in message.carried if isinstance(item, CarriedMemory) and isinstance(item.copy, bytes))
        self.heard.append((message.header.id, hashlib.sha256(data).hexdigest()))
        mach.destroy(message)


@state
class Pusher(HostServer):
    """Sends the desk `count` messages, with `size` bytes more of memory each."""

    __slots__ = ("count", "size")

    def __init__(self, count: int, size: int) -> None:
        super().__init__()
        self.count, self.size = count, size

    def start(self, mach: Mach) -> None:
        super().start(mach)
        mach.alarm(20 * MS)

    def expired(self, mach: Mach) -> None:
        self.ask(mach, self._found, mach.given("name-server"), (NAME,))

    @answered(acs.ACS_LOOK_UP)
    def _found(self, mach: Mach, answer: Answer) -> None:
        word = TypeDescriptor(0, 0, 0, False, True).word(mach.order)
        for number in range(1, self.count + 1):
            size = number * self.size
            body = struct.pack(f"{mach.order.prefix}IHHII", word, MSG_TYPE_BYTE, 8, size, 0)
            memory = CarriedMemory(len(body) - 4, size, pattern(size))
            mach.send(Message(Header(living_right(answer), COPY_SEND, 0, 0, CALL + number), body, (memory,), True))


def sleepers(architecture: str, size: int) -> str:
    """Two nodes of both machines: one pushes 20 messages to the other's desk, which sleeps for 1.5 s."""
    other = next(each for each in PROFILES if each != architecture)
    text = "[segments.lan]\n"
    for name, machine, program in (("a", architecture, "Sleeper"), ("b", other, "Pusher")):
        options = f"count = {PUSHED}, size = {size}" if program == "Pusher" else "wake_ms = 1500"
        server = f'{{ class = "tests.support.successors:{program}", {options} }}'
        text += f'[nodes.{name}]\nprofile = "{PROFILES[machine]}"\nmemory = "4M"\nnics = {{ eth0 = "lan" }}\n'
        text += f'servers = ["masix.acs.server:Acs", "masix.gns.server:Gns", {server}]\n'
    return text


def pushed(size: int) -> list[tuple[int, str]]:
    """What the sleeper hears in the end."""
    return [(CALL + number, hashlib.sha256(pattern(number * size)).hexdigest()) for number in range(1, PUSHED + 1)]


@state
class LaterGns(Gns):
    """A network server with more in its slots."""

    __slots__ = ("more",)
    more: int

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.more = 7


def action(at: str, kind: str, node: str = "a", **keys: str) -> str:
    values = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return f'[[actions]]\nat = "{at}"\nkind = "{kind}"\nnode = "{node}"\n{values}'


def program(name: str, /, **options: object) -> str:
    plain = {key: str(value).lower() if isinstance(value, bool) else repr(value) for key, value in options.items()}
    values = "".join(f", {key} = {value}" for key, value in plain.items())
    return f'{{ class = "{name}"{values} }}'.replace("'", '"')


def desk(**options: object) -> str:
    return program(f"{SUCCESSORS}:Desk", **options)


def visitor(calls: int, every: int = 1000) -> str:
    return program(f"{SUCCESSORS}:Visitor", calls=calls, every=every)


def script(steps: str) -> str:
    return program("tests.support.clients:Steps", script=steps)


def cluster(
    *servers: str, architecture: str = "i386", far: str = "", actions: str = "", names: str = '"masix.acs.server:Acs"'
) -> str:
    """Node a with its name server and others, and b, of the other architecture, with one of its own."""
    other = next(each for each in PROFILES if each != architecture)
    text = "[segments.lan]\n"
    for name, machine, own in (("a", architecture, servers), ("b", other, (far,) if far else ())):
        all_of = ", ".join((names if name == "a" else '"masix.acs.server:Acs"', '"masix.gns.server:Gns"', *own))
        text += f'[nodes.{name}]\nprofile = "{PROFILES[machine]}"\nmemory = "4M"\nservers = [{all_of}]\n'
        text += 'nics = { eth0 = "lan" }\n'
    return text + actions


def living_right(answer: Answer) -> PortName:
    return int(answer.results[0]) if answer.results else 0
