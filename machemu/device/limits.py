"""What one request to a device may ask for."""

from __future__ import annotations

from typing import Final

from machemu.abi.device import IO_INBAND_MAX, IoReturn
from machemu.abi.errors import KernError
from machemu.device.io import IoOp, IoRequest

CHARACTERS_MAX: Final = 1 << 20
"""Bytes that one read or write of a character device moves at most."""


def reading_count(request: IoRequest) -> int:
    """How many bytes a read of a character device wants. Raises D_INVALID_SIZE."""
    if request.op is IoOp.READ_INBAND:
        return request.count if 0 <= request.count < IO_INBAND_MAX else IO_INBAND_MAX
    if not 0 <= request.count <= CHARACTERS_MAX:
        raise KernError(IoReturn.D_INVALID_SIZE)
    return request.count
