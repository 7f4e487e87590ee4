# SPDX-License-Identifier: GPL-2.0-only
#
# make            build everything
# make check      test this project's own code
# make bench      measure it, side by side
# make claims     write docs/claims.md; RESULTS="results/..." with verdicts of these runs
# make mutants    run the suite against kernels that are wrong on purpose, and write
#                 docs/mutants.md; MUTANT=GLOB for some of them
# make churn      TDs without end in an emulator under ASan, LSan and UBSan, for
#                 MINUTES=60
# make install    DIR=... a folder that the kernel's run_kselftest.sh can run
#
# O=     where objects and binaries go (default: build)
# LINUX= a prepared kernel tree, with its headers in usr/include (default: the
#        pinned one, which scripts/linux.sh fetches; KSRC= makes it prepare yours)
#
# Every tdx_sept_tests/X.c becomes the test $(O)/bin/tests/X, and every scripts/X.c
# the tool $(O)/bin/X: there is no list to forget.

O	?= build
CLANG	?= clang
OBJCOPY	?= objcopy
BPFTOOL	?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)

ifneq ($(filter-out check churn claims clean help mutants,$(or $(MAKECMDGOALS),all)),)
ifndef LINUX
LINUX	:= $(shell scripts/deps.sh && scripts/linux.sh)
ifeq ($(LINUX),)
$(error there is no kernel tree to build against; the lines above say why)
endif
endif
endif

SELFTESTS := $(LINUX)/tools/testing/selftests
KVM	:= $(SELFTESTS)/kvm

TESTS	:= $(patsubst tdx_sept_tests/%.c,%,$(wildcard tdx_sept_tests/*.c))
BAD	:= $(shell printf '%s\n' $(TESTS) | grep -vxE '[A-Za-z_][A-Za-z0-9_]*')
ifneq ($(BAD),)
$(error tdx_sept_tests/$(firstword $(BAD)).c: give it a name that is one in C, too)
endif
TOOLS	:= $(patsubst scripts/%.c,%,$(wildcard scripts/*.c))
# What runs in the kernel or in a TD is built on its own.
LIB	:= $(filter-out %.bpf td_payload main,$(patsubst lib/%.c,%,$(wildcard lib/*.c)))
# BPF programs, each embedded in the object of lib/ that is named like it.
BPF	:= $(patsubst lib/%.bpf.c,%,$(wildcard lib/*.bpf.c))
# All of libkvm but assert.c, whose place lib/test_assert.c takes.
LIBKVM	:= $(filter-out assert,$(patsubst $(KVM)/lib/%.c,%,$(wildcard $(KVM)/lib/*.c $(KVM)/lib/x86/*.c)))

WARN	:= -Wall -Wextra -Werror
OURS	:= -D_GNU_SOURCE -std=gnu11 -O2 -g $(WARN) -Iinclude -I$(O) -MMD -MP \
	   -isystem $(LINUX)/usr/include $(EXTRA_CFLAGS)
# SANITIZE=1 builds lib/ and its unit tests under ASan and UBSan.
ifdef SANITIZE
OURS	+= -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
LINK	:= -no-pie -fsanitize=address,undefined
else
LINK	:= -static -no-pie
endif
# -lzstd is libelf's, from elfutils 0.189 on.
LIBS	:= -lbpf -lelf -lz -lzstd -luring -lnuma -ljansson -lpthread

# How the kernel builds libkvm (kvm/Makefile.kvm); guest code shares its address
# space with the test, hence no stack protector, no PIE and no string builtins.
# QUIET, since its constructor prints a seed that nobody can give back to it.
GUEST	:= -U_FORTIFY_SOURCE -fno-builtin-memcmp -fno-builtin-memcpy \
	   -fno-builtin-memset -fno-builtin-strnlen -fno-stack-protector \
	   -fno-PIE -fno-strict-aliasing -march=x86-64-v2 -DCONFIG_64BIT -DQUIET
KVM_INC	:= -isystem $(LINUX)/tools/include -isystem $(LINUX)/tools/arch/x86/include \
	   -isystem $(LINUX)/usr/include -isystem $(KVM)/include \
	   -isystem $(KVM)/include/x86 -isystem $(SELFTESTS)/rseq -isystem $(SELFTESTS)
KVM_FLAGS := -D_GNU_SOURCE= -std=gnu99 -O2 -g $(GUEST) $(KVM_INC) -I$(KVM)/lib -MMD -MP -w

# The harness's macros compare what they are given.
HARNESS	:= -Wno-unused-function -Wno-sign-compare

# The files of ours that use libkvm; all others know the kernel by its UAPI.
USES_KVM := guest test_assert

all: $(TESTS:%=$(O)/bin/tests/%) $(TOOLS:%=$(O)/bin/%) $(O)/bin/seamcalls

# The tests are one program, by a name each; lib/main.c says why.
$(TESTS:%=$(O)/bin/tests/%): $(O)/suite
	@mkdir -p $(@D)
	ln -f $< $@

$(O)/suite: $(O)/lib/main.o $(TESTS:%=$(O)/suite.d/%.o) $(O)/libsept.a $(O)/libkvm.a
	$(CC) $(LINK) -o $@ $^ $(LIBS)

# What is named alike in all of them becomes each one's own; the numbers are the
# priorities of kselftest_harness.h.
$(O)/suite.d/%.o: $(O)/tdx_sept_tests/%.o
	@mkdir -p $(@D)
	$(OBJCOPY) --redefine-sym main=$*_main --keep-global-symbol=$*_main \
		--rename-section .init_array.20000=$*_first \
		--rename-section .init_array.20001=$*_later \
		--rename-section .init_array=$*_later $< $@

$(O)/lib/main.o: $(O)/tests.def

$(O)/tests.def: FORCE
	@mkdir -p $(@D)
	@printf 'TEST(%s)\n' $(TESTS) >$@.new
	@$(keep_if_same)

# Too long for one file.
$(O)/bin/runner: $(patsubst %.c,$(O)/%.o,$(wildcard scripts/runner/*.c))

$(TOOLS:%=$(O)/bin/%): $(O)/bin/%: $(O)/scripts/%.o $(O)/libsept.a $(O)/libkvm.a
	@mkdir -p $(@D)
	$(CC) $(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

# Reads the emulated machine's traces of SEAMCALLs.
SEAMCALLS := $(addprefix emulator/,trace/seamcalls.c trace/trace.c trace/leaves.c \
	     tdx_module/status.c)

$(O)/bin/seamcalls: $(SEAMCALLS) $(wildcard emulator/trace/*.h emulator/tdx_module/*.h) $(O)/inputs
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -g $(WARN) -Wno-missing-field-initializers $(LINK) \
		-o $@ $(SEAMCALLS) -lnettle

$(O)/tdx_sept_tests/%.o: tdx_sept_tests/%.c $(O)/inputs
	@mkdir -p $(@D)
	$(CC) $(OURS) -isystem $(SELFTESTS) $(HARNESS) -c $< -o $@

# This project's own tests, of lib/.
UNITS	:= $(patsubst tests/%.c,%,$(wildcard tests/*_test.c))

units: $(UNITS:%=$(O)/units/%)

$(O)/units/%: $(O)/tests/%.o $(O)/libsept.a $(O)/libkvm.a
	@mkdir -p $(@D)
	$(CC) $(LINK) -o $@ $^ $(LIBS)

$(O)/tests/%.o: tests/%.c $(O)/inputs
	@mkdir -p $(@D)
	$(CC) $(OURS) -isystem $(SELFTESTS) $(HARNESS) -c $< -o $@

bench: $(O)/bench $(O)/bench_td
	scripts/deps.sh --check
	tests/bench.sh $(O)
	tests/bench_emulated.sh $(O)

$(O)/bench $(O)/bench_td: $(O)/%: $(O)/tests/%.o $(O)/libsept.a $(O)/libkvm.a
	$(CC) $(LINK) -o $@ $^ $(LIBS)

$(O)/scripts/%.o: scripts/%.c $(O)/inputs
	@mkdir -p $(@D)
	$(CC) $(OURS) -c $< -o $@

$(USES_KVM:%=$(O)/lib/%.o): $(O)/lib/%.o: lib/%.c $(O)/inputs
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE= -std=gnu11 -O2 -g $(WARN) $(GUEST) -Iinclude -MMD -MP $(KVM_INC) -c $< -o $@

$(O)/lib/%.o: lib/%.c $(O)/inputs | $(BPF:%=$(O)/%.skel.h)
	@mkdir -p $(@D)
	$(CC) $(OURS) -c $< -o $@

# Names of leaves and statuses: lib/seamcall.c needs no table of its own.
$(O)/lib/tdx_status.o: emulator/tdx_module/status.c $(O)/inputs
	@mkdir -p $(@D)
	$(CC) $(OURS) -Wno-missing-field-initializers -c $< -o $@

$(O)/libsept.a: $(LIB:%=$(O)/lib/%.o) $(O)/lib/tdx_status.o
	rm -f $@
	ar rcs $@ $^

# What TDs run: a flat image, for a place just below 4G that nothing else knows of.
# Traps may come anywhere, so no red zone; and the TD's vector state is nobody's.
PAYLOAD	:= -std=gnu11 -O2 $(WARN) -Iinclude -isystem $(LINUX)/usr/include -MMD -MP \
	   -ffreestanding -fpie -mno-red-zone -mgeneral-regs-only -fno-stack-protector \
	   -fcf-protection=none -fno-asynchronous-unwind-tables -fno-strict-aliasing

$(O)/lib/td_payload.o: lib/td_payload.c $(O)/inputs
	@mkdir -p $(@D)
	$(CC) $(PAYLOAD) -c $< -o $@

$(O)/lib/td_payload_start.o: lib/td_payload.S $(O)/inputs
	@mkdir -p $(@D)
	$(CC) $(PAYLOAD) -c $< -o $@

$(O)/td_payload.bin: lib/td_payload.ld $(O)/lib/td_payload_start.o $(O)/lib/td_payload.o
	$(LD) -static --no-warn-rwx-segments --fatal-warnings -T $^ -o $@.elf
	$(OBJCOPY) -O binary -j .image $@.elf $@
	rm $@.elf

$(O)/lib/td.o: $(O)/td_payload.bin
$(O)/lib/td.o: OURS += -Wa,-I$(O)

$(O)/%.bpf.o: lib/%.bpf.c lib/%.bpf.h $(O)/inputs
	@mkdir -p $(@D)
	$(CLANG) -O2 -g -target bpf -D__TARGET_ARCH_x86 -I/usr/include/$(shell uname -m)-linux-gnu \
		-Ilib $(WARN) -Wno-unused-parameter -c $< -o $@

# Named by what it is, not by its file: bpftool puts the name into symbols.
$(O)/%.skel.h: $(O)/%.bpf.o
	$(BPFTOOL) gen skeleton $< name $*_prog > $@.tmp
	mv $@.tmp $@

$(O)/libkvm.a: $(LIBKVM:%=$(O)/libkvm/%.o) $(O)/libkvm/x86/handlers.o
	rm -f $@
	ar rcs $@ $^

# As freestanding code, lest memcmp() be turned into a call of memcmp().
$(O)/libkvm/string_override.o: KVM_FLAGS += -ffreestanding

# Not as a constructor, which ends the program before main() where there is no
# /dev/kvm, so that not even --list would work; lib/guest.c does its part later.
$(O)/libkvm/kvm_util.o: KVM_FLAGS += -Dconstructor=used

$(O)/libkvm/%.o: $(KVM)/lib/%.c $(O)/inputs
	@mkdir -p $(@D)
	$(CC) $(KVM_FLAGS) -c $< -o $@

$(O)/libkvm/%.o: $(KVM)/lib/%.S $(O)/inputs
	@mkdir -p $(@D)
	$(CC) $(KVM_FLAGS) -c $< -o $@

# Who depends on a file that says what it did is not made again.
keep_if_same = if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

# What everything is made with, besides the sources.  Objects depend on it, since
# make itself does not notice another tree, flag, compiler or library.
inputs:
	@echo '$(LINUX) $(CC) $(OURS:-I$(O)=) $(LINK) $(GUEST)'
	@$(CC) --version
	@$(CLANG) --version
	@$(BPFTOOL) version
	@stat -L -c '%n %s %Y' $$($(foreach l,c $(LIBS:-l%=%),$(CC) -print-file-name=lib$l.a;)) || :
	@cat Makefile

$(O)/inputs: FORCE
	@mkdir -p $(@D)
	@$(MAKE) -s inputs >$@.new
	@$(keep_if_same)

check:
	scripts/deps.sh --check
	tests/check.sh

claims:
	scripts/claims.py table $(RESULTS) >docs/claims.md.new
	mv docs/claims.md.new docs/claims.md
ifdef RESULTS
	scripts/claims.py short $(RESULTS) | scripts/block.py README.md claims
endif

mutants:
ifdef MUTANT
	tests/mutants.sh '$(MUTANT)'
else
	status=0; tests/mutants.sh --doc docs/mutants.md || status=$$?; \
	[ $$status -gt 1 ] || scripts/mutants.py short results/mutants/mutants.jsonl tests/mutants/*.patch | \
		scripts/block.py README.md mutants || status=3; exit $$status
endif

churn:
	scripts/deps.sh --machine
	tests/churn.sh $(MINUTES)

install: all
	scripts/install.sh '$(LINUX)' '$(O)/bin/tests' '$(DIR)'

clean:
	rm -rf $(O)

help:
	@sed -n '3,18s/^# \{0,1\}//p' Makefile

.PHONY: all units bench check churn claims mutants clean help inputs install FORCE
.SECONDARY:
.DELETE_ON_ERROR:

-include $(wildcard $(O)/*/*.d $(O)/*/*/*.d)
