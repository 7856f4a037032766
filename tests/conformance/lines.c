/* The console's modem lines, and the interrupt lines that are free. */
#include "guest.h"

#define TTY(n) (('t' << 16) + (n))
enum { MODEM = TTY(2), SET_BREAK = TTY(6), CLEAR_BREAK = TTY(7) };

static mach_port_t self;

static void get(const char *what, u32 flavor, u32 room)
{
	int words[4] = { 0x77, 0x77, 0x77, 0x77 };
	mach_msg_type_number_t count = room;
	kern_return_t result = device_get_status(console, flavor, words, &count);

	say("  %s: %x, %u words %x %x\n", what, result, count, words[0], words[1]);
}

static void set(const char *what, u32 flavor, int value, u32 count)
{
	int words[4] = { value, value, value, value };

	show(what, device_set_status(console, flavor, words, count));
	get("modem", MODEM, 4);
}

static void modem(void)
{
	static const u32 values[] = { 0x166, 0, 0xffffffff, 6, 2, 4, 0x200, 1, 0xf0, 0x12345678, 0x7fffffff };
	u32 i;

	say("-- modem lines\n");
	get("at first", MODEM, 1), get("no room", MODEM, 0), get("more room", MODEM, 4);
	for (i = 0; i < sizeof values / sizeof values[0]; i++)
		say("%x", values[i]), set("", MODEM, values[i], 1);
	set("four words", MODEM, 0x166, 4);
	set("break", SET_BREAK, 0, 0), set("break again", SET_BREAK, 7, 1), set("hang up", MODEM, 0, 1);
	set("no break", CLEAR_BREAK, 0, 0), set("no break again", CLEAR_BREAK, 7, 4), set("as at first", MODEM, 0x166, 1);
	set("a flavor that is none", TTY(8), 0, 1), set("another", TTY(0), 0, 1);
	get("break", SET_BREAK, 4), get("no break", CLEAR_BREAK, 4);
}

static mach_port_t new_port(void)
{
	mach_port_t p = 0;

	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &p);
	return p;
}

static void interrupts(void)
{
	mach_port_t device = 0, p;
	int line;

	say("-- interrupt lines\n");
	device_open(device_master, D_READ | D_WRITE, "irq", &device);
	/* Beyond -1 the real kernel fails an assertion. */
	for (line = -1; line < 18; line++) {
		p = new_port(), flush();
		show("a port", device_intr_register(device, line, 0, p, MACH_MSG_TYPE_MAKE_SEND));
		show("  again", device_intr_register(device, line, 0, p, MACH_MSG_TYPE_MAKE_SEND));
		show("  for the first", device_intr_register(device, 0, 0, p, MACH_MSG_TYPE_MAKE_SEND));
		show("  for one that is free", device_intr_register(device, 9, 0, p, MACH_MSG_TYPE_MAKE_SEND));
		show("  acknowledge", device_intr_ack(device, p, MACH_MSG_TYPE_MAKE_SEND));
	}
	p = new_port(), flush();
	show("acknowledge by a port that has none", device_intr_ack(device, p, MACH_MSG_TYPE_MAKE_SEND));
	show("with a flag", device_intr_register(device, 9, 1, p, MACH_MSG_TYPE_MAKE_SEND));
	show("still none", device_intr_ack(device, p, MACH_MSG_TYPE_MAKE_SEND));
}

int guest_main(void)
{
	self = mach_task_self();
	modem();
	interrupts();
	return 0;
}
