/* Types of the generic process server's interface. */
#ifndef GPS_H
#define GPS_H

#include <mach.h>

typedef uint32_t pm_pid_t[4];
typedef char pm_personality_t[32], pm_host_t[80];

#define GPS_NOMAD 0
#define GPS_SEDENTARY 1

#endif
