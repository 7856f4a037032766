"""The keyboard and the mouse of a PC, as streams of events (GNU Mach's kd_event.c and kd_mouse.c).

What is typed and moved is given to the machine when it is switched on, and waits until somebody reads it: so it is a part of the
machine, saved with it, and every run reads the same.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from collections.abc import Iterable
from typing import Final

from machemu.abi.device import D_INVALID_OPERATION, D_INVALID_SIZE, D_NOWAIT, D_WOULD_BLOCK, DEV_GET_SIZE
from machemu.abi.errors import KernError, UserError
from machemu.device.driver import Driver, Minor, unit_of
from machemu.device.io import DeviceIo, IoRequest
from machemu.device.limits import reading_count, wait
from machemu.ipc.port import Right
from machemu.sim.state import U16, Word, state

EVENT: Final = struct.Struct("<HxxiiI")
"""kd_event: its kind, the time of day as seconds and microseconds, and what it tells."""
MOUSE_LEFT, MOUSE_MIDDLE, MOUSE_RIGHT, MOUSE_MOTION, KEYBD_EVENT = 1, 2, 3, 4, 5
KDSKBDMODE: Final = 0x80044B01
KDGKBDTYPE: Final = 0x40044B02
KDSETLEDS: Final = 0x80044B05
KB_VANILLAKB: Final = 0
SHIFT: Final = 0x2A
RELEASED: Final = 0x80
ROWS: Final = (
    (0x02, "1234567890-=\b", "!@#$%^&*()_+"),
    (0x0F, "\tqwertyuiop[]\n", "\0QWERTYUIOP{}"),
    (0x1E, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (0x2B, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (0x39, " ", ""),
)
"""The keys of a PC's keyboard in their rows: the first one's scan code, and what they mean alone and with Shift."""
KEYS: Final = {
    character: (row + at, shifted)
    for row, plain, upper in ROWS
    for characters, shifted in ((plain, False), (upper, True))
    for at, character in enumerate(characters)
    if character != "\0"
}
BUTTONS: Final = {"left": MOUSE_LEFT, "middle": MOUSE_MIDDLE, "right": MOUSE_RIGHT}
UP: Final = {"down": 0, "up": 1}
NUMBER: Final = re.compile("-?[0-9]{1,5}")


def keys(text: str) -> list[tuple[int, int]]:
    """The events of typing a text: each key goes down and up, Shift where it is needed. UserError for what no key means."""
    events = []
    for number, line in enumerate(text.split("\n"), 1):
        for character in line + "\n":
            if character not in KEYS:
                raise UserError(f"line {number}: no key of the keyboard means {character!r}")
            code, shifted = KEYS[character]
            codes = [SHIFT, code, code | RELEASED, SHIFT | RELEASED] if shifted else [code, code | RELEASED]
            events += [(KEYBD_EVENT, each) for each in codes]
    return events[:-2]


def moves(text: str) -> list[tuple[int, int]]:
    """The events of lines `move DX DY`, in steps of the mouse, and `left`, `middle` or `right` with `down` or `up`; # begins a
    comment. UserError."""
    events = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        try:
            if not words:
                continue
            if words[0] == "move":
                x, y = map(_steps, words[1:])
                events.append((MOUSE_MOTION, int.from_bytes(struct.pack("<hh", x, y), "little")))
            else:
                button, way = words
                events.append((BUTTONS[button], UP[way]))
        except (ValueError, KeyError, struct.error):
            raise UserError(f"line {number}: write move DX DY, or left, middle or right with down or up, not '{line}'") from None
    return events


def _steps(word: str) -> int:
    if not NUMBER.fullmatch(word):
        raise ValueError
    return int(word)


@state
class EventDriver(Driver):
    """The keyboard or the mouse."""

    __slots__ = ("io", "name", "events", "pending")
    io: DeviceIo
    name: str
    events: deque[tuple[U16, Word]]  # kinds and what they tell, not yet read
    pending: deque[IoRequest]  # reads that wait: for ever, since there are no events then

    def __init__(self, io: DeviceIo, name: str) -> None:
        self.io = io
        self.name = name
        self.events = deque()
        self.pending = deque()

    def identify(self, name: str, mode: int) -> Minor | None:
        unit = unit_of(name, self.name)
        return None if unit is None else (self.name, unit)

    def read(self, minor: Minor, request: IoRequest) -> bytes | None:
        """Whole events, as many as there are and are asked for; their time is that of the read. Who asks for none waits, too."""
        count = request.count = reading_count(request)
        if count % EVENT.size:
            raise KernError(D_INVALID_SIZE)
        if self.events:
            time = self.io.clock.time_of_day()
            found = [self.events.popleft() for _ in range(min(count // EVENT.size, len(self.events)))]
            return b"".join(EVENT.pack(kind, *time, value & 0xFFFFFFFF) for kind, value in found)
        if request.mode & D_NOWAIT:
            self.io.read_done(request, D_WOULD_BLOCK, b"")
        else:
            wait(self.pending, request)
        return None

    def get_status(self, minor: Minor, flavor: int, room: int) -> tuple[int, ...]:
        if flavor == DEV_GET_SIZE:
            return (0, EVENT.size)
        if flavor & 0xFFFFFFFF == KDGKBDTYPE and self.name == "kbd":
            return (KB_VANILLAKB,)
        raise KernError(D_INVALID_OPERATION)

    def set_status(self, minor: Minor, flavor: int, words: tuple[int, ...]) -> None:
        """The keyboard's mode and lights: keys are events in either mode, and nobody sees the lights."""
        flavor &= 0xFFFFFFFF
        if self.name != "kbd" or flavor not in (KDSKBDMODE, KDSETLEDS) or (flavor == KDSETLEDS and len(words) != 1):
            raise KernError(D_INVALID_OPERATION)

    def held(self) -> Iterable[tuple[Right, int]]:
        return [(request.reply_port, request.reply_type) for request in self.pending]
