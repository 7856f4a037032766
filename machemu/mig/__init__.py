"""MIG: the compiler of .defs interface definitions, the definitions themselves, and the codecs of the messages they define."""
