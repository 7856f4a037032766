"""Runs tests with the extension in C built for AddressSanitizer and UndefinedBehaviorSanitizer.

    python -m tools.sanitize [TESTS]

All is copied to a folder of its own, so that the checkout keeps the extension that it has. Any report ends the run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
FILES: Final = ("pyproject.toml", "setup.py", "LICENSE", "README.md")
FOLDERS: Final = ("machemu", "servers", "images", "lessons", "tests", "tools", "docs")
FLAGS: Final = "-g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"
TESTS: Final = (
    "tests/kernel/test_extension.py",
    "tests/unit/machine/test_counting.py",
    "tests/conformance/test_transcripts.py",
    "tests/unit/tools/fuzz/test_cpu.py",
    "tests/unit/tools/fuzz/test_traps.py",
)
"""Conformance and the fuzzers' samples, and what compares the extension with Python."""
LEFT_OUT: Final = "not real_kernel"
SUPPRESSED: Final = "interceptor_name:write\n"
"""`machine.engine.peek` has the system look at addresses that may be nobody's."""
BEFORE_TESTS: Final = "import os\n\nvars(os).pop('RTLD_DEEPBIND', None)\n"
"""Capstone loads its library with that flag, with which AddressSanitizer ends the process, but not where `os` has none."""
OPTIONS: Final = "detect_leaks=0:handle_sigfpe=0:handle_segv=0:abort_on_error=1:suppressions="
"""Leaks are not looked for: Python's own objects live until the end. SIGFPE is the CPU's, and tests look for SIGSEGV."""


def main(arguments: Sequence[str]) -> int:
    """The exit status of pytest; 2 where there is no compiler that can."""
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=False)
    library = Path(found.stdout.strip())
    if found.returncode or not library.is_absolute():
        print("sanitize: gcc with libasan is needed: on Debian `apt install gcc`", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        for name in FOLDERS:
            shutil.copytree(ROOT / name, Path(folder) / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        for name in FILES:
            shutil.copy(ROOT / name, folder)
        build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
        subprocess.run(build, cwd=folder, env=os.environ | {"CC": "gcc", "MACHEMU_SANITIZE": FLAGS}, check=True)
        suppressed = Path(folder) / "suppressed"
        suppressed.write_text(SUPPRESSED)
        (Path(folder) / "sitecustomize.py").write_text(BEFORE_TESTS)
        environment = os.environ | {
            "LD_PRELOAD": str(library),
            "ASAN_OPTIONS": f"{OPTIONS}{suppressed}",
            "MACHEMU_ENGINE": "native",
            "PYTHONMALLOC": "malloc",
            "PYTHONPATH": f"{folder}:{folder}/servers",
        }
        options = ["-q", "-p", "no:cacheprovider", "--capture=sys", "-m", LEFT_OUT]
        command = [sys.executable, "-m", "pytest", *options, *(arguments or TESTS)]
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
