"""Instructions counted in the translations: as Unicorn counts them one by one, whatever the program and wherever it is cut."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle, repeat
from typing import Any

import pytest
import unicorn
from hypothesis import given, settings
from hypothesis import strategies as st

from machemu.abi.types import VirtAddr
from machemu.machine import counting, translator
from machemu.machine.i386.cpu import I386Cpu
from machemu.machine.m68k.cpu import M68kCpu
from tests.support.program_bench import CODE, Bench, I386Bench, M68kBench, make_benches

PIECES = {
    "i386": (
        *("40", "01c8", "0fafc1", "29c8", "f9", "11c3", "d1e0", "9c58", "60", "61", "8b06", "8907", "ff06", "0107", "87c3"),
        *("a100000200", "a300000200", "ff0500000200", "e2fe", "49 75fd", "f3a4", "f3ab", "f2ae", "fc", "8b0500000003"),
        *("f7f1", "f7f9", "d400", "d9eb", "d9fa", "dec9", "df3f", "9b", "e460", "ec", "6c", "0f34", "0f05", "cc", "ce"),
        *("e0fe", "e1fe", "8ed0", "8ed8", "9dcc", "f00fc10f", "0fa2", "0f01e0", "b8ffffffff 9a000000000700", "f4", "c8000001c9"),
    ),
    "m68k": (
        *("5280", "d081", "9280", "e388", "b081", "4641", "5292", "d352", "4a92", "2212", "2481", "48e7e000", "4cdf0007"),
        *(
            "4a3900020000",
            "23c000020008",
            "d1b900020010",
            "82c0",
            "83c1",
            "4c410000",
            "f2000022",
            "f23c40010000 0001",
            "f2400001",
        ),
        *(
            "51c9fffe",
            "5380 66fc",
            "4e71",
            "4afc",
            "4e76",
            "41bc0001",
            "46fc0000",
            "0850 0003",
            "eac00108",
            "c141",
            "8308",
            "d308",
        ),
        *("2f3c00000001 4e40", "0108 0000", "4e41", "a000", "ffff", "44fc001f", "42d7"),
    ),
}
"""Arithmetic, flags, memory, a page that comes late, loops, repeats, faults, floating point, ports, what is privileged, traps."""


@pytest.fixture(scope="module")
def benches() -> Iterator[dict[str, tuple[Bench, Bench]]]:
    """For each architecture one that counts in its translations, and one for which Unicorn counts."""
    made = make_benches()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "begin", lambda *_: None)
        plain = make_benches()
    pairs = {arch: (made[arch], plain[arch]) for arch in made}
    yield pairs
    for pair in pairs.values():
        for bench in pair:
            bench.close()


@pytest.mark.parametrize("arch", ["i386", "m68k"])
def test_this_host_counts_in_the_translations(arch: str, benches: dict[str, tuple[Bench, Bench]]) -> None:
    here, plain = benches[arch]
    assert here.cpu.engine.blocks is not None
    assert plain.cpu.engine.blocks is None


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["i386", "m68k"])
@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_programs_do_and_count_the_same_as_where_unicorn_counts(
    arch: str, data: st.DataObject, benches: dict[str, tuple[Bench, Bench]]
) -> None:
    program = b"".join(
        bytes.fromhex(text) for text in data.draw(st.lists(st.sampled_from(PIECES[arch]), min_size=1, max_size=20))
    )
    cuts = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    here, plain = benches[arch]
    presets = {"esi": CODE + 0x3000, "edi": CODE + 0x4000, "ecx": 5} if arch == "i386" else {"a2": CODE + 0x3000, "d1": 5}
    wanted = plain.run(program, 120, repeat(120), presets=presets)
    assert here.run(program, 120, repeat(120), presets=presets) == wanted
    assert here.run(program, 120, cycle(cuts), presets=presets) == wanted
    assert plain.run(program, 120, cycle(cuts), presets=presets) == wanted


@pytest.mark.parametrize("arch", ["i386", "m68k"])
def test_a_block_is_cut_at_any_of_its_instructions_and_whole_again_behind(
    arch: str, benches: dict[str, tuple[Bench, Bench]]
) -> None:
    """A loop of 30 instructions: each budget ends after exactly so many."""
    step, back = ("40", "ebe1") if arch == "i386" else ("5280", "60c4")
    loop = bytes.fromhex(step * 29 + back)
    here, _ = benches[arch]
    for budget in (1, 2, 29, 30, 31, 59, 100_001):
        state = here.run(loop, budget, repeat(budget))
        assert (state.executed, state.registers["eax" if arch == "i386" else "d0"]) == (budget, budget - budget // 30)


@pytest.mark.parametrize("arch", ["i386", "m68k"])
def test_where_translators_cannot_be_watched_unicorn_counts(arch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translator, "_tables", {"x86_64": False, "m68k": False})
    bench = I386Bench("i386", I386Cpu) if arch == "i386" else M68kBench("m68k", M68kCpu)
    assert bench.cpu.engine.blocks is None
    assert bench.run(b"\x40\xeb\xfd" if arch == "i386" else bytes.fromhex("5280 60fc"), 9, repeat(9)).executed == 9
    bench.close()


class Meanwhile(translator.Watcher):
    """While a block is translated, another host thread has an engine of its own translate."""

    def __init__(self, arch: str) -> None:
        library: Any = unicorn
        kind = (library.UC_ARCH_X86, library.UC_MODE_64) if arch == "i386" else (library.UC_ARCH_M68K, library.UC_MODE_BIG_ENDIAN)
        self.other = library.Uc(*kind)
        self.other.mem_map(0x1000, 0x1000)
        self.other.mem_write(0x1000, b"\x90" if arch == "i386" else b"\x4e\x71")
        self.runs = 0

    def begin(self, block: int) -> None:
        self.runs += 1
        self.other.ctl_flush_tb()
        thread = threading.Thread(target=self.other.emu_start, args=(0x1000, -1, 0, 1))
        thread.start()
        thread.join()


@pytest.mark.parametrize("arch", ["i386", "m68k"])
def test_what_other_threads_translate_meanwhile_changes_nothing(arch: str, benches: dict[str, tuple[Bench, Bench]]) -> None:
    here, _ = benches[arch]
    step, back = ("40", "ebf7") if arch == "i386" else ("5280", "60f0")
    meanwhile = Meanwhile(arch)
    blocks = here.cpu.engine.blocks
    assert blocks is not None
    watchers = translator._watchers[blocks.words[counting.CPU]]
    watchers.append(meanwhile)
    try:
        state = here.run(bytes.fromhex(step * 7 + back), 1000, cycle((3, 5, 100)))
    finally:
        watchers.remove(meanwhile)
    assert (state.executed, state.registers["eax" if arch == "i386" else "d0"]) == (1000, 875)
    assert meanwhile.runs >= 8


def test_a_closed_engine_is_watched_by_nobody() -> None:
    before = dict(translator._watchers)
    for bench in make_benches().values():
        bench.close()
    assert translator._watchers == before


@pytest.mark.parametrize("size", [1, 2, 9])
@pytest.mark.parametrize(
    ("before", "at_fault", "flags", "stored"),
    [
        # mov eax, -1; add eax, eax: carry and sign.
        ("b8ffffffff 01c0", "0f9c05 00000200", 0x293, 1),  # setl
        ("b8ffffffff 01c0", "0f9605 00000200", 0x293, 1),  # setbe
        ("b8ffffffff 01c0", "0f9a05 00000200", 0x293, 0),  # setp
        ("b8ffffffff 01c0", "d115 00000200", 0x292, 1),  # rcl by 1: the carry goes in, 0 comes out
        ("b8ffffffff 01c0", "c01d 00000200 02", 0x292, 0x40),  # rcr by 2 of a byte
        # mov eax, 0x7fffffff; add eax, eax: overflow and sign.
        ("b8ffffff7f 01c0", "0f9c05 00000200", 0xA92, 0),
        ("b8ffffff7f 01c0", "0f9005 00000200", 0xA92, 1),  # seto
    ],
)
def test_flags_are_what_they_were_where_the_page_of_an_operand_comes_late(
    before: str, at_fault: str, flags: int, stored: int, size: int, benches: dict[str, tuple[Bench, Bench]]
) -> None:
    """Whether it is missing, or only read so far. The last instruction takes the result back."""
    here, _ = benches["i386"]
    for touched in ("8a1d 00000100", "8a1d 00000200"):
        state = here.run(bytes.fromhex(touched + before + at_fault + "8b0d 00000200"), 5, repeat(size))
        assert (state.registers["eflags"], state.registers["ecx"]) == (flags, stored)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("bit", ["0fbae0 01", "0fbae8 01", "0fbaf0 01", "0fbaf8 01", "0fa3c8", "0fabc8", "0fb3c8", "0fbbc8"])
@pytest.mark.parametrize(
    ("before", "flags"),
    [("b8ffffff7f 01c0", 0xA93), ("b8ffffff7f 40", 0xA96), ("b8f0000000 d0e0", 0x282), ("b803000000 83e809", 0x297)],
)
def test_bits_that_are_tested_change_the_carry_alone_wherever_the_run_is_cut(
    before: str, flags: int, bit: str, size: int, benches: dict[str, tuple[Bench, Bench]]
) -> None:
    """`bt` and its like of bit 1 of a sum, of a number counted up, of a shifted one, of a difference, as processors do them. 1 is
    in ECX."""
    for bench in benches["i386"]:
        state = bench.run(bytes.fromhex(before + bit + "9090"), 3, repeat(size), presets={"ecx": 1})
        assert (state.executed, state.registers["eflags"]) == (3, flags)


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("lock", ["", "f0"])
def test_what_compares_eight_bytes_changes_the_zero_flag_alone(
    lock: str, size: int, benches: dict[str, tuple[Bench, Bench]]
) -> None:
    """Behind a sum with a carry, a sign, and an odd half. EDX:EAX is not what is in memory: it becomes that, and ZF is 0."""
    here, _ = benches["i386"]
    state = here.run(bytes.fromhex("b8ffffffff 01c0" + lock + "0fc70d 00300100 9090"), 3, repeat(size))
    assert (state.executed, state.registers["eflags"], state.registers["eax"]) == (3, 0x293, 0)


def test_a_watched_bit_test_is_seen_once_and_where_it_begins(benches: dict[str, tuple[Bench, Bench]]) -> None:
    for bench in benches["i386"]:
        seen: list[int] = []
        engine, code = bench.cpu.engine, bytes.fromhex("b8ffffff7f 01c0 0fbae0 01 9090")
        watch = engine.watch_code(CODE + 7, lambda engine=engine, seen=seen: seen.append(engine.counter.value))
        whole = bench.run(code, 4, repeat(4))
        engine.unwatch_code(watch)
        assert (len(seen), whole.registers["eflags"]) == (1, 0xA93)
        assert bench.run(code, 4, repeat(4)) == whole


class Operations(translator.Watcher):
    """Of each block that is translated, how many of its operations are of a kind."""

    def __init__(self, blocks: counting.Counting, wanted: Callable[[int], bool]) -> None:
        self._context, self._wanted = blocks.context, wanted
        self.numbers: list[int] = []

    def end_block(self, block: int) -> None:
        self.numbers.append(sum(map(self._wanted, counting.operations(self._context))))


@contextmanager
def counted(bench: Bench, wanted: Callable[[counting.Counting, int], bool]) -> Iterator[Operations]:
    blocks = bench.cpu.engine.blocks
    assert isinstance(blocks, counting.Counting)
    found = Operations(blocks, partial(wanted, blocks))
    watchers = translator._watchers[blocks.words[counting.CPU]]
    watchers.append(found)
    try:
        yield found
    finally:
        watchers.remove(found)


@pytest.mark.parametrize("arch", ["i386", "m68k"])
def test_a_block_looks_whether_it_is_to_stop_only_behind_a_hook(arch: str, benches: dict[str, tuple[Bench, Bench]]) -> None:
    here, _ = benches[arch]
    loop, presets = ("8b06 8906 8b06 ebf8", "esi") if arch == "i386" else ("2212 2481 2212 60f8", "a2")
    with counted(here, lambda blocks, operation: counting.called(operation) == blocks.looks) as looks:
        here.run(bytes.fromhex(loop), 12, repeat(12), presets={presets: CODE + 0x3000})
        assert looks.numbers
        assert not any(looks.numbers)
        watch = here.cpu.watch_code(VirtAddr(CODE), lambda: None)
        looks.numbers.clear()
        here.run(bytes.fromhex(loop), 12, repeat(12), presets={presets: CODE + 0x3000})
        here.cpu.unwatch_code(watch)
        assert max(looks.numbers) == 1


@pytest.mark.parametrize("arch", ["i386", "m68k"])
def test_only_instructions_that_may_leave_a_block_and_its_last_store_their_numbers(
    arch: str, benches: dict[str, tuple[Bench, Bench]]
) -> None:
    """Besides, a number is stored where the limit would be passed. Where the allocator has put the words far from the CPU's
    state, as AddressSanitizer's may, stores are not told apart from others, and all stay."""
    here, _ = benches[arch]
    assert isinstance(here.cpu.engine.blocks, counting.Counting)
    loop, presets = ("40 40 8b16 40 8916 40 ebf6", "esi") if arch == "i386" else ("5280 5280 2212 5280 2481 5280 60f2", "a2")
    with counted(here, counting.Counting.stores_begun) as stores:
        here.run(bytes.fromhex(loop), 70, repeat(70), presets={presets: CODE + 0x3000})
        assert max(stores.numbers) == (4 if here.cpu.engine.blocks.near else 0)
