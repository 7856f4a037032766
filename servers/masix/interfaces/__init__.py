"""Tables of the servers' interfaces, made from ../defs."""
