/* The trap table's edges: holes, compatibility traps, numbers out of range, unreadable arguments, self traps' references, swtch. */
#include "guest.h"
#include "cpu.h"
static mach_port_t self, box;
static char stack1[16384];
static volatile u32 result, stage;
typedef struct { mach_msg_header_t h; u32 w[60]; } message_t;
#define RAW(name, number) static void name(void) { CALL_TRAP(number, result); stage = 1; for (;;) thread_switch(0, 2, 1000); }
int thread_switch(mach_port_t, int, u32); int swtch(void); int swtch_pri(int);
RAW(trap_0, 0) RAW(trap_1, -1) RAW(trap_9, -9) RAW(trap_10, -10) RAW(trap_11, -11) RAW(trap_12, -12) RAW(trap_13, -13) RAW(trap_17, -17) RAW(trap_18, -18) RAW(trap_30, -30) RAW(trap_39, -39) RAW(trap_40, -40) RAW(trap_55, -55) RAW(trap_56, -56) RAW(trap_61, -61) RAW(trap_64, -64) RAW(trap_65, -65) RAW(trap_66, -66) RAW(trap_68, -68) RAW(trap_69, -69) RAW(trap_70, -70) RAW(trap_71, -71) RAW(trap_72, -72) RAW(trap_73, -73) RAW(trap_74, -74) RAW(trap_75, -75) RAW(trap_76, -76) RAW(trap_77, -77) RAW(trap_129, -129) RAW(trap_131, -131) RAW(trap_1000, -1000) RAW(trap_plus_1, 1) RAW(trap_plus_25, 25)
static void no_stack(void) { CALL_TRAP_NOWHERE(-61, result); for (;;) ; }
static void wait(u32 ms) { static message_t m; mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, ms, 0); }
static void attempt(const char *what, void (*entry)(void))
{
    message_t m; thread_t t; kern_return_t kr;
    stage = 0; result = 0x12345678;
    t = start_thread(entry, stack1, sizeof stack1);
    kr = mach_msg(&m.h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, box, 60, 0);
    say("%s: returned %d result %x", what, stage, result);
    if (!kr) say(" exception %d code %x subcode %x", m.w[5], m.w[7], m.w[9]);
    say("\n");
    thread_terminate(t);
}
static u32 refs(mach_port_t p) { mach_port_urefs_t n = 0; mach_port_get_refs(self, p, MACH_PORT_RIGHT_SEND, &n); return n; }
int guest_main(void)
{
    mach_port_t a, b; u32 before, i;
    self = mach_task_self();
    mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &box); mach_port_insert_right(self, box, box, MACH_MSG_TYPE_MAKE_SEND);
    say("-- references\n");
    before = refs(self); a = mach_task_self(); say("task self same %d references +%d\n", a == self, refs(self) - before);
    a = mach_thread_self(); before = refs(a); b = mach_thread_self(); say("thread self same %d references +%d\n", a == b, refs(a) - before);
    a = mach_host_self(); before = refs(a); b = mach_host_self(); say("host self same %d references +%d\n", a == b, refs(a) - before); say("host self is host priv %d\n", a == host_priv);
    a = mach_reply_port(); b = mach_reply_port(); say("reply ports differ %d next %d\n", a != b, b - a);
    say("-- swtch alone\n");
    say("swtch %d swtch_pri %d thread_switch %x %x\n", swtch(), swtch_pri(0), thread_switch(0, 0, 0), thread_switch(0, 1, 10));
    say("thread_switch wait %x bad option %x of no thread %x\n", thread_switch(0, 2, 20), thread_switch(0, 3, 0), thread_switch(99999, 0, 0));
    say("-- numbers\n");
    task_set_special_port(self, TASK_EXCEPTION_PORT, box);
    attempt("0", trap_0); attempt("-1", trap_1); attempt("-9", trap_9); attempt("-10", trap_10); attempt("-11", trap_11); attempt("-12", trap_12); attempt("-13", trap_13); attempt("-17", trap_17); attempt("-18", trap_18); attempt("-30", trap_30); attempt("-39", trap_39); attempt("-40", trap_40); attempt("-55", trap_55); attempt("-56", trap_56); attempt("-61", trap_61);
    attempt("-64", trap_64); attempt("-65", trap_65); attempt("-66", trap_66); attempt("-68", trap_68); attempt("-69", trap_69); attempt("-70", trap_70); attempt("-71", trap_71); attempt("-72", trap_72); attempt("-73", trap_73); attempt("-74", trap_74); attempt("-75", trap_75); attempt("-76", trap_76); attempt("-77", trap_77);
    attempt("-129", trap_129); attempt("-131", trap_131); attempt("-1000", trap_1000); attempt("1", trap_plus_1); attempt("25", trap_plus_25);
    { vm_address_t below = 0x70000000 - PAGE_SIZE; vm_allocate(self, &below, PAGE_SIZE, FALSE); }
    attempt("arguments nowhere", no_stack);
    for (i = 0; i < 3; i++) say("swtch_pri %d\n", swtch_pri(0));
    return 0;
}
