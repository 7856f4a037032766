"""DOS partition tables, sane and hostile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from machemu.device.partitions import SLICES_MAX, read_table
from machemu.machine.seams import DiskError
from tests.support.testdisk import EXTENDED, FAT, LINUX, SECTORS, sector, table


def read_from(tables: dict[int, bytes]) -> dict[int, tuple[int, int]]:
    def read(number: int) -> bytes:
        if number >= SECTORS:
            raise DiskError
        return tables.get(number, bytes(512))

    return read_table(read, SECTORS)


def test_primary_extended_and_logical_partitions() -> None:
    assert read_table(sector, SECTORS) == {
        0: (0, SECTORS),
        1: (64, 4000),
        2: (4096, 1001),
        3: (8192, 2),
        5: (8192 + 63, 1000),
        6: (8192 + 2048 + 63, 500),
    }


def test_a_disk_without_a_table_is_one_piece() -> None:
    assert read_from({}) == {0: (0, SECTORS)}
    assert read_from({0: table((LINUX, 1, 1))[:510] + b"\0\0"}) == {0: (0, SECTORS)}


def test_entries_without_sectors_keep_their_number() -> None:
    assert read_from({0: table((0, 0, 0), (LINUX, 0, 0), (FAT, 9, 7))}) == {0: (0, SECTORS), 3: (9, 7)}


def test_a_chain_that_leads_back_ends() -> None:
    tables = {0: table((EXTENDED, 100, 1000)), 100: table((LINUX, 1, 10), (EXTENDED, 0, 1000))}
    slices = read_from(tables)
    assert len(slices) == 2 + SLICES_MAX - 5 and max(slices) == SLICES_MAX - 1
    links = {0: table((EXTENDED, 100, 1000)), 100: table((EXTENDED, 0, 1000))}
    assert read_from(links) == {0: (0, SECTORS), 1: (100, 2)}


def test_a_chain_that_leaves_the_disk_ends() -> None:
    assert read_from({0: table((EXTENDED, SECTORS, 10))}) == {0: (0, SECTORS), 1: (SECTORS, 2)}
    assert read_from({0: table((EXTENDED, 0xFFFFFFFF, 0xFFFFFFFF))}) == {0: (0, SECTORS), 1: (0xFFFFFFFF, 2)}


def test_third_entries_outside_an_extended_partition_are_no_partitions() -> None:
    rows = ((LINUX, 1, 10), (0, 0, 0), (LINUX, 5000, 10), (LINUX, 20, 10))
    slices = read_from({0: table((EXTENDED, 100, 1000)), 100: table(*rows)})
    assert slices == {0: (0, SECTORS), 1: (100, 2), 5: (101, 10), 6: (120, 10)}


@given(st.dictionaries(st.integers(0, 8), st.binary(min_size=64, max_size=64), max_size=5))
def test_any_bytes_are_read_to_an_end(rows: dict[int, bytes]) -> None:
    slices = read_from({number: bytes(446) + row + b"\x55\xaa" for number, row in rows.items()})
    assert slices[0] == (0, SECTORS) and all(0 <= number < SLICES_MAX for number in slices)
