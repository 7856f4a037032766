/* Two threads and their messages: who runs when, who is woken, and with what. */
#include "guest.h"
static mach_port_t self, a, b, quiet, set;
typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;
static message_t m, t;
static char stack[16][4096]; static int stacks; static thread_t worker;
static mach_port_t port(void) { mach_port_t p = 0; mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &p); return p; }
static mach_port_t send_port(void) { mach_port_t p = port(); mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND); return p; }
static void fill(message_t *x, u32 bits, mach_port_t remote, mach_port_t local, u32 id) { x->h.msgh_bits = bits; x->h.msgh_remote_port = remote; x->h.msgh_local_port = local; x->h.msgh_id = id; x->h.msgh_seqno = 0; }
static void rest(void) { message_t x; mach_msg(&x.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 64, quiet, 60, 0); }
static void finish(const char *what, mach_msg_return_t r) { say("worker: %s -> %x bits %x size %u seqno %u id %d\n", what, r, t.h.msgh_bits, t.h.msgh_size, t.h.msgh_seqno, t.h.msgh_id); for (;;) thread_suspend(mach_thread_self()); }
static void go(void (*f)(void)) { worker = start_thread(f, stack[stacks++], 4096); rest(); }
#define CS MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0)
#define RPC MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE)
static mach_msg_return_t send(u32 size, u32 id) { fill(&m, CS, a, 0, id); return show("main: send", mach_msg(&m.h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, 0, 0, 0)); }
static void receives(void) { fill(&t, 7, 7, 7, 7); finish("receive", mach_msg(&t.h, MACH_RCV_MSG, 0, 200, a, 0, 0)); }
static void receives_small(void) { fill(&t, 7, 7, 7, 7); t.h.msgh_size = 7; finish("receive", mach_msg(&t.h, MACH_RCV_MSG | MACH_RCV_LARGE, 0, 32, a, 0, 0)); }
static void receives_late(void) { fill(&t, 7, 7, 7, 7); finish("receive", mach_msg(&t.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 200, a, 20, 0)); }
static void receives_set(void) { fill(&t, 7, 7, 7, 7); finish("receive", mach_msg(&t.h, MACH_RCV_MSG, 0, 200, set, 0, 0)); }
static void sends(void) { fill(&t, CS, a, 0, 900); finish("send", mach_msg(&t.h, MACH_SEND_MSG, 24, 0, 0, 0, 0)); }
static void sends_late(void) { fill(&t, RPC, a, b, 901); finish("send", mach_msg(&t.h, MACH_SEND_MSG | MACH_SEND_TIMEOUT, 24, 0, 0, 20, 0)); }
static void sends_and_receives(void) { fill(&t, RPC, a, b, 902); finish("send and receive", mach_msg(&t.h, MACH_SEND_MSG | MACH_RCV_MSG, 24, 200, b, 0, 0)); }
static void serves(void)
{
    mach_msg_return_t r = mach_msg(&t.h, MACH_RCV_MSG, 0, 200, a, 0, 0);
    while (!r && t.h.msgh_id < 4) { say("server: %d\n", t.h.msgh_id); t.h.msgh_local_port = 0; t.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0); t.h.msgh_id += 100; r = mach_msg(&t.h, MACH_SEND_MSG | MACH_RCV_MSG, 24, 200, a, 0, 0); }
    finish("serve", r);
}
static void serves_slowly(void)
{
    mach_msg_return_t r = mach_msg(&t.h, MACH_RCV_MSG, 0, 200, a, 0, 0);
    while (!r && t.h.msgh_id < 4) { say("server: %d\n", t.h.msgh_id); t.h.msgh_local_port = 0; t.h.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0); t.h.msgh_id += 100; r = mach_msg(&t.h, MACH_SEND_MSG, 24, 0, 0, 0, 0); say("server: sent %x\n", r); r = mach_msg(&t.h, MACH_RCV_MSG, 0, 200, a, 0, 0); }
    finish("serve", r);
}
static void drain(int n) { while (n--) { mach_msg_return_t r = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 200, a, 0, 0); say("main: receive -> %x size %u seqno %u id %d\n", r, m.h.msgh_size, m.h.msgh_seqno, m.h.msgh_id); rest(); } }
static void calls(u32 option) { int i; for (i = 1; i < 5; i++) { mach_msg_return_t r; fill(&m, RPC, a, b, i); r = i < 4 ? mach_msg(&m.h, MACH_SEND_MSG | MACH_RCV_MSG | option, 24, 200, b, 50, 0) : mach_msg(&m.h, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24, 200, b, 1, 0); say("client: %x id %d seqno %u\n", r, m.h.msgh_id, m.h.msgh_seqno); } rest(); }
int guest_main(void)
{
    int i;
    self = mach_task_self(); quiet = port(); a = send_port(); b = send_port();
    say("-- a receiver waits\n"); go(receives); send(24, 1); say("main: goes on\n"); rest();
    go(receives); show("main: move into a set", (mach_port_allocate(self, MACH_PORT_RIGHT_PORT_SET, &set), mach_port_move_member(self, a, set))); rest();
    go(receives_set); send(24, 2); rest(); go(receives_set); show("main: take out", mach_port_move_member(self, a, 0)); send(24, 3); rest(); show("main: put back", mach_port_move_member(self, a, set)); rest();
    go(receives_set); show("main: destroy the set", mach_port_destroy(self, set)); rest();
    go(receives_small); send(64, 4); rest(); drain(1); go(receives_small); go(receives); send(64, 5); rest();
    go(receives_late); rest(); go(receives); show("main: abort", thread_abort(worker)); rest();
    for (i = 0; i < 1; i++) { }
    a = send_port(); go(receives); show("main: destroy", mach_port_mod_refs(self, a, 1, -1)); rest();
    a = send_port(); stacks = 0;
    say("-- a sender waits\n"); for (i = 0; i < 5; i++) send(24, 10 + i);
    go(sends); say("main: waits\n"); drain(1); go(sends_late); rest(); rest(); say("  remote %d local %d\n", t.h.msgh_remote_port == a, t.h.msgh_local_port == b);
    go(sends); show("main: abort", thread_abort(worker)); rest(); say("  remote %d\n", t.h.msgh_remote_port == a);
    go(sends_and_receives); show("main: abort", thread_abort(worker)); rest(); say("  remote %d local %d\n", t.h.msgh_remote_port == a, t.h.msgh_local_port == b);
    go(sends); show("main: qlimit 7", mach_port_set_qlimit(self, a, 7)); rest(); drain(7);
    for (i = 0; i < 7; i++) send(24, 20 + i); go(sends); show("main: destroy", mach_port_mod_refs(self, a, 1, -1)); rest();
    a = send_port(); say("-- calls\n"); go(serves); calls(0);
    a = send_port(); say("-- calls with a time-out\n"); go(serves); calls(MACH_RCV_TIMEOUT);
    a = send_port(); say("-- a server that sends first\n"); go(serves_slowly); calls(0);
    return 0;
}
