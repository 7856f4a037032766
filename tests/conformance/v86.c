/* Virtual 8086 mode: how a thread gets there, what it sees, which exceptions it takes, and how it comes back. */
#include "guest.h"

typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;

static mach_port_t self, box;
#define PAGE 0x10000

static void words(const char *what, struct i386_thread_state *s)
{
	say("%s: cs %x ip %x ss %x sp %x ds %x es %x fs %x gs %x efl %x\n", what, s->cs & 0xffff, s->eip, s->ss & 0xffff, s->uesp, s->ds, s->es,
		s->fs, s->gs, s->efl);
	say("  eax %x ebx %x ecx %x edx %x\n", s->eax, s->ebx, s->ecx, s->edx);
}

/* Runs 16-bit code and tells of up to COUNT exceptions; each skips SKIP bytes. */
static void run(const char *what, const char *code, u32 size, int count, int skip, u32 flags, u32 *assist)
{
	struct i386_thread_state s;
	mach_msg_type_number_t n = i386_THREAD_STATE_COUNT;
	message_t m, r;
	thread_t t;
	u32 i;

	say("%s\n", what);
	for (i = 0; i < 64; i++)
		((char *) PAGE)[i] = i < size ? code[i] : 0xf4;
	thread_create(self, &t);
	if (assist)
		show("  assist", thread_set_state(t, i386_V86_ASSIST_STATE, assist, 2));
	thread_get_state(t, i386_REGS_SEGS_STATE, (thread_state_t) &s, &n);
	s.cs = PAGE >> 4;
	s.eip = 0;
	s.ss = (PAGE >> 4) + 0x10;
	s.uesp = 0xe00;
	s.ds = 0x1040;
	s.es = 0x1041;
	s.fs = 0x1042;
	s.gs = 0x1043;
	s.ebx = 0x12345678;
	s.efl = 0x20000 | flags;
	show("  set, flavor 1", thread_set_state(t, i386_THREAD_STATE, (thread_state_t) &s, n));
	thread_get_state(t, i386_THREAD_STATE, (thread_state_t) &s, &n);
	words("  get", &s);
	show("  set again, flavor 5", thread_set_state(t, i386_REGS_SEGS_STATE, (thread_state_t) &s, n));
	s.cs = PAGE >> 4 | 3;
	s.ss = (PAGE >> 4) + 0x13;
	show("  set with user selectors", thread_set_state(t, i386_REGS_SEGS_STATE, (thread_state_t) &s, n));
	s.cs = PAGE >> 4;
	s.ss = (PAGE >> 4) + 0x10;
	thread_set_state(t, i386_THREAD_STATE, (thread_state_t) &s, n);
	thread_resume(t);
	while (count--) {
		kern_return_t kr = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 60, 0);
		if (kr) {
			say("  no exception: %x\n", kr);
			thread_suspend(t);
			thread_get_state(t, i386_REGS_SEGS_STATE, (thread_state_t) &s, &n);
			words("  state", &s);
			break;
		}
		thread_get_state(t, i386_REGS_SEGS_STATE, (thread_state_t) &s, &n);
		say("  exception %d code %x subcode %x\n", m.w[5], m.w[7], m.w[9]);
		words("  state", &s);
		s.eip += skip;
		show("  set", thread_set_state(t, i386_THREAD_STATE, (thread_state_t) &s, n));
		r.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0);
		r.h.msgh_remote_port = m.h.msgh_remote_port;
		r.h.msgh_local_port = 0;
		r.h.msgh_id = m.h.msgh_id + 100;
		r.w[0] = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
		r.w[1] = 0;
		if (count)
			mach_msg(&r.h, MACH_SEND_MSG, 32, 0, 0, 0, 0);
	}
	thread_terminate(t);
}

#define CODE(bytes) bytes, sizeof bytes - 1

int guest_main(void)
{
	vm_address_t address = PAGE;

	self = mach_task_self();
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box);
	mach_port_insert_right(self, box, box, MACH_MSG_TYPE_MAKE_SEND);
	task_set_special_port(self, TASK_EXCEPTION_PORT, box);
	show("a page", vm_allocate(self, &address, 0x4000, FALSE));
	run("halts", CODE("\xb8\x34\x12\xf4"), 1, 0, 0, 0);
	run("segments", CODE("\x8c\xd8\x66\xc1\xe0\x10\x8c\xc0\x8c\xe1\x66\xc1\xe1\x10\x8c\xe9\xf4"), 1, 0, 0, 0);
	run("stack and data", CODE("\x68\x99\x88\x5a\xa3\x04\x00\x8b\x0e\x04\x00\xf4"), 1, 0, 0, 0);
	run("interrupts", CODE("\xcd\x21\xcd\x80\xcc\xf4"), 4, 2, 0, 0);
	run("flags", CODE("\x9c\x58\xfb\xfa\xf4"), 3, 1, 0, 0);
	run("returns", CODE("\xcf\xf4"), 2, 1, 0, 0);
	run("divides", CODE("\x31\xc9\xf7\xf1\xf4"), 2, 2, 0, 0);
	run("no instruction", CODE("\x0f\x0b\xf4"), 2, 2, 0, 0);
	run("ports", CODE("\xe4\x80\xe6\x80\xf4"), 3, 2, 0, 0);
	run("far", CODE("\x9a\x00\x00\x07\x00\xf4"), 1, 0, 0, 0);
	run("beyond its segment", CODE("\x66\xb8\x00\x00\x02\x00\x67\x8b\x00\xf4"), 1, 0, 0, 0);
	run("nothing there", CODE("\x31\xc0\x8e\xd8\xa1\x10\x00\xf4"), 1, 0, 0, 0);
	run("all flags", CODE("\xf4"), 1, 0, 0xffffffff & ~0x100, 0);
	run("steps", CODE("\x40\x43\x90\xf4"), 4, 0, 0x100, 0);
	{ u32 assist[2] = { PAGE + 0x1000, 2 }; run("with the interrupts' table", CODE("\xcd\x21\xfb\xfa\xf4"), 4, 1, 0, assist); }
	return 0;
}
