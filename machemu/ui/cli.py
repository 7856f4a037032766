"""The command line, and `machemu boot`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from machemu import __version__
from machemu.abi.errors import InvariantError, UserError
from machemu.boot.bootstrap import DEFAULT_LINE, boot_modules, find_architecture
from machemu.boot.node import Node
from machemu.core.kernel import FOREVER, Stop
from machemu.core.observe import Observer
from machemu.kern.host import Halt
from machemu.machine.disk import ImageDisk
from machemu.machine.profile import DEFAULT_PROFILE, DEFAULT_PROFILES, load_profile
from machemu.sim import files
from machemu.sim.units import parse_size, parse_time
from machemu.ui import cluster, report
from machemu.ui.console import ConsoleOutput, file_input, terminal_input
from machemu.ui.strace import Strace

EXIT_OK, EXIT_UNMET, EXIT_USER, EXIT_INTERNAL = 0, 1, 2, 70


def parser() -> argparse.ArgumentParser:
    main_parser = argparse.ArgumentParser(prog="machemu", description="Mach 3.0 machines, emulated down to the hardware.")
    main_parser.add_argument("--version", action="version", version=f"machemu {__version__}")
    commands = main_parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    boot = commands.add_parser("boot", help="boot Mach programs on one machine", description="Boots boot modules on one machine.")
    boot.set_defaults(run=boot_command)
    boot.add_argument("module", nargs="?", help="a boot module, started with the host and device ports as its arguments")
    boot.add_argument(
        "--module", dest="lines", metavar="LINE", action="append", default=[], help="a boot script line; repeatable"
    )
    boot.add_argument("--script", type=Path, metavar="FILE", help="a boot script: one module's line a line")
    boot.add_argument("--variable", metavar="NAME=VALUE", action="append", default=[], help="a boot script variable; repeatable")
    boot.add_argument(
        "--profile",
        default=None,
        metavar="NAME",
        help=f"the hardware, a name or a TOML file (default, by the programs: {' or '.join(DEFAULT_PROFILES.values())})",
    )
    boot.add_argument("--memory", metavar="SIZE", help="RAM, such as 64M (default: the profile's)")
    boot.add_argument(
        "--until", metavar="TEXT", help="stop when the console has printed a line with TEXT; exit status 1 if it never does"
    )
    boot.add_argument("--for", dest="duration", metavar="TIME", help="stop after so much virtual time, such as 500ms")
    boot.add_argument("--traps", type=int, metavar="N", help="stop after N traps")
    boot.add_argument("--trace", action="store_true", help="show each trap and message on standard error")
    boot.add_argument("--trace-file", type=Path, metavar="FILE", help="write the trace to FILE")
    boot.add_argument("--digest", action="store_true", help="print the machine's digest on standard error at the end")
    boot.add_argument("--save", type=Path, metavar="FILE", help="save the machine to FILE at the end")
    boot.add_argument("--load", type=Path, metavar="FILE", help="go on with a saved machine instead of booting one")
    boot.add_argument(
        "--disk",
        dest="disks",
        metavar="NAME=FILE[,writable]",
        action="append",
        default=[],
        help="a disk such as hd0 from an image, which what the guest writes changes only where it is writable; repeatable",
    )
    boot.add_argument("--input", type=Path, metavar="FILE", help="what the console reads (default: standard input)")
    cluster.add_parser(commands)
    return main_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; the exit status is 0, 1 where what was waited for did not come, 2 for a mistake of the user's."""
    options = parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except UserError as error:
        print(f"machemu: {error}", file=sys.stderr)
        return EXIT_USER
    except InvariantError as error:
        print(f"machemu: a fault of machemu's own, please report it: {error}", file=sys.stderr)
        raise
    except BrokenPipeError:
        sys.stderr.close()
        return EXIT_UNMET
    except KeyboardInterrupt:
        print("machemu: interrupted", file=sys.stderr)
        return 130


def boot_command(options: argparse.Namespace) -> int:
    """The boot command."""
    deadline = FOREVER if options.duration is None else parse_time(options.duration)
    if options.save is not None:
        files.target_of(options.save)
    with ExitStack() as stack:
        node = stack.enter_context(make_node(options))
        kernel = node.kernel
        output = ConsoleOutput(kernel, sys.stdout.buffer, options.until)
        kernel.console.sink = output.write
        kernel.input_source = file_input(options.input) if options.input is not None else terminal_input
        strace = start_trace(options, node, stack)
        if options.load is None:
            boot_modules(kernel, module_lines(options), dict(variable(text) for text in options.variable))
        stop = kernel.run(deadline if options.load is None else kernel.kern.clock.now() + deadline, options.traps)
        output.flush()
        if strace is not None:
            strace.finish()
        status = explain(node, stop, options, output.seen)
        if options.save is not None:
            node.save(options.save)
        if options.digest:
            print(f"digest {node.digest()}", file=sys.stderr)
        return status


def make_node(options: argparse.Namespace) -> Node:
    if options.load is not None:
        if options.module or options.lines or options.script or options.profile or options.memory:
            raise UserError("--load goes on with a saved machine: it takes no modules, profile or memory")
        disks = make_disks(options.disks)
        try:
            return Node.load(options.load, disks)
        finally:
            for disk in disks.values():
                disk.close()
    if not (options.module or options.lines or options.script):
        raise UserError("nothing to boot: name a module, or give --module, --script or --load")
    profile = load_profile(options.profile or default_profile(module_lines(options)))
    ram = None if options.memory is None else parse_size(options.memory)
    disks = make_disks(options.disks)
    try:
        return Node(profile, ram, disks)
    except UserError:
        for disk in disks.values():
            disk.close()
        raise


def default_profile(lines: Sequence[str]) -> str:
    """The machine that a boot script's programs are for."""
    architecture = find_architecture(lines)
    return DEFAULT_PROFILE if architecture is None else DEFAULT_PROFILES[architecture]


def make_disks(texts: Sequence[str]) -> dict[str, ImageDisk]:
    """The disks of the command line by name, opened."""
    disks: dict[str, ImageDisk] = {}
    try:
        for text in texts:
            name, _, place = text.partition("=")
            path = place.removesuffix(",writable")
            if not name or not path:
                raise UserError(f"--disk {text}: write NAME=FILE or NAME=FILE,writable")
            if name in disks:
                raise UserError(f"--disk {text}: there is already a disk {name}")
            disks[name] = ImageDisk.of_file(Path(path), path != place)
    except UserError:
        for disk in disks.values():
            disk.close()
        raise
    return disks


def module_lines(options: argparse.Namespace) -> list[str]:
    """The boot script lines of the command line, in order: the script's, the --module lines, the lone module."""
    lines: list[str] = []
    if options.script is not None:
        lines += files.read_text(options.script, "a boot script").splitlines()
    lines += options.lines
    if options.module:
        lines.append(f"{options.module} {DEFAULT_LINE}")
    return lines


def variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UserError(f"--variable {text}: write NAME=VALUE")
    return name, value


def start_trace(options: argparse.Namespace, node: Node, stack: ExitStack) -> Strace | None:
    if not (options.trace or options.trace_file):
        return None
    out: TextIO = sys.stderr
    if options.trace_file is not None:
        try:
            out = stack.enter_context(options.trace_file.open("w"))
        except OSError as error:
            raise UserError(f"{options.trace_file}: cannot be written: {error.strerror}") from None
    strace = Strace(out)
    Observer(node.kernel, strace).start()
    return strace


def explain(node: Node, stop: Stop, options: argparse.Namespace, seen: bool) -> int:
    """Says on standard error why the run ended where that is not plain, and gives the exit status."""
    kernel = node.kernel
    if stop is Stop.TIME:
        print(f"machemu: {report.end_of_time(kernel)}", file=sys.stderr)
    elif stop is Stop.WEDGED and any(task.threads for task in kernel.kern.tasks.values()):
        print(f"machemu: nothing can run any more\n{report.standstill(kernel)}", file=sys.stderr)
    elif stop is Stop.HALTED:
        print(f"machemu: {report.halt(kernel)}", file=sys.stderr)
    if options.until is not None and not seen:
        print(f"machemu: the console never printed a line with '{options.until}'", file=sys.stderr)
        return EXIT_UNMET
    return EXIT_UNMET if kernel.halted is Halt.PANIC else EXIT_OK
