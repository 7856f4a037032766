"""The options of machemu's own commands. What a command takes to run is loaded when it runs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from typing import TypeAlias

from machemu.abi.errors import UserError
from machemu.machine.profile import CPUS
from machemu.ui.loading import loading
from machemu.ui.machine_options import add_input_options, add_machine_options
from machemu.ui.options import CountOption, PathOption
from machemu.ui.trace_options import add_options

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def later(module: str) -> Callable[[argparse.Namespace], int]:
    """The function `run` of a module of this package."""

    def run(options: argparse.Namespace) -> int:
        with loading():
            loaded = import_module(f"machemu.ui.{module}")
        status: int = loaded.run(options)
        return status

    return run


def add_boot(commands: Commands) -> None:
    parser = commands.add_parser(
        "boot", help="boot Mach programs on one machine", description="Boots boot modules on one machine."
    )
    parser.set_defaults(run=later("boot"))
    parser.add_argument("module", nargs="?", help="a boot module, started with the host and device ports as its first arguments")
    parser.add_argument(
        "arguments", nargs="*", metavar="ARGUMENT", help="its other arguments; behind -- where one begins with a dash"
    )
    add_machine_options(parser)
    parser.add_argument(
        "--until", metavar="TEXT", help="stop when the console has printed a line with TEXT; exit status 1 if it never does"
    )
    parser.add_argument("--for", dest="duration", metavar="TIME", help="stop after so much virtual time, such as 500ms")
    parser.add_argument("--traps", action=CountOption, metavar="N", help="stop after N traps")
    add_options(parser)
    parser.add_argument("--screen", action="store_true", help="print a PC's text screen on standard output at the end")
    parser.add_argument("--printer", action=PathOption, metavar="FILE", help="what a PC prints on its printer goes to FILE")
    parser.add_argument("--digest", action="store_true", help="print the machine's digest on standard error at the end")
    parser.add_argument("--save", action=PathOption, metavar="FILE", help="save the machine to FILE at the end")
    add_verbose(parser)
    add_input_options(parser, "standard input")


def add_cluster(commands: Commands) -> None:
    parser = commands.add_parser(
        "cluster", help="run several machines on a network", description="Runs the machines that a cluster file describes."
    )
    parser.set_defaults(run=later("cluster"))
    parser.add_argument("file", action=PathOption, help="the cluster file, TOML")
    parser.add_argument("--seed", type=int, metavar="N", help="the seed of all that is random, instead of the file's")
    parser.add_argument(
        "--until", metavar="TEXT", help="stop when a console has printed a line with TEXT; exit status 1 if none ever does"
    )
    parser.add_argument("--for", dest="duration", metavar="TIME", help="stop after so much virtual time, such as 500ms")
    add_options(parser)
    parser.add_argument(
        "--trace-node", dest="traced", metavar="NAME", action="append", help="trace this node and not all; repeatable"
    )
    parser.add_argument("--times", action="store_true", help="show the virtual time of each line of the consoles")
    parser.add_argument("--events", action="store_true", help="show faults and lost frames among the consoles' lines")
    parser.add_argument("--pcap", action=PathOption, metavar="FILE", help="write all frames of all segments to FILE, as pcapng")
    parser.add_argument("--digest", action="store_true", help="print the cluster's digest on standard error at the end")
    parser.add_argument("--save", action=PathOption, metavar="FILE", help="save the whole cluster to FILE at the end")
    parser.add_argument("--load", action=PathOption, metavar="FILE", help="go on with a saved cluster of the same cluster file")
    add_verbose(parser)


def add_verbose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--verbose", action="store_true", help="say at the end which engine ran, and how much it did")


class Given(argparse.Action):
    """-x FILE and -c COMMAND, in their order."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: str | None = None) -> None:
        if not values:
            raise UserError(f"{option} '': it cannot be empty")
        given = [*namespace.given, (option, str(values))]
        namespace.given = given


def add_step(commands: Commands) -> None:
    parser = commands.add_parser(
        "step",
        help="step through a machine, forwards and back",
        description="Boots modules on one machine and gives a prompt: steps forwards and back, conditions, looks inside.",
    )
    parser.set_defaults(run=later("step"), module=None, save=None, trace_file=None, printer=None, given=[])
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="boot modules, each started with the host's and device's ports; or a cluster file",
    )
    parser.add_argument("-x", action=Given, metavar="FILE", help="run the commands of FILE, and end; repeatable")
    parser.add_argument("-c", action=Given, metavar="COMMAND", help="run COMMAND, and end; repeatable")
    parser.add_argument("--lesson", metavar="NAME", help="boot what a lesson is about: see `machemu lessons`")
    parser.add_argument(
        "--answers",
        action=PathOption,
        metavar="FILE",
        help="grade answers to a lesson's questions: exit status 1 where one is wrong",
    )
    parser.add_argument("--cpu", metavar="CPU", help=f"a lesson's program for this CPU: {' or '.join(CPUS)} (default: {CPUS[0]})")
    add_machine_options(parser)
    add_input_options(parser, "what `type` types")


def add_examples(commands: Commands) -> None:
    parser = commands.add_parser(
        "examples",
        help="say where the programs and cluster files that come with machemu are",
        description="Lists the programs and cluster files that come with machemu, or prints the path of one.",
    )
    parser.set_defaults(run=later("examples"))
    parser.add_argument("name", nargs="?", help="print the path of this one alone, such as hello.elf")
    parser.add_argument("--cpu", metavar="CPU", help=f"for this CPU: {' or '.join(CPUS)} (a path without: {CPUS[0]})")


def add_lessons(commands: Commands) -> None:
    parser = commands.add_parser(
        "lessons",
        help="list the lessons, or print the page of one",
        description="Lists the lessons that come with machemu, or prints the page of one.",
    )
    parser.set_defaults(run=later("lessons"))
    parser.add_argument("name", nargs="?", help="print the page of this one, such as message; of message.step the questions")
