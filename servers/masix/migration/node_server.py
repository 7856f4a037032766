"""What the managers have in common: each is known to the privileged servers of all nodes by its name and its node's.

A manager gives whoever asks any task of its node. So its name begins with a dot, and clients neither find nor take it.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self

from machemu.abi.kern_return import KERN_NO_ACCESS
from machemu.abi.message import COPY_SEND
from machemu.abi.port import TYPE_SEND
from machemu.mig.interfaces.notify import MACH_NOTIFY_DEAD_NAME
from machemu.mig.runtime import PolyPort
from machemu.sim.state import U32, PortName, Right, state
from machemu.user.kit import Answer, HostServer, answered, notified
from machemu.user.mach import Mach
from machemu.user.message import name_of
from machemu.user.notifications import DeadName, PortDestroyed
from masix.interfaces import acs
from masix.migration import lasting

AGAIN_NS: Final = 50_000_000
"""How long it waits before it tries again to register its name."""


def name_at(service: bytes, host: bytes) -> bytes:
    """The name by which a node's manager is known on all nodes, to privileged servers."""
    return b".%b@%b" % (service, host)


@state
class NodeServer(HostServer):
    """A manager of a node, which registers as `.NAME@host`."""

    __slots__ = ("host", "node", "registration")
    name: ClassVar[bytes]
    node: U32  # the node's number
    host: bytes  # its name
    registration: Right  # of its own name; 0 while it has none

    def __init__(self, node: int, host: bytes) -> None:
        super().__init__()
        self.node = node
        self.host = host
        self.registration = 0

    @classmethod
    def on_node(cls, node: int, seed: int, key: bytes, host: str, **options: Any) -> Self:
        return cls(node, host.encode(), **options)

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self._register(mach)

    def _register(self, mach: Mach) -> None:
        own = name_at(self.name, self.host), 0, PolyPort(self.service, COPY_SEND)
        self.ask(mach, self._registered, mach.name_server(), own)

    @answered(acs.ACS_REGISTER)
    def _registered(self, mach: Mach, answer: Answer) -> None:
        if answer.code == KERN_NO_ACCESS:
            mach.note(f"{self.name.decode()}: is not privileged: the cluster file's list `privileged` lacks its program")
            return
        if answer.code:
            mach.alarm(mach.now() + AGAIN_NS)
            return
        self.registration = answer.right
        mach.notify(self.registration, MACH_NOTIFY_DEAD_NAME.request.id, self.notices, 1)

    def expired(self, mach: Mach) -> None:
        if not self.registration:
            self._register(mach)

    @notified(DeadName)
    def _died(self, mach: Mach, notice: DeadName) -> None:
        """Where it was the registration, the name server is another one, which knows no names."""
        mach.deallocate(notice.name)
        if notice.name == self.registration:
            mach.deallocate(notice.name)
            self.registration = 0
            self._register(mach)
        else:
            self.died(mach, notice.name)

    @notified(PortDestroyed)
    def _came_back(self, mach: Mach, notice: PortDestroyed) -> None:
        """A receive right that was lent (masix.migration.lasting) is back, if it is still needed."""
        if not lasting.type_of(mach, name_of(notice.right)) & TYPE_SEND:
            mach.destroy_receive(name_of(notice.right))

    def died(self, mach: Mach, name: PortName) -> None:
        """A port has died of which it wanted to know that; the name is still the server's."""
