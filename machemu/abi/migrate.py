"""Subsystem mach_migrate: how a frozen task's waits and reasons are told (ours; the real kernel has no such routines)."""

from typing import Final

# Why a task should stay where it is: bits of task_freeze's answer.

STAY_IO_PERM: Final = 1
"""It may use I/O ports, or has a right to permit that."""
STAY_DEVICE: Final = 2
"""It has mapped a device."""
STAY_V86: Final = 4
"""A thread of it is in virtual-8086 mode."""
STAY_ESSENTIAL: Final = 8
"""task_set_essential said so."""
STAY_DEFAULT_PAGER: Final = 16
"""It is the node's default memory manager."""
STAY_HOST_SIDE: Final = 32
"""Its program runs on the host, or it is the kernel's own."""
STAY_COPY: Final = 64
"""It shows a copy of memory whose manager is of its family, or a message that waits for it has one: nobody could ask that for
what the copy still needs."""
STAY_SHARED: Final = 128
"""It shares anonymous memory with a task that has to stay for that."""
STAY_CACHED: Final = 256
"""It is the memory manager of an object that nobody maps and that the kernel keeps: no map would tell of it."""
STAY_PROXY: Final = 512
"""It has a right to a proxy of a memory object, of which its kernel alone knows what it stands for."""
STAY_GONE: Final = 1024
"""A thread of it waits for a page that its map does not show any more, or not for such an access."""

TASK_IPC_INFO: Final = 4600
"""A flavor of task_info: how many traps a task's threads have made, and how many messages they have sent, and how many bytes in
these, without memory out of line: to the kernel, to tasks of the node, and to those that forward them to other nodes."""

# What a thread does anew when it goes on, the first of thread_get_wait's words. The second is how many milliseconds of its
# time-out are left, or FOREVER; the third its place among those of its task that wait at the same queue, or are ready to run; the
# first to come is 0. Then comes what the kind says; some kinds have bytes besides.

REDO_NOTHING: Final = 0
"""Nothing: it goes on as its registers say."""
REDO_PUT: Final = 1
"""Writes bytes to its memory: their address, the trap's result, and its result where they cannot be written."""
REDO_SEND: Final = 2
"""Sends a message, the bytes, whose names are its own: mach_msg's seven arguments, and whether it waits for room, 0, was told of
room, 1, or tries once more, since its time-out has passed, 2."""
REDO_RECEIVE: Final = 3
"""Receives: mach_msg's arguments."""
REDO_GSYNC: Final = 4
"""Waits in gsync_wait: the word's address, whether it is known by its object (else by its address), mach_msg's arguments, and the
name of the port where the answer goes by a send-once right, where its task receives from that, else 0."""
REDO_SWITCH: Final = 5
"""Waits in thread_switch."""
REDO_EXCEPTION: Final = 6
"""Waits for a handler's answer: exception, code, subcode, and whether the task's handler has been asked."""
REDO_TRAP: Final = 7
"""Makes a trap: its number, and its arguments unless they lie on the stack."""
REDO_REDIRECT: Final = 8
"""Makes a trap that an emulation vector redirects: its number."""
REDO_YIELD: Final = 9
"""Is ready, and has given way: 0 in swtch, 1 in swtch_pri, 2 in thread_switch."""
REDO_FAULT: Final = 10
"""Waits for a page that has been asked for: the address, and the access (VM_PROT_)."""

REDO_WORDS: Final = (0, 3, 8, 7, 10, 0, 4, 1, 1, 1, 2)
"""How many words each kind has at least, by its number."""
SEND_WAITS, SEND_ROOM, SEND_LATE = range(3)
"""The last word of REDO_SEND."""
REDO_HEAD: Final = 3
"""How many words there are before them."""
FOREVER: Final = 0xFFFFFFFF

# A name space in words: how many names there are, and of each name: itself, its type (TYPE_ bits), user references, WANTS_,
# HAD_ and HAS_ bits, of a receive right the name of its set or 0, make-send count, sequence number, queue limit and protected
# payload, the slot of its dead-name request, and 1 + the place in its queue of the message whose acceptance is told. Then how
# many words follow about sets, and of each set with messages its name, how many they are, and the name of the port of each.
# Then how many words follow about send rights that nobody holds, and of each port with such its name, how many words follow,
# how many they are, and of each dead-name request that came with one its slot and the name that it tells. Then of each send-
# once right, and of each of those who want to be told, the name of its port where that is received from in this space, else 0.
# Then the first name that was never used; how many names were freed last, and these, the next to be used at the end; and the
# other unused names, a heap. The rights are in arrays, in the order of the names: receive, send and send-once rights, and the
# send-once rights of those who want to be told, of each name in the order of the bits, and then of requests that came with
# rights that nobody holds. Send-once rights to ports of the space itself are in none.

WANTS_DEAD_NAME: Final = 1
WANTS_NO_SENDERS: Final = 2
WANTS_PORT_DESTROYED: Final = 4
HAD_SENDERS: Final = 8
"""There were send rights to it."""
HAS_PAYLOAD: Final = 16
WANTS_ACCEPTED: Final = 32
"""A msg-accepted notification is due."""

# A map in words: the size of a page, MAP_ bits, the start of the entry behind which room is looked for first or NONE, how many
# objects there are, how many entries, and how many gaps. Of each object: its number, the bytes that were asked for when it was
# made, OBJECT_ bits, and how many entries of all maps show it. Of each entry, by address: start, size, offset in its object,
# protection, maximum protection, inheritance, the access for which wiring was asked, ENTRY_ bits, and its object's place among
# the objects or NONE. Then the starts of the gaps behind entries, by size, and of one size in the order in which they are
# taken from the end. Then the address of each page that is mapped, plus the access (VM_PROT_) that its mapping allows; in a
# map that was set they are mapped when the task is thawed.
# Objects with equal numbers are one, whatever task's map tells of them; number 0 is an object that this map alone shows.

# What a kernel knows of a memory object: the offset in it of the object's first byte, PAGER_ bits, its copy strategy, the
# bytes of which it is known what the manager has, the offset where a page came or was asked for last, how many pages there
# are, and how many were asked for. Of each page: its offset in the object, PAGE_ bits, the accesses that its manager forbids,
# and those that it was asked to allow. Of each that was asked for: its offset, and 0 where the manager has not answered, 1
# where it has no data, 2 where it had an error. Then the offsets in the memory object of pages that the manager got back, as
# far as it is known what it has.

PAGER_READY: Final = 1
"""memory_object_ready has come."""
PAGER_CACHES: Final = 2
"""The object outlives its last mapping."""
PAGER_TEMPORARY: Final = 4
"""The manager does not want changes back."""
PAGE_DIRTY: Final = 1
PAGE_PRECIOUS: Final = 2

MAP_WIRES: Final = 1
"""Entries that come are wired."""
OBJECT_MANAGED: Final = 1
"""A memory manager has it."""
OBJECT_BEHIND: Final = 2
"""What it does not have itself may be with a memory manager."""
OBJECT_COPIED: Final = 4
"""Entries show it of which a copy is still to be made. A region of it that gets a manager is a copy that has been made."""
ENTRY_SHARED: Final = 1
"""Maps share its object for writing."""
ENTRY_WIRED: Final = 2
"""Its pages are wired; in a map that was set they are when the task is thawed."""
ENTRY_LOST: Final = 4
"""It counts as wired, but its manager had an error."""
ENTRY_NEEDS_COPY: Final = 8
"""A copy is to be made before it is written."""
NONE: Final = 0xFFFFFFFF
