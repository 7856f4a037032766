"""What the ports of processors and of processor sets stand for (Mach's kern/ipc_host.c)."""

from __future__ import annotations

from machemu.ipc.port import Port, Right
from machemu.kern.processor import Processor
from machemu.kern.processor_set import ProcessorSet, ProcessorSetName


def _kobject(right: Right) -> object | None:
    return right.kobject if isinstance(right, Port) and right.active else None


def processor_of(right: Right) -> Processor | None:
    """The processor that a port stands for, or None (convert_port_to_processor)."""
    kobject = _kobject(right)
    return kobject if isinstance(kobject, Processor) else None


def pset_of(right: Right) -> ProcessorSet | None:
    """The processor set that a control port stands for, or None (convert_port_to_pset)."""
    kobject = _kobject(right)
    return kobject if isinstance(kobject, ProcessorSet) else None


def pset_name_of(right: Right) -> ProcessorSet | None:
    """The processor set that a control or name port stands for, or None (convert_port_to_pset_name)."""
    kobject = _kobject(right)
    return kobject.processor_set if isinstance(kobject, ProcessorSetName) else pset_of(right)
