"""The table of waits."""

from __future__ import annotations

from machemu.ipc.thread import MsgContinuation
from machemu.kern.thread import Continuation
from machemu.kern.waits import WAITS


def test_each_continuation_has_one_row() -> None:
    assert set(WAITS) == {*MsgContinuation, *Continuation}


def test_a_row_names_only_what_a_report_can_fill_in() -> None:
    for wait in WAITS.values():
        assert "{" not in wait.doing.format(queue="port 1", event="a free page")
