/*
 * The run time of a guest program. Its arguments are the names of the host's and the device master's port, as boot scripts
 * give them; before them stand flags where the kernel starts its only module without a script.
 */
#include <stdarg.h>
#include "guest.h"

mach_port_t host_priv, device_master, console;
int arg_count;
char **arg_value;

struct line {
	char text[128];
	int used;
};

/* What say left unfinished. It is taken out to be gone on with: other threads may print while one waits for the console. */
static struct line unfinished;

static void move_line(struct line *to, struct line *from)
{
	memcpy(to->text, from->text, from->used);
	to->used = from->used;
	from->used = 0;
}

static void write_line(struct line *line)
{
	int written;

	if (line->used)
		device_write_inband(console, 0, 0, line->text, line->used, &written);
	line->used = 0;
}

void flush(void)
{
	struct line line;

	move_line(&line, &unfinished);
	write_line(&line);
}

static void put(struct line *line, char c)
{
	line->text[line->used++] = c;
	if (c == '\n' || line->used == sizeof line->text)
		write_line(line);
}

static void put_string(struct line *line, const char *s)
{
	while (*s)
		put(line, *s++);
}

static void put_unsigned(struct line *line, u32 value)
{
	char digits[12];
	int i = sizeof digits;

	digits[--i] = 0;
	do
		digits[--i] = '0' + value % 10;
	while (value /= 10);
	put_string(line, digits + i);
}

static void put_signed(struct line *line, int value)
{
	if (value < 0)
		put(line, '-');
	put_unsigned(line, value < 0 ? -(u32) value : (u32) value);
}

static void put_hexadecimal(struct line *line, u32 value)
{
	int shift;

	for (shift = 28; shift >= 0; shift -= 4)
		put(line, "0123456789abcdef"[value >> shift & 15]);
}

#define NAMES 512
static mach_port_t seen[NAMES];
static int seen_count;

void forget_names(void)
{
	seen_count = 0;
}

static void put_name(struct line *line, mach_port_t name)
{
	int i;

	if (name == MACH_PORT_NULL) {
		put_string(line, "null");
		return;
	}
	if (name == MACH_PORT_DEAD) {
		put_string(line, "dead");
		return;
	}
	for (i = 0; i < seen_count && seen[i] != name; i++)
		;
	if (i == seen_count && seen_count < NAMES)
		seen[seen_count++] = name;
	put(line, '#');
	put_unsigned(line, i);
}

void say(const char *format, ...)
{
	struct line line;
	va_list arguments;

	move_line(&line, &unfinished);
	va_start(arguments, format);
	for (; *format; format++) {
		if (*format != '%') {
			put(&line, *format);
			continue;
		}
		switch (*++format) {
		case 's':
			put_string(&line, va_arg(arguments, char *));
			break;
		case 'd':
			put_signed(&line, va_arg(arguments, int));
			break;
		case 'u':
			put_unsigned(&line, va_arg(arguments, u32));
			break;
		case 'x':
			put_hexadecimal(&line, va_arg(arguments, u32));
			break;
		case 'c':
			put(&line, va_arg(arguments, int));
			break;
		case 'n':
			put_name(&line, va_arg(arguments, mach_port_t));
			break;
		default:
			put(&line, *format);
		}
	}
	va_end(arguments);
	if (unfinished.used)
		write_line(&line);
	else
		move_line(&unfinished, &line);
}

kern_return_t show(const char *what, kern_return_t result)
{
	say("%s -> %x\n", what, result);
	return result;
}

void idle(void)
{
	mach_msg_header_t message;
	mach_port_t nobody = mach_reply_port();

	for (;;)
		mach_msg(&message, MACH_RCV_MSG, 0, sizeof message, nobody, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
}

thread_t start_thread(void (*entry)(void), void *stack, u32 size)
{
	thread_t thread;

	if (thread_create(mach_task_self(), &thread))
		return MACH_PORT_NULL;
	if (set_entry(thread, entry, (vm_address_t) stack + size) || thread_resume(thread))
		return MACH_PORT_NULL;
	return thread;
}

static mach_port_t number(const char *digits)
{
	mach_port_t value = 0;

	while (*digits >= '0' && *digits <= '9')
		value = value * 10 + *digits++ - '0';
	return value;
}

/* The first code in C: STACK holds argc, argv..., 0, envp..., 0. */
void guest_start(u32 *stack)
{
	int first = 1;

	arg_count = stack[0];
	arg_value = (char **) (stack + 1);
	if (arg_count > 1 && arg_value[1][0] == '-')
		first = 2;
	if (arg_count > first + 1) {
		host_priv = number(arg_value[first]);
		device_master = number(arg_value[first + 1]);
		device_open(device_master, D_READ | D_WRITE, "console", &console);
	}
	guest_main();
	flush();
	idle();
}
