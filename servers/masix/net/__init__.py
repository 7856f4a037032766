"""The network as a server meets it: addresses, headers, frames, filters and the Ethernet interface."""
