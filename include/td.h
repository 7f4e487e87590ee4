/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TD_H
#define TD_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/kvm.h>

#include "td_payload.h"

/**
 * DOC: td
 *
 * A trust domain over KVM's ioctls, each step of its life callable alone, and in
 * any order: what KVM says to a wrong order is the caller's to see.  td_create()
 * takes all steps in the usual one.
 *
 *	td_open()		KVM_CREATE_VM, split irqchip, exits by MapGPA
 *	td_init()		KVM_TDX_INIT_VM: takes a HKID
 *	td_add_vcpu()		KVM_CREATE_VCPU, KVM_SET_CPUID2
 *	td_init_vcpu()		KVM_TDX_INIT_VCPU
 *	td_add_payload()	its memory slots
 *	td_load_payload()	KVM_TDX_INIT_MEM_REGION
 *	td_finalize()		KVM_TDX_FINALIZE_VM: from here on vCPUs can run
 *	td_order()		KVM_RUN, until the payload has carried out an order
 *	td_close()		the vCPUs, the VM, the payload's memory
 *
 * The payload (td_payload.h) takes orders: touch, accept and convert pages, make
 * any TDCALL or TDVMCALL, execute an instruction.  It and the mailbox use the 128K
 * below 4G and the slots TD_SLOT_PAYLOAD and TD_SLOT_MAILBOX; the rest of the
 * first 512G is the caller's.  The payload's private memory is in a guest_memfd of
 * its own.
 *
 * Documentation/virt/kvm/x86/intel-tdx.rst; arch/x86/kvm/vmx/tdx.c.
 *
 * Errors: 0 or -errno.
 * Threads: each vCPU may run in its own; all else one at a time.
 */
#define TD_SLOT_PAYLOAD		0
#define TD_SLOT_MAILBOX		1

#define TD_ATTR_SEPT_VE_DISABLE	(1ull << 28)

struct td;

/**
 * struct td_plan - what td_create() is to make
 * @attributes:  of the TD.  Without TD_ATTR_SEPT_VE_DISABLE the payload accepts a
 *               page when a touch of it raises #VE, else before it touches it.
 * @nr_vcpus:    0 for 1
 * @gpa_bits:    width of guest-physical addresses, the shared bit included: 52, if the
 *               CPU has five levels of EPT, or 48; 0 for 48
 * @unmeasured:  leave the payload out of MRTD
 */
struct td_plan {
	__u64 attributes;
	unsigned int nr_vcpus, gpa_bits;
	bool unmeasured;
};

int td_create(struct td **out, const struct td_plan *plan);

/* The steps. */
int td_open(struct td **out);
int td_init(struct td *td, const struct td_plan *plan);

/**
 * td_init_vm() - KVM_TDX_INIT_VM alone
 * @init: as td_init_params() makes it, or NULL
 *
 * On hardware the CPUs may be out of entropy.  KVM asks the TDX module ten times and then
 * leaves it to user space, by EAGAIN (arch/x86/kvm/vmx/tdx.c __tdx_td_init()); this tries
 * again for 10 s, as a VMM does.
 */
int td_init_vm(int vm, struct kvm_tdx_init_vm *init);
int td_add_vcpu(struct td *td);		/* the next index */
int td_init_vcpu(struct td *td, unsigned int vcpu, __u64 rcx);
int td_add_payload(struct td *td);
int td_load_payload(struct td *td, bool measured);
int td_finalize(struct td *td);

/**
 * td_close() - close everything that is still open, and free @td
 *
 * In the order vCPUs, VM, guest_memfd of the payload.  NULL is fine.
 */
void td_close(struct td *td);

/* Close one part; idempotent. */
void td_close_vcpu(struct td *td, unsigned int vcpu);
void td_close_vm(struct td *td);
void td_close_payload(struct td *td);

/* Borrowed descriptors, -1 once closed or if there is none yet. */
int td_vm(const struct td *td);
int td_vcpu(const struct td *td, unsigned int vcpu);

/* What a vCPU shares with KVM; as KVM_RUN left it. */
struct kvm_run *td_run(struct td *td, unsigned int vcpu);

/* errno of its last KVM_RUN, or 0. */
int td_run_errno(const struct td *td, unsigned int vcpu);

/**
 * td_cmd() - one KVM_MEMORY_ENCRYPT_OP
 * @fd:       of VM or vCPU
 * @id:       KVM_TDX_*
 * @flags:    of that command
 * @data:     of that command; may be NULL
 * @hw_error: receives what the TDX module said; may be NULL
 */
int td_cmd(int fd, unsigned int id, unsigned int flags, void *data, __u64 *hw_error);

/**
 * td_capabilities() - KVM_TDX_CAPABILITIES
 * @vm_fd: of a TD, in whatever state
 * @out:   receives them, the caller's to free()
 */
int td_capabilities(int vm_fd, struct kvm_tdx_capabilities **out);

/* KVM_TDX_GET_CPUID; *@out is the caller's to free(). */
int td_get_cpuid(struct td *td, unsigned int vcpu, struct kvm_cpuid2 **out);

/* NULL, or why no TD can have addresses as wide as that plan says; not to be freed. */
const char *td_width_why_not(const struct td_plan *plan);

/* The bit of a guest-physical address that makes it a shared one. */
__u64 td_shared_bit(const struct td *td);

/* Let each entry that tells the width of guest-physical addresses tell this one. */
void td_set_cpuid_width(struct kvm_cpuid2 *cpuid, unsigned int gpa_bits);

/*
 * What KVM supports, with the width of addresses that this TD has, for KVM_SET_CPUID2:
 * KVM makes page tables of as many levels as that says.  *@out is the caller's to free().
 */
int td_vcpu_cpuid(const struct td *td, struct kvm_cpuid2 **out);

/* What KVM supports, cut down to what a TD may be configured with. */
int td_init_params(struct td *td, const struct td_plan *plan, struct kvm_tdx_init_vm **out);

/**
 * td_init_memory() - KVM_TDX_INIT_MEM_REGION, to the end of the range
 * @td:       the TD
 * @gpa:      where; private, in a slot with a guest_memfd
 * @source:   page aligned
 * @nr:       pages
 * @measured: MR.EXTEND each
 * @left:     receives how many pages KVM has not done; may be NULL
 */
int td_init_memory(struct td *td, __u64 gpa, const void *source, __u64 nr, bool measured,
		   __u64 *left);

/**
 * td_set_slot() - KVM_SET_USER_MEMORY_REGION2, as it is
 * @slot:   its number
 * @flags:  KVM_MEM_*
 * @gpa:    where
 * @nr:     pages; 0 deletes it
 * @memory: ordinary memory, for what is shared; borrowed
 * @gmem:   guest_memfd, from its first page on; not looked at without KVM_MEM_GUEST_MEMFD
 */
int td_set_slot(struct td *td, unsigned int slot, unsigned int flags, __u64 gpa, __u64 nr,
		const void *memory, int gmem);

/**
 * td_set_private() - convert a range by KVM_SET_MEMORY_ATTRIBUTES
 * @gpa: first byte, page aligned
 * @nr:  pages
 *
 * The library remembers it, as td_is_private() tells.
 */
int td_set_private(struct td *td, __u64 gpa, __u64 nr, bool private);

/* Only remember it: the caller has told KVM. */
int td_note_private(struct td *td, __u64 gpa, __u64 nr, bool private);

/**
 * td_is_private() - what td_set_private() last said of a page
 * @nr: receives for how many pages from @gpa on this holds, at most what it was
 */
bool td_is_private(struct td *td, __u64 gpa, __u64 *nr);

/**
 * td_order() - let a vCPU do something
 * @td:    the TD
 * @vcpu:  index
 * @order: op, gpa, nr, pattern, regs as the op wants them; receives the answer
 *
 * Of an order that could not end, see td_run() for the exit.  The next order
 * makes the payload abandon it; or td_resume() lets it go on.
 *
 * Exits on the way are answered as a plain VMM would: MapGPA converts; port and
 * MMIO reads give ones; KVM_EXIT_TDX keeps the answer that KVM proposes.
 * td_on_exit() may say otherwise.
 *
 * Return: 0 if the vCPU carried it out; or
 * -EILSEQ    TD_OP_VERIFY...: page @order->bad does not hold what it should;
 * -EPROTO    the TDX module or the host refused what the payload asked of it,
 *            with the status @order->bad;
 * -EBADMSG   exception @order->vector at @order->rip;
 * -ENXIO     there is nothing at the shared @order->address;
 * -EFAULT    KVM_EXIT_MEMORY_FAULT, or KVM_RUN failed;
 * -ESHUTDOWN the TD gave up: KVM_SYSTEM_EVENT_TDX_FATAL, or KVM_EXIT_SHUTDOWN;
 * -EIO       KVM_RUN failed with EIO, as it does for a VM that KVM has killed;
 * -EREMOTEIO any other exit;
 * -EINTR     a signal, or what td_on_exit()'s function returned.
 */
int td_order(struct td *td, unsigned int vcpu, struct td_mailbox *order);
int td_resume(struct td *td, unsigned int vcpu, struct td_mailbox *order);

/* An order about pages in one call. */
int td_pages(struct td *td, unsigned int vcpu, enum td_op op, __u64 gpa, __u64 nr,
	     __u64 pattern, unsigned int flags);

/**
 * td_vmcall() - let a vCPU make a TDVMCALL
 * @leaf: TDVMCALL leaf, R11
 * @regs: R12 to R15; receives R10 to R15 of the answer
 *
 * Return: as td_order(); what the host answered is in R10.
 */
int td_vmcall(struct td *td, unsigned int vcpu, __u64 leaf, struct td_regs *regs);

/* One TDCALL, with all registers; what the module answered is in RAX. */
int td_tdcall(struct td *td, unsigned int vcpu, struct td_regs *regs);

/* What the payload last said of a vCPU, and its counters. */
void td_peek(const struct td *td, unsigned int vcpu, struct td_mailbox *out);

/* What made td_order() return @rc, in words. */
void td_describe(struct td *td, unsigned int vcpu, int rc, char *buf, size_t len);

/*
 * The page of the mailboxes, at the shared TD_MAILBOX_GPA.  Its second half, from
 * TD_MAX_VCPUS * TD_MAILBOX_BYTES on, is the caller's.
 */
char *td_mailbox_page(const struct td *td);

/* End a TD_OP_SPIN from another thread. */
void td_stop(struct td *td, unsigned int vcpu);

/* Send an interrupt, by KVM_SIGNAL_MSI, to a vCPU whose APIC is enabled. */
int td_interrupt(struct td *td, unsigned int vcpu, unsigned int vector);

/**
 * td_on_exit() - see exits to user space
 * @fn: called for each but the payload's own; may answer in @run.  Returns > 0
 *      for "go on", 0 for "do as you would without me", or -errno, with which
 *      td_order() then ends.  NULL for none.
 */
typedef int (*td_exit_fn)(struct td *td, unsigned int vcpu, struct kvm_run *run, void *arg);
void td_on_exit(struct td *td, td_exit_fn fn, void *arg);

/* How often vCPUs left for @reason (KVM_EXIT_*), in the TD's life. */
unsigned long td_nr_exits(const struct td *td, unsigned int reason);

#endif
