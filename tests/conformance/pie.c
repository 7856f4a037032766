/* A program that can lie anywhere, and names an interpreter: where the kernel puts it, what it is protected with, and that nobody interprets it. */
#include "guest.h"
static const char *const words[] = { "pointers", "in", "data" };
static int answer(void) { return 42; }
static int (*volatile function)(void) = answer;
static volatile u32 zeros[3000];
int guest_main(void)
{
	vm_address_t a = 0, here = (vm_address_t) &answer & -65536; vm_size_t size; vm_prot_t p, max; vm_inherit_t inherit; boolean_t shared; memory_object_name_t name; vm_offset_t offset; int i; u32 sum = 0, n = 0;
	say("at %x\n", here);
	for (i = 0; i < 3; i++) say("%s ", words[i]); say("%d\n", function()); for (i = 0; i < 3000; i++) sum += zeros[i]; say("zeros %u\n", sum);
	for (;; a += size) { kern_return_t r = vm_region(mach_task_self(), &a, &size, &p, &max, &inherit, &shared, &name, &offset); if (r) { say("end %x\n", r); break; } if (name) mach_port_deallocate(mach_task_self(), name); if (a < 0x9000000) { if (!n) say("first %x\n", a); say("%d protection %x max %x inherit %x shared %d\n", n, p, max, inherit, shared); n++; } }
	say("arguments %d\n", arg_count); for (i = 1; i < arg_count; i++) say("%s\n", arg_value[i]);
	return 0;
}
