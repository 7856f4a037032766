"""Clusters for tests: made from the text of a cluster file, with what their nodes print and hear."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from machemu.abi.message import PORT_SEND, PORT_SEND_ONCE
from machemu.cluster.cluster import Cluster, ClusterStop
from machemu.cluster.file import parse_file
from machemu.cluster.node import ClusterNode
from machemu.core import invariants
from machemu.core.kernel import FOREVER
from machemu.ipc import kmsg as kmsgs
from machemu.ipc.port import Port
from machemu.mig.runtime import Routine
from machemu.trace.events import ClusterEvent, FrameSent
from tests.support.callers import programs

T = TypeVar("T")
ROOT = Path(__file__).parent.parent.parent
US, MS, SECOND = 1_000, 1_000_000, 1_000_000_000
PORTS = "${host-port} ${device-port}"
START = "$(task-create) $(task-resume)"
ACS = '"masix.acs.server:Acs"'
"""The name server in Python, as cluster files name it."""


def node(name: str, *arguments: object, machine: str = "i386", program: str = "ether", nics: str = 'eth0 = "lan"') -> str:
    """A node's table: one program with its arguments, on a segment."""
    line = f"images/{machine}/{program}.elf {PORTS} {' '.join(map(str, arguments))} {START}"
    return f"[nodes.{name}]\nmemory = \"4M\"\nmodules = ['{line}']\nnics = {{ {nics} }}\n"


def with_guests(text: str, folder: str = "images/") -> str:
    """A cluster file's text with a guest for each node's name server, of the machine that its profile or modules are of."""
    head, *nodes = text.split("[nodes.")
    for number, table in enumerate(nodes):
        machine = "m68k" if "m68k/" in table or "sun3-60" in table else "i386"
        nodes[number] = table.replace(ACS, f'{{ guest = "{folder}{machine}/acs.elf", name-server = true }}')
    return "[nodes.".join([head, *nodes])


def fault(at: str, kind: str, **keys: object) -> str:
    """What befalls a cluster, as its file has it."""
    return _event("faults", at, kind, keys)


def action(at: str, kind: str, node: str, **keys: object) -> str:
    """What is done to a node's servers; keys: texts, numbers and truths. Of servers, successors.action."""
    return _event("actions", at, kind, {"node": node, **keys})


def _event(table: str, at: str, kind: str, keys: dict[str, object]) -> str:
    plain = {key: str(value).lower() if isinstance(value, bool) else repr(value) for key, value in keys.items()}
    values = "".join(f"{key} = {value}\n".replace("'", '"') for key, value in plain.items())
    return f'[[{table}]]\nat = "{at}"\nkind = "{kind}"\n{values}'


class Ear:
    """Stands for a driver: keeps what an interface hears, with the times of its node."""

    def __init__(self, owner: ClusterNode, interface: int = 0) -> None:
        self.owner = owner
        self.heard: list[tuple[int, bytes]] = []
        owner.nics[interface].receiver = self

    def accepts(self, frame: bytes) -> bool:
        return True

    def frame_arrived(self, frame: bytes) -> None:
        assert self.owner.kernel is not None
        self.heard.append((self.owner.kernel.kern.clock.now(), frame))


class World:
    """A cluster that has been switched on. printed: time, node, line."""

    def __init__(self, text: str, seed: int | None = None, load: Path | None = None, folder: Path = ROOT) -> None:
        spec = parse_file(text, folder)
        self.cluster = Cluster(spec, seed) if load is None else Cluster.load(load, spec)
        self.printed: list[tuple[int, str, str]] = []
        self.frames: list[tuple[int, int, bytes]] = []
        for each in self.cluster.nodes:
            each.switched_on = self._watch
        self.cluster.watch(self._happened)
        if load is None:
            self.cluster.boot()
        else:
            for each in self.cluster.nodes:
                self._watch(each)

    def _happened(self, event: ClusterEvent) -> None:
        if isinstance(event, FrameSent):
            segment = [segment.name for segment in self.cluster.segments].index(event.segment)
            self.frames.append((segment, event.end, event.frame))

    def __enter__(self) -> World:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.check()
        finally:
            self.cluster.close()

    def check(self) -> None:
        """Recounts everything in every kernel."""
        self.cluster.check_invariants()
        for each in self.cluster.nodes:
            if each.kernel is not None:
                invariants.check(each.kernel)

    def _watch(self, each: ClusterNode) -> None:
        kernel = each.kernel
        if kernel is None:
            return
        rest = b""

        def sink(data: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + data).split(b"\n")
            self.printed += [(kernel.kern.clock.now(), each.name, line.decode()) for line in lines]

        kernel.console.sinks.append(sink)

    def run(self, until: int = FOREVER) -> ClusterStop:
        return self.cluster.run(until)

    def lines(self, name: str) -> list[str]:
        return [line for _, who, line in self.printed if who == name]

    def node(self, name: str) -> ClusterNode:
        return next(each for each in self.cluster.nodes if each.name == name)

    def programs(self, name: str, kind: type[T]) -> list[T]:
        """The host-side programs of a class that run on a node."""
        return programs(self.node(name), kind)

    def send(self, name: str, time: int, frame: bytes, interface: int = 0) -> None:
        """A node, which is idle, sends a frame at a time."""
        each = self.node(name)
        each.pass_time(time)
        each.nics[interface].transmit(frame)

    def post(self, node: ClusterNode, to: Port, routine: Routine, *values: Any, once: Port | None = None) -> None:
        """The kernel of a node, which is stopped, sends a request. Consumes the rights: `to`, a send right, and `once`, a
        send-once right to the port where it is answered."""
        assert node.kernel is not None
        ipc = node.kernel.ipc
        body, carried = routine.request.pack(ipc.order, values)
        reply = PORT_SEND_ONCE if once is not None else 0
        kmsgs.kernel_send(ipc, kmsgs.make(ipc, to, PORT_SEND, once, reply, routine.request.id, body, carried))
        node.idle = False
        self.cluster._note(node.number, node.status())

    def result(self) -> tuple[list[tuple[int, str, str]], str]:
        """What the nodes printed, by time, and the digest."""
        return sorted(self.printed), self.cluster.digest()


@contextmanager
def saved_in_between(text: str, time: int, end: int, path: Path) -> Iterator[World]:
    """A cluster at `end` that was saved and loaded at `time`, with all that was printed. It is, and has printed, what it would
    without that."""
    with World(text) as whole:
        whole.run(end)
        expected = whole.result()
    with World(text) as first:
        first.run(time)
        first.cluster.save(path)
    with World(text, load=path) as second:
        second.run(end)
        second.printed = first.printed + second.printed
        assert second.result() == expected
        yield second


def check_saved_replacements(text: str, node: str, server: str, times: range, end: int, path: Path) -> None:
    """A cluster in which a server of a node is replaced is saved at each of `times`, from before that begins until the
    predecessor has ended; each time it goes on to `end` as it does when nothing is saved."""
    with World(text) as whole:
        servers, kernel = whole.node(node).servers, whole.node(node).kernel
        assert servers is not None and kernel is not None
        saved = [times.start - 1]
        for time in times:
            whole.run(time)
            saved.append(time)
            if time > times.start and f"{server}-before" not in servers.names(kernel):
                break
        whole.run(end)
        digest = whole.cluster.digest()
    assert len(saved) > 5
    with World(text) as world:
        for time in saved:
            world.run(time)
            world.cluster.save(path)
            with World(text, load=path) as loaded:
                loaded.run(end)
                assert loaded.cluster.digest() == digest, f"saved at {time}"


def ticks(world: World, name: str) -> list[list[str]]:
    return [line.split() for line in world.lines(name) if "tick" in line]
