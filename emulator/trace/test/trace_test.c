// SPDX-License-Identifier: GPL-2.0-only
/* What is written can be read, and the tool understands it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../../tdx_module/test/tap.h"
#include "../tdx_trace.h"

static const struct tdx_trace_info info = { 200000000, 7, W_LPS, 46 };
static char path[] = "/tmp/tdx-trace-XXXXXX";
static struct tdx_trace *trace;
static char output[65536];

static void on_record(void *ctx, const struct tdx_record *record)
{
	tdx_trace_call(ctx, record);
}

static void start(void)
{
	strcpy(path + sizeof(path) - 7, "XXXXXX");
	close(mkstemp(path));
	EQ(tdx_trace_open(&trace, path, &info), 0);
	tdx_observe(w->m, on_record, trace);
}

static void stop(void)
{
	tdx_observe(w->m, NULL, NULL);
	EQ(tdx_trace_close(trace), 0);
}

/* A TD's life, one page, a vCPU that runs, a failure and an injected one. */
static void live(struct w_td *td, struct w_vcpu *v, uint64_t *pa)
{
	const struct tdx_injection injection = {
		.leaf = TDH_MEM_TRACK, .status = BUSY(TD_EPOCH), .times = 1,
	};

	sys_ready();
	tdx_trace_mark(trace, "a life");
	td_runnable(td, v);
	*pa = page();
	OK(call(TDH_MEM_PAGE_AUG, 0x1000, td->tdr, *pa, 0));
	enter(v);
	w->r.r[TDX_RAX] = TDG_MEM_PAGE_ACCEPT;
	w->r.r[TDX_RCX] = 0x1000;
	EQ(tdx_tdcall(w->m, w->entered, 0, &w->r), TDX_RESUME);
	leave_td();
	tdx_trace_exit(trace, 0, w->tsc, v->tdvpr, &w->r);
	OK(call(TDH_MEM_RANGE_BLOCK, 0x1000, td->tdr, 0, 0));
	EQ(tdx_inject(w->m, &injection), 0);
	STATUS(call(TDH_MEM_TRACK, td->tdr, 0, 0, 0), BUSY(TD_EPOCH));
	OK(call(TDH_MEM_TRACK, td->tdr, 0, 0, 0));
	OK(call(TDH_MEM_PAGE_REMOVE, 0x1000, td->tdr, 0, 0));
	OK(call(TDH_PHYMEM_PAGE_WBINVD, *pa | (uint64_t)td->keyid << W_KEYID_SHIFT, 0, 0, 0));
	STATUS(call(TDH_MEM_PAGE_REMOVE, 0x1000, td->tdr, 0, 0),
	       TDX_EPT_ENTRY_STATE_INCORRECT | TDX_OPERAND_RCX);
}

/* Run the tool; its output goes to @output.  Return: its exit status. */
static int tool(const char *options)
{
	const char *binary = getenv("SEAMCALLS");
	char command[512];
	size_t len;
	FILE *pipe;

	TRUE(binary);
	snprintf(command, sizeof(command), "%s %s %s 2>&1", binary, options, path);
	pipe = popen(command, "r");
	TRUE(pipe);
	len = fread(output, 1, sizeof(output) - 1, pipe);
	output[len] = '\0';
	return WEXITSTATUS(pclose(pipe));
}

static unsigned int lines(void)
{
	unsigned int nr = 0;

	for (const char *c = output; *c; c++)
		nr += *c == '\n';
	return nr;
}

static void cut(off_t len)
{
	EQ(truncate(path, len), 0);
}

static off_t size(void)
{
	struct stat st;

	EQ(stat(path, &st), 0);
	return st.st_size;
}

TEST(what_is_written_can_be_read)
{
	struct tdx_record r = { .lp = 3, .time = 1000, .injected = true };
	struct tdx_trace_reader *reader;
	struct tdx_trace_info got;
	struct tdx_trace_entry e;

	start();
	tdx_observe(w->m, NULL, NULL);
	for (unsigned int i = 0; i < TDX_NR_REGS; i++) {
		r.in.r[i] = 0x100 + i;
		r.out.r[i] = ~0ull - i;
	}
	r.in.r[TDX_RAX] = TDH_MEM_SEPT_ADD | 1 << 16;
	tdx_trace_call(trace, &r);
	tdx_trace_mark(trace, "here");
	r.time = 500;		/* another LP's TSC may be behind */
	r.guest = true;
	r.injected = false;
	r.vcpu = 0xabc000;
	r.in.r[TDX_RAX] = TDG_MEM_PAGE_ACCEPT;
	tdx_trace_call(trace, &r);
	r.guest = false;
	r.vcpu = 0;
	r.entered = true;
	r.in.r[TDX_RAX] = TDH_VP_ENTER;
	tdx_trace_call(trace, &r);
	tdx_trace_exit(trace, 2, 700, 0xdef000, &r.out);
	r.entered = false;
	r.in.r[TDX_RAX] = 12345;	/* no leaf */
	tdx_trace_call(trace, &r);
	EQ(tdx_trace_close(trace), 0);

	EQ(tdx_trace_read_open(&reader, path, &got), 0);
	EQ(got.hz, info.hz);
	EQ(got.seed, info.seed);
	EQ(got.nr_lps, info.nr_lps);
	EQ(got.pa_bits, info.pa_bits);
	EQ(tdx_trace_read(reader, &e), 1);
	EQ(e.kind, TDX_TRACE_SEAMCALL);
	EQ(e.lp, 3);
	EQ(e.time, 1000);
	TRUE(e.injected && !e.entered);
	EQ(e.rax, TDH_MEM_SEPT_ADD | 1 << 16);
	EQ(e.status, ~0ull);
	EQ(e.in_mask, 1 << TDX_RCX | 1 << TDX_RDX | 1 << TDX_R8);
	EQ(e.in.r[TDX_RDX], 0x100 + TDX_RDX);
	EQ(e.in.r[TDX_R8], 0x100 + TDX_R8);
	EQ(e.in.r[TDX_R9], 0);
	EQ(e.out_mask, 1 << TDX_RCX | 1 << TDX_RDX);
	EQ(e.out.r[TDX_RCX], ~0ull - TDX_RCX);
	EQ(tdx_trace_read(reader, &e), 1);
	EQ(e.kind, TDX_TRACE_MARK);
	TRUE(!strcmp(e.text, "here"));
	EQ(tdx_trace_read(reader, &e), 1);
	EQ(e.kind, TDX_TRACE_TDCALL);
	EQ(e.time, 500);
	EQ(e.tdvpr, 0xabc000);
	EQ(tdx_trace_read(reader, &e), 1);
	TRUE(e.entered);
	EQ(e.status, 0);
	EQ(e.out_mask, 0);
	EQ(tdx_trace_read(reader, &e), 1);
	EQ(e.kind, TDX_TRACE_EXIT);
	EQ(e.lp, 2);
	EQ(e.time, 700);
	EQ(e.tdvpr, 0xdef000);
	EQ(e.out.r[TDX_R8], ~0ull - TDX_R8);
	EQ(tdx_trace_read(reader, &e), 1);
	EQ(e.rax, 12345);
	EQ(e.in_mask, 0);
	EQ(tdx_trace_read(reader, &e), 0);
	tdx_trace_read_close(reader);
	unlink(path);
}

TEST(a_file_that_was_cut_is_read_up_to_there)
{
	struct tdx_trace_reader *reader;
	struct tdx_trace_info got;
	struct tdx_trace_entry e;
	struct w_td td;
	unsigned int whole = 0, cuts = 0;
	off_t len;
	int ret;

	start();
	sys_ready();
	td_inited(&td);
	stop();
	len = size();
	for (; len >= 0; len--) {
		unsigned int nr = 0;

		cut(len);
		ret = tdx_trace_read_open(&reader, path, &got);
		if (len < 64) {
			EQ(ret, (uint64_t)-EBADMSG);
			continue;
		}
		EQ(ret, 0);
		while ((ret = tdx_trace_read(reader, &e)) == 1)
			nr++;
		TRUE(!ret || ret == -ENODATA);
		cuts += ret == -ENODATA;
		if (!whole)
			whole = nr;
		TRUE(nr <= whole && (nr < whole || len > 64));
		tdx_trace_read_close(reader);
	}
	TRUE(whole > 15);
	/* Most places to cut are within a record. */
	TRUE(cuts > 10 * whole);
	unlink(path);
}

TEST(a_damaged_file_does_no_harm)
{
	struct tdx_trace_reader *reader;
	struct tdx_trace_info got;
	struct tdx_trace_entry e;
	struct w_td td;
	off_t len;
	int fd;

	start();
	sys_ready();
	td_inited(&td);
	stop();
	len = size();
	for (off_t at = 0; at < len; at++) {
		uint8_t byte, bad;

		fd = open(path, O_RDWR);
		EQ(pread(fd, &byte, 1, at), 1);
		bad = ~byte;
		EQ(pwrite(fd, &bad, 1, at), 1);
		if (!tdx_trace_read_open(&reader, path, &got)) {
			TRUE(at >= 16);
			while (tdx_trace_read(reader, &e) == 1)
				;
			tdx_trace_read_close(reader);
		}
		EQ(pwrite(fd, &byte, 1, at), 1);
		close(fd);
	}
	unlink(path);
}

/* A record of these bytes behind a good header: what reading it gives. */
static int read_raw(const char *bytes, size_t len)
{
	struct tdx_trace_reader *reader;
	struct tdx_trace_info got;
	struct tdx_trace_entry e;
	int fd, ret;

	start();
	stop();
	fd = open(path, O_WRONLY | O_APPEND);
	EQ(write(fd, bytes, len), len);
	close(fd);
	EQ(tdx_trace_read_open(&reader, path, &got), 0);
	ret = tdx_trace_read(reader, &e);
	tdx_trace_read_close(reader);
	unlink(path);
	return ret;
}

TEST(a_bad_record_is_refused)
{
	/* length, kind, time, lp, vcpu, rax, status, no inputs, no outputs */
	EQ(read_raw("\x8\x1\x2\0\0\x26\0\0\0", 9), 1);
	EQ(read_raw("\x9\x1\x2\0\0\x26\0\0\0\0", 10), (uint64_t)-EBADMSG);	/* one too many */
	EQ(read_raw("\x7\x1\x2\0\0\x26\0\0\0", 8), (uint64_t)-EBADMSG);	/* one too few */
	EQ(read_raw("\x8\x9\x2\0\0\x26\0\0\0", 9), (uint64_t)-EBADMSG);	/* no such kind */
	/* a register that there is not */
	EQ(read_raw("\xa\x1\x2\0\0\x26\0\x80\x80\x4\0", 11), (uint64_t)-EBADMSG);
	EQ(read_raw("\0", 1), (uint64_t)-EBADMSG);
	EQ(read_raw("\xff\xff\xff\xff", 4), (uint64_t)-EBADMSG);
}

TEST(other_files_are_refused)
{
	struct tdx_trace_reader *reader;
	struct tdx_trace_info got;
	int fd;

	EQ(tdx_trace_read_open(&reader, "/nowhere", &got), (uint64_t)-ENOENT);
	EQ(tdx_trace_read_open(&reader, "/proc/self/exe", &got), (uint64_t)-EBADMSG);
	start();
	stop();
	fd = open(path, O_WRONLY);
	EQ(pwrite(fd, "\2", 1, 8), 1);
	close(fd);
	EQ(tdx_trace_read_open(&reader, path, &got), (uint64_t)-EPROTONOSUPPORT);
	EQ(tool(""), 3);
	TRUE(strstr(output, "another version"));
	EQ(tdx_trace_open(&trace, "/nowhere/at/all", &info), (uint64_t)-ENOENT);
	unlink(path);
}

TEST(a_full_disk_is_told_at_the_end)
{
	const struct rlimit small = { 4096, RLIM_INFINITY };
	struct rlimit old;
	struct w_td td;
	int err;

	start();
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &old);
	setrlimit(RLIMIT_FSIZE, &small);
	sys_ready();
	td_inited(&td);
	for (unsigned int i = 0; i < 5000; i++)
		call(TDH_MEM_TRACK, td.tdr, 0, 0, 0);
	tdx_observe(w->m, NULL, NULL);
	err = tdx_trace_close(trace);
	setrlimit(RLIMIT_FSIZE, &old);
	EQ(err, -EFBIG);
	unlink(path);
}

TEST(the_tool_prints)
{
	struct w_vcpu v;
	struct w_td td;
	char want[200];
	uint64_t pa;

	start();
	live(&td, &v, &pa);
	stop();
	EQ(tool(""), 0);
	TRUE(strstr(output, "-- a life"));
	snprintf(want, sizeof(want), "TDH.MEM.PAGE.AUG       gpa=0x1000/0 tdr=%#llx pa=%#llx -> SUCCESS\n",
		 (unsigned long long)td.tdr, (unsigned long long)pa);
	TRUE(strstr(output, want));
	TRUE(strstr(output, " -> OPERAND_BUSY|TD_EPOCH (injected)"));
	TRUE(strstr(output, " -> EPT_ENTRY_STATE_INCORRECT|RCX"));
	TRUE(strstr(output, " -> enters\n"));
	TRUE(strstr(output, "TD exit"));
	/* a page that the call names by its GPA alone */
	snprintf(want, sizeof(want), "TDH.MEM.RANGE.BLOCK    gpa=0x1000/0 tdr=%#llx -> SUCCESS [page %#llx]\n",
		 (unsigned long long)td.tdr, (unsigned long long)pa);
	TRUE(strstr(output, want));
	/* and one that is not the TD's any more, but has its lines */
	snprintf(want, sizeof(want), "TDH.PHYMEM.PAGE.WBINVD pa=%#llx -> SUCCESS [gpa 0x1000/0 of TD %#llx]\n",
		 (unsigned long long)pa | (uint64_t)td.keyid << W_KEYID_SHIFT,
		 (unsigned long long)td.tdr);
	TRUE(strstr(output, want));
	unlink(path);
}

TEST(the_tool_filters)
{
	struct w_vcpu v;
	struct w_td td;
	char options[100];
	unsigned int all;
	uint64_t pa;

	start();
	live(&td, &v, &pa);
	stop();
	EQ(tool(""), 0);
	all = lines();
	EQ(tool("--leaf mem.track"), 0);
	EQ(lines(), 2);
	EQ(tool("-l TDG.MEM.PAGE.ACCEPT"), 0);
	EQ(lines(), 1);
	EQ(tool("-l exit"), 0);
	EQ(lines(), 1);
	EQ(tool("--status injected"), 0);
	EQ(lines(), 1);
	EQ(tool("--status busy"), 0);
	EQ(lines(), 1);
	EQ(tool("--status operand_busy"), 0);
	EQ(lines(), 1);
	/* and the TD exit, whose status has no name of an error */
	EQ(tool("--status error"), 0);
	EQ(lines(), 2);
	EQ(tool("--lp 2"), 0);
	EQ(lines(), 3);		/* LP.INIT and two KEY.CONFIG */
	snprintf(options, sizeof(options), "--page %#llx", (unsigned long long)pa);
	EQ(tool(options), 0);
	/* AUG, ACCEPT, BLOCK, REMOVE, WBINVD */
	EQ(lines(), 5);
	snprintf(options, sizeof(options), "--td %#llx --leaf vp.enter", (unsigned long long)td.tdr);
	EQ(tool(options), 0);
	EQ(lines(), 1);
	snprintf(options, sizeof(options), "--td %#llx -l phymem.page.wbinvd", (unsigned long long)td.tdr);
	EQ(tool(options), 0);
	EQ(lines(), 1);
	EQ(tool("--from 0"), 0);
	EQ(lines(), all);
	EQ(tool("--from 1"), 0);
	EQ(lines(), 0);
	EQ(tool("--to 0"), 0);
	EQ(lines(), 0);
	unlink(path);
}

TEST(the_tool_sums_up)
{
	struct w_vcpu v;
	struct w_td td;
	char digest[65], want[100];
	uint64_t pa;

	start();
	live(&td, &v, &pa);
	stop();
	EQ(tool("--summary"), 0);
	TRUE(strstr(output, "TDH.MEM.TRACK                     1  OPERAND_BUSY|TD_EPOCH (1 injected)\n"
			    "                                  1  SUCCESS\n"));
	EQ(tool("--tds"), 0);
	EQ(lines(), 1);
	snprintf(want, sizeof(want), "TD %#llx keyid %u: ", (unsigned long long)td.tdr, td.keyid);
	TRUE(strstr(output, want));
	/* CREATE, twice KEY.CONFIG, 6 ADDCX, INIT; 3 SEPT.ADD; CREATE, 5 ADDCX, INIT; FINALIZE;
	 * AUG, ENTER, BLOCK, twice TRACK, twice REMOVE, WBINVD */
	TRUE(strstr(output, " 29 SEAMCALLs, 2 errors; 1 vCPUs, 1 entries, 1 TDCALLs; 3 tables; pages: 0 added, 1 augmented, 1 at most, 0 left; 1 BLOCK, 1 TRACK"));
	EQ(tool("--digest"), 0);
	memcpy(digest, output, 64);
	EQ(tool("--digest"), 0);
	TRUE(!memcmp(digest, output, 64));
	EQ(tool("--digest --no-time"), 0);
	TRUE(memcmp(digest, output, 64));
	memcpy(digest, output, 64);
	unlink(path);
	/* the same again, at another time */
	world_reset(w);
	w->tsc = 5000000;
	start();
	live(&td, &v, &pa);
	stop();
	EQ(tool("--digest --no-time"), 0);
	TRUE(!memcmp(digest, output, 64));
	unlink(path);
}

TEST(the_tool_refuses)
{
	start();
	stop();
	EQ(tool("--leaf mem.page"), 2);
	TRUE(strstr(output, "there is no leaf 'mem.page'"));
	EQ(tool("--status bsy"), 2);
	EQ(tool("--page xyz"), 2);
	EQ(tool("--from now"), 2);
	EQ(tool("--nonsense"), 2);
	EQ(tool("one"), 2);
	EQ(tool(""), 0);
	EQ(lines(), 0);
	unlink(path);
	EQ(tool(""), 3);
	TRUE(strstr(output, "No such file"));
}

TEST(the_tool_reads_a_cut_file)
{
	struct w_td td;

	start();
	sys_ready();
	td_inited(&td);
	stop();
	cut(size() - 1);
	EQ(tool(""), 1);
	TRUE(strstr(output, "TDH.SYS.INIT"));
	TRUE(strstr(output, "ends within a record"));
	unlink(path);
}
