"""From files to running tasks: ELF images, boot scripts, nodes."""
