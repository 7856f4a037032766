/* Types of Mach's debugging interfaces: what subsystem mach_debug tells. */
#ifndef MACH_DEBUG_H
#define MACH_DEBUG_H

#include <mach.h>

typedef struct cache_info {
	integer_t flags;
	rpc_vm_size_t cpu_pool_size, obj_size, align, buf_size, slab_size;
	rpc_long_natural_t bufs_per_slab, nr_objs, nr_bufs, nr_slabs, nr_free_slabs;
	char name[32];
} cache_info_t, *cache_info_array_t;

typedef struct hash_info_bucket {
	unsigned hib_count;
} hash_info_bucket_t, *hash_info_bucket_array_t;

typedef struct vm_region_info {
	rpc_vm_offset_t vri_start, vri_end;
	vm_prot_t vri_protection, vri_max_protection;
	vm_inherit_t vri_inheritance;
	unsigned vri_wired_count, vri_user_wired_count;
	rpc_vm_offset_t vri_object, vri_offset;
	integer_t vri_needs_copy;
	unsigned vri_sharing;
} vm_region_info_t;

typedef struct vm_object_info {
	rpc_vm_offset_t voi_object;
	rpc_vm_size_t voi_pagesize, voi_size;
	unsigned voi_ref_count, voi_resident_page_count, voi_absent_count;
	rpc_vm_offset_t voi_copy, voi_shadow, voi_shadow_offset, voi_paging_offset;
	memory_object_copy_strategy_t voi_copy_strategy;
	rpc_vm_offset_t voi_last_alloc;
	unsigned voi_paging_in_progress;
	natural_t voi_state;
} vm_object_info_t;

typedef struct vm_page_info {
	rpc_vm_offset_t vpi_offset, vpi_phys_addr;
	unsigned vpi_wire_count;
	vm_prot_t vpi_page_lock, vpi_unlock_request;
	natural_t vpi_state;
} vm_page_info_t, *vm_page_info_array_t;

#endif
