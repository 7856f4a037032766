"""machemu's commands run as people run them, and with faults planted in them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: object, plant: str = "", unbuffered: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """A command of machemu's. plant: Python that is run before it, in its process. unbuffered: PYTHONUNBUFFERED's value."""
    command = ["-c", f"import sys\n{plant}\nfrom machemu.ui.cli import main\nsys.exit(main())"] if plant else ["-m", "machemu"]
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    return subprocess.run(
        [sys.executable, *command, *map(str, arguments)], text=True, cwd=ROOT, check=False, timeout=120, env=environment, **given
    )
