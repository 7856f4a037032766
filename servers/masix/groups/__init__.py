"""Failure detectors and reliable group communication, without input or output of their own: bytes and times come in, bytes go
out.

`Endpoint` is a node's end of it, `Group` a member of a group, `Dictionary` what most groups are for. docs/groups.md tells what
holds.
"""

from masix.groups.broadcast import Application, Network, Standing
from masix.groups.detector import Change, Detector
from masix.groups.dictionary import Dictionary
from masix.groups.endpoint import Endpoint, Watcher
from masix.groups.group import Group
from masix.groups.view import Member, Order, View

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
