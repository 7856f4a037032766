"""The list of encodings is whole: every opcode with every prefix, every first word."""

from __future__ import annotations

from tests.support.guests import Arch
from tools.fuzz import encodings
from tools.fuzz.make import END, THROUGH, Maker, list_length
from tools.fuzz.program import Origin


def test_every_opcode_of_one_and_two_bytes_comes_with_every_prefix() -> None:
    listed = {(each.prefixes, each.opcode) for each in encodings.i386()}
    prefixes = {bytes((byte,)) for byte in (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3)}
    one_byte = {bytes((byte,)) for byte in range(0x100)} - prefixes - {b"\x0f"}
    two_bytes = {bytes((0x0F, byte)) for byte in range(0x100)}
    wanted = {(prefix, opcode) for prefix in (b"", *prefixes) for opcode in one_byte | two_bytes}
    assert wanted <= listed


def test_every_group_comes_with_every_reg_field_and_both_kinds_of_operands() -> None:
    listed = {each.code for each in encodings.i386()}
    groups = (b"\x80", b"\xc1", b"\xd3", b"\xf7", b"\xff", b"\x0f\x00", b"\x0f\x01", b"\x0f\xba", b"\x0f\xc7", b"\x0f\xae")
    for prefix in (b"", b"\xf0", b"\x66"):
        for group in groups:
            for reg in range(8):
                assert prefix + group + bytes((reg << 3 | 3,)) in listed
                assert any(prefix + group + bytes((0xC0 | reg << 3 | register,)) in listed for register in range(8))


def test_every_x87_instruction_comes() -> None:
    listed = {each.code for each in encodings.i386()}
    assert {bytes((escape, modrm)) for escape in range(0xD8, 0xE0) for modrm in range(0xC0, 0x100)} <= listed


def test_no_encoding_comes_twice() -> None:
    codes = [each.code for each in encodings.i386()]
    assert len(codes) == len(dict.fromkeys(codes))


def test_programs_go_through_the_whole_list_before_they_begin_anew(arch: Arch) -> None:
    """As far as a test can look: among a thousand programs none comes twice."""
    maker = Maker(arch.name, 3)
    programs = [maker.program(number) for number in range(1000)]
    listed = [step.listed for program in programs if program.kind is Origin.LISTED for step in program.steps]
    assert len(listed) == len(dict.fromkeys(listed)) == 500 * len(programs[0].steps)
    assert all(index is not None and 0 <= index < list_length(arch.name) for index in listed)


def test_fifty_thousand_programs_are_enough_for_the_list(arch: Arch) -> None:
    assert list_length(arch.name) <= THROUGH // 2 * len(Maker(arch.name, 3).program(0).steps)


def test_a_program_is_a_function_of_its_seed_and_number(arch: Arch) -> None:
    def programs(seed: int) -> list[object]:
        maker = Maker(arch.name, seed)
        return [maker.program(number) for number in range(40)]

    assert programs(5) == programs(5)
    assert programs(5) != programs(6)


def test_listed_code_ends_in_an_instruction_that_stops_it(arch: Arch) -> None:
    programs = (Maker(arch.name, 8).program(number) for number in range(0, 200, 4))
    steps = [step for program in programs for step in program.steps]
    ended = [step for step in steps if step.code.endswith(END[arch.name])]
    assert len(ended) > len(steps) * 8 // 10
