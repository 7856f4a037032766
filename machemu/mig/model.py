"""What a .defs file says: a subsystem, its routines, their arguments and types. Plain data, made by the parser."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

POLYMORPHIC = -1
FIRST_PORT, LAST_PORT = 16, 21

INLINE_BYTES = 2048
"""The most bytes that an array without a limit sends inline (MIG's choice)."""


class Form(Enum):
    """How a value travels; see runtime.FIXED and its neighbours."""

    FIXED = 0
    COUNTED = 1
    OUT_OF_LINE = 2
    EITHER = 3


@dataclass(frozen=True, slots=True)
class Field:
    """A run of `count` items that the `struct` module calls `code`."""

    code: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Translation:
    """MIG's intran, outtran, intranpayload and destructor: the server's own type, the function, the type that travels."""

    keyword: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Type:
    """A type declaration."""

    name: str

    # Message type names:
    send: int  # what a sender writes
    receive: int  # what a receiver checks

    # Its items:
    size: int  # bits
    number: int  # items in a value (FIXED) or in one element of a counted array
    fields: tuple[Field, ...]  # what an element or a value consists of, in order; empty for rights
    form: Form = Form.FIXED
    limit: int = 0  # elements in a counted array at most; for EITHER, those that travel inline. 0 where OUT_OF_LINE sets none
    string: bool = False
    is_struct: bool = False
    is_array: bool = False
    long_asked: bool = False
    out_of_line_fixed: bool = False

    # For user code in C:
    element: str = ""  # what it calls what an array is made of
    ctype: str = ""
    cusertype: str = ""
    cservertype: str = ""
    translations: tuple[Translation, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def is_port(self) -> bool:
        return POLYMORPHIC in (self.send, self.receive) or FIRST_PORT <= self.receive <= LAST_PORT

    @property
    def longform(self) -> bool:
        """Whether the descriptor takes 12 bytes."""
        if self.long_asked or self.form in (Form.OUT_OF_LINE, Form.EITHER):
            return True
        return self.size > 0xFF or self.number * max(self.limit, 1) > 0xFFF

    @property
    def element_bytes(self) -> int:
        """Bytes in a value (FIXED) or in one element."""
        return self.size * self.number // 8

    @property
    def user_ctype(self) -> str:
        """What user code in C calls the type."""
        return self.cusertype or self.ctype or self.name

    def renamed(self, name: str) -> Type:
        """The type as declared under another name: its C type is that name unless one is given."""
        return replace(self, name=name, ctype="", cusertype="", cservertype="")


class Direction(Enum):
    """What an argument is to the message. IN, OUT and INOUT travel in bodies, the others in headers or nowhere."""

    IN = "in"
    OUT = "out"
    INOUT = "inout"
    REQUEST_PORT = "requestport"
    REPLY_PORT = "replyport"
    SERVER_REPLY_PORT = "sreplyport"
    USER_REPLY_PORT = "ureplyport"
    WAIT_TIME = "waittime"
    MSG_OPTION = "msgoption"
    MSG_SEQNO = "msgseqno"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument. Flags: dealloc, notdealloc, dealloc[], servercopy, countinout, islong, isnotlong, in lower case."""

    name: str
    direction: Direction
    type: Type
    flags: tuple[str, ...] = ()

    @property
    def in_request(self) -> bool:
        return self.direction in (Direction.IN, Direction.INOUT)

    @property
    def in_reply(self) -> bool:
        return self.direction in (Direction.OUT, Direction.INOUT)

    @property
    def counts_in(self) -> bool:
        """Whether the request says how many elements the caller has room for."""
        return self.in_reply and "countinout" in self.flags and self.type.form in (Form.COUNTED, Form.EITHER)


@dataclass(frozen=True, slots=True)
class Routine:
    name: str
    id: int
    arguments: tuple[Argument, ...]
    simple: bool
    """A simpleroutine: no reply."""

    @property
    def request_port(self) -> Argument:
        """The argument that names the destination: the one marked so, or the first."""
        for argument in self.arguments:
            if argument.direction is Direction.REQUEST_PORT:
                return argument
        return self.arguments[0]


@dataclass(slots=True)
class Subsystem:
    name: str = ""
    base: int = 0
    flags: tuple[str, ...] = ()
    """`kerneluser`, `kernelserver`."""
    routines: list[Routine] = field(default_factory=list)
    skips: list[int] = field(default_factory=list)
    """Ids that the subsystem leaves free."""
    types: dict[str, Type] = field(default_factory=dict)
    imports: list[tuple[str, str]] = field(default_factory=list)
    """(`import`, `uimport` or `simport`; the header's name with its brackets)."""
    user_prefix: str = ""
    server_prefix: str = ""
    server_demux: str = ""
    msg_option: str = ""
    """What every call's options have besides, in C."""
    wait_time: str = ""
    """How long every call waits, in milliseconds; empty: for ever."""
