"""Debugging a machine: conditions that its run goes to, forwards and back, and the commands of the prompt."""
