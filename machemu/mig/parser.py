"""Reads .defs files into the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput, UnexpectedToken

from machemu.abi.errors import UserError
from machemu.mig.grammar import GRAMMAR
from machemu.mig.model import (
    FIRST_PORT,
    INLINE_BYTES,
    POLYMORPHIC,
    Argument,
    Direction,
    Field,
    Form,
    Routine,
    Subsystem,
    Translation,
    Type,
)
from machemu.mig.preprocess import Line, Preprocessor

Node = Tree[Token]

SYMBOLS: Final[Mapping[str, tuple[int, int, int, str]]] = {
    "UNSTRUCTURED": (0, 0, 0, "s"),
    "BIT": (0, 0, 1, "s"),
    "BOOLEAN": (0, 0, 32, "i"),
    "INTEGER_16": (1, 1, 16, "h"),
    "INTEGER_32": (2, 2, 32, "i"),
    "INTEGER_64": (11, 11, 64, "q"),
    "CHAR": (8, 8, 8, "s"),
    "BYTE": (9, 9, 8, "s"),
    "INTEGER_8": (9, 9, 8, "s"),
    "REAL": (10, 10, 32, "f"),
    "STRING": (12, 12, 0, "s"),
    "STRING_C": (12, 12, 0, "s"),
    "PORT_NAME": (15, 15, 32, "I"),
    "MOVE_RECEIVE": (16, 16, 32, ""),
    "MOVE_SEND": (17, 17, 32, ""),
    "MOVE_SEND_ONCE": (18, 18, 32, ""),
    "COPY_SEND": (19, 17, 32, ""),
    "MAKE_SEND": (20, 17, 32, ""),
    "MAKE_SEND_ONCE": (21, 18, 32, ""),
    "PORT_RECEIVE": (POLYMORPHIC, 16, 32, ""),
    "PORT_SEND": (POLYMORPHIC, 17, 32, ""),
    "PORT_SEND_ONCE": (POLYMORPHIC, 18, 32, ""),
    "POLYMORPHIC": (POLYMORPHIC, POLYMORPHIC, 32, ""),
}
"""MACH_MSG_TYPE_*: name as sent, name as received, bits of an item, its `struct` code (empty for rights)."""

UNSIGNED: Final = ("unsigned", "uint16_t", "uint32_t", "uint64_t")
"""Types by whose declaration an integer becomes unsigned; .defs files have no other way to say it."""

_FLAGS: Final = (
    "dealloc",
    "notdealloc",
    "servercopy",
    "notservercopy",
    "countinout",
    "notcountinout",
    "islong",
    "isnotlong",
    "const",
)


def parse(path: Path, include: Sequence[Path] = (), defines: Mapping[str, str] | None = None) -> Subsystem:
    """The subsystem that a .defs file defines. UserError, with file, line and column, for what is wrong with it."""
    lines = Preprocessor(tuple(include), dict(defines or {})).run(path)
    text = "\n".join(line.text for line in lines)
    try:
        tree = _lark().parse(text)
    except UnexpectedInput as error:
        if isinstance(error, UnexpectedToken) and error.token.type == "$END":
            raise UserError(f"{path}:{lines[-1].number}:1: the file ends within a declaration") from error
        found = text.split("\n")[error.line - 1][error.column - 1 :].split()
        raise UserError(f"{_where(lines, error.line, error.column)}: {found[0]!r} cannot stand here") from error
    subsystem = _Builder(lines).build(tree)
    if not subsystem.name:
        raise UserError(f"{path}:1:1: the file names no subsystem")
    return subsystem


@cache
def _lark() -> Lark:
    return Lark(GRAMMAR, parser="lalr", propagate_positions=True, maybe_placeholders=False)


def _where(lines: Sequence[Line], line: int, column: int) -> str:
    origin = lines[min(line, len(lines)) - 1]
    return f"{origin.file}:{origin.number}:{column}"


def _tokens(node: Node, *kinds: str) -> list[Token]:
    return [child for child in node.children if isinstance(child, Token) and (not kinds or child.type in kinds)]


def _trees(node: Node, *names: str) -> list[Node]:
    return [child for child in node.children if isinstance(child, Tree) and (not names or child.data in names)]


class _Builder:
    """Declarations in their order: a type is known from its declaration on, as in MIG."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.subsystem = Subsystem()
        self.next_id = 0
        self.types = self.subsystem.types
        for name, symbol in (("char", "CHAR"), ("short", "INTEGER_16"), ("int", "INTEGER_32")):
            self.types[name] = replace(_basic(SYMBOLS[symbol], SYMBOLS[symbol]), name=name)

    def build(self, tree: Node) -> Subsystem:
        statements: dict[str, Callable[[Node], None]] = {
            "subsystem": self._subsystem,
            "type_decl": self._type_decl,
            "routine": self._routine,
            "skip": self._skip,
            "import_decl": self._import,
            "setting": self._setting,
            "obsolete": self._obsolete,
        }
        for node in _trees(tree):
            statements[node.data](node)
        return self.subsystem

    def _fail(self, node: Node | Token, message: str) -> UserError:
        meta = node if isinstance(node, Token) else node.meta
        return UserError(f"{_where(self.lines, meta.line or 1, meta.column or 1)}: {message}")

    def _subsystem(self, node: Node) -> None:
        if self.subsystem.name:
            raise self._fail(node, f"a second subsystem; the first is {self.subsystem.name}")
        self.subsystem.name = str(_tokens(node, "NAME")[0])
        self.subsystem.flags = tuple(token.lower() for token in _tokens(node, "KERNELUSER", "KERNELSERVER"))
        self.subsystem.base = self.next_id = self._number(_trees(node)[0])

    def _skip(self, node: Node) -> None:
        self.subsystem.skips.append(self._take_id(node))

    def _take_id(self, node: Node) -> int:
        if not self.subsystem.name:
            raise self._fail(node, "before the subsystem is named")
        self.next_id += 1
        return self.next_id - 1

    def _import(self, node: Node) -> None:
        keyword, name = _tokens(node)
        self.subsystem.imports.append((keyword.lower(), str(name)))

    def _setting(self, node: Node) -> None:
        keyword, *values = _tokens(node)
        value = " | ".join(values)
        match keyword.lower():
            case "serverprefix":
                self.subsystem.server_prefix = value
            case "userprefix":
                self.subsystem.user_prefix = value
            case "serverdemux":
                self.subsystem.server_demux = value
            case "msgoption":
                self.subsystem.msg_option = value
            case "waittime" | "nowaittime":
                self.subsystem.wait_time = value
            case _:
                pass  # rcsid and error say nothing to what is made here

    def _obsolete(self, node: Node) -> None:
        raise self._fail(node, f"{_tokens(node)[0]} is no longer part of MIG: use routine or simpleroutine")

    # Types

    def _type_decl(self, node: Node) -> None:
        name = _tokens(node, "NAME")[0]
        if name in self.types and name not in ("char", "short", "int"):
            raise self._fail(name, f"type {name} is declared twice")
        self.types[str(name)] = self._named(str(name), _trees(node)[0])

    def _named(self, name: str, node: Node) -> Type:
        spec, *translations = _trees(node)
        kind = self._type(spec).renamed(name)
        ctypes = {"ctype": "", "cusertype": "", "cservertype": ""}
        found: list[Translation] = []
        for translation in translations:
            keyword, *words = (str(token) for token in _tokens(translation))
            if keyword.lower() in ctypes:
                ctypes[keyword.lower()] = words[0]
            else:
                found.append(Translation(keyword.lower(), tuple(words)))
        if name in UNSIGNED:
            kind = replace(kind, fields=tuple(replace(field, code=field.code.upper()) for field in kind.fields))
        return replace(
            kind,
            translations=tuple(found),
            ctype=ctypes["ctype"],
            cusertype=ctypes["cusertype"],
            cservertype=ctypes["cservertype"],
        )

    def _type(self, node: Node) -> Type:
        makers: dict[str, Callable[[Node], Type]] = {
            "basic": self._basic,
            "sized": self._sized,
            "previous": self._previous,
            "var_array": self._var_array,
            "fixed_array": self._fixed_array,
            "struct_array": self._fixed_array,
            "struct_list": self._struct_list,
            "pointer": self._pointer,
            "c_string_fixed": self._c_string_fixed,
            "c_string_counted": self._c_string_counted,
        }
        return makers[node.data](node)

    def _primitive(self, node: Node) -> tuple[int, int, int, str]:
        token = _tokens(node)[0]
        if token.type == "POLYMORPHIC":
            return SYMBOLS["POLYMORPHIC"]
        if token.type == "NUMBER":
            number = int(token, 0)
            return number, number, 32, "" if FIRST_PORT <= number <= 21 else "i"
        symbol = SYMBOLS.get(token.removeprefix("MACH_MSG_TYPE_"))
        if symbol is None:
            raise self._fail(token, f"there is no {token}")
        return symbol

    def _basic(self, node: Node) -> Type:
        primitives = [self._primitive(child) for child in _trees(node, "prim")]
        kind = _basic(primitives[0], primitives[-1])
        if not kind.size:
            raise self._fail(node, "this type needs a size: (type, bits)")
        return kind

    def _sized(self, node: Node) -> Type:
        primitives = [self._primitive(child) for child in _trees(node, "prim")]
        bits = self._number(_trees(node)[len(primitives)])
        flags = self._flags(_trees(node, "flag"))
        code = primitives[-1][3]
        if not bits or (code == "s" and bits % 8) or (not code and bits != 32):
            raise self._fail(node, f"{bits} bits is no size that this type can have")
        fields: tuple[Field, ...] = ()
        if code == "s":
            fields = (Field("s", bits // 8),)
        elif code:
            codes = {32: "f", 64: "d"} if code == "f" else {16: "h", 32: "i", 64: "q"}
            if bits not in codes:
                raise self._fail(node, f"{bits} bits is no size that this type can have")
            fields = (Field(codes[bits]),)
        kind = _basic(primitives[0], primitives[-1])
        return replace(kind, size=bits, fields=fields, flags=flags, long_asked="islong" in flags, string=primitives[-1][1] == 12)

    def _previous(self, node: Node) -> Type:
        name = _tokens(node)[0]
        if name not in self.types:
            raise self._fail(name, f"type {name} is not declared")
        return replace(self.types[name], translations=(), flags=())

    def _element(self, node: Node) -> Type:
        element = self._type(_trees(node)[-1])
        if element.form is not Form.FIXED:
            raise self._fail(node, "arrays of arrays without a fixed size, or of out-of-line data, cannot be sent")
        return element

    def _var_array(self, node: Node) -> Type:
        element = self._element(node)
        bounds = _trees(node)[:-1]
        if bounds:
            limit, form = self._number(bounds[0]), Form.COUNTED
        else:
            limit, form = INLINE_BYTES // max(element.element_bytes, 1), Form.EITHER
        return replace(element, form=form, limit=limit, string=False, is_struct=False, is_array=True, element=element.user_ctype)

    def _fixed_array(self, node: Node) -> Type:
        element = self._element(node)
        count = self._number(_trees(node)[0])
        if count < 1:
            raise self._fail(node, "an array needs at least one element")
        is_struct = node.data == "struct_array"
        if len(element.fields) == 1:
            fields: tuple[Field, ...] = (replace(element.fields[0], count=element.fields[0].count * count),)
        else:
            fields = element.fields * count
        return replace(
            element,
            number=element.number * count,
            fields=fields,
            string=False,
            is_struct=is_struct,
            is_array=not is_struct,
            element=element.user_ctype,
        )

    def _struct_list(self, node: Node) -> Type:
        """A struct of several members travels as 32-bit integers."""
        fields: list[Field] = []
        for member in _trees(node):
            kind = self._type(_trees(member)[0])
            name = str(_tokens(member)[0])
            if kind.form is not Form.FIXED or kind.is_port or kind.element_bytes % 4:
                raise self._fail(member, f"{name}: a struct's members are data of a fixed size, in multiples of four bytes")
            fields += kind.fields
        total = sum(_field_bytes(field) for field in fields)
        return Type("", 2, 2, 32, total // 4, tuple(fields), is_struct=True)

    def _pointer(self, node: Node) -> Type:
        kind = self._type(_trees(node)[0])
        if kind.form in (Form.COUNTED, Form.OUT_OF_LINE):
            raise self._fail(node, "only arrays without a limit and data of a fixed size can be sent out of line")
        fixed = kind.form is Form.FIXED
        return replace(kind, form=Form.OUT_OF_LINE, limit=0, out_of_line_fixed=fixed, string=False)

    def _c_string_fixed(self, node: Node) -> Type:
        size = self._number(_trees(node)[0])
        return Type("", 12, 12, 8, size, (Field("s", size),), string=True)

    def _c_string_counted(self, node: Node) -> Type:
        limit = self._number(_trees(node)[0])
        return Type("", 12, 12, 8, 1, (Field("s"),), form=Form.COUNTED, limit=limit, string=True)

    # Routines

    def _routine(self, node: Node) -> None:
        keyword, name = _tokens(node)
        number = self._take_id(node)
        arguments = tuple(self._argument(child) for child in _trees(node, "argument"))
        simple = keyword.lower() == "simpleroutine"
        if any(routine.name == name for routine in self.subsystem.routines):
            raise self._fail(name, f"routine {name} is declared twice")
        if not arguments:
            raise self._fail(name, f"{name} needs a request port")
        names = [argument.name for argument in arguments]
        for argument, child in zip(arguments, _trees(node, "argument"), strict=True):
            if names.count(argument.name) > 1:
                raise self._fail(child, f"{name} has two arguments {argument.name}")
            if simple and argument.in_reply:
                raise self._fail(child, f"{argument.name}: a simpleroutine has no results")
        routine = Routine(str(name), number, arguments, simple)
        port = routine.request_port
        if not port.type.is_port or port.direction not in (Direction.IN, Direction.REQUEST_PORT):
            raise self._fail(node, f"{port.name} cannot be {name}'s request port")
        self.subsystem.routines.append(routine)

    def _argument(self, node: Node) -> Argument:
        direction = Direction.IN
        for child in _trees(node, "direction"):
            direction = Direction(_tokens(child)[0].lower())
        name = _tokens(node, "NAME")[0]
        type_node = _trees(node, "named_type", "new_type")[0]
        type_name = _tokens(type_node)[0]
        if type_node.data == "named_type":
            if type_name not in self.types:
                raise self._fail(type_name, f"type {type_name} is not declared")
            kind = self.types[type_name]
        else:
            kind = self._named(str(type_name), _trees(type_node)[0])
        flags = self._flags(_trees(node, "flag"))
        if "islong" in flags:
            kind = replace(kind, long_asked=True)
        if direction not in (Direction.IN, Direction.OUT, Direction.INOUT):
            self._check_special(node, name, direction, kind)
        return Argument(str(name), direction, kind, (*kind.flags, *flags))

    def _check_special(self, node: Node, name: Token, direction: Direction, kind: Type) -> None:
        wants_port = direction.value.endswith("port")
        if wants_port != kind.is_port or kind.form is not Form.FIXED:
            raise self._fail(node, f"{name}: a {direction.value} argument is {'a port' if wants_port else 'an integer'}")

    def _flags(self, nodes: Sequence[Node]) -> tuple[str, ...]:
        flags: list[str] = []
        for node in nodes:
            flag = _tokens(node)[0]
            if flag.lower() not in _FLAGS:
                raise self._fail(flag, f"there is no flag {flag}")
            flags.append(flag.lower() + ("[]" if _tokens(node, "BRACKETS") else ""))
        return tuple(flags)

    def _number(self, node: Node) -> int:
        if node.data == "number":
            return int(_tokens(node)[0], 0)
        left, right = (self._number(child) for child in _trees(node))
        if node.data == "div" and not right:
            raise self._fail(node, "division by zero")
        return {"add": left + right, "sub": left - right, "mul": left * right, "div": left // (right or 1)}[node.data]


def _basic(sent: tuple[int, int, int, str], received: tuple[int, int, int, str]) -> Type:
    """`sent|received`; a single name stands for both, each side taking what is its own."""
    return Type("", sent[0], received[1], received[2], 1, (Field(received[3]),) if received[3] else ())


def _field_bytes(field: Field) -> int:
    sizes = {"s": 1, "b": 1, "h": 2, "i": 4, "q": 8, "f": 4, "d": 8}
    return sizes[field.code.lower()] * field.count
