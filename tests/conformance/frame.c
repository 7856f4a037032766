/* What every conformance module prints around its own lines. */
#include "guest.h"

int module_main(void);

int guest_main(void)
{
	say("BEGIN\n");
	module_main();
	say("END\n");
	return 0;
}
