"""The interfaces as tables, one module a subsystem, made from the definitions in `defs`."""
