// SPDX-License-Identifier: GPL-2.0-only
/*
 * The measurement of a TD: SHA-384 over what the host VMM builds it of.
 */
#include <nettle/hmac.h>

#include "internal.h"

#define EXTEND_BYTES	256

/* Each step of the build starts a block of its own. */
static void update_block(struct td *td, const char *name, u64 gpa)
{
	u8 block[128] = { 0 };

	memcpy(block, name, strlen(name));
	memcpy(block + 16, &gpa, sizeof(gpa));
	sha384_update(&td->sha, sizeof(block), block);
}

void mr_start(struct td *td)
{
	sha384_init(&td->sha);
	memset(td->rtmr, 0, sizeof(td->rtmr));
}

void mr_page_add(struct td *td, u64 gpa)
{
	update_block(td, "MEM.PAGE.ADD", gpa);
}

u64 mr_extend(struct tdx_module *m, struct call *c)
{
	const u64 gpa = in(c, TDX_RCX);
	u8 content[EXTEND_BYTES];
	struct entry e;
	enum walk walk;
	struct td *td;
	u64 status;

	status = explicit_td(m, in(c, TDX_RDX), TDX_OPERAND_RDX, true, &td);
	if (!status)
		status = check_td_state(m, td, c->leaf, false);
	if (status)
		return status;
	if (!aligned(gpa, EXTEND_BYTES) || !private_gpa_valid(td, gpa))
		return TDX_OPERAND_INVALID | TDX_OPERAND_RCX;
	/* Any leaf will do, of whatever level. */
	walk = sept_walk(m, td, gpa, 0, &e);
	if (walk == WALK_CORRUPT) {
		td->fatal = true;
		return TDX_TD_FATAL;
	}
	if (sept_state(e.raw) != ST_MAPPED)
		return sept_refuse(c, &e, TDX_EPT_ENTRY_NOT_PRESENT);

	m->ops.read(m->ops.ctx,
		    (e.raw & SEPT_HPA) + (gpa & (level_size(e.level) - 1)),
		    content, sizeof(content));
	update_block(td, "MR.EXTEND", gpa);
	sha384_update(&td->sha, sizeof(content), content);
	return TDX_SUCCESS;
}

/* The digest of what was measured so far. */
void mr_current(const struct td *td, u8 digest[48])
{
	struct sha384_ctx sha = td->sha;

	if (td->op_state == OS_RUNNABLE)
		memcpy(digest, td->mrtd, sizeof(td->mrtd));
	else if (td->op_state == OS_INITIALIZED)
		sha384_digest(&sha, sizeof(td->mrtd), digest);
	else
		memset(digest, 0, sizeof(td->mrtd));
}

u64 mr_finalize(struct tdx_module *m, struct call *c)
{
	struct td *td;
	u64 status;

	status = explicit_td(m, in(c, TDX_RCX), TDX_OPERAND_RCX, true, &td);
	if (!status)
		status = check_td_state(m, td, c->leaf, false);
	if (status)
		return status;
	if (!td->nr_vcpus)
		return TDX_NO_VCPUS;

	mr_current(td, td->mrtd);
	td->op_state = OS_RUNNABLE;
	return TDX_SUCCESS;
}

/* Offsets in TDREPORT_STRUCT. */
enum {
	REPORT_TYPE = 0,
	REPORT_TCB_INFO_HASH = 32,
	REPORT_INFO_HASH = 80,
	REPORT_DATA = 128,
	REPORT_MAC = 224,
	REPORT_TCB_INFO = 256,
	REPORT_TCB_INFO_BYTES = 239,
	REPORT_INFO = 512,
};

#define REPORT_TYPE_TDX	0x81

static u8 *put(u8 *to, const void *from, size_t bytes)
{
	memcpy(to, from, bytes);
	return to + bytes;
}

static void hash(u8 digest[48], const u8 *data, size_t bytes)
{
	struct sha384_ctx sha;

	sha384_init(&sha);
	sha384_update(&sha, bytes, data);
	sha384_digest(&sha, 48, digest);
}

/* Write the report that tells a verifier on this platform what a TD is. */
void mr_report(struct tdx_module *m, const struct td *td, const u8 data[64],
	       u8 report[REPORT_BYTES])
{
	static const u8 tcb_valid[8] = { 0xff, 0x01 };
	struct hmac_sha256_ctx mac;
	u8 *info = report + REPORT_INFO;

	memset(report, 0, REPORT_BYTES);
	report[REPORT_TYPE] = REPORT_TYPE_TDX;
	put(report + REPORT_DATA, data, 64);
	put(report + REPORT_TCB_INFO, tcb_valid, sizeof(tcb_valid));
	hash(report + REPORT_TCB_INFO_HASH, report + REPORT_TCB_INFO, REPORT_TCB_INFO_BYTES);

	info = put(info, &td->attributes, 8);
	info = put(info, &td->xfam, 8);
	info = put(info, td->mrtd, 48);
	info = put(info, td->mrconfigid, 48);
	info = put(info, td->mrowner, 48);
	info = put(info, td->mrownerconfig, 48);
	put(info, td->rtmr, sizeof(td->rtmr));
	hash(report + REPORT_INFO_HASH, report + REPORT_INFO, REPORT_BYTES - REPORT_INFO);

	hmac_sha256_set_key(&mac, sizeof(m->report_key), m->report_key);
	hmac_sha256_update(&mac, REPORT_MAC, report);
	hmac_sha256_digest(&mac, SHA256_DIGEST_SIZE, report + REPORT_MAC);
}
