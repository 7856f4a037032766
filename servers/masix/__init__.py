"""Masix: the servers of the Distributed Generic Layer, on Mach's interfaces alone."""
