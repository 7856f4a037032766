"""Personalities: the servers that give processes the calls of a system. docs/processes.md tells what is there."""
