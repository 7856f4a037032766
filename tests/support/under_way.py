"""A service that moves from one node to another while callers on a third one have messages under way to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

from machemu.abi.message import COPY_SEND
from machemu.mig.runtime import PolyPort
from machemu.sim.state import PortName, state
from machemu.user.kit import Answer, HostServer, answered
from machemu.user.mach import Mach
from machemu.user.message import Header, living
from masix.gns import forward
from masix.gns.context import Context
from masix.gns.ports import Proxy
from masix.interfaces import acs, gns
from tests.support.callers import Caller
from tests.support.clusters import MS, PORTS, START, World, action, fault
from tests.support.guests import I386, Arch
from tests.support.wanderers import MANAGERS

CALLERS = 4
MOVE_MS = 300
CRASH_MS = 600


def cluster(way: str, arch: Arch = I386, calls: int = 260, more: str = "") -> str:
    """The service goes from `old` to `new`; callers are on `third`. more: what befalls the cluster."""
    servers = [f'"{each}"' for each in MANAGERS]
    servers[1] = f'{{ class = "{MANAGERS[1]}", messages = "{way}" }}'
    callers = [f'{{ class = "tests.support.callers:Caller", start_ms = {100 + n}, calls = {calls} }}' for n in range(CALLERS)]
    greet = f"images/{arch.name}/greet.elf"
    text = "seed = 5\n[segments.lan]\n"
    for name, lines, own in (("old", [f"{greet} {PORTS} serve service {START}"], []), ("new", [], []), ("third", [], callers)):
        text += f'[nodes.{name}]\nprofile = "{arch.profile}"\nmodules = {lines}\n'
        text += f'servers = [{", ".join(servers + own)}]\nnics = {{ eth0 = "lan" }}\n'
    text += action(f"{MOVE_MS}ms", "migrate", "old", task=greet, to="new")
    return text + more


def crash(node: str, at_ms: int = CRASH_MS) -> str:
    return fault(f"{at_ms}ms", "crash", node=node)


@contextmanager
def sent_on() -> Iterator[list[int]]:
    """The times at which the old home sends messages for the port on, in nanoseconds."""
    times: list[int] = []
    went = forward.went

    def counting(context: Context, name: PortName, proxy: Proxy, header: Header) -> None:
        if context.node == 1 and proxy.watcher:
            times.append(context.mach.now())
        went(context, name, proxy, header)

    forward.went = counting
    try:
        yield times
    finally:
        forward.went = went


def waits(world: World) -> list[tuple[int, int]]:
    """Of each call that was answered its begin, and how long it took, in nanoseconds."""
    found = [caller.times[1:] for caller in world.programs("third", Caller)]
    return [(before, after - before) for times in found for before, after in pairwise(times)]


MOVE = MOVE_MS * MS
CRASH = CRASH_MS * MS


@state
class Stranger(HostServer):
    """Asks the network server of its node to pause its ports, with a right that is not the host's."""

    __slots__ = ("code",)
    code: int

    def __init__(self) -> None:
        super().__init__()
        self.code = -1

    def start(self, mach: Mach) -> None:
        super().start(mach)
        self.ask(mach, self._found, mach.given("name-server"), (b"gns",))

    @answered(acs.ACS_LOOK_UP_HERE)
    def _found(self, mach: Mach, answer: Answer) -> None:
        own = mach.copy_send(mach.task_self())
        self.ask(mach, self._paused, living(answer.results[0]), ([own], PolyPort(mach.task_self(), COPY_SEND)))

    @answered(gns.GNS_PAUSE)
    def _paused(self, mach: Mach, answer: Answer) -> None:
        self.code = answer.code
