/*
 * Reads the console and says back each line, in capitals, until that line is "quit". Input comes in pieces of any size: over a serial
 * line one character at a time. Carriage returns end lines too.
 */
#include "guest.h"

static char line[128];

static int take(int c)
{
	static unsigned used;

	if (c != '\n' && c != '\r') {
		if (used < sizeof line - 1)
			line[used++] = c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
		return 1;
	}
	line[used] = 0;
	used = 0;
	say("you said %s\n", line);
	return !(line[0] == 'Q' && line[1] == 'U' && line[2] == 'I' && line[3] == 'T' && line[4] == 0);
}

int guest_main(void)
{
	char data[128];
	mach_msg_type_number_t count, i;
	int more = 1;
	kern_return_t result;

	while (more) {
		count = sizeof data;
		result = device_read_inband(console, 0, 0, sizeof data, data, &count);
		if (result) {
			show("device_read_inband", result);
			break;
		}
		for (i = 0; i < count; i++)
			more = more && take(data[i]);
	}
	say("END\n");
	return 0;
}
