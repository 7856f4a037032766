"""The Python API: machines to boot, step forwards and back, look into, and save."""
