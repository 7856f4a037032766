"""What a message inside the kernel carries besides bytes."""

from machemu.abi.message import CarriedMemory, CarriedPort, CarriedPorts
from machemu.ipc.port import Right
from machemu.ipc.seams import MapCopy

Carried = CarriedPort[Right] | CarriedMemory[MapCopy] | CarriedPorts[Right]
"""In the order of the body; the message owns the rights and the memory."""
