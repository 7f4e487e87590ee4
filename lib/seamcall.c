// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../emulator/tdx_module/tdx_module.h"
#include "seamcall.h"

#define CLASS(status)	((status) >> 32)

/* Bits of a status (Intel TDX Module ABI, "Interface Function Completion Status"). */
#define ERROR		(1ull << 63)
#define NON_RECOVERABLE	(1ull << 62)
#define FATAL		(1ull << 61)

/* Linux's own, in place of a status (arch/x86/include/asm/tdx.h TDX_SW_ERROR). */
#define SW_ERROR	0x8000ff0000000000ull

#define NR_LEAVES	256	/* more than there are; as a leaf: one that no name is known of */

#define TDH_MEM_PAGE_RELOCATE	5
#define TDH_MEM_PAGE_DEMOTE	15
#define TDH_MEM_PAGE_PROMOTE	23

/* Leaves that the emulated module lacks, but vendors' kernels call. */
static const char *leaf_name(const struct seamcall *s)
{
	const char *name = s->guest ? tdx_guest_leaf_name(s->leaf) : tdx_leaf_name(s->leaf);

	if (name || s->guest)
		return name;
	return s->leaf == TDH_MEM_PAGE_RELOCATE ? "TDH.MEM.PAGE.RELOCATE" :
	       s->leaf == TDH_MEM_PAGE_DEMOTE ? "TDH.MEM.PAGE.DEMOTE" :
	       s->leaf == TDH_MEM_PAGE_PROMOTE ? "TDH.MEM.PAGE.PROMOTE" : NULL;
}

/* What a status means to who has never seen it; the names say the rest. */
static const struct {
	__u64 status;
	const char *words;
} meanings[] = {
	{ TDX_SUCCESS, "success" },
	{ TDX_NON_RECOVERABLE_VCPU, "the vCPU can run no more" },
	{ TDX_NON_RECOVERABLE_TD, "the TD can run no more" },
	{ TDX_NON_RECOVERABLE_TD_NON_ACCESSIBLE, "the TD can run no more, and its memory is lost" },
	{ TDX_INTERRUPTED_RESUMABLE, "an interrupt came first; to be called again" },
	{ TDX_OPERAND_INVALID, "the operand has a value that it must not have" },
	{ TDX_OPERAND_ADDR_RANGE_ERROR, "the address is not within memory that TDs may have" },
	{ TDX_OPERAND_BUSY, "another call, or a running vCPU, holds it" },
	{ TDX_PREVIOUS_TLB_EPOCH_BUSY, "a vCPU has not left the TD since the last TDH.MEM.TRACK" },
	{ TDX_SYS_BUSY, "another call holds the whole module" },
	{ TDX_RND_NO_ENTROPY, "the processor gave no random number" },
	{ TDX_OPERAND_BUSY_HOST_PRIORITY, "a call of the host waits for it" },
	{ TDX_PAGE_METADATA_INCORRECT, "the page is not what it must be for this: another's, of another kind, or free" },
	{ TDX_TD_ASSOCIATED_PAGES_EXIST, "the TD has pages left" },
	{ TDX_SYS_NOT_READY, "the module is not initialized" },
	{ TDX_SYS_SHUTDOWN, "the module is shut down" },
	{ TDX_TD_FATAL, "the TD has met a fatal error" },
	{ TDX_LIFECYCLE_STATE_INCORRECT, "the TD is at another point of its life" },
	{ TDX_OP_STATE_INCORRECT, "the TD is in another state" },
	{ TDX_VCPU_STATE_INCORRECT, "the vCPU is in another state" },
	{ TDX_VCPU_ASSOCIATED, "the vCPU is still associated with another processor" },
	{ TDX_VCPU_NOT_ASSOCIATED, "the vCPU is not associated with this processor" },
	{ TDX_KEY_GENERATION_FAILED, "the processor had no entropy for a key" },
	{ TDX_TD_KEYS_NOT_CONFIGURED, "the TD's key is not configured on every package" },
	{ TDX_KEY_STATE_INCORRECT, "the keyid is in another state" },
	{ TDX_WBCACHE_NOT_COMPLETE, "the caches are not written back on every package" },
	{ TDX_FLUSHVP_NOT_DONE, "a vCPU is still associated with a processor" },
	{ TDX_EPT_WALK_FAILED, "the S-EPT has no table for this address" },
	{ TDX_EPT_ENTRY_NOT_PRESENT, "the S-EPT entry is not present" },
	{ TDX_GPA_RANGE_NOT_BLOCKED, "the S-EPT entry was not blocked before" },
	{ TDX_GPA_RANGE_ALREADY_BLOCKED, "the S-EPT entry is blocked already" },
	{ TDX_TLB_TRACKING_NOT_DONE, "vCPUs may still have the translation: no TDH.MEM.TRACK since it was blocked" },
	{ TDX_PAGE_ALREADY_ACCEPTED, "the guest has accepted the page before" },
	{ TDX_PAGE_SIZE_MISMATCH, "the page is mapped with another size" },
	{ TDX_EPT_ENTRY_STATE_INCORRECT, "the S-EPT entry is in another state" },
	{ TDX_EPT_PAGE_NOT_FREE, "the S-EPT table still maps something" },
};

static const char *meaning(__u64 status)
{
	unsigned int i;

	for (i = 0; i < sizeof(meanings) / sizeof(*meanings); i++)
		if (CLASS(meanings[i].status) == CLASS(status))
			return meanings[i].words;
	return NULL;
}

/* Append, as far as there is room. */
static void __attribute__((format(printf, 3, 4)))
add(char *buf, size_t len, const char *fmt, ...)
{
	size_t at = strlen(buf);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf + at, len - at, fmt, ap);
	va_end(ap);
}

static void describe_status(__u64 status, char *buf, size_t len)
{
	const char *name, *operand, *words;

	if ((status & SW_ERROR) == SW_ERROR) {
		words = status == (SW_ERROR | 0xffff0000) ? "there is no TDX module, or it is not entered from here" :
			status == (SW_ERROR | 13) ? "#GP: SEAMCALL is not enabled" :
			status == (SW_ERROR | 6) ? "#UD: not in VMX operation" : "the kernel's own error";
		add(buf, len, "never reached the TDX module (%s)", words);
		return;
	}
	name = tdx_status_name(status);
	/* Linux leaves out that a TD that can run no more is a fatal error. */
	if (!name && status >> 61 == 2) {
		status |= FATAL;
		name = tdx_status_name(status);
	}
	if (!name) {
		add(buf, len, "status 0x%llx, of an unknown class", status);
		return;
	}
	add(buf, len, "%s", name + strlen("TDX_"));
	operand = tdx_operand_name(status);
	if (status & ERROR && (__u32)status && operand)
		add(buf, len, " (%s)", operand);
	else if ((__u32)status)
		add(buf, len, " (detail 0x%x)", (__u32)status);
	if (status & FATAL)
		add(buf, len, ", fatal");
	else if (status & ERROR)
		add(buf, len, ", %s", status & NON_RECOVERABLE ? "no use to try again" : "may be tried again");
	words = meaning(status);
	if (words)
		add(buf, len, ": %s", words);
}

/* "Secure EPT Entry Information" in RCX and RDX. */
static void describe_entry(__u64 rcx, __u64 rdx, char *buf, size_t len)
{
	static const char * const sizes[] = { "4K", "2M", "1G", "512G", "256T" };
	static const char * const states[] = {
		[TDX_SEPT_FREE] = "FREE", [TDX_SEPT_BLOCKED] = "BLOCKED",
		[TDX_SEPT_PENDING] = "PENDING", [TDX_SEPT_PENDING_BLOCKED] = "PENDING_BLOCKED",
		[TDX_SEPT_MAPPED] = "MAPPED", [5] = "REMOVED",
	};
	unsigned int level = rdx & 7, state = rdx >> 8 & 0xff;
	bool table = state & 0x80;

	state &= ~0x80u;
	if (level >= sizeof(sizes) / sizeof(*sizes) || state >= sizeof(states) / sizeof(*states))
		return;
	add(buf, len, "; S-EPT entry of %s: %s%s", sizes[level], table ? "a table, " : "", states[state]);
	if (rcx & 0x000ffffffffff000ull)
		add(buf, len, ", page 0x%llx", rcx & 0x000ffffffffff000ull);
}

void seamcall_describe(const struct seamcall *s, char *buf, size_t len)
{
	const char *name = leaf_name(s);

	*buf = '\0';
	if (name)
		add(buf, len, "%s", name);
	else if (s->leaf < NR_LEAVES)
		add(buf, len, "%s leaf %u, which is unknown", s->guest ? "TDCALL" : "SEAMCALL", s->leaf);
	else
		add(buf, len, "%s of an unknown leaf", s->guest ? "TDCALL" : "SEAMCALL");
	if (s->has_status) {
		add(buf, len, ": ");
		describe_status(s->status, buf, len);
	}
	if (s->has_entry)
		describe_entry(s->rcx, s->rdx, buf, len);
}

/* "TDH_MEM_PAGE_ADD" or "TDH.MEM.PAGE.ADD", and what follows.  NULL: it is none. */
static const char *parse_name(const char *text, struct seamcall *s)
{
	char name[40];
	size_t i;

	for (i = 0; i < sizeof(name) - 1 && (isupper(text[i]) || text[i] == '_' || text[i] == '.'); i++)
		name[i] = text[i] == '_' ? '.' : text[i];
	name[i] = '\0';
	if (strncmp(name, "TDH.", 4) && strncmp(name, "TDG.", 4))
		return NULL;
	s->guest = name[2] == 'G';
	for (s->leaf = 0; s->leaf < NR_LEAVES; s->leaf++) {
		const char *known = leaf_name(s);

		if (known && !strcmp(known, name))
			break;
	}
	return text + i;
}

/* "(0x1c)", "(28)", "[0x1c]": the number of a leaf, perhaps with a version. */
static const char *parse_number(const char *text, struct seamcall *s)
{
	__u64 value;
	char *end;

	if (*text != '(' && *text != '[')
		return NULL;
	value = strtoull(text + 1, &end, 0);
	if (end == text + 1 || (*end != ')' && *end != ']'))
		return NULL;
	s->leaf = value & 0xffff;
	return end + 1;
}

/* The number behind the word @name, as "entry 0x12" or "RCX: 0x12". */
static bool number_behind(const char *text, const char *name, __u64 *value)
{
	const char *at = strcasestr(text, name);

	/* Linux 7.3 has "rdx, 0x12". */
	return at && sscanf(at + strlen(name), "%*[ ,:=]%llx", value) == 1;
}

static void parse_entry(const char *text, struct seamcall *s)
{
	const char *name = leaf_name(s);

	/* Others have something else in these registers. */
	if (s->guest || !name || (strncmp(name, "TDH.MEM.", 8) && strcmp(name, "TDH.MR.EXTEND")))
		return;
	s->has_entry = (number_behind(text, "entry", &s->rcx) || number_behind(text, "rcx", &s->rcx)) &&
		       (number_behind(text, "level_state", &s->rdx) || number_behind(text, "rdx", &s->rdx));
}

/* The line begins with a register, behind a time stamp or whatever has no letter. */
static bool only_registers(const char *line)
{
	const char *rcx = strstr(line, "RCX ");

	return rcx && !strstr(line, "failed") && strstr(rcx, " RDX ");
}

bool seamcall_parse(const char *line, struct seamcall *s)
{
	const char *at, *behind = NULL;
	struct seamcall new = {};

	if (only_registers(line)) {
		if (s->has_status)
			parse_entry(line, s);
		return s->has_status && s->has_entry;
	}
	/* "SEAMCALL name", "SEAMCALL (n)", "SEAMCALL[name]", or just a leaf's name. */
	at = strstr(line, "SEAMCALL");
	if (!at)
		at = strstr(line, "TDCALL");
	if (at) {
		new.guest = *at == 'T';
		at += strcspn(at, " [");
		at += *at == ' ';
		at = parse_number(at, &new) ?: parse_name(at + (*at == '['), &new);
	} else {
		for (at = strstr(line, "TD"); at && !behind; at = strstr(at + 1, "TD"))
			behind = parse_name(at, &new);
		at = behind;
	}
	at = at ? strstr(at, "failed") : NULL;
	if (!at)
		return false;
	at += strlen("failed");
	at += strspn(at, ": ");
	if (!strncmp(at, "with ", 5))
		at += 5;
	new.has_status = !strncmp(at, "0x", 2) && sscanf(at, "%llx", &new.status) == 1;
	parse_entry(at, &new);
	*s = new;
	return true;
}
