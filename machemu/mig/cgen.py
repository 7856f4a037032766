"""Writes a subsystem's user side in C: a header with the stubs' declarations, and the stubs.

The C is the same for every machine: descriptors are words that macros of <mig.h> make in the machine's byte order, and values lie
in an array of words. What a stub passes and gets is what Mach's MIG gives its stubs: arrays come with a count of elements, rights
whose disposition the sender chooses with that disposition, `dealloc[]` with a flag.
"""

from __future__ import annotations

from machemu.mig import layout
from machemu.mig.layout import Item, Layout
from machemu.mig.model import POLYMORPHIC, Argument, Direction, Form, Routine, Subsystem, Type

_COUNT = "mach_msg_type_number_t"
_NAME = "mach_msg_type_name_t"


def header(subsystem: Subsystem) -> str:
    """The declarations of the user stubs."""
    guard = f"{subsystem.name}_user_".upper()
    lines = [
        f"/* User stubs of subsystem {subsystem.name}. Made by MIG; do not edit. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
    ]
    lines += [f"#include {name}" for keyword, name in subsystem.imports if keyword != "simport"]
    lines.append("")
    lines += [_prototype(subsystem, routine) + ";" for routine in subsystem.routines]
    lines += ["", "#endif", ""]
    return "\n".join(lines)


def user(subsystem: Subsystem) -> str:
    """The user stubs. They include their declarations as SUBSYSTEM_user.h."""
    lines = [f"/* User stubs of subsystem {subsystem.name}. Made by MIG; do not edit. */", "#include <mig.h>"]
    lines += [f"#include {name}" for keyword, name in subsystem.imports if keyword != "simport"]
    lines.append(f'#include "{subsystem.name}_user.h"')
    for routine in subsystem.routines:
        lines += ["", _prototype(subsystem, routine), "{", *_Stub(subsystem, routine).body(), "}"]
    return "\n".join([*lines, ""])


def _prototype(subsystem: Subsystem, routine: Routine) -> str:
    result = "mach_msg_return_t" if routine.simple else "kern_return_t"
    parameters = [text for argument in routine.arguments for text in _parameters(routine, argument)]
    return f"{result} {subsystem.user_prefix}{routine.name}({', '.join(parameters)})"


def _parameters(routine: Routine, argument: Argument) -> list[str]:
    """An argument's parameters: the value, then its disposition, its count, and whether memory goes with it."""
    kind, name = argument.type, argument.name
    if argument.direction in (Direction.SERVER_REPLY_PORT, Direction.MSG_SEQNO):
        return []
    out = argument.in_reply
    parameters = [_value_parameter(kind, name, out)]
    if _chooses_disposition(routine, argument):
        parameters.append(f"{_NAME} {'*' if out else ''}{name}Poly")
    if _counted(kind):
        parameters.append(f"{_COUNT} {'*' if out else ''}{name}Cnt")
    if "dealloc[]" in argument.flags:
        parameters.append(f"boolean_t {name}Dealloc")
    return parameters


def _value_parameter(kind: Type, name: str, out: bool) -> str:
    ctype = kind.user_ctype
    if kind.string:
        return f"{'' if out else 'const '}char *{name}"
    if kind.form is Form.COUNTED:
        return f"{'' if out else 'const '}{kind.element} *{name}"
    if kind.form is Form.EITHER and not out:
        return f"const {kind.element} *{name}"
    if kind.form is Form.FIXED and kind.is_array:
        return f"{'' if out else 'const '}{kind.element} *{name}"
    return f"{ctype} *{name}" if out else f"{ctype} {name}"


def _counted(kind: Type) -> bool:
    return kind.form is not Form.FIXED and not kind.out_of_line_fixed and not kind.string


def _chooses_disposition(routine: Routine, argument: Argument) -> bool:
    """Whether the caller gives (in) or gets (out) a right's disposition."""
    if argument.in_reply:
        return argument.type.is_port and argument.type.receive == POLYMORPHIC
    if argument.direction in (Direction.IN, Direction.REQUEST_PORT, Direction.REPLY_PORT, Direction.USER_REPLY_PORT):
        return argument.type.is_port and argument.type.send == POLYMORPHIC
    return False


class _Stub:
    """One stub's body."""

    def __init__(self, subsystem: Subsystem, routine: Routine) -> None:
        self.subsystem = subsystem
        self.routine = routine
        self.request = layout.request(routine)
        self.reply = layout.reply(routine)

    def body(self) -> list[str]:
        sizes = [self.request.max_size, self.reply.max_size if self.reply else 0, 32]
        lines = [f"union {{ mach_msg_header_t header; uint32_t words[{max(sizes) // 4}]; }} m;"]
        if self.request.items:
            lines.append("uint32_t *p = m.words + 6;")
        lines += self._always_complex()
        for item in self.request.items:
            lines += self._put(item)
        lines += self._send()
        if self.reply is not None and len(self.reply.items) > 1:
            lines += self._receive(self.reply)
        elif self.reply is not None:
            lines.append("return result;")
        return ["    " + line for line in lines]

    def _always_complex(self) -> list[str]:
        kinds = [item.type for item in self.request.items]
        always = any(kind.form is Form.OUT_OF_LINE or (kind.is_port and kind.send != POLYMORPHIC) for kind in kinds)
        return [f"uint32_t bits = {'MACH_MSGH_BITS_COMPLEX' if always else '0'};"]

    # The request

    def _put(self, item: Item) -> list[str]:
        kind, name = item.type, item.name
        if item.is_count:
            return [
                put_descriptor(kind, "MACH_MSG_TYPE_INTEGER_32", "1", "1", "0"),
                f"*p++ = *{name} < {item.limit} ? *{name} : {item.limit};",
            ]
        assert item.argument is not None
        poly = _chooses_disposition(self.routine, item.argument) or (kind.is_port and kind.send == POLYMORPHIC)
        type_name = f"{'*' if item.argument.in_reply else ''}{name}Poly" if poly else str(kind.send)
        lines = [f"if (MACH_MSG_TYPE_PORT_ANY({type_name})) bits = MACH_MSGH_BITS_COMPLEX;"] if poly else []
        if kind.form is Form.FIXED:
            return [*lines, put_descriptor(kind, type_name, str(kind.number), "1", "0"), *self._put_fixed(item)]
        if kind.form is Form.COUNTED:
            return [*lines, *self._put_counted(item, type_name)]
        return [*lines, *self._put_memory(item, type_name)]

    def _put_fixed(self, item: Item) -> list[str]:
        kind, name = item.type, item.name
        words = layout.padded(kind.element_bytes) // 4
        by_reference = item.argument is not None and item.argument.in_reply
        if kind.string:
            return [f"mig_strncpy((char *) p, {name}, {kind.element_bytes});", f"p += {words};"]
        if kind.is_array:
            return [f"memcpy(p, {name}, {kind.element_bytes});", f"p += {words};"]
        if kind.element_bytes == 4 and not kind.is_struct:
            return [f"*p++ = (uint32_t) {'*' if by_reference else ''}{name};"]
        return [f"memcpy(p, {'' if by_reference else '&'}{name}, {kind.element_bytes});", f"p += {words};"]

    def _put_counted(self, item: Item, type_name: str) -> list[str]:
        kind, name = item.type, item.name
        size = kind.element_bytes
        if kind.string:
            return [
                "{",
                f"    uint32_t count = mig_strncpy((char *) (p + {item.descriptor_bytes // 4}), {name}, {kind.limit}) + 1;",
                "    " + put_descriptor(kind, type_name, "count", "1", "0"),
                "    p += (count + 3) / 4;",
                "}",
            ]
        return [
            f"if ({name}Cnt > {kind.limit}) return MIG_ARRAY_TOO_LARGE;",
            put_descriptor(kind, type_name, f"{kind.number} * {name}Cnt", "1", "0"),
            f"memcpy(p, {name}, {size} * {name}Cnt);",
            f"p += ({size} * {name}Cnt + 3) / 4;",
        ]

    def _put_memory(self, item: Item, type_name: str) -> list[str]:
        kind, name = item.type, item.name
        assert item.argument is not None
        flags = item.argument.flags
        dealloc = f"{name}Dealloc" if "dealloc[]" in flags else "1" if "dealloc" in flags else "0"
        number = str(kind.number) if kind.out_of_line_fixed else f"{kind.number} * {name}Cnt"
        out = [put_descriptor(kind, type_name, number, "0", dealloc), f"*p++ = (uint32_t) {name};"]
        if kind.form is Form.OUT_OF_LINE:
            return out
        size = kind.element_bytes
        return [
            f"if ({name}Cnt > {kind.limit}) {{",
            "    bits = MACH_MSGH_BITS_COMPLEX;",
            *["    " + line for line in out],
            "} else {",
            "    " + put_descriptor(kind, type_name, number, "1", "0"),
            f"    memcpy(p, {name}, {size} * {name}Cnt);",
            f"    p += ({size} * {name}Cnt + 3) / 4;",
            "}",
        ]

    def _send(self) -> list[str]:
        port = self.routine.request_port
        disposition = f"{port.name}Poly" if port.type.send == POLYMORPHIC else str(port.type.send)
        reply_port, reply_type = "mig_get_reply_port()", "MACH_MSG_TYPE_MAKE_SEND_ONCE"
        option, timeout = self.subsystem.msg_option or "0", self.subsystem.wait_time
        if self.routine.simple:
            reply_port, reply_type = "MACH_PORT_NULL", "0"
        for argument in self.routine.arguments:
            if argument.direction in (Direction.REPLY_PORT, Direction.USER_REPLY_PORT):
                reply_port = argument.name
                reply_type = f"{argument.name}Poly" if argument.type.send == POLYMORPHIC else str(argument.type.send)
            elif argument.direction is Direction.MSG_OPTION:
                option = argument.name
            elif argument.direction is Direction.WAIT_TIME:
                timeout = argument.name
        if timeout:
            option += " | MACH_SEND_TIMEOUT" if self.routine.simple else " | MACH_SEND_TIMEOUT | MACH_RCV_TIMEOUT"
        timeout = timeout or "MACH_MSG_TIMEOUT_NONE"
        size = "(char *) p - (char *) &m" if self.request.items else "24"
        lines = [
            f"m.header.msgh_bits = bits | MACH_MSGH_BITS({disposition}, {reply_type});",
            f"m.header.msgh_size = {size};",
            f"m.header.msgh_remote_port = {port.name};",
            f"m.header.msgh_local_port = {reply_port};",
            "m.header.msgh_seqno = 0;",
            f"m.header.msgh_id = {self.request.id};",
        ]
        if self.reply is None:
            return [*lines, f"return mig_send(&m.header, {option}, {timeout});"]
        call = f"mig_call(&m.header, sizeof m, {option}, {timeout})"
        if len(self.reply.items) == 1:
            return [*lines, f"kern_return_t result = {call};", "if (!result && m.header.msgh_size != 32) return MIG_TYPE_ERROR;"]
        return [*lines, f"kern_return_t result = {call};", "if (result) return result;"]

    # The reply

    def _receive(self, reply: Layout) -> list[str]:
        first = "" if self.request.items else "uint32_t *"
        kinds = [item.type for item in reply.items]
        always = any(kind.form is Form.OUT_OF_LINE or (kind.is_port and kind.receive != POLYMORPHIC) for kind in kinds)
        maybe = any(kind.form is Form.EITHER or kind.is_port for kind in kinds)
        lines = [f"if (m.header.msgh_size < {reply.min_size}) return MIG_TYPE_ERROR;"]
        if always or not maybe:
            test = "!" if always else ""
            lines.append(f"if ({test}(m.header.msgh_bits & MACH_MSGH_BITS_COMPLEX)) return MIG_TYPE_ERROR;")
        lines.append(f"{first}p = m.words + 8;")
        for item in reply.items[1:]:
            lines += self._take(item)
        end = "if ((char *) p - (char *) &m != m.header.msgh_size) return MIG_TYPE_ERROR;"
        return [*lines, end, "return KERN_SUCCESS;"]

    def _take(self, item: Item) -> list[str]:
        kind, name = item.type, item.name
        word = f"MIG_SHORT({kind.receive & 0xFF}, {kind.size}, {kind.number}, {int(kind.form is not Form.OUT_OF_LINE)}, 0)"
        if kind.form is Form.FIXED:
            return [*self._check_fixed(item, word), *self._take_fixed(item)]
        if kind.form is Form.COUNTED and not kind.longform:
            number = f"MIG_NUMBER(p[0]) / {kind.number}" if kind.number > 1 else "MIG_NUMBER(p[0])"
            check = f"if (MIG_KIND(p[0]) != MIG_KIND({word})) return MIG_TYPE_ERROR;"
            return [check, "{", f"    uint32_t count = {number};", "    p++;", *self._take_elements(item), "}"]
        if kind.form is Form.OUT_OF_LINE and not kind.longform:
            check = f"if (MIG_KIND(p[0]) != MIG_KIND({word})) return MIG_TYPE_ERROR;"
            return [check, f"*{name} = ({kind.user_ctype}) p[1];", "p += 2;"]
        lines = [f"if (!MIG_IS_LONG(p[0]) || p[1] != MIG_LONG_NAME({kind.receive}, {kind.size})) return MIG_TYPE_ERROR;"]
        if kind.form is Form.OUT_OF_LINE:
            lines += ["if (MIG_IS_INLINE(p[0])) return MIG_TYPE_ERROR;", *self._take_memory(item)]
        elif kind.form is Form.COUNTED:
            lines += ["{", f"    uint32_t count = p[2] / {kind.number};", "    p += 3;", *self._take_elements(item), "}"]
        else:
            lines += ["if (!MIG_IS_INLINE(p[0])) {", *["    " + line for line in self._take_memory(item)], "} else {"]
            lines += [f"    uint32_t count = p[2] / {kind.number};", "    p += 3;"]
            lines.append(f"    if (count > {kind.limit}) return MIG_TYPE_ERROR;")
            lines += [f"    if (count > *{name}Cnt) mig_allocate((vm_offset_t *) {name}, {kind.element_bytes} * count);"]
            lines += [f"    memcpy(*{name}, p, {kind.element_bytes} * count);", f"    *{name}Cnt = count;"]
            lines += [f"    p += ({kind.element_bytes} * count + 3) / 4;", "}"]
        return lines

    def _check_fixed(self, item: Item, word: str) -> list[str]:
        kind, name = item.type, item.name
        if kind.longform:
            long_name = f"MIG_LONG_NAME({kind.receive}, {kind.size})"
            return [
                f"if (!MIG_IS_LONG(p[0]) || p[1] != {long_name} || p[2] != {kind.number}) return MIG_TYPE_ERROR;",
                "p += 3;",
            ]
        if kind.receive == POLYMORPHIC:
            return ["if (!MIG_IS_INLINE(p[0]) || MIG_IS_LONG(p[0])) return MIG_TYPE_ERROR;", f"*{name}Poly = MIG_NAME(*p++);"]
        return [f"if (*p++ != {word}) return MIG_TYPE_ERROR;"]

    def _take_fixed(self, item: Item) -> list[str]:
        kind, name = item.type, item.name
        words = layout.padded(kind.element_bytes) // 4
        if kind.element_bytes == 4 and not kind.is_struct and not kind.is_array and not kind.string:
            return [f"*{name} = ({kind.user_ctype}) *p++;"]
        return [f"memcpy({name}, p, {kind.element_bytes});", f"p += {words};"]

    def _take_elements(self, item: Item) -> list[str]:
        """Copies inline elements into the caller's room; with too little of it he gets what fits, and an error."""
        kind, name = item.type, item.name
        size = kind.element_bytes
        assert item.argument is not None
        limit = f"*{name}Cnt" if item.argument.counts_in else str(kind.limit)
        guard = f"    if ({size} * count > m.header.msgh_size) return MIG_TYPE_ERROR;"
        if kind.string:
            return [guard, f"    memcpy({name}, p, count < {kind.limit} ? count : {kind.limit});", "    p += (count + 3) / 4;"]
        return [
            guard,
            f"    if (count > {limit}) {{",
            f"        memcpy({name}, p, {size} * {limit});",
            f"        *{name}Cnt = count;",
            "        return MIG_ARRAY_TOO_LARGE;",
            "    }",
            f"    memcpy({name}, p, {size} * count);",
            f"    *{name}Cnt = count;",
            f"    p += ({size} * count + 3) / 4;",
        ]

    def _take_memory(self, item: Item) -> list[str]:
        kind, name = item.type, item.name
        count = [] if kind.out_of_line_fixed else [f"*{name}Cnt = p[2] / {kind.number};"]
        return [*count, f"*{name} = ({kind.user_ctype}) p[3];", "p += 4;"]


def put_descriptor(kind: Type, name: str, number: str, inline: str, dealloc: str, at: str = "p") -> str:
    """C that writes a descriptor where `at` points to, and moves that behind it."""
    if kind.longform:
        first = f"MIG_LONG({inline}, {dealloc})"
        return f"{at}[0] = {first}; {at}[1] = MIG_LONG_NAME({name}, {kind.size}); {at}[2] = {number}; {at} += 3;"
    return f"*{at}++ = MIG_SHORT({name}, {kind.size}, {number}, {inline}, {dealloc});"
