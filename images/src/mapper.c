/*
 * An external memory manager, and a task that uses its memory: words that nobody has stored anywhere, made when they are asked for.
 * The manager maps its memory object into the child, and the child only reads and writes.
 */
#include "guest.h"

/* The child's name of the console. */
#define CHILD_CONSOLE 0x1003
#define PAGES 4

typedef struct {
	mach_msg_header_t h;
	u32 w[60];
} message_t;

static mach_port_t self, object, control;
static char stack[4 * PAGE_SIZE];
static vm_address_t memory;

__attribute__((noinline)) u32 load(u32 page)
{
	return *(volatile u32 *) (memory + page * PAGE_SIZE);
}

__attribute__((noinline)) void store(u32 page, u32 value)
{
	*(volatile u32 *) (memory + page * PAGE_SIZE) = value;
}

static void child(void)
{
	mig_forget_reply_port();
	console = CHILD_CONSOLE;
	say("page 1 has %u\n", load(1));
	say("page 1 still has %u\n", load(1));
	say("page 3 has %u\n", load(3));
	store(1, 7);
	say("page 1 now has %u\n", load(1));
	task_terminate(mach_task_self());
}

/* Gives the kernel a page: each word of it is what the page is asked for by. */
__attribute__((noinline)) void supply(u32 offset)
{
	vm_address_t page = 0;
	u32 i;

	vm_allocate(self, &page, PAGE_SIZE, TRUE);
	for (i = 0; i < PAGE_SIZE / sizeof(u32); i++)
		((u32 *) page)[i] = 100 + offset / PAGE_SIZE;
	memory_object_data_supply(control, offset, page, PAGE_SIZE, TRUE, VM_PROT_NONE, FALSE, MACH_PORT_NULL);
}

/* Answers what the kernel asks, until nobody uses the object any more. */
static void manage(void)
{
	static message_t m;

	for (;;) {
		mach_msg(&m.h, MACH_RCV_MSG, 0, sizeof m, object, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
		switch (m.h.msgh_id) {
		case 2200:
			say("manager: init\n");
			control = m.w[1];
			memory_object_ready(control, FALSE, MEMORY_OBJECT_COPY_NONE);
			break;
		case 2203:
			say("manager: page %u is wanted\n", m.w[3] / PAGE_SIZE);
			supply(m.w[3]);
			break;
		case 2208:
			say("manager: page %u comes back with %u\n", m.w[3] / PAGE_SIZE, *(u32 *) m.w[7]);
			vm_deallocate(self, m.w[7], m.w[6]);
			break;
		case 2201:
			say("manager: nobody uses it any more\n");
			return;
		default:
			say("manager: message %d\n", m.h.msgh_id);
		}
	}
}

int guest_main(void)
{
	mach_port_t other;
	thread_t thread;

	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &object);
	mach_port_insert_right(self, object, object, MACH_MSG_TYPE_MAKE_SEND);
	show("reserve", vm_allocate(self, &memory, PAGES * PAGE_SIZE, TRUE));
	show("the child", task_create(self, TRUE, &other));
	vm_deallocate(other, memory, PAGES * PAGE_SIZE);
	show("map it", vm_map(other, &memory, PAGES * PAGE_SIZE, 0, FALSE, object, 0, FALSE, VM_PROT_READ | VM_PROT_WRITE, VM_PROT_ALL, VM_INHERIT_NONE));
	mach_port_insert_right(other, CHILD_CONSOLE, console, MACH_MSG_TYPE_COPY_SEND);
	thread_create(other, &thread);
	set_entry(thread, child, (vm_address_t) stack + sizeof stack);
	show("its thread", thread_resume(thread));
	manage();
	say("END\n");
	return 0;
}
