"""What one request to a device may ask for."""

from __future__ import annotations

from collections import deque
from typing import Final

from machemu.abi.device import D_INVALID_SIZE, D_NO_MEMORY, IO_INBAND_MAX
from machemu.abi.errors import KernError
from machemu.device.io import IoOp, IoRequest

CHARACTERS_MAX: Final = 1 << 20
"""Bytes that one read or write of a character device moves at most."""


WAITING_MAX: Final = 4096
"""Requests that wait at a character device at most."""


def wait(queue: deque[IoRequest], request: IoRequest, limit: int = WAITING_MAX) -> None:
    """Puts a request into a queue. Raises D_NO_MEMORY where that is full."""
    if len(queue) >= limit:
        raise KernError(D_NO_MEMORY)
    queue.append(request)


def reading_count(request: IoRequest) -> int:
    """How many bytes a read of a character device wants. Raises D_INVALID_SIZE."""
    if request.op is IoOp.READ_INBAND:
        return request.count if 0 <= request.count < IO_INBAND_MAX else IO_INBAND_MAX
    if not 0 <= request.count <= CHARACTERS_MAX:
        raise KernError(D_INVALID_SIZE)
    return request.count
