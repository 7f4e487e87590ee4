// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire.h"

union ancillary {
	char space[CMSG_SPACE(NR_PASSED * sizeof(int))];
	struct cmsghdr align;
};

int wire_send(int to, const char *text, const int *fds)
{
	struct iovec iov = { .iov_base = (char *)text, .iov_len = strlen(text) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	union ancillary ancillary = {};
	struct cmsghdr *c;

	if (fds) {
		msg.msg_control = &ancillary;
		msg.msg_controllen = sizeof(ancillary);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(NR_PASSED * sizeof(int));
		memcpy(CMSG_DATA(c), fds, NR_PASSED * sizeof(int));
	}
	while (sendmsg(to, &msg, MSG_NOSIGNAL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

ssize_t wire_receive(int from, char text[MESSAGE_MAX], int fds[NR_PASSED])
{
	struct iovec iov = { .iov_base = text, .iov_len = MESSAGE_MAX - 1 };
	union ancillary ancillary = {};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = &ancillary, .msg_controllen = sizeof(ancillary),
	};
	struct cmsghdr *c;
	ssize_t n;
	int i;

	for (i = 0; i < NR_PASSED; i++)
		fds[i] = -1;
	do {
		n = recvmsg(from, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			memcpy(fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	return n;
}

/*
 * The name of a socket has room for 108 characters, which the path of a folder of
 * results may well exceed: go through a descriptor of it.
 */
static int wire_socket(const char *dir, bool listener)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int folder, fd, rc = 0;

	folder = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		return -errno;
	snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/socket", folder);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		rc = -errno;
	} else if (listener) {
		unlink(address.sun_path);
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 64))
			rc = -errno;
	} else if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		rc = -errno;
	}
	close(folder);
	if (rc && fd >= 0)
		close(fd);
	return rc ?: fd;
}

int wire_listen(const char *dir)
{
	return wire_socket(dir, true);
}

int wire_connect(const char *dir)
{
	return wire_socket(dir, false);
}
