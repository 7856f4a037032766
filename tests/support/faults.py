"""Faults of a segment that hypothesis makes up."""

from __future__ import annotations

from hypothesis import strategies as st

LANS = st.builds(
    "loss = {:.2f}\nduplication = {:.2f}\nreordering = {:.2f}\nlatency = \"{}us\"\n".format,
    st.floats(0, 0.3), st.floats(0, 0.3), st.floats(0, 0.5), st.integers(0, 5000),
)  # fmt: skip
MOMENTS = st.integers(1, 60).map("{}ms".format)
