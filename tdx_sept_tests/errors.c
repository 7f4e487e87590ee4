// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is asked wrongly is refused with the documented errno, and has touched
 * nothing: after each refusal all pages are what and where they were, and the
 * same call, asked rightly, succeeds.
 *
 * Sources: Documentation/virt/kvm/api.rst for each KVM_... ioctl, fallocate(2),
 * mmap(2), ftruncate(2), read(2), lseek(2).
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/falloc.h>
#include <linux/kvm.h>

#include "gmem.h"
#include "suite.h"

#define PAGE_BYTES	4096ull
#define NR_PAGES	16ull
#define NR_BACKED	8ull		/* the first half, so that both kinds are watched */
#define FILE_BYTES	(NR_PAGES * PAGE_BYTES)
#define FREE_SLOT	20
#define FREE_GPA	(GUEST_GPA + (1ull << 30))
#define ALLOCATE	FALLOC_FL_KEEP_SIZE
#define PUNCH		(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE)
#define PATTERN		0x0ddba11500000000ull

FIXTURE(errors) {
	struct guest *g, *stranger;
	int vm, fd, bound;	/* @fd: no slot shows it; @bound: GUEST_SLOT does */
	void *addr;		/* that slots may give as their user address */
	bool has_attributes;	/* KVM has the ioctl, whatever this VM supports */
	struct census *before, *before_bound;
};

FIXTURE_VARIANT(errors) {
	enum guest_type type;
};

GUEST_VARIANTS(errors, );

static __u64 usual_flags(const struct guest *g)
{
	return guest_mappable(g) ? GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_INIT_SHARED : 0;
}

FIXTURE_SETUP(errors)
{
	int kvm;

	self->fd = -1;
	REQUIRE(guest_why_not(variant->type));
	ASSERT_OK(guest_create(&self->g, variant->type, NR_PAGES));
	self->vm = guest_vm(self->g);
	self->bound = guest_gmem(self->g);
	self->fd = gmem_create(self->vm, NR_PAGES, usual_flags(self->g));
	ASSERT_OK(self->fd);
	self->addr = mmap(NULL, 4 * FILE_BYTES, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->addr);

	kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	ASSERT_OK(kvm);
	self->has_attributes = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_ATTRIBUTES) > 0;
	close(kvm);

	ASSERT_OK(gmem_allocate(self->fd, 0, NR_BACKED));
	ASSERT_OK(gmem_allocate(self->bound, 0, NR_BACKED));
	ASSERT_OK(census_take(&self->before, self->fd, 0, NR_PAGES));
	ASSERT_OK(census_take(&self->before_bound, self->bound, 0, NR_PAGES));
}

FIXTURE_TEARDOWN(errors)
{
	census_free(self->before);
	census_free(self->before_bound);
	if (self->fd >= 0)
		close(self->fd);
	if (self->addr)
		munmap(self->addr, 4 * FILE_BYTES);
	guest_destroy(self->stranger);
	guest_destroy(self->g);
}

/* Errno as a result. */
#define RESULT(call) ({ long __rc = (call); __rc < 0 ? -errno : __rc; })

#define EXPECT_ALL_AS_BEFORE() do {					\
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES);			\
	EXPECT_UNTOUCHED(self->before_bound, 0, NR_PAGES);		\
} while (0)

/* @call gives -@err and has changed nothing.  Tells @call as it is written. */
#define EXPECT_REFUSED(err, call) do {					\
	suite_check_rc(_metadata, __FILE__, __LINE__, #call, (call), -(err)); \
	EXPECT_ALL_AS_BEFORE();						\
} while (0)

#define EXPECT_ACCEPTED(call)						\
	suite_check_rc(_metadata, __FILE__, __LINE__, #call, (call), 0)

/*
 * KVM_CREATE_GUEST_MEMFD
 */

#define CREATE_ON(to, ...) ({					\
	struct kvm_create_guest_memfd c = {				\
		.size = FILE_BYTES,					\
		.flags = usual_flags(self->g),				\
	};								\
									\
	__VA_ARGS__;							\
	RESULT(ioctl(to, KVM_CREATE_GUEST_MEMFD, &c));			\
})
#define CREATE(...) CREATE_ON(self->vm, __VA_ARGS__)

#define EXPECT_CREATE_WORKS() do {					\
	long __fd = CREATE();						\
									\
	ASSERT_OK(__fd);						\
	EXPECT_ABSENT(__fd, 0, NR_PAGES);				\
	close(__fd);							\
} while (0)

TEST_F(errors, create_refuses_size_zero)
{
	EXPECT_REFUSED(EINVAL, CREATE(c.size = 0));
	EXPECT_CREATE_WORKS();
}

TEST_F(errors, create_refuses_an_unaligned_size)
{
	EXPECT_REFUSED(EINVAL, CREATE(c.size = 1));
	EXPECT_REFUSED(EINVAL, CREATE(c.size -= 1));
	EXPECT_REFUSED(EINVAL, CREATE(c.size += 1));
	EXPECT_REFUSED(EINVAL, CREATE(c.size += PAGE_BYTES / 2));
	EXPECT_CREATE_WORKS();
}

TEST_F(errors, create_refuses_a_negative_size)
{
	EXPECT_REFUSED(EINVAL, CREATE(c.size = 1ull << 63));
	EXPECT_REFUSED(EINVAL, CREATE(c.size = -PAGE_BYTES));
	EXPECT_CREATE_WORKS();
}

TEST_F(errors, create_refuses_each_unknown_flag)
{
	__u64 known = gmem_flags(self->vm);
	int bit;

	for (bit = 0; bit < 64; bit++)
		if (!(known & 1ull << bit) && CREATE(c.flags |= 1ull << bit) != -EINVAL)
			break;
	EXPECT_EQ(64, bit);
	EXPECT_ALL_AS_BEFORE();
	EXPECT_CREATE_WORKS();
}

/* No kernel so far looks at them; one that does has EINVAL for them. */
TEST_F(errors, create_may_refuse_reserved_fields_by_einval_only)
{
	long fd = CREATE(c.reserved[5] = 1);

	if (fd < 0) {
		EXPECT_ERR(EINVAL, fd);
	} else {
		close(fd);
	}
	EXPECT_ALL_AS_BEFORE();
	EXPECT_CREATE_WORKS();
}

TEST_F(errors, create_refuses_a_bad_address)
{
	EXPECT_REFUSED(EFAULT, RESULT(ioctl(self->vm, KVM_CREATE_GUEST_MEMFD, NULL)));
	EXPECT_CREATE_WORKS();
}

TEST_F(errors, create_refuses_a_wrong_descriptor)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	ASSERT_OK(kvm);
	EXPECT_REFUSED(EBADF, CREATE_ON(-1));
	EXPECT_REFUSED(ENOTTY, CREATE_ON(self->fd));
	EXPECT_REFUSED(EINVAL, CREATE_ON(kvm));
	EXPECT_REFUSED(EINVAL, CREATE_ON(guest_vcpu(self->g)));
	close(kvm);
	EXPECT_CREATE_WORKS();
}

TEST_F(errors, create_refuses_beyond_the_limit_of_descriptors)
{
	struct rlimit old, none;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	none = old;
	none.rlim_cur = 0;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_ERR(EMFILE, CREATE());
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_ALL_AS_BEFORE();
	EXPECT_CREATE_WORKS();
}

/*
 * fallocate(2)
 */

#define FALLOCATE(mode, offset, len) RESULT(fallocate(self->fd, mode, offset, len))

/* On what is backed, respectively absent already: so these change nothing, too. */
#define EXPECT_FALLOCATE_WORKS() do {					\
	EXPECT_ACCEPTED(FALLOCATE(ALLOCATE, 0, NR_BACKED * PAGE_BYTES));	\
	EXPECT_ACCEPTED(FALLOCATE(PUNCH, NR_BACKED * PAGE_BYTES,		\
			    FILE_BYTES - NR_BACKED * PAGE_BYTES));	\
	EXPECT_ALL_AS_BEFORE();						\
} while (0)

TEST_F(errors, fallocate_refuses_to_change_the_size)
{
	EXPECT_REFUSED(EOPNOTSUPP, FALLOCATE(0, 0, FILE_BYTES));
	EXPECT_REFUSED(EOPNOTSUPP, FALLOCATE(0, 0, 2 * FILE_BYTES));
	EXPECT_REFUSED(EOPNOTSUPP, FALLOCATE(FALLOC_FL_PUNCH_HOLE, 0, FILE_BYTES));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, fallocate_refuses_other_modes)
{
	EXPECT_REFUSED(EOPNOTSUPP, FALLOCATE(FALLOC_FL_COLLAPSE_RANGE, 0, PAGE_BYTES));
	EXPECT_REFUSED(EOPNOTSUPP, FALLOCATE(FALLOC_FL_INSERT_RANGE, 0, PAGE_BYTES));
	EXPECT_REFUSED(EOPNOTSUPP, FALLOCATE(FALLOC_FL_ZERO_RANGE, 0, PAGE_BYTES));
	EXPECT_REFUSED(EOPNOTSUPP, FALLOCATE(FALLOC_FL_KEEP_SIZE | FALLOC_FL_ZERO_RANGE,
					     0, PAGE_BYTES));
	EXPECT_REFUSED(EOPNOTSUPP, FALLOCATE(FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE,
					     0, PAGE_BYTES));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, fallocate_refuses_each_unknown_mode)
{
	int bit;

	for (bit = 0; bit < 32; bit++)
		if (!(PUNCH & 1u << bit) &&
		    (FALLOCATE(ALLOCATE | 1u << bit, 0, PAGE_BYTES) != -EOPNOTSUPP ||
		     FALLOCATE(PUNCH | 1u << bit, 0, PAGE_BYTES) != -EOPNOTSUPP))
			break;
	EXPECT_EQ(32, bit);
	EXPECT_ALL_AS_BEFORE();
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, fallocate_refuses_an_unaligned_offset)
{
	EXPECT_REFUSED(EINVAL, FALLOCATE(ALLOCATE, 1, PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, FALLOCATE(ALLOCATE, PAGE_BYTES - 1, PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, FALLOCATE(PUNCH, 1, PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, FALLOCATE(PUNCH, PAGE_BYTES / 2, PAGE_BYTES));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, fallocate_refuses_an_unaligned_length)
{
	EXPECT_REFUSED(EINVAL, FALLOCATE(ALLOCATE, 0, FILE_BYTES - 1));
	EXPECT_REFUSED(EINVAL, FALLOCATE(ALLOCATE, 0, 1));
	EXPECT_REFUSED(EINVAL, FALLOCATE(PUNCH, 0, FILE_BYTES - 1));
	EXPECT_REFUSED(EINVAL, FALLOCATE(PUNCH, 0, 1));
	EXPECT_REFUSED(EINVAL, FALLOCATE(PUNCH, 1, 1));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, fallocate_refuses_length_zero)
{
	EXPECT_REFUSED(EINVAL, FALLOCATE(ALLOCATE, 0, 0));
	EXPECT_REFUSED(EINVAL, FALLOCATE(PUNCH, 0, 0));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, fallocate_refuses_negative_numbers)
{
	const long page = PAGE_BYTES;

	EXPECT_REFUSED(EINVAL, FALLOCATE(ALLOCATE, -page, page));
	EXPECT_REFUSED(EINVAL, FALLOCATE(ALLOCATE, 0, -page));
	EXPECT_REFUSED(EINVAL, FALLOCATE(PUNCH, -page, page));
	EXPECT_REFUSED(EINVAL, FALLOCATE(PUNCH, 0, -page));
	EXPECT_REFUSED(EINVAL, FALLOCATE(PUNCH, -page, -page));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, fallocate_refuses_an_end_that_overflows)
{
	const long last = INT64_MAX & ~(PAGE_BYTES - 1);

	EXPECT_REFUSED(EFBIG, FALLOCATE(ALLOCATE, last, 2 * PAGE_BYTES));
	EXPECT_REFUSED(EFBIG, FALLOCATE(PUNCH, last, 2 * PAGE_BYTES));
	EXPECT_REFUSED(EFBIG, FALLOCATE(PUNCH, last, last));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, fallocate_refuses_what_is_beyond_the_end)
{
	EXPECT_REFUSED(EINVAL, FALLOCATE(ALLOCATE, FILE_BYTES, PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, FALLOCATE(ALLOCATE, 0, FILE_BYTES + PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, FALLOCATE(ALLOCATE, 1ull << 62, PAGE_BYTES));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, fallocate_refuses_a_wrong_descriptor)
{
	EXPECT_REFUSED(EBADF, RESULT(fallocate(-1, ALLOCATE, 0, PAGE_BYTES)));
	EXPECT_REFUSED(EBADF, RESULT(fallocate(-1, PUNCH, 0, PAGE_BYTES)));
	EXPECT_FALLOCATE_WORKS();
}

/*
 * As a file
 */

TEST_F(errors, read_and_write_are_refused)
{
	char byte = 1;

	EXPECT_REFUSED(EINVAL, RESULT(read(self->fd, &byte, 1)));
	EXPECT_REFUSED(EINVAL, RESULT(write(self->fd, &byte, 1)));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, pread_and_pwrite_are_refused)
{
	char byte = 1;

	EXPECT_REFUSED(ESPIPE, RESULT(pread(self->fd, &byte, 1, 0)));
	EXPECT_REFUSED(ESPIPE, RESULT(pwrite(self->fd, &byte, 1, 0)));
	EXPECT_REFUSED(EINVAL, RESULT(pread(self->fd, &byte, 1, -1)));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, lseek_is_refused)
{
	EXPECT_REFUSED(ESPIPE, RESULT(lseek(self->fd, 0, SEEK_SET)));
	EXPECT_REFUSED(ESPIPE, RESULT(lseek(self->fd, 0, SEEK_END)));
	EXPECT_REFUSED(ESPIPE, RESULT(lseek(self->fd, 0, SEEK_DATA)));
	EXPECT_FALLOCATE_WORKS();
}

TEST_F(errors, ftruncate_is_refused)
{
	struct stat st;

	EXPECT_REFUSED(EINVAL, RESULT(ftruncate(self->fd, 0)));
	EXPECT_REFUSED(EINVAL, RESULT(ftruncate(self->fd, PAGE_BYTES)));
	EXPECT_REFUSED(EINVAL, RESULT(ftruncate(self->fd, 2 * FILE_BYTES)));
	EXPECT_REFUSED(EINVAL, RESULT(ftruncate(self->fd, -1)));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(FILE_BYTES, st.st_size);
	EXPECT_FALLOCATE_WORKS();
}

/*
 * mmap(2)
 */

#define MMAP(len, prot, flags, fd, offset) ({				\
	void *__map = mmap(NULL, len, prot, flags, fd, offset);		\
									\
	__map == MAP_FAILED ? -errno : munmap(__map, len);		\
})

#define EXPECT_MMAP_WORKS() do {					\
	if (guest_mappable(self->g)) {					\
		EXPECT_ACCEPTED(MMAP(FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0)); \
	}								\
	EXPECT_ALL_AS_BEFORE();						\
} while (0)

static const char *unmappable(const struct guest *g)
{
	return guest_mappable(g) ? NULL : "user space cannot map the memory of this VM type";
}

TEST_F(errors, mmap_refuses_a_private_mapping)
{
	REQUIRE(unmappable(self->g));
	EXPECT_REFUSED(EINVAL, MMAP(FILE_BYTES, PROT_READ, MAP_PRIVATE, self->fd, 0));
	EXPECT_REFUSED(EINVAL, MMAP(FILE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE,
				    self->fd, 0));
	EXPECT_MMAP_WORKS();
}

TEST_F(errors, mmap_refuses_to_execute)
{
	REQUIRE(unmappable(self->g));
	EXPECT_REFUSED(EPERM, MMAP(FILE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED,
				   self->fd, 0));
	EXPECT_MMAP_WORKS();
}

TEST_F(errors, mmap_refuses_an_unaligned_offset)
{
	REQUIRE(unmappable(self->g));
	EXPECT_REFUSED(EINVAL, MMAP(PAGE_BYTES, PROT_READ, MAP_SHARED, self->fd, 1));
	EXPECT_MMAP_WORKS();
}

TEST_F(errors, mmap_refuses_length_zero)
{
	REQUIRE(unmappable(self->g));
	EXPECT_REFUSED(EINVAL, MMAP(0, PROT_READ, MAP_SHARED, self->fd, 0));
	EXPECT_MMAP_WORKS();
}

TEST_F(errors, mmap_refuses_a_file_made_without_the_flag)
{
	long fd = CREATE(c.flags = 0);

	ASSERT_OK(fd);
	EXPECT_REFUSED(ENODEV, MMAP(FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	EXPECT_REFUSED(ENODEV, MMAP(PAGE_BYTES, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_REFUSED(ENODEV, MMAP(PAGE_BYTES, PROT_READ, MAP_PRIVATE, fd, 0));
	EXPECT_ABSENT(fd, 0, NR_PAGES);
	close(fd);
	EXPECT_MMAP_WORKS();
}

static sigjmp_buf sigbus_back;

static void on_sigbus(int sig)
{
	(void)sig;
	siglongjmp(sigbus_back, 1);
}

/* Touch a byte; -EFAULT if that raises SIGBUS. */
static int touch(volatile char *byte, bool write)
{
	struct sigaction old, new = { .sa_handler = on_sigbus };
	int err = -EFAULT;

	sigaction(SIGBUS, &new, &old);
	if (!sigsetjmp(sigbus_back, 1)) {
		if (write)
			*byte = 1;
		else
			(void)*byte;
		err = 0;
	}
	sigaction(SIGBUS, &old, NULL);
	return err;
}

TEST_F(errors, touching_beyond_the_end_raises_sigbus)
{
	volatile char *map;

	REQUIRE(unmappable(self->g));
	map = mmap(NULL, 2 * FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_REFUSED(EFAULT, touch(map + FILE_BYTES, false));
	EXPECT_REFUSED(EFAULT, touch(map + FILE_BYTES, true));
	EXPECT_REFUSED(EFAULT, touch(map + 2 * FILE_BYTES - 1, true));

	EXPECT_OK(touch(map + FILE_BYTES - 1, true));
	EXPECT_HELD(self->fd, NR_PAGES - 1, 1, 1, 0);
	EXPECT_UNTOUCHED(self->before, 0, NR_PAGES - 1);
	munmap((void *)map, 2 * FILE_BYTES);
}

TEST_F(errors, touching_private_memory_raises_sigbus)
{
	volatile char *map;
	long fd;

	if (!(gmem_flags(self->vm) & GUEST_MEMFD_FLAG_MMAP))
		SKIP(return, "no guest_memfd of this VM type can be mapped");
	fd = CREATE(c.flags = GUEST_MEMFD_FLAG_MMAP);
	ASSERT_OK(fd);
	map = mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_REFUSED(EFAULT, touch(map, false));
	EXPECT_REFUSED(EFAULT, touch(map, true));
	EXPECT_ABSENT(fd, 0, NR_PAGES);

	/* Backed or not makes no difference. */
	ASSERT_OK(gmem_allocate(fd, 0, 1));
	EXPECT_REFUSED(EFAULT, touch(map, true));
	EXPECT_HELD(fd, 0, 1, 0, 0);
	EXPECT_ABSENT(fd, 1, NR_PAGES - 1);
	munmap((void *)map, FILE_BYTES);
	close(fd);
}

/*
 * KVM_SET_USER_MEMORY_REGION2
 */

static struct kvm_userspace_memory_region2 good_region(int fd, void *addr)
{
	return (struct kvm_userspace_memory_region2) {
		.slot = FREE_SLOT,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = FREE_GPA,
		.memory_size = FILE_BYTES,
		.userspace_addr = (__u64)addr,
		.guest_memfd = fd,
	};
}

#define REGION_ON(to, ...) ({					\
	struct kvm_userspace_memory_region2 r = good_region(self->fd, self->addr); \
									\
	__VA_ARGS__;							\
	RESULT(ioctl(to, KVM_SET_USER_MEMORY_REGION2, &r));			\
})
#define REGION(...) REGION_ON(self->vm, __VA_ARGS__)

/* The slot that is there serves the guest still, and a new one can be made. */
#define EXPECT_REGION_WORKS() do {					\
	EXPECT_ACCEPTED(REGION());						\
	EXPECT_ACCEPTED(REGION(r.memory_size = 0));				\
	EXPECT_ALL_AS_BEFORE();						\
	EXPECT_OK(guest_touch(self->g, NR_PAGES - 1, 1, PATTERN));	\
	EXPECT_HELD(self->bound, NR_PAGES - 1, 1, guest_touch_maps(self->g), 0); \
} while (0)

TEST_F(errors, slot_refuses_an_unaligned_gpa)
{
	EXPECT_REFUSED(EINVAL, REGION(r.guest_phys_addr += 1));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_phys_addr += PAGE_BYTES / 2));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_an_unaligned_size)
{
	EXPECT_REFUSED(EINVAL, REGION(r.memory_size -= 1));
	EXPECT_REFUSED(EINVAL, REGION(r.memory_size = 1));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_an_unaligned_offset)
{
	EXPECT_REFUSED(EINVAL, REGION(r.memory_size = PAGE_BYTES, r.guest_memfd_offset = 1));
	EXPECT_REFUSED(EINVAL, REGION(r.memory_size = PAGE_BYTES,
				      r.guest_memfd_offset = PAGE_BYTES - 1));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_an_unaligned_user_address)
{
	EXPECT_REFUSED(EINVAL, REGION(r.userspace_addr += 1));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_a_kernel_address)
{
	EXPECT_REFUSED(EINVAL, REGION(r.userspace_addr = 0xffff888000000000ull));
	EXPECT_REFUSED(EINVAL, REGION(r.userspace_addr = -FILE_BYTES));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_a_gpa_that_wraps)
{
	EXPECT_REFUSED(EINVAL, REGION(r.guest_phys_addr = -PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_phys_addr = 1 - FILE_BYTES + PAGE_BYTES - 1));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_a_gpa_that_no_guest_has)
{
	EXPECT_REFUSED(EINVAL, REGION(r.guest_phys_addr = 1ull << 60));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_a_number_beyond_the_last)
{
	int nr = ioctl(self->vm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);

	ASSERT_LT(0, nr);
	EXPECT_REFUSED(EINVAL, REGION(r.slot = nr));
	EXPECT_REFUSED(EINVAL, REGION(r.slot = 0xffff));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_an_unknown_address_space)
{
	EXPECT_REFUSED(EINVAL, REGION(r.slot |= 2 << 16));
	EXPECT_REFUSED(EINVAL, REGION(r.slot |= 0xffff << 16));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_to_delete_what_is_not_there)
{
	EXPECT_REFUSED(EINVAL, REGION(r.memory_size = 0));
	EXPECT_REFUSED(EINVAL, REGION(r.memory_size = 0, r.flags = 0));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_a_range_across_the_end_of_the_file)
{
	EXPECT_REFUSED(EINVAL, REGION(r.memory_size += PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd_offset = PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd_offset = FILE_BYTES));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_an_offset_near_the_largest)
{
	const __u64 last = INT64_MAX & ~(PAGE_BYTES - 1);

	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd_offset = last - FILE_BYTES));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd_offset = 1ull << 62));
	EXPECT_REGION_WORKS();
}

/*
 * The sum of offset and size, taken as a signed number, is negative and thereby
 * smaller than any file: kernels before eba85fee7fc6 (7.2) make such a slot.  It
 * must then be as good as none: it backs nothing, and goes as it came.
 */
TEST_F(errors, slot_with_an_end_beyond_the_largest_is_refused_or_empty)
{
	const __u64 last = INT64_MAX & ~(PAGE_BYTES - 1);
	int rc = REGION(r.guest_memfd_offset = last);

	if (!rc) {
		EXPECT_ALL_AS_BEFORE();
		EXPECT_ACCEPTED(REGION(r.memory_size = 0));
		rc = -EINVAL;
	}
	EXPECT_ERR(EINVAL, rc);
	EXPECT_ALL_AS_BEFORE();
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd_offset = last + PAGE_BYTES));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_an_offset_that_wraps)
{
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd_offset = -PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd_offset = PAGE_BYTES - FILE_BYTES));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_too_many_pages)
{
	EXPECT_REFUSED(EINVAL, REGION(r.memory_size = 1ull << 43));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_a_file_of_another_kind)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int memfd = memfd_create("not a guest_memfd", MFD_CLOEXEC);

	ASSERT_OK(null);
	ASSERT_OK(memfd);
	ASSERT_EQ(0, ftruncate(memfd, FILE_BYTES));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd = null));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd = memfd));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd = self->vm));
	close(null);
	close(memfd);
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_a_closed_descriptor)
{
	EXPECT_REFUSED(EBADF, REGION(r.guest_memfd = -1));
	EXPECT_REFUSED(EBADF, REGION(r.guest_memfd = 1 << 20));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_the_file_of_another_vm)
{
	ASSERT_OK(guest_create_unbound(&self->stranger, variant->type, NR_PAGES));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd = guest_gmem(self->stranger)));
	EXPECT_REFUSED(EINVAL, REGION_ON(guest_vm(self->stranger)));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_to_overlap_another)
{
	EXPECT_REFUSED(EEXIST, REGION(r.guest_phys_addr = GUEST_GPA));
	EXPECT_REFUSED(EEXIST, REGION(r.guest_phys_addr = GUEST_GPA + FILE_BYTES - PAGE_BYTES));
	EXPECT_REFUSED(EEXIST, REGION(r.guest_phys_addr = GUEST_GPA + PAGE_BYTES,
				      r.memory_size = PAGE_BYTES));
	EXPECT_REGION_WORKS();
}

/* Up to 6.18 by EINVAL, later by EEXIST; no capability tells which. */
#define EXPECT_BOUND_ALREADY(call) do {					\
	long __rc = (call);						\
									\
	if (__rc != -EEXIST)						\
		suite_check_rc(_metadata, __FILE__, __LINE__, #call, __rc, -EINVAL); \
	EXPECT_ALL_AS_BEFORE();						\
} while (0)

TEST_F(errors, slot_refuses_pages_that_another_shows)
{
	EXPECT_BOUND_ALREADY(REGION(r.guest_memfd = self->bound));
	EXPECT_BOUND_ALREADY(REGION(r.guest_memfd = self->bound, r.memory_size = PAGE_BYTES));
	EXPECT_BOUND_ALREADY(REGION(r.guest_memfd = self->bound, r.memory_size = PAGE_BYTES,
				    r.guest_memfd_offset = FILE_BYTES - PAGE_BYTES));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_each_unknown_flag)
{
	int bit;

	for (bit = 3; bit < 32; bit++)
		if (REGION(r.flags |= 1u << bit) != -EINVAL ||
		    REGION(r.flags = 1u << bit) != -EINVAL)
			break;
	EXPECT_EQ(32, bit);
	EXPECT_ALL_AS_BEFORE();
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_to_log_dirty_pages)
{
	EXPECT_REFUSED(EINVAL, REGION(r.flags |= KVM_MEM_LOG_DIRTY_PAGES));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_to_be_read_only)
{
	EXPECT_REFUSED(EINVAL, REGION(r.flags |= KVM_MEM_READONLY));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_with_a_file_refuses_each_change)
{
	ASSERT_OK(REGION());
	EXPECT_REFUSED(EINVAL, REGION());
	EXPECT_REFUSED(EINVAL, REGION(r.flags = 0));
	EXPECT_REFUSED(EINVAL, REGION(r.flags = KVM_MEM_LOG_DIRTY_PAGES));
	EXPECT_REFUSED(EINVAL, REGION(r.flags = KVM_MEM_READONLY));
	EXPECT_REFUSED(EINVAL, REGION(r.flags |= KVM_MEM_LOG_DIRTY_PAGES));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_phys_addr += FILE_BYTES));
	EXPECT_REFUSED(EINVAL, REGION(r.memory_size -= PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, REGION(r.guest_memfd_offset = PAGE_BYTES,
				      r.memory_size -= PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, REGION(r.userspace_addr += PAGE_BYTES));
	ASSERT_OK(REGION(r.memory_size = 0));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_without_a_file_refuses_to_get_one)
{
	ASSERT_OK(REGION(r.flags = 0));
	EXPECT_REFUSED(EINVAL, REGION());
	ASSERT_OK(REGION(r.memory_size = 0));
	EXPECT_REGION_WORKS();
}

/* No kernel so far looks at them; one that does has EINVAL for them. */
TEST_F(errors, slot_may_refuse_reserved_fields_by_einval_only)
{
	long rc = REGION(r.pad1 = 1, r.pad2[13] = 1);

	if (rc) {
		EXPECT_ERR(EINVAL, rc);
	} else {
		EXPECT_ACCEPTED(REGION(r.memory_size = 0));
	}
	EXPECT_ALL_AS_BEFORE();
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_a_file_by_the_older_ioctl)
{
	struct kvm_userspace_memory_region old = {
		.slot = FREE_SLOT,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = FREE_GPA,
		.memory_size = FILE_BYTES,
		.userspace_addr = (__u64)self->addr,
	};

	EXPECT_REFUSED(EINVAL, RESULT(ioctl(self->vm, KVM_SET_USER_MEMORY_REGION, &old)));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_a_bad_address)
{
	EXPECT_REFUSED(EFAULT, RESULT(ioctl(self->vm, KVM_SET_USER_MEMORY_REGION2, NULL)));
	EXPECT_REGION_WORKS();
}

TEST_F(errors, slot_refuses_a_wrong_descriptor)
{
	EXPECT_REFUSED(EBADF, REGION_ON(-1));
	EXPECT_REFUSED(ENOTTY, REGION_ON(self->fd));
	EXPECT_REFUSED(EINVAL, REGION_ON(guest_vcpu(self->g)));
	EXPECT_REGION_WORKS();
}

/*
 * KVM_SET_MEMORY_ATTRIBUTES
 */

#define ATTRIBUTES(...) ({						\
	struct kvm_memory_attributes a = {				\
		.address = FREE_GPA,					\
		.size = FILE_BYTES,					\
	};								\
									\
	__VA_ARGS__;							\
	RESULT(ioctl(self->vm, KVM_SET_MEMORY_ATTRIBUTES, &a));		\
})

/* KVMs built without private memory do not know the ioctl at all. */
#define EXPECT_ATTRIBUTES_REFUSED(change)				\
	EXPECT_REFUSED(self->has_attributes ? EINVAL : ENOTTY, ATTRIBUTES(change))

#define EXPECT_ATTRIBUTES_WORK() do {					\
	if (self->has_attributes) {					\
		EXPECT_ACCEPTED(ATTRIBUTES());				\
	}								\
	EXPECT_ALL_AS_BEFORE();						\
} while (0)

TEST_F(errors, attributes_refuse_an_unaligned_address)
{
	EXPECT_ATTRIBUTES_REFUSED(a.address += 1);
	EXPECT_ATTRIBUTES_REFUSED(a.address += PAGE_BYTES / 2);
	EXPECT_ATTRIBUTES_WORK();
}

TEST_F(errors, attributes_refuse_an_unaligned_size)
{
	EXPECT_ATTRIBUTES_REFUSED(a.size = 1);
	EXPECT_ATTRIBUTES_REFUSED(a.size -= 1);
	EXPECT_ATTRIBUTES_WORK();
}

TEST_F(errors, attributes_refuse_size_zero)
{
	EXPECT_ATTRIBUTES_REFUSED(a.size = 0);
	EXPECT_ATTRIBUTES_WORK();
}

TEST_F(errors, attributes_refuse_a_range_that_wraps)
{
	EXPECT_ATTRIBUTES_REFUSED(a.address = -PAGE_BYTES);
	EXPECT_ATTRIBUTES_REFUSED(a.size = -PAGE_BYTES);
	EXPECT_ATTRIBUTES_WORK();
}

TEST_F(errors, attributes_refuse_each_unknown_attribute)
{
	int bit;

	for (bit = 0; bit < 64; bit++)
		if (1ull << bit != KVM_MEMORY_ATTRIBUTE_PRIVATE &&
		    ATTRIBUTES(a.attributes = 1ull << bit) !=
		    -(self->has_attributes ? EINVAL : ENOTTY))
			break;
	EXPECT_EQ(64, bit);
	EXPECT_ALL_AS_BEFORE();
	EXPECT_ATTRIBUTES_WORK();
}

TEST_F(errors, attributes_refuse_each_flag)
{
	int bit;

	for (bit = 0; bit < 64; bit++)
		if (ATTRIBUTES(a.flags = 1ull << bit) !=
		    -(self->has_attributes ? EINVAL : ENOTTY))
			break;
	EXPECT_EQ(64, bit);
	EXPECT_ALL_AS_BEFORE();
	EXPECT_ATTRIBUTES_WORK();
}

TEST_F(errors, attributes_refuse_private_where_there_is_none)
{
	if (guest_has_private(self->g))
		SKIP(return, "this VM type has private memory");
	EXPECT_ATTRIBUTES_REFUSED(a.attributes = KVM_MEMORY_ATTRIBUTE_PRIVATE);
	EXPECT_ATTRIBUTES_WORK();
}

TEST_F(errors, attributes_refuse_a_bad_address)
{
	EXPECT_REFUSED(self->has_attributes ? EFAULT : ENOTTY,
		       RESULT(ioctl(self->vm, KVM_SET_MEMORY_ATTRIBUTES, NULL)));
	EXPECT_ATTRIBUTES_WORK();
}

/*
 * KVM_PRE_FAULT_MEMORY
 */

#define PREFAULT(...) ({						\
	struct kvm_pre_fault_memory p = {				\
		.gpa = GUEST_GPA,					\
		.size = NR_BACKED * PAGE_BYTES,				\
	};								\
									\
	__VA_ARGS__;							\
	RESULT(ioctl(guest_vcpu(self->g), KVM_PRE_FAULT_MEMORY, &p));	\
})

/* Of pages that are backed already. */
#define EXPECT_PREFAULT_WORKS() do {					\
	int __rc = guest_prefault(self->g, 0, NR_BACKED);		\
									\
	if (__rc != -EOPNOTSUPP) {					\
		EXPECT_OK(__rc);					\
	}								\
	EXPECT_ALL_AS_BEFORE();						\
} while (0)

TEST_F(errors, pre_fault_refuses_an_unaligned_gpa)
{
	EXPECT_REFUSED(EINVAL, PREFAULT(p.gpa += 1));
	EXPECT_REFUSED(EINVAL, PREFAULT(p.gpa += PAGE_BYTES - 1));
	EXPECT_PREFAULT_WORKS();
}

TEST_F(errors, pre_fault_refuses_an_unaligned_size)
{
	EXPECT_REFUSED(EINVAL, PREFAULT(p.size = 1));
	EXPECT_REFUSED(EINVAL, PREFAULT(p.size -= 1));
	EXPECT_PREFAULT_WORKS();
}

TEST_F(errors, pre_fault_refuses_size_zero)
{
	EXPECT_REFUSED(EINVAL, PREFAULT(p.size = 0));
	EXPECT_PREFAULT_WORKS();
}

TEST_F(errors, pre_fault_refuses_a_range_that_wraps)
{
	EXPECT_REFUSED(EINVAL, PREFAULT(p.gpa = -PAGE_BYTES));
	EXPECT_REFUSED(EINVAL, PREFAULT(p.size = -PAGE_BYTES));
	EXPECT_PREFAULT_WORKS();
}

TEST_F(errors, pre_fault_refuses_each_flag)
{
	int bit;

	for (bit = 0; bit < 64; bit++)
		if (PREFAULT(p.flags = 1ull << bit) != -EINVAL)
			break;
	EXPECT_EQ(64, bit);
	EXPECT_ALL_AS_BEFORE();
	EXPECT_PREFAULT_WORKS();
}

TEST_F(errors, pre_fault_refuses_where_there_is_no_slot)
{
	if (guest_prefault(self->g, 0, 1) == -EOPNOTSUPP)
		SKIP(return, "KVM has no KVM_PRE_FAULT_MEMORY for this VM: it needs Linux 6.11 and two-dimensional paging");
	EXPECT_REFUSED(ENOENT, PREFAULT(p.gpa = FREE_GPA));
	EXPECT_PREFAULT_WORKS();
}

SUITE(.needs = NEED_KVM | NEED_GMEM | NEED_REFCOUNT)
