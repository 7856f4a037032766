"""Ports, rights, messages: Mach's ipc directory. Above the ABI, below threads and routines."""
