/*
 * A default memory manager: it keeps what the kernel pages out on a disk. Its argument after the two ports is the disk's name.
 * All that it needs is its own from the start, and wired: it must never wait for a page.
 */
#include "guest.h"

#define PAGE PAGE_SIZE
#define RECORDS (PAGE / 512)
#define BLOCKS 16384
#define OBJECTS 1024
#define NO_BLOCK 0xffffffffu
#define DEV_GET_SIZE 0

typedef struct {
	mach_msg_header_t header;
	u32 body[32];
} message_t;

/* An object of anonymous memory: its receive right's name, the kernel's port for answers, and the blocks that hold its pages. */
static struct {
	mach_port_t port, control;
	u32 first;
} objects[OBJECTS];

/* A block of the disk: which object's page it holds, the next block of the same object or of the free ones, and of its bucket. */
static struct {
	int object;
	u32 page, next, chained;
} blocks[BLOCKS];

static u32 buckets[BLOCKS];
static u32 free_block = NO_BLOCK;
static u32 disk_blocks;
static mach_port_t self, manager, set;
static device_t disk;

static int object_of(mach_port_t port)
{
	int i;

	for (i = 0; i < OBJECTS; i++)
		if (objects[i].port == port)
			return i;
	return -1;
}

static u32 *bucket_of(int object, u32 page)
{
	return &buckets[(page + (u32) object * 2654435761u) % BLOCKS];
}

static u32 block_of(int object, u32 page)
{
	u32 block = *bucket_of(object, page);

	while (block != NO_BLOCK && (blocks[block].object != object || blocks[block].page != page))
		block = blocks[block].chained;
	return block;
}

static void forget(u32 block)
{
	u32 *link = bucket_of(blocks[block].object, blocks[block].page);

	while (*link != block)
		link = &blocks[*link].chained;
	*link = blocks[block].chained;
	blocks[block].next = free_block;
	free_block = block;
}

static void create(const message_t *m)
{
	int i = object_of(0);

	if (i < 0) {
		say("default pager: too many objects\n");
		return;
	}
	objects[i].port = m->body[1];
	objects[i].control = m->body[5];
	objects[i].first = NO_BLOCK;
	mach_port_move_member(self, objects[i].port, set);
}

static void keep(int object, u32 page, char *data)
{
	u32 block = block_of(object, page);
	int written = 0;

	if (block == NO_BLOCK) {
		block = free_block;
		if (block == NO_BLOCK) {
			say("default pager: the disk is full\n");
			return;
		}
		free_block = blocks[block].next;
		blocks[block].object = object;
		blocks[block].page = page;
		blocks[block].chained = *bucket_of(object, page);
		*bucket_of(object, page) = block;
		blocks[block].next = objects[object].first;
		objects[object].first = block;
	}
	if (device_write(disk, 0, block * RECORDS, data, PAGE, &written) || written != PAGE)
		say("default pager: cannot write block %u\n", block);
}

static void give(int object, u32 offset)
{
	u32 block = block_of(object, offset / PAGE);
	mach_port_t control = objects[object].control;
	mach_msg_type_number_t count = 0;
	io_buf_ptr_t data = 0;

	if (block == NO_BLOCK)
		memory_object_data_unavailable(control, offset, PAGE);
	else if (device_read(disk, 0, block * RECORDS, PAGE, &data, &count) || count != PAGE) {
		say("default pager: cannot read block %u\n", block);
		memory_object_data_error(control, offset, PAGE, KERN_FAILURE);
	} else
		memory_object_data_supply(control, offset, (vm_address_t) data, PAGE, TRUE, 0, FALSE, 0);
}

static void end(int object, mach_port_t control, mach_port_t name)
{
	u32 block = objects[object].first, next;

	for (; block != NO_BLOCK; block = next) {
		next = blocks[block].next;
		forget(block);
	}
	mach_port_destroy(self, objects[object].port);
	mach_port_destroy(self, control);
	mach_port_destroy(self, name);
	objects[object].port = 0;
}

static void handle(const message_t *m)
{
	int object = object_of(m->header.msgh_local_port);
	u32 at, size;

	if (m->header.msgh_local_port == manager && m->header.msgh_id == 2250) {
		create(m);
		return;
	}
	if (object < 0)
		return;
	switch (m->header.msgh_id) {
	case 2203:
		give(object, m->body[3]);
		break;
	case 2208:
	case 2251:
		size = m->body[6];
		for (at = 0; at < size; at += PAGE)
			keep(object, (m->body[3] + at) / PAGE, (char *) m->body[7] + at);
		vm_deallocate(self, m->body[7], size);
		break;
	case 2201:
		end(object, m->body[1], m->body[3]);
	}
}

static void wire_all(void)
{
	vm_address_t at = 0;
	vm_size_t size;
	vm_prot_t protection, max_protection;
	vm_inherit_t inheritance;
	boolean_t shared;
	mach_port_t name;
	vm_offset_t offset;

	for (; !vm_region(self, &at, &size, &protection, &max_protection, &inheritance, &shared, &name, &offset); at += size) {
		if (name)
			mach_port_deallocate(self, name);
		vm_wire(host_priv, self, at, size, protection);
	}
	thread_wire(host_priv, mach_thread_self(), TRUE);
}

int guest_main(void)
{
	const char *name = arg_count > 3 ? arg_value[3] : "hd0";
	int status[2] = { 0, 0 };
	mach_msg_type_number_t count = 2;
	message_t message;
	mach_port_t port;
	u32 i;

	self = mach_task_self();
	if (device_open(device_master, D_READ | D_WRITE, (char *) name, &disk) || device_get_status(disk, DEV_GET_SIZE, status, &count)) {
		say("default pager: there is no disk %s\n", name);
		return 1;
	}
	disk_blocks = (u32) status[0] / PAGE;
	if (disk_blocks > BLOCKS)
		disk_blocks = BLOCKS;
	for (i = disk_blocks; i-- > 0; free_block = i)
		blocks[i].next = free_block;
	for (i = 0; i < BLOCKS; i++)
		buckets[i] = NO_BLOCK;
	mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &set);
	mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &manager);
	mach_port_insert_right(self, manager, manager, MACH_MSG_TYPE_MAKE_SEND);
	mach_port_move_member(self, manager, set);
	wire_all();
	port = manager;
	if (vm_set_default_memory_manager(host_priv, &port)) {
		say("default pager: not by this host port\n");
		return 1;
	}
	say("default pager: %u pages on %s\n", disk_blocks, name);
	for (;;)
		if (!mach_msg(&message.header, MACH_RCV_MSG, 0, sizeof message, set, 0, MACH_PORT_NULL))
			handle(&message);
}
