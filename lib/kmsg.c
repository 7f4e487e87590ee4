// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel log, record by record (Documentation/ABI/testing/dev-kmsg):
 *
 *	6,339,5140900,-,caller=T1;text with \x0a escapes
 *	 SUBSYSTEM=acpi
 *
 * One read of /dev/kmsg gives one record, one read of a file or FIFO any part
 * of some; both go through the same buffer, and what is not yet whole waits
 * there for the rest.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/types.h>

#include "kmsg.h"

/*
 * The longest record is PRINTK_MESSAGE_MAX (2048) bytes of text, four times
 * that with everything escaped, plus its dictionary; a smaller read(2) than the
 * record gives -EINVAL.
 */
#define RECORD_MAX	16384

struct kmsg {
	int fd;
	size_t have, used;		/* bytes in buf, and how many are dealt with */
	size_t text_at;			/* rest of the record at hand, in text */
	char stamp[32];
	char buf[2 * RECORD_MAX];
	char text[RECORD_MAX + 1];
	char line[RECORD_MAX + 64];
};

int kmsg_open(struct kmsg **out)
{
	const char *path = getenv("SEPT_KMSG");
	struct kmsg *k;
	int err;

	*out = NULL;
	k = calloc(1, sizeof(*k));
	if (!k)
		return -ENOMEM;

	k->fd = open(path && *path ? path : "/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (k->fd < 0) {
		err = -errno;
		free(k);
		return err;
	}
	/* A FIFO has no end to go to, and needs none. */
	if (lseek(k->fd, 0, SEEK_END) < 0 && errno != ESPIPE) {
		err = -errno;
		kmsg_close(k);
		return err;
	}
	*out = k;
	return 0;
}

void kmsg_close(struct kmsg *k)
{
	if (!k)
		return;
	close(k->fd);
	free(k);
}

/* Undo "\x0a" in place. */
static void unescape(char *s)
{
	unsigned int byte;
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] == 'x' && isxdigit(s[2]) && isxdigit(s[3])) {
			sscanf(s + 2, "%2x", &byte);
			/* A zero byte would hide what follows it. */
			*to++ = byte ?: ' ';
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = 0;
}

/*
 * Take one line of the log apart.  Dictionary lines are passed over, and so is
 * what user space wrote: a message of facility 0 can only be the kernel's own.
 */
static bool parse(struct kmsg *k, char *record)
{
	unsigned long long prio, us;
	char *text;

	if (*record == ' ' || sscanf(record, "%llu,%*u,%llu,", &prio, &us) != 2)
		return false;
	text = strchr(record, ';');
	if (!text || prio >> 3)
		return false;

	snprintf(k->text, sizeof(k->text), "%s", text + 1);
	unescape(k->text);
	snprintf(k->stamp, sizeof(k->stamp), "[%5llu.%06llu] ", us / 1000000, us % 1000000);
	k->text_at = 0;
	return true;
}

/* Hand out the next line of the record at hand. */
static bool line_of_text(struct kmsg *k, const char **line)
{
	char *at = k->text + k->text_at;
	size_t len = strcspn(at, "\n");

	if (!*at)
		return false;
	snprintf(k->line, sizeof(k->line), "%s%.*s", k->stamp, (int)len, at);
	k->text_at += len + (at[len] == '\n');
	*line = k->line;
	return true;
}

int kmsg_next(struct kmsg *k, const char **line)
{
	char *end;
	ssize_t n;

	for (;;) {
		if (line_of_text(k, line))
			return 1;

		end = memchr(k->buf + k->used, '\n', k->have - k->used);
		if (end) {
			char *record = k->buf + k->used;

			*end = 0;
			k->used = end + 1 - k->buf;
			parse(k, record);
			continue;
		}

		memmove(k->buf, k->buf + k->used, k->have - k->used);
		k->have -= k->used;
		k->used = 0;
		/* No record is that long: whatever this is, go on behind it. */
		if (k->have >= RECORD_MAX)
			k->have = 0;

		n = read(k->fd, k->buf + k->have, RECORD_MAX);
		if (n > 0)
			k->have += n;
		else if (!n || errno == EAGAIN)
			return 0;
		else if (errno != EINTR)
			return -errno;
	}
}

/*
 * What fails a case.  The first pattern that matches names the line, so the
 * particular stand before the general.
 *
 * "^" is the start of the text.  PREFIX allows for the pr_fmt() of the file, one
 * or two words with a colon; a user's "daemon[12]: BUG: ..." has a bracket there.
 */
#define PREFIX	"^([A-Za-z_][A-Za-z0-9_/-]*: ){0,2}"

/* include/linux/printk.h HW_ERR */
#define HARDWARE "^(mce: |EDAC [^:]*: |\\{[0-9]+\\})?\\[Hardware Error\\]: "

static const struct {
	const char *regex, *word;	/* no word: harmless */
} patterns[] = {
	/* kernel/locking/lockdep.c print_lockdep_off(): it ran out of tables, no more */
	{ PREFIX "BUG: MAX_(STACK_TRACE_ENTRIES|LOCKDEP_[A-Z_]+|LOCK_DEPTH) too low", NULL },

	/* mm/kasan/report.c, mm/kfence/report.c, kernel/kcsan/report.c, mm/kmsan/report.c */
	{ PREFIX "(BUG: )?KASAN: ", "KASAN" },
	{ PREFIX "BUG: KFENCE: ", "KFENCE" },
	{ PREFIX "BUG: KCSAN: ", "KCSAN" },
	{ PREFIX "BUG: KMSAN: ", "KMSAN" },
	/* lib/ubsan.c ubsan_prologue() */
	{ PREFIX "UBSAN: ", "UBSAN" },

	/* mm/page_alloc.c bad_page(), mm/memory.c print_bad_page_map(), mm/filemap.c */
	{ PREFIX "BUG: Bad page (state|map|cache)", "bad page" },
	/* mm/memory.c print_bad_pte() until 6.17, kernel/fork.c check_mm() */
	{ PREFIX "BUG: (Bad rss-counter state|non-zero pgtables_bytes)", "bad mm counter" },
	/* arch/x86/include/asm/pgtable_64.h pte_ERROR() and its sisters */
	{ ":[0-9]+: bad (pte|pmd|pud|p4d|pgd) ", "bad page table" },
	/* lib/refcount.c refcount_warn_saturate() */
	{ PREFIX "refcount_t: ", "refcount" },
	/* lib/list_debug.c */
	{ PREFIX "list_(add|del) (corruption|double add)", "list corruption" },
	/* mm/page_counter.c, kernel/cgroup/misc.c misc_cg_cancel_charge() */
	{ PREFIX "page_counter underflow: ", "counter underflow" },
	{ PREFIX "misc cgroup resource .* became less than 0", "counter underflow" },

	/* kernel/locking/lockdep.c, all its pr_warn("WARNING: ...") */
	{ "^WARNING: (possible (circular|recursive) locking|possible irq lock inversion|"
	  ".*-safe -> .*-unsafe lock order|inconsistent lock state|suspicious RCU usage|"
	  "bad unlock balance|bad contention|held lock freed|lock held when returning|"
	  ".* still has locks held|Nested lock was not taken|chain_key collision)", "lockdep" },
	{ "^\\[ BUG: Invalid wait context \\]", "lockdep" },
	{ "^INFO: trying to register non-static key", "lockdep" },

	/* kernel/rcu/tree_stall.h, kernel/rcu/tree_exp.h */
	{ PREFIX "INFO: [a-z_]+ (self-)?detected (expedited )?stall", "RCU stall" },
	{ PREFIX "[a-z_]+ kthread starved for [0-9]+ jiffies", "RCU stall" },
	/* kernel/watchdog.c, kernel/watchdog_perf.c before 6.5; kernel/workqueue.c */
	{ PREFIX "BUG: soft lockup", "soft lockup" },
	{ PREFIX ".*Watchdog detected hard LOCKUP", "hard lockup" },
	{ PREFIX "BUG: workqueue lockup", "workqueue lockup" },
	/* kernel/hung_task.c hung_task_info() */
	{ "^INFO: task .*:[0-9]+ blocked.* for more than [0-9]+ seconds", "hung task" },

	/* lib/bug.c report_bug(), kernel/panic.c __warn() and panic(), mm/slub.c slab_bug() */
	{ "^kernel BUG at ", "BUG" },
	{ PREFIX "BUG: ", "BUG" },
	{ "^BUG [^ ]+ \\(.*\\): ", "BUG" },
	/* Line start only: "Spectre V2 : WARNING: ..." and the like are advice. */
	{ "^WARNING: ", "WARN" },
	{ "^Kernel panic - not syncing", "panic" },
	{ "^PANIC: ", "panic" },		/* arch/x86/kernel/traps.c exc_double_fault() */
	/*
	 * arch/x86/kernel/dumpstack.c __die_header(): "Oops: " since 6.10, before
	 * that just "name: 0000 [#1]"; arch/x86/kernel/traps.c exc_general_protection().
	 * "traps: name[pid] general protection fault" is a user's own crash.
	 */
	{ "^(Oops: |general protection fault)|: [0-9a-f]{4} \\[#[0-9]+\\]", "Oops" },

	/*
	 * arch/x86/kvm/vmx/tdx.c __TDX_BUG_ON(), arch/x86/virt/vmx/tdx/
	 * seamcall_internal.h seamcall_err(); pr_tdx_error() before 6.18.  Leaf by
	 * name or number.  KVM warns once per boot only; these lines come each time.
	 */
	{ "SEAMCALL [^ ]+ failed: 0x[0-9a-f]", "SEAMCALL failed" },
	/* arch/x86/kvm/vmx/tdx.c tdh_vp_rd_failed(), tdx.h TDX_BUILD_TDVPS_ACCESSORS() */
	{ PREFIX "TD[HX][._][A-Z._]+.* failed:? ?0x[0-9a-f]", "SEAMCALL failed" },
	/* arch/x86/kvm/vmx/tdx.c tdx_mmu_release_hkid(): tdh_..() failed. HKID .. is leaked */
	{ "HKID [0-9]+ is leaked", "HKID leaked" },
	/* arch/x86/kvm/vmx/tdx.c tdx_handle_ept_violation() */
	{ PREFIX "Guest access before accepting 0x", "access before accepting" },
	/* arch/x86/kvm/vmx/tdx.c __tdx_td_init(), arch/x86/virt/vmx/tdx/tdx.c tdx_offline_cpu() */
	{ PREFIX "All packages need to have online CPU", "package offline" },
	{ PREFIX "TDX requires all packages to have an online CPU", "package offline" },
	/* arch/x86/virt/vmx/tdx/tdx.c: "initialization failed: ...", "... failed (-5)" */
	{ "^virt/tdx: .*fail", "TDX failed" },

	/* arch/x86/kvm/mmu/mmu.c, arch/x86/kvm/mmu/tdp_mmu.c */
	{ "(Invalid|Unexpected) SPTE change|shadow-present at free|"
	  "reserved bits set on MMU-present spte", "KVM MMU" },
	{ PREFIX "unexpected emulation request on private memory", "KVM MMU" },
	/* arch/x86/kvm/vmx/vmx.c vmx_insn_failed() */
	{ PREFIX "(vmread|vmwrite|vmclear|vmptrld|invvpid|invept) failed: ", "VMX failed" },

	/*
	 * arch/x86/kernel/cpu/mce/core.c __print_mce(), with bit 61 of the bank's status
	 * (MCI_STATUS_UC); drivers/firmware/efi/cper.c; drivers/edac/mce_amd.c.  Not what
	 * the hardware has corrected: a DIMM may report that for weeks.
	 */
	{ HARDWARE "(CPU [0-9]+: Machine Check( Exception)?: [0-9a-f]+ Bank [0-9]+: [2367abef]|"
	  "event severity: (recoverable|fatal)|(Uncorrected|Deferred)[ ,])", "hardware error" },
};

#define NR_PATTERNS (sizeof(patterns) / sizeof(*patterns))

/* Skip "[   12.345678] " and "[   12.345678][    T1] ". */
static const char *skip_stamp(const char *line)
{
	double seconds;
	int len = 0;

	if (sscanf(line, "[%lf]%n", &seconds, &len) == 1 && len) {
		line += len;
		len = 0;
		sscanf(line, "[ %*1[TC]%*[0-9]]%n", &len);
		line += len;
		line += *line == ' ';
	}
	return line;
}

const char *kmsg_judge(const char *line)
{
	static regex_t compiled[NR_PATTERNS];
	static size_t nr_compiled;
	size_t i;

	line = skip_stamp(line);
	for (i = 0; i < NR_PATTERNS; i++) {
		/* A pattern that does not compile is a defect of ours: say so on every line. */
		if (i == nr_compiled) {
			if (regcomp(&compiled[i], patterns[i].regex, REG_EXTENDED | REG_NOSUB))
				return "kmsg.c: bad pattern";
			nr_compiled++;
		}
		if (!regexec(&compiled[i], line, 0, NULL, 0))
			return patterns[i].word;
	}
	return NULL;
}

int kmsg_tally(struct kmsg *k, struct kmsg_tally *t)
{
	const char *line, *what;
	size_t used;
	int ret;

	memset(t, 0, sizeof(*t));
	while ((ret = kmsg_next(k, &line)) == 1) {
		what = kmsg_judge(line);
		if (!what)
			continue;
		if (!strcmp(what, "WARN")) {
			t->warns++;
		} else if (!strcmp(what, "SEAMCALL failed")) {
			used = strlen(t->seamcall);
			snprintf(t->seamcall + used, sizeof(t->seamcall) - used, "%s%s",
				 t->seamcalls++ ? "; " : "", line);
		} else if (!strcmp(what, "HKID leaked")) {
			t->hkids++;
		} else {
			t->others++;
		}
	}
	return ret;
}
