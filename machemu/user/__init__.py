"""What a host-side server is written with: a Mach task whose threads run Python message handlers over explicit state."""
