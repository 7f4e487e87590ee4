/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TD_WORLD_H
#define TD_WORLD_H

#include <stdbool.h>

#include "td.h"

/**
 * DOC: td_world
 *
 * A TD at some point of its life, for roles to act on (td_role.h): made, mended after
 * what they have done, dropped, and made again.
 *
 * Errors: 0 or -errno.
 */

/* Where in a TD's life a world starts. */
enum td_stage {
	TD_OPENED,	/* KVM_CREATE_VM */
	TD_BUILT,	/* and KVM_TDX_INIT_VM, vCPU 0 and its KVM_TDX_INIT_VCPU */
	TD_RUNNING,	/* and vCPU 1, the payload, KVM_TDX_FINALIZE_VM */
	TD_NR_STAGES,
};

const char *td_stage_name(enum td_stage stage);

/* What a role may take away, and what others may need. */
enum td_thing {
	TD_BLANK,	/* that KVM_TDX_INIT_VM has not been called */
	TD_UNSEALED,	/* that KVM_TDX_FINALIZE_VM has not been called */
	TD_NO_VCPU,	/* that there is no vCPU 1 */
	TD_RAW_VCPU,	/* vCPU 1, created but not initialised */
	TD_RAW_VCPU_0,	/* that vCPU 0 is not initialised */
	TD_SLOT,	/* the memory slot over the first guest_memfd */
	TD_SLOT_ID,	/* that its number is free, or taken by it */
	TD_PRIVATE,	/* the private attribute of its range */
	TD_FILE,	/* the first guest_memfd */
	TD_VM_FD,
	TD_VCPU_FD,	/* that of the other role's vCPU */
	TD_NR_THINGS,
};

#define TD_WORLD_PAGES	8ull			/* of each guest_memfd of a world */
#define TD_WORLD_GPA	0x100000000ull		/* where the first one is */
#define TD_WORLD_OTHER	0x100400000ull		/* and the second one */
#define TD_WORLD_MOVED	0x101000000ull		/* where slot_move puts the first */

/**
 * struct td_world - a TD that roles act on
 * @td:      the TD
 * @gmem:    two guest_memfds, both in slots and private
 * @shared:  ordinary memory of their slots
 * @source:  for KVM_TDX_INIT_MEM_REGION
 * @pattern: what roles that write to memory of the TD write, plus their index << 48
 * @init:    of KVM_TDX_INIT_VM
 * @cpuid:   of KVM_SET_CPUID2
 * @extra_vcpu: descriptor of a vCPU that a role has made, or -1
 * @null:    /dev/null
 * @stage:   where it starts
 * @lacks:   bits of things that it starts without
 * @taken:   bits of things that roles take away
 * @payload: it has the payload
 * @raw:     it has a vCPU 1 that is not initialised
 * @used:    which of the guest_memfds it has
 * @own:     the test's
 */
struct td_world {
	struct td *td;
	int gmem[2];
	char *shared, *source;
	__u64 pattern;
	struct kvm_tdx_init_vm *init;
	struct kvm_cpuid2 *cpuid;
	int extra_vcpu, null;
	enum td_stage stage;
	unsigned int lacks, taken;
	bool payload, raw, used[2];
	void *own;
};

/*
 * Before the first world: @w all zero, but for what says which world it is to be (@stage
 * to @own).
 */
int td_world_begin(struct td_world *w, bool no_ve);
void td_world_end(struct td_world *w);

int td_world_make(struct td_world *w);
void td_world_drop(struct td_world *w);

/* As it was before the round. */
int td_world_mend(struct td_world *w);

/* With pages mapped, to be taken away, or with none, to be mapped. */
int td_world_fill(struct td_world *w, bool filled);

bool td_world_is_dead(const struct td_world *w);

/*
 * The vCPU of a role: before KVM_TDX_FINALIZE_VM there is one that is ready, then each
 * role has its own, as far as they go.
 */
unsigned int td_world_vcpu(const struct td_world *w, unsigned int me);

/* One system call each. */
int td_world_set_private(struct td_world *w, unsigned int file, bool private);
int td_world_set_slot(struct td_world *w, unsigned int file, unsigned int flags, __u64 gpa,
		      __u64 nr);

#endif
