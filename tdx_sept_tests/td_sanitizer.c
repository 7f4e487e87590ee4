// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sanitizer of the emulated machine sees what root does to a TD's memory.
 *
 * A kernel that keeps to its own direct map has no business there, so a process
 * breaks the rules: through /dev/mem, which has no STRICT_DEVMEM in that machine.
 * The case takes the reports, as it has asked for them; any other would fail it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "emulator.h"
#include "folio.h"
#include "gmem.h"
#include "suite.h"
#include "td.h"

#define NR_PAGES	16ull
#define PAGE		5ull
#define PATTERN		0x5ec7e75ec7e70000ull
#define PAGE_BYTES	4096ull
#define RET		0xc3

FIXTURE(td_sanitizer) {
	struct guest *g;
	char *mem;		/* the page, as the host has it */
	__u64 pa;
};

FIXTURE_VARIANT(td_sanitizer) {};
FIXTURE_VARIANT_ADD(td_sanitizer, tdx) {};

FIXTURE_SETUP(td_sanitizer)
{
	const struct td_plan plan = { .attributes = 0 };
	struct folio_record rec;
	int fd;

	REQUIRE(guest_why_not(GUEST_TDX));
	REQUIRE(emulator_sanitizer_why_not());
	ASSERT_OK(guest_create_td(&self->g, &plan, NR_PAGES));
	ASSERT_OK(guest_touch(self->g, 0, NR_PAGES, PATTERN));
	ASSERT_OK(folio_by_file(guest_gmem(self->g), PAGE, 1, &rec, NULL));
	self->pa = folio_pfn(&rec) * PAGE_BYTES;
	fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	ASSERT_SYS(fd);
	self->mem = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, fd,
			 self->pa);
	ASSERT_NE(MAP_FAILED, self->mem);
	close(fd);
}

FIXTURE_TEARDOWN(td_sanitizer)
{
	guest_destroy(self->g);
}

/* What was reported of that page, by rule. */
struct seen {
	__u64 pa;
	const char *rule;
	unsigned int nr, others;
};

static void look(void *ctx, const struct finding *f, const char *json)
{
	struct seen *s = ctx;
	char page[40];

	snprintf(page, sizeof(page), "\"pa\":\"0x%llx\"", s->pa);
	if (!strcmp(f->invariant, s->rule) && strstr(json, page))
		s->nr++;
	else
		s->others++;
	fprintf(stderr, "# as asked for: %s\n", json);
}

#define EXPECT_REPORT(rule_) do {						\
	struct seen s = { .pa = self->pa, .rule = rule_ };			\
	ASSERT_OK(emulator_reports(look, &s));					\
	EXPECT_EQ(1, s.nr);							\
	EXPECT_EQ(0, s.others);							\
} while (0)

TEST_F(td_sanitizer, sees_the_host_read)
{
	EXPECT_EQ(0, *(volatile __u64 *)self->mem);
	EXPECT_REPORT("host-read");
	/* one access is enough, until the page is another's */
	EXPECT_EQ(0, *(volatile __u64 *)self->mem);
	EXPECT_OK(emulator_reports(look, &(struct seen){ .rule = "" }));
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, PATTERN));
}

TEST_F(td_sanitizer, sees_the_host_write)
{
	*(volatile __u64 *)self->mem = 1;
	EXPECT_REPORT("host-write");
	EXPECT_OK(guest_verify(self->g, 0, PAGE, PATTERN));
	EXPECT_OK(guest_verify(self->g, PAGE + 1, NR_PAGES - PAGE - 1, PATTERN));
}

/* As on hardware, a line that the host writes is the host's. */
TEST_F(td_sanitizer, lets_the_host_have_what_it_wrote)
{
	volatile __u64 *line = (volatile __u64 *)self->mem;

	line[0] = PATTERN;
	EXPECT_REPORT("host-write");
	EXPECT_EQ(PATTERN, line[0]);
	EXPECT_EQ(0, line[8]);
	EXPECT_REPORT("host-read");
	memset(self->mem, RET, PAGE_BYTES);
	EXPECT_EQ(RET * 0x0101010101010101ull, line[8]);
	((void (*)(void))self->mem)();
	EXPECT_REPORT("host-fetch");
	EXPECT_OK(guest_verify(self->g, 0, PAGE, PATTERN));
	EXPECT_OK(guest_verify(self->g, PAGE + 1, NR_PAGES - PAGE - 1, PATTERN));
}

static sigjmp_buf fetched;

static void on_signal(int sig)
{
	siglongjmp(fetched, sig);
}

TEST_F(td_sanitizer, sees_the_host_execute)
{
	/* Zeroes are "add %al,(%rax)", and RAX is not to be had. */
	signal(SIGSEGV, on_signal);
	signal(SIGILL, on_signal);
	if (!sigsetjmp(fetched, 1))
		asm volatile("xor %%eax, %%eax; call *%0" : : "r"(self->mem) : "rax", "memory");
	EXPECT_REPORT("host-fetch");
	EXPECT_OK(guest_verify(self->g, 0, NR_PAGES, PATTERN));
}

/* The page is the host's again, for whatever it likes. */
TEST_F(td_sanitizer, is_quiet_about_pages_that_came_back)
{
	struct seen s = { .rule = "" };

	ASSERT_OK(gmem_punch(guest_gmem(self->g), PAGE, 1));
	(void)*(volatile __u64 *)self->mem;
	EXPECT_EQ(0, emulator_reports(look, &s));
}

/* Its history tells what was done to the page. */
TEST_F(td_sanitizer, knows_the_owner)
{
	char *text, want[64];

	ASSERT_OK(emulator_ask(&text, "owner 0x%llx", self->pa));
	snprintf(want, sizeof(want), " gpa=0x%llx level=0", GUEST_GPA + PAGE * PAGE_BYTES);
	EXPECT_NE(NULL, strstr(text, want));
	EXPECT_EQ(0, strncmp(text, "type=3 ", 7));
	free(text);
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM | NEED_REFCOUNT | NEED_EMULATOR, .serial = true)
