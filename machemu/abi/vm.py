"""Protections, inheritance and the like (<mach/vm_prot.h>, <mach/vm_inherit.h>)."""

from typing import Final

VM_PROT_NONE: Final = 0
VM_PROT_READ: Final = 1
VM_PROT_WRITE: Final = 2
VM_PROT_EXECUTE: Final = 4
VM_PROT_ALL: Final = 7
VM_PROT_DEFAULT: Final = 3
VM_PROT_NOTIFY: Final = 0x10
"""In a current protection: a forbidden write answers KERN_WRITE_PROTECTION_FAILURE."""

VM_INHERIT_SHARE: Final = 0
VM_INHERIT_COPY: Final = 1
VM_INHERIT_NONE: Final = 2
