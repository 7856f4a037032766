"""Servers of a node: classes on the host that the cluster file names, imported by that name, and guest programs."""

from __future__ import annotations

import importlib
import inspect
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any, Final

from machemu.abi.errors import KernError, UserError
from machemu.abi.names import return_name
from machemu.boot.bootstrap import boot_server, boot_successor
from machemu.boot.modules import Modules
from machemu.cluster.changes import described
from machemu.cluster.faults import Fault, ReplaceServer, StartServer
from machemu.cluster.file import ClusterSpec, NodeSpec
from machemu.cluster.privileges import is_privileged
from machemu.cluster.server_specs import GuestSpec, ServerSpec, name_of
from machemu.core.kernel import Kernel
from machemu.core.name_server import NameServer, give_ports, given_rights, launch_server, send_ports
from machemu.core.succession import check, follow, replace, shared_of
from machemu.formats.elf import architecture_in
from machemu.ipc.port import Port
from machemu.kern import task_control
from machemu.kern.task import Task
from machemu.sim.state import REGISTRY, U31, U64, state
from machemu.sim.streams import Stream
from machemu.user import faults
from machemu.user.server import Server

HANDLERS: Final = {
    "attach": (),
    "start": ("mach",),
    "receive": ("mach", "message"),
    "expired": ("mach",),
    "sent": ("mach", "message", "code"),
    "unsent": ("mach", "message", "code"),
}
"""user.server.Server's."""
THREADS_MAX: Final = 64
BEFORE: Final = "-before"
"""Behind the name of a server that has a successor."""


def load_server(name: str) -> type[Server]:
    """The class `module:class`. UserError where there is none."""
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(f"server {name}: cannot be imported: {error}") from None
    except (Exception, SystemExit) as error:
        raise UserError(f"server {name}: cannot be imported: {faults.raised(error)}") from None
    found = getattr(module, class_name, None)
    if not isinstance(found, type) or not callable(getattr(found, "receive", None)):
        raise UserError(f"server {name}: {module_name} has no server {class_name}")
    for handler, arguments in HANDLERS.items():
        try:
            method = getattr(found, handler)
            inspect.signature(method).bind(None, *arguments)
            missing = getattr(method, "__isabstractmethod__", False)
        except (AttributeError, TypeError, ValueError):
            missing = True
        if missing:
            wanted = f"{handler}({', '.join(('self', *arguments))})"
            raise UserError(f"server {name}: has no {wanted} {faults.class_line(found)}") from None
    if not issubclass(found, Server):
        raise UserError(f"server {name}: is not derived from machemu.user.server.Server {faults.class_line(found)}")
    if found not in REGISTRY.values():
        raise UserError(f"server {name}: is not marked @state, and could not be saved {faults.class_line(found)}")
    return found


def make_server(spec: ServerSpec, node: NodeSpec, seed: int) -> Server:
    """A program of the class, by its `on_node`. UserError for options that it has not."""
    found = load_server(spec.name)
    place: tuple[Any, ...] = (node.number, seed, node.key)
    options: dict[str, Any] = dict(spec.options)
    try:
        if found.on_node.__func__ is Server.on_node.__func__:  # type: ignore[attr-defined]
            inspect.signature(found).bind(**options)
        else:
            signature = inspect.signature(found.on_node)
            more = {"host": node.name, "folder": node.folder}
            place = (*place, *(more[name] for name in signature.parameters if name in more))
            signature.bind(*place, **options)
    except TypeError as error:
        raise UserError(f"server {spec.name}: has not these options: {error}") from None
    try:
        server = found.on_node(*place, **options)
    except UserError as error:
        raise UserError(f"server {spec.name}: {error}") from None
    except (Exception, SystemExit) as error:
        if _is_of_options(error):
            raise UserError(f"server {spec.name}: has not these options: {error}") from None
        raise UserError(f"server {spec.name}: cannot be made: {faults.raised(error, found)}") from error
    if type(server.threads) is not int or not 1 <= server.threads <= THREADS_MAX:
        what = f"has {server.threads!r} threads, and may have 1 to {THREADS_MAX}"
        raise UserError(f"server {spec.name}: {what} {faults.class_line(found)}")
    return server


def _is_of_options(error: BaseException) -> bool:
    """Whether `on_node` itself has raised an error: it hands options on to a class that has others."""
    depth = len(traceback.extract_tb(error.__traceback__))
    return isinstance(error, TypeError) and depth == 2


def check_actions(faults: Iterable[Fault], spec: ClusterSpec) -> None:
    """UserError, which names the action, where there is no such class or program for the node, or an option is wrong."""
    for fault in faults:
        if isinstance(fault, StartServer | ReplaceServer):
            try:
                _check_server(fault.server, spec.nodes[fault.node - 1], [node.name for node in spec.nodes])
            except UserError as error:
                raise UserError(f"actions: {described(fault, spec)}: {error}") from None


def _check_server(spec: ServerSpec | GuestSpec, node: NodeSpec, names: Sequence[str]) -> None:
    if isinstance(spec, ServerSpec):
        make_server(spec, node, 0).check_nodes(names)
        return
    path, machine = name_of(spec), node.profile.architecture
    if (found := architecture_in(path, Modules(node.folder).read(path))) != machine:
        raise UserError(f"{path}: is a program for {found}, and the machine is an {machine}")


@state
class Servers:
    """The servers of a node that runs."""

    __slots__ = ("first", "former", "heirs", "lasting", "name_server", "revived", "seed", "tasks")
    name_server: NameServer | None  # the node's
    first: str  # its path or class
    # The numbers of their tasks by name: the class in small letters, or a guest's path, with -2 and so on behind it where one of
    # that name is there already; with -before behind it one that has a successor, as long as it is there:
    tasks: dict[str, int]
    heirs: dict[int, Port]  # where guests wait for what they inherit, by their tasks' numbers
    lasting: dict[str, ServerSpec | GuestSpec]  # those that are started again where they end, by name
    former: dict[str, ServerSpec | GuestSpec]  # those that will be again if their successors end with nothing, by name
    revived: U31  # how often one was
    seed: U64  # of those

    def __init__(self, seed: int) -> None:
        self.name_server = None
        self.first = ""
        self.tasks = {}
        self.heirs = {}
        self.lasting = {}
        self.former = {}
        self.revived = 0
        self.seed = seed

    def start(self, kernel: Kernel, node: NodeSpec, spec: ServerSpec | GuestSpec, seed: int) -> str:
        """Makes a server a task of the node; its name. UserError for a second name server, or where it cannot be made."""
        with _whole(kernel):
            lasts = self._launch(kernel, node, spec, seed, True)
        self._forget_ended(kernel)
        name = self._enter(name_of(spec), max(kernel.kern.tasks))
        if lasts:
            self.lasting[name] = spec
        return name

    def _launch(self, kernel: Kernel, node: NodeSpec, spec: ServerSpec | GuestSpec, seed: int, is_new: bool) -> bool:
        """Makes the task; whether it is to be started again where it ends. is_new: it is not in the place of one that ended."""
        privileged = is_privileged(spec, node.folder, node.privileged)
        before = self.name_server
        if isinstance(spec, GuestSpec):
            if is_new:
                self._may_be_first(spec.name_server, name_of(spec))
            self.name_server = boot_server(kernel, spec.command, before, Modules(node.folder), spec.name_server, privileged)
            return spec.name_server
        server = make_server(spec, node, seed)
        if is_new:
            self._may_be_first(server.name_server, spec.name)
        with _memory_told(spec):
            self.name_server = launch_server(kernel, server, name_of(spec), before, privileged)
        return server.comes_back

    def revive(self, kernel: Kernel, node: NodeSpec, ending: Task) -> None:
        """A task ends, with all that it has still in its name space. If it is that of a server that lasts, another one takes its
        place, and a name server the ports of the one before; where it cannot be made, there is none any more. Where it was to
        follow a server that still has all, that goes on.
        """
        name = next((name for name, number in self.tasks.items() if number == ending.number), None)
        if name is not None and self._goes_back(kernel, name, ending):
            return
        if name not in self.lasting:
            self._follow(kernel, ending)
            return
        self.revived += 1
        last = kernel.kern.task_serial
        try:
            self._launch(kernel, node, self.lasting[name], Stream(self.seed, f"{name} again {self.revived}").word(), False)
        except (UserError, KernError):
            del self.lasting[name]
            _end_since(kernel, last)
            if self.name_server is not None and self.name_server.service.receiver in (None, ending.space):
                self.name_server = None
        else:
            self.tasks[name] = max(kernel.kern.tasks)

    def _goes_back(self, kernel: Kernel, name: str, ending: Task) -> bool:
        """A server ends. Where it was to follow one that has left it nothing yet, that is again what it was; False elsewhere."""
        for before, task in self._running(kernel):
            if before.startswith(f"{name}{BEFORE}"):
                shared = shared_of(task)
                is_whole = self._waits(ending) if shared is None else not shared.server.name_server and not shared.leaves
                if self._is_first(task) or is_whole:
                    self.tasks[name] = self.tasks.pop(before)
                    self.lasting.pop(name, None)
                    if before in self.former:
                        self.lasting[name] = self.former.pop(before)
                    return True
        return False

    def _is_first(self, task: Task) -> bool:
        """Whether it receives what comes to the name server."""
        return self.name_server is not None and self.name_server.service.receiver is task.space

    def _running(self, kernel: Kernel) -> list[tuple[str, Task]]:
        """The servers that are there."""
        tasks = kernel.kern.tasks
        return [(name, tasks[number]) for name, number in self.tasks.items() if number in tasks and tasks[number].active]

    def _follow(self, kernel: Kernel, ending: Task) -> None:
        """Where a name server ends that has not handed over yet, the one that waits to follow it gets its ports."""
        if self.name_server is None or not self._is_first(ending):
            return
        for name, task in self._running(kernel):
            shared = shared_of(task)
            if shared is not None and shared.server.name_server and "legacy" in shared.names:
                self.name_server = give_ports(kernel, task, self.name_server)
            elif self._waits(task) and name in self.lasting:
                send_ports(kernel, self.heirs[task.number], self.name_server)

    def _waits(self, task: Task) -> bool:
        """Whether a guest has still to inherit."""
        return task.number in self.heirs and self.heirs[task.number].receiver is task.space

    def _may_be_first(self, is_name_server: bool, name: str) -> None:
        if is_name_server and self.name_server is not None:
            raise UserError(f"server {name}: is a second name server of the node: {self.first} is one already")
        self.first = name if is_name_server else self.first

    def names(self, kernel: Kernel) -> list[str]:
        """Of those that are there."""
        return [name for name, _ in self._running(kernel)]

    def _enter(self, first: str, task: int) -> str:
        """A task is a server's: the name that it gets."""
        name = next(name for n in count(1) if (name := first if n == 1 else f"{first}-{n}") not in self.tasks)
        self.tasks[name] = task
        return name

    def _forget_ended(self, kernel: Kernel) -> None:
        self.tasks = {name: self.tasks[name] for name in self.names(kernel)}
        self.lasting = {name: spec for name, spec in self.lasting.items() if name in self.tasks}
        self.former = {name: spec for name, spec in self.former.items() if name in self.tasks}
        if self.name_server is not None and not self.name_server.service.active:
            self.name_server = None

    def stop(self, kernel: Kernel, name: str) -> None:
        """Ends a server's task: its ports die. UserError where there is none."""
        task = self._task(kernel, name)
        if not self._goes_back(kernel, name, task):
            self.lasting.pop(name, None)
        task_control.terminate(kernel.kern, task, is_loader=True)
        self._forget_ended(kernel)

    def replace(self, kernel: Kernel, node: NodeSpec, name: str, spec: ServerSpec | GuestSpec, seed: int) -> None:
        """Makes a server that takes over another's ports and its name. UserError where it cannot."""
        task = self._task(kernel, name)
        shared = shared_of(task)
        is_first = self._is_first(task) if shared is None else shared.server.name_server
        if self._waits(task):
            raise UserError("is about to be replaced already, or has not begun")
        privileged = is_privileged(spec, node.folder, node.privileged)
        known = None if is_first else self.name_server
        if isinstance(spec, GuestSpec):
            if spec.name_server is not is_first:
                raise UserError(f"{name_of(spec)} is {'a' if spec.name_server else 'no'} name server")
            check(task, None, is_first)
            with _whole(kernel):
                heir, legacy = boot_successor(kernel, spec.command, known, Modules(node.folder), privileged)
            self.heirs = {number: port for number, port in self.heirs.items() if port.active} | {heir.number: legacy}
            follow(kernel, task, legacy)
            lasts = spec.name_server
        else:
            server = make_server(spec, node, seed)
            check(task, server, is_first)
            with _memory_told(spec):
                heir = replace(kernel, task, server, name_of(spec), given_rights(kernel, known, privileged))
            lasts = server.comes_back
        self.tasks[name] = heir.number
        before = self._enter(f"{name}{BEFORE}", task.number)
        if name in self.lasting:
            self.former[before] = self.lasting.pop(name)
        if lasts:
            self.lasting[name] = spec

    def _task(self, kernel: Kernel, name: str) -> Task:
        self._forget_ended(kernel)
        if name not in self.tasks:
            raise UserError(f"there is no server {name}; there are {', '.join(self.tasks) or 'none'}")
        return kernel.kern.tasks[self.tasks[name]]


@contextmanager
def _whole(kernel: Kernel) -> Iterator[None]:
    """Leaves no task of a server that could not be made whole."""
    last = kernel.kern.task_serial
    try:
        yield
    except UserError:
        _end_since(kernel, last)
        raise


def _end_since(kernel: Kernel, last: int) -> None:
    """Ends the tasks that have been made since the one of number `last`."""
    for task in [task for number, task in kernel.kern.tasks.items() if number > last]:
        task_control.terminate(kernel.kern, task, is_loader=True)


@contextmanager
def _memory_told(spec: ServerSpec) -> Iterator[None]:
    try:
        yield
    except KernError as error:
        raise UserError(f"server {spec.name}: does not fit into the machine's memory ({return_name(error.code)})") from None


def start_servers(kernel: Kernel, node: NodeSpec, seed: int) -> Servers:
    """Makes the servers of a node that boots. UserError where there are two name servers, or one cannot be made."""
    servers = Servers(seed)
    for spec in node.servers:
        servers.start(kernel, node, spec, seed)
    return servers
