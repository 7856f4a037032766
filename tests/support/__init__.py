"""What tests share, and tools with them: machines, clusters, guests and servers to work on.

Tests import from here and from no other test. Tools may import from here; nothing here imports tools, so that tests can be read
without them. `tools.imports` checks this.
"""
