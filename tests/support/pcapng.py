"""Reads captures."""

from __future__ import annotations

import struct

Frame = tuple[int, int, bytes]


def read_pcapng(data: bytes) -> tuple[list[str], list[Frame]]:
    """The interfaces' names; each packet's interface, time in nanoseconds, bytes. Written from the specification alone."""
    names: list[str] = []
    frames: list[Frame] = []
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        assert size % 4 == 0
        assert struct.unpack_from("<I", data, at + size - 4) == (size,)
        body = data[at + 8 : at + size - 4]
        if kind == 0x0A0D0D0A:
            assert at == 0
            assert struct.unpack_from("<IHHq", body) == (0x1A2B3C4D, 1, 0, -1)
        elif kind == 1:
            link, _, snap = struct.unpack_from("<HHI", body)
            assert (link, snap) == (1, 1514)
            options = read_options(body[8:])
            assert options[9] == b"\x09", "times of a nanosecond"
            names.append(options[2].decode())
        elif kind == 5:
            assert read_options(body[12:]).keys() == {1}
        else:
            assert kind == 6
            interface, high, low, captured, original = struct.unpack_from("<IIIII", body)
            assert captured == original
            frames.append((interface, high << 32 | low, body[20 : 20 + captured]))
        at += size
    return names, frames


def read_options(data: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    at = 0
    while True:
        code, size = struct.unpack_from("<HH", data, at)
        if code == 0:
            return options
        options[code] = data[at + 4 : at + 4 + size]
        at += 4 + (size + 3) // 4 * 4
