"""What happened in a machine, as typed events, and the words for what they hold. Nothing is made while nobody listens."""
