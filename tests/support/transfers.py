"""Host-side programs of which one sends the other memory, from wherever it runs."""

from __future__ import annotations

import hashlib
import struct
from typing import Final

from machemu.abi.errors import KernError
from machemu.abi.message import COPY_SEND, MSG_TYPE_BYTE, CarriedMemory, TypeDescriptor
from machemu.sim.state import state
from machemu.user.mach import Mach
from machemu.user.message import Header, Message, Region
from machemu.user.server import Server
from masix.interfaces import acs
from tests.support.callers import MS, PROFILES, SERVICE

BULK_ID: Final = 700
PAGE: Final = 8192
START_MS: Final = 20


def page_bytes(number: int) -> bytes:
    """A page like no other."""
    return hashlib.sha256(number.to_bytes(4, "big")).digest() * (PAGE // 32)


@state
class Taker(Server):
    """Is a service, and keeps of each message's memory how much it was, a digest of it (looks: else of nothing), and when it came
    in virtual ns."""

    __slots__ = ("came", "looks", "port")
    reads_memory = False

    def __init__(self, looks: bool = True) -> None:
        self.looks = looks
        self.came: list[tuple[int, str, int]] = []

    def start(self, mach: Mach) -> None:
        self.port = mach.make_send(mach.allocate_port())
        mach.serve(self.port)
        mach.request(acs.ACS_REGISTER, mach.given("name-server"), (SERVICE.encode(), 0, mach.copy_send(self.port)))

    def receive(self, mach: Mach, message: Message) -> None:
        for item in message.carried:
            if isinstance(item, CarriedMemory) and isinstance(item.copy, Region):
                address, size = item.copy
                read = mach.read(address, size) if self.looks else b""
                self.came.append((size, hashlib.sha256(read).hexdigest(), mach.now()))
        mach.destroy(message)

    def expired(self, mach: Mach) -> None: ...

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...


@state
class Giver(Server):
    """Looks a service up at a time, and sends it so many bytes of memory, each page like no other."""

    __slots__ = ("memory", "port", "size", "start_ms")

    def __init__(self, size: int, start_ms: int = START_MS) -> None:
        self.size = size
        self.start_ms = start_ms

    def start(self, mach: Mach) -> None:
        self.port = mach.allocate_port()
        mach.serve(self.port)
        address = mach.allocate(self.size)
        for start in range(0, self.size, PAGE):
            mach.write(address + start, page_bytes(start // PAGE)[: self.size - start])
        self.memory = Region(address, self.size)
        mach.alarm(self.start_ms * MS)

    def expired(self, mach: Mach) -> None:
        mach.request(acs.ACS_LOOK_UP, mach.given("name-server"), (SERVICE.encode(),), self.port)

    def receive(self, mach: Mach, message: Message) -> None:
        try:
            (right,) = acs.ACS_LOOK_UP.unpack_reply(mach.order, message.body, message.carried, message.complex)
        except KernError:  # where frames are lost, the other node may not answer in time
            self.expired(mach)
            return
        descriptor = TypeDescriptor(0, 0, 0, False, True).word(mach.order)
        body = struct.pack(mach.order.prefix + "IHHII", descriptor, MSG_TYPE_BYTE, 8, self.size, 0)
        memory = CarriedMemory(len(body) - 4, self.size, self.memory)
        mach.send(Message(Header(int(right), COPY_SEND, 0, 0, BULK_ID), body, (memory,), True))

    def sent(self, mach: Mach, message: Message, code: int) -> None: ...

    def unsent(self, mach: Mach, message: Message, code: int) -> None: ...


def transfer_text(size: int, profile: str = PROFILES[0], segment: str = "", looks: bool = True) -> str:
    """Two nodes with the Masix servers, the first of which sends the second a message with so many bytes of memory."""
    text = f"[segments.lan]\n{segment}\n"
    memory = max(64, (size >> 19) + 16)
    for n, role in enumerate((f'Taker", looks = {str(looks).lower()}', f'Giver", size = {size}'), 1):
        servers = f'"masix.acs.server:Acs", "masix.gns.server:Gns", {{ class = "tests.support.transfers:{role} }}'
        text += f'[nodes.n{n}]\nprofile = "{profile}"\nmemory = "{memory}M"\nservers = [{servers}]\nnics = {{ eth0 = "lan" }}\n'
    return text
