/* Types of the Masix servers' interfaces, and of the net name server's. */
#ifndef MASIX_H
#define MASIX_H

#include <mach.h>

typedef char acs_name_t[80], netname_name_t[80];

#define NETNAME_SUCCESS 0
#define NETNAME_NOT_YOURS 1000
#define NETNAME_NOT_CHECKED_IN 1001

#endif
