"""The Mach 3.0 ABI as pure data: numbers, layouts and names, in both byte orders."""
