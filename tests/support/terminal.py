"""machemu at a pseudo-terminal, as somebody sits before it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable

from tests.support.commands import ROOT

PROMPT = "machemu> "
CHILD = """import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from machemu.ui.cli import main
sys.exit(main())"""
"""machemu with the pseudo-terminal as its own, so that Ctrl-C reaches it."""


class Terminal:
    """A session at a pseudo-terminal. text: what it has shown. plant: Python that runs before machemu begins."""

    def __init__(self, *command: str, plant: str = "") -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 250, 0, 0))
        environment = {**os.environ, "TERM": "dumb", "INPUTRC": os.devnull}
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{plant}\n{CHILD}", *command[1:]],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def until_prompt(self) -> None:
        """Reads until it asks for a command, or has ended."""
        self._until(lambda shown: shown.endswith(PROMPT))

    def until(self, text: str) -> None:
        """Reads until it shows a text, or has ended."""
        self._until(lambda shown: text in shown)

    def _until(self, enough: Callable[[str], bool]) -> None:
        """enough: whether what it has shown from here on is."""
        start = len(self.text)
        limit = time.monotonic() + 90
        while True:
            if time.monotonic() > limit:
                self.process.kill()
                self.process.wait()
                raise AssertionError(self.text)
            if not select.select([self.master], [], [], 1)[0]:
                continue
            try:
                data = os.read(self.master, 4096)
            except OSError:
                return
            self.text += data.decode().replace("\r\n", "\n")
            if not data or enough(self.text[start:]):
                return

    def send(self, data: str) -> None:
        os.write(self.master, data.encode())
        self.until_prompt()

    def close(self) -> int:
        os.close(self.master)
        return self.process.wait(60)
