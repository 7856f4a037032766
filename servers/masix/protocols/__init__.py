"""Protocols of personalities above the network server: servers open and close, and send and receive for who has no library."""
