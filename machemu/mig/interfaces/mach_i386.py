"""The messages of the subsystem mach_i386. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import EITHER, Message, Routine, Type, table

SUBSYSTEM: Final = "mach_i386"
BASE: Final = 3800

_INT32 = Type(2, 2, 32, 1, "i")
_DESCRIPTOR_LIST = Type(2, 2, 32, 2, "2i", EITHER, longform=True, limit=256)
_INT16 = Type(1, 1, 16, 1, "h")
_COPY_SEND = Type(19, 17, 32, 1, "")
_BOOLEAN = Type(0, 0, 32, 1, "i")
_DESCRIPTOR = Type(2, 2, 32, 2, "2i")

I386_SET_LDT = Routine(
    "i386_set_ldt",
    Message(
        3803,
        (
            ("first_selector", _INT32),
            ("desc_list", _DESCRIPTOR_LIST),
        ),
    ),
    Message(3903, (("RetCode", _INT32),)),
)

I386_GET_LDT = Routine(
    "i386_get_ldt",
    Message(
        3804,
        (
            ("first_selector", _INT32),
            ("selector_count", _INT32),
        ),
    ),
    Message(
        3904,
        (
            ("RetCode", _INT32),
            ("desc_list", _DESCRIPTOR_LIST),
        ),
    ),
)

I386_IO_PERM_CREATE = Routine(
    "i386_io_perm_create",
    Message(
        3805,
        (
            ("from", _INT16),
            ("to", _INT16),
        ),
    ),
    Message(
        3905,
        (
            ("RetCode", _INT32),
            ("io_perm", _COPY_SEND),
        ),
    ),
)

I386_IO_PERM_MODIFY = Routine(
    "i386_io_perm_modify",
    Message(
        3806,
        (
            ("io_perm", _COPY_SEND),
            ("enable", _BOOLEAN),
        ),
    ),
    Message(3906, (("RetCode", _INT32),)),
)

I386_SET_GDT = Routine(
    "i386_set_gdt",
    Message(
        3807,
        (
            ("selector", _INT32),
            ("desc", _DESCRIPTOR),
        ),
    ),
    Message(
        3907,
        (
            ("RetCode", _INT32),
            ("selector", _INT32),
        ),
    ),
)

I386_GET_GDT = Routine(
    "i386_get_gdt",
    Message(3808, (("selector", _INT32),)),
    Message(
        3908,
        (
            ("RetCode", _INT32),
            ("desc", _DESCRIPTOR),
        ),
    ),
)

ROUTINES: Final = table(
    I386_SET_LDT,
    I386_GET_LDT,
    I386_IO_PERM_CREATE,
    I386_IO_PERM_MODIFY,
    I386_SET_GDT,
    I386_GET_GDT,
)
"""The routines by request id."""
