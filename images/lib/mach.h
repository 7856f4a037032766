/*
 * Mach's types and numbers, as user programs see them on machines with 32-bit words of either byte order.
 * The names are those of Mach's own headers, gathered in one.
 */
#ifndef MACH_H
#define MACH_H

#include <stddef.h>
#include <stdint.h>

typedef int32_t integer_t;
typedef uint32_t natural_t;
typedef int boolean_t;
typedef int kern_return_t;
typedef kern_return_t mach_msg_return_t;
#define FALSE 0
#define TRUE 1

/* Names and rights */

typedef natural_t mach_port_name_t, mach_port_t;
typedef natural_t mach_port_right_t, mach_port_type_t, mach_port_urefs_t, mach_port_seqno_t;
typedef integer_t mach_port_delta_t;
typedef unsigned mach_port_mscount_t, mach_port_msgcount_t, mach_port_rights_t;
typedef mach_port_t *mach_port_array_t, *memory_object_array_t;
typedef mach_port_name_t *mach_port_name_array_t;
typedef mach_port_type_t *mach_port_type_array_t;
typedef mach_port_t task_t, thread_t, vm_task_t, ipc_space_t, host_t, host_priv_t, processor_t, processor_set_t, processor_set_name_t;
typedef mach_port_t memory_object_t, memory_object_control_t, memory_object_name_t, device_t;
typedef mach_port_t *task_array_t, *thread_array_t, *processor_array_t, *processor_set_array_t, *processor_set_name_array_t;

#define MACH_PORT_NULL 0
#define MACH_PORT_DEAD ((mach_port_t) ~0)

#define MACH_PORT_RIGHT_SEND 0
#define MACH_PORT_RIGHT_RECEIVE 1
#define MACH_PORT_RIGHT_SEND_ONCE 2
#define MACH_PORT_RIGHT_PORT_SET 3
#define MACH_PORT_RIGHT_DEAD_NAME 4

#define MACH_PORT_TYPE(right) (1u << ((right) + 16))
#define MACH_PORT_TYPE_SEND MACH_PORT_TYPE(MACH_PORT_RIGHT_SEND)
#define MACH_PORT_TYPE_RECEIVE MACH_PORT_TYPE(MACH_PORT_RIGHT_RECEIVE)
#define MACH_PORT_TYPE_SEND_ONCE MACH_PORT_TYPE(MACH_PORT_RIGHT_SEND_ONCE)
#define MACH_PORT_TYPE_PORT_SET MACH_PORT_TYPE(MACH_PORT_RIGHT_PORT_SET)
#define MACH_PORT_TYPE_DEAD_NAME MACH_PORT_TYPE(MACH_PORT_RIGHT_DEAD_NAME)
#define MACH_PORT_TYPE_MAREQUEST 0x40000000u
#define MACH_PORT_TYPE_DNREQUEST 0x80000000u

typedef struct mach_port_status {
	mach_port_name_t mps_pset;
	mach_port_seqno_t mps_seqno;
	mach_port_mscount_t mps_mscount;
	mach_port_msgcount_t mps_qlimit;
	mach_port_msgcount_t mps_msgcount;
	mach_port_rights_t mps_sorights;
	boolean_t mps_srights;
	boolean_t mps_pdrequest;
	boolean_t mps_nsrequest;
} mach_port_status_t;

/* Messages */

typedef natural_t mach_msg_bits_t, mach_msg_size_t, mach_msg_timeout_t, mach_msg_type_number_t;
typedef unsigned mach_msg_type_name_t;
typedef integer_t mach_msg_id_t, mach_msg_option_t;

typedef struct {
	mach_msg_bits_t msgh_bits;
	mach_msg_size_t msgh_size;
	mach_port_t msgh_remote_port;
	mach_port_t msgh_local_port;
	mach_port_seqno_t msgh_seqno;
	mach_msg_id_t msgh_id;
} mach_msg_header_t;

/* The compiler lays bit fields out from the end of the word at which the machine's lower addresses are, and so does Mach. */
typedef struct {
	unsigned msgt_name : 8, msgt_size : 8, msgt_number : 12;
	unsigned msgt_inline : 1, msgt_longform : 1, msgt_deallocate : 1, msgt_unused : 1;
} mach_msg_type_t;

typedef struct {
	mach_msg_type_t msgtl_header;
	unsigned short msgtl_name, msgtl_size;
	natural_t msgtl_number;
} mach_msg_type_long_t;

#define MACH_MSGH_BITS(remote, local) ((remote) | (local) << 8)
#define MACH_MSGH_BITS_COMPLEX 0x80000000u
#define MACH_MSGH_BITS_REMOTE(bits) ((bits) & 0xff)
#define MACH_MSGH_BITS_LOCAL(bits) ((bits) >> 8 & 0xff)

#define MACH_MSG_TYPE_BOOLEAN 0
#define MACH_MSG_TYPE_INTEGER_16 1
#define MACH_MSG_TYPE_INTEGER_32 2
#define MACH_MSG_TYPE_CHAR 8
#define MACH_MSG_TYPE_BYTE 9
#define MACH_MSG_TYPE_REAL 10
#define MACH_MSG_TYPE_INTEGER_64 11
#define MACH_MSG_TYPE_STRING 12
#define MACH_MSG_TYPE_STRING_C 12
#define MACH_MSG_TYPE_PORT_NAME 15
#define MACH_MSG_TYPE_MOVE_RECEIVE 16
#define MACH_MSG_TYPE_MOVE_SEND 17
#define MACH_MSG_TYPE_MOVE_SEND_ONCE 18
#define MACH_MSG_TYPE_COPY_SEND 19
#define MACH_MSG_TYPE_MAKE_SEND 20
#define MACH_MSG_TYPE_MAKE_SEND_ONCE 21
#define MACH_MSG_TYPE_PORT_RECEIVE MACH_MSG_TYPE_MOVE_RECEIVE
#define MACH_MSG_TYPE_PORT_SEND MACH_MSG_TYPE_MOVE_SEND
#define MACH_MSG_TYPE_PORT_SEND_ONCE MACH_MSG_TYPE_MOVE_SEND_ONCE
#define MACH_MSG_TYPE_PORT_ANY(name) ((name) >= MACH_MSG_TYPE_MOVE_RECEIVE && (name) <= MACH_MSG_TYPE_MAKE_SEND_ONCE)

#define MACH_MSG_TIMEOUT_NONE 0
#define MACH_SEND_MSG 0x001
#define MACH_RCV_MSG 0x002
#define MACH_SEND_TIMEOUT 0x010
#define MACH_SEND_NOTIFY 0x020
#define MACH_SEND_INTERRUPT 0x040
#define MACH_SEND_CANCEL 0x080
#define MACH_RCV_TIMEOUT 0x100
#define MACH_RCV_NOTIFY 0x200
#define MACH_RCV_INTERRUPT 0x400
#define MACH_RCV_LARGE 0x800

#define MACH_MSG_SUCCESS 0
#define MACH_SEND_INVALID_DEST 0x10000003
#define MACH_SEND_TIMED_OUT 0x10000004
#define MACH_SEND_WILL_NOTIFY 0x10000005
#define MACH_SEND_INTERRUPTED 0x10000007
#define MACH_RCV_INVALID_NAME 0x10004002
#define MACH_RCV_TIMED_OUT 0x10004003
#define MACH_RCV_TOO_LARGE 0x10004004
#define MACH_RCV_INTERRUPTED 0x10004005
#define MACH_RCV_PORT_CHANGED 0x10004006
#define MACH_RCV_PORT_DIED 0x10004009
#define MACH_RCV_BODY_ERROR 0x1000400c

#define MACH_NOTIFY_PORT_DELETED 65
#define MACH_NOTIFY_MSG_ACCEPTED 66
#define MACH_NOTIFY_PORT_DESTROYED 69
#define MACH_NOTIFY_NO_SENDERS 70
#define MACH_NOTIFY_SEND_ONCE 71
#define MACH_NOTIFY_DEAD_NAME 72

/* Codes of the kernel's routines and of MIG's stubs */

#define KERN_SUCCESS 0
#define KERN_INVALID_ADDRESS 1
#define KERN_PROTECTION_FAILURE 2
#define KERN_NO_SPACE 3
#define KERN_INVALID_ARGUMENT 4
#define KERN_FAILURE 5
#define KERN_RESOURCE_SHORTAGE 6
#define KERN_NOT_RECEIVER 7
#define KERN_NO_ACCESS 8
#define KERN_MEMORY_FAILURE 9
#define KERN_MEMORY_ERROR 10
#define KERN_NOT_IN_SET 12
#define KERN_NAME_EXISTS 13
#define KERN_ABORTED 14
#define KERN_INVALID_NAME 15
#define KERN_INVALID_TASK 16
#define KERN_INVALID_RIGHT 17
#define KERN_INVALID_VALUE 18
#define KERN_UREFS_OVERFLOW 19
#define KERN_INVALID_CAPABILITY 20
#define KERN_RIGHT_EXISTS 21
#define KERN_INVALID_HOST 22
#define KERN_TERMINATED 26

#define MIG_TYPE_ERROR (-300)
#define MIG_REPLY_MISMATCH (-301)
#define MIG_REMOTE_ERROR (-302)
#define MIG_BAD_ID (-303)
#define MIG_BAD_ARGUMENTS (-304)
#define MIG_NO_REPLY (-305)
#define MIG_EXCEPTION (-306)
#define MIG_ARRAY_TOO_LARGE (-307)
#define MIG_SERVER_DIED (-308)
#define MIG_DESTROY_REQUEST (-309)

/* Address spaces */

typedef natural_t vm_offset_t, vm_address_t, vm_size_t, rpc_vm_offset_t, rpc_vm_size_t;
typedef uint64_t rpc_phys_addr_t;
typedef int vm_prot_t, vm_inherit_t, vm_sync_t, vm_wire_t, vm_machine_attribute_t, vm_machine_attribute_val_t;
typedef int memory_object_copy_strategy_t, memory_object_return_t;
typedef vm_offset_t pointer_t, *emulation_vector_t;
typedef natural_t rpc_long_natural_t;
typedef integer_t rpc_long_integer_t;

#define VM_PROT_NONE 0
#define VM_PROT_READ 1
#define VM_PROT_WRITE 2
#define VM_PROT_EXECUTE 4
#define VM_PROT_DEFAULT (VM_PROT_READ | VM_PROT_WRITE)
#define VM_PROT_ALL (VM_PROT_DEFAULT | VM_PROT_EXECUTE)
#define VM_PROT_NO_CHANGE 8

#define VM_INHERIT_SHARE 0
#define VM_INHERIT_COPY 1
#define VM_INHERIT_NONE 2

#define MEMORY_OBJECT_RETURN_NONE 0
#define MEMORY_OBJECT_RETURN_DIRTY 1
#define MEMORY_OBJECT_RETURN_ALL 2

#define MEMORY_OBJECT_COPY_NONE 0
#define MEMORY_OBJECT_COPY_CALL 1
#define MEMORY_OBJECT_COPY_DELAY 2
#define MEMORY_OBJECT_COPY_TEMPORARY 3

typedef struct vm_statistics {
	integer_t pagesize, free_count, active_count, inactive_count, wire_count, zero_fill_count, reactivations;
	integer_t pageins, pageouts, faults, cow_faults, lookups, hits;
} vm_statistics_data_t;

typedef struct { integer_t counts[11]; } vm_cache_statistics_data_t;

/* Tasks and threads */

typedef struct { integer_t seconds, microseconds; } time_value_t;
typedef natural_t *thread_state_t, *redo_words_t, *space_words_t, *map_words_t, *account_t;
typedef integer_t *thread_info_t, *task_info_t, *host_info_t, *processor_info_t, *processor_set_info_t;

#define TASK_KERNEL_PORT 1
#define TASK_EXCEPTION_PORT 3
#define TASK_BOOTSTRAP_PORT 4
#define THREAD_KERNEL_PORT 1
#define THREAD_EXCEPTION_PORT 3

#define TASK_BASIC_INFO 1
struct task_basic_info {
	integer_t suspend_count, base_priority;
	vm_size_t virtual_size, resident_size;
	time_value_t user_time, system_time, creation_time;
};
#define TASK_BASIC_INFO_COUNT (sizeof(struct task_basic_info) / sizeof(integer_t))

#define THREAD_BASIC_INFO 1
struct thread_basic_info {
	time_value_t user_time, system_time;
	integer_t cpu_usage, base_priority, cur_priority, run_state, flags, suspend_count, sleep_time;
	time_value_t creation_time;
};
#define THREAD_BASIC_INFO_COUNT (sizeof(struct thread_basic_info) / sizeof(integer_t))

#define TH_STATE_RUNNING 1
#define TH_STATE_STOPPED 2
#define TH_STATE_WAITING 3
#define TH_STATE_UNINTERRUPTIBLE 4
#define TH_STATE_HALTED 5

#define SWITCH_OPTION_NONE 0
#define SWITCH_OPTION_DEPRESS 1
#define SWITCH_OPTION_WAIT 2

#define EXC_BAD_ACCESS 1
#define EXC_BAD_INSTRUCTION 2
#define EXC_ARITHMETIC 3
#define EXC_EMULATION 4
#define EXC_SOFTWARE 5
#define EXC_BREAKPOINT 6

typedef unsigned sampled_pc_flavor_t, sampled_pc_seqno_t;
typedef struct { rpc_vm_offset_t id, pc; sampled_pc_flavor_t sampletype; } sampled_pc_t;

/* Devices */

typedef natural_t dev_mode_t, dev_flavor_t, recnum_t;
typedef char *io_buf_ptr_t;
typedef short filter_t;
#define D_READ 1
#define D_WRITE 2
#define D_NODELAY 4
#define D_NOWAIT 8
#define DEV_STATUS_MAX 1024

/* Traps */

mach_msg_return_t mach_msg_trap(mach_msg_header_t *message, mach_msg_option_t option, mach_msg_size_t send_size,
	mach_msg_size_t receive_size, mach_port_t receive_name, mach_msg_timeout_t timeout, mach_port_t notify);
mach_port_t mach_reply_port(void), mach_thread_self(void), mach_task_self(void), mach_host_self(void);
boolean_t swtch(void), swtch_pri(int priority);
kern_return_t thread_switch(mach_port_t thread, int option, mach_msg_timeout_t time);
kern_return_t syscall_vm_map(mach_port_t task, vm_address_t *address, vm_size_t size, vm_offset_t mask, boolean_t anywhere,
	mach_port_t object, vm_offset_t offset, boolean_t copy, vm_prot_t protection, vm_prot_t maximum, vm_inherit_t inheritance);
kern_return_t syscall_vm_allocate(mach_port_t task, vm_address_t *address, vm_size_t size, boolean_t anywhere);
kern_return_t syscall_vm_deallocate(mach_port_t task, vm_address_t address, vm_size_t size);
kern_return_t syscall_task_create(mach_port_t parent, boolean_t inherit, mach_port_t *child);
kern_return_t syscall_task_terminate(mach_port_t task), syscall_task_suspend(mach_port_t task);
kern_return_t syscall_mach_port_allocate(mach_port_t task, mach_port_right_t right, mach_port_t *name);
kern_return_t syscall_mach_port_deallocate(mach_port_t task, mach_port_t name);
kern_return_t syscall_mach_port_insert_right(mach_port_t task, mach_port_t name, mach_port_t right, mach_msg_type_name_t how);
kern_return_t syscall_mach_port_allocate_name(mach_port_t task, mach_port_right_t right, mach_port_t name);

/* Sends, receives, or both; the wait goes on after an interruption unless the INTERRUPT options ask otherwise. */
mach_msg_return_t mach_msg(mach_msg_header_t *message, mach_msg_option_t option, mach_msg_size_t send_size,
	mach_msg_size_t receive_size, mach_port_t receive_name, mach_msg_timeout_t timeout, mach_port_t notify);

#endif
