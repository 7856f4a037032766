"""Kinds of `[[actions]]` in a cluster file that know Masix: each is a server that does it and ends."""

from __future__ import annotations

from typing import Final

from machemu.abi.names import return_name
from machemu.mig.interfaces.mach import TASK_TERMINATE
from machemu.sim.state import state
from machemu.user.kit import Answer, HostServer, answered
from machemu.user.mach import Mach
from masix.control import options
from masix.interfaces import acs, acs_client

NAME_MAX: Final = 79
"""Bytes of a service's name."""


@state
class SaveAndEnd(HostServer):
    """`save-and-end`: asks the service `name` of the node to save and end, as the name server does before the node reboots."""

    __slots__ = ("name",)
    name: bytes

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = options.text("name", name, NAME_MAX, 'the name of a service, such as name = "acs"').encode()

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.ask(mach, self._found, mach.given("name-server"), (self.name,))

    @answered(acs.ACS_LOOK_UP_HERE)
    def _found(self, mach: Mach, answer: Answer) -> None:
        service = answer.right
        if service:
            self.ask(mach, self._ended, service, ())
        else:
            self._end(mach, f"there is no {self.name.decode()} on this node")

    @answered(acs_client.ACS_SAVE_AND_END)
    def _ended(self, mach: Mach, answer: Answer) -> None:
        name = self.name.decode()
        self._end(mach, f"{name} has ended" if not answer.code else f"{name} did not end: it answered {return_name(answer.code)}")

    @staticmethod
    def _end(mach: Mach, what: str) -> None:
        mach.note(f"save-and-end: {what}")
        mach.request(TASK_TERMINATE, mach.task_self(), ())
