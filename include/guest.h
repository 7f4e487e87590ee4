/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <linux/types.h>

/**
 * DOC: guest
 *
 * A VM with one guest_memfd, one memory slot over it and one vCPU, of any VM
 * type, behind one face; so that one test source serves them all.
 *
 * The vCPU runs a tiny guest that touches the pages the host asks for.  Private
 * VM types touch them as private memory.
 *
 * Units: 4K pages, counted from the start of the guest_memfd.
 * Errors: 0 or -errno.  What libkvm does underneath can end the case by
 * test_assert() if the kernel refuses something that guest_why_not() said it
 * supports.
 * Threads: one at a time per guest.  What works on its descriptors alone
 * (gmem.h) may run beside guest_touch() and guest_verify().
 */

enum guest_type {
	GUEST_DEFAULT,		/* KVM_X86_DEFAULT_VM, mappable guest_memfd */
	GUEST_SW_PROTECTED,	/* KVM_X86_SW_PROTECTED_VM */
	GUEST_TDX,		/* KVM_X86_TDX_VM */
	GUEST_NR_TYPES,
};

#define GUEST_GPA	0x100000000ull	/* where page 0 of the guest_memfd stands */
#define GUEST_SLOT	10		/* its memory slot */

struct guest;
struct td;
struct td_plan;

/* "default", "sw_protected" or "tdx". */
const char *guest_type_name(enum guest_type type);

/**
 * guest_why_not() - say why this host cannot make such a VM
 * @type: the VM type
 *
 * What it can once, it can for as long as this process and its children live.
 *
 * Return: every reason, separated by "; ", or NULL if it can.  Static storage,
 * valid until the next call.
 */
const char *guest_why_not(enum guest_type type);

/**
 * guest_create() - make a VM of a type, with a guest_memfd bound to a slot
 * @out:  receives the guest, to be given to guest_destroy(); NULL on error
 * @type: the VM type
 * @nr:   size of its guest_memfd in pages
 *
 * The guest_memfd gets the flags usual for the type: MMAP and INIT_SHARED for
 * the default type, none for private types, whose slot starts out private.
 * No page of it is backed yet.
 *
 * Return: 0; -ENODEV if the host cannot (guest_why_not()); or -errno.
 */
int guest_create(struct guest **out, enum guest_type type, __u64 nr);

/* As guest_create(), but a TD made to a plan, which td.h describes. */
int guest_create_td(struct guest **out, const struct td_plan *plan, __u64 nr);

/* As guest_create(), but leave the guest_memfd unbound and make no vCPU. */
int guest_create_unbound(struct guest **out, enum guest_type type, __u64 nr);

/**
 * guest_destroy() - close everything that is still open
 * @g: the guest; NULL is fine
 *
 * In the order vCPU, VM, guest_memfd.  For other orders close the parts first.
 */
void guest_destroy(struct guest *g);

/* Borrowed descriptors; -1 once closed. */
int guest_gmem(const struct guest *g);
int guest_vm(const struct guest *g);
int guest_vcpu(const struct guest *g);

enum guest_type guest_type(const struct guest *g);
__u64 guest_nr_pages(const struct guest *g);

/* Whether its guest_memfd can be mapped by user space (gmem_map()). */
bool guest_mappable(const struct guest *g);

/* Whether the VM tells private from shared memory (guest_set_private()). */
bool guest_has_private(const struct guest *g);

/*
 * Whether private pages lose their contents when KVM takes them from the guest's
 * page tables, by a conversion or with the slot.  A TD has to accept them anew
 * then, and finds zeroes.
 */
bool guest_forgets_unmapped(const struct guest *g);

/* Its TD, for td.h; NULL for other VM types. */
struct td *guest_td(const struct guest *g);

/*
 * Close one part, for the tests of closing orders.  Idempotent.  With the
 * guest_memfd goes the mapping of it that guest_shared() made.
 */
int guest_close_gmem(struct guest *g);
void guest_close_vm(struct guest *g);	/* the VM and its vCPUs */

/**
 * guest_bind() - make a memory slot over a range of the guest_memfd
 * @g:     the guest
 * @slot:  slot number, not in use
 * @first: first page of the guest_memfd
 * @nr:    number of pages; 0 deletes the slot
 * @gpa:   guest physical address, page aligned
 *
 * KVM_SET_USER_MEMORY_REGION2, with guest_shared() as user address.
 */
int guest_bind(struct guest *g, unsigned int slot, __u64 first, __u64 nr, __u64 gpa);

/* Delete a slot. */
int guest_unbind(struct guest *g, unsigned int slot);

/**
 * guest_move() - show a range of the guest_memfd at another place
 *
 * Deletes the slot and makes it anew, as KVM does not let a slot with a
 * guest_memfd change.  Arguments as for guest_bind().
 */
int guest_move(struct guest *g, unsigned int slot, __u64 first, __u64 nr, __u64 gpa);

/**
 * guest_touch() - let the vCPU write to pages
 * @g:       the guest
 * @first:   first page, seen through GUEST_SLOT
 * @nr:      number of pages
 * @pattern: 8 bytes written at the start of each page, plus its index
 *
 * Return: 0; -EFAULT if the vCPU left with KVM_EXIT_MEMORY_FAULT or could not
 * run on (guest_fault() has the details); -EIO for any other exit.
 */
int guest_touch(struct guest *g, __u64 first, __u64 nr, __u64 pattern);

/* Let the vCPU read them; -EILSEQ if one does not hold @pattern plus its index. */
int guest_verify(struct guest *g, __u64 first, __u64 nr, __u64 pattern);

/* Let the vCPU read them; -EILSEQ if a byte of them is not zero. */
int guest_verify_zero(struct guest *g, __u64 first, __u64 nr);

/**
 * guest_verify_unmapped() - let the vCPU read pages that KVM had unmapped meanwhile
 *
 * As guest_verify(); but a guest that forgets such pages must find them zeroed
 * (guest_forgets_unmapped()).
 */
int guest_verify_unmapped(struct guest *g, __u64 first, __u64 nr, __u64 pattern);

/**
 * guest_touch_maps() - user mappings that a page has when only the vCPU touched it
 *
 * KVM is to take the pages of a guest_memfd from the file itself, and then no
 * user mapping appears: 0 (Documentation/virt/kvm/api.rst,
 * KVM_CREATE_GUEST_MEMFD).  There are KVMs that reach a mappable guest_memfd
 * through the user address of the slot, which leaves 1: the one that
 * guest_shared() returns.  Found by an attempt, in about a millisecond.
 *
 * Return: 0 or 1; or -errno.
 */
int guest_touch_maps(struct guest *g);

/**
 * guest_set_private() - convert a range by KVM_SET_MEMORY_ATTRIBUTES
 * @g:       the guest
 * @first:   first page
 * @nr:      number of pages
 * @private: private or shared from now on
 *
 * Changes attributes only: no page is freed, no data moved.
 *
 * Return: 0; -EOPNOTSUPP if the VM has no private memory; or -errno.
 */
int guest_set_private(struct guest *g, __u64 first, __u64 nr, bool private);

/**
 * guest_prefault() - map pages into the guest's page tables without a vCPU run
 *
 * KVM_PRE_FAULT_MEMORY on vCPU 0, as often as it makes progress.
 *
 * Return: 0; -EOPNOTSUPP if KVM has no such ioctl for this VM; or -errno.
 */
int guest_prefault(struct guest *g, __u64 first, __u64 nr);

/**
 * guest_shared() - the memory that backs the range while it is shared
 *
 * Return: for private VM types the address in this process of the ordinary
 * memory beside page @page, for mappable guest_memfds that of a mapping of the
 * file, made on first use or by guest_bind() (it maps the pages that are touched
 * through it); or NULL if there can be none.  Unmapped by guest_destroy().
 */
void *guest_shared(struct guest *g, __u64 page);

/* struct guest_fault - why the last guest_touch() or guest_verify() stopped */
struct guest_fault {
	unsigned int exit_reason;	/* KVM_EXIT_* */
	int err;			/* errno of KVM_RUN, 0 if it returned 0 */
	__u64 gpa, flags;		/* of KVM_EXIT_MEMORY_FAULT */
};
const struct guest_fault *guest_fault(const struct guest *g);

#endif
