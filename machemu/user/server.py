"""A server's program, as it is written: state and handlers. Each handler ends; nothing waits inside one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from machemu.user.message import Message

if TYPE_CHECKING:
    from machemu.user.mach import Mach


class Server(Protocol):
    """What a thread of a host-side task does. A class with it is @state, with __slots__: it is saved with its thread.

    A handler makes traps and calls the kernel through `mach`, and sends messages, which go out after it, in order. It owns the
    rights that a message brings.
    """

    def start(self, mach: Mach) -> None:
        """The thread begins: names the port or port set that it receives from (`mach.serve`)."""

    def receive(self, mach: Mach, message: Message) -> None:
        """A message has come."""

    def expired(self, mach: Mach) -> None:
        """The time set by `mach.alarm` has come."""

    def sent(self, mach: Mach, message: Message, code: int) -> None:
        """A message sent with `notify` is sent: MACH_MSG_SUCCESS, or MACH_SEND_WILL_NOTIFY where it went into a queue that was
        full, and no other can until the notification."""

    def unsent(self, mach: Mach, message: Message, code: int) -> None:
        """A message could not be sent (a mach_msg_return_t); what it held is the server's again."""
