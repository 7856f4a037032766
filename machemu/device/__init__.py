"""Devices and the device interface: Mach's device directory."""
