"""Where the `machemu` command begins."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from machemu.ui.loading import loading


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; its exit status. Until all that it takes is loaded, Ctrl-C ends the process: there is nothing to lose."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)
    with loading():
        from machemu.ui.commands import main as run

    return run(arguments)


def _end(*_: object) -> None:
    os.write(2, b"machemu: interrupted\n")
    os._exit(130)
