/* Prints a line and waits for ever. */
#include "guest.h"

int guest_main(void)
{
	say("Hello from a Mach task.\n");
	return 0;
}
