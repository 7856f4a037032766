"""Virtual memory: address maps, memory objects, resident pages, faults and copies (Mach's vm/), above a machine's pmap."""
