/*
 * What a PC has besides its console: writes on the text screen, reads a line of keys and the mouse up to a click, and formats the
 * floppy in fd0 as MS-DOS does. On another machine it says so.
 */
#include "guest.h"

#define SCREEN 0xb8000
#define SCREEN_SIZE 0x8000
#define COLUMNS 80
#define WHITE_ON_BLUE 0x1f00
#define KDSKBDMODE 0x80044b01
#define KB_EVENT 1
#define MOUSE_LEFT 1
#define MOUSE_MOTION 4
#define KEYBD_EVENT 5
#define SHIFT 0x2a
#define ENTER 0x1c
#define RECORD 512
#define FAT_RECORDS 9
#define ROOT_RECORDS 14

typedef struct { unsigned short type, pad; int seconds, microseconds; union { u32 up; unsigned char key; short moved[2]; } value; } event_t;

static volatile unsigned short *screen;
static unsigned char boot[RECORD], fat[FAT_RECORDS * RECORD], root[ROOT_RECORDS * RECORD];

static device_t open(const char *name)
{
	device_t device = MACH_PORT_NULL;

	device_open(device_master, D_READ | D_WRITE, name, &device);
	return device;
}

static void write_at(int row, int column, const char *text)
{
	for (; *text; text++, column++)
		screen[row * COLUMNS + column] = WHITE_ON_BLUE | *text;
}

static int show_screen(void)
{
	device_t mem = open("mem");
	mach_port_t pager;
	vm_address_t address = 0;

	if (device_map(mem, VM_PROT_READ | VM_PROT_WRITE, SCREEN, SCREEN_SIZE, &pager, 0)
	    || vm_map(mach_task_self(), &address, SCREEN_SIZE, 0, 1, pager, 0, 0, VM_PROT_READ | VM_PROT_WRITE, VM_PROT_READ | VM_PROT_WRITE, VM_INHERIT_SHARE))
		return 0;
	screen = (volatile unsigned short *) address;
	write_at(0, 2, "A PC's text screen");
	return 1;
}

static event_t next(device_t device)
{
	event_t event;
	char *data;
	mach_msg_type_number_t size;

	memset(&event, 0, sizeof event);
	if (device_read(device, 0, 0, sizeof event, &data, &size) == KERN_SUCCESS && size == sizeof event) {
		memcpy(&event, data, size);
		vm_deallocate(mach_task_self(), (vm_address_t) data, size);
	}
	return event;
}

static void read_keys(void)
{
	static const char plain[] = "??1234567890-=??qwertyuiop[]??asdfghjkl;'`?\\zxcvbnm,./??? ";
	static const char upper[] = "??!@#$%^&*()_+??QWERTYUIOP{}??ASDFGHJKL:\"~?|ZXCVBNM<>???? ";
	device_t keyboard = open("kbd");
	int mode = KB_EVENT, shifted = 0, used = 0;
	char line[64];

	show("keyboard", device_set_status(keyboard, KDSKBDMODE, &mode, 1));
	for (;;) {
		event_t event = next(keyboard);
		unsigned char key = event.value.key;

		if (event.type != KEYBD_EVENT || key == ENTER)
			break;
		if ((key & 0x7f) == SHIFT)
			shifted = key == SHIFT;
		else if (key < sizeof plain - 1 && used < sizeof line - 1)
			line[used++] = (shifted ? upper : plain)[key];
	}
	line[used] = 0;
	write_at(2, 2, line);
	say("typed: %s\n", line);
}

static void read_mouse(void)
{
	device_t mouse = open("mouse");
	int x = 0, y = 0;
	event_t event;

	do {
		event = next(mouse);
		if (event.type == MOUSE_MOTION)
			x += event.value.moved[0], y += event.value.moved[1];
	} while (event.type && !(event.type == MOUSE_LEFT && !event.value.up));
	write_at(10 + y, 40 + x, "X");
	say("clicked at %d %d\n", x, y);
}

static void put(device_t disk, u32 record, void *data, u32 size)
{
	int written = 0;
	kern_return_t result = device_write(disk, 0, record, data, size, &written);

	if (result || written != size)
		say("record %u: %x %d\n", record, result, written);
}

static void format(void)
{
	static const unsigned char head[] = {
		0xeb, 0x3c, 0x90, 'M', 'A', 'C', 'H', ' ', ' ', ' ', ' ', 0, 2, 1, 1, 0, 2, 224, 0, 0x40, 0x0b, 0xf0, FAT_RECORDS, 0, 18, 0, 2, 0,
	};
	device_t disk = open("fd0");

	if (disk == MACH_PORT_NULL) {
		say("no floppy\n");
		return;
	}
	memcpy(boot, head, sizeof head);
	boot[510] = 0x55;
	boot[511] = 0xaa;
	fat[0] = 0xf0;
	fat[1] = fat[2] = 0xff;
	put(disk, 0, boot, sizeof boot);
	put(disk, 1, fat, sizeof fat);
	put(disk, 1 + FAT_RECORDS, fat, sizeof fat);
	put(disk, 1 + 2 * FAT_RECORDS, root, sizeof root);
	write_at(24, 2, "The floppy is formatted.");
	say("formatted\n");
}

int guest_main(void)
{
	if (open("kbd") == MACH_PORT_NULL || !show_screen()) {
		say("this machine is no PC\n");
		return 0;
	}
	read_keys();
	read_mouse();
	format();
	say("END\n");
	return 0;
}
