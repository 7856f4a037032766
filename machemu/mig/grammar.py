"""The grammar of .defs files after preprocessing. Keywords are known in any case, and only where they can stand, as in MIG."""

from __future__ import annotations

from typing import Final

_KEYWORDS: Final = """
    subsystem kerneluser kernelserver type routine simpleroutine procedure simpleprocedure function skip
    import uimport simport serverprefix userprefix serverdemux rcsid msgoption waittime nowaittime error
    intran intranpayload outtran destructor ctype cusertype cservertype array of struct c_string polymorphic
    in out inout requestport replyport sreplyport ureplyport msgseqno
"""

_RULES: Final = r"""
start: _statement*
_statement: subsystem ";" | type_decl ";" | routine ";" | skip ";" | import_decl ";" | setting ";" | ";" | obsolete
subsystem: SUBSYSTEM (KERNELUSER | KERNELSERVER)* NAME int_exp
skip: SKIP
routine: (ROUTINE | SIMPLEROUTINE) NAME "(" (argument (";" argument)*)? ")"
obsolete: (PROCEDURE | SIMPLEPROCEDURE | FUNCTION) NAME "(" (argument (";" argument)*)? ")" arg_type? ";"
import_decl: (IMPORT | UIMPORT | SIMPORT) (FILE | STRING)
setting: (SERVERPREFIX | USERPREFIX | SERVERDEMUX | ERROR) NAME
    | RCSID STRING
    | MSGOPTION NAME ("|" NAME)*
    | WAITTIME (NAME | NUMBER)
    | NOWAITTIME

argument: direction? NAME arg_type flag*
direction: IN | OUT | INOUT | REQUESTPORT | REPLYPORT | SREPLYPORT | UREPLYPORT | WAITTIME | MSGOPTION | MSGSEQNO
arg_type: ":" NAME -> named_type
    | ":" NAME "=" trans_type -> new_type
flag: "," NAME BRACKETS?

type_decl: TYPE NAME "=" trans_type
trans_type: _type_spec translation*
translation: INTRAN ":" NAME NAME "(" NAME ")"
    | OUTTRAN ":" NAME NAME "(" NAME ")"
    | INTRANPAYLOAD ":" NAME NAME
    | DESTRUCTOR ":" NAME "(" NAME ")"
    | CTYPE ":" NAME
    | CUSERTYPE ":" NAME
    | CSERVERTYPE ":" NAME
_type_spec: basic | sized | previous | var_array | fixed_array | struct_array | struct_list | pointer | c_string
basic: prim ("|" prim)?
sized: "(" prim ("|" prim)? "," int_exp flag* ")"
prim: POLYMORPHIC | SYMBOL | NUMBER
previous: NAME
var_array: ARRAY "[" "]" OF _type_spec
    | ARRAY "[" "*" "]" OF _type_spec
    | ARRAY "[" "*" ":" int_exp "]" OF _type_spec
fixed_array: ARRAY "[" int_exp "]" OF _type_spec
struct_array: STRUCT "[" int_exp "]" OF _type_spec
struct_list: STRUCT "{" (member ";")+ "}"
member: _type_spec NAME
pointer: "^" _type_spec
c_string: C_STRING "[" int_exp "]" -> c_string_fixed
    | C_STRING "[" "*" ":" int_exp "]" -> c_string_counted

?int_exp: product | int_exp "+" product -> add | int_exp "-" product -> sub
?product: atom | product "*" atom -> mul | product "/" atom -> div
?atom: NUMBER -> number | "(" int_exp ")"

SYMBOL.3: /MACH_MSG_TYPE_\w+/
NAME: /[A-Za-z_]\w*/
NUMBER: /0[xX][0-9a-fA-F]+|\d+/
STRING: /"(\\.|[^"\\\n])*"/
BRACKETS: /\[\s*\]/
FILE: /<[^>\n]+>/
%import common.WS
%ignore WS
"""

GRAMMAR: Final = _RULES + "\n".join(f"{word.upper()}.2: /{word}\\b/i" for word in _KEYWORDS.split())
