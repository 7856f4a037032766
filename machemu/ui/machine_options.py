"""The options of commands that boot a machine or go on with a saved one."""

from __future__ import annotations

import argparse
from pathlib import Path

from machemu.machine.profile import DEFAULT_PROFILES
from machemu.ui.options import PathOption


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """What is booted, on what. The option `folder`, which nobody gives, is where the paths of modules begin."""
    parser.set_defaults(folder=Path())
    parser.add_argument(
        "--module", dest="lines", metavar="LINE", action="append", default=[], help="a boot script line; repeatable"
    )
    parser.add_argument("--script", action=PathOption, metavar="FILE", help="a boot script: one module's line a line")
    parser.add_argument(
        "--variable", metavar="NAME=VALUE", action="append", default=[], help="a boot script variable; repeatable"
    )
    parser.add_argument(
        "--profile",
        default=None,
        metavar="NAME",
        help=f"the hardware, a name or a TOML file (default, by the programs: {' or '.join(DEFAULT_PROFILES.values())})",
    )
    parser.add_argument(
        "--from",
        dest="source",
        metavar="DISK",
        help="take the modules from the ext2 file system on a disk of the machine's, such as hd0s1",
    )
    parser.add_argument(
        "--date", metavar="TIME", help="the time of day at power-on, such as 1994-07-01T12:30:00 (default: 2000-01-01)"
    )
    parser.add_argument("--keyboard", action=PathOption, metavar="FILE", help="what is typed at a PC's keyboard, a text")
    parser.add_argument(
        "--mouse", action=PathOption, metavar="FILE", help="what a PC's mouse does, lines such as `move 3 -1` and `left down`"
    )
    parser.add_argument("--memory", metavar="SIZE", help="RAM, such as 64M (default: the profile's)")


def add_input_options(parser: argparse.ArgumentParser, default: str) -> None:
    """What a machine reads. default: what its console does without a file."""
    parser.add_argument("--load", action=PathOption, metavar="FILE", help="go on with a saved machine instead of booting one")
    parser.add_argument(
        "--disk",
        dest="disks",
        metavar="NAME=FILE[,writable]",
        action="append",
        default=[],
        help="a disk such as hd0 from an image, which what the guest writes changes only where it is writable; repeatable",
    )
    parser.add_argument("--input", action=PathOption, metavar="FILE", help=f"what the console reads (default: {default})")
