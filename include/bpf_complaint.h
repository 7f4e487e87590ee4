/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef BPF_COMPLAINT_H
#define BPF_COMPLAINT_H

/**
 * DOC: bpf_complaint
 *
 * libbpf's first warning says more than the errno of the call that failed.  Between
 * bpf_complaint_catch() and bpf_complaint_release() it is kept, and nothing printed.
 * One at a time in a process.
 */
void bpf_complaint_catch(void);
void bpf_complaint_release(void);

/* The first warning since the last catch, on one line, or "no details".  Static storage. */
const char *bpf_complaint(void);

#endif
