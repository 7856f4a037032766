"""The i386 machine on Unicorn: engine, page tables, traps. The only room, with m68k, that knows Unicorn."""
