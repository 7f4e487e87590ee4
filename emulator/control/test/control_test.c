// SPDX-License-Identifier: GPL-2.0-only
/* The commands, on a machine that is no Bochs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../bochs/monitor.h"
#include "../../tdx_module/test/tap.h"
#include "../../trace/tdx_trace.h"
#include "../tdx_control.h"

/* ---- What Bochs does ---- */

static struct tdx_monitor monitor;
static bool loaded;

static void on_event(void *ctx, const struct tdx_event *event)
{
	(void)ctx;
	if (monitor.event)
		monitor.event(monitor.ctx, 0, event);
}

static void before(struct world *world, unsigned int lp, const struct tdx_regs *regs)
{
	(void)world;
	if (monitor.enter)
		monitor.enter(monitor.ctx, lp, regs);
}

void tdx_monitor_set(const struct tdx_monitor *new_monitor)
{
	monitor = new_monitor ? *new_monitor : (struct tdx_monitor) { 0 };
	tdx_observe(w->m, monitor.call, monitor.ctx);
	tdx_watch(w->m, on_event, NULL);
	w->before = before;
}

static uint32_t lingering;

void tdx_monitor_linger(uint32_t instructions)
{
	lingering = instructions;
}

void tdx_monitor_host(unsigned int lp, struct tdx_host *host)
{
	(void)lp;
	*host = (struct tdx_host) { .time = w->tsc, .rip = 0xffffffff81234567 };
}

bool tdx_monitor_read(unsigned int lp, uint64_t linear, void *buf, uint32_t len)
{
	(void)lp;
	(void)linear;
	(void)buf;
	(void)len;
	return false;
}

bool tdx_monitor_cached(unsigned int lp, uint64_t pa)
{
	(void)lp;
	(void)pa;
	return false;
}

struct tdx_module *tdx_monitor_module(void)
{
	return loaded ? w->m : NULL;
}

unsigned int tdx_monitor_nr_lps(void)
{
	return W_LPS;
}

uint64_t tdx_monitor_tsc_hz(void)
{
	return 200000000;
}

unsigned int tdx_monitor_pa_bits(void)
{
	return W_KEYID_SHIFT;
}

static void host_access(enum tdx_access_kind kind, uint64_t pa)
{
	const struct tdx_access access = { kind, 1, pa, 8 };

	if (monitor.access)
		monitor.access(monitor.ctx, &access);
}

/* ---- Helpers ---- */

static char answer[8192];

static const char *ask(const char *line)
{
	char *text = tdx_control_command(line);

	TRUE(text);
	snprintf(answer, sizeof(answer), "%s", text);
	free(text);
	return answer;
}

static void begin(void)
{
	tdx_control_reset();
	freopen("/dev/null", "w", stderr);
	loaded = true;
}

#define SAYS(line, want) do {							\
	if (strcmp(ask(line), want))						\
		printf("# %s: %s", line, answer);				\
	TRUE(!strcmp(answer, want));						\
} while (0)

#define REFUSES(line, part) do {						\
	ask(line);								\
	if (strncmp(answer, "error: ", 7) || !strstr(answer, part))		\
		printf("# %s: %s", line, answer);				\
	TRUE(!strncmp(answer, "error: ", 7) && strstr(answer, part));		\
} while (0)

TEST(commands_that_are_none)
{
	begin();
	REFUSES("", "no command");
	REFUSES("  ", "no command");
	REFUSES("injec", "no command injec");
	REFUSES("stats now", "want");
	REFUSES("stats reset now", "want");
	REFUSES("a b c d e f g h i", "too many words");
	REFUSES("sanitizer", "want");
	REFUSES("sanitizer loud", "no sanitizer loud");
}

TEST(before_the_module_is_there)
{
	begin();
	loaded = false;
	REFUSES("inject MEM.TRACK SYS_BUSY", "not called the TDX module yet");
	REFUSES("lock take sys", "not called the TDX module yet");
	REFUSES("owner 0x1000", "not called the TDX module yet");
	SAYS("reset", "ok\n");
	SAYS("sanitizer warn", "ok\n");
	SAYS("sanitizer report", "ok\n");
	SAYS("sanitizer status", "warn 0\nok\n");
	SAYS("stats", "ok\n");
}

TEST(injections)
{
	struct w_td td;

	begin();
	sys_ready();
	td_inited(&td);
	SAYS("inject MEM.TRACK OPERAND_BUSY|TD_EPOCH after=1 times=2", "ok\n");
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	STATUS(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0), BUSY(TD_EPOCH));
	STATUS(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0), BUSY(TD_EPOCH));
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	SAYS("inject any TDX_SYS_BUSY", "ok\n");
	STATUS(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0), TDX_SYS_BUSY);
	SAYS("inject clear", "ok\n");
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	SAYS("inject tdh.mem.track 0x8000020300000000 per-million=1000000 times=1", "ok\n");
	STATUS(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0), TDX_RND_NO_ENTROPY);
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	/* of the guest, so the host's leaf of that number is not hit */
	SAYS("inject MEM.PAGE.ACCEPT OPERAND_BUSY", "ok\n");
	STATUS(call(TDH_MEM_PAGE_AUG, 0, td.tdr, W_2M, 0), TDX_EPT_WALK_FAILED | TDX_OPERAND_RCX);
	SAYS("reset", "ok\n");
	REFUSES("inject", "needs a leaf and a status");
	REFUSES("inject clear all", "no leaf clear");
	REFUSES("inject MEM.PAGE OPERAND_BUSY", "no leaf MEM.PAGE");
	REFUSES("inject MEM.TRACK OPERAND_BUSY|NOTHING", "no status");
	REFUSES("inject MEM.TRACK SUCCESS", "no status");
	REFUSES("inject MEM.TRACK 12x", "no status");
	REFUSES("inject MEM.TRACK SYS_BUSY times", "want after=N");
	REFUSES("inject MEM.TRACK SYS_BUSY times=", "want after=N");
	REFUSES("inject MEM.TRACK SYS_BUSY times=-1", "want after=N");
	REFUSES("inject MEM.TRACK SYS_BUSY per-million=1000001", "want after=N");
	REFUSES("inject MEM.TRACK SYS_BUSY per-million=0", "want after=N");
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	for (unsigned int i = 0; i < TDX_MAX_INJECTIONS; i++)
		SAYS("inject MEM.TRACK SYS_BUSY times=1", "ok\n");
	REFUSES("inject MEM.TRACK SYS_BUSY", "too many");
}

TEST(locks)
{
	struct w_td td;
	char line[100];

	begin();
	sys_ready();
	td_inited(&td);
	td_tables(&td);
	snprintf(line, sizeof(line), "lock take td-epoch %#llx", (unsigned long long)td.tdr);
	SAYS(line, "ok\n");
	REFUSES(line, "taken already");
	STATUS(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0), BUSY(TD_EPOCH));
	snprintf(line, sizeof(line), "lock drop td-epoch %#llx", (unsigned long long)td.tdr);
	SAYS(line, "ok\n");
	REFUSES(line, "not taken");
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	snprintf(line, sizeof(line), "lock take sept-entry %#llx 0x1000", (unsigned long long)td.tdr);
	SAYS(line, "ok\n");
	STATUS(call(TDH_MEM_PAGE_AUG, 0x1000, td.tdr, page(), 0), BUSY(RCX));
	SAYS("lock take sys", "ok\n");
	SAYS("lock take kot shared", "ok\n");
	SAYS("lock take wbcache 1", "ok\n");
	SAYS("lock clear", "ok\n");
	SAYS("lock take sys", "ok\n");
	SAYS("reset", "ok\n");
	SAYS("lock take sys shared", "ok\n");
	REFUSES("lock take sys", "taken already");
	SAYS("lock clear", "ok\n");
	REFUSES("lock", "want lock");
	REFUSES("lock take", "want lock");
	REFUSES("lock steal sys", "want lock");
	REFUSES("lock take everything", "want lock");
	REFUSES("lock take sys 1", "needs 0 numbers");
	REFUSES("lock take page", "needs 1 number");
	REFUSES("lock take page x", "needs 1 number");
	REFUSES("lock take sept-entry 1", "needs 2 numbers");
	REFUSES("lock take td-epoch 0x1000", "no such thing");
	/* of a TD that ends while it is held */
	snprintf(line, sizeof(line), "lock take sept-tree %#llx", (unsigned long long)td.tdr);
	SAYS(line, "ok\n");
	OK(call(TDH_SYS_DISABLE, 0, 0, 0, 0));
	SAYS("lock clear", "ok\n");
	for (unsigned int i = 0; i < 64; i++)
		SAYS("lock take sys shared", "ok\n");
	REFUSES("lock take sys shared", "too many");
	SAYS("reset", "ok\n");
}

TEST(calls_that_linger)
{
	begin();
	SAYS("linger 300", "ok\n");
	EQ(lingering, 300);
	REFUSES("linger", "want linger");
	REFUSES("linger 1000001", "want linger");
	REFUSES("linger 1 2", "want linger");
	EQ(lingering, 300);
	SAYS("reset", "ok\n");
	EQ(lingering, 0);
}

TEST(counts)
{
	struct w_vcpu v;
	struct w_td td;

	begin();
	sys_ready();
	td_runnable(&td, &v);
	TRUE(!monitor.call);
	SAYS("stats", "ok\n");
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	ask("inject MEM.TRACK OPERAND_BUSY times=2");
	call(TDH_MEM_TRACK, td.tdr, 0, 0, 0);
	call(TDH_MEM_TRACK, td.tdr, 0, 0, 0);
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	STATUS(call(50, 0, 0, 0, 0), INVALID(RAX));
	STATUS(call(60000, 0, 0, 0, 0), INVALID(RAX));
	enter(&v);
	w->r.r[TDX_RAX] = TDG_VP_INFO;
	tdx_tdcall(w->m, w->entered, 0, &w->r);
	leave_td();
	SAYS("stats",
	     "TDH.VP.ENTER ENTERED 1 0\n"
	     "TDH.MEM.TRACK TDX_SUCCESS 2 0\n"
	     "TDH.MEM.TRACK TDX_OPERAND_BUSY 2 2\n"
	     "TDH.50 TDX_OPERAND_INVALID 1 0\n"
	     "TDH.127 TDX_OPERAND_INVALID 1 0\n"
	     "TDG.VP.INFO TDX_SUCCESS 1 0\n"
	     "ok\n");
	SAYS("stats reset", "ok\n");
	SAYS("stats", "ok\n");
	ask("reset");
}

TEST(owners)
{
	struct w_vcpu v;
	struct w_td td;
	char line[100], want[200];
	uint64_t pa;

	begin();
	sys_ready();
	td_runnable(&td, &v);
	pa = page();
	OK(call(TDH_MEM_PAGE_AUG, 0x3000, td.tdr, pa, 0));
	snprintf(line, sizeof(line), "owner %#llx", (unsigned long long)pa);
	snprintf(want, sizeof(want), "type=3 tdr=%#llx keyid=%u gpa=0x3000 level=0\nok\n",
		 (unsigned long long)td.tdr, td.keyid);
	SAYS(line, want);
	snprintf(line, sizeof(line), "owner %llu", (unsigned long long)td.tdr);
	snprintf(want, sizeof(want), "type=4 tdr=%#llx keyid=32\nok\n", (unsigned long long)td.tdr);
	SAYS(line, want);
	SAYS("owner 0x1f00000", "type=0 tdr=0x0 keyid=0\nok\n");
	REFUSES("owner 0x100000000", "no TDMR");
	REFUSES("owner", "needs");
	REFUSES("owner me", "needs");
}

TEST(sanitizer)
{
	struct w_td td;
	char *end;

	begin();
	TRUE(!tdx_control_option("sanitizer", "warn", false));
	TRUE(!tdx_control_option("vmlinux", "/nowhere", false));
	sys_ready();
	td_created(&td);
	host_access(TDX_ACCESS_WRITE, td.tdr);
	host_access(TDX_ACCESS_FETCH, td.tdr);
	SAYS("sanitizer status", "warn 2\nok\n");
	ask("sanitizer report");
	TRUE(!strncmp(answer, "{\"rule\":\"host-write\",", 21));
	end = strchr(answer, '\n');
	TRUE(end && !strncmp(end + 1, "{\"rule\":\"host-fetch\",", 21));
	TRUE(strstr(answer, "\"rip\":\"0xffffffff81234567\""));
	SAYS("sanitizer report", "ok\n");
	SAYS("sanitizer tds", "1\nok\n");
	SAYS("sanitizer report", "ok\n");
	SAYS("sanitizer idle", "1\nok\n");
	ask("sanitizer report");
	TRUE(strstr(answer, "\"rule\":\"leak\""));
	SAYS("sanitizer off", "ok\n");
	TRUE(!monitor.call && !monitor.event && !monitor.access && !monitor.enter);
	host_access(TDX_ACCESS_READ, td.tdr);
	/* it finds its way back, although it has not seen anything */
	SAYS("sanitizer warn", "ok\n");
	host_access(TDX_ACCESS_READ, td.tdr);
	SAYS("sanitizer status", "warn 1\nok\n");
}

TEST(a_fatal_sanitizer_ends_it)
{
	struct w_td td;
	pid_t child;
	int status;

	begin();
	sys_ready();
	td_created(&td);
	TRUE(!tdx_control_option("sanitizer", "fatal", true));
	child = fork();
	if (!child) {
		host_access(TDX_ACCESS_READ, td.tdr);
		_exit(0);
	}
	waitpid(child, &status, 0);
	TRUE(WIFEXITED(status));
	EQ(WEXITSTATUS(status), TDX_EXIT_SANITIZER);
}

static unsigned int records(const char *path, const char *mark)
{
	struct tdx_trace_reader *r;
	struct tdx_trace_entry e;
	struct tdx_trace_info info;
	unsigned int nr = 0;
	bool marked = !mark;

	EQ(tdx_trace_read_open(&r, path, &info), 0);
	EQ(info.pa_bits, W_KEYID_SHIFT);
	while (tdx_trace_read(r, &e) == 1) {
		nr++;
		marked |= mark && e.kind == TDX_TRACE_MARK && !strcmp(e.text, mark);
	}
	tdx_trace_read_close(r);
	TRUE(marked);
	return nr;
}

TEST(traces)
{
	char path[] = "/tmp/tdx-control-XXXXXX", copy[] = "/tmp/tdx-control-XXXXXX";
	struct w_td td;
	pid_t child;

	begin();
	close(mkstemp(path));
	close(mkstemp(copy));
	REFUSES("trace on", "without a file");
	REFUSES("trace", "want trace");
	TRUE(tdx_control_option("trace", "/nowhere/at/all", false));
	TRUE(!tdx_control_option("trace", path, false));
	sys_ready();
	td_inited(&td);
	SAYS("trace mark here  it is, with all its nine words in it", "ok\n");
	SAYS("trace off", "ok\n");
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	TRUE(!monitor.call);
	const unsigned int nr = records(path, "here  it is, with all its nine words in it");
	TRUE(nr > 15);
	SAYS("trace on", "ok\n");
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	REFUSES("trace mark", "want trace");
	tdx_control_flush();
	EQ(records(path, NULL), nr + 1);
	/* the end of the emulator writes what is left */
	child = fork();
	if (!child) {
		call(TDH_MEM_TRACK, td.tdr, 0, 0, 0);
		exit(0);
	}
	waitpid(child, NULL, 0);
	EQ(records(path, NULL), nr + 2);
	/* a copy of the machine has a trace of its own, or none */
	tdx_control_forked();
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	TRUE(!tdx_control_option("trace", copy, true));
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	OK(call(TDH_MEM_TRACK, td.tdr, 0, 0, 0));
	tdx_control_reset();
	EQ(records(path, NULL), nr + 2);
	EQ(records(copy, NULL), 2);
	unlink(path);
	unlink(copy);
}

TEST(options)
{
	begin();
	TRUE(!strcmp(tdx_control_option("nonsense", "1", false), ""));
	TRUE(strstr(tdx_control_option("sanitizer", "loud", false), "want off"));
	TRUE(strstr(tdx_control_option("vmlinux", "x", true), "cannot be changed"));
	TRUE(!tdx_control_option("sanitizer", "off", true));
}
