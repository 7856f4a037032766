/* What the run time needs to know of the i386's registers. */
#include "guest.h"

kern_return_t set_entry(thread_t thread, void (*entry)(void), vm_address_t stack_top)
{
	struct i386_thread_state state;
	mach_msg_type_number_t count = i386_THREAD_STATE_COUNT;
	kern_return_t result = thread_get_state(thread, i386_REGS_SEGS_STATE, (thread_state_t) &state, &count);

	if (result)
		return result;
	state.eip = (vm_address_t) entry;
	state.uesp = (stack_top - 64) & -16;
	return thread_set_state(thread, i386_REGS_SEGS_STATE, (thread_state_t) &state, count);
}
