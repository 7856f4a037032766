"""The administration and configuration server: the name server of a node."""
