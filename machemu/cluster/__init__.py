"""Several nodes under one virtual clock, joined by Ethernet segments."""
