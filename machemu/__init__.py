"""machemu: Mach 3.0 machines, emulated down to the hardware."""

__version__ = "0.1.0"
