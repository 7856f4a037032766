"""What happened in a machine, as typed events. Nothing here draws them; nothing is made while nobody listens."""
