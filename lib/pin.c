// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pins that last until they are told to end, and not a moment longer.
 *
 * A registered buffer and a full pipe stand still by themselves.  A direct read
 * and process_vm_readv() are over in a moment, so each is made to wait for an
 * event that this process controls:
 *
 * - process_vm_readv() pins the remote pages first and then copies.  It is let
 *   copy into a buffer under userfaultfd, whose first fault nobody resolves
 *   before pin_release().  The fault's message proves that the pages are held.
 *
 * - A direct read pins its buffer before it asks for data.  The data are a file
 *   on a FUSE mount whose server is this process: once /dev/fuse has a request,
 *   the pages are held.  The request is left *unread* there, as a request that
 *   has reached its server waits for the answer even beyond SIGKILL
 *   (request_wait_answer(), fs/fuse/dev.c), and the server dies with its client.
 *   For the requests before it the reader has descriptors of its own, without
 *   /dev/fuse: so that this closes, and ends them, whoever dies first.
 *   The mount is in no mount namespace (fsmount(2)), so nothing of it outlives
 *   the process.  A throttled block device would do as well, but needs a block
 *   device, a cgroup of the right version, and time.
 */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fuse.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "pin.h"

#define PAGE	4096ull
#define STALL_MS 10000	/* how long taking a pin may take before it is an error */

struct pin {
	enum pin_kind kind;
	char *addr;
	__u64 nr;

	/* PIN_IO_URING */
	struct io_uring ring;
	bool have_ring;

	/* PIN_VMSPLICE */
	int pipe[2];

	/* PIN_O_DIRECT and PIN_PROCESS_VM */
	pthread_t thread;
	bool have_thread;
	int done;		/* eventfd, written when the thread has got somewhere */
	long result;		/* of the thread's call, or -errno */
	int server;		/* /dev/fuse or userfaultfd */
	int mnt;		/* detached FUSE mount, of a single file */
	char *copy;		/* where process_vm_readv() copies to */
};

/* Why the last pin of a kind could not be taken. */
static char reason[PIN_NR_KINDS][200];

#define fail(kind, err, ...)						\
	(snprintf(reason[kind], sizeof(reason[kind]), __VA_ARGS__), (err))

const char *pin_name(enum pin_kind kind)
{
	static const char * const names[] = {
		[PIN_IO_URING]	 = "io_uring",
		[PIN_VMSPLICE]	 = "vmsplice",
		[PIN_O_DIRECT]	 = "o_direct",
		[PIN_PROCESS_VM] = "process_vm",
	};

	return names[kind];
}

__u64 pin_refs(enum pin_kind kind)
{
	/* GUP_PIN_COUNTING_BIAS, include/linux/mm.h; FOLL_GET for a pipe. */
	return kind == PIN_VMSPLICE ? 1 : 1024;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* io_uring: a registered buffer. */

static int io_uring_take(struct pin *p)
{
	struct iovec iov = { p->addr, p->nr * PAGE };
	int err;

	err = io_uring_queue_init(4, &p->ring, 0);
	if (err == -EPERM)
		return fail(p->kind, err, "io_uring is switched off here (/proc/sys/kernel/io_uring_disabled)");
	if (err)
		return fail(p->kind, err, "io_uring_setup(): %s; the kernel needs CONFIG_IO_URING",
			    strerror(-err));
	p->have_ring = true;
	err = io_uring_register_buffers(&p->ring, &iov, 1);
	if (err)
		return fail(p->kind, err, "IORING_REGISTER_BUFFERS: %s", strerror(-err));
	return 0;
}

static void io_uring_let_go(struct pin *p)
{
	if (!p->have_ring)
		return;
	/* At once, whereas closing the ring leaves it to a worker. */
	io_uring_unregister_buffers(&p->ring);
	io_uring_queue_exit(&p->ring);
	p->have_ring = false;
}

/* Move bytes between a memfd and the registered buffer. */
static int io_uring_move(struct pin *p, int fd, bool into_pages, __u64 page, __u64 nr)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&p->ring);
	struct io_uring_cqe *cqe;
	char *addr = p->addr + page * PAGE;
	int err;

	if (into_pages)
		io_uring_prep_read_fixed(sqe, fd, addr, nr * PAGE, 0, 0);
	else
		io_uring_prep_write_fixed(sqe, fd, addr, nr * PAGE, 0, 0);
	err = io_uring_submit_and_wait(&p->ring, 1);
	if (err < 0)
		return err;
	err = io_uring_wait_cqe(&p->ring, &cqe);
	if (err)
		return err;
	err = cqe->res < 0 ? cqe->res : cqe->res == (int)(nr * PAGE) ? 0 : -EIO;
	io_uring_cqe_seen(&p->ring, cqe);
	return err;
}

/* vmsplice: the buffers of a pipe. */

static int vmsplice_take(struct pin *p)
{
	struct iovec iov = { p->addr, p->nr * PAGE };
	ssize_t n;
	int err;

	if (pipe2(p->pipe, O_CLOEXEC | O_NONBLOCK))
		return fail(p->kind, -errno, "pipe2(): %m");
	/* One page per buffer, and no pipe shrinks below its default of 16. */
	if (p->nr > 16 && fcntl(p->pipe[1], F_SETPIPE_SZ, p->nr * PAGE) < 0) {
		err = errno == EPERM ? -E2BIG : -errno;
		return fail(p->kind, err, "F_SETPIPE_SZ to %llu pages: %m", p->nr);
	}
	while (iov.iov_len) {
		n = vmsplice(p->pipe[1], &iov, 1, SPLICE_F_NONBLOCK);
		if (n < 0) {
			err = errno == EAGAIN ? -E2BIG : -errno;
			return fail(p->kind, err, "vmsplice(): %m");
		}
		iov.iov_base = (char *)iov.iov_base + n;
		iov.iov_len -= n;
	}
	return 0;
}

static void vmsplice_let_go(struct pin *p)
{
	char buf[PAGE];

	/* Empty it: a child may still have the pipe open. */
	while (p->pipe[0] >= 0 && read(p->pipe[0], buf, sizeof(buf)) > 0)
		;
	close_fd(&p->pipe[0]);
	close_fd(&p->pipe[1]);
}

static int vmsplice_read(struct pin *p, __u64 page, __u64 *word)
{
	char buf[PAGE];
	int twin[2], err = 0;
	__u64 i;

	if (pipe2(twin, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	if ((page >= 16 && fcntl(twin[1], F_SETPIPE_SZ, (page + 1) * PAGE) < 0) ||
	    tee(p->pipe[0], twin[1], (page + 1) * PAGE, SPLICE_F_NONBLOCK) < 0)
		err = -errno;
	for (i = 0; i <= page && !err; i++)
		if (read(twin[0], buf, sizeof(buf)) != sizeof(buf))
			err = -EIO;
	if (!err)
		memcpy(word, buf, sizeof(*word));
	close(twin[0]);
	close(twin[1]);
	return err;
}

/* What holders that are threads have in common. */

static int thread_start(struct pin *p, void *(*fn)(void *))
{
	sigset_t all, old;
	int err;

	p->done = eventfd(0, EFD_CLOEXEC);
	if (p->done < 0)
		return fail(p->kind, -errno, "eventfd(): %m");
	/* A signal must neither end the wait nor run a handler in there. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = pthread_create(&p->thread, NULL, fn, p);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (err)
		return fail(p->kind, -err, "pthread_create(): %s", strerror(err));
	p->have_thread = true;
	return 0;
}

static void thread_tell(struct pin *p)
{
	__u64 one = 1;

	while (write(p->done, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void thread_join(struct pin *p)
{
	if (p->have_thread)
		pthread_join(p->thread, NULL);
	p->have_thread = false;
	close_fd(&p->done);
}

/*
 * Wait until the thread has said something or the server has something to read.
 *
 * Return: 0 for the thread, 1 for the server, or -errno.
 */
static int thread_or_server(struct pin *p)
{
	struct pollfd fds[] = { { p->done, POLLIN, 0 }, { p->server, POLLIN, 0 } };
	__u64 word;
	int n;

	do {
		n = poll(fds, 2, STALL_MS);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!n)
		return -ETIMEDOUT;
	/*
	 * The thread first: what it asks for next would look like an answer.  As poll() may
	 * have seen what it asked for, but not what it had said before, look once more.
	 */
	if (!fds[0].revents && poll(fds, 1, 0) < 0)
		return -errno;
	if (fds[0].revents)
		return read(p->done, &word, sizeof(word)) == sizeof(word) ? 0 : -EIO;
	return fds[1].revents & POLLIN ? 1 : -EIO;
}

/* process_vm_readv(), stalled in its copy. */

static void *process_vm_thread(void *arg)
{
	struct pin *p = arg;
	struct iovec to = { p->copy, p->nr * PAGE };
	struct iovec from = { p->addr, p->nr * PAGE };
	ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

	p->result = n < 0 ? -errno : n;
	thread_tell(p);
	return NULL;
}

static int process_vm_take(struct pin *p)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffd_msg msg;
	int err;

	p->copy = mmap(NULL, p->nr * PAGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p->copy == MAP_FAILED) {
		p->copy = NULL;
		return fail(p->kind, -errno, "mmap() of the copy: %m");
	}
	p->server = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (p->server < 0)
		return fail(p->kind, -errno, "userfaultfd(): %m; it needs CONFIG_USERFAULTFD and CAP_SYS_PTRACE");
	reg.range.start = (unsigned long)p->copy;
	reg.range.len = p->nr * PAGE;
	if (ioctl(p->server, UFFDIO_API, &api) ||
	    ioctl(p->server, UFFDIO_REGISTER, &reg))
		return fail(p->kind, -errno, "UFFDIO_REGISTER: %m");

	err = thread_start(p, process_vm_thread);
	if (err)
		return err;
	err = thread_or_server(p);
	if (err < 0)
		return fail(p->kind, err, "process_vm_readv() did not begin to copy: %s",
			    strerror(-err));
	if (!err)
		return fail(p->kind, p->result < 0 ? p->result : -EIO,
			    "process_vm_readv() ended before its copy: %s",
			    p->result < 0 ? strerror(-p->result) : "without a fault");
	if (read(p->server, &msg, sizeof(msg)) != sizeof(msg) ||
	    msg.event != UFFD_EVENT_PAGEFAULT)
		return fail(p->kind, -EIO, "userfaultfd told of something else than a fault");
	return 0;
}

/* Let the copy go on, and wait until it is over. */
static void process_vm_finish(struct pin *p)
{
	struct uffdio_range range = { (unsigned long)p->copy, p->nr * PAGE };

	/* Wakes who waits; closing would not if a child has the descriptor too. */
	if (p->server >= 0)
		ioctl(p->server, UFFDIO_UNREGISTER, &range);
	close_fd(&p->server);
	thread_join(p);
}

static void process_vm_let_go(struct pin *p)
{
	process_vm_finish(p);
	if (p->copy)
		munmap(p->copy, p->nr * PAGE);
	p->copy = NULL;
}

/* A direct read in flight. */

/*
 * Leave the thread no descriptor but two.  It must not keep /dev/fuse open: that
 * closes with the rest of the process, and so ends what the thread waits for.
 */
static int keep_only(int one, int other)
{
	unsigned int low = one < other ? one : other;
	unsigned int high = one < other ? other : one;

	if (unshare(CLONE_FILES))
		return -errno;
	if ((low && close_range(0, low - 1, 0)) ||
	    (high > low + 1 && close_range(low + 1, high - 1, 0)) ||
	    close_range(high + 1, ~0u, 0))
		return -errno;
	return 0;
}

static void *o_direct_thread(void *arg)
{
	struct pin *p = arg;
	char path[64];
	ssize_t n;
	int fd = -1, err;

	/* The root of the mount is the file itself. */
	snprintf(path, sizeof(path), "/proc/thread-self/fd/%d", p->mnt);
	err = keep_only(p->mnt, p->done);
	if (!err) {
		fd = open(path, O_RDONLY | O_DIRECT);
		err = fd < 0 ? -errno : 0;
	}
	p->result = err;
	thread_tell(p);
	if (err)
		return NULL;
	n = read(fd, p->addr, p->nr * PAGE);
	p->result = n < 0 ? -errno : n;
	thread_tell(p);
	close(fd);
	return NULL;
}

static int fuse_reply(int fd, __u64 unique, int error, const void *out, size_t len)
{
	struct fuse_out_header h = {
		.len = sizeof(h) + len, .error = error, .unique = unique,
	};
	struct iovec iov[] = { { &h, sizeof(h) }, { (void *)out, len } };

	return writev(fd, iov, 2) == (ssize_t)h.len ? 0 : -errno;
}

/*
 * Answer one request.  @data is what a read gets, and NULL makes it end at once.
 */
static int fuse_serve(struct pin *p, const void *data, size_t len)
{
	union {
		struct fuse_in_header h;
		char space[FUSE_MIN_READ_BUFFER];
	} in;
	const struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION,
		.minor = FUSE_KERNEL_MINOR_VERSION,
		.max_readahead = PIN_MAX_PAGES * PAGE,
		.flags = FUSE_MAX_PAGES,
		.max_background = 4,
		.congestion_threshold = 4,
		.max_write = PAGE,	/* never used, but in must have room for it */
		.time_gran = 1,
		.max_pages = PIN_MAX_PAGES,
	};
	/* A flush at the end would wait for a server that may be gone. */
	const struct fuse_open_out opened = {
		.fh = 1, .open_flags = FOPEN_DIRECT_IO | FOPEN_NOFLUSH,
	};
	const struct fuse_attr_out attr = {
		.attr_valid = 3600,
		.attr = {
			.ino = FUSE_ROOT_ID, .mode = S_IFREG | 0600, .nlink = 1,
			.size = PIN_MAX_PAGES * PAGE, .blksize = PAGE,
		},
	};
	ssize_t n;

	n = read(p->server, &in, sizeof(in));
	if (n < 0)
		return -errno;
	switch (in.h.opcode) {
	case FUSE_INIT:
		return fuse_reply(p->server, in.h.unique, 0, &init, sizeof(init));
	case FUSE_OPEN:
		return fuse_reply(p->server, in.h.unique, 0, &opened, sizeof(opened));
	case FUSE_GETATTR:
		return fuse_reply(p->server, in.h.unique, 0, &attr, sizeof(attr));
	case FUSE_READ:
		return fuse_reply(p->server, in.h.unique, 0, data, len);
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return 0;	/* these take no answer */
	default:
		return fuse_reply(p->server, in.h.unique, -ENOSYS, NULL, 0);
	}
}

/* The longest read that goes in one request; the rest would not be held yet. */
static __u64 fuse_max_pages(void)
{
	__u64 max = PIN_MAX_PAGES;
	FILE *f = fopen("/proc/sys/fs/fuse/max_pages_limit", "re");

	/* Older kernels have no such file, and that very limit. */
	if (f && fscanf(f, "%llu", &max) != 1)
		max = 0;
	if (f)
		fclose(f);
	return max;
}

static int fuse_mount(struct pin *p)
{
	char fd[16];
	int fs, err = 0;

	p->server = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (p->server < 0)
		return fail(p->kind, -errno, "/dev/fuse: %m; load the fuse module (CONFIG_FUSE_FS)");
	fs = fsopen("fuse", FSOPEN_CLOEXEC);
	if (fs < 0)
		return fail(p->kind, -errno, "fsopen() of a FUSE mount: %m");
	snprintf(fd, sizeof(fd), "%d", p->server);
	if (fsconfig(fs, FSCONFIG_SET_STRING, "source", "tdx-sept-tests", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "fd", fd, 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "rootmode", "100600", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "user_id", "0", 0) ||
	    fsconfig(fs, FSCONFIG_SET_STRING, "group_id", "0", 0) ||
	    fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		err = fail(p->kind, -errno, "fsconfig() of a FUSE mount: %m");
	if (!err) {
		p->mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0);
		if (p->mnt < 0)
			err = fail(p->kind, -errno, "fsmount() of a FUSE mount: %m");
	}
	close(fs);
	return err;
}

static int o_direct_take(struct pin *p)
{
	bool opened = false;
	int err;

	if (p->nr > fuse_max_pages())
		return fail(p->kind, -E2BIG, "a read of %llu pages exceeds /proc/sys/fs/fuse/max_pages_limit",
			    p->nr);
	err = fuse_mount(p);
	if (err)
		return err;
	err = thread_start(p, o_direct_thread);
	if (err)
		return err;

	/* Serve what open() needs; the request that follows it is the read. */
	for (;;) {
		err = thread_or_server(p);
		if (err < 0)
			return fail(p->kind, err, "the direct read did not start: %s",
				    strerror(-err));
		if (err && opened)
			return 0;
		if (err) {
			err = fuse_serve(p, NULL, 0);
			if (err)
				return fail(p->kind, err, "FUSE request: %s", strerror(-err));
		} else if (opened) {
			return fail(p->kind, p->result < 0 ? p->result : -EIO,
				    "the direct read did not wait: %s",
				    p->result < 0 ? strerror(-p->result) : "it ended");
		} else if (p->result < 0) {
			return fail(p->kind, p->result, "open() on the FUSE mount: %s",
				    strerror(-p->result));
		} else {
			opened = true;
		}
	}
}

/* Answer the read, and wait until it is over. */
static int o_direct_finish(struct pin *p, const void *data, size_t len)
{
	struct pollfd waiting = { p->server, POLLIN, 0 };
	int err = 0;

	if (p->server >= 0 && poll(&waiting, 1, 0) > 0)
		err = fuse_serve(p, data, len);
	/* Without its server any other request ends in an error. */
	close_fd(&p->server);
	thread_join(p);
	return err;
}

static void o_direct_let_go(struct pin *p)
{
	o_direct_finish(p, NULL, 0);
	close_fd(&p->mnt);
}

/* The face. */

/*
 * Half a range would be held in silence by the calls that are over only later,
 * so let the pages be refused before.
 */
static int bring_in(struct pin *p, int advice)
{
	/* It gives many errors, by what is wrong with the mapping; GUP only one. */
	if (madvise(p->addr, p->nr * PAGE, advice))
		return fail(p->kind, -EFAULT, "the pages cannot be touched: %m");
	return 0;
}

static int take_some(struct pin *p)
{
	int err = 0;

	if (p->kind == PIN_O_DIRECT)
		err = bring_in(p, MADV_POPULATE_WRITE);
	else if (p->kind == PIN_PROCESS_VM)
		err = bring_in(p, MADV_POPULATE_READ);
	if (err)
		return err;
	switch (p->kind) {
	case PIN_IO_URING:
		return io_uring_take(p);
	case PIN_VMSPLICE:
		return vmsplice_take(p);
	case PIN_O_DIRECT:
		return o_direct_take(p);
	case PIN_PROCESS_VM:
		return process_vm_take(p);
	default:
		return -EINVAL;
	}
}

int pin_take(struct pin **out, enum pin_kind kind, void *addr, __u64 nr)
{
	struct pin *p;
	int err;

	*out = NULL;
	if (!nr || (unsigned long)addr % PAGE || kind >= PIN_NR_KINDS)
		return -EINVAL;
	if (nr > PIN_MAX_PAGES)
		return -E2BIG;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->kind = kind;
	p->addr = addr;
	p->nr = nr;
	p->pipe[0] = p->pipe[1] = p->done = p->server = p->mnt = -1;

	err = take_some(p);
	if (err) {
		pin_release(p);
		return err;
	}
	*out = p;
	return 0;
}

void pin_release(struct pin *p)
{
	if (!p)
		return;
	switch (p->kind) {
	case PIN_IO_URING:
		io_uring_let_go(p);
		break;
	case PIN_VMSPLICE:
		vmsplice_let_go(p);
		break;
	case PIN_O_DIRECT:
		o_direct_let_go(p);
		break;
	case PIN_PROCESS_VM:
		process_vm_let_go(p);
		break;
	default:
		break;
	}
	free(p);
}

const char *pin_why_not(enum pin_kind kind)
{
	static enum { UNKNOWN, YES, NO } known[PIN_NR_KINDS];
	struct pin *p;
	void *page;

	if (known[kind] == UNKNOWN) {
		reason[kind][0] = '\0';
		page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
		if (page == MAP_FAILED)
			return "no memory to try a pin on";
		known[kind] = pin_take(&p, kind, page, 1) ? NO : YES;
		pin_release(p);
		munmap(page, PAGE);
	}
	return known[kind] == YES ? NULL : reason[kind];
}

int pin_write(struct pin *p, __u64 pattern)
{
	size_t len = p->nr * PAGE;
	__u64 i, word;
	char *data;
	int fd, err;

	if (p->kind != PIN_IO_URING && p->kind != PIN_O_DIRECT)
		return -EOPNOTSUPP;

	fd = memfd_create("pin", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	data = ftruncate(fd, len) ? MAP_FAILED :
	       mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (data == MAP_FAILED) {
		err = -errno;
		close(fd);
		return err;
	}
	for (i = 0; i < p->nr; i++) {
		word = pattern + i;
		memcpy(data + i * PAGE, &word, sizeof(word));
	}
	if (p->kind == PIN_IO_URING)
		err = io_uring_move(p, fd, true, 0, p->nr);
	else
		err = o_direct_finish(p, data, len);
	if (p->kind == PIN_O_DIRECT && !err && p->result != (long)len)
		err = p->result < 0 ? p->result : -EIO;
	munmap(data, len);
	close(fd);
	return err;
}

int pin_read(struct pin *p, __u64 page, __u64 *word)
{
	int fd, err;

	if (page >= p->nr)
		return -ERANGE;
	switch (p->kind) {
	case PIN_IO_URING:
		fd = memfd_create("pin", MFD_CLOEXEC);
		if (fd < 0)
			return -errno;
		err = io_uring_move(p, fd, false, page, 1);
		if (!err && pread(fd, word, sizeof(*word), 0) != sizeof(*word))
			err = -EIO;
		close(fd);
		return err;
	case PIN_VMSPLICE:
		return vmsplice_read(p, page, word);
	case PIN_PROCESS_VM:
		process_vm_finish(p);
		if (p->result != (long)(p->nr * PAGE))
			return p->result < 0 ? p->result : -EIO;
		memcpy(word, p->copy + page * PAGE, sizeof(*word));
		return 0;
	default:
		return -EOPNOTSUPP;
	}
}
