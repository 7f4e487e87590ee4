// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whichever allocation or copy fails in a step of a TD's life: the step says so, or
 * does without; nothing is lost, and the step repeated succeeds.
 *
 * The n-th fault point of the step is made to fail, for n from 1 on, each time of a new
 * TD, until a step in which none was hit.  Every TD whose step failed must be able to
 * go on: to the end of its life, with KVM_RUN in between.
 *
 * SEPT_ROUNDS is how often all of that is done; without it, a part of it once.
 *
 * Claims: B06, B10, B28, B30, B43
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/kvm.h>

#include "fault.h"
#include "gmem.h"
#include "suite.h"
#include "td.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	8ull
#define NR_INITIAL	3ull		/* of them by KVM_TDX_INIT_MEM_REGION */
#define BYTES		(NR_PAGES * PAGE_BYTES)
/* Across two nodes of the xarray that has the attributes. */
#define GPA		(GUEST_GPA + 60 * PAGE_BYTES)
#define PATTERN		0x0000e30000000000ull
#define MOST		2000		/* fault points of one step */
#define FAILURES	5		/* after which it is enough */

/* Pages that may be missing in the end, whatever for; a leak is one each time. */
#define TOLERANCE	8
#define TIMES		24		/* that a step fails alike */

struct world {
	struct td *td;
	int kvm, gmem;
	void *source;
	struct kvm_tdx_init_vm *init;
	struct kvm_tdx_init_mem_region region;
};

FIXTURE(td_nomem) {
	struct world w;
	struct meter at_start;
};

FIXTURE_VARIANT(td_nomem) {
	unsigned int step;
	bool frugal;		/* may do without an allocation */
};

/*
 * Steps
 */

/* A VM that is closed at once: what td_open() does besides is not KVM's. */
static int make_vm(struct world *w)
{
	int vm = ioctl(w->kvm, KVM_CREATE_VM, KVM_X86_TDX_VM);

	if (vm < 0)
		return -errno;
	close(vm);
	return 0;
}

static int open_td(struct world *w)
{
	return td_open(&w->td);
}

static int init_vm(struct world *w)
{
	return td_init_vm(td_vm(w->td), w->init);
}

static int add_vcpu(struct world *w)
{
	return td_add_vcpu(w->td);
}

static int init_vcpu(struct world *w)
{
	return td_init_vcpu(w->td, 0, 0);
}

static int make_gmem(struct world *w)
{
	w->gmem = gmem_create(td_vm(w->td), NR_PAGES, 0);
	return w->gmem < 0 ? w->gmem : 0;
}

static int set_slot(struct world *w, __u64 nr)
{
	return td_set_slot(w->td, GUEST_SLOT, KVM_MEM_GUEST_MEMFD, GPA, nr, w->source, w->gmem);
}

static int add_slot(struct world *w)
{
	return set_slot(w, NR_PAGES);
}

static int set_private(struct world *w)
{
	struct kvm_memory_attributes attributes = {
		.address = GPA,
		.size = BYTES,
		.attributes = KVM_MEMORY_ATTRIBUTE_PRIVATE,
	};

	return RC(ioctl(td_vm(w->td), KVM_SET_MEMORY_ATTRIBUTES, &attributes));
}

static int allocate(struct world *w)
{
	return gmem_allocate(w->gmem, 0, 2);
}

/* What is left of the region to be initialized is in @w. */
static int init_memory(struct world *w)
{
	return td_cmd(td_vcpu(w->td, 0), KVM_TDX_INIT_MEM_REGION, KVM_TDX_MEASURE_MEMORY_REGION,
		      &w->region, NULL);
}

static int load_payload(struct world *w)
{
	return td_note_private(w->td, GPA, NR_PAGES, true) ?:
	       td_add_payload(w->td) ?: td_load_payload(w->td, false);
}

static int finalize(struct world *w)
{
	return td_finalize(w->td);
}

static int prefault(struct world *w)
{
	struct kvm_pre_fault_memory range = {
		.gpa = GPA + NR_INITIAL * PAGE_BYTES, .size = 2 * PAGE_BYTES,
	};

	return RC(ioctl(td_vcpu(w->td, 0), KVM_PRE_FAULT_MEMORY, &range));
}

static int start(struct world *w)
{
	return td_pages(w->td, 0, TD_OP_NONE, 0, 0, 0, 0);
}

static int touch(struct world *w)
{
	return td_pages(w->td, 0, TD_OP_WRITE, GPA + NR_INITIAL * PAGE_BYTES,
			NR_PAGES - NR_INITIAL, PATTERN, 0);
}

static int punch(struct world *w)
{
	return gmem_punch(w->gmem, NR_PAGES - 2, 2);
}

static int touch_again(struct world *w)
{
	return td_pages(w->td, 0, TD_OP_WRITE, GPA + (NR_PAGES - 2) * PAGE_BYTES, 2,
			PATTERN, 0);
}

static int delete_slot(struct world *w)
{
	return set_slot(w, 0);
}

static int close_gmem(struct world *w)
{
	close(w->gmem);
	w->gmem = -1;
	return 0;
}

static int close_td(struct world *w)
{
	td_close(w->td);
	w->td = NULL;
	return 0;
}

enum {
	MAKE_VM, OPEN, INIT_VM, ADD_VCPU, INIT_VCPU, MAKE_GMEM, ADD_SLOT, SET_PRIVATE, ALLOCATE,
	INIT_MEMORY, LOAD_PAYLOAD, FINALIZE, PREFAULT, START, TOUCH, PUNCH, TOUCH_AGAIN,
	DELETE_SLOT, CLOSE_GMEM, CLOSE_TD, NR_STEPS,
};

/* A whole life. */
static const struct {
	const char *name;
	int (*take)(struct world *w);
} steps[NR_STEPS] = {
	[MAKE_VM] = { "KVM_CREATE_VM", make_vm },
	[OPEN] = { "another KVM_CREATE_VM", open_td },
	[INIT_VM] = { "KVM_TDX_INIT_VM", init_vm },
	[ADD_VCPU] = { "KVM_CREATE_VCPU", add_vcpu },
	[INIT_VCPU] = { "KVM_TDX_INIT_VCPU", init_vcpu },
	[MAKE_GMEM] = { "KVM_CREATE_GUEST_MEMFD", make_gmem },
	[ADD_SLOT] = { "a new slot", add_slot },
	[SET_PRIVATE] = { "KVM_SET_MEMORY_ATTRIBUTES", set_private },
	[ALLOCATE] = { "fallocate", allocate },
	[INIT_MEMORY] = { "KVM_TDX_INIT_MEM_REGION", init_memory },
	[LOAD_PAYLOAD] = { "the payload", load_payload },
	[FINALIZE] = { "KVM_TDX_FINALIZE_VM", finalize },
	[PREFAULT] = { "KVM_PRE_FAULT_MEMORY", prefault },
	[START] = { "the first KVM_RUN", start },
	[TOUCH] = { "KVM_RUN", touch },
	[PUNCH] = { "a punch", punch },
	[TOUCH_AGAIN] = { "KVM_RUN after it", touch_again },
	[DELETE_SLOT] = { "a slot deleted", delete_slot },
	[CLOSE_GMEM] = { "the guest_memfd closed", close_gmem },
	[CLOSE_TD] = { "all closed", close_td },
};

/* Loading the payload is what other steps do, for other memory. */
FIXTURE_VARIANT_ADD(td_nomem, tdx_create_vm) { MAKE_VM };
FIXTURE_VARIANT_ADD(td_nomem, tdx_init_vm) { INIT_VM };
FIXTURE_VARIANT_ADD(td_nomem, tdx_adding_a_vcpu) { ADD_VCPU };
FIXTURE_VARIANT_ADD(td_nomem, tdx_init_vcpu) { INIT_VCPU };
FIXTURE_VARIANT_ADD(td_nomem, tdx_making_a_guest_memfd) { MAKE_GMEM };
FIXTURE_VARIANT_ADD(td_nomem, tdx_adding_a_slot) { ADD_SLOT };
FIXTURE_VARIANT_ADD(td_nomem, tdx_set_attributes) { SET_PRIVATE };
FIXTURE_VARIANT_ADD(td_nomem, tdx_fallocate) { ALLOCATE };
FIXTURE_VARIANT_ADD(td_nomem, tdx_init_mem_region) { INIT_MEMORY };
FIXTURE_VARIANT_ADD(td_nomem, tdx_finalize) { FINALIZE, .frugal = true };
FIXTURE_VARIANT_ADD(td_nomem, tdx_pre_fault) { PREFAULT };
FIXTURE_VARIANT_ADD(td_nomem, tdx_first_run) { START, .frugal = true };
FIXTURE_VARIANT_ADD(td_nomem, tdx_run) { TOUCH };
FIXTURE_VARIANT_ADD(td_nomem, tdx_punch) { PUNCH, .frugal = true };
FIXTURE_VARIANT_ADD(td_nomem, tdx_deleting_a_slot) { DELETE_SLOT, .frugal = true };
FIXTURE_VARIANT_ADD(td_nomem, tdx_closing_the_guest_memfd) { CLOSE_GMEM, .frugal = true };
FIXTURE_VARIANT_ADD(td_nomem, tdx_closing_it) { CLOSE_TD, .frugal = true };

FIXTURE_SETUP(td_nomem)
{
	struct world *w = &self->w;

	w->kvm = w->gmem = -1;
	REQUIRE(need_join(guest_why_not(GUEST_TDX), fault_why_not(), NEED_END));
	ASSERT_OK(meter_read(&self->at_start));
	w->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_SYS(w->kvm);
	w->source = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS |
			 MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, w->source);
	ASSERT_OK(td_open(&w->td));
	ASSERT_OK(td_init_params(w->td, &(struct td_plan){}, &w->init));
	ASSERT_OK(close_td(w));
	ASSERT_OK(fault_start());
}

FIXTURE_TEARDOWN(td_nomem)
{
	fault_stop();
	td_close(self->w.td);
	if (self->w.gmem >= 0)
		close(self->w.gmem);
	if (self->w.kvm >= 0)
		close(self->w.kvm);
	free(self->w.init);
	if (self->w.source)
		munmap(self->w.source, BYTES);
}

/* 0 for what is done without being asked for it. */
static unsigned int rounds(void)
{
	return supervise_rounds(0);
}

/*
 * Steps have up to some hundred fault points, many of one kind: caches that are filled
 * object by object.  So without SEPT_ROUNDS not all of the later ones are tried, and
 * fewer are followed by a whole life.
 */
static bool worth_a_life(unsigned int n)
{
	return rounds() || n <= 12 || !(n % 8);
}

static unsigned int next(unsigned int n)
{
	return rounds() || n < 40 ? n + 1 : n + 5;
}

static void begin(struct world *w)
{
	w->region = (struct kvm_tdx_init_mem_region){
		.source_addr = (__u64)w->source, .gpa = GPA, .nr_pages = NR_INITIAL,
	};
}

/* What came of a step in a life in which the @n-th of step @faulty failed. */
static bool check_step(struct __test_metadata *_metadata, unsigned int faulty, unsigned int n,
		       unsigned int step, const char *when, bool ok, int rc)
{
	const char *name = rc < 0 ? strerrorname_np(-rc) : "success";
	struct finding f;

	finding_set(&f, "result", "fault %u of %s: %s%s gave %d (%s)", n, steps[faulty].name,
		    steps[step].name, when, rc, name ? name : "no errno");
	suite_check(_metadata, __FILE__, __LINE__, "a step of a life with a fault", !ok, &f);
	return ok;
}

enum outcome {
	NO_FAULT,		/* the step had none left */
	GOES_ON,		/* to the end of its life */
	ENDS,			/* and need not or, as a part of it was done, cannot */
	FAILED,			/* a check has */
};

/* The step with a fault in it. */
static bool take_faulty(struct __test_metadata *_metadata, struct world *w, unsigned int step,
			unsigned int n, const char *when, int *rc, bool *hit)
{
	if (suite_check_rc(_metadata, __FILE__, __LINE__, "fault_arm()", fault_arm(n), 0))
		return false;
	*rc = steps[step].take(w);
	return !suite_check_rc(_metadata, __FILE__, __LINE__, "fault_disarm()",
			       fault_disarm(hit), 0) &&
	       check_step(_metadata, step, n, step, when,
			  !*rc || (*hit && (*rc == -ENOMEM || *rc == -EFAULT)), *rc);
}

/* Not done, and for want of memory; what td_pages() says of KVM_RUN is less than KVM does. */
static bool lacks_memory(const struct world *w, unsigned int step, int rc)
{
	if (step == ADD_VCPU && td_vcpu(w->td, 0) >= 0)
		return false;
	return rc == -ENOMEM || ((step == START || step == TOUCH) && rc == -EFAULT &&
				 td_run_errno(w->td, 0) == ENOMEM);
}

/*
 * The same fault time and again, so that what is lost each time stands out of the noise.
 * A vCPU's caches keep what they got for the next attempt, so that one of those succeeds:
 * then nothing can be said of what is kept.
 */
static bool fail_alike(struct __test_metadata *_metadata, struct world *w, unsigned int step,
		       unsigned int n, int *rc)
{
	struct meter before;
	struct finding f;
	char what[80];
	unsigned int i;
	bool hit;

	if (suite_check_rc(_metadata, __FILE__, __LINE__, "meter_read()", meter_read(&before), 0))
		return false;
	for (i = 0; i < TIMES && lacks_memory(w, step, *rc); i++)
		if (!take_faulty(_metadata, w, step, n, ", time and again,", rc, &hit))
			return false;
	if (!lacks_memory(w, step, *rc))
		return true;
	snprintf(what, sizeof(what), "fault %u of %s, %u times", n, steps[step].name, i);
	return !suite_check(_metadata, __FILE__, __LINE__, what,
			    meter_check_back(&before, METER_LOST, TOLERANCE, &f), &f);
}

/*
 * The step with a fault in it, and again if it failed.  A call whose last copy to user
 * space fails has been made all the same, and cannot be made a second time.
 */
static enum outcome faulty_step(struct __test_metadata *_metadata, struct world *w,
				unsigned int step, unsigned int n)
{
	bool hit, done;
	int rc, again;

	if (!take_faulty(_metadata, w, step, n, "", &rc, &hit))
		return FAILED;
	if (!rc && !hit)
		return NO_FAULT;
	/* What could not be set is as it was, in the part that was prepared, too. */
	if (step == SET_PRIVATE && rc == -ENOMEM) {
		again = init_memory(w);
		if (!check_step(_metadata, step, n, INIT_MEMORY, ", of shared memory,",
				again == -EINVAL, again))
			return FAILED;
	}
	if (worth_a_life(n) && lacks_memory(w, step, rc) &&
	    !fail_alike(_metadata, w, step, n, &rc))
		return FAILED;
	if (step == ADD_VCPU && td_vcpu(w->td, 0) >= 0)
		return worth_a_life(n) && !rc ? GOES_ON : ENDS;
	if (!rc)
		return worth_a_life(n) ? GOES_ON : ENDS;
	again = steps[step].take(w);
	done = rc == -EFAULT && (again == -EINVAL || again == -EIO || again == -EEXIST);
	if (!check_step(_metadata, step, n, step, ", again,", !again || done, again))
		return FAILED;
	return worth_a_life(n) ? GOES_ON : ENDS;
}

/* A life with the @n-th fault in one of its steps. */
static enum outcome live(struct __test_metadata *_metadata, struct world *w, unsigned int faulty,
			 unsigned int n)
{
	enum outcome outcome = GOES_ON;
	unsigned int step;
	int rc;

	begin(w);
	for (step = 0; step < NR_STEPS && (outcome == GOES_ON || outcome == NO_FAULT); step++) {
		if (step == faulty) {
			outcome = faulty_step(_metadata, w, step, n);
			continue;
		}
		rc = steps[step].take(w);
		if (!check_step(_metadata, faulty, n, step, "", !rc, rc))
			outcome = FAILED;
	}
	if (w->gmem >= 0)
		close_gmem(w);
	close_td(w);
	return outcome;
}

TEST_F(td_nomem, fails_by_enomem_and_can_be_done_again)
{
	const unsigned int nr = rounds() ?: 1;
	enum outcome outcome = GOES_ON;
	unsigned int round, n = 1, hit = 0, failed = 0;
	struct meter before;

	for (round = 0; round < nr && !failed; round++) {
		/* The first round fills the kernel's caches. */
		if (round == 1)
			ASSERT_OK(meter_read(&before));
		for (n = 1; n < MOST && failed < FAILURES; n = next(n)) {
			outcome = live(_metadata, &self->w, variant->step, n);
			if (outcome == NO_FAULT)
				break;
			failed += outcome == FAILED;
			EXPECT_BACK(&self->at_start, METER_HKIDS, 0);
		}
		hit = n - 1 > hit ? n - 1 : hit;
	}
	EXPECT_EQ(NO_FAULT, outcome);
	TH_LOG("%s: %u faults", steps[variant->step].name, hit);
	EXPECT_EQ(true, hit || variant->frugal);
	EXPECT_BACK(&self->at_start, METER_HKIDS, 0);
	if (nr > 1) {
		EXPECT_BACK(&before, METER_LOST, (nr - 1) / 2 + TOLERANCE);
	}
}

SUITE(.needs = NEED_ROOT | NEED_KVM | NEED_GMEM, .seconds = 300, .serial = true)
