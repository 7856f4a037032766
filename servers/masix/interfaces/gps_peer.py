"""The messages of the subsystem gps_pages. Made by `python -m machemu.mig`; do not edit."""

from typing import Final

from machemu.mig.runtime import OUT_OF_LINE, Message, Routine, Type, table

SUBSYSTEM: Final = "gps_pages"
BASE: Final = 5550

_UINT32 = Type(2, 2, 32, 1, "I")
_GPS_MEMBER = Type(2, 2, 32, 3, "3I")
_INT32 = Type(2, 2, 32, 1, "i")
_BOOLEAN = Type(0, 0, 32, 1, "i")
_POINTER = Type(9, 9, 8, 1, "s", OUT_OF_LINE, longform=True)

GPS_PAGE_GET = Routine(
    "gps_page_get",
    Message(
        5550,
        (
            ("page", _UINT32),
            ("by", _GPS_MEMBER),
            ("seen", _UINT32),
        ),
    ),
    Message(
        5650,
        (
            ("RetCode", _INT32),
            ("owner", _UINT32),
            ("given", _BOOLEAN),
            ("version", _UINT32),
            ("data", _POINTER),
        ),
    ),
)

ROUTINES: Final = table(
    GPS_PAGE_GET,
)
"""The routines by request id."""
