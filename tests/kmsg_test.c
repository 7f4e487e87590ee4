// SPDX-License-Identifier: GPL-2.0-only
/*
 * lib/kmsg.c: every line that a kernel in trouble prints is named, harmless
 * ones are not, and records arrive whole however they are cut.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include "kmsg.h"

static const struct {
	const char *word, *line;
} bad[] = {
	{ "WARN", "WARNING: CPU: 1 PID: 812 at virt/kvm/guest_memfd.c:301 kvm_gmem_release+0x15/0x1a0 [kvm]" },
	{ "WARN", "WARNING: CPU: 3 PID: 1 at kvm_gmem_release+0x15/0x1a0" },
	{ "WARN", "WARNING: virt/kvm/guest_memfd.c:301 at kvm_gmem_release+0x15/0x1a0, CPU#1: punch_hole/812" },
	{ "WARN", "WARNING: at kvm_gmem_release+0x15/0x1a0, CPU#1: punch_hole/812" },
	{ "BUG", "kernel BUG at mm/filemap.c:1650!" },
	{ "BUG", "kernel BUG at folio_end_read+0x1c/0x30 [verbose debug info unavailable]" },
	{ "BUG", "BUG: kernel NULL pointer dereference, address: 0000000000000010" },
	{ "BUG", "BUG: unable to handle page fault for address: ffffea0000000008" },
	{ "BUG", "BUG: sleeping function called from invalid context at mm/memory.c:7016" },
	{ "BUG", "BUG: scheduling while atomic: punch_hole/812/0x00000002" },
	{ "BUG", "BUG kmalloc-64 (Tainted: G    B   W         ): Redzone overwritten" },
	{ "BUG", "BUG: spinlock bad magic on CPU#0, swapper/0/0" },
	{ "Oops", "Oops: Oops: 0002 [#1] SMP PTI" },
	{ "Oops", "Oops: 0000 [#1] PREEMPT SMP NOPTI" },
	{ "Oops", "Oops: general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP" },
	{ "Oops", "general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] PREEMPT SMP" },
	{ "Oops", "invalid opcode: 0000 [#1] PREEMPT SMP NOPTI" },
	{ "Oops", "stack segment: 0000 [#12] SMP" },
	{ "panic", "Kernel panic - not syncing: Fatal exception" },
	{ "panic", "PANIC: double fault, error_code: 0x0" },
	{ "KASAN", "BUG: KASAN: slab-use-after-free in kvm_gmem_punch_hole+0x1a/0x90 [kvm]" },
	{ "KASAN", "KASAN: null-ptr-deref in range [0x0000000000000010-0x0000000000000017]" },
	{ "KFENCE", "BUG: KFENCE: use-after-free read in kvm_gmem_fault_user_mapping+0x3f/0x120" },
	{ "KCSAN", "BUG: KCSAN: data-race in folio_add_lru / lru_add_drain_cpu" },
	{ "KMSAN", "BUG: KMSAN: uninit-value in kvm_gmem_get_pfn+0x3f/0x120" },
	{ "UBSAN", "UBSAN: array-index-out-of-bounds in arch/x86/kvm/vmx/tdx.c:2210:15" },
	{ "UBSAN", "UBSAN: shift-out-of-bounds in mm/page_alloc.c:1234:5" },
	{ "bad page", "BUG: Bad page state in process punch_hole  pfn:1a2ff" },
	{ "bad page", "BUG: Bad page state: 12 messages suppressed" },
	{ "bad page", "BUG: Bad page map in process punch_hole  pte:80000001a2ff067 pmd:1a2ee067" },
	{ "bad page", "BUG: Bad page cache in process punch_hole  pfn:1a2ff" },
	{ "bad mm counter", "BUG: Bad rss-counter state mm:00000000e0a0e3b5 type:MM_FILEPAGES val:1 Comm:punch_hole Pid:812" },
	{ "bad mm counter", "BUG: non-zero pgtables_bytes on freeing mm: 4096" },
	{ "bad page table", "mm/pgtable-generic.c:54: bad pmd 00000000fa1b3c5d(00000001a2ff0067)" },
	{ "refcount", "refcount_t: underflow; use-after-free." },
	{ "refcount", "refcount_t: saturated; leaking memory." },
	{ "list corruption", "list_del corruption, ffff888101a2ff00->next is LIST_POISON1 (dead000000000100)" },
	{ "list corruption", "list_add corruption. prev->next should be next (ffffea00), but was ffffea01. (prev=ffffea02)." },
	{ "list corruption", "list_add double add: new=ffffea00, prev=ffffea01, next=ffffea02." },
	{ "counter underflow", "page_counter underflow: -1 nr_pages=1" },
	{ "counter underflow", "misc cgroup resource tdx became less than 0" },
	{ "lockdep", "WARNING: possible circular locking dependency detected" },
	{ "lockdep", "WARNING: possible recursive locking detected" },
	{ "lockdep", "WARNING: possible irq lock inversion dependency detected" },
	{ "lockdep", "WARNING: inconsistent lock state" },
	{ "lockdep", "WARNING: suspicious RCU usage" },
	{ "lockdep", "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected" },
	{ "lockdep", "WARNING: bad unlock balance detected!" },
	{ "lockdep", "WARNING: held lock freed!" },
	{ "lockdep", "WARNING: lock held when returning to user space!" },
	{ "lockdep", "WARNING: punch_hole/812 still has locks held!" },
	{ "lockdep", "[ BUG: Invalid wait context ]" },
	{ "lockdep", "INFO: trying to register non-static key." },
	{ "RCU stall", "rcu: INFO: rcu_preempt self-detected stall on CPU" },
	{ "RCU stall", "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:" },
	{ "RCU stall", "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-.... } 21 jiffies s: 89 root: 0x2/." },
	{ "RCU stall", "rcu: rcu_preempt kthread starved for 5250 jiffies! g4321 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=1" },
	{ "soft lockup", "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [punch_hole:812]" },
	{ "hard lockup", "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1" },
	{ "hard lockup", "NMI watchdog: Watchdog detected hard LOCKUP on cpu 3" },
	{ "workqueue lockup", "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 31s!" },
	{ "hung task", "INFO: task punch_hole:812 blocked for more than 120 seconds." },
	{ "hung task", "INFO: task kworker/u8:3:812 blocked in I/O wait for more than 120 seconds." },
	{ "SEAMCALL failed", "kvm_intel: SEAMCALL tdh_mem_range_block failed: 0x8000020300000001, entry 0x1, level_state 0x2" },
	{ "SEAMCALL failed", "kvm_intel: SEAMCALL TDH_MNG_CREATE failed: 0xc000090100000000" },
	{ "SEAMCALL failed", "virt/tdx: SEAMCALL (0x0000000000000021) failed: 0x8000030000000000" },
	{ "SEAMCALL failed", "virt/tdx: SEAMCALL (0x1c) failed: 0xc000090100000000" },
	{ "SEAMCALL failed", "kvm_intel: TDH_VP_RD[VMCS.0x4002] failed 0x8000020000000001" },
	{ "SEAMCALL failed", "kvm_intel: TDH_VP_WR[VMCS.0x4002]=0x1 failed: 0x8000020000000001" },
	{ "SEAMCALL failed", "kvm_intel: TDH_MNG_RD[EXEC.0x11] failed: 0xc000010000000001" },
	{ "SEAMCALL failed", "virt/tdx: TDH.SYS.DISABLE failed: 0x8000020000000000" },
	{ "HKID leaked", "kvm_intel: tdh_mng_vpflushdone() failed. HKID 33 is leaked." },
	{ "HKID leaked", "kvm_intel: tdh_mng_key_freeid() failed. HKID 33 is leaked." },
	{ "access before accepting", "kvm_intel: Guest access before accepting 0x100000000 on vCPU 0" },
	{ "package offline", "kvm_intel: All packages need to have online CPU to create TD. Online CPU and retry." },
	{ "package offline", "virt/tdx: TDX requires all packages to have an online CPU. Delete all TDs in order to offline all CPUs of a package." },
	{ "TDX failed", "virt/tdx: TDX-Module initialization failed (-5)" },
	{ "TDX failed", "virt/tdx: initialization failed: too few private KeyIDs available." },
	{ "KVM MMU", "kvm: Invalid SPTE change: cannot replace a present leaf" },
	{ "KVM MMU", "kvm: SPTE 8600000102a3b77 (@ 00000000f3b5c0de) for gfn 100001 shadow-present at free" },
	{ "KVM MMU", "kvm: get_mmio_spte: reserved bits set on MMU-present spte, addr 0x100000000, hierarchy:" },
	{ "KVM MMU", "kvm: unexpected emulation request on private memory" },
	{ "VMX failed", "kvm_intel: vmwrite failed: field=4002 val=1 err=12" },
	{ "hardware error", "mce: [Hardware Error]: CPU 1: Machine Check: 0 Bank 9: be00000000800400" },
	{ "hardware error", "mce: [Hardware Error]: CPU 1: Machine Check Exception: 5 Bank 7: b200000000070005" },
	{ "hardware error", "{1}[Hardware Error]: event severity: recoverable" },
	{ "hardware error", "[Hardware Error]: Uncorrected, software restartable error." },
	{ "hardware error", "[Hardware Error]: Deferred error, no action required." },
};

static const char * const good[] = {
	"systemd[1]: foo.service: WARNING: failed to start",
	"systemd[1]: BUG: this is a user's own word",
	"punch_hole[812]: kernel BUG at mm/filemap.c:1650!",
	"traps: punch_hole[812] general protection fault ip:401122 sp:7ffc1c error:0 in punch_hole[401000+95000]",
	"punch_hole[812]: segfault at 10 ip 0000000000401122 sp 00007ffc1c error 4 in punch_hole[401000+95000]",
	"Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible via Spectre v2 BHB attacks!",
	"SRSO: WARNING: See https://docs.kernel.org/admin-guide/hw-vuln/srso.html for mitigation options.",
	"RETBleed: WARNING: Spectre v2 mitigation leaves CPU vulnerable to RETBleed attacks, data leaks possible!",
	"platform eisa.0: EISA: Cannot allocate resource for mainboard",
	"mce: [Hardware Error]: Machine check events logged",
	"mce: [Hardware Error]: CPU 1: Machine Check: 0 Bank 9: 9c00000000800400",
	"{1}[Hardware Error]: It has been corrected by h/w and requires no further action",
	"{1}[Hardware Error]: event severity: corrected",
	"[Hardware Error]: Corrected error, no action required.",
	"[Firmware Bug]: TSC ADJUST differs: CPU1 -3 --> 4. Restoring",
	"BUG: MAX_LOCKDEP_CHAINS too low!",
	"BUG: MAX_LOCKDEP_ENTRIES too low!",
	"BUG: MAX_STACK_TRACE_ENTRIES too low!",
	"BUG: MAX_LOCK_DEPTH too low!",
	"INFO: lockdep is turned off.",
	"INFO: NMI handler (perf_event_nmi_handler) took too long to run: 1.302 msecs",
	"Memory failure: 0x1a2ff: recovery action for dirty LRU page: Recovered",
	"Memory failure: 0x1a2ff: Sending SIGBUS to hwpoison:812 due to hardware memory corruption",
	"MCE: Killing hwpoison:812 due to hardware memory corruption fault at 7f0000000000",
	"punch_hole invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
	"Memory cgroup out of memory: Killed process 812 (accounting) total-vm:10240kB, anon-rss:0kB",
	"virt/tdx: BIOS enabled: private KeyID range [16, 64)",
	"virt/tdx: TDX-Module initialized",
	"virt/tdx: 4202516 KB allocated for PAMT",
	"virt/tdx: module not loaded",
	"kvm_intel: TDX enabled, SEAMCALL can be used",
	"kvm: Nested Virtualization enabled",
	"kvm_intel: set kvm_intel.dump_invalid_vmcs=1 to dump internal KVM state.",
	"kvm [812]: vcpu0, guest rIP: 0xfff0 Unhandled WRMSR(0x10) = 0x1",
	"x86/cpu: SGX disabled or unsupported by BIOS.",
	"page: refcount:1 mapcount:0 mapping:0000000000000000 index:0x1 pfn:0x1a2ff",
	"page dumped because: migration failure",
	"------------[ cut here ]------------",
	"Debugging: BUG_ON is what the next test provokes",
	"watchdog: Delayed init of the lockup detector failed: -19",
	"audit: type=1400 audit(1.2:3): apparmor=\"DENIED\" comm=\"BUG: x\"",
	"",
};

TEST(names_every_line_of_a_kernel_in_trouble)
{
	static const char * const stamps[] = {
		"", "[   12.345678] ", "[12345678.345678] ", "[    0.000000][    T0] ",
		"[   12.345678][   C1] ", "[   12.345678][ T4711] ",
	};
	char line[512];
	const char *word;
	size_t i, s;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		for (s = 0; s < ARRAY_SIZE(stamps); s++) {
			snprintf(line, sizeof(line), "%s%s", stamps[s], bad[i].line);
			word = kmsg_judge(line);
			EXPECT_STREQ(bad[i].word, word ?: "harmless")
				TH_LOG("line: %s", line);
		}
	}
}

TEST(lets_harmless_lines_pass)
{
	char line[512];
	const char *word;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(good); i++) {
		word = kmsg_judge(good[i]);
		EXPECT_STREQ("harmless", word ?: "harmless")
			TH_LOG("line: %s", good[i]);
		snprintf(line, sizeof(line), "[   12.345678] %s", good[i]);
		word = kmsg_judge(line);
		EXPECT_STREQ("harmless", word ?: "harmless")
			TH_LOG("line: %s", line);
	}
}

FIXTURE(watch) {
	char dir[64], path[128];
	struct kmsg *k;
	int log;	/* where the test writes records */
};

FIXTURE_VARIANT(watch) {
	int fifo;
};

FIXTURE_VARIANT_ADD(watch, file) { .fifo = 0 };
FIXTURE_VARIANT_ADD(watch, fifo) { .fifo = 1 };

#define BEFORE "4,1,1000000,-;WARNING: at before_the_watch\n"

FIXTURE_SETUP(watch)
{
	strcpy(self->dir, "/tmp/kmsg_test.XXXXXX");
	ASSERT_NE(NULL, mkdtemp(self->dir));
	snprintf(self->path, sizeof(self->path), "%s/kmsg", self->dir);
	setenv("SEPT_KMSG", self->path, 1);
	if (variant->fifo) {
		ASSERT_EQ(0, mkfifo(self->path, 0600));
		self->log = open(self->path, O_RDWR);
		ASSERT_LE(0, self->log);
	} else {
		self->log = open(self->path, O_WRONLY | O_CREAT | O_APPEND, 0600);
		ASSERT_LE(0, self->log);
		ASSERT_EQ(strlen(BEFORE), write(self->log, BEFORE, strlen(BEFORE)));
	}
	ASSERT_EQ(0, kmsg_open(&self->k));
}

FIXTURE_TEARDOWN(watch)
{
	kmsg_close(self->k);
	close(self->log);
	unlink(self->path);
	rmdir(self->dir);
}

#define LOG(text) ASSERT_EQ(strlen(text), write(self->log, text, strlen(text)))
#define EXPECT_LINE(text) do {					\
	const char *__line = "none";				\
	EXPECT_EQ(1, kmsg_next(self->k, &__line));		\
	EXPECT_STREQ(text, __line);				\
} while (0)
#define EXPECT_NO_LINE() do {					\
	const char *__line = "none";				\
	EXPECT_EQ(0, kmsg_next(self->k, &__line))		\
		TH_LOG("line: %s", __line);			\
} while (0)

TEST_F(watch, starts_at_the_end)
{
	EXPECT_NO_LINE();
	LOG("6,2,12345678,-;first\n");
	EXPECT_LINE("[   12.345678] first");
	EXPECT_NO_LINE();
	LOG("6,3,12345679,-;second\n6,4,123456789012,-,caller=T12;third\n");
	EXPECT_LINE("[   12.345679] second");
	EXPECT_LINE("[123456.789012] third");
	EXPECT_NO_LINE();
}

TEST_F(watch, waits_for_the_rest_of_a_record)
{
	const char *whole = "4,2,1000000,-;WARNING: at punch+0x1\n";
	size_t i;

	for (i = 0; whole[i]; i++) {
		EXPECT_NO_LINE();
		ASSERT_EQ(1, write(self->log, whole + i, 1));
	}
	EXPECT_LINE("[    1.000000] WARNING: at punch+0x1");
	EXPECT_NO_LINE();
}

TEST_F(watch, undoes_escapes_and_gives_each_line)
{
	LOG("6,2,0,-;tab\\x09end\\x5cx41 \\xzz \\x\n");
	EXPECT_LINE("[    0.000000] tab\tend\\x41 \\xzz \\x");
	LOG("4,3,0,-;one\\x0atwo\\x0a\\x0athree\\x0a\n");
	EXPECT_LINE("[    0.000000] one");
	EXPECT_LINE("[    0.000000] two");
	EXPECT_LINE("[    0.000000] ");
	EXPECT_LINE("[    0.000000] three");
	EXPECT_NO_LINE();
	LOG("4,3,0,-;zero\\x00byte\n");
	EXPECT_LINE("[    0.000000] zero byte");
}

TEST_F(watch, passes_over_dictionaries_and_user_space)
{
	LOG("7,160,424069,-;pci_root PNP0A03:00: host bridge window\n"
	    " SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00\n 4,161,424069,-;BUG: in a dictionary\n"
	    "30,340,5690716,-;WARNING: says udevd\n"
	    "12,341,5690717,-;BUG: says init\n"
	    "4,342,5690718,c;BUG: fragment\n");
	EXPECT_LINE("[    0.424069] pci_root PNP0A03:00: host bridge window");
	EXPECT_LINE("[    5.690718] BUG: fragment");
	EXPECT_NO_LINE();
}

TEST_F(watch, survives_garbage)
{
	char junk[5000];
	const char *line;
	int i, rc;

	LOG("\n;\n,,,;\nno record at all\n4\n4,\n-1,2,3;x\n6,5,0,-\n");
	while ((rc = kmsg_next(self->k, &line)) == 1)
		EXPECT_EQ(NULL, kmsg_judge(line));
	EXPECT_EQ(0, rc);

	/* 50 KB without an end: dropped, and the watch goes on. */
	memset(junk, 'x', sizeof(junk));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(sizeof(junk), write(self->log, junk, sizeof(junk)));
		EXPECT_NO_LINE();
	}
	LOG("\n6,6,0,-;alive\n");
	EXPECT_LINE("[    0.000000] alive");
}

TEST_F(watch, counts_what_the_kernel_complains_of)
{
	struct kmsg_tally t;

	LOG("6,1,0,-;all is well\n"
	    "4,2,0,-;WARNING: arch/x86/kvm/vmx/tdx.c:1836 at tdx_sept_remove_leaf_spte\n"
	    "3,3,0,-;kvm_intel: SEAMCALL TDH_MEM_PAGE_REMOVE failed: 0xc0000b0800000000\n"
	    "3,4,0,-;kvm_intel: SEAMCALL TDH_MEM_TRACK failed: 0x8000020100000000\n"
	    "3,5,0,-;kvm_intel: tdh_mng_key_freeid() failed. HKID 34 is leaked.\n"
	    "3,6,0,-;BUG: Bad page state in process x\n");
	EXPECT_EQ(0, kmsg_tally(self->k, &t));
	EXPECT_EQ(1, t.warns);
	EXPECT_EQ(2, t.seamcalls);
	EXPECT_EQ(1, t.hkids);
	EXPECT_EQ(1, t.others);
	EXPECT_NE(NULL, strstr(t.seamcall, "TDH_MEM_PAGE_REMOVE failed: 0xc0000b08"));
	EXPECT_LT(strstr(t.seamcall, "TDH_MEM_PAGE_REMOVE"), strstr(t.seamcall, "TDH_MEM_TRACK"));

	EXPECT_EQ(0, kmsg_tally(self->k, &t));
	EXPECT_EQ(0, t.warns + t.seamcalls + t.hkids + t.others);
	EXPECT_STREQ("", t.seamcall);
}

TEST(says_why_it_cannot_watch)
{
	struct kmsg *k = (void *)1;

	setenv("SEPT_KMSG", "/nonexistent/kmsg", 1);
	EXPECT_EQ(-ENOENT, kmsg_open(&k));
	EXPECT_EQ(NULL, k);
	kmsg_close(NULL);
}

TEST(opens_the_real_log)
{
	const char *line;
	struct kmsg *k;
	int rc;

	unsetenv("SEPT_KMSG");
	rc = kmsg_open(&k);
	if (rc)
		SKIP(return, "/dev/kmsg: %s", strerror(-rc));
	while ((rc = kmsg_next(k, &line)) == 1)
		EXPECT_EQ('[', line[0]);
	EXPECT_EQ(0, rc);
	kmsg_close(k);
}

TEST_HARNESS_MAIN
