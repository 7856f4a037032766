/* What the run time needs to know of the m68k's registers. */
#include "guest.h"

_Static_assert(sizeof(struct m68k_thread_state) == 64, "16 words");
_Static_assert(sizeof(struct m68k_float_state) == 108, "27 words");
_Static_assert(sizeof(struct m68k_exception_frame) == 8 && offsetof(struct m68k_exception_frame, pc) == 2, "a frame of format 0");

kern_return_t set_entry(thread_t thread, void (*entry)(void), vm_address_t stack_top)
{
	struct m68k_thread_state state;
	struct m68k_exception_frame frame;
	mach_msg_type_number_t count = m68k_THREAD_STATE_COUNT;
	kern_return_t result = thread_get_state(thread, m68k_THREAD_STATE, (thread_state_t) &state, &count);

	if (result)
		return result;
	state.a[7] = (stack_top - 64) & -16;
	result = thread_set_state(thread, m68k_THREAD_STATE, (thread_state_t) &state, count);
	if (result)
		return result;
	count = m68k_EXCEPTION_FRAME_COUNT;
	result = thread_get_state(thread, m68k_EXCEPTION_FRAME, (thread_state_t) &frame, &count);
	if (result)
		return result;
	frame.pc = (vm_address_t) entry;
	return thread_set_state(thread, m68k_EXCEPTION_FRAME, (thread_state_t) &frame, count);
}
