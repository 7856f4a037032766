"""Files that a run names: what it reads is not written over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from machemu.abi.errors import UserError
from machemu.sim import files
from tests.support.commands import run
from tests.support.guests import I386, Arch
from tests.support.machine import image

LOST = "cannot be written: this run reads it, and it would be lost"


def refused(path: Path, *arguments: object) -> None:
    before = path.read_bytes()
    done = run(*arguments, path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"machemu: {path}: {LOST}\n")
    assert path.read_bytes() == before


@pytest.mark.slow
def test_what_a_machine_reads_is_not_written_over(tmp_path: Path) -> None:
    program = tmp_path / "hello.elf"
    program.write_bytes(image(I386, "hello").read_bytes())
    script, disk, other = tmp_path / "script", tmp_path / "disk", tmp_path / "other"
    script.write_text(f"{program} $(task-create) $(task-resume)\n")
    disk.write_bytes(bytes(512))
    other.symlink_to(disk)
    for path in (program, script, other):
        refused(path, "boot", "--script", script, "--disk", f"hd0={disk}", "--trace-file")
    refused(program, "boot", program, "--save")


@pytest.mark.slow
def test_what_a_cluster_reads_is_not_written_over(tmp_path: Path) -> None:
    program, typed, cluster = tmp_path / "hello.elf", tmp_path / "typed", tmp_path / "cluster.toml"
    program.write_bytes(image(I386, "hello").read_bytes())
    typed.write_bytes(b"typed")
    cluster.write_text('[nodes.one]\nmodule = "hello.elf"\ninput = "typed"\n')
    for option, path in (("--trace-file", program), ("--pcap", typed), ("--save", cluster)):
        refused(path, "cluster", cluster, option)


@pytest.mark.slow
def test_a_machine_is_saved_over_what_it_was_loaded_from(arch: Arch, tmp_path: Path) -> None:
    path = tmp_path / "saved"
    assert run("boot", image(arch, "hello"), "--for", "10us", "--save", path).returncode == 0
    refused(path, "boot", "--load", path, "--trace-file")
    done = run("boot", "--load", path, "--save", path)
    assert (done.returncode, done.stdout) == (0, "Hello from a Mach task.\n")


def test_files_are_kept_apart_by_what_they_are(tmp_path: Path) -> None:
    one, two, device = tmp_path / "one", tmp_path / "two", Path(os.devnull)
    one.touch()
    two.hardlink_to(one)
    with pytest.raises(UserError, match=f"^{two}: {LOST}$"):
        files.keep_apart([two], [one])
    for path in (two, one, tmp_path / "new"):
        with pytest.raises(UserError, match=f"^{path}: cannot be written: this run writes something else into it$"):
            files.keep_apart([path, path], [])
    files.keep_apart([device, device, tmp_path / "new", None], [device, one, tmp_path / "nothing", None])


def test_a_script_may_come_out_of_a_pipe(arch: Arch) -> None:
    reads, writes = os.pipe()
    os.write(writes, f"{image(arch, 'hello')} ${{host-port}} ${{device-port}} $(task-create) $(task-resume)\n".encode())
    os.close(writes)
    done = run("boot", "--script", f"/dev/fd/{reads}", pass_fds=(reads,))
    os.close(reads)
    assert (done.returncode, done.stdout) == (0, "Hello from a Mach task.\n")
