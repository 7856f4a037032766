#!/usr/bin/env python3
"""The one entry for developers: `python3 tools/dev.py COMMAND`, from any directory. It needs Python alone and makes .venv itself.

setup           .venv with machemu and all that it is developed with; quick where nothing changed
demo [ARGS]     boots two Mach tasks that send each other messages, and shows every trap; ARGS go to `machemu boot`
test [ARGS]     every check, then all tests in as many processes as there are cores; with ARGS pytest with those;
                --quick takes less than two minutes: the checks that build nothing, and a part of the tests
check           every check without pytest
bench [ARGS]    measures machemu against bare Unicorn in one run; --peer, --curves, --cluster, --network, --transfer
                and --travel measure other things, --against COMMIT measures beside an earlier commit
fuzz [ARGS]     looks for guests that hurt their host: --cpu runs random, mutated and listed code, --traps makes every call,
                --saved loads and runs saved clusters in which something is changed, --oracle makes random
                operations here and on the real kernel, --cluster has clients of the Masix servers do at random what they may
oracle [MODULE] boots the conformance modules on the real GNU Mach in QEMU and here, and shows where they differ
migrate [ARGS]  runs the conformance modules on a cluster while they move from node to node, and shows which print something else
generic [ARGS]  runs generated histories of generic processes against a model, for both stores of their table; --costs
                counts messages, --tree runs many processes that move
images [ARGS]   builds the guest programs in images/ and the conformance modules, for both machines
tables NAME     makes a table or a page of docs/ anew; without a name it says which there are
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = str(BIN / "python")
ACCEL = Path("machemu", "machine", "accel")
STAMP = VENV / "machemu-setup"
"""Holds the digest of what the environment was made of."""
PYTHON_MIN = (3, 11)

CHECKS = (
    ("lint", (PYTHON, "-m", "ruff", "check", ".")),
    ("format", (PYTHON, "-m", "ruff", "format", "--check", ".")),
    ("types", (PYTHON, "-m", "mypy")),
    ("layers", (str(BIN / "lint-imports"), "--no-logo")),
    ("imports of tests", (PYTHON, "-m", "tools.imports")),
    ("lengths", (PYTHON, "-m", "tools.lengths")),
    ("page of the API", (PYTHON, "-m", "tools.tables", "api", "--check")),
    ("generated modules", (PYTHON, "-m", "pytest", "-q", "tests/unit/mig/test_generated.py")),
    ("guest programs", (PYTHON, "-m", "tools.images", "--check")),
)

BUILD = ("generated modules", "guest programs")
"""The checks that build something, and compare: --quick leaves them out."""

PARALLEL = ("--numprocesses", str(os.cpu_count() or 1), "--dist", "worksteal")
"""A test that waits for another process, or runs the real kernel, leaves its core to others."""
QUICK = "--quick"
WITHOUT = ("tests/kernel", "tests/conformance", "tests/replay", "tests/unit/machine")
"""What is tested with Python's engine, too."""


class SetupError(Exception):
    """The environment cannot be made; the message says what to do."""


def main(arguments: list[str]) -> int:
    """Runs a command; its exit status, or 2 for a wrong command line or environment."""
    commands = {
        "setup": lambda rest: 0,
        "demo": demo,
        "test": test,
        "check": check,
        "bench": bench,
        "fuzz": fuzz,
        "oracle": oracle,
        "migrate": migrate,
        "generic": generic,
        "images": images,
        "tables": tables,
    }
    if arguments[:1] in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    if not arguments or arguments[0] not in commands:
        print(__doc__, file=sys.stderr)
        return 2
    name, rest = arguments[0], arguments[1:]
    if rest and name in ("setup", "check"):
        print(f"dev.py {name} takes no arguments: {' '.join(rest)}", file=sys.stderr)
        return 2
    try:
        setup()
        return commands[name](rest)
    except SetupError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def wanted_stamp() -> str:
    """Changes with the dependencies, the Python and the place; all three are written into an environment."""
    text = f"{sys.version}\n{ROOT}\n".encode()
    return hashlib.sha256(text + (ROOT / "pyproject.toml").read_bytes()).hexdigest()


def setup() -> None:
    """Makes or renews .venv. The stamp is written last, so that an interrupted setup is made again."""
    if sys.version_info < PYTHON_MIN:
        have, need = (".".join(map(str, version[:2])) for version in (sys.version_info, PYTHON_MIN))
        raise SetupError(f"machemu needs Python {need} or later, and this is {have}: run this file with a newer python3")
    stamp = wanted_stamp()
    if STAMP.is_file() and STAMP.read_text() == stamp and Path(PYTHON).exists():
        build()
        return
    print(f"making {VENV}", flush=True)
    try:
        if Path(sys.prefix) != VENV:  # else this Python would clear itself away
            venv.create(VENV, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SetupError(f"{VENV} cannot be made: {error}\nOn Debian: apt install python3-venv") from None
    install = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", ".[dev]"]
    if run(install):
        raise SetupError("pip could not install what pyproject.toml lists, as it says above: is a package index within reach?")
    STAMP.write_text(stamp)


def build() -> None:
    """The extension in C anew, where its sources have changed and there is a compiler. Without one all runs in Python."""
    times = [path.stat().st_mtime for path in (ROOT / ACCEL).glob("*.[ch]")]
    built = [path.stat().st_mtime for path in extension()]
    if max(times, default=0) > max(built, default=0) and shutil.which("cc") is not None:
        run([PYTHON, "setup.py", "--quiet", "build_ext", "--inplace"])


def extension() -> list[Path]:
    """The extension as this Python loads it, where it was built."""
    return list((ROOT / ACCEL).glob(f"native{sysconfig.get_config_var('EXT_SUFFIX')}"))


def run(command: list[str], **environment: str) -> int:
    """Runs a command in the repository's root, with more variables in its environment; its exit status."""
    sys.stdout.flush()
    return subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=False).returncode


def demo(rest: list[str]) -> int:
    return run([PYTHON, "-m", "machemu", "boot", str(ROOT / "images" / "i386" / "pingpong.elf"), "--trace", *rest])


def bench(rest: list[str]) -> int:
    return run([PYTHON, "-m", "tools.bench", *rest])


def fuzz(rest: list[str]) -> int:
    return run([PYTHON, "-m", "tools.fuzz", *rest])


def oracle(rest: list[str]) -> int:
    return run([PYTHON, "-m", "tools.oracle", *rest])


def migrate(rest: list[str]) -> int:
    return run([PYTHON, "-m", "tools.migrate", *rest])


def generic(rest: list[str]) -> int:
    return run([PYTHON, "-m", "tools.generic", *rest])


def images(rest: list[str]) -> int:
    return run([PYTHON, "-m", "tools.images", *rest])


def tables(rest: list[str]) -> int:
    return run([PYTHON, "-m", "tools.tables", *rest])


def check(rest: list[str], left_out: tuple[str, ...] = ()) -> int:
    """Every check but some, a failed one too; 1 where one failed. Says at the end how each went."""
    results: list[str] = []
    failed = False
    for name, command in CHECKS:
        if name in left_out:
            continue
        if name == "guest programs" and shutil.which("gcc") is None:
            results.append(f"{name}: not compared, gcc is not installed")
            continue
        print(f"--- {name}", flush=True)
        status = run(list(command))
        failed = failed or status != 0
        results.append(f"{name}: {'ok' if status == 0 else f'FAILED (exit status {status})'}")
    print("--- summary")
    print("\n".join(results), flush=True)
    return int(failed)


def test(rest: list[str]) -> int:
    """The checks, then pytest, whose closing line comes last; 1 where anything failed.

    All tests go with the extension in C, where it could be built, and a sample of those in WITHOUT first without it.
    """
    failed = check([], BUILD if QUICK in rest else ())
    pytest = [PYTHON, "-m", "pytest", *(PARALLEL if rest in ([], [QUICK]) else ())]
    if not rest and extension():
        print("--- tests without the extension in C", flush=True)
        seed = secrets.randbelow(1 << 32)
        print(f"a third of those that take long: to run the same ones again, give pytest --sample {seed}", flush=True)
        failed = run([*pytest, "-q", "--sample", str(seed), *WITHOUT], MACHEMU_ENGINE="python") or failed
    print("--- tests" + (" (something above failed)" if failed else ""), flush=True)
    return run([*pytest, *rest]) or failed


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who reads no more ends it, as other commands
    sys.exit(main(sys.argv[1:]))
