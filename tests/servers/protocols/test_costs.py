"""The page about protocols is true: its figures come out again, its transcript is the program's, its bounds are the server's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from masix.gns import protocols
from tests.support.datagrams import MACHINES, SIZES, WAYS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "protocols.md").read_text()


def test_the_library_saves_traps_and_switches_and_gains_at_equal_work() -> None:
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith(("| i386", "| m68k"))
    ]
    assert [tuple(row[:3]) for row in rows] == [
        (machine, str(size), way) for machine in MACHINES for size in SIZES for way in WAYS
    ]
    for server, checked, direct in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        traps = [int(row[6]) for row in (direct, checked, server)]
        assert traps == sorted(traps) and traps[0] * 4 == traps[2]
        assert int(direct[8]) == 0 < int(server[8])
        assert 1 < float(checked[9]) < float(direct[9])


def test_the_page_s_transcript_is_real() -> None:
    command = [sys.executable, "-m", "machemu", "cluster", "images/datagram.toml"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (0, PAGE.split("```text\n")[1].split("```")[0])


def test_the_page_s_bounds_are_those_of_the_server() -> None:
    most = protocols.PROTOCOLS_MAX, protocols.PROTOCOLS_OF_ONE_MAX, protocols.CONNECTIONS_MAX
    assert "at most {} protocols, an environment {}, a protocol {} connections".format(*most) in " ".join(PAGE.split())
