"""Failure detectors and reliable group communication, without input or output of their own: bytes and times come in, bytes go
out.

`Endpoint` is a node's end of it, `Group` a member of a group, `Dictionary` what most groups are for. docs/groups.md tells what
holds.
"""

from .broadcast import Application, Network, Standing
from .detector import Change, Detector
from .dictionary import Dictionary
from .endpoint import Endpoint, Watcher
from .group import Group
from .view import Member, Order, View

__all__ = [
    "Application",
    "Change",
    "Detector",
    "Dictionary",
    "Endpoint",
    "Group",
    "Member",
    "Network",
    "Order",
    "Standing",
    "View",
    "Watcher",
]
