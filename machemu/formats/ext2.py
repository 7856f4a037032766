"""Files of ext2 file systems, and of ext3 and ext4 as far as they are like them: read, never written.

What cannot be is refused by the image's name. Each look-up ends: block numbers, entries of folders, trees of extents and links
are bounded, and no file is larger than FILE_MAX. Layout: the second extended file system's, as e2fsprogs writes it.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from machemu.abi.errors import UserError

FILE_MAX: Final = 128 << 20
"""Bytes of a file at most, holes included."""
FOLDER_MAX: Final = 1 << 20
LINKS_MAX: Final = 40
LOOKUPS_MAX: Final = 256
"""Symbolic links, and names in folders, that one path may lead through."""
SUPERBLOCK: Final = 1024
MAGIC: Final = 0xEF53
BLOCK_SHIFT_MAX: Final = 6
ROOT: Final = 2
FILE_TYPES, RECOVER, EXTENTS, WIDE, FLEXIBLE = 0x2, 0x4, 0x40, 0x80, 0x200
CSUM_SEED, LARGE_FOLDERS, EA_INODES = 0x2000, 0x4000, 0x400
KNOWN: Final = FILE_TYPES | RECOVER | EXTENTS | WIDE | FLEXIBLE | CSUM_SEED | LARGE_FOLDERS | EA_INODES
"""The incompatible features that are understood: of RECOVER's journal nothing is replayed, and the last three change nothing in
files, or in folders as small as FOLDER_MAX.
"""
HAS_EXTENTS: Final = 0x80000
DIRECT: Final = 12
EXTENT_MAGIC: Final = 0xF30A
EXTENT_DEPTH_MAX: Final = 5
EXTENT_NODES_MAX: Final = 4096
UNWRITTEN: Final = 0x8000


@dataclass(frozen=True, slots=True)
class Inode:
    """blocks: its 60 bytes of block numbers, extents, or of a short link's text."""

    number: int
    mode: int
    size: int
    sectors: int
    flags: int
    blocks: bytes


class Ext2:
    """A file system. read: gives bytes of its image, from an offset on, fewer than asked for behind its end."""

    def __init__(self, read: Callable[[int, int], bytes], name: str) -> None:
        """UserError, with the image's name, where it holds none that can be read."""
        self._image = read
        self.name = name
        head = read(SUPERBLOCK, SUPERBLOCK)
        if len(head) < SUPERBLOCK or struct.unpack_from("<H", head, 56)[0] != MAGIC:
            raise UserError(f"{name}: holds no ext2 file system")
        self.inodes, self.blocks, self.first, shift = *struct.unpack_from("<2I", head), *struct.unpack_from("<2I", head, 20)
        self.inodes_per_group: int = struct.unpack_from("<I", head, 40)[0]
        revision: int = struct.unpack_from("<I", head, 76)[0]
        features: int = struct.unpack_from("<I", head, 96)[0] if revision else 0
        self.inode_size: int = struct.unpack_from("<H", head, 88)[0] if revision else 128
        if features & ~KNOWN:
            raise UserError(f"{name}: its ext2 file system has features that are not understood ({features & ~KNOWN:#x})")
        if shift > BLOCK_SHIFT_MAX or not self.inodes_per_group or not 128 <= self.inode_size <= 1024 << shift:
            raise self._damaged("superblock")
        self.block_size = 1024 << shift
        wide: int = struct.unpack_from("<H", head, 254)[0]
        self.descriptor_size = max(wide, 32) if features & WIDE else 32

    def read(self, path: str) -> bytes:
        """A file's bytes; its path begins at the root. UserError for one that is not there, is no file, or is damaged."""
        inode = self._find(path)
        if not stat.S_ISREG(inode.mode):
            raise UserError(f"{self.name}: {path} is no file")
        return self._contents(inode, FILE_MAX, path)

    def _damaged(self, what: str) -> UserError:
        return UserError(f"{self.name}: its ext2 file system is damaged: {what}")

    def _find(self, path: str) -> Inode:
        trail = [self._inode(ROOT)]
        names = path.split("/")[::-1]
        links = lookups = 0
        while names:
            name = names.pop()
            if name in ("", "."):
                continue
            if not stat.S_ISDIR(trail[-1].mode):
                raise UserError(f"{self.name}: there is no {path}: a part of it is no folder")
            if name == "..":
                del trail[max(1, len(trail) - 1) :]
                continue
            lookups += 1
            wanted = name.encode("utf-8", "surrogateescape")
            number = next((number for entry, number in self._entries(trail[-1]) if entry == wanted), None)
            if number is None:
                raise UserError(f"{self.name}: there is no {path}: nothing is named {name}")
            inode = self._inode(number)
            if not stat.S_ISLNK(inode.mode):
                trail.append(inode)
                continue
            links += 1
            if links > LINKS_MAX or lookups > LOOKUPS_MAX:
                raise UserError(f"{self.name}: {path} leads through too many links")
            target = self._link(inode)
            if target.startswith("/"):
                del trail[1:]
            names += target.split("/")[::-1]
        return trail[-1]

    def _link(self, inode: Inode) -> str:
        short = not inode.sectors and inode.size <= len(inode.blocks)
        text = inode.blocks[: inode.size] if short else self._contents(inode, self.block_size, "a link")
        return text.decode("utf-8", "surrogateescape")

    def _entries(self, folder: Inode) -> Iterator[tuple[bytes, int]]:
        data = self._contents(folder, FOLDER_MAX, "a folder")
        place = 0
        while place + 8 <= len(data):
            number, length, size = struct.unpack_from("<IHB", data, place)
            if length < 8 or length % 4 or size > length - 8 or place + length > len(data):
                raise self._damaged(f"an entry of folder {folder.number}")
            if number:
                yield data[place + 8 : place + 8 + size], number
            place += length

    def _inode(self, number: int) -> Inode:
        if not 0 < number <= self.inodes:
            raise self._damaged(f"there is no inode {number}")
        group, index = divmod(number - 1, self.inodes_per_group)
        descriptor = self._bytes((self.first + 1) * self.block_size + group * self.descriptor_size, self.descriptor_size)
        table: int = struct.unpack_from("<I", descriptor, 8)[0]
        if self.descriptor_size >= 64:
            table |= struct.unpack_from("<I", descriptor, 40)[0] << 32
        data = self._bytes(table * self.block_size + index * self.inode_size, 128)
        mode: int = struct.unpack_from("<H", data)[0]
        size, high = struct.unpack_from("<I", data, 4)[0], struct.unpack_from("<I", data, 108)[0]
        sectors, flags = struct.unpack_from("<I", data, 28)[0], struct.unpack_from("<I", data, 32)[0]
        return Inode(number, mode, size | (high << 32 if stat.S_ISREG(mode) else 0), sectors, flags, data[40:100])

    def _contents(self, inode: Inode, limit: int, what: str) -> bytes:
        if inode.size > limit:
            raise UserError(f"{self.name}: {what} has {inode.size} bytes, and {limit} are the most")
        count = -(-inode.size // self.block_size)
        places = self._extents(inode, count) if inode.flags & HAS_EXTENTS else self._indirect(inode, count)
        data = b"".join(self._block(place) if place else bytes(self.block_size) for place in places)
        return data[: inode.size]

    def _indirect(self, inode: Inode, count: int) -> list[int]:
        """Where the first `count` blocks are; 0 for holes."""
        roots = struct.unpack("<15I", inode.blocks)
        places = list(roots[:DIRECT])
        for depth, root in enumerate(roots[DIRECT:], 1):
            if len(places) < count:
                places += self._below(root, depth, count - len(places))
        if len(places) < count:
            raise self._damaged(f"inode {inode.number} has more bytes than it can have blocks")
        return places[:count]

    def _below(self, root: int, depth: int, count: int) -> list[int]:
        """The blocks below an indirect one, `count` at most."""
        fan = self.block_size // 4
        if not root:
            return [0] * min(count, fan**depth)
        numbers = struct.unpack(f"<{fan}I", self._block(root))
        if depth == 1:
            return list(numbers[:count])
        places: list[int] = []
        for number in numbers:
            if len(places) >= count:
                break
            places += self._below(number, depth - 1, count - len(places))
        return places

    def _extents(self, inode: Inode, count: int) -> list[int]:
        """As _indirect, by a tree of extents."""
        places = [0] * count
        nodes = [(inode.blocks, EXTENT_DEPTH_MAX + 1)]
        seen = 0
        while nodes:
            node, above = nodes.pop()
            magic, entries, _, depth = struct.unpack_from("<4H", node)
            seen += 1
            if magic != EXTENT_MAGIC or depth >= above or 12 + entries * 12 > len(node) or seen > EXTENT_NODES_MAX:
                raise self._damaged(f"the extents of inode {inode.number}")
            for place in range(12, 12 + entries * 12, 12):
                if depth:
                    low, high = struct.unpack_from("<IH", node, place + 4)
                    nodes.append((self._block(low | high << 32), depth))
                    continue
                first, length, high, low = struct.unpack_from("<IHHI", node, place)
                start = low | high << 32
                if length <= UNWRITTEN:
                    end = min(first + length, count)
                    places[first:end] = range(start, start + max(0, end - first))
        return places

    def _block(self, number: int) -> bytes:
        if not 0 < number < self.blocks:
            raise self._damaged(f"there is no block {number}")
        return self._bytes(number * self.block_size, self.block_size)

    def _bytes(self, start: int, size: int) -> bytes:
        data = self._image(start, size)
        if len(data) != size:
            raise self._damaged("the image is cut short")
        return data
