/*
 * What the kernel asks of memory managers, asked of the kernel: it has a server for it, of its own that devices are mapped with. These
 * requests have another shape than theirs: what has the right one, and comes from somebody else, is the end of the real kernel.
 */
#include "ipc.h"
#include "mach_host_user.h"

static mach_port_t reply;

static void ask_kernel(const char *what, mach_port_t to, u32 id, u32 bits, u32 words)
{
	mach_msg_return_t result;

	fill(&m, RPC | bits, to, reply, id);
	result = mach_msg(&m.h, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24 + 4 * words, sizeof m, reply, 50, 0);
	say("  %s %u -> %x", what, id, result);
	if (!result)
		say(" id %d size %d code %d", m.h.msgh_id, m.h.msgh_size, m.w[1]);
	say("\n");
}

static void without_reply(mach_port_t to, u32 id)
{
	fill(&m, CS, to, 0, id);
	say("  told only %u -> %x\n", id, give(24));
}

static void shapes(const char *what, mach_port_t to)
{
	u32 id;

	say("-- to %s\n", what);
	for (id = 2199; id <= 2211; id++) {
		ask_kernel("nothing", to, id, 0, 0);
		ask_kernel("nothing, complex", to, id, MACH_MSGH_BITS_COMPLEX, 0);
		m.w[0] = item(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0), m.w[1] = PAGE_SIZE, ask_kernel("a word", to, id, 0, 2);
		m.w[0] = item(MACH_MSG_TYPE_MAKE_SEND, 32, 1, 1, 0), m.w[1] = reply, ask_kernel("a right", to, id, MACH_MSGH_BITS_COMPLEX, 2);
		without_reply(to, id);
	}
}

/* The first descriptor right, and those behind it not, or one word too many. */
static void nearly(void)
{
	u32 right = item(MACH_MSG_TYPE_MAKE_SEND, 32, 1, 1, 0), word = item(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0), flag = item(MACH_MSG_TYPE_BOOLEAN, 32, 1, 1, 0);

	say("-- nearly of the right shape\n");
	m.w[0] = right, m.w[1] = reply, m.w[2] = right, m.w[3] = reply, m.w[4] = flag, m.w[5] = PAGE_SIZE, ask_kernel("init", self, 2200, MACH_MSGH_BITS_COMPLEX, 6);
	m.w[0] = right, m.w[1] = reply, m.w[2] = right, m.w[3] = reply, m.w[4] = word, m.w[5] = PAGE_SIZE, m.w[6] = word, m.w[7] = 0, ask_kernel("init and a word", self, 2200, MACH_MSGH_BITS_COMPLEX, 8);
	m.w[0] = right, m.w[1] = reply, m.w[2] = right, m.w[3] = reply, ask_kernel("terminate with send rights", self, 2201, MACH_MSGH_BITS_COMPLEX, 4);
	m.w[0] = right, m.w[1] = reply, m.w[2] = word, m.w[3] = 0, m.w[4] = word, m.w[5] = PAGE_SIZE, m.w[6] = right, m.w[7] = reply, ask_kernel("copy with a send right", self, 2202, MACH_MSGH_BITS_COMPLEX, 8);
	m.w[0] = right, m.w[1] = reply, m.w[2] = word, m.w[3] = 0, m.w[4] = word, m.w[5] = PAGE_SIZE, m.w[6] = flag, m.w[7] = 1, ask_kernel("data_request with a flag", self, 2203, MACH_MSGH_BITS_COMPLEX, 8);
	m.w[0] = word, m.w[1] = 0, m.w[2] = word, m.w[3] = 0, ask_kernel("change_completed with a word for a flag", self, 2209, 0, 4);
	type("the port", reply), status("the port", reply);
}

int guest_main(void)
{
	mach_port_t device = 0, pager = 0;

	self = mach_task_self(), reply = port();
	shapes("a task", self);
	shapes("a thread", mach_thread_self());
	shapes("the host", mach_host_self());
	shapes("the console", console);
	device_open(device_master, D_READ | D_WRITE, "time", &device), device_map(device, 1, 0, PAGE_SIZE, &pager, 0);
	shapes("a device's memory object", pager);
	nearly();
	return 0;
}
