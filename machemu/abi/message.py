"""mach_msg: header, type descriptors, options and codes (<mach/message.h>).

A header is six 32-bit words in the machine's byte order: bits, size, remote port, local port, seqno, id.
A descriptor (mach_msg_type_t) is one word whose fields run from the least significant bit on a little-endian machine
and from the most significant on a big-endian one; the long form adds u16 name, u16 size in bits and u32 number.
"""

from enum import IntEnum
from typing import Any, Final, Generic, NamedTuple, TypeVar

from machemu.abi.types import ByteOrder

HEADER_SIZE: Final = 24
HEADER_BITS, HEADER_SIZE_FIELD, HEADER_REMOTE, HEADER_LOCAL, HEADER_SEQNO, HEADER_ID = range(0, 24, 4)

MSGH_BITS_REMOTE_MASK: Final = 0x000000FF
MSGH_BITS_LOCAL_MASK: Final = 0x0000FF00
MSGH_BITS_PORTS_MASK: Final = 0x0000FFFF
MSGH_BITS_COMPLEX: Final = 0x80000000
MSGH_BITS_OTHER: Final = 0x7FFF0000
"""Without a meaning: they arrive as they were sent."""

SIZE_MAX: Final = 0xFFFFFFFF
LONGFORM_SIZE: Final = 12
"""Bytes of a mach_msg_type_long_t."""


def msgh_bits(remote: int, local: int, others: int = 0) -> int:
    """msgh_bits from the two dispositions and the bits above them."""
    return remote | local << 8 | others


# mach_msg_option_t.

MACH_MSG_OPTION_NONE: Final = 0
MACH_SEND_MSG: Final = 0x001
MACH_RCV_MSG: Final = 0x002
MACH_SEND_TIMEOUT: Final = 0x010
MACH_SEND_NOTIFY: Final = 0x020
MACH_SEND_INTERRUPT: Final = 0x040
MACH_SEND_CANCEL: Final = 0x080
MACH_RCV_TIMEOUT: Final = 0x100
MACH_RCV_NOTIFY: Final = 0x200
MACH_RCV_INTERRUPT: Final = 0x400
MACH_RCV_LARGE: Final = 0x800

# mach_msg_type_name_t: what an item holds; 16 to 21 are port rights.

MSG_TYPE_UNSTRUCTURED: Final = 0
MSG_TYPE_INTEGER_16: Final = 1
MSG_TYPE_INTEGER_32: Final = 2
MSG_TYPE_CHAR: Final = 8
MSG_TYPE_BYTE: Final = 9
MSG_TYPE_REAL: Final = 10
MSG_TYPE_INTEGER_64: Final = 11
MSG_TYPE_STRING_C: Final = 12
MSG_TYPE_PORT_NAME: Final = 15
MOVE_RECEIVE: Final = 16
MOVE_SEND: Final = 17
MOVE_SEND_ONCE: Final = 18
COPY_SEND: Final = 19
MAKE_SEND: Final = 20
MAKE_SEND_ONCE: Final = 21
MSG_TYPE_PROTECTED_PAYLOAD: Final = 23

PORT_RECEIVE: Final = 16
PORT_SEND: Final = 17
PORT_SEND_ONCE: Final = 18
"""The dispositions of rights under way: a right in a kernel buffer or in a received message."""
TYPE_LAST: Final = 23

# mach_msg_return_t.

MACH_MSG_SUCCESS: Final = 0
MACH_SEND_IN_PROGRESS: Final = 0x10000001
MACH_SEND_INVALID_DATA: Final = 0x10000002
MACH_SEND_INVALID_DEST: Final = 0x10000003
MACH_SEND_TIMED_OUT: Final = 0x10000004
MACH_SEND_WILL_NOTIFY: Final = 0x10000005
MACH_SEND_NOTIFY_IN_PROGRESS: Final = 0x10000006
MACH_SEND_INTERRUPTED: Final = 0x10000007
MACH_SEND_MSG_TOO_SMALL: Final = 0x10000008
MACH_SEND_INVALID_REPLY: Final = 0x10000009
MACH_SEND_INVALID_RIGHT: Final = 0x1000000A
MACH_SEND_INVALID_NOTIFY: Final = 0x1000000B
MACH_SEND_INVALID_MEMORY: Final = 0x1000000C
MACH_SEND_NO_BUFFER: Final = 0x1000000D
MACH_SEND_NO_NOTIFY: Final = 0x1000000E
MACH_SEND_INVALID_TYPE: Final = 0x1000000F
MACH_SEND_INVALID_HEADER: Final = 0x10000010
MACH_RCV_IN_PROGRESS: Final = 0x10004001
MACH_RCV_INVALID_NAME: Final = 0x10004002
MACH_RCV_TIMED_OUT: Final = 0x10004003
MACH_RCV_TOO_LARGE: Final = 0x10004004
MACH_RCV_INTERRUPTED: Final = 0x10004005
MACH_RCV_PORT_CHANGED: Final = 0x10004006
MACH_RCV_INVALID_NOTIFY: Final = 0x10004007
MACH_RCV_INVALID_DATA: Final = 0x10004008
MACH_RCV_PORT_DIED: Final = 0x10004009
MACH_RCV_IN_SET: Final = 0x1000400A
MACH_RCV_HEADER_ERROR: Final = 0x1000400B
MACH_RCV_BODY_ERROR: Final = 0x1000400C

MACH_MSG_MASK: Final = 0x3C00
"""The bits that a code may have besides: where what the message brought had no room."""
MACH_MSG_IPC_SPACE: Final = 0x2000
MACH_MSG_VM_SPACE: Final = 0x1000
MACH_MSG_IPC_KERNEL: Final = 0x0800
MACH_MSG_VM_KERNEL: Final = 0x0400


class TypeDescriptor(NamedTuple):
    """A mach_msg_type_t or mach_msg_type_long_t, decoded. `size` is in bits."""

    name: int
    size: int
    number: int
    inline: bool = True
    longform: bool = False
    deallocate: bool = False

    def word(self, order: ByteOrder) -> int:
        """The first word as an integer; name, size and number are 0 in it in the long form."""
        name, size, number = (0, 0, 0) if self.longform else (self.name, self.size, self.number)
        if order is ByteOrder.LITTLE:
            return name | size << 8 | number << 16 | self.inline << 28 | self.longform << 29 | self.deallocate << 30
        return name << 24 | size << 16 | number << 4 | self.inline << 3 | self.longform << 2 | self.deallocate << 1


def decode_type_word(word: int, order: ByteOrder) -> TypeDescriptor:
    """The descriptor that a first word holds; in the long form its name, size and number follow elsewhere."""
    if order is ByteOrder.LITTLE:
        return TypeDescriptor(
            word & 0xFF, word >> 8 & 0xFF, word >> 16 & 0xFFF, bool(word >> 28 & 1), bool(word >> 29 & 1), bool(word >> 30 & 1)
        )
    return TypeDescriptor(
        word >> 24, word >> 16 & 0xFF, word >> 4 & 0xFFF, bool(word >> 3 & 1), bool(word >> 2 & 1), bool(word >> 1 & 1)
    )


R_co = TypeVar("R_co", covariant=True)
"""A right: in the kernel ipc.port.Right, in a task's message its name; in both None for MACH_PORT_NULL, and `PORT_DEAD`."""
M_co = TypeVar("M_co", covariant=True)
"""Memory: in the kernel a vm map copy, in a task's message its bytes."""


class CarriedPort(NamedTuple, Generic[R_co]):
    """A port right inside a message's body: the word `offset` bytes after the header stands for `port`.

    `disposition` is PORT_RECEIVE, PORT_SEND or PORT_SEND_ONCE in a message under way (a sender inside the kernel has made or
    copied the right before).
    """

    offset: int
    disposition: int
    port: R_co


class CarriedMemory(NamedTuple, Generic[M_co]):
    """Out-of-line data: the address word at `offset` of the body stands for `copy`, of `size` bytes; None for no bytes."""

    offset: int
    size: int
    copy: M_co | None


class CarriedPorts(NamedTuple, Generic[R_co]):
    """An out-of-line array of port rights, all of one disposition; the address word is at `offset` of the body."""

    offset: int
    disposition: int
    ports: tuple[R_co, ...]


Carried = CarriedPort[Any] | CarriedMemory[Any] | CarriedPorts[Any]
"""What a message carries besides bytes, in the order of the body."""


class PortDead(IntEnum):
    """The one value that stands for MACH_PORT_DEAD among port objects (an enum, so that it survives saving)."""

    PORT_DEAD = 0xFFFFFFFF


PORT_DEAD: Final = PortDead.PORT_DEAD
