// SPDX-License-Identifier: GPL-2.0-only
/*
 * What CPUID says in a TD: native values, bits that the module fixes, and bits
 * that TD_PARAMS configures.  The table is that of version 1.5.06; the leaves
 * that depend on XFAM or ATTRIBUTES are finished in adjust().
 */
#include "internal.h"

#define ANY	TDX_NO_SUBLEAF
#define ALL	0xffffffff

/*
 * @leaf, @subleaf: which
 * @faulting:       the TD gets a #VE instead
 * @fixed0:         EAX..EDX bits that are 0 unless configured or in @fixed1
 * @fixed1:         bits that are 1
 */
static const struct value {
	u32 leaf, subleaf;
	bool faulting;
	u32 fixed0[4], fixed1[4];
} values[] = {
	{ 0x0, ANY, false, { 0xffffffdc }, { 0x23 } },
	{ 0x1, ANY, false, { 0xf000c000, 0xff0000ff, 0x08010060, 0x40120400 },
	  { 0, 0, 0x80000000, 0x200 } },
	{ 0x2, ANY, false, { 0xff0100fe, ALL, ALL, ALL }, { 0x00feff01 } },
	{ 0x3, ANY, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0x4, 0, false, { 0x3c00, 0, 0, 0x4 }, {} },
	{ 0x4, 1, false, { 0x3c00, 0, 0, 0x4 }, {} },
	{ 0x4, 2, false, { 0x3c00, 0, 0, 0x4 }, {} },
	{ 0x4, 3, false, { 0x3c00, 0, 0, 0xfffffff8 }, {} },
	{ 0x4, 4, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0x5, ANY, false, { 0xffff0000, 0xffff0000, 0xfffffffc }, {} },
	{ 0x6, ANY, true, {}, {} },
	{ 0x7, 0, false, { 0, 0x404006, 0x643e8010, 0x2298c3 }, {} },
	{ 0x7, 1, false, { 0xfb77e20f, ALL, ALL, 0xfffdfbcf }, {} },
	{ 0x7, 2, false, { ALL, ALL, ALL, 0xffffffc0 }, {} },
	{ 0x8, ANY, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0xa, ANY, false, { 0, 0, 0, 0xffff6000 }, {} },
	{ 0xb, 0, false, { 0xffffffe0, 0xffff0000, 0xffff0000, ALL }, {} },
	{ 0xb, 1, false, { 0xffffffe0, 0xffff0000, 0xffff0000, ALL }, {} },
	{ 0xb, 2, false, { ALL, ALL, 0xffffff00, ALL }, {} },
	{ 0xd, 0, false, { 0xfff9fd18, ALL, 0, ALL }, {} },
	{ 0xd, 1, false, { 0xffffffe0, ALL, 0xffff26ff, ALL }, {} },
	{ 0xd, 2, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 3, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 4, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 5, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 6, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 7, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 8, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 9, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 10, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 11, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 12, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 13, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 14, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 15, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 16, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 17, false, { 0, 0, 0, ALL }, {} },
	{ 0xd, 18, false, { 0, 0, 0, ALL }, {} },
	{ 0xe, ANY, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0x11, ANY, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0x12, ANY, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0x13, ANY, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0x14, 0, false, { 0, 0xfffffe00, 0x7ffffff0, ALL }, {} },
	{ 0x14, 1, false, { 0xfff8, 0, ALL, ALL }, {} },
	{ 0x15, ANY, false, { 0xfffffffe, 0, 0xfe8287bf, ALL }, { 1, 0, 25000000 } },
	{ 0x19, ANY, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0x1a, ANY, false, { 0, ALL, ALL, ALL }, {} },
	{ 0x1c, ANY, false, {}, {} },
	{ 0x1d, 0, false, {}, {} },
	{ 0x1d, 1, false, {}, {} },
	{ 0x1e, ANY, false, {}, {} },
	{ 0x1f, 0, false, { 0xffffffe0, 0xffff0000, 0xffff0000, ALL }, {} },
	{ 0x1f, 1, false, { 0xffffffe0, 0xffff0000, 0xffff0000, ALL }, {} },
	{ 0x1f, 2, false, { 0xffffffe0, 0xffff0000, 0xffff0000, ALL }, {} },
	{ 0x1f, 3, false, { 0xffffffe0, 0xffff0000, 0xffff0000, ALL }, {} },
	{ 0x1f, 4, false, { 0xffffffe0, 0xffff0000, 0xffff0000, ALL }, {} },
	{ 0x1f, 5, false, { 0xffffffe0, 0xffff0000, 0xffff0000, ALL }, {} },
	{ 0x20, ANY, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0x21, 0, false, { ALL, ALL, ALL, ALL },
	  { 0, 0x65746e49, 0x20202020, 0x5844546c } },	/* "IntelTDX    " */
	{ 0x22, ANY, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0x23, 0, false, { 0xfffffff0, 0, ALL, ALL }, {} },
	{ 0x23, 1, false, { 0, 0, ALL, ALL }, {} },
	{ 0x23, 2, false, { ALL, ALL, ALL, ALL }, {} },
	{ 0x23, 3, false, { 0, ALL, ALL, ALL }, {} },
	{ 0x80000000, ANY, false, { ALL, ALL, ALL, ALL }, { 0x80000008 } },
	{ 0x80000001, ANY, false, { ALL, ALL, 0xfffffede, 0xd3efffff }, {} },
	{ 0x80000006, ANY, true, {}, {} },
	{ 0x80000007, ANY, false, { ALL, ALL, ALL, 0xfffffeff }, {} },
	{ 0x80000008, ANY, false, { 0xffff0000, 0xfffffdff, ALL, ALL }, {} },
};

_Static_assert(ARRAY_SIZE(values) <= MAX_CPUID_VALUES, "struct td has room for all");

/* CPUID(7, 0): what goes away with an XFAM component. */
#define EBX_AVX2	BIT(5)
#define EBX_AVX512	(BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31))
#define EBX_HLE		BIT(4)
#define EBX_RTM		BIT(11)
#define ECX_AVX512	(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14))
#define ECX_VAES	(BIT(9) | BIT(10))
#define ECX_PKU		(BIT(3) | BIT(4))
#define ECX_CET_SS	BIT(7)
#define ECX_LA57	BIT(16)
#define ECX_KL		BIT(23)
#define ECX_PKS		BIT(31)
#define EDX_AVX512	(BIT(2) | BIT(3) | BIT(8) | BIT(23))
#define EDX_AMX		(BIT(22) | BIT(24) | BIT(25))
#define EDX_CET_IBT	BIT(20)

/* CPUID(1).ECX: FMA, AVX, F16C */
#define ECX_AVX		(BIT(12) | BIT(28) | BIT(29))
#define ECX_MONITOR	BIT(3)

static int find_value(u32 leaf, u32 subleaf)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++)
		if (values[i].leaf == leaf &&
		    (values[i].subleaf == ANY || values[i].subleaf == subleaf))
			return i;
	return -1;
}

static void clear(u32 v[4])
{
	memset(v, 0, 4 * sizeof(v[0]));
}

static bool xfam_has(const struct td *td, u64 bits)
{
	return (td->xfam & bits) == bits;
}

/* XSAVE area of all components of XFAM that XCR0 enables, uncompacted. */
static u32 xsave_size(struct tdx_module *m, u64 xfam)
{
	u32 size = 576, r[4];

	for (unsigned int i = 2; i <= 18; i++) {
		if (!(xfam & BIT(i)))
			continue;
		m->ops.cpuid(m->ops.ctx, 0xd, i, r);
		if (!(r[2] & 1) && r[0] + r[1] > size)
			size = r[0] + r[1];
	}
	return size;
}

/* Bits that follow from other parameters of the TD. */
static u64 adjust(struct tdx_module *m, struct td *td, const struct value *value,
		  u32 v[4])
{
	const u64 xfam = td->xfam;

	switch (value->leaf) {
	case 0x1:
		if (!v[0])
			v[0] = m->native_fms;
		if (v[0] != m->native_fms)
			return TDX_OPERAND_INVALID | TDX_OPERAND_CPUID_CONFIG;
		if (!xfam_has(td, BIT(2)))
			v[2] &= ~ECX_AVX;
		break;
	case 0x5:
		if (!(td->cpuid[find_value(0x1, 0)][2] & ECX_MONITOR))
			clear(v);
		break;
	case 0x7:
		if (value->subleaf)
			break;
		if (!!(v[1] & EBX_HLE) != !!(v[1] & EBX_RTM))
			return TDX_OPERAND_INVALID | TDX_OPERAND_CPUID_CONFIG;
		if (!xfam_has(td, BIT(2))) {
			v[1] &= ~EBX_AVX2;
			v[2] &= ~ECX_VAES;
		}
		if (!xfam_has(td, 7 << 5)) {
			v[1] &= ~EBX_AVX512;
			v[2] &= ~ECX_AVX512;
			v[3] &= ~EDX_AVX512;
		}
		if (!xfam_has(td, BIT(9)))
			v[2] &= ~ECX_PKU;
		if (!xfam_has(td, 3 << 11)) {
			v[2] &= ~ECX_CET_SS;
			v[3] &= ~EDX_CET_IBT;
		}
		if (!xfam_has(td, 3 << 17))
			v[3] &= ~EDX_AMX;
		v[2] &= ~(ECX_KL | ECX_PKS);
		if (td->attributes & BIT(30))
			v[2] |= ECX_PKS;
		break;
	case 0xa:
	case 0x23:
		if (!(td->attributes & ATTRIBUTES_PERFMON))
			clear(v);
		break;
	case 0xd:
		if (!value->subleaf) {
			v[0] = xfam & 0x602ff;
			v[2] = xsave_size(m, xfam);
		} else if (value->subleaf == 1) {
			v[2] = xfam & 0x1fd00;
		} else if (!(xfam & BIT(value->subleaf))) {
			clear(v);
		}
		break;
	case 0x14:
		if (!xfam_has(td, BIT(8)))
			clear(v);
		break;
	case 0x15:
		v[1] = td->tsc_frequency;
		break;
	case 0x19:
		clear(v);
		break;
	case 0x1c:
		if (!xfam_has(td, BIT(15)))
			clear(v);
		break;
	case 0x1d:
	case 0x1e:
		if (!xfam_has(td, 3 << 17))
			clear(v);
		break;
	case 0x80000008: {
		const unsigned int width = td->gpa_bits;

		if (!(td->config_flags & CONFIG_FLAGS_MAXPA_VIRT))
			td->virt_max_pa = m->cfg.max_pa;
		else if (v[0] & 0xff)
			td->virt_max_pa = v[0] & 0xff;
		else
			td->virt_max_pa = m->cfg.max_pa < width ? m->cfg.max_pa : width;
		if (td->config_flags & CONFIG_FLAGS_MAXPA_VIRT &&
		    (td->virt_max_pa > width || td->virt_max_pa > m->cfg.max_pa ||
		     td->virt_max_pa < 45))
			return TDX_OPERAND_INVALID | TDX_OPERAND_CPUID_CONFIG;
		v[0] = td->virt_max_pa |
		       (td->cpuid[find_value(0x7, 0)][2] & ECX_LA57 ? 57 : 48) << 8;
		break;
	}
	}
	return 0;
}

/*
 * The topology in leaf 0x1f is the host VMM's choice, or native if it is all
 * zero.  It must be well-formed, since leaf 0xb is made from it.
 */
static u64 check_topology(struct tdx_module *m, struct td *td)
{
	enum { INVALID, SMT, CORE, NR_TYPES = 6 };
	const int first = find_value(0x1f, 0), b = find_value(0xb, 0);
	unsigned int prev, type = INVALID, b_level = 0;
	bool null = true, core = false;
	u32 *last = td->cpuid[first];

	for (unsigned int i = 0; i < 4; i++)
		null = null && !td->cpuid[first][i];
	for (unsigned int s = 0; s < NR_TYPES; s++) {
		u32 *v = td->cpuid[first + s];

		if (null) {
			if (s && (v[0] || v[1] || v[2] || v[3]))
				return TDX_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED;
			m->ops.cpuid(m->ops.ctx, 0x1f, s, v);
			v[3] = 0;
			/* A CPU without that leaf has no topology to pass on. */
			if (!s && !(v[2] >> 8 & 0xff)) {
				clear(v);
				return 0;
			}
		}
		prev = type;
		type = v[2] >> 8 & 0xff;
		if (type == INVALID) {
			if (!s || !core)
				return TDX_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED;
			continue;
		}
		if (type <= prev || type >= NR_TYPES || (v[2] & 0xff) != s ||
		    (type == SMT && s))
			return TDX_CPUID_LEAF_1F_FORMAT_UNRECOGNIZED;
		if (type == SMT) {
			memcpy(td->cpuid[b], v, sizeof(td->cpuid[b]));
			b_level = 1;
		}
		core = core || type == CORE;
		last = v;
	}
	memcpy(td->cpuid[b + b_level], last, sizeof(td->cpuid[b]));
	td->cpuid[b + b_level][2] = b_level | CORE << 8;
	while (b_level < 2)
		clear(td->cpuid[b + ++b_level]);
	return 0;
}

/*
 * Compute all values of a new TD.
 *
 * @config:       EAX..EDX of each configuration entry, from TD_PARAMS
 * @leaf_subleaf: receives the entry that is wrong
 */
u64 cpuid_configure(struct tdx_module *m, struct td *td, const u8 *config,
		    u64 *leaf_subleaf)
{
	u32 wanted[TDX_MAX_CPUID_CONFIG][4];
	u64 status;

	memcpy(wanted, config, sizeof(wanted));
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		const struct value *value = &values[i];
		u32 *v = td->cpuid[i];
		unsigned int entry;

		m->ops.cpuid(m->ops.ctx, value->leaf,
			     value->subleaf == ANY ? 0 : value->subleaf, v);
		for (unsigned int r = 0; r < 4; r++)
			v[r] = (v[r] & ~value->fixed0[r]) | value->fixed1[r];
		for (entry = 0; entry < m->cfg.nr_cpuid_config; entry++) {
			const struct tdx_cpuid_config *e = &m->cfg.cpuid_config[entry];

			if (e->leaf != value->leaf || e->subleaf != value->subleaf)
				continue;
			*leaf_subleaf = value->leaf | (u64)value->subleaf << 32;
			for (unsigned int r = 0; r < 4; r++) {
				const u32 w = wanted[entry][r];

				if (w & ~(e->direct[r] | e->allow[r]))
					return TDX_OPERAND_INVALID |
					       TDX_OPERAND_CPUID_CONFIG;
				v[r] = (v[r] & ~e->direct[r]) | (w & e->direct[r]);
				v[r] &= w | ~e->allow[r];
			}
		}
		*leaf_subleaf = value->leaf | (u64)value->subleaf << 32;
		status = adjust(m, td, value, v);
		if (status)
			return status;
		td->cpuid_valid[i] = !value->faulting;
	}
	*leaf_subleaf = 0;
	status = check_topology(m, td);
	if (status)
		return status;
	for (unsigned int i = m->cfg.nr_cpuid_config; i < TDX_MAX_CPUID_CONFIG; i++)
		for (unsigned int r = 0; r < 4; r++)
			if (wanted[i][r])
				return TDX_OPERAND_INVALID | TDX_OPERAND_RDX;
	return 0;
}

/* The configurable bits of entry @index: @half 0 is EAX and EBX. */
u64 cpuid_config_mask(const struct tdx_module *m, unsigned int index, unsigned int half)
{
	const struct tdx_cpuid_config *e = &m->cfg.cpuid_config[index];
	u32 native[4];
	u64 v = 0;

	m->ops.cpuid(m->ops.ctx, e->leaf, e->subleaf == ANY ? 0 : e->subleaf, native);
	for (unsigned int i = 0; i < 2; i++) {
		const unsigned int r = 2 * half + i;

		v |= (u64)(e->direct[r] | (e->allow[r] & native[r])) << 32 * i;
	}
	return v;
}

bool cpuid_get(const struct td *td, u32 leaf, u32 subleaf, u32 out[4])
{
	const int i = find_value(leaf, subleaf);

	if (i < 0 || !td->cpuid_valid[i])
		return false;
	memcpy(out, td->cpuid[i], sizeof(td->cpuid[i]));
	return true;
}

/* TDH.MNG.RD of a CPUID value: bit 0 is the half, then sub-leaf and leaf. */
u64 cpuid_field(const struct td *td, u64 id, u64 *value)
{
	const u32 code = (u32)id, leaf = (code >> 9 & 0x7f) | (code >> 16 & 1) << 31;
	const u32 subleaf = code >> 8 & 1 ? ANY : code >> 1 & 0x7f;
	const unsigned int half = code & 1;

	if (code >> 17)
		return TDX_METADATA_FIELD_ID_INCORRECT;
	for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
		if (values[i].leaf != leaf || values[i].subleaf != subleaf)
			continue;
		if (!td->cpuid_valid[i])
			return TDX_METADATA_FIELD_NOT_READABLE;
		*value = td->cpuid[i][2 * half] | (u64)td->cpuid[i][2 * half + 1] << 32;
		return 0;
	}
	return TDX_METADATA_FIELD_ID_INCORRECT;
}

bool tdx_cpuid(struct tdx_module *m, const struct tdx_vcpu *v, u32 leaf, u32 subleaf,
	       u32 out[4])
{
	(void)m;
	if (!cpuid_get(v->td, leaf, subleaf, out))
		return false;
	if (leaf == 0x1)
		out[1] = (out[1] & 0x00ffffff) | v->x2apic_id << 24;
	if (leaf == 0xb || leaf == 0x1f) {
		out[2] = (out[2] & ~0xffu) | (subleaf & 0xff);
		out[3] = v->x2apic_id;
	}
	return true;
}
