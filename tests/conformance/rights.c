/* Rights and messages in the corners: requests, accepted messages, sets, moved receive rights, arrays of rights, one name twice. */
#include "guest.h"
static mach_port_t self;
typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;
static message_t m;
static mach_port_t port(void) { mach_port_t p = 0; mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &p); return p; }
static void send_right(mach_port_t p) { mach_port_insert_right(self, p, p, MACH_MSG_TYPE_MAKE_SEND); }
static u32 item(u32 name, u32 size, u32 number, u32 inline_, u32 dealloc) { return MIG_SHORT(name, size, number, inline_, dealloc); }
static void header(u32 bits, mach_port_t remote, mach_port_t local, u32 id) { m.h.msgh_bits = bits; m.h.msgh_size = 24; m.h.msgh_remote_port = remote; m.h.msgh_local_port = local; m.h.msgh_seqno = 0; m.h.msgh_id = id; }
static mach_msg_return_t take(const char *what, mach_port_t p, u32 option, u32 size, mach_port_t notify)
{
    mach_msg_return_t r;
    m.h.msgh_bits = 0x77777777; m.h.msgh_size = 0x66; m.h.msgh_id = 0x55; m.w[0] = m.w[1] = 0;
    r = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT | option, 0, size, p, 0, notify);
    say("%s -> %x", what, r);
    if (r != MACH_RCV_TIMED_OUT) say(" bits %x size %u remote %n local %n seqno %u id %d w %x %n", m.h.msgh_bits, m.h.msgh_size, m.h.msgh_remote_port, m.h.msgh_local_port, m.h.msgh_seqno, m.h.msgh_id, m.w[0], m.w[1]);
    say("\n");
    return r;
}
static mach_msg_return_t give(const char *what, u32 option, u32 size, mach_port_t notify) { return show(what, mach_msg(&m.h, MACH_SEND_MSG | MACH_SEND_TIMEOUT | option, size, 0, 0, 0, notify)); }
static void type(mach_port_t p) { mach_port_type_t t = 0; kern_return_t kr = mach_port_type(self, p, &t); say("  type %n kr %x is %x\n", p, kr, t); }
static void refs(mach_port_t p, int right) { mach_port_urefs_t n = 77; kern_return_t kr = mach_port_get_refs(self, p, right, &n); say("  refs %n right %d kr %x is %u\n", p, right, kr, n); }
static void status(mach_port_t name) {
    mach_port_status_t s; kern_return_t kr = mach_port_get_receive_status(self, name, &s);
    say("  status %n kr %x", name, kr);
    if (!kr) say(" pset %n seqno %u mscount %u qlimit %u msgs %u so %u send %d pd %d ns %d", s.mps_pset, s.mps_seqno, s.mps_mscount, s.mps_qlimit, s.mps_msgcount, s.mps_sorights, s.mps_srights, s.mps_pdrequest, s.mps_nsrequest);
    say("\n");
}
#define CS MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0)
int guest_main(void)
{
    mach_port_t a, b, c, d, n, s, once[8], old; int i; vm_address_t page = 0; u32 *p;
    self = mach_task_self(); vm_allocate(self, &page, 2 * PAGE_SIZE, 1); p = (u32 *) page;
    say("-- message accepted\n");
    a = port(); send_right(a); n = port();
    for (i = 0; i < 5; i++) { header(CS, a, 0, i); give("fill", 0, 24, 0); }
    header(CS, a, 0, 5); give("notify, no port", MACH_SEND_NOTIFY, 24, 0); header(CS, a, 0, 5); give("notify, no such port", MACH_SEND_NOTIFY, 24, 9999);
    header(CS, a, 0, 5); give("notify", MACH_SEND_NOTIFY, 24, n); type(a); header(CS, a, 0, 6); give("notify again", MACH_SEND_NOTIFY, 24, n); say("  given back %x %n\n", m.h.msgh_bits, m.h.msgh_remote_port);
    status(a); status(n);
    for (i = 0; i < 6; i++) take("drain", a, 0, 256, 0);
    take("accepted", n, 0, 256, 0); type(a);
    say("-- dead-name requests\n");
    b = port();
    for (i = 0; i < 7; i++) { once[i] = 300 + i; mach_port_insert_right(self, once[i], b, MACH_MSG_TYPE_MAKE_SEND_ONCE); mach_port_request_notification(self, once[i], MACH_NOTIFY_DEAD_NAME, 0, n, MACH_MSG_TYPE_MAKE_SEND_ONCE, &old); }
    type(once[0]);
    mach_port_set_qlimit(self, n, 16);
    show("ask again", mach_port_request_notification(self, once[3], MACH_NOTIFY_DEAD_NAME, 0, n, MACH_MSG_TYPE_MAKE_SEND_ONCE, &old)); say("  previous %n\n", old); type(old); mach_port_deallocate(self, old); take("spent", n, 0, 256, 0);
    show("give one up", mach_port_mod_refs(self, once[5], MACH_PORT_RIGHT_SEND_ONCE, -1)); take("port deleted", n, 0, 256, 0);
    show("take one back", mach_port_request_notification(self, once[0], MACH_NOTIFY_DEAD_NAME, 0, 0, MACH_MSG_TYPE_MOVE_SEND_ONCE, &old)); type(once[0]); mach_port_deallocate(self, old); take("spent", n, 0, 256, 0);
    show("rename", mach_port_rename(self, once[1], 400)); type(400);
    show("destroy", mach_port_mod_refs(self, b, MACH_PORT_RIGHT_RECEIVE, -1));
    for (i = 0; i < 6; i++) { take("dead", n, 0, 256, 0); }
    for (i = 0; i < 7; i++) { type(once[i]); refs(once[i], MACH_PORT_RIGHT_DEAD_NAME); }
    b = port(); send_right(b); show("request on both rights", mach_port_request_notification(self, b, MACH_NOTIFY_DEAD_NAME, 0, n, MACH_MSG_TYPE_MAKE_SEND_ONCE, &old)); type(b);
    show("drop send", mach_port_mod_refs(self, b, MACH_PORT_RIGHT_SEND, -1)); type(b);
    header(MACH_MSGH_BITS_COMPLEX | CS, a, 0, 50); m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0); m.w[1] = b; give("move it away", 0, 32, 0); take("port deleted", n, 0, 256, 0); take("back", a, 0, 256, 0); type(m.w[1]); b = m.w[1];
    say("-- cancel and receive-notify\n");
    c = port(); mach_port_insert_right(self, 500, c, MACH_MSG_TYPE_MAKE_SEND_ONCE); mach_port_request_notification(self, 500, MACH_NOTIFY_DEAD_NAME, 0, n, MACH_MSG_TYPE_MAKE_SEND_ONCE, &old);
    header(MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, 0), 500, 0, 51); give("cancel, no port", MACH_SEND_CANCEL, 24, 0); type(500); give("cancel", MACH_SEND_CANCEL, 24, n); take("nothing", n, 0, 256, 0); take("receive", c, 0, 256, 0);
    header(MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE), a, c, 52); give("send", 0, 24, 0); take("receive with notify", a, MACH_RCV_NOTIFY, 256, n); d = m.h.msgh_remote_port; type(d); show("drop", mach_port_deallocate(self, d)); take("port deleted", n, 0, 256, 0); take("spent", c, 0, 256, 0);
    header(MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND), a, c, 53); give("send", 0, 24, 0); take("receive with notify", a, MACH_RCV_NOTIFY, 256, n); type(c); refs(c, 0); status(n);
    header(MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE), a, c, 54); give("send", 0, 24, 0); take("receive with no notify", a, MACH_RCV_NOTIFY, 256, 0); take("spent", c, 0, 256, 0);
    header(MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE), a, c, 55); give("send", 0, 24, 0); take("receive with bad notify", a, MACH_RCV_NOTIFY, 256, 9999); take("spent", c, 0, 256, 0);
    say("-- one name twice\n");
    mach_port_deallocate(self, c); b = port(); send_right(b); mach_port_mod_refs(self, b, 0, 2); refs(b, 0);
    header(MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND), b, b, 60); give("move move", 0, 24, 0); refs(b, 0); take("receive", b, 0, 256, 0); refs(b, 0); status(b);
    header(MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MOVE_SEND), b, b, 61); give("copy move", 0, 24, 0); refs(b, 0); take("receive", b, 0, 256, 0);
    header(MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE), b, b, 62); give("make make", 0, 24, 0); take("receive", b, 0, 256, 0); mach_port_deallocate(self, m.h.msgh_remote_port); take("spent", b, 0, 256, 0);
    mach_port_insert_right(self, 600, b, MACH_MSG_TYPE_MAKE_SEND_ONCE); header(MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND_ONCE, MACH_MSG_TYPE_MOVE_SEND_ONCE), 600, 600, 63); give("once once", 0, 24, 0); type(600); mach_port_deallocate(self, 600); take("spent", b, 0, 256, 0);
    say("-- moved receive rights\n");
    c = port(); send_right(c); for (i = 0; i < 3; i++) { header(CS, c, 0, 70 + i); give("send", 0, 24, 0); } take("receive", c, 0, 256, 0); status(c);
    header(MACH_MSGH_BITS_COMPLEX | CS, a, 0, 73); m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0); m.w[1] = c; give("move", 0, 32, 0); header(CS, c, 0, 74); give("send while away", 0, 24, 0); take("back", a, 0, 256, 0); status(c);
    for (i = 0; i < 4; i++) take("receive", c, 0, 256, 0);
    header(MACH_MSGH_BITS_COMPLEX | CS, c, 0, 75); m.w[0] = item(MACH_MSG_TYPE_MOVE_RECEIVE, 32, 1, 1, 0); m.w[1] = c; give("into itself", 0, 32, 0); type(c); refs(c, MACH_PORT_RIGHT_DEAD_NAME);
    c = port(); send_right(c); mach_port_request_notification(self, c, MACH_NOTIFY_PORT_DESTROYED, 0, n, MACH_MSG_TYPE_MAKE_SEND_ONCE, &old); status(c); header(CS, c, 0, 76); give("send", 0, 24, 0);
    show("drop receive", mach_port_mod_refs(self, c, MACH_PORT_RIGHT_RECEIVE, -1)); type(c); take("port destroyed", n, 0, 256, 0); d = m.w[1]; status(d); take("receive", d, 0, 256, 0); show("no senders?", mach_port_request_notification(self, d, MACH_NOTIFY_NO_SENDERS, 0, n, MACH_MSG_TYPE_MAKE_SEND_ONCE, &old)); take("at once?", n, 0, 256, 0);
    c = port(); send_right(c); mach_port_request_notification(self, c, MACH_NOTIFY_PORT_DESTROYED, 0, n, MACH_MSG_TYPE_MAKE_SEND_ONCE, &old); show("destroy name", mach_port_destroy(self, c)); type(c); take("port destroyed", n, 0, 256, 0); status(m.w[1]);
    say("-- arrays\n");
    b = port(); p[0] = b; p[1] = 0; p[2] = ~0; p[3] = b; for (i = 0; i < 1; i++) ;
    header(MACH_MSGH_BITS_COMPLEX | CS, a, 0, 80); m.w[0] = item(MACH_MSG_TYPE_MAKE_SEND, 32, 4, 0, 0); m.w[1] = page; give("rights out of line", 0, 32, 0); status(b); m.h.msgh_id = 0;
    { mach_msg_return_t r = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 256, a, 0, 0); u32 *q = (u32 *) m.w[1]; say("receive -> %x bits %x item %x names %n %n %n %n offset %u\n", r, m.h.msgh_bits, m.w[0], q[0], q[1], q[2], q[3], m.w[1] & (PAGE_SIZE - 1)); refs(b, 0); }
    p[1] = 7777; header(MACH_MSGH_BITS_COMPLEX | MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MAKE_SEND_ONCE), a, n, 81); m.w[0] = item(MACH_MSG_TYPE_MOVE_SEND, 32, 2, 0, 0); m.w[1] = page; give("a bad one among them", 0, 32, 0); refs(b, 0); take("spent", n, 0, 256, 0);
    header(MACH_MSGH_BITS_COMPLEX | CS, a, 0, 82); m.w[0] = item(MACH_MSG_TYPE_COPY_SEND, 32, 0, 1, 0); give("no rights inline", 0, 28, 0); take("receive", a, 0, 256, 0);
    header(MACH_MSGH_BITS_COMPLEX | CS, a, 0, 83); m.w[0] = item(2, 32, 1, 1, 0); m.w[1] = 5; give("complex with nothing complex", 0, 32, 0); take("receive", a, 0, 256, 0);
    header(0x3fff0000 | CS, a, 0, 84); give("unused bits", 0, 24, 0); take("receive", a, 0, 256, 0);
    header(MACH_MSGH_BITS_COMPLEX | CS, a, 0, 85); m.w[0] = MIG_LONG(1, 1); m.w[1] = MIG_LONG_NAME(8, 8); m.w[2] = 5; m.w[3] = page; give("long form, inline and deallocate", 0, 40, 0);
    header(MACH_MSGH_BITS_COMPLEX | CS, a, 0, 86); m.w[0] = MIG_LONG(0, 1); m.w[1] = MIG_LONG_NAME(8, 8); m.w[2] = 5; m.w[3] = page + PAGE_SIZE; give("long form", 0, 40, 0); take("receive", a, 0, 256, 0); say("  item %x %x %u offset %u\n", m.w[0], m.w[1], m.w[2], m.w[3] & (PAGE_SIZE - 1));
    header(MACH_MSGH_BITS_COMPLEX | CS, a, 0, 87); m.w[0] = MIG_LONG(0, 0); give("half a long form", 0, 32, 0);
    header(MACH_MSGH_BITS_COMPLEX | CS, a, 0, 88); m.w[0] = item(2, 32, 1, 0, 0); give("no word for the address", 0, 28, 0);
    header(MACH_MSGH_BITS_COMPLEX | CS, a, 0, 89); m.w[0] = item(15, 32, 1, 1, 0) | MIG_UNUSED; m.w[1] = 0; give("unused bit", 0, 32, 0);
    say("-- names\n");
    d = port(); show("deallocate", mach_port_mod_refs(self, d, 1, -1)); show("rename what is not", mach_port_rename(self, 7777, 7000)); c = port(); say("  %d\n", c == 7000); c = port(); say("  %d\n", c == d);
    show("insert under another name", mach_port_insert_right(self, 7100, a, MACH_MSG_TYPE_MAKE_SEND)); c = port(); say("  %d\n", c == 7100);
    mach_port_mod_refs(self, a, 0, 65534 - 77); { mach_port_urefs_t k; mach_port_get_refs(self, a, 0, &k); show("to the limit", mach_port_mod_refs(self, a, 0, 65534 - k)); } refs(a, 0); show("over", mach_port_mod_refs(self, a, 0, 1)); show("insert", mach_port_insert_right(self, a, a, MACH_MSG_TYPE_COPY_SEND)); show("drop receive", mach_port_mod_refs(self, a, 1, -1)); refs(a, 4); show("dead +1", mach_port_mod_refs(self, a, 4, 1)); refs(a, 4); show("dead +1", mach_port_mod_refs(self, a, 4, 1)); show("dead -65535", mach_port_mod_refs(self, a, 4, -65535)); type(a);
    return 0;
}
