"""The kernel put together: traps, routines, and the loop that runs threads."""
