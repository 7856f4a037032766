"""Writes a subsystem as a Python module of tables (see runtime)."""

from __future__ import annotations

import re

from machemu.mig import layout
from machemu.mig.layout import Item, Layout
from machemu.mig.model import POLYMORPHIC, Field, Form, Routine, Subsystem, Type

_PORT_NAMES = {
    16: "MOVE_RECEIVE",
    17: "MOVE_SEND",
    18: "MOVE_SEND_ONCE",
    19: "COPY_SEND",
    20: "MAKE_SEND",
    21: "MAKE_SEND_ONCE",
    POLYMORPHIC: "POLYMORPHIC",
}
_RECEIVED = {16: "PORT_RECEIVE", 17: "PORT_SEND", 18: "PORT_SEND_ONCE"}
_FORMS = {Form.FIXED: "FIXED", Form.COUNTED: "COUNTED", Form.OUT_OF_LINE: "OUT_OF_LINE", Form.EITHER: "EITHER"}


def generate(subsystem: Subsystem) -> str:
    """The module's text, as the formatter leaves it."""
    constants = _Constants()
    routines = [_routine(routine, constants) for routine in subsystem.routines]
    names = [routine.name.upper() for routine in subsystem.routines]
    used = sorted({"Message", "Routine", "Type", "table", *constants.forms()}, key=_isort_key)
    parts = [
        f'"""The messages of the subsystem {subsystem.name}. Made by `python -m machemu.mig`; do not edit."""\n',
        "from typing import Final\n",
        _imports(used),
        f'SUBSYSTEM: Final = "{subsystem.name}"\nBASE: Final = {subsystem.base}\n',
        "".join(f"{name} = {text}\n" for text, name in constants.names.items()),
        "\n".join(routines),
        "ROUTINES: Final = table(\n" + "".join(f"    {name},\n" for name in names) + ')\n"""The routines by request id."""\n',
    ]
    return "\n".join(parts)


def _isort_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions: the order in which the linter wants names imported."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def _imports(names: list[str]) -> str:
    return f"from machemu.mig.runtime import {', '.join(names)}\n"


class _Constants:
    """The module's Type constants, one for each way to travel."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def name(self, item: Item) -> str:
        text = _type_text(item)
        if text not in self.names:
            name = wanted = "_" + _type_name(item)
            serial = 2
            while name in self.names.values():
                name, serial = f"{wanted}_{serial}", serial + 1
            self.names[text] = name
        return self.names[text]

    def forms(self) -> set[str]:
        forms = {form for form in _FORMS.values() if any(re.search(rf"\b{form}\b", text) for text in self.names)}
        return forms | ({"POLYMORPHIC"} if any("POLYMORPHIC" in text for text in self.names) else set())


def _type_name(item: Item) -> str:
    kind = item.type
    if item.limit:
        return f"COUNT_{item.limit}"
    if kind.is_port:
        sent, received = _PORT_NAMES[kind.send], _RECEIVED.get(kind.receive, "POLYMORPHIC")
        name = received if kind.send == POLYMORPHIC else sent if kind.receive != POLYMORPHIC else f"{sent}_OR_{received}"
        return name if kind.form is Form.FIXED else f"{name}_ARRAY"
    scalar = len(kind.fields) == 1 and kind.fields[0].count == 1 and kind.form is Form.FIXED
    integers = {"i": "INT", "I": "UINT", "h": "INT", "H": "UINT", "q": "INT", "Q": "UINT"}
    if scalar and kind.receive in (1, 2, 11):
        return f"{integers[kind.fields[0].code]}{kind.size}"
    if scalar and kind.receive == 0:
        return "BOOLEAN"
    if scalar and kind.receive == 15:
        return "PORT_NAME"
    return kind.name.removesuffix("_t").upper()


def struct_format(fields: tuple[Field, ...]) -> str:
    """The `struct` codes of a value, runs of one code joined."""
    runs: list[tuple[str, int]] = []
    for field in fields:
        if runs and runs[-1][0] == field.code != "s":
            runs[-1] = (field.code, runs[-1][1] + field.count)
        else:
            runs.append((field.code, field.count))
    return "".join(code if count == 1 else f"{count}{code}" for code, count in runs)


def _type_text(item: Item) -> str:
    kind: Type = item.type
    send, receive = ("POLYMORPHIC" if name == POLYMORPHIC else str(name) for name in (kind.send, kind.receive))
    text = f'Type({send}, {receive}, {kind.size}, {kind.number}, "{struct_format(kind.fields)}"'
    if kind.form is not Form.FIXED:
        text += f", {_FORMS[kind.form]}"
    if kind.longform:
        text += ", longform=True"
    if item.limit or kind.limit:
        text += f", limit={item.limit or kind.limit}"
    if kind.string:
        text += ", string=True"
    return text + ")"


def _routine(routine: Routine, constants: _Constants) -> str:
    reply = layout.reply(routine)
    lines = [
        f"{routine.name.upper()} = Routine(",
        f'    "{routine.name}",',
        *_message(layout.request(routine), constants),
        *(_message(reply, constants) if reply else ["    None,"]),
        ")\n",
    ]
    return "\n".join(lines)


def _message(message: Layout, constants: _Constants) -> list[str]:
    if not message.items:
        return [f"    Message({message.id}, ()),"]
    pairs = [f'("{item.name}", {constants.name(item)}),' for item in message.items]
    if len(pairs) == 1:
        return [f"    Message({message.id}, ({pairs[0]})),"]
    items = ["            " + pair for pair in pairs]
    return ["    Message(", f"        {message.id},", "        (", *items, "        ),", "    ),"]
