"""Traces in the formats of others' tools: each event is written as it comes, and nothing is kept but what is still open."""
