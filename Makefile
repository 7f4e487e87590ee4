# SPDX-License-Identifier: GPL-2.0-only
#
# make            build everything
# make check      test this project's own code
# make bench      measure it, side by side
# make install    DIR=... a folder that the kernel's run_kselftest.sh can run
#
# O=     where objects and binaries go (default: build)
# LINUX= a prepared kernel tree, with its headers in usr/include (default: the
#        pinned one, which scripts/linux.sh fetches; KSRC= makes it prepare yours)
#
# Every tdx_sept_tests/X.c becomes $(O)/bin/X: there is no list to forget.

O	?= build
CLANG	?= clang
BPFTOOL	?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)

ifneq ($(filter-out clean help,$(or $(MAKECMDGOALS),all)),)
ifndef LINUX
LINUX	:= $(shell scripts/linux.sh)
ifeq ($(LINUX),)
$(error there is no kernel tree to build against; the lines above say why)
endif
endif
endif

SELFTESTS := $(LINUX)/tools/testing/selftests
KVM	:= $(SELFTESTS)/kvm

TESTS	:= $(patsubst tdx_sept_tests/%.c,%,$(wildcard tdx_sept_tests/*.c))
TOOLS	:= $(patsubst scripts/%.c,%,$(wildcard scripts/*.c))
LIB	:= $(filter-out %.bpf,$(patsubst lib/%.c,%,$(wildcard lib/*.c)))
# All of libkvm but assert.c, whose place lib/test_assert.c takes.
LIBKVM	:= $(filter-out assert,$(patsubst $(KVM)/lib/%.c,%,$(wildcard $(KVM)/lib/*.c $(KVM)/lib/x86/*.c)))

WARN	:= -Wall -Wextra -Werror
OURS	:= -D_GNU_SOURCE -std=gnu11 -O2 -g $(WARN) -Iinclude -I$(O) -MMD -MP \
	   -isystem $(LINUX)/usr/include $(EXTRA_CFLAGS)
LIBS	:= -lbpf -lelf -lz -luring -lnuma -ljansson -lpthread

# How the kernel builds libkvm (kvm/Makefile.kvm); guest code shares its address
# space with the test, hence no stack protector, no PIE and no string builtins.
GUEST	:= -U_FORTIFY_SOURCE -fno-builtin-memcmp -fno-builtin-memcpy \
	   -fno-builtin-memset -fno-builtin-strnlen -fno-stack-protector \
	   -fno-PIE -fno-strict-aliasing -march=x86-64-v2 -DCONFIG_64BIT
KVM_INC	:= -isystem $(LINUX)/tools/include -isystem $(LINUX)/tools/arch/x86/include \
	   -isystem $(LINUX)/usr/include -isystem $(KVM)/include \
	   -isystem $(KVM)/include/x86 -isystem $(SELFTESTS)/rseq -isystem $(SELFTESTS)
KVM_FLAGS := -D_GNU_SOURCE= -std=gnu99 -O2 -g $(GUEST) $(KVM_INC) -I$(KVM)/lib -MMD -MP -w

# The files of ours that use libkvm; all others know the kernel by its UAPI.
USES_KVM := guest test_assert

all: $(TESTS:%=$(O)/bin/%) $(TOOLS:%=$(O)/bin/%)

$(O)/bin/%: $(O)/tdx_sept_tests/%.o $(O)/libsept.a $(O)/libkvm.a
	@mkdir -p $(@D)
	$(CC) -static -no-pie -o $@ $^ $(LIBS)

$(TOOLS:%=$(O)/bin/%): $(O)/bin/%: $(O)/scripts/%.o $(O)/libsept.a $(O)/libkvm.a
	@mkdir -p $(@D)
	$(CC) -static -no-pie -o $@ $^ $(LIBS)

$(O)/tdx_sept_tests/%.o: tdx_sept_tests/%.c
	@mkdir -p $(@D)
	$(CC) $(OURS) -isystem $(SELFTESTS) -Wno-unused-function -c $< -o $@

$(O)/scripts/%.o: scripts/%.c
	@mkdir -p $(@D)
	$(CC) $(OURS) -c $< -o $@

$(USES_KVM:%=$(O)/lib/%.o): $(O)/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE= -std=gnu11 -O2 -g $(WARN) $(GUEST) -Iinclude -MMD -MP $(KVM_INC) -c $< -o $@

$(O)/lib/%.o: lib/%.c | $(O)/folio_bpf.skel.h
	@mkdir -p $(@D)
	$(CC) $(OURS) -c $< -o $@

$(O)/libsept.a: $(LIB:%=$(O)/lib/%.o)
	rm -f $@
	ar rcs $@ $^

# Named by what it is, not by its file: bpftool puts the name into symbols.
$(O)/folio_bpf.bpf.o: lib/folio_bpf.bpf.c lib/folio_bpf.bpf.h
	@mkdir -p $(@D)
	$(CLANG) -O2 -g -target bpf -I/usr/include/$(shell uname -m)-linux-gnu -Ilib $(WARN) -c $< -o $@

$(O)/folio_bpf.skel.h: $(O)/folio_bpf.bpf.o
	$(BPFTOOL) gen skeleton $< name folio_bpf_prog > $@.tmp
	mv $@.tmp $@

$(O)/libkvm.a: $(LIBKVM:%=$(O)/libkvm/%.o) $(O)/libkvm/x86/handlers.o
	rm -f $@
	ar rcs $@ $^

# As freestanding code, lest memcmp() be turned into a call of memcmp().
$(O)/libkvm/string_override.o: KVM_FLAGS += -ffreestanding

$(O)/libkvm/%.o: $(KVM)/lib/%.c
	@mkdir -p $(@D)
	$(CC) $(KVM_FLAGS) -c $< -o $@

$(O)/libkvm/%.o: $(KVM)/lib/%.S
	@mkdir -p $(@D)
	$(CC) $(KVM_FLAGS) -c $< -o $@

clean:
	rm -rf $(O)

help:
	@sed -n '3,13s/^# \{0,1\}//p' Makefile

.PHONY: all clean help
.SECONDARY:
.DELETE_ON_ERROR:

-include $(wildcard $(O)/*/*.d $(O)/*/*/*.d)
