"""What is in the wheel, and that the README's Python runs from it.

The wheel is built without a network, by setuptools as the developers have it, from a copy of what the repository holds
for it. It is installed in a fresh virtual environment. What that finds of other packages are links to the developers' own
installed ones, of those alone that the wheel says it needs: pip would put the same there from a package index. Nothing of the
checkout is on its path, and it runs in an empty folder.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "machemu", "servers", "images", "lessons")


def needed(name: str) -> Iterator[metadata.Distribution]:
    """The packages that one needs without extras, and those that they need. Some are for other systems, and not here."""
    for line in metadata.requires(name) or ():
        other = re.match(r"[\w.-]+", line)
        assert other is not None
        if "extra ==" in line:
            continue
        try:
            found = metadata.distribution(other[0])
        except metadata.PackageNotFoundError:
            continue
        yield found
        yield from needed(other[0])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, source / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(ROOT / part, source / part)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-index"]
    done = subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("installed")
    environment, others = folder / "venv", folder / "needed"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-index",
    ]
    subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
    others.mkdir()
    for distribution in needed("machemu"):
        tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        for top in tops:
            if not (others / top).exists():
                (others / top).symlink_to(Path(str(distribution.locate_file(top))))
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "needed.pth").write_text(f"{others}\n")
    return python.parent


def run(place: Path, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(place / command[0]), *command[1:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_the_wheel_holds_what_comes_with_machemu(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    kept = [
        *(f"machemu/images/{path.relative_to(ROOT / 'images')}" for path in (ROOT / "images").rglob("*") if path.is_file()),
        *(f"machemu/lessons/{path.name}" for path in (ROOT / "lessons").iterdir()),
        *(f"machemu/mig/defs/{path.name}" for path in (ROOT / "machemu" / "mig" / "defs").glob("*.defs")),
        *(f"machemu/machine/profiles/{path.name}" for path in (ROOT / "machemu" / "machine" / "profiles").glob("*.toml")),
        *(f"masix/defs/{path.name}" for path in (ROOT / "servers" / "masix" / "defs").glob("*.defs")),
        *(str(path.relative_to(ROOT)) for path in (ROOT / "machemu").rglob("*.py")),
        *(str(path.relative_to(ROOT / "servers")) for path in (ROOT / "servers").rglob("*.py")),
        "machemu/py.typed",
        "masix/py.typed",
    ]
    assert sorted(set(kept) - names) == []
    roots = {name.split("/")[0] for name in names}
    assert roots == {"machemu", "masix", next(root for root in roots if root.endswith(".dist-info"))}


def test_its_metadata_is_complete(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        told = metadata.PathDistribution(zipfile.Path(archive, name.removesuffix("METADATA"))).metadata
        assert archive.read(f"{name.removesuffix('METADATA')}licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert told["License-Expression"] == "MIT"
    assert told["Requires-Python"] == ">=3.11"
    for field in ("Summary", "Author", "Keywords", "Description-Content-Type"):
        assert told[field], field
    assert "Programming Language :: Python :: 3.11" in told.get_all("Classifier", [])


def test_the_readme_s_python_runs_from_the_wheel_and_ends_as_an_uncut_run(place: Path, tmp_path: Path) -> None:
    code = README.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    done = run(place, tmp_path, "python", "-c", code)
    assert done.returncode == 0, done.stderr
    path = run(place, tmp_path, "machemu", "examples", "hello.elf").stdout.strip()
    assert str(place.parent) in path
    uncut = run(place, tmp_path, "machemu", "boot", path, "--digest")
    assert uncut.returncode == 0, uncut.stderr
    assert done.stdout.startswith(f"{uncut.stdout}number  name ")
    digest = uncut.stderr.splitlines()[-1].removeprefix("digest ")
    assert done.stdout.splitlines()[-1] == digest
    assert "device console" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_s_programs_and_clusters_run_on_both_cpus(place: Path, tmp_path: Path) -> None:
    code = (
        "import sys, machemu\n"
        f"assert not [path for path in sys.path if path.startswith({str(ROOT)!r})]\n"
        "for cpu in ('i386', 'm68k'):\n"
        "    with machemu.Machine.boot(machemu.example('hello.elf', cpu)) as machine:\n"
        "        machine.run()\n"
        "        print(machine.console.lines)\n"
    )
    done = run(place, tmp_path, "python", "-c", code)
    assert done.stdout == "['Hello from a Mach task.']\n" * 2, done.stderr
    path = run(place, tmp_path, "machemu", "examples", "greet.toml").stdout.strip()
    cluster = run(place, tmp_path, "machemu", "cluster", path)
    assert cluster.returncode == 0, cluster.stderr
    assert "beta  | answer 2: -400 GOOD MORNING\n" in cluster.stdout


def test_the_wheel_s_lessons_are_read_and_graded(place: Path, tmp_path: Path) -> None:
    assert run(place, tmp_path, "machemu", "lessons", "message").stdout == (ROOT / "lessons" / "message.md").read_text()
    answers = tmp_path / "answers"
    for last, status in (("10", 0), ("9", 1), ("", 2)):
        answers.write_text(f"1 = 7\n2 = 4097\n3 = 4\n4 = 2\n5 = 0\n6 = no\n7 = {last}\n")
        done = run(place, tmp_path, "machemu", "step", "--lesson", "message", "--answers", "answers")
        assert done.returncode == status, done.stderr


@pytest.mark.parametrize("chapter", ["Booting a program", "Stepping"])
def test_the_readme_s_first_commands_work_from_the_wheel(chapter: str, place: Path, tmp_path: Path) -> None:
    command = README.split(f"## {chapter}\n\n```sh\n")[1].split("\n```")[0]
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env={"PATH": f"{place}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        input="" if chapter == "Booting a program" else "run\nback\nwhy 1\n",
    )
    assert done.returncode == 0, done.stderr
    assert "pong 9\n" in done.stdout
    assert ("mach_msg send message 1000" in done.stderr) or "can send: nobody" in done.stdout
