"""Numbers of the device interface (Mach's device/device_types.h, tty_status.h, net_status.h, mach/time_value.h)."""

from __future__ import annotations

from typing import Final

# io_return_t.

D_SUCCESS: Final = 0
D_IO_ERROR: Final = 2500
D_WOULD_BLOCK: Final = 2501
D_NO_SUCH_DEVICE: Final = 2502
D_ALREADY_OPEN: Final = 2503
D_DEVICE_DOWN: Final = 2504
D_INVALID_OPERATION: Final = 2505
D_INVALID_RECNUM: Final = 2506
D_INVALID_SIZE: Final = 2507
D_NO_MEMORY: Final = 2508
D_READ_ONLY: Final = 2509

D_READ: Final = 1
D_WRITE: Final = 2
D_NODELAY: Final = 4
D_NOWAIT: Final = 8
CUT_IPV4: Final = 1 << 16
"""Not Mach's: an Ethernet interface cuts an IPv4 packet that is longer than a frame into fragments."""

IO_INBAND_MAX: Final = 128

DEV_GET_SIZE: Final = 0
DEV_GET_RECORDS: Final = 1

TTY_STATUS: Final = (ord("t") << 16) + 1
TTY_MODEM: Final = TTY_STATUS + 1
TTY_FLUSH: Final = TTY_STATUS + 2
TTY_STOP: Final = TTY_STATUS + 3
TTY_START: Final = TTY_STATUS + 4
TTY_SET_BREAK: Final = TTY_STATUS + 5
TTY_CLEAR_BREAK: Final = TTY_STATUS + 6
TM_DTR, TM_RTS, TM_CTS, TM_CAR, TM_RNG, TM_DSR, TM_BRK = 0x2, 0x4, 0x20, 0x40, 0x80, 0x100, 0x200
TM_HUP: Final = 0
TTY_STATUS_COUNT: Final = 4
B9600: Final = 13
NSPEEDS: Final = 18
TF_ANYP: Final = 0x2 | 0x4
TF_ECHO: Final = 0x80
TF_CRMOD: Final = 0x100

NET_STATUS: Final = (ord("n") << 16) + 1
NET_ADDRESS: Final = NET_STATUS + 1
NET_FLAGS: Final = NET_STATUS + 3
NET_STATUS_COUNT: Final = 7
HDR_ETHERNET: Final = 1
NET_RCV_MAX: Final = 4095
NET_HDW_HDR_MAX: Final = 64
NET_RCV_MSG_ID: Final = 2999
NET_HI_PRI: Final = 100

IFF_UP: Final = 0x1
IFF_BROADCAST: Final = 0x2
IFF_RUNNING: Final = 0x40
IFF_PROMISC: Final = 0x100
IFF_ALLMULTI: Final = 0x200
IFF_MULTICAST: Final = 0x1000
