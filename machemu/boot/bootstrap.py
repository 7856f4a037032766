"""Booting: a boot script's modules become the node's first tasks (Mach's kern/bootstrap.c)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from machemu.abi.errors import KernError, MustWait, UserError
from machemu.abi.message import PORT_SEND
from machemu.abi.names import return_name
from machemu.abi.types import VirtAddr
from machemu.boot.modules import Modules
from machemu.boot.script import BLANKS, BootScript, PortValue, task_paths
from machemu.core.kernel import Kernel
from machemu.core.name_server import NameServer, client_port, make_name_server
from machemu.core.succession import make_legacy
from machemu.device.ramdisk import UNITS_MAX, RamdiskDriver
from machemu.formats.elf import Image, architecture_in, parse_image
from machemu.formats.stack import build_stack
from machemu.ipc import mach_port, port
from machemu.ipc.port import Port
from machemu.kern import task_control, thread_control
from machemu.kern.task import Task
from machemu.sim.state import PortName
from machemu.vm import routines as vm
from machemu.vm.page import PageShortage

HERE: Final = Modules()
PORTS: Final = "${host-port} ${device-port}"
START: Final = "$(task-create) $(task-resume)"
DEFAULT_LINE: Final = f"{PORTS} {START}"
"""What a module named alone is started with."""


def lone_line(path: str, arguments: Sequence[str] = ()) -> str:
    """The boot script line of a module named alone: its ports, and then its own arguments, in which symbols have their values.

    UserError for words that no line can hold: boot scripts have no quotes.
    """
    for word in (path, *arguments):
        if not word or any(blank in word for blank in BLANKS):
            raise UserError(f"'{word}': is no word of a boot script: it is empty or has blanks, and there are no quotes")
        if "$(" in word:
            raise UserError(f"'{word}': a module named alone runs no functions: write the whole line with --module")
    return " ".join((path, PORTS, *arguments, START))


def find_architecture(lines: Sequence[str], modules: Modules = HERE) -> str | None:
    """The architecture of the programs that a boot script starts, None where it starts none. UserError where they differ."""
    first: dict[str, str] = {}
    for path in task_paths(lines):
        first.setdefault(architecture_in(path, modules.read(path)), path)
    if len(first) > 1:
        programs = ", ".join(f"{path} for {architecture}" for architecture, path in first.items())
        raise UserError(f"the boot script has programs for different machines: {programs}")
    return next(iter(first), None)


def boot_modules(
    kernel: Kernel,
    lines: Sequence[str],
    variables: Mapping[str, str],
    name_server: NameServer | None = None,
    modules: Modules = HERE,
) -> None:
    """Runs a boot script on a kernel that has booted nothing yet but host-side servers.

    name_server: every task is to have a port of its, as its bootstrap port and the first of its registered ones.
    """
    boot = Bootstrap(kernel, name_server, modules)
    ports = {
        "host-port": PortValue(kernel.kern.host.host_priv_self),
        "device-port": PortValue(kernel.devices.master_port),
        "kernel-task": PortValue(kernel.kern.kernel_task),
    }
    script = BootScript(boot, {**command_line_symbols(variables), **ports})
    for number, line in enumerate(lines, 1):
        script.read(line, number)
    script.run()
    if not any(command.task for command in script.commands):
        raise UserError("the boot script starts no task: a module's line needs $(task-create) and $(task-resume)")


def boot_server(
    kernel: Kernel,
    command: str,
    name_server: NameServer | None,
    modules: Modules = HERE,
    is_name_server: bool = False,
    privileged: bool = False,
) -> NameServer | None:
    """Starts a guest program as a server of the node, before its modules. command: its path, and its own arguments.

    It is given what a module named alone is: the names of its rights to the host's and the device master's port as its first
    arguments, and the name server, where there is one, as its bootstrap port and the first of its registered ones. If it is that
    itself, its next two arguments are the names of the receive rights of its service and of the port for privileged servers:
    those of the name server before it, if there was one. A privileged one has a right to the latter as its third argument. The
    node's name server.
    """
    boot = Bootstrap(kernel, None if is_name_server else name_server, modules)
    task = boot.create_task(command.split(maxsplit=1)[0])
    names: list[PortName] = []
    if is_name_server:
        name_server, names = make_name_server(kernel, task, name_server)
    boot.start(task, command, names, privileged)
    return name_server


def boot_successor(
    kernel: Kernel, command: str, name_server: NameServer | None, modules: Modules = HERE, privileged: bool = False
) -> tuple[Task, Port]:
    """As `boot_server`, of a guest program that will follow another server of the node: its task, and the port where it inherits.

    The last of its registered ports is that one. name_server: None where it is to be that itself; it inherits the ports.
    """
    boot = Bootstrap(kernel, name_server, modules)
    task = boot.create_task(command.split(maxsplit=1)[0])
    legacy = make_legacy(kernel, task)
    boot.start(task, command, [], privileged)
    return task, legacy


def command_line_symbols(variables: Mapping[str, str]) -> dict[str, str]:
    """The symbols that a kernel's command line of words NAME=VALUE gives: itself, its flags (none), root='s device, the words.

    The kernel's own three come before words of the same names, as in Mach's bootstrap_create.
    """
    return {
        **variables,
        "kernel-command-line": " ".join(f"{name}={value}" for name, value in variables.items()),
        "boot-args": "-x",
        "root-device": variables.get("root", "UNKNOWN").removeprefix("/dev/"),
    }


class Bootstrap:
    """boot.script.BootActions on a kernel."""

    def __init__(self, kernel: Kernel, name_server: NameServer | None, modules: Modules) -> None:
        self.kernel = kernel
        self.name_server = name_server
        self.modules = modules

    def create_task(self, path: str) -> Task:
        kern = self.kernel.kern
        try:
            task = task_control.create(kern, None, False, path)
        except KernError as error:
            raise _too_large(path, error) from None
        if self.name_server is not None:
            own = client_port(self.kernel, self.name_server)
            task.itk_bootstrap = port.make_send(self.kernel.ipc, own)
            task.itk_registered[0] = port.make_send(self.kernel.ipc, own)
        task_control.suspend(kern, task)
        return task

    def start(self, task: Task, command: str, names: Sequence[int], privileged: bool) -> None:
        """Runs a server's program in its task. names: those of what a name server receives from."""
        kernel, (path, *words) = self.kernel, command.split()
        targets = [kernel.kern.host.host_priv_self, kernel.devices.master_port]
        if privileged and self.name_server is not None:
            targets.append(self.name_server.privileged)
        rights = [self.insert_right(task, target) for target in targets]
        self.execute(task, path, [path, *map(str, [*rights, *names]), *words])
        self.resume(task)

    def create_ramdisk(self, path: str) -> str:
        contents = self.modules.read(path, "a disk's image")
        devices = self.kernel.devices
        driver = next((driver for driver in devices.drivers if isinstance(driver, RamdiskDriver)), None)
        if driver is None:
            driver = RamdiskDriver(devices.io)
            devices.drivers.append(driver)
        if not contents or len(driver.disks) == UNITS_MAX:
            why = f"there are {UNITS_MAX} already, which are the most" if contents else "the file is empty"
            raise UserError(f"{path}: cannot become a disk in memory: {why}")
        try:
            return driver.create(contents)
        except PageShortage as error:
            raise _too_large(path, error) from None

    def insert_right(self, task: object, port_or_task: object) -> int:
        assert isinstance(task, Task)
        target = port_or_task.itk_self if isinstance(port_or_task, Task) else port_or_task
        assert isinstance(target, Port)
        name = 1
        while task.space.lookup(name) is not None:
            name += 1
        right = port.make_send(self.kernel.ipc, target)
        try:
            mach_port.mach_port_insert_right(task.space, name, right, PORT_SEND)
        except KernError:
            raise UserError(f"{task.name}: the boot script gives it one port twice") from None
        return name

    def execute(self, task: object, path: str, arguments: list[str]) -> None:
        assert isinstance(task, Task)
        kernel = self.kernel
        data = self.modules.read(path)
        image = parse_image(path, data, kernel.cpu.user_range[1], kernel.cpu.page_size, kernel.cpu.architecture)
        try:
            _load(task, image, kernel.cpu.page_size)
            pointer = _make_stack(kernel, task, arguments)
        except (KernError, MustWait) as error:
            raise _too_large(path, error) from None
        thread = thread_control.create(kernel.kern, task)
        thread.pcb.set_entry(VirtAddr(image.entry), VirtAddr(pointer))
        thread_control.resume(kernel.kern, thread)

    def resume(self, task: object) -> None:
        assert isinstance(task, Task)
        if task.user_stop_count:
            task_control.resume(self.kernel.kern, task)


def _too_large(path: str, error: KernError | MustWait) -> UserError:
    why = return_name(error.code) if isinstance(error, KernError) else "no page is free"
    return UserError(f"{path}: does not fit into the machine's memory ({why})")


def _load(task: Task, image: Image, page_size: int) -> None:
    """Maps and fills the segments; their pages get the segments' protection."""
    assert task.map is not None
    for segment in image.segments:
        start = segment.address // page_size * page_size
        end = -(-(segment.address + segment.size) // page_size) * page_size
        vm.vm_allocate(task.map, start, end - start, False)
        task.memory.write(VirtAddr(segment.address), segment.data)
        vm.vm_protect(task.map, start, end - start, False, segment.protection)


def _make_stack(kernel: Kernel, task: Task, arguments: list[str]) -> int:
    """Maps the stack with the arguments at its top; the stack pointer."""
    assert task.map is not None
    cpu = kernel.cpu
    pointer, data = build_stack(cpu.stack_top, cpu.order, arguments)
    if len(data) > cpu.stack_size - cpu.page_size:
        raise UserError(f"{arguments[0]}: its arguments take {len(data)} bytes and do not fit on the stack")
    vm.vm_allocate(task.map, cpu.stack_top - cpu.stack_size, cpu.stack_size, False)
    task.memory.write(VirtAddr(pointer), data)
    return pointer
