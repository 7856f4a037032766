"""Looks for guests that hurt their host: `python -m tools.fuzz`, or `python3 tools/dev.py fuzz`."""
