"""A server's program, as it is written: state and handlers. Each handler ends; nothing waits inside one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from machemu.user.message import Message

if TYPE_CHECKING:
    from machemu.user.mach import Mach


class Server(ABC):
    """What the threads of a host-side task do. A class of it is @state, with __slots__: it is saved with its task.

    A handler ends before another begins, whichever threads they run on. It makes traps and calls the kernel through `mach`, and
    sends messages, which go out after it, in order. It owns the rights that a message brings.
    """

    __slots__ = ()
    message_max: ClassVar[int] = 1 << 20
    """Bytes in line of a message that is received, with its header; a longer one is destroyed."""
    reads_memory: ClassVar[bool] = True
    """Whether the memory of a message is read when it comes; else it comes as Regions, which are the server's."""
    name_server: ClassVar[bool] = False
    """Whether it is the name server of its node. It is given `service` and `privileged`; what is started later has a port of its
    own, whose receive right comes to `privileged` (name_server.defs)."""
    comes_back: ClassVar[bool] = False
    """Whether the loader of a node starts it again where its task ends without having been stopped or replaced."""
    threads: ClassVar[int] = 1
    """How many threads receive what comes to its port. One that waits, as to send to a queue that is full, stops no other."""

    @classmethod
    def on_node(cls, node: int, seed: int, key: bytes, *others: Any, **options: Any) -> Self:
        """The server of a node of a cluster. node: its number. seed: another one at each start, for what is to be random. key:
        the cluster's. A class whose method has parameters `host` or `folder` behind these gets the node's name, or the folder, a
        Path, where paths in the cluster file begin. options: the cluster file's. Who has no use for the place is made of the
        options alone."""
        return cls(**options)

    def check_nodes(self, names: Sequence[str]) -> None:  # noqa: B027 -- most name no node
        """Of an action of a cluster file, before anything runs. names: those of all nodes. UserError where it names another."""

    def attach(self) -> None:  # noqa: B027 -- most have nothing to make
        """After a load: makes again what is not saved."""

    @abstractmethod
    def start(self, mach: Mach) -> None:
        """The first thread begins, before the others: names the port or port set that they receive from (`mach.serve`)."""

    def succeed(self, mach: Mach, message: Message) -> None:
        """The first thread begins with a message from the server that was there before, or the kernel's where that is gone."""
        self.start(mach)

    def hand_over(self, mach: Mach) -> None:  # noqa: B027 -- most have no successors
        """It has a successor, and nothing more to send: called after each handler until it has handed over."""

    def has_left(self) -> bool:
        """Whether a server that has a successor owes nobody anything any more."""
        return True

    @abstractmethod
    def receive(self, mach: Mach, message: Message) -> None:
        """A message has come."""

    @abstractmethod
    def expired(self, mach: Mach) -> None:
        """The time set by `mach.alarm` has come."""

    @abstractmethod
    def sent(self, mach: Mach, message: Message, code: int) -> None:
        """A message sent with `notify` is sent: MACH_MSG_SUCCESS, or MACH_SEND_WILL_NOTIFY where it went into a queue that was
        full, and no other can until the notification."""

    @abstractmethod
    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        """A message could not be sent (a mach_msg_return_t); what it held is the server's again."""
