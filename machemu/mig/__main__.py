"""`python -m machemu.mig FILE.defs`: Python tables, C stubs and C headers from a .defs file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from machemu.abi.errors import UserError
from machemu.mig import cgen, cserver, pygen
from machemu.mig.parser import parse

OWN: Final = Path(__file__).parent / "defs"
"""Searched last for what a file includes: Mach's own interfaces and types."""


def main(arguments: list[str] | None = None) -> int:
    """The command line; 0, or 2 after a message about what is wrong with the input."""
    options = argparse.ArgumentParser(prog="python -m machemu.mig", description=__doc__)
    options.add_argument("defs", type=Path)
    options.add_argument("--python", type=Path, metavar="OUT", help="tables for machemu.mig.runtime")
    options.add_argument("--c-user", type=Path, metavar="OUT", help="user stubs in C")
    options.add_argument("--c-header", type=Path, metavar="OUT", help="the user stubs' declarations")
    options.add_argument("--c-server", type=Path, metavar="OUT", help="server stubs in C")
    options.add_argument("--c-server-header", type=Path, metavar="OUT", help="what a server must define, and what serves it")
    options.add_argument("-I", type=Path, action="append", default=[], metavar="DIR", dest="include")
    options.add_argument("-D", action="append", default=[], metavar="NAME[=TEXT]", dest="defines")
    chosen = options.parse_args(arguments)
    defines = {name: text or "1" for name, _, text in (define.partition("=") for define in chosen.defines)}
    try:
        subsystem = parse(chosen.defs, [*chosen.include, OWN], defines)
        outputs = (
            (chosen.python, pygen.generate),
            (chosen.c_user, cgen.user),
            (chosen.c_header, cgen.header),
            (chosen.c_server, cserver.server),
            (chosen.c_server_header, cserver.header),
        )
        for path, generate in outputs:
            if path is not None:
                path.write_text(generate(subsystem), "utf-8")
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
