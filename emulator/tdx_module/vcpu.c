// SPDX-License-Identifier: GPL-2.0-only
/*
 * vCPUs: their pages, their association with a logical processor, and the fields
 * that the host VMM may read and write (TDH.VP.*, but for TDH.VP.ENTER).
 */
#include <stdlib.h>

#include "internal.h"

/* Values of VMCS fields that nobody has written yet. */
#define NO_VECTOR	0xffff
#define NO_ADDRESS	(~0ull)

void free_vcpu(struct tdx_vcpu *v)
{
	struct tdx_vcpu **link = &v->td->vcpus;

	while (*link != v)
		link = &(*link)->next;
	*link = v->next;
	free(v);
}

u64 vp_create(struct tdx_module *m, struct call *c)
{
	const u64 pa = in(c, TDX_RCX);
	struct tdx_vcpu *v;
	struct pamt *p;
	struct td *td;
	u64 status;

	status = explicit_td(m, in(c, TDX_RDX), TDX_OPERAND_RDX, false, &td);
	if (!status)
		status = check_td_state(m, td, c->leaf, true);
	if (!status)
		status = check_page(m, pa, TDX_OPERAND_RCX, true, TDX_PT_NDA, &p);
	if (status)
		return status;
	v = calloc(1, sizeof(*v));
	if (!v)
		return TDX_OPERAND_BUSY | TDX_OPERAND_RCX;

	fill_page(m, pa, 0);
	v->td = td;
	v->pamt = p;
	v->tdvpr = pa;
	v->pages[v->nr_pages++] = pa;
	v->lp = -1;
	v->next = td->vcpus;
	td->vcpus = v;
	own_page(m, p, pa, TDX_PT_TDVPR, td);
	p->vcpu = v;
	return TDX_SUCCESS;
}

/* What all leaves that name a TDVPR begin with. */
u64 find_vcpu(struct tdx_module *m, u64 tdvpr, unsigned int operand, bool exclusive,
	      bool td_exclusive, struct tdx_vcpu **v)
{
	struct pamt *p;
	struct td *td;
	u64 status;

	status = check_page(m, tdvpr, operand, exclusive, TDX_PT_TDVPR, &p);
	if (!status)
		status = implicit_td(m, p, td_exclusive, &td);
	if (!status)
		*v = p->vcpu;
	return status;
}

u64 vp_addcx(struct tdx_module *m, struct call *c)
{
	const u64 pa = in(c, TDX_RCX);
	struct tdx_vcpu *v;
	struct pamt *p;
	u64 status;

	status = find_vcpu(m, in(c, TDX_RDX), TDX_OPERAND_RDX, true, false, &v);
	if (!status)
		status = check_td_state(m, v->td, c->leaf, true);
	if (status)
		return status;
	if (v->state != VCPU_UNINITIALIZED)
		return TDX_VCPU_STATE_INCORRECT;
	if (v->nr_pages == TDX_MAX_TDVPS_PAGES)
		return TDX_TDCX_NUM_INCORRECT;
	status = check_page(m, pa, TDX_OPERAND_RCX, true, TDX_PT_NDA, &p);
	if (status)
		return status;

	fill_page(m, pa, 0);
	v->pages[v->nr_pages++] = pa;
	own_page(m, p, pa, TDX_PT_TDCX, v->td);
	return TDX_SUCCESS;
}

static u64 x2apic_id_unique(const struct td *td, u32 id)
{
	for (u32 i = 0; i < td->nr_vcpus; i++)
		if (td->x2apic_ids[i] == id)
			return TDX_X2APIC_ID_NOT_UNIQUE | id;
	return 0;
}

u64 vp_init(struct tdx_module *m, struct call *c)
{
	const u64 rcx = in(c, TDX_RDX), x2apic_id = in(c, TDX_R8);
	struct tdx_vcpu *v;
	struct td *td;
	u64 status;

	if (c->version > 1)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RAX;
	status = find_vcpu(m, in(c, TDX_RCX), TDX_OPERAND_RCX, true, c->version > 0, &v);
	if (status)
		return status;
	td = v->td;
	status = check_td_state(m, td, c->leaf, true);
	if (status)
		return status;
	if (v->nr_pages < TDX_TDVPS_PAGES)
		return TDX_TDCX_NUM_INCORRECT;
	if (v->state != VCPU_UNINITIALIZED)
		return TDX_VCPU_STATE_INCORRECT;
	if (td->nr_vcpus == td->max_vcpus)
		return TDX_MAX_VCPUS_EXCEEDED;
	if (c->version && x2apic_id >> 32)
		return TDX_OPERAND_INVALID | TDX_OPERAND_R8;
	if (c->version)
		status = x2apic_id_unique(td, x2apic_id);
	if (!status)
		status = check_msrs(m, c->lp);
	if (status)
		return status;

	v->index = td->nr_vcpus++;
	v->x2apic_id = c->version ? (u32)x2apic_id : v->index;
	td->x2apic_ids[v->index] = v->x2apic_id;
	if (!c->version)
		td->topology_enum = false;

	/* RBX, RCX, RDX, RSI and R8 tell the virtual firmware where it runs. */
	v->gpr.r[TDX_RBX] = td->gpa_bits;
	v->gpr.r[TDX_RCX] = rcx;
	v->gpr.r[TDX_R8] = rcx;
	v->gpr.r[TDX_RDX] = m->native_fms;
	v->gpr.r[TDX_RSI] = v->index;
	v->posted_vector = NO_VECTOR;
	v->pid = NO_ADDRESS;
	v->shared_eptp = NO_ADDRESS;
	v->last_exit = LAST_EXIT_ASYNC_FAULT;
	v->last_exit_tsc = read_msr(m, c->lp, MSR_TSC);
	v->state = VCPU_READY;
	v->lp = c->lp;
	td->nr_associated++;
	return TDX_SUCCESS;
}

u64 associate(struct tdx_vcpu *v, unsigned int lp, bool allow_disabled, bool *newly)
{
	if (v->state != VCPU_READY && !(allow_disabled && v->state == VCPU_DISABLED))
		return TDX_VCPU_STATE_INCORRECT;
	if (v->lp != -1 && v->lp != (int)lp)
		return TDX_VCPU_ASSOCIATED;
	*newly = v->lp == -1;
	if (*newly) {
		v->lp = lp;
		v->td->nr_associated++;
	}
	return 0;
}

u64 vp_flush(struct tdx_module *m, struct call *c)
{
	struct tdx_vcpu *v;
	u64 status;

	status = find_vcpu(m, in(c, TDX_RCX), TDX_OPERAND_RCX, true, false, &v);
	if (status)
		return status;
	if (v->td->lifecycle != LC_KEYS_CONFIGURED)
		return TDX_TD_KEYS_NOT_CONFIGURED;
	if (v->nr_pages < TDX_TDVPS_PAGES)
		return TDX_TDCX_NUM_INCORRECT;
	if (v->lp != (int)c->lp)
		return TDX_VCPU_NOT_ASSOCIATED;

	m->ops.invalidate(m->ops.ctx, c->lp, v->td->tdr);
	v->lp = -1;
	v->td->nr_associated--;
	m->lp[c->lp].last_tdvpr = 0;
	return TDX_SUCCESS;
}

/* Fields of a vCPU.  Those of class 0 are named by their VMCS encoding. */
enum {
	VMCS_POSTED_VECTOR	= 0x0002,
	VMCS_MSR_BITMAPS	= 0x2004,
	VMCS_TSC_OFFSET		= 0x2010,
	VMCS_PID		= 0x2016,
	VMCS_EPTP		= 0x201a,
	VMCS_TSC_MULTIPLIER	= 0x2032,
	VMCS_SHARED_EPTP	= 0x203c,
	VMCS_PIN		= 0x4000,
	VMCS_SECONDARY		= 0x401e,
	VMCS_NOTIFY_WINDOW	= 0x4024,
};

#define PIN_POSTED_INTERRUPTS	BIT(7)

enum field_name {
	F_POSTED_VECTOR, F_MSR_BITMAPS, F_TSC_OFFSET, F_PID, F_EPTP, F_TSC_MULTIPLIER,
	F_SHARED_EPTP, F_PIN, F_SECONDARY, F_NOTIFY_WINDOW, F_GPR, F_STATE_DETAILS,
	F_INDEX, F_NR_PAGES, F_LP, F_EPOCH, F_PEND_NMI, F_XFAM, F_PAGES,
};

#define FULL	(~0ull)

/*
 * @id, @nr:       the field and its elements, see struct field
 * @size:          mask of its size
 * @read, @write:  bits that the host VMM may read and write
 * @debug:         may also be read and written, whole, if the TD is in debug mode
 * @shared_hpa:    must be a shared physical address
 */
static const struct vcpu_field {
	struct field f;
	u64 size, read, write;
	bool debug, shared_hpa;
} fields[] = {
	[F_POSTED_VECTOR]  = { { 0x0024000100000002, 1, 0 }, 0xffff, FULL, FULL, 0, 0 },
	[F_MSR_BITMAPS]    = { { 0x0024000300002004, 1, 0 }, FULL, FULL, 0, 0, 0 },
	[F_TSC_OFFSET]     = { { 0x0024000300002010, 1, 0 }, FULL, FULL, 0, 0, 0 },
	[F_PID]            = { { 0x0024000300002016, 1, 0 }, FULL, FULL, ~63ull, 0, true },
	[F_EPTP]           = { { 0x002400030000201a, 1, 0 }, FULL, FULL, 0, 0, 0 },
	[F_TSC_MULTIPLIER] = { { 0x0024000300002032, 1, 0 }, FULL, FULL, 0, 0, 0 },
	[F_SHARED_EPTP]    = { { 0x002400030000203c, 1, 0 }, FULL, SEPT_HPA, SEPT_HPA, 0,
			       true },
	[F_PIN]            = { { 0x0024000200004000, 1, 0 }, 0xffffffff,
			       PIN_POSTED_INTERRUPTS, PIN_POSTED_INTERRUPTS, 0, 0 },
	[F_SECONDARY]      = { { 0x002400020000401e, 1, 0 }, 0xffffffff, 0xc0000000,
			       0xc0000000, 0, 0 },
	[F_NOTIFY_WINDOW]  = { { 0x0024000200004024, 1, 0 }, 0xffffffff, FULL, FULL, 0, 0 },
	[F_GPR]            = { { 0x1020000300000000, 16, 0 }, FULL, 0, 0, true, 0 },
	[F_STATE_DETAILS]  = { { 0x9120000300000100, 1, 0 }, FULL, FULL, 0, 0, 0 },
	[F_INDEX]          = { { 0xa020000200000002, 1, 0 }, 0xffffffff, FULL, 0, 0, 0 },
	[F_NR_PAGES]       = { { 0xa020000000000003, 1, 0 }, 0xff, FULL, 0, 0, 0 },
	[F_LP]             = { { 0xa020000200000004, 1, 0 }, 0xffffffff, FULL, 0, 0, 0 },
	[F_EPOCH]          = { { 0xa020000300000006, 1, 0 }, FULL, FULL, 0, 0, 0 },
	[F_PEND_NMI]       = { { 0x202000000000000b, 1, 0 }, 0xff, FULL, FULL, 0, 0 },
	[F_XFAM]           = { { 0x202000030000000c, 1, 0 }, FULL, FULL, 0, 0, 0 },
	[F_PAGES]          = { { 0xa020000300000010, TDX_MAX_TDVPS_PAGES, 0 }, FULL, FULL,
			       0, 0, 0 },
};

static const struct vcpu_field *find_field(u64 id, unsigned int *index)
{
	unsigned int unused;

	/* The upper half of a 64-bit VMCS field has no ID of its own. */
	if (!field_id_wellformed(id) || (!FIELD_CLASS(id) && FIELD_CODE(id) & 1))
		return NULL;
	for (unsigned int i = 0; i < ARRAY_SIZE(fields); i++) {
		if (field_find(&fields[i].f, 1, id, index ? index : &unused))
			return &fields[i];
	}
	return NULL;
}

static u64 next_field(u64 id)
{
	unsigned int index;
	const struct vcpu_field *f;

	if (id == FIELD_NONE)
		return fields[0].f.id;
	f = find_field(id, &index);
	if (!f)
		return FIELD_NONE;
	if (index + 1 < f->f.nr)
		return f->f.id + index + 1;
	return ++f == fields + ARRAY_SIZE(fields) ? FIELD_NONE : f->f.id;
}

static u64 get_field(const struct tdx_module *m, const struct tdx_vcpu *v,
		     enum field_name name, unsigned int i)
{
	switch (name) {
	case F_POSTED_VECTOR:
		return v->posted_vector;
	case F_MSR_BITMAPS:
		return v->td->tdcs[MSR_BITMAPS_INDEX];
	case F_TSC_OFFSET:
		return v->td->tsc_offset;
	case F_PID:
		return v->pid;
	case F_EPTP:
		return v->td->eptp;
	case F_TSC_MULTIPLIER:
		return v->td->tsc_multiplier;
	case F_SHARED_EPTP:
		return v->shared_eptp;
	case F_PIN:
		return v->pin;
	case F_SECONDARY:
		return v->secondary;
	case F_NOTIFY_WINDOW:
		return v->notify_window;
	case F_GPR:
		return v->gpr.r[i];
	case F_STATE_DETAILS:
		return m->ops.virtual_interrupt_pending &&
		       m->ops.virtual_interrupt_pending(m->ops.ctx, v);
	case F_INDEX:
		return v->index;
	case F_NR_PAGES:
		return v->nr_pages;
	case F_LP:
		return (u32)v->lp;
	case F_EPOCH:
		return v->epoch;
	case F_PEND_NMI:
		return v->pend_nmi;
	case F_XFAM:
		return v->td->xfam;
	case F_PAGES:
		return i < v->nr_pages ? v->pages[i] : 0;
	}
	return 0;
}

static u64 set_field(const struct tdx_module *m, struct tdx_vcpu *v,
		     enum field_name name, unsigned int i, u64 value)
{
	switch (name) {
	case F_POSTED_VECTOR:
		if (value > 255)
			return TDX_METADATA_FIELD_VALUE_NOT_VALID;
		v->posted_vector = value;
		break;
	case F_PID:
		v->pid = value;
		break;
	case F_SHARED_EPTP:
		v->shared_eptp = value;
		break;
	case F_PIN:
		if (value & PIN_POSTED_INTERRUPTS && v->posted_vector == NO_VECTOR)
			return TDX_TD_VMCS_FIELD_NOT_INITIALIZED | VMCS_POSTED_VECTOR;
		if (value & PIN_POSTED_INTERRUPTS && v->pid == NO_ADDRESS)
			return TDX_TD_VMCS_FIELD_NOT_INITIALIZED | VMCS_PID;
		v->pin = value;
		break;
	case F_SECONDARY:
		if (value & ~m->cfg.secondary_controls)
			return TDX_METADATA_FIELD_VALUE_NOT_VALID;
		v->secondary = value;
		break;
	case F_NOTIFY_WINDOW:
		v->notify_window = value;
		break;
	case F_GPR:
		v->gpr.r[i] = value;
		break;
	case F_PEND_NMI:
		v->pend_nmi = value;
		break;
	default:
		return TDX_METADATA_FIELD_NOT_WRITABLE;
	}
	return 0;
}

static u64 reach_fields(struct tdx_module *m, struct call *c, bool allow_disabled,
			struct tdx_vcpu **v)
{
	bool newly;
	u64 status;

	status = find_vcpu(m, in(c, TDX_RCX), TDX_OPERAND_RCX, false, false, v);
	if (!status)
		status = check_td_state(m, (*v)->td, c->leaf, true);
	if (status)
		return status;
	if ((*v)->nr_pages < TDX_TDVPS_PAGES)
		return TDX_TDCX_NUM_INCORRECT;
	return associate(*v, c->lp, allow_disabled, &newly);
}

static bool is_debug(const struct tdx_vcpu *v)
{
	return v->td->attributes & ATTRIBUTES_DEBUG;
}

u64 vp_rd(struct tdx_module *m, struct call *c)
{
	const u64 id = in(c, TDX_RDX);
	const struct vcpu_field *f;
	struct tdx_vcpu *v;
	unsigned int index;
	u64 status, mask;

	if (c->version)
		out(c, TDX_RDX, FIELD_NONE);
	if (c->version > 1)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RAX;
	status = reach_fields(m, c, true, &v);
	if (status)
		return status;
	if (c->version && id == FIELD_NONE) {
		out(c, TDX_RDX, next_field(id));
		return TDX_METADATA_FIRST_FIELD_ID;
	}
	f = find_field(id, &index);
	if (!f)
		return TDX_METADATA_FIELD_ID_INCORRECT;
	mask = f->debug && is_debug(v) ? f->size : f->read & f->size;
	if (!mask)
		return TDX_METADATA_FIELD_NOT_READABLE;

	out(c, TDX_R8, get_field(m, v, f - fields, index) & mask);
	if (c->version)
		out(c, TDX_RDX, next_field(id));
	return TDX_SUCCESS;
}

u64 vp_wr(struct tdx_module *m, struct call *c)
{
	const u64 id = in(c, TDX_RDX), wanted = in(c, TDX_R9);
	const struct vcpu_field *f;
	struct tdx_vcpu *v;
	unsigned int index;
	u64 status, old, value, writable, readable, shown;

	status = reach_fields(m, c, false, &v);
	if (status)
		return status;
	f = find_field(id, &index);
	if (!f)
		return TDX_METADATA_FIELD_ID_INCORRECT;
	writable = f->debug && is_debug(v) ? f->size : f->write & f->size;
	readable = f->debug && is_debug(v) ? f->size : f->read & f->size;
	if (!(writable & wanted))
		return TDX_METADATA_FIELD_NOT_WRITABLE;
	old = get_field(m, v, f - fields, index);
	shown = old & readable;
	/* An address that was never set counts as zero where it cannot be set. */
	if (f->shared_hpa && old == NO_ADDRESS)
		old &= writable;
	value = in(c, TDX_R8);
	if ((old ^ value) & wanted & ~writable)
		return TDX_METADATA_FIELD_VALUE_NOT_VALID;
	value = (old & ~(writable & wanted)) | (value & writable & wanted);
	if (f->shared_hpa && !shared_hpa_valid(m, value))
		return TDX_METADATA_FIELD_VALUE_NOT_VALID;
	status = set_field(m, v, f - fields, index, value);
	if (status)
		return status;

	out(c, TDX_R8, shown);
	return TDX_SUCCESS;
}

void tdx_vcpu_get(const struct tdx_vcpu *v, struct tdx_vcpu_state *state)
{
	const struct td *td = v->td;

	*state = (struct tdx_vcpu_state) {
		.tdr = td->tdr,
		.nr_tdvps = v->nr_pages,
		.index = v->index,
		.x2apic_id = v->x2apic_id,
		.lp = v->lp,
		.keyid = td->keyid,
		.attributes = td->attributes,
		.xfam = td->xfam,
		.config_flags = td->config_flags,
		.gpa_bits = td->gpa_bits,
		.eptp = td->eptp,
		.shared_eptp = v->shared_eptp == NO_ADDRESS ? 0 : v->shared_eptp,
		.msr_bitmaps = td->tdcs[MSR_BITMAPS_INDEX],
		.tsc_offset = td->tsc_offset,
		.tsc_multiplier = td->tsc_multiplier,
		.posted_vector = v->posted_vector,
		.pid = v->pid,
		.posted_enabled = v->pin & PIN_POSTED_INTERRUPTS,
		.secondary = v->secondary,
		.notify_window = v->notify_window,
		/* One in the handler of a #VE might take another, which is #DF then. */
		.pend_nmi = v->pend_nmi && !v->ve.valid,
		.entered = v->entered,
	};
	memcpy(state->tdvps, v->pages, sizeof(state->tdvps));
}

void tdx_nmi_injected(struct tdx_vcpu *v)
{
	v->pend_nmi = 0;
}
