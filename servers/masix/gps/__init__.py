"""The generic process server: processes with names that hold on all nodes, each in one copy.

docs/processes.md tells what is there.
"""
