"""Files of others: ELF executables, and the stacks that programs start with. It knows no machine and no task."""
