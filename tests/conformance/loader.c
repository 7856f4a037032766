/* An interpreter as the module, itself placed by the kernel: it loads a program that has its place from the disk in memory rd0 into its own task, and goes on in it with its own arguments. */
#include "guest.h"
#include "cpu.h"
typedef struct { unsigned char ident[16]; unsigned short type, machine; u32 version, entry, phoff, shoff, flags; unsigned short ehsize, phentsize, phnum, shentsize, shnum, shstrndx; } elf_t;
typedef struct { u32 type, offset, vaddr, paddr, filesz, memsz, flags, align; } segment_t;
int guest_main(void)
{
	device_t disk = 0; int status[2], i; u32 n = 2; char *file = 0; mach_port_t self = mach_task_self(); elf_t *elf; segment_t *s; kern_return_t r = 0;
	show("open", device_open(device_master, D_READ, "rd0", &disk)); show("size", device_get_status(disk, 0, status, &n)); show("read", device_read(disk, 0, 0, status[0], &file, &n));
	elf = (elf_t *) file; s = (segment_t *) (file + elf->phoff);
	for (i = 0; i < elf->phnum; i++, s++) {
		vm_address_t start = s->vaddr & -PAGE_SIZE, a = start; vm_size_t size = (s->vaddr + s->memsz + PAGE_SIZE - 1 & -PAGE_SIZE) - start;
		if (s->type != 1) continue;
		r |= vm_allocate(self, &a, size, 0); memcpy((void *) s->vaddr, file + s->offset, s->filesz); r |= vm_protect(self, start, size, 0, (s->flags & 4 ? 1 : 0) | (s->flags & 2) | (s->flags & 1 ? 4 : 0));
	}
	show("segments", r); ENTER(arg_value - 1, elf->entry);
	return 0;
}
