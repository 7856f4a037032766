/* The devices that every machine has: names, modes, what each can do, and what is refused. */
#include "guest.h"
#include "cpu.h"
#define TTY(n) (('t' << 16) + (n))
#define MAKE MACH_MSG_TYPE_MAKE_SEND
#define COPY MACH_MSG_TYPE_COPY_SEND
#define NET(n) (('n' << 16) + (n))
static const char *const names[] = { "console", "console0", "console5", "consoles", "cn", "cn0", "cn1", "com", "com0", "com0a", "com2", "com9", "time", "time0", "time7", "time0x", "times", "tim", "mem", "mem0", "mem1", "kmsg", "kmsg0", "kmsg1", "irq", "irq0", "irq3", "null", "lo", "lo0", "nonesuch", "", "0", "com00000000000000000000", "cn4294967296", "eth0", "eth1", "hd1", "hd1s1", "hd", "hd1s", "hd1sa", "wd0", "sd0", "cd0", "HD0", "/dev/hd0" };
static const char *const kinds[] = { "console", "cn", "time", "mem", "kmsg", "irq" };
int print_trap(const char *text);
TRAP(print_trap, 30)
typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;
static message_t m;
static int status[DEV_STATUS_MAX];
static mach_port_t self, reply;
static mach_port_t open(const char *name, u32 mode) { mach_port_t d = 0; kern_return_t r = device_open(device_master, mode, name, &d); say("open %s mode %u -> %x %n\n", name, mode, r, d); return d; }
static void get(const char *name, device_t d, u32 flavor, u32 count) { u32 n = count; kern_return_t r; status[0] = status[1] = 77; r = device_get_status(d, flavor, status, &n); say("  %s get_status %x room %u -> %x", name, flavor, count, r); if (!r) say(" count %u", n); say("\n"); }
static void set(const char *name, device_t d, u32 flavor, u32 count) { kern_return_t r; say("  %s set_status %x count %u", name, flavor, count); r = device_set_status(d, flavor, status, count); say(" -> %x\n", r); }
static void map(const char *name, device_t d, int prot, u32 offset, u32 size) { mach_port_t p = 0; kern_return_t r = device_map(d, prot, offset, size, &p, 0); say("  %s map prot %x offset %x size %x -> %x %n\n", name, prot, offset, size, r, p); }
static void poll(const char *what) { mach_msg_return_t r = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 200, reply, 100, 0); say("%s: receive -> %x", what, r); if (!r) say(" id %d size %u code %x", m.h.msgh_id, m.h.msgh_size, m.w[1]); say("\n"); }
static void ask_read(device_t d, u32 mode, int count)
{
    static const u32 item = MIG_SHORT(MACH_MSG_TYPE_INTEGER_32, 32, 1, 1, 0);
    m.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE); m.h.msgh_remote_port = d; m.h.msgh_local_port = reply; m.h.msgh_id = 2805;
    m.w[0] = item; m.w[1] = mode; m.w[2] = item; m.w[3] = 0; m.w[4] = item; m.w[5] = count;
    show("  send a read", mach_msg(&m.h, MACH_SEND_MSG, 48, 0, 0, 0, 0));
}
int guest_main(void)
{
    static char text[64]; static filter_t filter[] = { 1 }; char in[128]; char *out; u32 n; int i, j, written; mach_port_t d, dead, p; kern_return_t r;
    self = mach_task_self(); reply = mach_reply_port();
    say("-- names\n");
    for (i = 0; i < sizeof names / sizeof *names; i++) open(names[i], D_READ | D_WRITE);
    say("-- modes\n");
    for (i = 0; i < 16; i++) open("time", i);
    open("time", 0xffffffff); open("nonesuch", 0);
    say("-- the master port\n");
    d = 0; r = device_open(mach_host_self(), 3, "time", &d); say("host: %x\n", r);
    r = device_open(self, 3, "time", &d); say("task: %x\n", r);
    r = device_open(console, 3, "time", &d); say("console: %x\n", r);
    r = device_open(console, 3, "nonesuch", &d); say("console, no name: %x\n", r);
    mach_port_allocate(self, MACH_PORT_RIGHT_DEAD_NAME, &dead);
    r = device_open(dead, 3, "time", &d); say("dead: %x\n", r);
    say("-- what is no device\n");
    show("close master", device_close(device_master)); show("close task", device_close(self)); show("close host", device_close(mach_host_self()));
    n = 2; show("status master", device_get_status(device_master, 0, status, &n)); show("set master", device_set_status(device_master, 0, status, 1));
    show("write master", device_write_inband(device_master, 0, 0, "x", 1, &written)); n = 128; show("read master", device_read_inband(device_master, 0, 0, 1, in, &n));
    show("read task", device_read(self, 0, 0, 1, &out, &n)); show("write task", device_write(self, 0, 0, text, 1, &written)); show("map master", device_map(device_master, 1, 0, PAGE_SIZE, &p, 0));
    show("filter master", device_set_filter(device_master, reply, MAKE, 1, 0, 0)); show("intr master", device_intr_register(device_master, 1, 0, reply, MAKE)); show("ack master", device_intr_ack(device_master, reply, MAKE));
    say("-- status\n");
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        device_open(device_master, 3, kinds[i], &d);
        for (j = 0; j < 4; j++) { get(kinds[i], d, 0, j); get(kinds[i], d, 1, j); }
        get(kinds[i], d, 2, 8); get(kinds[i], d, TTY(1), 3); get(kinds[i], d, TTY(1), 4); get(kinds[i], d, TTY(1), 9); get(kinds[i], d, TTY(3), 9); get(kinds[i], d, NET(1), 7); get(kinds[i], d, NET(4), 1); get(kinds[i], d, 0xffffffff, 1024);
        set(kinds[i], d, 0, 0); set(kinds[i], d, 0, 2); set(kinds[i], d, NET(4), 1); set(kinds[i], d, 0xffffffff, 1024);
    }
    n = 4; device_get_status(console, TTY(1), status, &n); say("speeds %d %d breaks %d flags %x\n", status[0], status[1], status[2], status[3]);
    set("console", console, TTY(1), 3); set("console", console, TTY(1), 4); set("console", console, TTY(3), 0); status[0] = 0; set("console", console, TTY(3), 1); status[0] = 12; status[1] = 99; set("console", console, TTY(1), 4); status[1] = -1; set("console", console, TTY(1), 4);
    status[0] = 12; status[1] = 12; status[3] |= 0x1000; set("console", console, TTY(1), 4); n = 4; device_get_status(console, TTY(1), status, &n); say("speeds %d %d breaks %d flags %x\n", status[0], status[1], status[2], status[3]);
    status[3] &= ~0x1000; set("console", console, TTY(1), 4);
    device_open(device_master, 3, "kmsg", &d); n = 5; device_get_status(d, 0, status, &n); say("kmsg size %d record %d\n", status[0], status[1]);
    say("-- maps, filters, interrupts\n");
    for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        device_open(device_master, 3, kinds[i], &d);
        map(kinds[i], d, 1, 0, PAGE_SIZE); map(kinds[i], d, 3, 0, PAGE_SIZE); map(kinds[i], d, 0, 0, 0); map(kinds[i], d, 8, 0, PAGE_SIZE); map(kinds[i], d, 1, PAGE_SIZE, PAGE_SIZE); map(kinds[i], d, 1, 123, PAGE_SIZE);
        say("  %s filter", kinds[i]); show("", device_set_filter(d, reply, MAKE, 1, filter, 1)); say("  %s filter null", kinds[i]); show("", device_set_filter(d, 0, COPY, 1, filter, 1)); say("  %s filter dead", kinds[i]); show("", device_set_filter(d, dead, COPY, 1, filter, 1));
        say("  %s intr flags 1", kinds[i]); show("", device_intr_register(d, 5, 1, reply, MAKE));
        if (i < 5) { say("  %s intr", kinds[i]); show("", device_intr_register(d, 5, 0, reply, MAKE)); }
        say("  %s ack", kinds[i]); show("", device_intr_ack(d, reply, MAKE));
    }
    say("-- writes\n");
    for (i = 1; i < sizeof kinds / sizeof *kinds; i++) {
        device_open(device_master, 3, kinds[i], &d);
        written = 55; r = device_write_inband(d, 0, 0, text, 10, &written); say("  %s inband %x %d\n", kinds[i], r, written);
        written = 55; r = device_write_inband(d, 0, 7, text, 0, &written); say("  %s inband, none %x %d\n", kinds[i], r, written);
    }
    flush(); r = device_write_inband(console, 0, 99, "inband\n", 7, &written); say("  console inband %x %d\n", r, written);
    written = 55; r = device_write_inband(console, 0, 0, text, 0, &written); say("  console inband, none %x %d\n", r, written);
    flush(); r = device_write(console, 0, -1, "out of line\n", 12, &written); say("  console %x %d\n", r, written);
    written = 55; r = device_write(console, 0, 0, 0, 0, &written); say("  console, none %x %d\n", r, written);
    say("-- interrupts\n"); d = open("irq", 3);
    flush(); show("register 5", device_intr_register(d, 5, 0, reply, MAKE)); show("register 5 again", device_intr_register(d, 5, 0, reply, MAKE)); show("register 7 for the same port", device_intr_register(d, 7, 0, reply, MAKE));
    show("register 5 for another port", device_intr_register(d, 5, 0, mach_reply_port(), MAKE));
    show("ack", device_intr_ack(d, reply, MAKE));  show("ack another", device_intr_ack(d, mach_reply_port(), MAKE)); poll("interrupt");
    say("-- reads\n");
    device_open(device_master, 3, "kmsg", &d);
    do n = 128; while (!device_read_inband(d, 8, 0, 128, in, &n) && n);
    n = 128; show("kmsg, nothing there", device_read_inband(d, 8, 0, 128, in, &n)); show("kmsg, nothing there", device_read(d, 8, 0, 128, &out, &n));
    ask_read(d, 0, 10); ask_read(d, 0, 10); ask_read(d, 0, 300); poll("kmsg"); print_trap("0123456789abc\n"); poll("kmsg"); poll("kmsg"); poll("kmsg");
    n = 128; show("kmsg, nothing there", device_read_inband(d, 8, 0, 128, in, &n)); show("kmsg, no bytes", device_read_inband(d, 8, 0, 0, in, &n));
    print_trap("01\n"); for (i = 0; i < 20; i++) show("close kmsg", device_close(d)); poll("kmsg"); d = open("kmsg1", 3); open("kmsg", 3); n = 128; show("read kmsg1", device_read_inband(d, 8, 0, 128, in, &n)); say("  %u bytes\n", n);
    say("-- closing\n"); d = open("time7", 3); show("close", device_close(d)); show("close", device_close(d)); show("close", device_close(d)); open("time7", 3);
    say("-- a stopped line\n"); flush(); r = device_set_status(console, TTY(4), status, 0); written = 0; i = device_write_inband(console, 0, 0, "held back\n", 10, &written); j = device_set_status(console, TTY(5), status, 0); say("stop %x write %x %d start %x\n", r, i, written, j);
    ask_read(console, 0, 10); flush(); for (i = 0; !(r = device_close(console)); i++) ; device_open(device_master, 3, "console", &console); say("console %d %x\n", i, r); poll("console read"); ask_read(console, 0, 0); poll("console read, no bytes");
    return 0;
}
