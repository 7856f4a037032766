/* Types of the Masix servers' interfaces, and of the net name server's. */
#ifndef MASIX_H
#define MASIX_H

#include <mach.h>

typedef char acs_name_t[80], netname_name_t[80];
typedef char udp_station_t[6], udp_data_t[1472];
typedef int udp_counts_t[9];

#define NETNAME_SUCCESS 0
#define NETNAME_NOT_YOURS 1000
#define NETNAME_NOT_CHECKED_IN 1001

#endif
