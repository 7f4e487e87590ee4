// SPDX-License-Identifier: GPL-2.0-only
/*
 * Metadata fields of the platform (TDH.SYS.RD) and of a TD (TDH.MNG.RD), as
 * tables.  A field may have several elements, whose IDs follow one another.
 */
#include "internal.h"

/* The size of an element, non-arch and context bits do not matter. */
bool field_id_wellformed(u64 id)
{
	const u64 reserved = 0xffull << 24 | 0xfull << 34 | 0x1ffull << 38 | 7ull << 47 |
			     BIT(55) | BIT(62);

	return !(id & reserved);
}

const struct field *field_find(const struct field *table, unsigned int nr, u64 id,
			       unsigned int *index)
{
	for (unsigned int i = 0; i < nr; i++) {
		const u32 first = FIELD_CODE(table[i].id), code = FIELD_CODE(id);

		if (FIELD_CLASS(table[i].id) != FIELD_CLASS(id))
			continue;
		if (code >= first && code - first < table[i].nr) {
			*index = code - first;
			return &table[i];
		}
	}
	return NULL;
}

/* The ID that follows @id, or the first one if that is FIELD_NONE. */
u64 field_next(const struct field *table, unsigned int nr, u64 id)
{
	const struct field *f;
	unsigned int index;

	if (id == FIELD_NONE)
		return table[0].id;
	f = field_find(table, nr, id, &index);
	if (!f)
		return FIELD_NONE;
	if (index + 1 < f->nr)
		return f->id + index + 1;
	return ++f == table + nr ? FIELD_NONE : f->id;
}

#define CONFIG_FIELD(name, expression)						\
static u64 sys_##name(const struct tdx_module *m, const void *object,		\
		      unsigned int i)						\
{										\
	(void)m, (void)object, (void)i;						\
	return expression;							\
}

CONFIG_FIELD(vendor, 0x8086)
CONFIG_FIELD(build_date, m->cfg.build_date)
CONFIG_FIELD(build, m->cfg.build)
CONFIG_FIELD(minor, m->cfg.minor)
CONFIG_FIELD(major, m->cfg.major)
CONFIG_FIELD(update_version, m->cfg.update)
CONFIG_FIELD(internal_version, 0)
CONFIG_FIELD(handoff, m->cfg.handoff)
CONFIG_FIELD(min_handoff, 0)
CONFIG_FIELD(features0, m->cfg.features0)
CONFIG_FIELD(nr_cmrs, m->cfg.nr_cmrs)
CONFIG_FIELD(cmr_base, i < m->cfg.nr_cmrs ? m->cfg.cmrs[i].base : 0)
CONFIG_FIELD(cmr_size, i < m->cfg.nr_cmrs ? m->cfg.cmrs[i].size : 0)
CONFIG_FIELD(max_tdmrs, m->cfg.max_tdmrs)
CONFIG_FIELD(max_reserved, m->cfg.max_reserved)
CONFIG_FIELD(pamt_entry_size, 16)
CONFIG_FIELD(tdr_size, PAGE_SIZE)
CONFIG_FIELD(tdcs_size, TDX_TDCS_PAGES * PAGE_SIZE)
CONFIG_FIELD(tdvps_size, TDX_TDVPS_PAGES * PAGE_SIZE)
CONFIG_FIELD(attributes_fixed0, m->cfg.attributes_fixed0)
CONFIG_FIELD(attributes_fixed1, m->cfg.attributes_fixed1)
CONFIG_FIELD(xfam_fixed0, m->cfg.xfam_fixed0)
CONFIG_FIELD(xfam_fixed1, XFAM_FIXED1)
CONFIG_FIELD(nr_cpuid_config, m->cfg.nr_cpuid_config)
CONFIG_FIELD(max_vcpus, m->cfg.max_vcpus)
CONFIG_FIELD(cpuid_leaf, i < m->cfg.nr_cpuid_config ?
	     m->cfg.cpuid_config[i].leaf | (u64)m->cfg.cpuid_config[i].subleaf << 32 : 0)
CONFIG_FIELD(cpuid_value, i / 2 < m->cfg.nr_cpuid_config ?
	     cpuid_config_mask(m, i / 2, i % 2) : 0)

static const struct field sys_fields[] = {
	{ 0x0800000200000000, 1, sys_vendor },
	{ 0x8800000200000001, 1, sys_build_date },
	{ 0x8800000100000002, 1, sys_build },
	{ 0x0800000100000003, 1, sys_minor },
	{ 0x0800000100000004, 1, sys_major },
	{ 0x0800000100000005, 1, sys_update_version },
	{ 0x0800000100000006, 1, sys_internal_version },
	{ 0x8900000100000000, 1, sys_handoff },
	{ 0x8900000100000001, 1, sys_min_handoff },
	{ 0x0a00000300000008, 1, sys_features0 },
	{ 0x9000000100000000, 1, sys_nr_cmrs },
	{ 0x9000000300000080, TDX_MAX_CMRS, sys_cmr_base },
	{ 0x9000000300000100, TDX_MAX_CMRS, sys_cmr_size },
	{ 0x9100000100000008, 1, sys_max_tdmrs },
	{ 0x9100000100000009, 1, sys_max_reserved },
	{ 0x9100000100000010, 3, sys_pamt_entry_size },
	{ 0x9800000100000000, 1, sys_tdr_size },
	{ 0x9800000100000100, 1, sys_tdcs_size },
	{ 0x9800000100000200, 1, sys_tdvps_size },
	{ 0x1900000300000000, 1, sys_attributes_fixed0 },
	{ 0x1900000300000001, 1, sys_attributes_fixed1 },
	{ 0x1900000300000002, 1, sys_xfam_fixed0 },
	{ 0x1900000300000003, 1, sys_xfam_fixed1 },
	{ 0x9900000100000004, 1, sys_nr_cpuid_config },
	{ 0x9900000100000008, 1, sys_max_vcpus },
	{ 0x9900000300000400, TDX_MAX_CPUID_CONFIG, sys_cpuid_leaf },
	{ 0x9900000300000500, 2 * TDX_MAX_CPUID_CONFIG, sys_cpuid_value },
};

u64 sys_rd(struct tdx_module *m, struct call *c)
{
	const u64 id = in(c, TDX_RDX);
	const struct field *f;
	unsigned int index;

	out(c, TDX_RDX, FIELD_NONE);
	if (!m->lp[c->lp].initialized)
		return TDX_SYS_LP_INIT_NOT_DONE;
	if (id == FIELD_NONE) {
		out(c, TDX_RDX, field_next(sys_fields, ARRAY_SIZE(sys_fields), id));
		return TDX_METADATA_FIRST_FIELD_ID;
	}
	f = field_id_wellformed(id) ?
		field_find(sys_fields, ARRAY_SIZE(sys_fields), id, &index) : NULL;
	if (!f)
		return TDX_METADATA_FIELD_ID_INCORRECT;

	out(c, TDX_R8, f->get(m, NULL, index));
	out(c, TDX_RDX, field_next(sys_fields, ARRAY_SIZE(sys_fields), id));
	return TDX_SUCCESS;
}

#define TD_FIELD(name, expression)						\
static u64 td_##name(const struct tdx_module *m, const void *object,		\
		     unsigned int i)						\
{										\
	const struct td *td = object;						\
										\
	(void)m, (void)td, (void)i;						\
	return expression;							\
}

static u64 digest_word(const u8 digest[48], unsigned int i)
{
	u64 v;

	memcpy(&v, digest + 8 * i, sizeof(v));
	return v;
}

static u64 mrtd_word(const struct td *td, unsigned int i)
{
	return td->op_state == OS_RUNNABLE ? digest_word(td->mrtd, i) : 0;
}

TD_FIELD(fatal, td->fatal)
TD_FIELD(nr_tdcx, td->nr_tdcs)
TD_FIELD(nr_children, td->nr_children)
TD_FIELD(lifecycle, td->lifecycle)
TD_FIELD(tdcx, i < td->nr_tdcs ? td->tdcs[i] : 0)
TD_FIELD(uuid, td->uuid[i])
TD_FIELD(keyid, td->keyid)
TD_FIELD(packages, td->packages)
TD_FIELD(nr_vcpus, td->nr_vcpus)
TD_FIELD(nr_associated, td->nr_associated)
TD_FIELD(op_state, td->op_state)
TD_FIELD(nr_l2_vms, 0)
TD_FIELD(attributes, td->attributes)
TD_FIELD(xfam, td->xfam)
TD_FIELD(max_vcpus, td->max_vcpus)
TD_FIELD(gpaw, td->gpa_bits == 52)
TD_FIELD(eptp, td->eptp)
TD_FIELD(tsc_offset, td->tsc_offset)
TD_FIELD(tsc_multiplier, td->tsc_multiplier)
TD_FIELD(tsc_frequency, td->tsc_frequency)
TD_FIELD(config_flags, td->config_flags)
TD_FIELD(virt_max_pa, td->virt_max_pa)
TD_FIELD(topology_enum, td->topology_enum)
TD_FIELD(epoch, td->epoch)
TD_FIELD(refs, td->refs[i])
TD_FIELD(mrtd, mrtd_word(td, i))
TD_FIELD(mrconfigid, digest_word(td->mrconfigid, i))
TD_FIELD(mrowner, digest_word(td->mrowner, i))
TD_FIELD(mrownerconfig, digest_word(td->mrownerconfig, i))

#define CPUID_CLASS	0x14

static const struct field td_fields[] = {
	{ 0x8010000000000001, 1, td_fatal },
	{ 0x8010000200000002, 1, td_nr_tdcx },
	{ 0x8010000300000004, 1, td_nr_children },
	{ 0x8010000200000005, 1, td_lifecycle },
	{ 0x8010000300000010, MAX_TDCS_PAGES, td_tdcx },
	{ 0x8010000300000020, 4, td_uuid },
	{ 0x8110000100000001, 1, td_keyid },
	{ 0x8110000300000002, 1, td_packages },
	{ 0x9010000200000001, 1, td_nr_vcpus },
	{ 0x9010000200000002, 1, td_nr_associated },
	{ 0x9010000200000004, 1, td_op_state },
	{ 0x9010000100000005, 1, td_nr_l2_vms },
	{ 0x1110000300000000, 1, td_attributes },
	{ 0x1110000300000001, 1, td_xfam },
	{ 0x1110000200000002, 1, td_max_vcpus },
	{ 0x1110000000000003, 1, td_gpaw },
	{ 0x1110000300000004, 1, td_eptp },
	{ 0x111000030000000a, 1, td_tsc_offset },
	{ 0x111000030000000b, 1, td_tsc_multiplier },
	{ 0x111000010000000c, 1, td_tsc_frequency },
	{ 0x9110000300000016, 1, td_config_flags },
	{ 0x9110000000000018, 1, td_virt_max_pa },
	{ 0x9110000000000019, 1, td_topology_enum },
	{ 0x9210000300000000, 1, td_epoch },
	{ 0x9210000100000001, 2, td_refs },
	{ 0x1310000300000000, 6, td_mrtd },
	{ 0x1310000300000010, 6, td_mrconfigid },
	{ 0x1310000300000018, 6, td_mrowner },
	{ 0x1310000300000020, 6, td_mrownerconfig },
};

u64 mng_rd(struct tdx_module *m, struct call *c)
{
	const u64 id = in(c, TDX_RDX);
	const struct field *f;
	unsigned int index;
	struct td *td;
	u64 status, value;

	if (c->version)
		out(c, TDX_RDX, FIELD_NONE);
	if (c->version > 1)
		return TDX_OPERAND_INVALID | TDX_OPERAND_RAX;
	status = explicit_td(m, in(c, TDX_RCX), TDX_OPERAND_RCX, false, &td);
	if (!status)
		status = check_td_state(m, td, c->leaf, true);
	if (status)
		return status;
	if (c->version && id == FIELD_NONE) {
		out(c, TDX_RDX, field_next(td_fields, ARRAY_SIZE(td_fields), id));
		return TDX_METADATA_FIRST_FIELD_ID;
	}
	if (!field_id_wellformed(id))
		return TDX_METADATA_FIELD_ID_INCORRECT;
	if (FIELD_CLASS(id) == CPUID_CLASS) {
		status = cpuid_field(td, id, &value);
		if (status)
			return status;
	} else {
		f = field_find(td_fields, ARRAY_SIZE(td_fields), id, &index);
		if (!f)
			return TDX_METADATA_FIELD_ID_INCORRECT;
		value = f->get(m, td, index);
	}

	out(c, TDX_R8, value);
	if (c->version)
		out(c, TDX_RDX, field_next(td_fields, ARRAY_SIZE(td_fields), id));
	return TDX_SUCCESS;
}
