"""Threads, tasks, scheduling, exceptions, hosts: Mach's kern directory. Functions take the node's `Kern` explicitly."""
