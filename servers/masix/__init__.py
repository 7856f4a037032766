"""The Masix servers: what makes machines of Mach a distributed system."""
