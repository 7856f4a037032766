"""From files to running tasks: boot scripts, nodes."""
