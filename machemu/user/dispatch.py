"""A server's side of an interface: requests to handlers, results and codes to replies (what MIG's server skeletons do in C)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from machemu.abi.errors import KernError
from machemu.abi.kern_return import MIG_BAD_ID
from machemu.mig.runtime import Routine
from machemu.user.mach import Mach, rights
from machemu.user.message import Message

Handler = Callable[..., "tuple[Any, ...] | None"]
"""handler(mach, request, *arguments): the results, or None where it answers later, by `mach.answer` to `request.caller`.

It owns the rights among its arguments once it returns; where it raises KernError they are given up for it.
"""


def dispatch(mach: Mach, message: Message, routines: Mapping[int, tuple[Routine, Handler]]) -> None:
    """Performs a request and answers it; one of no known routine with MIG_BAD_ID."""
    perform(mach, message, *routines.get(message.header.id, (None, None)))


def perform(mach: Mach, message: Message, routine: Routine | None, handler: Handler | None) -> None:
    """As `dispatch`, with the routine found."""
    try:
        if routine is None or handler is None:
            raise KernError(MIG_BAD_ID)
        values = routine.request.unpack(mach.order, message.body, message.carried, message.complex)
        results = handler(mach, message, *values)
    except KernError as error:
        mach.give_up(rights(message._replace(header=message.header._replace(remote_type=0))))
        mach.reply(message, None, error.code)
        return
    if results is not None:
        mach.reply(message, routine, 0, results)
