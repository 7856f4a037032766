/* There is no other mode on an m68k: the flavors of the i386 by which a thread gets there are unknown. */
#include "guest.h"

int guest_main(void)
{
	static const int flavors[] = { 4, 5, 6 };
	u32 state[32] = { 0x11000, 2 };
	mach_msg_type_number_t n;
	thread_t t;
	int i;

	thread_create(mach_task_self(), &t);
	for (i = 0; i < 3; i++) {
		n = 32;
		say("flavor %d\n", flavors[i]);
		show("  get", thread_get_state(t, flavors[i], state, &n));
		show("  set", thread_set_state(t, flavors[i], state, 2));
		show("  set 17 words", thread_set_state(t, flavors[i], state, 17));
	}
	return 0;
}
