"""The C server stubs of our MIG: beside the real MIG's, and with requests that are not what their definition says."""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

import machemu.mig
from machemu.mig import cserver
from machemu.mig.__main__ import main
from machemu.mig.parser import parse

DEFS = Path(machemu.mig.__file__).parent / "defs"
LIBRARY = DEFS.parent.parent.parent / "images" / "lib"
INCLUDE = Path("/usr/include/i386-linux-gnu")
MIG = shutil.which("i686-gnu-mig")
MASIX = DEFS.parent.parent.parent / "servers" / "masix" / "defs"
COMPLEX = 0x80000000
REPLY_SIZE = 32
BAD_ID, BAD_ARGUMENTS, NO_REPLY = 0xFFFFFED1, 0xFFFFFED0, 0xFFFFFECF
"""MIG_BAD_ID, MIG_BAD_ARGUMENTS, MIG_NO_REPLY, as unsigned words."""

gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

FORMS = """
subsystem forms 900;
#include STANDARD_TYPES
serverprefix do_;
type fixed_t = array[10] of int;
type line_t = c_string[*:80];
type name_t = c_string[512];
type label_t = c_string[24];
type counted_t = array[*:200] of short;
type either_t = array[] of int;
type long_t = array[*:5000] of int;
type memory_t = ^array[] of char	ctype: vm_offset_t;
routine ins(port: mach_port_t; replyport r: mach_port_make_send_once_t; b: fixed_t; d: line_t; e: name_t; f: counted_t;
	g: either_t; h: long_t; i: mach_port_poly_t; j: int; k: memory_t; l: label_t);
routine outs(requestport port: mach_port_poly_t; seed: int; out b: fixed_t; out d: line_t; out e: name_t;
	out f: counted_t, CountInOut; out g: either_t, CountInOut; out h: long_t; out i: mach_port_poly_t; out k: memory_t, Dealloc);
routine both(port: mach_port_t; inout a: int; inout b: fixed_t);
skip;
simpleroutine one_way(port: mach_port_t; inside: mach_port_array_t = array[*:4] of mach_port_move_send_t;
	msgoption o: int; waittime w: int);
"""

FUNCTIONS = """
static unsigned sum;
static void add(const void *data, unsigned size)
{
	const unsigned char *byte = data;
	while (size--) sum = sum * 31 + *byte++;
}
static void word(unsigned value) { add(&value, 4); }
static unsigned code(void) { unsigned value = sum >> 1; sum = 7; return value; }

kern_return_t do_ins(mach_port_t port, mach_port_t r, const int *b, const char *d, const char *e, const short *f,
	mach_msg_type_number_t fCnt, const int *g, mach_msg_type_number_t gCnt, const int *h, mach_msg_type_number_t hCnt,
	mach_port_t i, mach_msg_type_name_t iPoly, int j, vm_offset_t k, mach_msg_type_number_t kCnt, const char *l)
{
	word(port); word(r); add(b, 40); add(d, strlen(d)); add(e, strlen(e)); add(f, 2 * fCnt); word(gCnt);
	add(h, 4 * hCnt); word(i); word(iPoly); word(j); word(k); word(kCnt); add(l, strlen(l));
	return j & 1 ? (int) code() : 0;
}
kern_return_t do_outs(mach_port_t port, mach_msg_type_name_t portPoly, int seed, int *b, char *d, char *e, short *f,
	mach_msg_type_number_t *fCnt, int **g, mach_msg_type_number_t *gCnt, int *h, mach_msg_type_number_t *hCnt,
	mach_port_t *i, mach_msg_type_name_t *iPoly, vm_offset_t *k, mach_msg_type_number_t *kCnt)
{
	unsigned n;
	for (n = 0; n < 10; n++) b[n] = seed + n;
	for (n = 0; n < (seed & 63); n++) d[n] = 'a' + n % 26;
	d[n] = 0;
	memset(e, 0, 512);
	for (n = 0; n < (seed & 255); n++) e[n] = 'A' + n % 26;
	if (*fCnt > (seed >> 3 & 127)) *fCnt = seed >> 3 & 127;
	for (n = 0; n < *fCnt; n++) f[n] = seed + n;
	if (seed & 4096) { *g = (int *) 0x12340; *gCnt = 1000; }
	else { if (*gCnt > (seed & 31)) *gCnt = seed & 31; for (n = 0; n < *gCnt; n++) (*g)[n] = n; }
	*hCnt = seed & 1023;
	for (n = 0; n < *hCnt; n++) h[n] = seed * n;
	*i = port; *iPoly = seed & 2 ? 17 : 18;
	*k = seed << 12; *kCnt = seed & 0xffff;
	return seed & 1 ? 5 : 0;
}
kern_return_t do_both(mach_port_t port, int *a, int *b)
{
	unsigned n;
	*a += 1;
	for (n = 0; n < 10; n++) b[n] ^= port;
	return 0;
}
kern_return_t do_one_way(mach_port_t port, const mach_port_t *inside, mach_msg_type_number_t insideCnt)
{
	word(port); add(inside, 4 * insideCnt);
	return (int) code();
}

static int call(int number, int a, const void *b, int c)
{
	int result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
	return result;
}
static void input(void *to, int size)
{
	int got;
	while (size > 0) {
		got = call(3, 0, to, size);
		if (got <= 0) call(1, 0, 0, 0);
		to = (char *) to + got;
		size -= got;
	}
}
boolean_t forms_server();
static unsigned request[16384], reply[16384];
void _start(void)
{
	sum = 7;
	for (;;) {
		unsigned size, found;
		input(&size, 4);
		memset(request, 0, sizeof request);
		memset(reply, 0, sizeof reply);
		input(request, size);
		found = forms_server(request, reply);
		call(4, 1, &found, 4);
		call(4, 1, reply, reply[7] ? 32 : reply[1]);
	}
}
"""

RUN_TIME = """
void *memcpy(void *to, const void *from, size_t size)
{
	size_t n;
	for (n = 0; n < size; n++) ((char *) to)[n] = ((const char *) from)[n];
	return to;
}
void *memset(void *to, int value, size_t size)
{
	size_t n;
	for (n = 0; n < size; n++) ((char *) to)[n] = value;
	return to;
}
size_t strlen(const char *string) { size_t n = 0; while (string[n]) n++; return n; }
vm_size_t mig_strncpy(char *to, const char *from, vm_size_t size)
{
	vm_size_t n = 0;
	while (n < size - 1 && from[n]) { to[n] = from[n]; n++; }
	to[n] = 0;
	return n;
}
"""
OURS = (
    "#include <mig.h>\n"
    + RUN_TIME
    + """
void mig_deallocate(vm_offset_t address, vm_size_t size) {}
void mig_begin_reply(const mach_msg_header_t *request, mach_msg_header_t *reply)
{
	reply->msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(request->msgh_bits), 0);
	reply->msgh_size = 32;
	reply->msgh_remote_port = request->msgh_remote_port;
	reply->msgh_id = request->msgh_id + 100;
}
void mig_end_reply(mach_msg_header_t *reply, kern_return_t result)
{
	((unsigned *) reply)[6] = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
	((unsigned *) reply)[7] = result;
}
"""
    + FUNCTIONS
)
SUPPORT = """
#ifndef SUPPORT
#define SUPPORT
#include <stddef.h>
#include <mach/message.h>
#include <mach/mach_types.h>
void mig_deallocate(vm_address_t, vm_size_t);
vm_size_t mig_strncpy(char *, const char *, vm_size_t);
void *memcpy(void *, const void *, size_t);
void *memset(void *, int, size_t);
size_t strlen(const char *);
typedef int fixed_t[10], long_t[5000], *either_t;
typedef short counted_t[200];
typedef char line_t[80], name_t[512], label_t[24];
typedef const char *const_line_t, *const_name_t, *const_label_t;
typedef const int *const_either_t;
#endif
"""
THEIRS = (
    "#include <mach/mig_support.h>\n" + RUN_TIME + "void mig_deallocate(vm_address_t address, vm_size_t size) {}\n" + FUNCTIONS
)
FLAGS = ("-m32", "-O1", "-w", "-ffreestanding", "-fno-builtin", "-fno-pic", "-no-pie", "-nostdlib", "-static")


def compile_program(folder: Path, text: str, *include: Path) -> Path:
    (folder / "program.c").write_text(text)
    command = ["gcc", *FLAGS, f"-I{folder}", *(f"-I{place}" for place in include), "program.c", "forms_server.c", "-o", "program"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "program"


def ours(folder: Path) -> Path:
    folder.mkdir()
    (folder / "forms.defs").write_text(FORMS.replace("STANDARD_TYPES", '"std_types.defs"'))
    outputs = ["--c-server", str(folder / "forms_server.c"), "--c-server-header", str(folder / "forms_server.h")]
    assert main([str(folder / "forms.defs"), "-I", str(DEFS), *outputs]) == 0
    return compile_program(folder, OURS, LIBRARY, LIBRARY / "i386")


def theirs(folder: Path) -> Path:
    folder.mkdir()
    (folder / "mach").mkdir()
    (folder / "mach" / "mig_support.h").write_text(SUPPORT)
    (folder / "forms.defs").write_text(FORMS.replace("STANDARD_TYPES", "<mach/std_types.defs>"))
    nowhere = ["-user", "/dev/null", "-header", "/dev/null", "-sheader", "/dev/null"]
    command = [str(MIG), f"-I{INCLUDE}", "-server", "forms_server.c", *nowhere, "forms.defs"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={"CC": "gcc -m32", "PATH": "/usr/bin:/bin"})
    return compile_program(folder, THEIRS, INCLUDE)


def served(program: Path, requests: Sequence[bytes]) -> list[tuple[int, bytes]]:
    """What the server function answers, and its reply, for each request."""
    text = b"".join(struct.pack("<I", len(request)) + request for request in requests)
    out = subprocess.run([str(program)], input=text, capture_output=True, check=True, timeout=60).stdout
    found = []
    while out:
        size, result = struct.unpack_from("<I", out, 8)[0], struct.unpack_from("<i", out, 32)[0]
        length = REPLY_SIZE if result else size
        found.append((struct.unpack_from("<I", out)[0], out[4 : 4 + length]))
        out = out[4 + length :]
    return found


def short(name: int, size: int, number: int, inline: bool = True) -> bytes:
    return struct.pack("<I", name | size << 8 | number << 16 | inline << 28)


def long(name: int, size: int, number: int, inline: bool = True) -> bytes:
    return struct.pack("<IHHI", inline << 28 | 1 << 29, name, size, number)


def text(dice: random.Random, room: int) -> bytes:
    return bytes(dice.randrange(1, 256) for _ in range(dice.randrange(room)))


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def request(dice: random.Random) -> bytes:
    """A request of any of the routines as its definition says."""
    number = dice.choice((900, 901, 902, 904))
    bits = 17 | 17 << 8
    if number == 900:
        line, array = text(dice, 79) + b"\0", dice.randbytes(4 * dice.randrange(9))
        wide, shorts = dice.randbytes(4 * dice.randrange(50)), dice.randbytes(2 * dice.randrange(200))
        either = long(2, 32, 77, False) + b"\0\x40\0\0" if dice.random() < 0.3 else long(2, 32, len(array) // 4) + array
        body = short(2, 32, 10) + dice.randbytes(40) + short(12, 8, len(line)) + padded(line)
        body += short(12, 8, 512) + text(dice, 512).ljust(512, b"\0")
        body += short(1, 16, len(shorts) // 2) + padded(shorts) + either + long(2, 32, len(wide) // 4) + wide
        body += short(dice.choice((16, 17, 18)), 32, 1) + dice.randbytes(4) + short(2, 32, 1) + dice.randbytes(4)
        body += long(8, 8, dice.randrange(9999), False) + dice.randbytes(4) + short(12, 8, 24) + text(dice, 24).ljust(24, b"\0")
        bits |= COMPLEX
    elif number == 901:
        counts = [struct.pack("<I", dice.choice((0, 3, 100, 200, 600))) for _ in range(2)]
        body = short(2, 32, 1) + dice.randbytes(4) + short(2, 32, 1) + counts[0] + short(2, 32, 1) + counts[1]
    elif number == 902:
        body = short(2, 32, 1) + dice.randbytes(4) + short(2, 32, 10) + dice.randbytes(40)
    else:
        count = dice.randrange(5)
        body = short(17, 32, count) + dice.randbytes(4 * count)
        bits |= COMPLEX
    return struct.pack("<6I", bits, 24 + len(body), dice.randrange(99), dice.randrange(99), 0, number) + body


def damaged(dice: random.Random, good: bytes) -> bytes:
    """The request with a word changed, or of another size or id."""
    words = bytearray(good)
    kind = dice.randrange(4)
    if kind == 0:
        struct.pack_into("<I", words, 20, dice.choice((899, 903, 905, 0, 0xFFFFFFFF)))
    elif kind == 1:
        size = max(24, len(words) + 4 * dice.randrange(-8, 8))
        words = words[:size].ljust(size, b"\0")
        struct.pack_into("<I", words, 4, size)
    elif kind == 2:
        struct.pack_into("<I", words, 0, struct.unpack_from("<I", words)[0] ^ COMPLEX)
    else:
        place = 24 + 4 * dice.randrange(max((len(words) - 24) // 4, 1))
        if place < len(words):
            words[place + dice.randrange(4)] ^= 1 << dice.randrange(8)
    return bytes(words)


@gcc
@pytest.mark.skipif(MIG is None or not (INCLUDE / "mach/mach.defs").is_file(), reason="Debian's MIG is not installed")
def test_replies_are_those_of_the_real_migs_stubs(tmp_path: Path) -> None:
    dice = random.Random(5)
    good = [request(dice) for _ in range(400)]
    # A stub reads what lies behind a request that is too short; with the real MIG's it is what follows in memory.
    requests = good + [damaged(dice, each) for each in good for _ in range(4)]
    mine, other = served(ours(tmp_path / "ours"), requests), served(theirs(tmp_path / "theirs"), requests)
    assert len(mine) == len(other) == len(requests)
    different = [n for n, pair in enumerate(zip(mine, other, strict=True)) if pair[0] != pair[1]]
    assert not different, [(requests[n].hex(), mine[n], other[n]) for n in different[:3]]
    codes = [struct.unpack_from("<I", reply, 28)[0] for _, reply in mine]
    assert {0, BAD_ID, BAD_ARGUMENTS} <= set(codes)
    assert codes[: len(good)].count(0) > 100


@gcc
def test_a_request_that_is_too_short_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    dice = random.Random(6)
    requests = []
    for _ in range(60):
        good = request(dice)
        for size in range(24, len(good), 4):
            requests.append(good[:4] + struct.pack("<I", size) + good[8:size])
    for found, reply in served(ours(tmp_path / "ours"), requests):
        assert (found, struct.unpack_from("<I", reply, 28)[0]) == (1, BAD_ARGUMENTS)


INTERFACES = [path for path in sorted([*DEFS.glob("*.defs"), *MASIX.glob("*.defs")]) if not path.stem.endswith("_types")]


@gcc
@pytest.mark.parametrize("path", INTERFACES, ids=lambda path: path.stem)
def test_the_server_stubs_of_every_interface_compile_without_warnings(path: Path, tmp_path: Path) -> None:
    subsystem = parse(path, [DEFS])
    (tmp_path / f"{subsystem.name}_server.h").write_text(cserver.header(subsystem))
    (tmp_path / f"{subsystem.name}_server.c").write_text(cserver.server(subsystem))
    flags = ["-m32", "-O1", "-ffreestanding", "-Wall", "-Wextra", "-Werror", "-Wno-sign-compare", "-Wno-unused-parameter"]
    command = ["gcc", *flags, "-fsyntax-only", f"-I{tmp_path}", f"-I{LIBRARY}", f"-I{LIBRARY / 'i386'}"]
    done = subprocess.run([*command, f"{subsystem.name}_server.c"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
