"""Booting: a boot script's modules become the node's first tasks (Mach's kern/bootstrap.c)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from machemu.abi.errors import KernError, UserError
from machemu.abi.types import VirtAddr
from machemu.boot.elf import Image, load_image
from machemu.boot.script import BootScript, PortValue
from machemu.boot.stack import build_stack
from machemu.core.kernel import Kernel
from machemu.ipc import mach_port, port
from machemu.kern import task_control, thread_control
from machemu.kern.task import Task
from machemu.kern.thread import Thread
from machemu.vm import routines as vm

DEFAULT_LINE = "${host-port} ${device-port} $(task-create) $(task-resume)"
"""What a module named alone is started with."""
