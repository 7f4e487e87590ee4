/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TDX_INTERNAL_H
#define TDX_INTERNAL_H

#include <nettle/sha2.h>
#include <string.h>

#include "tdx_module.h"

/*
 * What the files of the library share.
 *
 * The module checks operands in an order of its own, which the host VMM can see
 * in the status codes.  So each leaf is one function that reads from top to
 * bottom like the checks of the module, and returns the status; it changes
 * nothing before its last check has passed.
 */

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define BIT(n)		(1ull << (n))
#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

#define PAGE_SHIFT	12
#define PAGE_SIZE	BIT(12)
#define SIZE_2M		BIT(21)
#define SIZE_1G		BIT(30)

#define MSR_TSC			0x10
#define MSR_TSC_ADJUST		0x3b
#define MSR_MISC_ENABLE		0x1a0
#define MISC_ENABLE_LIMIT_CPUID	BIT(22)

/* Features that the library itself depends on. */
#define ATTRIBUTES_DEBUG		BIT(0)
#define ATTRIBUTES_ICSSD		BIT(16)
#define ATTRIBUTES_SEPT_VE_DISABLE	BIT(28)
#define ATTRIBUTES_MIGRATABLE		BIT(29)
#define ATTRIBUTES_PERFMON		BIT(63)

#define CONFIG_FLAGS_GPAW		BIT(0)
#define CONFIG_FLAGS_FLEXIBLE_PENDING_VE BIT(1)
#define CONFIG_FLAGS_NO_RBP_MOD		BIT(2)
#define CONFIG_FLAGS_MAXPA_VIRT		BIT(3)

#define XFAM_FIXED1	0x3ull

#define MAX_TDCS_PAGES	9
#define SEPT_ROOT_INDEX	3
#define MSR_BITMAPS_INDEX 2

/*
 * A lock that is never waited for.  The library finishes a leaf before it starts
 * the next, so it only ever looks whether a lock could be taken.  VP.ENTER and
 * tdx_lock_take() are those who hold one for longer; and calls, after tdx_keep().
 */
struct lock {
	u16 shared;
	bool exclusive;
};

static inline bool is_taken(const struct lock *l, bool exclusive)
{
	return l->exclusive || (exclusive && l->shared);
}

#define MAX_KEPT	12

/* Locks that a call has, or will be said to have. */
struct kept_locks {
	unsigned int nr;
	struct kept_lock {
		struct lock *lock;
		bool exclusive;
	} locks[MAX_KEPT];
};

struct td;

/* The PAMT's knowledge of one 4K page. */
struct pamt {
	u8 type;		/* enum tdx_page_type */
	u8 size;		/* level at which it is mapped */
	u8 level;		/* of the S-EPT entry that points to it */
	struct lock lock;
	struct td *td;		/* owner; for a TDR its own TD */
	struct tdx_vcpu *vcpu;	/* of a TDVPR */
	u64 gpa;		/* REG and EPT pages */
	u64 bepoch;
};

/* 2M worth of PAMT entries, which exist once one of them is asked for. */
struct pamt_block {
	struct pamt page[512];
};

struct tdmr {
	u64 base, size;
	u64 next;		/* first byte that SYS.TDMR.INIT has not reached */
	struct lock lock;
	struct tdx_range pamt[3];	/* 4K, 2M, 1G */
	unsigned int nr_reserved;
	struct tdx_range reserved[TDX_MAX_RESERVED];	/* offset, size */
	struct pamt_block **blocks;	/* size / 2M of them */
};

enum sys_state {
	SYSINIT_PENDING, SYSINIT_DONE, SYSCONFIG_DONE, SYS_READY, SYS_SHUT_DOWN,
	SYS_DISABLED,
};

enum kot_state { KOT_FREE, KOT_ASSIGNED, KOT_FLUSHED, KOT_RESERVED };

/* The key ownership table's knowledge of a keyid. */
struct kot_entry {
	u8 state;
	u32 wbinvd;		/* packages whose caches are still to be written back */
};

struct logical_processor {
	bool initialized;
	u64 last_tdvpr;		/* vCPU that ran last; 0 for none */
	struct tdx_regs host;	/* while a vCPU runs */
	struct kept_locks kept;	/* from its last call */
};

/* Where PHYMEM.CACHE.WB was interrupted, per package. */
struct wbcache {
	struct lock lock;
	unsigned int next;	/* step to go on with; 0 for none */
	u8 flushed[TDX_MAX_KEYIDS / 8];
};

enum lifecycle { LC_HKID_ASSIGNED, LC_KEYS_CONFIGURED, LC_BLOCKED, LC_TEARDOWN };
enum op_state { OS_UNINITIALIZED, OS_INITIALIZED, OS_RUNNABLE };

#define MAX_CPUID_VALUES	80

struct td {
	struct td *next;
	u64 tdr;
	struct pamt *pamt;	/* of the TDR page, whose lock is the TD's */
	u16 keyid;
	enum lifecycle lifecycle;
	bool fatal;
	u32 packages;		/* where the key is configured */
	u64 nr_children;
	unsigned int nr_tdcs;
	u64 tdcs[MAX_TDCS_PAGES];
	u64 uuid[4];

	enum op_state op_state;
	struct lock op_state_lock, sept_lock, epoch_lock;
	u64 attributes, xfam, config_flags, eptp;
	u32 max_vcpus;
	u16 tsc_frequency;
	u64 tsc_offset, tsc_multiplier;
	unsigned int gpa_bits, virt_max_pa;
	unsigned int root_level;	/* 3, or 4 with 5-level paging */
	u32 nr_vcpus, nr_associated, nr_running;
	u32 *x2apic_ids;		/* max_vcpus of them */
	bool topology_enum;
	struct tdx_vcpu *vcpus;

	u64 epoch;
	u16 refs[2];

	struct sha384_ctx sha;
	u8 mrtd[48], mrconfigid[48], mrowner[48], mrownerconfig[48], rtmr[4][48];

	u32 cpuid[MAX_CPUID_VALUES][4];
	bool cpuid_valid[MAX_CPUID_VALUES];
};

enum vcpu_state { VCPU_UNINITIALIZED, VCPU_READY = 2, VCPU_ACTIVE = 4, VCPU_DISABLED = 8 };
enum last_exit { LAST_EXIT_ASYNC_FAULT, LAST_EXIT_TDVMCALL };

#define EPF_THRESHOLD	6
#define EPF_LIST	32

struct ve_info {
	bool valid;
	u32 reason, len, info;
	u64 qualification, gla, gpa;
};

struct tdx_vcpu {
	struct tdx_vcpu *next;
	struct td *td;
	struct pamt *pamt;
	u64 tdvpr;
	unsigned int nr_pages;
	u64 pages[TDX_MAX_TDVPS_PAGES];
	enum vcpu_state state;
	enum last_exit last_exit;
	u32 index, x2apic_id;
	int lp;			/* associated, or -1 */
	u64 epoch;
	u64 last_exit_tsc;
	bool running, entered;
	u8 pend_nmi;
	struct ve_info ve;
	struct tdx_regs gpr;	/* the guest's, while it does not run */

	/* VMCS fields that VP.WR writes; all ones where never written */
	u16 posted_vector;
	u64 pid, shared_eptp;
	u32 pin, secondary, notify_window;

	/* zero-step defence */
	u64 entry_rip;		/* where it was at its last exit */
	unsigned int nr_epf, nr_epf_gpas;
	u64 epf_gpas[EPF_LIST];
};

struct rule {
	struct tdx_injection what;
	u64 seen, hit;
};

struct tdx_module {
	struct tdx_config cfg;
	struct tdx_ops ops;
	u64 keyid_mask;		/* of an address */
	u64 random;
	u8 report_key[32];	/* of the MAC of TDREPORTs */

	enum sys_state state;
	struct lock sys_lock, kot_lock, ket_lock;
	u64 tsc_adjust;
	u32 native_fms;
	unsigned int nr_lps_init;
	u32 packages;		/* where the global key is configured */
	u16 global_keyid;
	bool handoff_valid;
	u16 handoff;
	struct logical_processor lp[TDX_MAX_LPS];

	unsigned int nr_tdmrs;
	struct tdmr tdmr[TDX_MAX_TDMRS];
	struct kot_entry kot[TDX_MAX_KEYIDS];
	struct wbcache wb[TDX_MAX_PKGS];
	struct td *tds;

	unsigned int nr_rules;
	struct rule rules[TDX_MAX_INJECTIONS];

	bool keeps;		/* calls keep their locks */
	struct kept_locks noted;	/* by the call that goes on */

	void (*observe)(void *ctx, const struct tdx_record *record);
	void *observe_ctx;
	void (*watch)(void *ctx, const struct tdx_event *event);
	void *watch_ctx;
};

/* locks.c */
void note_lock(struct tdx_module *m, struct lock *l, bool exclusive);
void keep_locks(struct tdx_module *m, unsigned int lp);
/* What is in there is about to be freed. */
void forget_locks(struct tdx_module *m, const void *start, size_t size);

/* Whether a call finds it taken; else the call has it. */
static inline bool busy(struct tdx_module *m, struct lock *l, bool exclusive)
{
	if (is_taken(l, exclusive))
		return true;
	if (m->keeps)
		note_lock(m, l, exclusive);
	return false;
}

static inline bool busy_shared(struct tdx_module *m, struct lock *l)
{
	return busy(m, l, false);
}

static inline bool busy_exclusive(struct tdx_module *m, struct lock *l)
{
	return busy(m, l, true);
}

/*
 * A leaf in progress.  @in is what the caller passed, @r what it gets back; on
 * the way in they are the same, but for the output registers that the module
 * clears at once.
 */
struct call {
	unsigned int lp, leaf, version;
	const struct tdx_regs *in;
	struct tdx_regs *r;
	bool interrupted;	/* an injected interrupt: PHYMEM.CACHE.WB */
	struct tdx_vcpu *enter;	/* VP.ENTER: whom */
};

static inline u64 in(const struct call *c, unsigned int reg)
{
	return c->in->r[reg];
}

static inline void out(struct call *c, unsigned int reg, u64 value)
{
	c->r->r[reg] = value;
}

static inline unsigned int lp_package(const struct tdx_module *m, unsigned int lp)
{
	return lp * m->cfg.nr_pkgs / m->cfg.nr_lps;
}

static inline u32 all_packages(const struct tdx_module *m)
{
	return (u32)BIT(m->cfg.nr_pkgs) - 1;
}

static inline bool is_private_keyid(const struct tdx_module *m, u64 keyid)
{
	return keyid >= m->cfg.first_keyid &&
	       keyid - m->cfg.first_keyid < m->cfg.nr_keyids;
}

static inline u16 pa_keyid(const struct tdx_module *m, u64 pa)
{
	return (pa & m->keyid_mask) >> (m->cfg.max_pa - m->cfg.keyid_bits);
}

static inline bool aligned(u64 value, u64 size)
{
	return !(value & (size - 1));
}

static inline u64 level_size(unsigned int level)
{
	return BIT(PAGE_SHIFT + 9 * level);
}

static inline bool overlaps(u64 a, u64 a_size, u64 b, u64 b_size)
{
	return a < b + b_size && b < a + a_size;
}

static inline u64 read_msr(struct tdx_module *m, unsigned int lp, u32 msr)
{
	return m->ops.rdmsr(m->ops.ctx, lp, msr);
}

static inline u64 read64(struct tdx_module *m, u64 pa)
{
	u64 v;

	m->ops.read(m->ops.ctx, pa, &v, sizeof(v));
	return v;
}

static inline void write64(struct tdx_module *m, u64 pa, u64 v)
{
	m->ops.write(m->ops.ctx, pa, &v, sizeof(v));
}

/* module.c */
u64 random64(struct tdx_module *m);
void fill_page(struct tdx_module *m, u64 pa, u64 value);
void tell(struct tdx_module *m, enum tdx_event_kind kind, const struct pamt *p,
	  u64 pa);

/* inject.c */
u64 injected_status(struct tdx_module *m, u32 leaf, bool guest);

/* sys.c */
u64 sys_init(struct tdx_module *m, struct call *c);
u64 sys_lp_init(struct tdx_module *m, struct call *c);
u64 sys_key_config(struct tdx_module *m, struct call *c);
u64 sys_shutdown(struct tdx_module *m, struct call *c);
u64 sys_update(struct tdx_module *m, struct call *c);
u64 sys_disable(struct tdx_module *m, struct call *c);
void forget_all(struct tdx_module *m);

/* metadata.c */
struct field {
	u64 id;			/* of the first element, with its context */
	u16 nr;			/* elements */
	u64 (*get)(const struct tdx_module *m, const void *object, unsigned int i);
};

#define FIELD_NONE	(~0ull)
#define FIELD_CLASS(id)	((id) >> 56 & 0x3f)
#define FIELD_CODE(id)	((u32)(id) & 0xffffff)

bool field_id_wellformed(u64 id);
const struct field *field_find(const struct field *table, unsigned int nr, u64 id,
			       unsigned int *index);
u64 field_next(const struct field *table, unsigned int nr, u64 id);
u64 sys_rd(struct tdx_module *m, struct call *c);
u64 mng_rd(struct tdx_module *m, struct call *c);

/* tdmr_pamt.c */
u64 sys_config(struct tdx_module *m, struct call *c);
u64 sys_tdmr_init(struct tdx_module *m, struct call *c);
void free_tdmrs(struct tdx_module *m);
struct tdmr *find_tdmr(struct tdx_module *m, u64 base);
const struct pamt *pamt_peek(const struct tdx_module *m, u64 pa);
struct pamt *pamt_of(struct tdx_module *m, u64 pa);
u64 check_hpa(struct tdx_module *m, u64 pa, unsigned int operand, struct pamt **p);
u64 check_page(struct tdx_module *m, u64 pa, unsigned int operand, bool exclusive,
	       enum tdx_page_type type, struct pamt **p);
u64 check_free_2m(struct tdx_module *m, u64 pa, unsigned int operand, struct pamt **p);
bool shared_hpa_valid(const struct tdx_module *m, u64 pa);
void read_shared(const struct tdx_module *m, u64 pa, void *buf, u32 len);
void write_shared(const struct tdx_module *m, u64 pa, const void *buf, u32 len);
void own_page(struct tdx_module *m, struct pamt *p, u64 pa, enum tdx_page_type type,
	      struct td *td);
void release_page(struct tdx_module *m, struct pamt *p, u64 pa);
void pamt_for_each(const struct tdx_module *m,
		   void (*fn)(void *ctx, const struct pamt *p, u64 pa), void *ctx);

/* td.c */
u64 mng_create(struct tdx_module *m, struct call *c);
u64 mng_key_config(struct tdx_module *m, struct call *c);
u64 mng_addcx(struct tdx_module *m, struct call *c);
u64 mng_init(struct tdx_module *m, struct call *c);
u64 mng_vpflushdone(struct tdx_module *m, struct call *c);
u64 mng_key_freeid(struct tdx_module *m, struct call *c);
u64 explicit_td(struct tdx_module *m, u64 tdr, unsigned int operand, bool exclusive,
		struct td **td);
u64 implicit_td(struct tdx_module *m, const struct pamt *p, bool exclusive, struct td **td);
u64 check_td_state(struct tdx_module *m, struct td *td, unsigned int leaf, bool lock_op_state);
u64 check_msrs(struct tdx_module *m, unsigned int lp);
struct td *find_td(const struct tdx_module *m, u64 tdr);
void free_td(struct tdx_module *m, struct td *td);

/* cpuid.c */
u64 cpuid_configure(struct tdx_module *m, struct td *td, const u8 *td_params,
		    u64 *leaf_subleaf);
bool cpuid_get(const struct td *td, u32 leaf, u32 subleaf, u32 out[4]);
u64 cpuid_config_mask(const struct tdx_module *m, unsigned int index, unsigned int half);
u64 cpuid_field(const struct td *td, u64 id, u64 *value);
u64 tsc_multiplier(const struct tdx_module *m, u16 frequency);

/* vcpu.c */
u64 vp_create(struct tdx_module *m, struct call *c);
u64 vp_addcx(struct tdx_module *m, struct call *c);
u64 vp_init(struct tdx_module *m, struct call *c);
u64 vp_flush(struct tdx_module *m, struct call *c);
u64 vp_rd(struct tdx_module *m, struct call *c);
u64 vp_wr(struct tdx_module *m, struct call *c);
u64 find_vcpu(struct tdx_module *m, u64 tdvpr, unsigned int operand, bool exclusive,
	      bool td_exclusive, struct tdx_vcpu **v);
u64 associate(struct tdx_vcpu *v, unsigned int lp, bool allow_disabled,
	      bool *newly);
void free_vcpu(struct tdx_vcpu *v);

/* enter.c */
#define EXIT_EPT_VIOLATION	48
#define EXIT_EPT_MISCONFIG	49
#define EXIT_TDCALL		77
#define QUAL_READ		BIT(0)	/* of an EPT violation */
#define QUAL_WRITE		BIT(1)

u64 vp_enter(struct tdx_module *m, struct call *c);
void leave(struct tdx_module *m, struct tdx_vcpu *v, u64 status, u64 qualification,
	   u64 extended, u64 gpa, u64 intr_info, struct tdx_regs *regs);
/* Another vCPU has met a machine check: nothing of the TD is to be touched any more. */
bool leave_if_fatal(struct tdx_module *m, struct tdx_vcpu *v, const struct tdx_exit *exit,
		    struct tdx_regs *regs);
void leave_vmcall(struct tdx_module *m, struct tdx_vcpu *v, struct tdx_regs *regs);
enum tdx_guest_next leave_violation(struct tdx_module *m, struct tdx_vcpu *v, u64 gpa,
				    u64 qualification, u64 extended,
				    struct tdx_regs *regs);
enum tdx_guest_next private_violation(struct tdx_module *m, struct tdx_vcpu *v,
				      const struct tdx_exit *exit, u64 raw,
				      struct tdx_regs *regs);
#define TDCALL_BYTES	4

void note_rip(struct tdx_vcpu *v, u64 rip);

/* sept.c */
#define SEPT_R		BIT(0)
#define SEPT_RWX	0x7ull
#define SEPT_WB		(6ull << 3)
#define SEPT_MT		(7ull << 3)
#define SEPT_IPAT	BIT(6)
#define SEPT_LEAF	BIT(7)
#define SEPT_LOCK	BIT(11)
#define SEPT_HPA	0x000ffffffffff000ull
#define SEPT_PRIORITY	BIT(52)		/* a host call waits for the entry */
#define SEPT_SVE	BIT(63)

/* The bits of an entry that are its state. */
#define SEPT_STATE	(BIT(9) | BIT(53) | BIT(54) | BIT(55) | BIT(56) | SEPT_LEAF | \
			 SEPT_IPAT)
#define ST_FREE			(BIT(53) | BIT(54) | BIT(55))
#define ST_NL_MAPPED		0ull
#define ST_NL_BLOCKED		BIT(55)
#define ST_MAPPED		(SEPT_LEAF | SEPT_IPAT)
#define ST_BLOCKED		(ST_MAPPED | BIT(55))
#define ST_PENDING		(ST_MAPPED | BIT(56))
#define ST_PENDING_BLOCKED	(ST_PENDING | BIT(55))

#define SEPT_FREE_ENTRY	(ST_FREE | SEPT_SVE)

/* How a leaf locks the tree. */
enum mode { UNLOCKED, SHARED, EXCLUSIVE };

/* An S-EPT entry that a walk arrived at. */
struct entry {
	u64 pa;			/* where it is */
	u64 raw;
	unsigned int level;
};

enum walk { WALK_DONE, WALK_FAILED, WALK_CORRUPT };

u64 sept_state(u64 raw);
u8 sept_public_state(u64 raw);
bool sept_blocked(u64 raw);
u64 sept_entry(u64 state, u64 pa);
enum walk sept_walk(struct tdx_module *m, const struct td *td, u64 gpa,
		    unsigned int level, struct entry *e);
u64 sept_refuse(struct call *c, const struct entry *e, u64 status);
bool page_info_valid(u64 rcx, unsigned int min, unsigned int max);
bool gpa_is_shared(const struct td *td, u64 gpa);
bool gpa_valid(const struct td *td, u64 gpa);
bool private_gpa_valid(const struct td *td, u64 gpa);
u64 sept_reach(struct tdx_module *m, struct call *c, struct td *td, enum mode tree,
	       unsigned int min, unsigned int max, struct entry *e);
u64 sept_open(struct tdx_module *m, struct call *c, struct td *td, enum mode tree,
	      unsigned int min, unsigned int max, struct entry *e);
void sept_set(struct tdx_module *m, struct entry *e, u64 raw);
u64 sept_take(struct tdx_module *m, struct call *c, struct entry *e, struct pamt *p);
bool tlb_tracked(const struct td *td, u64 bepoch);
u64 mem_sept_add(struct tdx_module *m, struct call *c);
u64 mem_sept_remove(struct tdx_module *m, struct call *c);
u64 mem_sept_rd(struct tdx_module *m, struct call *c);

/* mem.c */
u64 mem_page_add(struct tdx_module *m, struct call *c);
u64 mem_page_aug(struct tdx_module *m, struct call *c);
u64 mem_page_remove(struct tdx_module *m, struct call *c);
u64 mem_range_block(struct tdx_module *m, struct call *c);
u64 mem_range_unblock(struct tdx_module *m, struct call *c);
u64 mem_track(struct tdx_module *m, struct call *c);

/* mr.c */
#define REPORT_BYTES	1024

void mr_start(struct td *td);
void mr_page_add(struct td *td, u64 gpa);
u64 mr_extend(struct tdx_module *m, struct call *c);
u64 mr_finalize(struct tdx_module *m, struct call *c);
void mr_current(const struct td *td, u8 digest[48]);
void mr_report(struct tdx_module *m, const struct td *td, const u8 data[64],
	       u8 report[REPORT_BYTES]);

/* phymem.c */
u64 phymem_page_rdmd(struct tdx_module *m, struct call *c);
u64 phymem_page_reclaim(struct tdx_module *m, struct call *c);
u64 phymem_cache_wb(struct tdx_module *m, struct call *c);
u64 phymem_page_wbinvd(struct tdx_module *m, struct call *c);

#endif
