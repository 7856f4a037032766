/* What modules ask of drives and the printer, and what they say of the answers. */

static int status[DEV_STATUS_MAX] __attribute__((unused));

static inline device_t open(const char *name, u32 mode)
{
	device_t device = MACH_PORT_NULL;
	kern_return_t result = device_open(device_master, mode, name, &device);

	say("open %s mode %u -> %x %n\n", name, mode, result, device);
	return device;
}

static inline u32 sum(const char *p, u32 size)
{
	u32 total = 0, i;

	for (i = 0; i < size; i++)
		total = total * 31 + (unsigned char) p[i];
	return total;
}

static inline void get(device_t device, u32 record, int count)
{
	char *data = 0;
	mach_msg_type_number_t size = 0;
	kern_return_t result = device_read(device, 0, record, count, &data, &size);

	say("  read %x count %d -> %x", record, count, result);
	if (!result)
		say(" got %u", size);
	if (!result && size)
		say(" sum %x", sum(data, size)), vm_deallocate(mach_task_self(), (vm_address_t) data, size);
	say("\n");
}

static inline void info(device_t device, u32 flavor, u32 room)
{
	mach_msg_type_number_t count = room;
	kern_return_t result = device_get_status(device, flavor, status, &count);

	say("  status %u room %u -> %x", flavor, room, result);
	if (!result)
		say(" count %u: %d %d", count, status[0], status[1]);
	say("\n");
}
