"""The binaries in the tree are those that their sources give, and what they promise is written down beside them."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tools import images

PROGRAMS = images.programs()
MACHINES = {"i386": ("EM_386", 4096), "m68k": ("EM_68K", 8192)}
"""What ELF calls them, and the size of a page."""


TOLD_ELSEWHERE = ("pc", "oracle", "kernelenders")
"""What they do is in a test of their own, as with the guests of the cluster's tests: the first reads keys and a mouse, the second
does what chance says, and the third does what the real kernel does not survive."""


def test_every_source_has_a_binary_and_a_transcript() -> None:
    assert {"hello", "pingpong", "portpass", "ports", "messages", "memory", "threads", "pager"} <= {p.name for p in PROGRAMS}
    for program in PROGRAMS:
        assert program.output.is_file()
        is_told = program.source.parent == images.CLUSTER_GUESTS or program.name in TOLD_ELSEWHERE
        assert program.source.with_suffix(".expected").is_file() or is_told


def test_every_program_is_built_for_every_machine() -> None:
    names = [sorted(p.name for p in PROGRAMS if p.architecture is machine) for machine in images.ARCHITECTURES]
    assert [name for name in names[0] if name != "oracle"] == names[1], "only GNU Mach's machine has another kernel to compare"


@pytest.mark.parametrize("program", PROGRAMS, ids=[f"{program.architecture.name}-{program.name}" for program in PROGRAMS])
def test_binaries_need_nothing_but_a_loader_and_name_no_host(program: images.Program) -> None:
    with program.output.open("rb") as file:
        elf = ELFFile(file)
        machine, page_size = MACHINES[program.architecture.name]
        anywhere = program.interpreter is not None
        assert (elf["e_machine"], elf["e_type"]) == (machine, "ET_DYN" if anywhere else "ET_EXEC")
        assert elf.little_endian == (machine == "EM_386")
        segments = [segment for segment in elf.iter_segments() if segment["p_type"] == "PT_LOAD"]
        assert anywhere or not any(segment["p_type"] in ("PT_DYNAMIC", "PT_INTERP") for segment in elf.iter_segments())
        assert all(segment["p_vaddr"] % page_size == segment["p_offset"] % page_size for segment in segments)
    assert b"/tmp" not in program.output.read_bytes()
    assert str(images.ROOT).encode() not in program.output.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("machine", images.ARCHITECTURES, ids=lambda machine: machine.name)
def test_binaries_are_what_their_sources_give(machine: images.Architecture, capsys: pytest.CaptureFixture[str]) -> None:
    code = images.main(["--check", "--machine", machine.name])
    output = capsys.readouterr()
    assert code == 0, output.err
    if "not compared" in output.out:
        pytest.skip(output.out)


def test_a_stale_binary_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hello = next(program for program in PROGRAMS if program.name == "hello")
    stale = images.Program(hello.architecture, tmp_path / "hello.elf", hello.source)
    stale.output.write_bytes(b"old")

    class Compiled:
        def build(self, program: images.Program) -> bytes:
            return b"new"

    monkeypatch.setattr(images, "programs", lambda: [stale])
    monkeypatch.setattr(images, "compiler", lambda machine: machine.record.read_text())
    monkeypatch.setattr(images, "builder", lambda *_: nullcontext(Compiled()))
    monkeypatch.setattr(images, "ROOT", tmp_path)
    assert images.main(["--check"]) == 1
    assert stale.output.read_bytes() == b"old"


def test_a_machine_without_its_compiler_is_not_compared(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = replace(images.M68K, compiler="no-such-gcc", linker="no-such-ld")
    hello = replace(next(program for program in PROGRAMS if program.name == "hello"), architecture=missing)
    monkeypatch.setattr(images, "ARCHITECTURES", (missing,))
    monkeypatch.setattr(images, "programs", lambda: [hello])
    assert images.main(["--check"]) == 0
    assert "m68k: not compared: no-such-gcc (Debian's gcc-12-m68k-linux-gnu) is not installed" in capsys.readouterr().out
    assert images.main([]) == 2


def test_an_unknown_program_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert images.main(["nonesuch"]) == 2
    assert "no such program: nonesuch" in capsys.readouterr().err
