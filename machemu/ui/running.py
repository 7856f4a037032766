"""How a command runs what it has made, and ends: the same for one machine and for a cluster."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from machemu.ui.status import Status
from machemu.ui.streams import Streams

S = TypeVar("S")


class Saved(Protocol):
    """A machine or a cluster."""

    def save(self, path: Path, /) -> None: ...

    def digest(self) -> str: ...


class View(Protocol):
    """What is seen of it."""

    streams: Streams

    def failed(self, error: Exception) -> None:
        """The run is over before its time."""

    def finish(self) -> None:
        """The run is over."""


def run(options: argparse.Namespace, what: Saved, view: View, go: Callable[[], S], explain: Callable[[S], Status]) -> Status:
    """Runs by `go`, which gives why it came back, and then does what the options want of the end. `explain` makes of that why the
    exit status."""
    options.interrupt.begin()
    try:
        stop = go()
    except Exception as error:
        view.failed(error)
        raise
    finally:
        view.finish()
    status = explain(stop)
    if options.save is not None:
        what.save(options.save)
    view.streams.check()
    if options.digest:
        options.errors.line(f"digest {what.digest()}")
    return status
