# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel's own KVM selftests, for the emulated machine.
#
#	make -k -f selftests.mk LINUX=TREE O=DIR
#
# TREE is what scripts/linux.sh prints.  Its own makefile also wants libvfio, with
# what that needs, for one test of a device that the emulated machine does not have.
# Each test becomes $(O)/bin/NAME; one that does not build leaves $(O)/NAME.log.

SELFTESTS := $(LINUX)/tools/testing/selftests
KVM	:= $(SELFTESTS)/kvm

TESTS	:= $(shell sed -n 's/^TEST_GEN_PROGS\(_EXTENDED\)\{0,1\}_\(COMMON\|x86\) *+\{0,1\}= *\([a-z][^ $$]*\)$$/\3/p' \
	     $(KVM)/Makefile.kvm)
LIBKVM	:= $(patsubst $(KVM)/lib/%,%,$(wildcard $(KVM)/lib/*.c $(KVM)/lib/x86/*.c)) x86/handlers.S

# As Makefile.kvm has it.  The C library is shared: a hundred copies would be more to
# unpack than the machine takes to boot.
FLAGS	:= -D_GNU_SOURCE= -std=gnu99 -O2 -w -U_FORTIFY_SOURCE -fno-builtin-memcmp \
	   -fno-builtin-memcpy -fno-builtin-memset -fno-builtin-strnlen \
	   -fno-stack-protector -fno-PIE -fno-strict-aliasing -march=x86-64-v2 -DCONFIG_64BIT \
	   -isystem $(LINUX)/tools/include -isystem $(LINUX)/tools/arch/x86/include \
	   -isystem $(LINUX)/usr/include -I$(KVM)/include -I$(KVM)/include/x86 \
	   -I$(SELFTESTS)/rseq -I$(SELFTESTS) -I$(KVM)

all: $(TESTS:%=$(O)/bin/%)

list:
	@printf '%s\n' $(TESTS)

$(O)/bin/%: $(KVM)/%.c $(O)/libkvm.a
	@mkdir -p $(@D) $(dir $(O)/$*)
	$(CC) $(FLAGS) -s -no-pie -pthread -I$(<D) -o $@ $< $(O)/libkvm.a -ldl 2>$(O)/$*.log || \
		{ cat $(O)/$*.log; exit 1; }
	@rm $(O)/$*.log

$(O)/libkvm.a: $(addprefix $(O)/libkvm/,$(addsuffix .o,$(LIBKVM)))
	rm -f $@
	ar rcs $@ $^

$(O)/libkvm/string_override.c.o: FLAGS += -ffreestanding

$(O)/libkvm/%.o: $(KVM)/lib/%
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -c $< -o $@

.PHONY: all list
.SECONDARY:
.DELETE_ON_ERROR:
