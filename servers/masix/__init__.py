"""Masix: the servers of a distributed system of several personalities on Mach."""
