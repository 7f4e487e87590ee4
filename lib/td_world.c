// SPDX-License-Identifier: GPL-2.0-only
/*
 * A world is as much of a TD as its stage asks for, with what its roles need missing
 * left out.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gmem.h"
#include "td_world.h"

#define PAGE_BYTES	4096ull
#define BYTES		(TD_WORLD_PAGES * PAGE_BYTES)
#define SLOT		10		/* of the first guest_memfd; the second has the next */
#define BIT(n)		(1u << (n))

const char *td_stage_name(enum td_stage stage)
{
	static const char *const names[] = {
		[TD_OPENED] = "opened", [TD_BUILT] = "built", [TD_RUNNING] = "running",
	};

	return names[stage];
}

/* Where a guest_memfd is. */
static __u64 gpa_of(unsigned int file)
{
	return file ? TD_WORLD_OTHER : TD_WORLD_GPA;
}

unsigned int td_world_vcpu(const struct td_world *w, unsigned int me)
{
	return w->stage == TD_RUNNING ? me % 2 : 0;
}

int td_world_set_private(struct td_world *w, unsigned int file, bool private)
{
	return td_set_private(w->td, gpa_of(file), TD_WORLD_PAGES, private);
}

int td_world_set_slot(struct td_world *w, unsigned int file, unsigned int flags, __u64 gpa,
		      __u64 nr)
{
	return td_set_slot(w->td, SLOT + file, flags, gpa, nr, w->shared + file * BYTES,
			   w->gmem[file]);
}

/* What all worlds of a race share. */
int td_world_begin(struct td_world *w, bool no_ve)
{
	const struct td_plan plan = { .attributes = no_ve ? TD_ATTR_SEPT_VE_DISABLE : 0 };
	struct td *td;
	int rc;

	w->gmem[0] = -1;
	w->gmem[1] = -1;
	w->extra_vcpu = -1;
	w->null = open("/dev/null", O_RDWR | O_CLOEXEC);
	w->shared = mmap(NULL, 2 * BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	w->source = mmap(NULL, BYTES, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (w->null < 0 || w->shared == MAP_FAILED || w->source == MAP_FAILED)
		return -errno;
	rc = td_open(&td);
	if (rc)
		return rc;
	rc = td_init_params(td, &plan, &w->init) ?: td_vcpu_cpuid(td, &w->cpuid);
	td_close(td);
	return rc;
}

void td_world_drop(struct td_world *w)
{
	unsigned int i;

	if (w->extra_vcpu >= 0)
		close(w->extra_vcpu);
	w->extra_vcpu = -1;
	td_close(w->td);
	w->td = NULL;
	for (i = 0; i < 2; i++) {
		if (w->gmem[i] >= 0)
			close(w->gmem[i]);
		w->gmem[i] = -1;
	}
}

void td_world_end(struct td_world *w)
{
	td_world_drop(w);
	close(w->null);
	free(w->init);
	free(w->cpuid);
	munmap(w->shared, 2 * BYTES);
	munmap(w->source, BYTES);
}

static int add_file(struct td_world *w, unsigned int file)
{
	int fd = gmem_create(td_vm(w->td), TD_WORLD_PAGES, 0);

	if (fd < 0)
		return fd;
	w->gmem[file] = fd;
	return file || !(w->lacks & BIT(TD_SLOT)) ?
	       td_world_set_slot(w, file, KVM_MEM_GUEST_MEMFD, gpa_of(file), TD_WORLD_PAGES) : 0;
}

/* Whether vCPU 0 is initialised. */
static bool has_ready_vcpu(const struct td_world *w)
{
	return w->stage == TD_RUNNING || (w->stage == TD_BUILT && !(w->taken & BIT(TD_RAW_VCPU_0)));
}

int td_world_make(struct td_world *w)
{
	unsigned int i;
	int rc;

	rc = td_open(&w->td);
	if (!rc && w->stage != TD_OPENED)
		rc = td_init_vm(td_vm(w->td), w->init) ?:
		     td_add_vcpu(w->td);
	if (!rc && has_ready_vcpu(w))
		rc = td_init_vcpu(w->td, 0, 0);
	if (!rc && (w->stage == TD_RUNNING || w->raw))
		rc = td_add_vcpu(w->td);
	if (!rc && w->payload)
		rc = td_add_payload(w->td) ?: td_load_payload(w->td, false);
	if (!rc && w->stage == TD_RUNNING)
		rc = td_init_vcpu(w->td, 1, 0) ?: td_finalize(w->td) ?:
		     td_pages(w->td, 0, TD_OP_NONE, 0, 0, 0, 0) ?:
		     td_pages(w->td, 1, TD_OP_NONE, 0, 0, 0, 0);
	for (i = 0; i < 2 && !rc; i++)
		if (w->used[i])
			rc = add_file(w, i) ?:
			     td_world_set_private(w, i, i || !(w->lacks & BIT(TD_PRIVATE)));
	return rc;
}

/* As it was before the round. */
int td_world_mend(struct td_world *w)
{
	int rc = 0;

	if (w->taken & (BIT(TD_SLOT) | BIT(TD_SLOT_ID) | BIT(TD_FILE))) {
		rc = td_world_set_slot(w, 0, 0, 0, 0);
		if (rc == -EINVAL)
			rc = 0;
		if (!rc && w->taken & BIT(TD_FILE)) {
			close(w->gmem[0]);
			w->gmem[0] = -1;
			rc = add_file(w, 0);
		} else if (!rc && !(w->lacks & BIT(TD_SLOT))) {
			rc = td_world_set_slot(w, 0, KVM_MEM_GUEST_MEMFD, TD_WORLD_GPA, TD_WORLD_PAGES);
		}
	}
	if (!rc && w->taken & BIT(TD_PRIVATE))
		rc = td_world_set_private(w, 0, !(w->lacks & BIT(TD_PRIVATE)));
	return rc;
}

/* With pages mapped, to be taken away, or with none, to be mapped. */
int td_world_fill(struct td_world *w, bool filled)
{
	int rc = 0;
	unsigned int i;

	for (i = 0; i < 2 && !rc; i++) {
		if (!w->used[i])
			continue;
		rc = gmem_punch(w->gmem[i], 0, TD_WORLD_PAGES);
		if (rc || !filled || (!i && w->lacks & (BIT(TD_SLOT) | BIT(TD_PRIVATE))))
			continue;
		if (w->stage == TD_RUNNING)
			rc = td_pages(w->td, 0, TD_OP_WRITE, gpa_of(i), TD_WORLD_PAGES, w->pattern, 0);
		else if (has_ready_vcpu(w))
			rc = td_init_memory(w->td, gpa_of(i), w->source, TD_WORLD_PAGES, false, NULL);
		else
			rc = gmem_allocate(w->gmem[i], 0, TD_WORLD_PAGES);
	}
	return rc;
}

bool td_world_is_dead(const struct td_world *w)
{
	return ioctl(td_vm(w->td), KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS) < 0 && errno == EIO;
}
