"""The hardware: RAM, and the seam between the machine-independent kernel and one architecture (seams.py)."""
