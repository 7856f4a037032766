"""Writes a subsystem's server side in C: a header that declares what the server must define, and the stubs that call it.

`SUBSYSTEM_server(request, reply)` takes a request apart and calls the routine's function, as Mach's MIG has it:

- An argument of the request comes as a value, or as a pointer into the request, and a count of elements behind it. Memory out
  of line is the server's; where it stands for an array that was too long for the message, the stub gives it back after a success.
- A result goes through a pointer. A counted array has the room that its count says at first. Where an array may go either way,
  the function may let the pointer point to memory of its own, which then goes out of line; with `dealloc[]` it says whether that
  memory is given away.
- A request that is not what its definition says is answered with MIG_BAD_ARGUMENTS. The function's code goes into RetCode; unless
  it is KERN_SUCCESS nothing else goes. MIG_NO_REPLY says that there is no reply, or not yet.

The C is the same for every machine (see cgen).
"""

from __future__ import annotations

from machemu.mig import layout
from machemu.mig.cgen import put_descriptor
from machemu.mig.layout import Item
from machemu.mig.model import POLYMORPHIC, Argument, Direction, Form, Routine, Subsystem, Type

_COUNT = "mach_msg_type_number_t"
_NAME = "mach_msg_type_name_t"
_BAD = "return MIG_BAD_ARGUMENTS;"


def header(subsystem: Subsystem) -> str:
    """The declarations of the server's functions, and of the one that takes requests."""
    guard = f"{subsystem.name}_server_".upper()
    lines = [
        f"/* Server functions of subsystem {subsystem.name}. Made by MIG; do not edit. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
    ]
    lines += [f"#include {name}" for keyword, name in subsystem.imports if keyword != "uimport"]
    requests = [layout.request(routine).max_size for routine in subsystem.routines]
    replies = [reply.max_size for reply in map(layout.reply, subsystem.routines) if reply is not None]
    lines += [
        "",
        "/* Bytes of the largest request, and of the largest reply. */",
        f"#define {subsystem.name.upper()}_REQUEST_SIZE {max(requests, default=24)}",
        f"#define {subsystem.name.upper()}_REPLY_SIZE {max([32, *replies])}",
        "",
        "/* Serves a request: FALSE, and MIG_BAD_ID in the reply, where the subsystem has no such routine. */",
        _demux(subsystem) + ";",
        "",
    ]
    lines += [_prototype(subsystem, routine) + ";" for routine in subsystem.routines]
    lines += ["", "#endif", ""]
    return "\n".join(lines)


def server(subsystem: Subsystem) -> str:
    """The server stubs. They include their declarations as SUBSYSTEM_server.h."""
    lines = [
        f"/* Server stubs of subsystem {subsystem.name}. Made by MIG; do not edit. */",
        "#include <mig.h>",
        f'#include "{subsystem.name}_server.h"',
    ]
    for routine in subsystem.routines:
        stub = f"static kern_return_t _X{routine.name}(mach_msg_header_t *InP, mach_msg_header_t *OutP)"
        lines += ["", stub, "{", *["    " + line for line in _Stub(subsystem, routine).body()], "}"]
    lines += ["", _demux(subsystem), "{", "    kern_return_t result = MIG_BAD_ID;", "", "    mig_begin_reply(request, reply);"]
    lines.append("    switch (request->msgh_id) {")
    for routine in subsystem.routines:
        lines.append(f"    case {routine.id}: result = _X{routine.name}(request, reply); break;")
    lines += ["    default: mig_end_reply(reply, MIG_BAD_ID); return FALSE;", "    }"]
    return "\n".join([*lines, "    mig_end_reply(reply, result);", "    return TRUE;", "}", ""])


def _demux(subsystem: Subsystem) -> str:
    name = subsystem.server_demux or f"{subsystem.name}_server"
    return f"boolean_t {name}(mach_msg_header_t *request, mach_msg_header_t *reply)"


def _prototype(subsystem: Subsystem, routine: Routine) -> str:
    parameters = [text for argument in routine.arguments for text in _parameters(argument)]
    return f"kern_return_t {subsystem.server_prefix}{routine.name}({', '.join(parameters)})"


def _is_passed(argument: Argument) -> bool:
    return argument.direction not in (Direction.USER_REPLY_PORT, Direction.WAIT_TIME, Direction.MSG_OPTION)


def _ctype(kind: Type) -> str:
    return kind.cservertype or kind.ctype or kind.name


def _chooses_disposition(argument: Argument) -> bool:
    """Whether the server gets (in) or gives (out) a right's disposition."""
    kind = argument.type
    return kind.is_port and (kind.send if argument.in_reply else kind.receive) == POLYMORPHIC


def _counted(kind: Type) -> bool:
    return kind.form is not Form.FIXED and not kind.out_of_line_fixed and not kind.string


def _parameters(argument: Argument) -> list[str]:
    """An argument's parameters: the value, then its disposition, its count, and whether memory goes with it."""
    if not _is_passed(argument):
        return []
    kind, name, out = argument.type, argument.name, argument.in_reply
    parameters = [_value_parameter(kind, name, out)]
    if _chooses_disposition(argument):
        parameters.append(f"{_NAME} {'*' if out else ''}{name}Poly")
    if _counted(kind):
        parameters.append(f"{_COUNT} {'*' if out else ''}{name}Cnt")
    if out and "dealloc[]" in argument.flags:
        parameters.append(f"boolean_t *{name}Dealloc")
    return parameters


def _value_parameter(kind: Type, name: str, out: bool) -> str:
    const = "" if out else "const "
    if kind.string:
        return f"{const}char *{name}"
    if kind.form is Form.COUNTED or (kind.form is Form.FIXED and kind.is_array):
        return f"{const}{kind.element} *{name}"
    if kind.form is Form.EITHER:
        return f"{const}{kind.element} *{'*' if out else ''}{name}"
    return f"{_ctype(kind)} {'*' if out else ''}{name}"


class _Stub:
    """One stub's body. In its C, `In` goes through the request's words up to `InEnd`, then `Out` through the reply's."""

    def __init__(self, subsystem: Subsystem, routine: Routine) -> None:
        self.subsystem = subsystem
        self.routine = routine
        self.request = layout.request(routine)
        self.reply = layout.reply(routine)

    def body(self) -> list[str]:
        lines = self._begin()
        for item in self.request.items:
            lines += self._take(item)
        if self.request.items:
            lines.append(f"if (In != InEnd) {_BAD}")
        outs = self.reply.items[1:] if self.reply is not None else ()
        for item in outs:
            lines += self._declare(item)
        lines += self._call()
        if self.reply is None:
            return [*lines, "return RetCode ? RetCode : MIG_NO_REPLY;"]
        lines.append("if (RetCode) return RetCode;")
        lines += self._give_back()
        if outs:
            lines.append("uint32_t *Out = (uint32_t *) OutP + 8;")
        for item in outs:
            lines += self._put(item)
        if outs:
            lines.append("OutP->msgh_size = (char *) Out - (char *) OutP;")
        return [*lines, "return KERN_SUCCESS;"]

    # The request

    def _begin(self) -> list[str]:
        kinds = [item.type for item in self.request.items]
        always = any(kind.form is Form.OUT_OF_LINE or (kind.is_port and kind.receive != POLYMORPHIC) for kind in kinds)
        maybe = any(kind.form is Form.EITHER or kind.is_port for kind in kinds)
        fixed = self.request.min_size == self.request.max_size
        lines = [f"if (InP->msgh_size {'!=' if fixed else '<'} {self.request.min_size}) {_BAD}"]
        if always or not maybe:
            lines.append(f"if ({'!' if always else ''}(InP->msgh_bits & MACH_MSGH_BITS_COMPLEX)) {_BAD}")
        if self.request.items:
            lines.append("uint32_t *In = (uint32_t *) InP + 6;")
            lines.append("const uint32_t *InEnd = (const uint32_t *) ((char *) InP + InP->msgh_size);")
        return lines

    def _take(self, item: Item) -> list[str]:
        """Checks a descriptor and what follows it, and declares the argument."""
        kind, name = item.type, item.name
        words = (item.descriptor_bytes + item.min_bytes) // 4
        lines = [f"if (InEnd - In < {words}) {_BAD}"]
        if item.is_count:
            return [*lines, *self._check(item), f"uint32_t {name}Asked = *In++;"]
        declared = name if item.argument is None or not item.argument.in_reply else f"{name}In"
        if kind.form is Form.FIXED:
            return [*lines, *self._check(item), *self._take_fixed(item, declared)]
        if kind.form is Form.OUT_OF_LINE:
            return [*lines, *self._check(item), *self._take_memory(item, declared)]
        return [*lines, *self._check(item), *self._take_elements(item, declared)]

    def _check(self, item: Item) -> list[str]:
        """The descriptor, but for the number of a counted array, which is left in `NAMEItems`; In is behind it afterwards."""
        kind, name = item.type, item.name
        inline = "" if kind.form is Form.EITHER else "!" if kind.form is not Form.OUT_OF_LINE else " "
        any_right = kind.is_port and kind.receive == POLYMORPHIC
        count = kind.form is not Form.FIXED and not kind.out_of_line_fixed
        if kind.longform:
            tests = ["!MIG_IS_LONG(In[0])"]
            tests += [f"{inline.strip()}MIG_IS_INLINE(In[0])"] if inline else []
            tests.append(
                f"MIG_LONG_SIZE_OF(In[1]) != {kind.size}" if any_right else f"In[1] != MIG_LONG_NAME({kind.receive}, {kind.size})"
            )
            tests += [] if count else [f"In[2] != {kind.number}"]
            number, type_name, length = "In[2]", "MIG_LONG_NAME_OF(In[1])", 3
        else:
            word = f"MIG_SHORT({kind.receive & 0xFF}, {kind.size}, {kind.number}, {int(kind.form is not Form.OUT_OF_LINE)}, 0)"
            if any_right:
                tests = [f"MIG_IS_LONG(In[0]) || !MIG_IS_INLINE(In[0]) || MIG_SIZE(In[0]) != {kind.size}"]
                tests += [] if count else [f"MIG_NUMBER(In[0]) != {kind.number}"]
            elif count:
                tests = [f"MIG_KIND(In[0]) != MIG_KIND({word})"]
            else:
                tests = [f"In[0] != {word}"]
            number, type_name, length = "MIG_NUMBER(In[0])", "MIG_NAME(In[0])", 1
        lines = [f"if ({' || '.join(tests)}) {_BAD}"]
        if any_right and not item.is_count:
            lines.append(f"{_NAME} {name}Poly = {type_name};")
        if count:
            lines.append(f"uint32_t {name}Items = {number};")
        if kind.form is Form.EITHER:
            lines.append(f"boolean_t {name}Inline = MIG_IS_INLINE(In[0]);")
        return [*lines, f"In += {length};"]

    def _take_fixed(self, item: Item, name: str) -> list[str]:
        kind = item.type
        words = layout.padded(kind.element_bytes) // 4
        if kind.string:
            return [f"char *{name} = (char *) In;", f"{name}[{kind.element_bytes - 1}] = 0;", f"In += {words};"]
        if kind.is_array:
            return [f"const {kind.element} *{name} = (const {kind.element} *) In;", f"In += {words};"]
        if kind.element_bytes == 4 and not kind.is_struct:
            return [f"{_ctype(kind)} {name} = ({_ctype(kind)}) *In++;"]
        return [f"{_ctype(kind)} {name};", f"memcpy(&{name}, In, {kind.element_bytes});", f"In += {words};"]

    def _take_memory(self, item: Item, name: str) -> list[str]:
        kind = item.type
        lines = [f"{_ctype(kind)} {name} = ({_ctype(kind)}) *In++;"]
        if not kind.out_of_line_fixed:
            lines.append(f"{_COUNT} {name}Cnt = {item.name}Items / {kind.number};")
        return lines

    def _take_elements(self, item: Item, name: str) -> list[str]:
        """An array in the message, or (EITHER) memory that stands for one."""
        kind = item.type
        number = f"{item.name}Items / {kind.number}" if kind.number > 1 else f"{item.name}Items"
        element = "char" if kind.string else kind.element
        const = "" if kind.string else "const "
        fits = f"if ({name}Cnt > (uint32_t) ((const char *) InEnd - (const char *) In) / {kind.element_bytes}) {_BAD}"
        advance = f"In += ({kind.element_bytes} * {name}Cnt + 3) / 4;"
        lines = [f"{_COUNT} {name}Cnt = {number};"]
        if kind.form is Form.EITHER:
            lines += [
                f"{const}{element} *{name} = ({const}{element} *) In;",
                f"if ({item.name}Inline) {{ {fits} {advance} }}",
                f"else if (In == InEnd) {_BAD}",
                f"else {name} = ({const}{element} *) *In++;",
            ]
            return lines
        lines += [fits, f"{const}{element} *{name} = ({const}{element} *) In;"]
        if kind.string:
            lines.append(f"if (!{name}Cnt || {name}[{name}Cnt - 1]) {_BAD}")
        return [*lines, advance]

    # The call

    def _declare(self, item: Item) -> list[str]:
        """A result's room."""
        kind, name = item.type, item.name
        assert item.argument is not None
        lines = []
        if kind.string:
            lines.append(f"char {name}[{kind.limit if kind.form is Form.COUNTED else kind.element_bytes}];")
        elif kind.form in (Form.COUNTED, Form.EITHER):
            # With room for one at least: C has no empty arrays.
            lines.append(f"{kind.element} {name}{'Room' if kind.form is Form.EITHER else ''}[{max(kind.limit, 1)}];")
            lines.append(f"{_COUNT} {name}Cnt = {kind.limit};")
            if item.argument.counts_in:
                lines.append(f"if ({name}CntAsked < {name}Cnt) {name}Cnt = {name}CntAsked;")
            if kind.form is Form.EITHER:
                lines.append(f"{kind.element} *{name} = {name}Room;")
        elif kind.form is Form.FIXED and kind.is_array:
            lines.append(f"{kind.element} {name}[{kind.element_bytes} / sizeof({kind.element})];")
        else:
            lines.append(f"{_ctype(kind)} {name};")
            if _counted(kind):
                lines.append(f"{_COUNT} {name}Cnt;")
        if item.argument.in_request:
            lines += self._give_in(item)
        if _chooses_disposition(item.argument):
            lines.append(f"{_NAME} {name}Poly{'' if item.argument.in_request else ' = 0'};")
        if "dealloc[]" in item.argument.flags:
            lines.append(f"boolean_t {name}Dealloc = FALSE;")
        return lines

    def _give_in(self, item: Item) -> list[str]:
        """An inout argument's value, as the request has it."""
        kind, name = item.type, item.name
        if kind.form is Form.FIXED and not kind.is_array and not kind.string:
            return [f"{name} = {name}In;"]
        if kind.form is Form.FIXED:
            return [f"memcpy({name}, {name}In, {kind.element_bytes});"]
        if kind.form is Form.COUNTED:
            return [
                f"if ({name}InCnt > {kind.limit}) {_BAD}",
                f"memcpy({name}, {name}In, {kind.element_bytes} * {name}InCnt);",
                *([] if kind.string else [f"{name}Cnt = {name}InCnt;"]),
            ]
        return [f"{name} = ({_ctype(kind)}) {name}In;", f"{name}Cnt = {name}InCnt;"]

    def _call(self) -> list[str]:
        values: list[str] = []
        for argument in self.routine.arguments:
            if not _is_passed(argument):
                continue
            values += self._value(argument)
        return [f"kern_return_t RetCode = {self.subsystem.server_prefix}{self.routine.name}({', '.join(values)});"]

    def _value(self, argument: Argument) -> list[str]:
        kind, name, out = argument.type, argument.name, argument.in_reply
        by_name = kind.string or kind.form is Form.COUNTED or (kind.form is Form.FIXED and kind.is_array)
        if argument is self.routine.request_port:
            values = ["InP->msgh_local_port"]
            poly = "MACH_MSGH_BITS_LOCAL(InP->msgh_bits)"
        elif argument.direction in (Direction.REPLY_PORT, Direction.SERVER_REPLY_PORT):
            values = ["InP->msgh_remote_port"]
            poly = "MACH_MSGH_BITS_REMOTE(InP->msgh_bits)"
        elif argument.direction is Direction.MSG_SEQNO:
            return ["InP->msgh_seqno"]
        else:
            values = [f"&{name}" if out and not by_name else name]
            poly = f"{'&' if out else ''}{name}Poly"
        if _chooses_disposition(argument):
            values.append(poly)
        if _counted(kind):
            values.append(f"{'&' if out else ''}{name}Cnt")
        if out and "dealloc[]" in argument.flags:
            values.append(f"&{name}Dealloc")
        return values

    def _give_back(self) -> list[str]:
        """Memory that stood for an array."""
        return [
            f"if (!{item.name}Inline) mig_deallocate((vm_offset_t) {item.name}, {item.type.element_bytes} * {item.name}Cnt);"
            for item in self.request.items
            if item.type.form is Form.EITHER and item.argument is not None and not item.argument.in_reply
        ]

    # The reply

    def _put(self, item: Item) -> list[str]:
        kind, name = item.type, item.name
        assert item.argument is not None
        poly = _chooses_disposition(item.argument)
        type_name = f"{name}Poly" if poly else str(kind.send)
        if poly:
            lines = [f"if (MACH_MSG_TYPE_PORT_ANY({type_name})) OutP->msgh_bits |= MACH_MSGH_BITS_COMPLEX;"]
        elif kind.is_port or kind.form is Form.OUT_OF_LINE:
            lines = ["OutP->msgh_bits |= MACH_MSGH_BITS_COMPLEX;"]
        else:
            lines = []
        if kind.form is Form.FIXED:
            return [*lines, _descriptor(kind, type_name, str(kind.number), "1", "0"), *self._put_fixed(item)]
        if kind.string:
            return [
                *lines,
                "{",
                f"    uint32_t OutCnt = mig_strncpy((char *) (Out + {item.descriptor_bytes // 4}), {name}, {kind.limit}) + 1;",
                "    " + _descriptor(kind, type_name, "OutCnt", "1", "0"),
                "    Out += (OutCnt + 3) / 4;",
                "}",
            ]
        copied = [
            _descriptor(kind, type_name, f"{kind.number} * {name}Cnt", "1", "0"),
            f"memcpy(Out, {name}, {kind.element_bytes} * {name}Cnt);",
            f"Out += ({kind.element_bytes} * {name}Cnt + 3) / 4;",
        ]
        if kind.form is Form.COUNTED:
            return [*lines, *copied]
        number = str(kind.number) if kind.out_of_line_fixed else f"{kind.number} * {name}Cnt"
        flags = item.argument.flags
        dealloc = f"{name}Dealloc" if "dealloc[]" in flags else "1" if "dealloc" in flags else "0"
        memory = [_descriptor(kind, type_name, number, "0", dealloc), f"*Out++ = (uint32_t) {name};"]
        if kind.form is Form.OUT_OF_LINE:
            return [*lines, *memory]
        return [
            *lines,
            f"if ({name} == {name}Room) {{",
            *["    " + line for line in copied],
            "} else {",
            "    OutP->msgh_bits |= MACH_MSGH_BITS_COMPLEX;",
            *["    " + line for line in memory],
            "}",
        ]

    def _put_fixed(self, item: Item) -> list[str]:
        kind, name = item.type, item.name
        words = layout.padded(kind.element_bytes) // 4
        if kind.string:
            return [f"mig_strncpy((char *) Out, {name}, {kind.element_bytes});", f"Out += {words};"]
        if kind.element_bytes == 4 and not kind.is_struct and not kind.is_array:
            return [f"*Out++ = (uint32_t) {name};"]
        return [f"memcpy(Out, {'' if kind.is_array else '&'}{name}, {kind.element_bytes});", f"Out += {words};"]


def _descriptor(kind: Type, name: str, number: str, inline: str, dealloc: str) -> str:
    return put_descriptor(kind, name, number, inline, dealloc, "Out")
