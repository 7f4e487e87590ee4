/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef TDX_MODULE_H
#define TDX_MODULE_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * DOC: tdx_module
 *
 * An emulated Intel TDX module: what SEAMCALL and TDCALL do, as a library.  It
 * knows no emulator and has no state but the handle of tdx_create().  Memory,
 * MSRs and translations of the machine are reached through struct tdx_ops.
 *
 * The state machines, checks, status codes and outputs are those of module
 * version 1.5.06; README.md lists where they are not.  TDR, TDCS, TDVPS and PAMT
 * live in the library.  The Secure EPT lives in the pages that the host VMM
 * donates, in the format that the CPU walks, so a page walker needs nothing but
 * the root (struct tdx_vcpu_state).
 *
 * How a TD runs: tdx_seamcall() says TDX_ENTER and hands out the guest's
 * registers.  The emulator runs the vCPU and gives each TDCALL to tdx_tdcall(),
 * each VM exit that the host VMM could see to tdx_td_exit().  When one of them
 * says TDX_EXIT, the registers are the host's again and VP.ENTER is over.  There
 * is no callback that runs a vCPU, since an instruction-set emulator does not
 * call, it continues.
 *
 * Units: addresses and sizes in bytes, S-EPT levels as the module counts them
 * (0 maps 4K).  Threads: none; the caller serializes all calls on one handle.
 */

/* General purpose registers, numbered as instructions encode them. */
enum {
	TDX_RAX, TDX_RCX, TDX_RDX, TDX_RBX, TDX_RSP, TDX_RBP, TDX_RSI, TDX_RDI,
	TDX_R8, TDX_R9, TDX_R10, TDX_R11, TDX_R12, TDX_R13, TDX_R14, TDX_R15,
	TDX_NR_REGS,
};

struct tdx_regs {
	uint64_t r[TDX_NR_REGS];
};

#define TDX_MAX_LPS		256
#define TDX_MAX_PKGS		8
#define TDX_MAX_CMRS		32
#define TDX_MAX_TDMRS		64
#define TDX_MAX_RESERVED	32
#define TDX_MAX_KEYIDS		2048
#define TDX_MAX_CPUID_CONFIG	48
#define TDX_TDCS_PAGES		6	/* what TDCS_BASE_SIZE says */
#define TDX_TDVPS_PAGES		6	/* TDVPR and 5 TDCX */
#define TDX_MAX_TDVPS_PAGES	15

#define TDX_NO_SUBLEAF		0xffffffffu

/**
 * struct tdx_cpuid_config - one CPUID leaf that TD_PARAMS configures
 * @leaf:    CPUID leaf
 * @subleaf: sub-leaf, or TDX_NO_SUBLEAF
 * @direct:  EAX..EDX bits that the TD sees as configured
 * @allow:   EAX..EDX bits that the TD sees if configured and native
 */
struct tdx_cpuid_config {
	uint32_t leaf, subleaf;
	uint32_t direct[4], allow[4];
};

struct tdx_range {
	uint64_t base, size;
};

/**
 * struct tdx_config - the machine, and the personality of the module
 * @nr_lps:             logical processors, which are numbered from 0
 * @nr_pkgs:            packages; LPs fill them in order and evenly
 * @nr_lps_init:        SYS.LP.INITs that SYS.CONFIG waits for; 0 means @nr_lps
 * @max_pa:             MAXPHYADDR, in bits, with the keyid bits
 * @keyid_bits:         bits of the keyid, the topmost ones below @max_pa
 * @first_keyid:        first private keyid
 * @nr_keyids:          private keyids, the one that becomes global included
 * @nr_cmrs:            entries of @cmrs
 * @cmrs:               convertible memory, ascending
 * @major, @minor, @update, @build: version of the module
 * @build_date:         as 20240725
 * @features0:          TDX_FEATURES0
 * @handoff:            handoff version, of SYS.SHUTDOWN and SYS.UPDATE
 * @max_tdmrs:          up to TDX_MAX_TDMRS
 * @max_reserved:       reserved areas per TDMR, up to TDX_MAX_RESERVED
 * @max_vcpus:          per TD
 * @tdmr_init_bytes:    what one SYS.TDMR.INIT initializes; a multiple of 4M
 * @attributes_fixed0:  TD ATTRIBUTES that may be 1
 * @attributes_fixed1:  TD ATTRIBUTES that must be 1
 * @xfam_fixed0:        XFAM bits that may be 1
 * @secondary_controls: bits 30 (bus lock) and 31 (notify) that the CPU has
 * @ept_5level:         the CPU walks 5-level EPT
 * @native_tsc_hz:      frequency of the TSC
 * @wb_blocks:          steps of PHYMEM.CACHE.WB between which it is interruptible
 * @zero_step:          do VP.ENTER's defence against zero-stepping
 * @linux_exit_codes:   non-recoverable statuses as Linux names them
 * @lenient:            let the host VMM do what would corrupt it: PAGE.REMOVE without
 *                      BLOCK and TRACK, KEY.FREEID without PHYMEM.CACHE.WB; for
 *                      checkers that look for the effect
 * @seed:               of injections with a probability, and of TD UUIDs
 * @nr_cpuid_config:    entries of @cpuid_config
 * @cpuid_config:       what TD_PARAMS can configure, in its order
 */
struct tdx_config {
	unsigned int nr_lps, nr_pkgs, nr_lps_init;
	unsigned int max_pa, keyid_bits, first_keyid, nr_keyids;
	unsigned int nr_cmrs;
	struct tdx_range cmrs[TDX_MAX_CMRS];
	uint16_t major, minor, update, build;
	uint32_t build_date;
	uint64_t features0;
	uint16_t handoff;
	unsigned int max_tdmrs, max_reserved, max_vcpus;
	uint64_t tdmr_init_bytes;
	uint64_t attributes_fixed0, attributes_fixed1, xfam_fixed0;
	uint32_t secondary_controls;
	bool ept_5level;
	uint64_t native_tsc_hz;
	unsigned int wb_blocks;
	bool zero_step;
	bool linux_exit_codes;
	bool lenient;
	uint64_t seed;
	unsigned int nr_cpuid_config;
	struct tdx_cpuid_config cpuid_config[TDX_MAX_CPUID_CONFIG];
};

struct tdx_vcpu;

/**
 * struct tdx_ops - what the module needs of the machine
 * @ctx:         handed to each of them
 * @read:        read host-physical memory, never across a 4K boundary; all ones
 *               where there is none
 * @write:       write it; code caches of the range must forget it
 * @rdmsr:       an MSR of a logical processor: 0x10 TSC, 0x3b TSC_ADJUST, 0x1a0
 *               MISC_ENABLE
 * @cpuid:       the native CPUID; EAX..EDX
 * @invalidate:  the LP must forget what it cached of the private translations of
 *               the TD whose TDR is at @tdr
 * @host_interrupt_pending: would the LP take an interrupt, were it in the host?
 *               NULL for never
 * @virtual_interrupt_pending: RVI[7:4] > PPR[7:4] for this vCPU?  NULL for never
 */
struct tdx_ops {
	void *ctx;
	void (*read)(void *ctx, uint64_t pa, void *buf, uint32_t len);
	void (*write)(void *ctx, uint64_t pa, const void *buf, uint32_t len);
	uint64_t (*rdmsr)(void *ctx, unsigned int lp, uint32_t msr);
	void (*cpuid)(void *ctx, uint32_t leaf, uint32_t subleaf, uint32_t out[4]);
	void (*invalidate)(void *ctx, unsigned int lp, uint64_t tdr);
	bool (*host_interrupt_pending)(void *ctx, unsigned int lp);
	bool (*virtual_interrupt_pending)(void *ctx, const struct tdx_vcpu *vcpu);
};

struct tdx_module;

/* Version 1.5.06 on a Sapphire Rapids with one LP and no memory yet. */
void tdx_config_default(struct tdx_config *config);

/**
 * tdx_create() - a module that the SEAM loader has just loaded
 * @out:    receives the handle, to be freed by tdx_destroy(); NULL on error
 * @config: copied
 * @ops:    copied
 *
 * Return: 0; -EINVAL if @config contradicts itself; -ENOMEM.
 */
int tdx_create(struct tdx_module **out, const struct tdx_config *config,
	       const struct tdx_ops *ops);
void tdx_destroy(struct tdx_module *m);		/* NULL is fine */

/* From here on as if it had been made with that seed, but for the key of reports. */
void tdx_reseed(struct tdx_module *m, uint64_t seed);

const struct tdx_config *tdx_get_config(const struct tdx_module *m);

/* ---- SEAMCALL ---- */

/**
 * enum tdx_seamcall_next - how the SEAMCALL instruction goes on
 * @TDX_RETURN:       behind SEAMCALL, CF clear, with the registers as changed
 * @TDX_ENTER:        in the TD: @vcpu runs, with the registers as changed
 * @TDX_FAIL_INVALID: VMfailInvalid: CF set, registers as they were
 */
enum tdx_seamcall_next {
	TDX_RETURN,
	TDX_ENTER,
	TDX_FAIL_INVALID,
};

/**
 * tdx_seamcall() - execute SEAMCALL
 * @m:    the module
 * @lp:   the logical processor
 * @regs: its registers, in and out
 * @vcpu: receives whom to enter, if TDX_ENTER
 *
 * What SEAMCALL checks before it reaches the module (VMX operation, CPL, mode) is
 * the caller's part.  RSP and, but for VP.ENTER, all registers that the leaf does
 * not list keep their value.
 */
enum tdx_seamcall_next tdx_seamcall(struct tdx_module *m, unsigned int lp,
				    struct tdx_regs *regs, struct tdx_vcpu **vcpu);

/**
 * tdx_install() - what the P-SEAMLDR does between SYS.SHUTDOWN and SYS.INIT
 *
 * Return: 0; -EBUSY unless TDH.SYS.SHUTDOWN succeeded before.
 */
int tdx_install(struct tdx_module *m);

/* ---- A TD's vCPU ---- */

/**
 * enum tdx_guest_next - how a vCPU goes on
 * @TDX_RESUME:     behind its instruction, with the registers as changed
 * @TDX_REPEAT:     with the same instruction again
 * @TDX_INJECT_VE:  into #VE
 * @TDX_INJECT_DF:  into #DF: a #VE would have been raised while one is unread
 * @TDX_INJECT_PF:  into #PF with the reserved-bit error: GPA beyond its MAXPA
 * @TDX_EXIT:       not now: the host continues behind SEAMCALL with the registers
 *                  as changed; the vCPU's RIP is behind its instruction
 * @TDX_EXIT_FAULT: likewise, but the vCPU's RIP is at its instruction
 */
enum tdx_guest_next {
	TDX_RESUME,
	TDX_REPEAT,
	TDX_INJECT_VE,
	TDX_INJECT_DF,
	TDX_INJECT_PF,
	TDX_EXIT,
	TDX_EXIT_FAULT,
};

/**
 * struct tdx_exit - a VM exit of a vCPU
 * @reason:        VMX exit reason, with bit 31 for a failed entry
 * @qualification: VMX exit qualification
 * @gpa, @gla:     guest-physical and guest-linear address, of EPT violations
 * @intr_info:     VM-exit interruption information
 * @instr_len, @instr_info: of exits due to an instruction
 * @rip:           RIP of the guest
 */
struct tdx_exit {
	uint32_t reason;
	uint64_t qualification, gpa, gla;
	uint32_t intr_info, instr_len, instr_info;
	uint64_t rip;
};

/**
 * tdx_tdcall() - execute TDCALL in 64-bit mode and at CPL 0
 * @m:    the module
 * @vcpu: who runs
 * @rip:  where
 * @regs: in: the guest's; out: the guest's, or the host's if it is an exit
 */
enum tdx_guest_next tdx_tdcall(struct tdx_module *m, struct tdx_vcpu *vcpu,
			       uint64_t rip, struct tdx_regs *regs);

/**
 * tdx_td_exit() - handle a VM exit
 * @m:    the module
 * @vcpu: who ran
 * @exit: why it stopped
 * @regs: as for tdx_tdcall()
 *
 * Exits that never reach the host VMM are the caller's part: instructions that
 * become #VE, #UD or #GP in a TD; see tdx_raise_ve() and tdx_cpuid().
 */
enum tdx_guest_next tdx_td_exit(struct tdx_module *m, struct tdx_vcpu *vcpu,
				const struct tdx_exit *exit, struct tdx_regs *regs);

/**
 * tdx_raise_ve() - remember what TDG.VP.VEINFO.GET is to tell
 *
 * Return: TDX_INJECT_VE; or TDX_INJECT_DF if the vCPU has not read the last one.
 */
enum tdx_guest_next tdx_raise_ve(struct tdx_module *m, struct tdx_vcpu *vcpu,
				 const struct tdx_exit *exit);

/**
 * tdx_cpuid() - what CPUID says in a TD
 *
 * Return: whether the module virtualizes the leaf; else it raises #VE.
 */
bool tdx_cpuid(struct tdx_module *m, const struct tdx_vcpu *vcpu, uint32_t leaf,
	       uint32_t subleaf, uint32_t out[4]);

/**
 * struct tdx_vcpu_state - what the emulator needs to know in order to enter
 * @tdr:            PA of the TDR
 * @tdvps:          PAs of the TDVPS pages, @nr_tdvps of them, TDVPR first
 * @nr_tdvps:       number of TDVPS pages
 * @index:          vCPU index
 * @x2apic_id:      its x2APIC ID
 * @lp:             LP that it is associated with, or -1
 * @keyid:          the TD's private keyid
 * @attributes, @xfam, @config_flags: of the TD
 * @gpa_bits:       48 or 52; the topmost is the shared bit
 * @eptp:           EPTP of the Secure EPT, root included
 * @shared_eptp:    root of the shared EPT; 0 until the host VMM sets one
 * @msr_bitmaps:    PA of the TDCS page for the MSR bitmaps
 * @tsc_offset, @tsc_multiplier: of the TD
 * @posted_vector:  notification vector, or 0xffff
 * @pid:            PA of the posted-interrupt descriptor, or all ones
 * @posted_enabled: process posted interrupts
 * @secondary:      secondary controls that the host VMM set (bits 30 and 31)
 * @notify_window:  VMCS field of that name
 * @pend_nmi:       inject an NMI as soon as possible, see tdx_nmi_injected(); not while
 *                  the guest has to fetch what its #VE was about
 * @entered:        it ran before, so the emulator knows its state
 */
struct tdx_vcpu_state {
	uint64_t tdr;
	uint64_t tdvps[TDX_MAX_TDVPS_PAGES];
	unsigned int nr_tdvps;
	uint32_t index, x2apic_id;
	int lp;
	uint16_t keyid;
	uint64_t attributes, xfam, config_flags;
	unsigned int gpa_bits;
	uint64_t eptp, shared_eptp, msr_bitmaps;
	uint64_t tsc_offset, tsc_multiplier;
	uint16_t posted_vector;
	uint64_t pid;
	bool posted_enabled;
	uint32_t secondary, notify_window;
	bool pend_nmi, entered;
};

void tdx_vcpu_get(const struct tdx_vcpu *vcpu, struct tdx_vcpu_state *state);
void tdx_nmi_injected(struct tdx_vcpu *vcpu);

/* ---- Who owns a page ---- */

/* Page types, as PHYMEM.PAGE.RDMD tells them. */
enum tdx_page_type {
	TDX_PT_NDA = 0, TDX_PT_RSVD = 1, TDX_PT_REG = 3, TDX_PT_TDR = 4,
	TDX_PT_TDCX = 5, TDX_PT_TDVPR = 6, TDX_PT_EPT = 8,
};

/**
 * struct tdx_page - a page and its owner
 * @pa:       its (first) address
 * @level:    0 for 4K, 1 for 2M
 * @type:     what it is
 * @tdr:      the owner's TDR; for a TDR its own address
 * @keyid:    the owner's keyid; for a TDR the global one
 * @has_gpa:  it is reached through the Secure EPT: a private or an EPT page
 * @gpa:      of the private page, or first one that the EPT page can map
 * @ept_level: level of the entry that points to it
 * @bepoch:   epoch in which it was blocked
 */
struct tdx_page {
	uint64_t pa;
	unsigned int level;
	enum tdx_page_type type;
	uint64_t tdr;
	uint16_t keyid;
	bool has_gpa;
	uint64_t gpa;
	unsigned int ept_level;
	uint64_t bepoch;
};

/**
 * tdx_page_owner() - look a page up
 *
 * Return: whether it lies in an initialized TDMR; else nobody can own it.
 */
bool tdx_page_owner(const struct tdx_module *m, uint64_t pa, struct tdx_page *page);

/**
 * tdx_for_each_page() - visit the pages of a TD, by address
 * @m:   the module
 * @tdr: its TDR, or 0 for all TDs
 * @fn:  called for each, a 2M page once; a value other than 0 stops
 * @ctx: handed to @fn
 *
 * Return: 0, or what @fn returned.
 */
int tdx_for_each_page(const struct tdx_module *m, uint64_t tdr,
		      int (*fn)(void *ctx, const struct tdx_page *page), void *ctx);

/**
 * struct tdx_sept - what the Secure EPT says about a GPA
 * @level: where the walk ended
 * @entry: the entry there, as the CPU sees it
 * @state: its state, as TDH.MEM.SEPT.RD encodes it
 */
struct tdx_sept {
	unsigned int level;
	uint64_t entry;
	uint8_t state;
};

/* Return: whether @tdr is one and its TD has a Secure EPT that maps private GPAs. */
bool tdx_sept_lookup(struct tdx_module *m, uint64_t tdr, uint64_t gpa,
		     struct tdx_sept *sept);

/* Public states of S-EPT entries; a table has bit 7 set. */
enum {
	TDX_SEPT_FREE = 0, TDX_SEPT_BLOCKED = 1, TDX_SEPT_PENDING = 2,
	TDX_SEPT_PENDING_BLOCKED = 3, TDX_SEPT_MAPPED = 4,
	TDX_SEPT_NL_BLOCKED = 0x81, TDX_SEPT_NL_MAPPED = 0x84,
};

/**
 * struct tdx_td_info - a TD, for checkers
 * @tdr, @keyid:    which one
 * @lifecycle:      0 HKID_ASSIGNED, 1 KEYS_CONFIGURED, 2 BLOCKED, 3 TEARDOWN
 * @op_state:       0 UNINITIALIZED, 1 INITIALIZED, 2 RUNNABLE
 * @fatal:          it can no longer run
 * @nr_children:    4K pages that it owns, TDR excluded
 * @nr_vcpus, @nr_associated, @nr_running: vCPUs
 * @epoch:          TLB epoch
 * @refs:           vCPUs that run in epochs of either parity
 * @mrtd:           the measurement; final once RUNNABLE
 */
struct tdx_td_info {
	uint64_t tdr;
	uint16_t keyid;
	unsigned int lifecycle, op_state;
	bool fatal;
	uint64_t nr_children;
	unsigned int nr_vcpus, nr_associated, nr_running;
	uint64_t epoch;
	unsigned int refs[2];
	uint8_t mrtd[48];
};

/* Return: whether @tdr is one. */
bool tdx_td_get(const struct tdx_module *m, uint64_t tdr, struct tdx_td_info *info);

/* ---- Watching ---- */

/**
 * struct tdx_record - a call that the module has served
 * @lp:       logical processor
 * @guest:    a TDCALL; else a SEAMCALL
 * @time:     TSC of @lp
 * @vcpu:     TDVPR of the caller, if @guest
 * @in, @out: registers before and after; not @out if VP.ENTER entered
 * @entered:  VP.ENTER entered
 * @injected: the status came from an injection
 *
 * The leaf is in @in's RAX, the status in @out's.
 */
struct tdx_record {
	unsigned int lp;
	bool guest;
	uint64_t time, vcpu;
	struct tdx_regs in, out;
	bool entered, injected;
};

/* One observer; NULL to stop.  It costs nothing while there is none. */
void tdx_observe(struct tdx_module *m,
		 void (*fn)(void *ctx, const struct tdx_record *record), void *ctx);

/**
 * enum tdx_event_kind - what happened to a page
 * @TDX_PAMT_DONATED: [pa, pa + size) holds PAMTs from now on
 * @TDX_OWNED:        a TD, or for a TDR the module, owns it from now on
 * @TDX_RELEASED:     the host VMM owns it again; its cache lines may be dirty
 * @TDX_MAPPED:       an S-EPT entry points to it
 * @TDX_ACCEPTED:     the TD may access it from now on
 * @TDX_BLOCKED:      the TD must not, but may have it in its TLBs
 * @TDX_UNBLOCKED:    the TD may again
 * @TDX_UNMAPPED:     no S-EPT entry points to it any more
 * @TDX_FLUSHED:      PHYMEM.PAGE.WBINVD wrote back the lines of @keyid
 */
enum tdx_event_kind {
	TDX_PAMT_DONATED, TDX_OWNED, TDX_RELEASED, TDX_MAPPED, TDX_ACCEPTED,
	TDX_BLOCKED, TDX_UNBLOCKED, TDX_UNMAPPED, TDX_FLUSHED,
};

/**
 * struct tdx_event - something that happened to a page
 * @kind:  what
 * @pa, @size: to which memory
 * @type:  its page type, when it was (last) owned
 * @tdr:   the TD's TDR; 0 for TDX_PAMT_DONATED and TDX_FLUSHED
 * @keyid: keyid with which it was (last) accessed
 * @gpa, @level: S-EPT position, from TDX_MAPPED to TDX_UNMAPPED
 */
struct tdx_event {
	enum tdx_event_kind kind;
	uint64_t pa, size;
	enum tdx_page_type type;
	uint64_t tdr;
	uint16_t keyid;
	uint64_t gpa;
	unsigned int level;
};

/* One watcher; NULL to stop.  It costs nothing while there is none. */
void tdx_watch(struct tdx_module *m,
	       void (*fn)(void *ctx, const struct tdx_event *event), void *ctx);

/* ---- Trouble on demand ---- */

#define TDX_ANY_LEAF	0xffffffffu

/**
 * struct tdx_injection - make calls fail that would not
 * @leaf:     SEAMCALL leaf, or TDX_ANY_LEAF
 * @guest:    @leaf is a TDCALL's
 * @status:   what the call returns instead of doing anything; a BUSY status
 *            needs its operand in the low bits, as TDX_OPERAND_SEPT_TREE
 * @after:    let so many calls pass first
 * @times:    then hit so many, 0 for all that follow
 * @per_million: with this probability each; 0 means always
 *
 * TDX_INTERRUPTED_RESUMABLE on PHYMEM.CACHE.WB is an interrupt after its first
 * step, so that the host VMM can really resume; it has no effect when there is
 * nothing to write back or nothing left but the last step.
 */
struct tdx_injection {
	uint32_t leaf;
	bool guest;
	uint64_t status;
	uint64_t after, times;
	uint32_t per_million;
};

#define TDX_MAX_INJECTIONS	64

/* Return: 0; -ENOSPC after TDX_MAX_INJECTIONS. */
int tdx_inject(struct tdx_module *m, const struct tdx_injection *injection);
void tdx_inject_clear(struct tdx_module *m);

/**
 * enum tdx_lock - the module's locks
 *
 * All are try-locks: a call that finds one taken fails with BUSY.  In an emulator
 * that finishes one call before it starts the next, only VP.ENTER is ever seen to
 * hold some (the TDR and the TDVPR page, shared).  tdx_lock_take() lets another,
 * imaginary logical processor hold one; tdx_keep() lets calls take their time.
 */
enum tdx_lock {
	TDX_LOCK_SYS, TDX_LOCK_KOT, TDX_LOCK_KET, TDX_LOCK_WBCACHE,
	TDX_LOCK_TDMR,		/* @pa: base of the TDMR */
	TDX_LOCK_PAGE,		/* @pa: any page that has a PAMT entry, so a TDR */
	TDX_LOCK_OP_STATE,	/* @pa: TDR, here and below */
	TDX_LOCK_SEPT_TREE,
	TDX_LOCK_TD_EPOCH,
	TDX_LOCK_SEPT_ENTRY,	/* @gpa: of the entry, with its level in bits 2:0 */
};

/**
 * tdx_lock_take() - hold a lock until tdx_lock_drop()
 * @m:         the module
 * @lock:      which
 * @pa, @gpa:  of what
 * @exclusive: else shared; TDX_LOCK_SEPT_ENTRY is always exclusive
 *
 * Return: 0; -ENOENT if there is no such thing; -EBUSY if it is taken.
 */
int tdx_lock_take(struct tdx_module *m, enum tdx_lock lock, uint64_t pa,
		  uint64_t gpa, bool exclusive);
int tdx_lock_drop(struct tdx_module *m, enum tdx_lock lock, uint64_t pa,
		  uint64_t gpa, bool exclusive);

/**
 * tdx_keep() - let calls keep their locks when they return
 * @m:     the module
 * @keeps: from the next call on
 *
 * What a SEAMCALL does it does at once; but all locks that it has looked at, but for those
 * of S-EPT entries, stay taken, also if it fails, until tdx_release().  The caller is to
 * give the logical processor no answer before that, so that calls of others come to overlap
 * with this one.  VP.ENTER that enters, and TDCALLs, keep nothing.
 */
void tdx_keep(struct tdx_module *m, bool keeps);

/* Drop what the last call of @lp has kept, if anything; its next call does so, too. */
void tdx_release(struct tdx_module *m, unsigned int lp);

/* ---- Names and numbers ---- */

/* "TDH.MEM.PAGE.ADD"; NULL if there is no such leaf */
const char *tdx_leaf_name(uint32_t leaf);
const char *tdx_guest_leaf_name(uint32_t leaf);
/* "TDX_OPERAND_BUSY"; NULL if the upper half names no status */
const char *tdx_status_name(uint64_t status);
/* "RCX"; NULL if it names no operand */
const char *tdx_operand_name(uint32_t operand);

/* The other way; upper or lower case, with or without TDH., TDG. and TDX_. */
bool tdx_leaf_by_name(const char *word, bool *guest, uint32_t *leaf);
bool tdx_status_by_name(const char *word, uint64_t *status);
bool tdx_operand_by_name(const char *word, uint32_t *operand);

#define TDH_VP_ENTER		0
#define TDH_MNG_ADDCX		1
#define TDH_MEM_PAGE_ADD	2
#define TDH_MEM_SEPT_ADD	3
#define TDH_VP_ADDCX		4
#define TDH_MEM_PAGE_AUG	6
#define TDH_MEM_RANGE_BLOCK	7
#define TDH_MNG_KEY_CONFIG	8
#define TDH_MNG_CREATE		9
#define TDH_VP_CREATE		10
#define TDH_MNG_RD		11
#define TDH_MR_EXTEND		16
#define TDH_MR_FINALIZE		17
#define TDH_VP_FLUSH		18
#define TDH_MNG_VPFLUSHDONE	19
#define TDH_MNG_KEY_FREEID	20
#define TDH_MNG_INIT		21
#define TDH_VP_INIT		22
#define TDH_PHYMEM_PAGE_RDMD	24
#define TDH_MEM_SEPT_RD		25
#define TDH_VP_RD		26
#define TDH_PHYMEM_PAGE_RECLAIM	28
#define TDH_MEM_PAGE_REMOVE	29
#define TDH_MEM_SEPT_REMOVE	30
#define TDH_SYS_KEY_CONFIG	31
#define TDH_SYS_INIT		33
#define TDH_SYS_RD		34
#define TDH_SYS_LP_INIT		35
#define TDH_SYS_TDMR_INIT	36
#define TDH_MEM_TRACK		38
#define TDH_MEM_RANGE_UNBLOCK	39
#define TDH_PHYMEM_CACHE_WB	40
#define TDH_PHYMEM_PAGE_WBINVD	41
#define TDH_VP_WR		43
#define TDH_SYS_CONFIG		45
#define TDH_SYS_SHUTDOWN	52
#define TDH_SYS_UPDATE		53
#define TDH_SYS_DISABLE		69

#define TDG_VP_VMCALL		0
#define TDG_VP_INFO		1
#define TDG_VP_VEINFO_GET	3
#define TDG_MR_REPORT		4
#define TDG_MEM_PAGE_ACCEPT	6

#define TDX_SUCCESS				0x0000000000000000ull
#define TDX_NON_RECOVERABLE_VCPU		0x4000000100000000ull
#define TDX_NON_RECOVERABLE_TD			0x6000000200000000ull
#define TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE	0x6000000500000000ull
#define TDX_INTERRUPTED_RESUMABLE		0x8000000300000000ull
#define TDX_OPERAND_INVALID			0xc000010000000000ull
#define TDX_OPERAND_ADDR_RANGE_ERROR		0xc000010100000000ull
#define TDX_OPERAND_BUSY			0x8000020000000000ull
#define TDX_PREVIOUS_TLB_EPOCH_BUSY		0x8000020100000000ull
#define TDX_SYS_BUSY				0x8000020200000000ull
#define TDX_RND_NO_ENTROPY			0x8000020300000000ull
#define TDX_OPERAND_BUSY_HOST_PRIORITY		0x8000020400000000ull
#define TDX_PAGE_METADATA_INCORRECT		0xc000030000000000ull
#define TDX_TD_ASSOCIATED_PAGES_EXIST		0xc000040000000000ull
#define TDX_SYS_INIT_NOT_PENDING		0xc000050000000000ull
#define TDX_SYS_LP_INIT_NOT_DONE		0xc000050200000000ull
#define TDX_SYS_LP_INIT_DONE			0xc000050300000000ull
#define TDX_SYS_NOT_READY			0xc000050500000000ull
#define TDX_SYS_SHUTDOWN			0xc000050600000000ull
#define TDX_SYS_KEY_CONFIG_NOT_PENDING		0xc000050700000000ull
#define TDX_SYS_STATE_INCORRECT			0xc000050800000000ull
#define TDX_SYS_INVALID_HANDOFF			0xc000050900000000ull
#define TDX_SYS_LP_INIT_NOT_PENDING		0xc000050b00000000ull
#define TDX_SYS_CONFIG_NOT_PENDING		0xc000050c00000000ull
#define TDX_TD_FATAL				0xe000060400000000ull
#define TDX_TDCS_NOT_ALLOCATED			0xc000060600000000ull
#define TDX_LIFECYCLE_STATE_INCORRECT		0xc000060700000000ull
#define TDX_OP_STATE_INCORRECT			0xc000060800000000ull
#define TDX_NO_VCPUS				0xc000060900000000ull
#define TDX_TDCX_NUM_INCORRECT			0xc000061000000000ull
#define TDX_X2APIC_ID_NOT_UNIQUE		0xc000062100000000ull
#define TDX_VCPU_STATE_INCORRECT		0xc000070000000000ull
#define TDX_VCPU_ASSOCIATED			0x8000070100000000ull
#define TDX_VCPU_NOT_ASSOCIATED			0x8000070200000000ull
#define TDX_NO_VALID_VE_INFO			0xc000070400000000ull
#define TDX_MAX_VCPUS_EXCEEDED			0xc000070500000000ull
#define TDX_TSC_ROLLBACK			0xc000070600000000ull
#define TDX_TD_VMCS_FIELD_NOT_INITIALIZED	0xc000073000000000ull
#define TDX_KEY_GENERATION_FAILED		0x8000080000000000ull
#define TDX_TD_KEYS_NOT_CONFIGURED		0x8000081000000000ull
#define TDX_KEY_STATE_INCORRECT			0xc000081100000000ull
#define TDX_KEY_CONFIGURED			0x0000081500000000ull
#define TDX_WBCACHE_NOT_COMPLETE		0x8000081700000000ull
#define TDX_HKID_NOT_FREE			0xc000082000000000ull
#define TDX_NO_HKID_READY_TO_WBCACHE		0x0000082100000000ull
#define TDX_WBCACHE_RESUME_ERROR		0xc000082300000000ull
#define TDX_FLUSHVP_NOT_DONE			0x8000082400000000ull
#define TDX_LIMIT_CPUID_MAXVAL_SET		0xc000090100000000ull
#define TDX_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED	0xc000090400000000ull
#define TDX_INCONSISTENT_MSR			0xc000092000000000ull
#define TDX_INVALID_TDMR			0xc0000a0000000000ull
#define TDX_NON_ORDERED_TDMR			0xc0000a0100000000ull
#define TDX_TDMR_OUTSIDE_CMRS			0xc0000a0200000000ull
#define TDX_TDMR_ALREADY_INITIALIZED		0x00000a0300000000ull
#define TDX_INVALID_PAMT			0xc0000a1000000000ull
#define TDX_PAMT_OUTSIDE_CMRS			0xc0000a1100000000ull
#define TDX_PAMT_OVERLAP			0xc0000a1200000000ull
#define TDX_INVALID_RESERVED_IN_TDMR		0xc0000a2000000000ull
#define TDX_NON_ORDERED_RESERVED_IN_TDMR	0xc0000a2100000000ull
#define TDX_EPT_WALK_FAILED			0xc0000b0000000000ull
#define TDX_EPT_ENTRY_NOT_PRESENT		0xc0000b0300000000ull
#define TDX_GPA_RANGE_NOT_BLOCKED		0xc0000b0600000000ull
#define TDX_GPA_RANGE_ALREADY_BLOCKED		0x00000b0700000000ull
#define TDX_TLB_TRACKING_NOT_DONE		0xc0000b0800000000ull
#define TDX_PAGE_ALREADY_ACCEPTED		0x00000b0a00000000ull
#define TDX_PAGE_SIZE_MISMATCH			0xc0000b0b00000000ull
#define TDX_EPT_ENTRY_STATE_INCORRECT		0xc0000b0d00000000ull
#define TDX_EPT_PAGE_NOT_FREE			0xc0000b0e00000000ull
#define TDX_METADATA_FIELD_ID_INCORRECT		0xc0000c0000000000ull
#define TDX_METADATA_FIELD_NOT_WRITABLE		0xc0000c0100000000ull
#define TDX_METADATA_FIELD_NOT_READABLE		0xc0000c0200000000ull
#define TDX_METADATA_FIELD_VALUE_NOT_VALID	0xc0000c0300000000ull
#define TDX_METADATA_FIRST_FIELD_ID		0x00000c0b00000000ull

/* What the status is about: its low half. */
#define TDX_OPERAND_RAX			0
#define TDX_OPERAND_RCX			1
#define TDX_OPERAND_RDX			2
#define TDX_OPERAND_R8			8
#define TDX_OPERAND_R9			9
#define TDX_OPERAND_ATTRIBUTES		64
#define TDX_OPERAND_XFAM		65
#define TDX_OPERAND_CONFIG_FLAGS	66
#define TDX_OPERAND_EPTP_CONTROLS	67
#define TDX_OPERAND_MAX_VCPUS		68
#define TDX_OPERAND_CPUID_CONFIG	69
#define TDX_OPERAND_TSC_FREQUENCY	70
#define TDX_OPERAND_NUM_L2_VMS		71
#define TDX_OPERAND_ARCH_CAPABILITIES	72
#define TDX_OPERAND_TDR			128
#define TDX_OPERAND_TDCX		129
#define TDX_OPERAND_TDVPR		130
#define TDX_OPERAND_SEPT_TREE		146
#define TDX_OPERAND_SEPT_ENTRY		147
#define TDX_OPERAND_TD_EPOCH		169
#define TDX_OPERAND_OP_STATE		172
#define TDX_OPERAND_SYS			184
#define TDX_OPERAND_TDMR		185
#define TDX_OPERAND_KOT			186
#define TDX_OPERAND_KET			187
#define TDX_OPERAND_WBCACHE		188

#ifdef __cplusplus
}
#endif
#endif
