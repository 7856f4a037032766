"""Instructions counted in the translations themselves: decision 0034 says why.

Each block that Unicorn translates gets some code of ours, made with the functions by which its translators make theirs (QEMU's
TCG). At its begin the block adds what the block before has begun to a sum, and is left where the limit would be passed. Each of
its instructions that may leave it, and the last one, stores its number in the block when it begins. So the sum and that number
are how many instructions have begun whenever anybody looks. Where some are left before the limit, Unicorn makes a block of so
many next.

The words that it needs lie in the translator's state, in the place of the last two variables of its list: no block has so many.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

from machemu.abi.errors import InvariantError
from machemu.machine import accel, translator
from machemu.machine.engine import OK, Engine, Variables, address_of, check, exported, library, peek
from machemu.machine.translator import U32, U64

VARIABLES: Final = 904
"""Where in the translator's state (TCGContext) its list of variables is. The first one is the address of the CPU's state."""
VARIABLE_SIZE, VARIABLES_MAX, VARIABLE_NAME = 56, 512, 32
COUNTS: Final = VARIABLES + (VARIABLES_MAX - 2) * VARIABLE_SIZE
"""Where our words are."""
SUM, BEGUN, LIMIT, SIZE, CPU, NEXT_FLAGS, KEPT_AT, LEFT_OUT, MADE, KEPT = range(10)
"""Our words, 8 bytes each: the instructions begun in earlier blocks, and in the one that runs; how many may begin in all; how
many the block has; the addresses of the CPU (CPUState), and of how its next block is to be made; how many had begun with the
instruction before which variables were last kept, 0 for none in this start; how many instructions of the block that is being
translated do not count; how many of the one that was translated last do; and the variables kept."""
ROOM: Final = 14
OPERATIONS: Final = VARIABLES + VARIABLES_MAX * VARIABLE_SIZE
"""Where in the translator's state the list of operations is: the address of the first one, and that of the last one's links."""
UNTOLD: Final = 0xFFFFFFFF
"""How the next block is to be made where nothing has been said."""
CPU_SIZE: Final = 0x4000
"""How much of the CPU is searched for its state's address."""
STATE_MAX: Final = 0x10000
"""How far behind the begin of the CPU that is at most."""
FLAGS_BACK: Final = 0x180
"""How far before that the flags of the next block are at most."""

MOVE_WORD, SET_LABEL, STORE, LOAD_LONG, LOAD_WORD, STORE_LONG, ADD_LONG = 64, 1, 16, 73, 71, 77, 78
SUBTRACT_LONG, STORE_WORD = 79, 76
"""Operations: a constant of 64 bits; a label; a store of 32 bits; a load of 64, one of 32 as 64, a store, an addition of 64;
a subtraction, and a store of their lower 32 bits."""
CALL: Final = 2
"""A call: its operands are results and arguments, the function's address, and flags. How many of the first two there are is in
its second byte."""
INSTRUCTION_BEGIN: Final = 129
"""What each instruction begins with. All operations with greater numbers access the guest's memory or leave the block."""
ACCESSES: Final = range(133, 137)
"""Loads and stores of the guest's memory."""
NO_READ_GLOBALS: Final = 1
"""A call's flag: the function raises nothing, and reads nothing of the CPU's."""
LINKS: Final = 8
"""Where in an operation the address of the next one is, 0 in the last one; behind it that of the one's before, or of the list's,
links."""
OPERANDS: Final = 24
"""Where in an operation its operands are, 8 bytes each."""
LONG: Final = 1
"""The type of variables of 64 bits."""
LASTING: Final = True
"""A variable that holds its value behind a branch."""
AT_MOST, GREATER = 10, 11
BLOCK_HOOK, BLOCK_HOOKS = 8, 3
"""A hook on blocks, and the number of their list."""
FOREVER: Final = 1 << 62
PIECE: Final = 4096
NOWHERE: Final = 0x7FFF000000000000
"""The address of the only block that our hook is for. Our code calls it by that address, and it stops the engine."""

_POINTER = ctypes.c_void_p


class Begun:
    """How many instructions have begun since the last start, as a ctypes integer."""

    def __init__(self, words: memoryview) -> None:
        self._words = words

    @property
    def value(self) -> int:
        return int(self._words[SUM] + self._words[BEGUN])

    @value.setter
    def value(self, begun: int) -> None:
        self._words[SUM], self._words[BEGUN] = begun, 0


class Counting(translator.Watcher):
    """On one engine."""

    def __init__(self, engine: Engine, architecture: str, state: int, pc: int) -> None:
        """architecture: Unicorn's name of it. state: where its CPU's state is; pc: where in that the program counter is."""
        self._engine = engine
        self._pc = pc
        self._places = translator.PLACES[architecture]
        self.context = engine.translation_context()
        self._state = self.context + VARIABLES
        self._address = state
        self.address = self.context + COUNTS
        self._distance = self.address - state
        self.near = abs(self._distance) + 8 * ROOM < 1 << 31
        """Whether the words are reached by their distance from the CPU's state."""
        self.words = memoryview(_words(self.context)).cast("B").cast("Q")
        self.words[LIMIT] = FOREVER
        self.begun = Begun(self.words)
        self.limit = U64.from_address(self.address + 8 * LIMIT)
        self._size: Any = None
        self._label = 0
        functions = {}

        def function(name: str, result: Any, *arguments: Any) -> Any:
            found = exported(f"{name}_{architecture}", result, _POINTER, *arguments)
            functions[name] = address_of(found)
            return found

        self._access = function("tcg_gen_op3", None, ctypes.c_int, U64, U64, U64)
        self._operation = function("tcg_gen_op1", None, ctypes.c_int, U64)
        self._emit = function("tcg_emit_op", U64, ctypes.c_int)
        self._variable = function("tcg_temp_new_internal", U64, ctypes.c_int, ctypes.c_bool)
        self._free = function("tcg_temp_free_internal", None, U64)
        self._word = function("tcg_const_i32", U64, ctypes.c_int32)
        self._long = function("tcg_const_i64", U64, ctypes.c_int64)
        self._new_label = function("gen_new_label", U64)
        self._branch_if_constant = function("tcg_gen_brcondi_i64", None, ctypes.c_int, U64, ctypes.c_int64, U64)
        self._branch_if = function("tcg_gen_brcond_i64", None, ctypes.c_int, U64, U64, U64)
        self._exit = function("tcg_gen_exit_tb", None, _POINTER, ctypes.c_uint)
        self._call = function("tcg_gen_callN", None, _POINTER, _POINTER, ctypes.c_int, _POINTER)
        self._remove = function("tcg_op_remove", None, U64)
        self._hooks = address_of(library.helper_uc_tracecode)
        self.looks = address_of(exported(f"helper_check_exit_request_{architecture}", None))
        native = accel.for_a_cpu()
        self.watcher: translator.Watcher = self if native is None else self._in_c(native, functions)

    def _in_c(self, native: ModuleType, functions: dict[str, int]) -> translator.Watcher:
        """What adds the code to blocks, but for `leave_out` and `keep`. functions: TCG's, their addresses by name."""
        made: translator.Watcher = native.Counting(
            context=self.context,
            words=self.address,
            state=self._address,
            pc=self._pc,
            wide=self._places.word == 8,
            done=self._places.done,
            near=self.near,
            engine=self._engine.address,
            hooks=self._hooks,
            looks=self.looks,
            functions=functions,
        )
        return made

    def counts(self) -> tuple[int, int, int]:
        return self.address + 8 * SUM, self.address + 8 * BEGUN, self.address + 8 * LIMIT

    def close(self) -> None:
        translator.unwatch(self.watcher)
        self.words[:] = memoryview(bytes(8 * ROOM)).cast("Q")
        self.words.release()

    def run(self, address: int, count: int) -> int:
        """Runs `count` instructions from a virtual address; Unicorn's error code.

        Where the limit ends it, one more has begun than the limit says.
        """
        engine, words = self._engine, self.words
        words[SUM] = words[BEGUN] = words[KEPT_AT] = 0
        words[LIMIT] = count
        error = engine.go(address)
        if error == OK and not engine.stopped:
            if self.begun.value < self.limit.value:
                raise InvariantError(f"unicorn stopped {self.limit.value - self.begun.value} instructions before the limit")
            words[BEGUN] += 1
        return error

    def put_back(self, variables: Variables) -> None:
        """After a fault: where the instruction that began last has its variables kept, they are what they were before it."""
        words = self.words
        if words[KEPT_AT] and words[KEPT_AT] == self.begun.value:
            state = (U64 * variables.size).from_address(self._address + variables.place)
            for number in range(variables.size):
                state[number] = words[KEPT + number]

    # While Unicorn translates

    def leave_out(self, block: int) -> None:
        """The instruction that is about to be translated is the last one of its block, not the first, and does not count."""
        self.words[LEFT_OUT] = 1
        self._store_begun(U32.from_address(block + self._places.done).value - 1)

    def keep(self, variables: Variables) -> None:
        """Code that keeps variables before the instruction that is about to be translated."""
        context = self.context
        begun, total = self._variable(context, LONG, False), self._variable(context, LONG, False)
        self._load(LOAD_WORD, begun, BEGUN)
        self._load(LOAD_LONG, total, SUM)
        self._access(context, ADD_LONG, total, total, begun)
        self._load(STORE_LONG, total, KEPT_AT)
        for number in range(variables.size):
            self._load(STORE_LONG, context + VARIABLES + VARIABLE_SIZE * (variables.first + number), KEPT + number)
        for variable in (begun, total):
            self._free(context, variable)

    def begin_block(self, block: int) -> None:
        context = self.context
        self.words[LEFT_OUT] = 0
        total, begun, size, limit = (self._variable(context, LONG, False) for _ in range(4))
        self._load(LOAD_LONG, total, SUM)
        self._load(LOAD_WORD, begun, BEGUN)
        self._access(context, ADD_LONG, total, total, begun)
        self._load(STORE_LONG, total, SUM)
        self._size = (U64 * 2).from_address(self._emit(context, MOVE_WORD) + OPERANDS)
        self._size[0], self._size[1] = size, 0
        self._load(STORE_LONG, size, SIZE)
        self._access(context, ADD_LONG, size, size, total)
        self._load(LOAD_LONG, limit, LIMIT)
        self._label = self._new_label(context)
        self._branch_if(context, GREATER, size - context, limit - context, self._label)
        for variable in (total, begun, size, limit):
            self._free(context, variable)

    def begin(self, block: int) -> None:
        self._store_begun(U32.from_address(block + self._places.done).value)

    def end_block(self, block: int) -> None:
        """What is done where the limit would be passed: nothing has begun. The next block begins here and has as many
        instructions as are left; where none are, the engine stops."""
        context, places = self.context, self._places
        self._sweep()
        self._size[1] = self.words[MADE] = U32.from_address(block + places.done).value - self.words[LEFT_OUT]
        self._operation(context, SET_LABEL, self._label)
        self._store_begun(0)
        start = translator.start(block, places)
        pc = context + (self._long(context, start) if places.word == 8 else self._word(context, ctypes.c_int32(start).value))
        self._access(context, STORE_LONG if places.word == 8 else STORE, pc, self._state, self._pc)
        total, left = self._variable(context, LONG, False), self._variable(context, LONG, LASTING)
        self._load(LOAD_LONG, total, SUM)
        self._load(LOAD_LONG, left, LIMIT)
        self._access(context, SUBTRACT_LONG, left, left, total)
        stop = self._new_label(context)
        self._branch_if_constant(context, AT_MOST, left - context, 0, stop)
        self._access(context, STORE_WORD, left, self._state, self.words[NEXT_FLAGS] - self._address)
        self._exit(context, None, 0)
        self._operation(context, SET_LABEL, stop)
        arguments = [self._word(context, 1), self._word(context, BLOCK_HOOKS)]
        arguments += [self._long(context, self._engine.address), self._long(context, NOWHERE)]
        variables = [context + argument for argument in arguments]
        self._call(context, self._hooks, None, len(variables), (U64 * len(variables))(*variables))
        for variable in (pc, total, left, *variables):
            self._free(context, variable)
        self._exit(context, None, 0)

    def _sweep(self) -> None:
        """Takes out of the block what it does not need. Unicorn looks whether it is to stop at the begin and behind each access
        to memory: only behind hooks is that needed. Only the last instruction and those that may leave the block need a number.
        """
        behind_call, leaves, store = False, True, 0
        for operation in operations(self.context):
            function = called(operation)
            if function == self.looks and not behind_call:
                self._remove(self.context, operation)
                continue
            behind_call = bool(function) or (behind_call and kind(operation) not in ACCESSES)
            if kind(operation) == INSTRUCTION_BEGIN:
                if store and not leaves:
                    self._remove(self.context, store)
                leaves, store = False, 0
            elif self.stores_begun(operation):
                store = operation
            else:
                leaves = leaves or may_leave(operation)

    def stores_begun(self, operation: int) -> bool:
        """Whether an operation stores how many instructions of the block have begun."""
        _, base, place = (U64 * 3).from_address(operation + OPERANDS)
        wanted = self._state, self._distance + 8 * BEGUN & (1 << 64) - 1
        return kind(operation) == STORE and self.near and (base, place) == wanted

    def _store_begun(self, number: int) -> None:
        variable = self.context + self._word(self.context, number)
        self._load(STORE, variable, BEGUN)
        self._free(self.context, variable)

    def _load(self, operation: int, variable: int, word: int) -> None:
        """Or a store. Where the words are too far from the CPU's state, by their own address."""
        if self.near:
            self._access(self.context, operation, variable, self._state, self._distance + 8 * word)
        else:
            place = self.context + self._long(self.context, self.address)
            self._access(self.context, operation, variable, place, 8 * word)
            self._free(self.context, place)

    def begin_counting(self, cpu: int, flags: int, loop: int) -> bool:
        """Whether it works with the flags of the next block at an address: the block can be made of one instruction."""
        engine = self._engine
        word = U32.from_address(flags)
        word.value = 1
        self.words[NEXT_FLAGS] = flags
        engine.flush_translations()
        check(engine.go(loop, 1), "a loop")
        if self.words[MADE] != 1 or word.value != UNTOLD:
            word.value = UNTOLD
            return False
        self.words[CPU] = cpu
        engine.flush_translations()
        engine.stopped = False
        return all(self.run(loop, count) == OK and self.begun.value == count + 1 for count in (1, 7, 3000))


def begin(engine: Engine, architecture: str, known: bytes, pc: int, loop: int) -> None:
    """Counts an engine's instructions from now on, where this host and this build of Unicorn let it.

    architecture: Unicorn's name of it. known: what its CPU's state begins with now. pc: where in that the program counter is, in
    bytes. loop: the virtual address of an endless loop of two instructions.
    """

    def translate() -> None:
        engine.flush_translations()
        check(engine.go(loop, 1), "a loop")

    context = engine.translation_context()
    if peek(int.from_bytes(peek(context + VARIABLES + VARIABLE_NAME, 8), "little"), 4) != b"env\0" or any(_words(context)):
        return
    nobody = translator.Watcher()
    cpu = translator.watch(architecture, nobody, translate)
    translator.unwatch(nobody)
    data = b"".join(peek(cpu + offset, PIECE) for offset in range(0, CPU_SIZE, PIECE)) if cpu else b""
    pointers = memoryview(data).cast("Q").tolist()
    place, state = next(((8 * n, each) for n, each in enumerate(pointers) if _is_state(each, cpu, known)), (0, 0))
    if not state or not _has_operations(context):
        return
    counting = Counting(engine, architecture, state, pc)
    translator.watch(architecture, counting.watcher, translate)
    handle, nowhere = _POINTER(), U64(NOWHERE)
    stop = ctypes.cast(library.uc_emu_stop, _POINTER)
    check(library.uc_hook_add(engine.handle, ctypes.byref(handle), BLOCK_HOOK, stop, None, nowhere, nowhere), "hook_add")
    wanted = UNTOLD.to_bytes(4, "little") + bytes(8)
    flags = [each for each in range(max(place - FLAGS_BACK, 0), place, 4) if data.startswith(wanted, each)]
    if any(counting.begin_counting(cpu, cpu + each, loop) for each in flags):
        engine.blocks, engine.counter, engine.limit, engine.state = counting, counting.begun, counting.limit, state
    else:
        counting.close()
    engine.flush_translations()


def operations(context: int) -> Iterator[int]:
    """The addresses of the operations of the block that is being translated; the one given last may be removed."""
    operation = U64.from_address(context + OPERATIONS).value
    while operation:
        following = U64.from_address(operation + LINKS).value
        yield operation
        operation = following


def kind(operation: int) -> int:
    """Of an operation, by its number in TCG's list."""
    return ctypes.c_ubyte.from_address(operation).value


def called(operation: int) -> int:
    """The address of the function that an operation calls, 0 where it calls none."""
    return _call(operation)[0] if kind(operation) == CALL else 0


def may_leave(operation: int) -> bool:
    """Whether an operation may leave the block, or call what looks at the count."""
    if kind(operation) == CALL:
        return not _call(operation)[1] & NO_READ_GLOBALS
    return kind(operation) > INSTRUCTION_BEGIN


def _call(operation: int) -> tuple[int, int]:
    """A call's function and flags."""
    counts = ctypes.c_ubyte.from_address(operation + 1).value
    function, flags = (U64 * 2).from_address(operation + OPERANDS + 8 * ((counts & 15) + (counts >> 4)))
    return function, flags


def _has_operations(context: int) -> bool:
    """Whether the list of operations is where it is taken to be."""
    links = int.from_bytes(peek(context + OPERATIONS, 8), "little") + LINKS
    return peek(links + 8, 8) == (context + OPERATIONS).to_bytes(8, "little")


def _words(context: int) -> ctypes.Array[ctypes.c_uint64]:
    return (U64 * ROOM).from_address(context + COUNTS)


def _is_state(address: int, cpu: int, known: bytes) -> bool:
    """Whether the CPU's state is at an address."""
    return cpu < address < cpu + STATE_MAX and peek(address, len(known)) == known
