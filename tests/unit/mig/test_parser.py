"""The language of .defs files: what is understood, and what is refused with the place where it stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from machemu.abi.errors import UserError
from machemu.abi.types import ByteOrder
from machemu.mig import cgen, layout, pygen
from machemu.mig.model import Direction, Form, Subsystem
from machemu.mig.parser import parse

HEAD = "subsystem test 100;\ntype port_t = MACH_MSG_TYPE_COPY_SEND;\n"


def _parse(directory: Path, text: str, **defines: str) -> Subsystem:
    path = directory / "test.defs"
    path.write_text(text)
    return parse(path, [directory], defines)


def _failure(directory: Path, text: str) -> str:
    with pytest.raises(UserError) as caught:
        _parse(directory, text)
    return str(caught.value).removeprefix(f"{directory}/")


def test_every_form_of_type(tmp_path: Path) -> None:
    types = _parse(
        tmp_path,
        HEAD
        + """
        type fixed = array[10] of int;
        type counted = array[*:20] of short;
        type either = array[] of fixed;
        type memory = ^array[] of MACH_MSG_TYPE_BYTE;
        type page = ^array[4096] of char;
        type ports = ^array[] of port_t;
        type pair = struct[2] of int;
        type mixed = struct { int a; MACH_MSG_TYPE_INTEGER_64 b; array[8] of char c; };
        type name = c_string[32];
        type line = c_string[*:80];
        type old_name = (MACH_MSG_TYPE_STRING_C, 8*(20+2*6)-8);
        type given = MACH_MSG_TYPE_MAKE_SEND_ONCE|polymorphic;
        type uint32_t = 2;
        type unsigned_alias = uint32_t;
        """,
    ).types
    assert (types["fixed"].number, types["fixed"].is_array) == (10, True)
    assert (types["counted"].form, types["counted"].limit, types["counted"].size) == (Form.COUNTED, 20, 16)
    assert (types["either"].form, types["either"].limit, types["either"].number) == (Form.EITHER, 2048 // 40, 10)
    assert (types["memory"].form, types["memory"].longform) == (Form.OUT_OF_LINE, True)
    assert (types["page"].form, types["page"].number, types["page"].out_of_line_fixed) == (Form.OUT_OF_LINE, 4096, True)
    assert types["ports"].is_port
    assert types["pair"].is_struct
    assert (types["mixed"].number, types["mixed"].size, pygen.struct_format(types["mixed"].fields)) == (5, 32, "iq8s")
    assert (types["name"].size, types["name"].number, types["name"].longform, types["name"].string) == (8, 32, False, True)
    assert (types["line"].form, types["line"].limit) == (Form.COUNTED, 80)
    assert types["old_name"].element_bytes == 31
    assert (types["given"].send, types["given"].receive) == (21, -1)
    assert types["unsigned_alias"].fields[0].code == "I"


def test_every_statement_and_direction(tmp_path: Path) -> None:
    subsystem = _parse(
        tmp_path,
        """
        Subsystem KernelUser KERNELSERVER everything 500;
        ServerPrefix s_; UserPrefix u_; ServerDemux d; RcsId "$Id$"; MsgOption MACH_SEND_INTERRUPT; WaitTime 10; Error oops;
        import <a.h>; uimport "b.h"; simport <c.h>;
        type port_t = MACH_MSG_TYPE_COPY_SEND ctype: mach_port_t intran: obj_t from_port(mach_port_t)
            outtran: mach_port_t to_port(obj_t) intranpayload: obj_t from_payload destructor: drop(obj_t)
            cusertype: u cservertype: s;
        type once_t = MACH_MSG_TYPE_MAKE_SEND_ONCE;
        type data_t = ^array[] of char;
        skip;
        Routine first(in a: port_t; replyport r: once_t; waittime w: int; msgoption o: int; msgseqno n: int;
            data: data_t, Dealloc[]; inout x: int; out list: list_t = array[*:9] of int, CountInOut, IsLong);
        SIMPLEROUTINE second(early: int; requestport p: port_t; sreplyport s: once_t);
        """,
    )
    assert subsystem.flags == ("kerneluser", "kernelserver")
    assert (subsystem.user_prefix, subsystem.server_prefix, subsystem.server_demux) == ("u_", "s_", "d")
    assert (subsystem.msg_option, subsystem.wait_time) == ("MACH_SEND_INTERRUPT", "10")
    assert subsystem.imports == [("import", "<a.h>"), ("uimport", '"b.h"'), ("simport", "<c.h>")]
    assert [translation.keyword for translation in subsystem.types["port_t"].translations] == [
        "intran",
        "outtran",
        "intranpayload",
        "destructor",
    ]
    assert subsystem.types["port_t"].user_ctype == "u"
    first, second = subsystem.routines
    assert subsystem.skips == [500]
    assert (first.id, first.simple, second.id, second.simple) == (501, False, 502, True)
    assert [argument.direction for argument in first.arguments][1:5] == [
        Direction.REPLY_PORT,
        Direction.WAIT_TIME,
        Direction.MSG_OPTION,
        Direction.MSG_SEQNO,
    ]
    assert first.arguments[5].flags == ("dealloc[]",)
    assert [item.name for item in layout.request(first).items] == ["data", "x", "listCnt"]
    reply = layout.reply(first)
    assert reply is not None
    assert [item.name for item in reply.items] == ["RetCode", "x", "list"]
    assert reply.items[2].type.longform
    assert second.request_port.name == "p"
    stub = cgen.header(subsystem)
    assert "u_first(u a, once_t r, int w, int o, data_t data, mach_msg_type_number_t dataCnt, boolean_t dataDealloc, " in stub
    assert "mach_msg_return_t u_second(int early, u p);" in stub


def test_the_preprocessor_chooses_and_includes(tmp_path: Path) -> None:
    (tmp_path / "inner.defs").write_text("#ifndef ONCE\n#define ONCE\ntype port_t = MACH_MSG_TYPE_COPY_SEND;\n#endif\n")
    text = """
#include <inner.defs>
#include "inner.defs"
#define BASE 70 // the base
#if defined(SERVER) && !(BASE < 70)
subsystem served BASE;
#elif 0
#error "never"
#else
subsystem plain BASE; /* a comment
over two lines */
#endif
routine \\
    r(p: port_t);
#undef BASE
type BASE = int;
"""
    assert _parse(tmp_path, text).name == "plain"
    assert _parse(tmp_path, text, SERVER="1").name == "served"
    assert _parse(tmp_path, text).base == 70


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("subsystem a 1;\nroutine r(p: nothing_t);", "test.defs:2:14: type nothing_t is not declared"),
        ("subsystem a 1;\n  routine (p: int);", "test.defs:2:11: '(p:' cannot stand here"),
        ("subsystem a 1;\ntype t = MACH_MSG_TYPE_ODD;", "test.defs:2:10: there is no MACH_MSG_TYPE_ODD"),
        ("subsystem a 1;\ntype t = int", "test.defs:2:1: the file ends within a declaration"),
        ("type t = int;", "test.defs:1:1: the file names no subsystem"),
        ("skip;", "test.defs:1:1: before the subsystem is named"),
        ("subsystem a 1;\nsubsystem b 2;", "test.defs:2:1: a second subsystem; the first is a"),
        (HEAD + "type port_t = int;", "test.defs:3:6: type port_t is declared twice"),
        (HEAD + "routine r(p: port_t);\nroutine r(p: port_t);", "test.defs:4:9: routine r is declared twice"),
        (HEAD + "routine r();", "test.defs:3:9: r needs a request port"),
        (HEAD + "routine r(x: int);", "test.defs:3:1: x cannot be r's request port"),
        (HEAD + "routine r(p: port_t; p: int);", "test.defs:3:11: r has two arguments p"),
        (HEAD + "simpleroutine r(p: port_t; out x: int);", "test.defs:3:28: x: a simpleroutine has no results"),
        (HEAD + "routine r(p: port_t; x: int, Shiny);", "test.defs:3:30: there is no flag Shiny"),
        (HEAD + "routine r(p: port_t; replyport x: int);", "test.defs:3:22: x: a replyport argument is a port"),
        (HEAD + "type t = array[0] of int;", "test.defs:3:10: an array needs at least one element"),
        (HEAD + "type t = array[1/0] of int;", "test.defs:3:16: division by zero"),
        (HEAD + "type t = array[] of array[] of int;", "test.defs:3:10: arrays of arrays"),
        (HEAD + "type t = ^ ^ int;", "test.defs:3:10: only arrays without a limit"),
        (HEAD + "type t = struct { char c; };", "test.defs:3:19: c: a struct's members are data"),
        (HEAD + "type t = (MACH_MSG_TYPE_INTEGER_32, 5);", "test.defs:3:10: 5 bits is no size"),
        (HEAD + "type t = MACH_MSG_TYPE_STRING;", "test.defs:3:10: this type needs a size"),
        (HEAD + "procedure p(x: port_t);", "test.defs:3:1: procedure is no longer part of MIG"),
        ("#if 1\n", "test.defs:1:1: this #if has no #endif"),
        ("\n#endif\n", "test.defs:2:1: #endif without #if"),
        ("#if (1\n#endif", "test.defs:1:1: #if (1 lacks something"),
        ("#if 1 $ 2\n#endif", "test.defs:1:1: '$ 2' is not understood in #if 1 $ 2"),
        ("#define F(x) x\n", "test.defs:1:1: only plain names can be defined in .defs files, not 'F(x)'"),
        ("#include <none.defs>\n", "test.defs:1:1: none.defs is in none of"),
        ('#include "test.defs"\n', "test.defs: files include each other without end"),
        ("#error stop here\n", "test.defs:1:1: stop here"),
        ("#wonder\n", "test.defs:1:1: #wonder is not known here"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, message: str, tmp_path: Path) -> None:
    assert _failure(tmp_path, text).startswith(message)


def test_a_mistake_in_an_included_file_is_placed_there(tmp_path: Path) -> None:
    (tmp_path / "types.defs").write_text("\n\ntype t = nothing_t;\n")
    assert _failure(tmp_path, 'subsystem a 1;\n#include "types.defs"\n').startswith("types.defs:3:10:")


@given(st.text(alphabet='subsystem routine(type)=:;,array[]*^{}struct 0123456789|#if\n/"<>', max_size=80))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    directory = tmp_path_factory.getbasetemp()
    try:
        _parse(directory, text)
    except UserError as error:
        assert "test.defs" in str(error)


def test_descriptor_words_in_both_byte_orders(tmp_path: Path) -> None:
    subsystem = _parse(
        tmp_path, HEAD + "type name_t = (MACH_MSG_TYPE_STRING_C, 8*128);\nroutine r(p: port_t; x: int; n: name_t; q: port_t);"
    )
    message = layout.request(subsystem.routines[0])
    assert message.words(ByteOrder.LITTLE, True) == ((0x10012002,), (0x30000000, 12, 1024, 1), (0x10012011,))
    assert message.words(ByteOrder.BIG, True) == ((0x02200018,), (0x0000000C, 12, 1024, 1), (0x11200018,))
    assert message.words(ByteOrder.LITTLE, False)[2] == (0x10012013,)
    assert (message.offsets, message.min_size, message.max_size) == ((24, 32, 172), 180, 180)
