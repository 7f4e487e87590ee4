# SPDX-License-Identifier: GPL-2.0-only
#
# A part of the emulator that is plain C: its library, and its tests against the
# TDX module's world.  The including Makefile sets PART, SRC, TESTS, USES (sources
# of other parts that the tests need) and LIBS.
#
# make          the library, $(O)/lib$(PART).a
# make check    its tests, plain and under ASan and UBSan; TAP
# make mutants  break one check at a time; the tests must notice each
#
# O=            build folder (default: build)

O	?= build
WARN	:= -Wall -Wextra -Werror -Wno-missing-field-initializers
FLAGS	:= -std=c11 -D_GNU_SOURCE -g $(WARN) -MMD -MP $(EXTRA_CFLAGS)
SAN	:= -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
MODULE	:= $(wildcard ../tdx_module/*.c)
WORLD	:= $(addprefix ../tdx_module/test/,world.c codes.c tap.c)
LIBS	+= -lnettle
# The tests look at their own addresses, and let allocations fail.
LINK	:= -no-pie -Wl,--wrap=calloc

flat	= $(subst /,-,$(subst ../,,$(1:.c=.o)))
ALL	:= $(SRC) $(USES) $(TESTS) $(MODULE) $(WORLD)

all: $(O)/lib$(PART).a

$(O)/lib$(PART).a: $(foreach f,$(SRC),$(O)/$(call flat,$f))
	rm -f $@
	ar rcs $@ $^

define rules
$(O)/$(call flat,$1): $1
	@mkdir -p $$(@D)
	$$(CC) $$(FLAGS) -O3 -c $$< -o $$@

$(O)/asan/$(call flat,$1): $1
	@mkdir -p $$(@D)
	$$(CC) $$(FLAGS) -O1 $$(SAN) -c $$< -o $$@
endef
$(foreach f,$(ALL) $(TOOL),$(eval $(call rules,$f)))

$(O)/unit: $(foreach f,$(ALL),$(O)/$(call flat,$f))
	$(CC) $(LINK) -o $@ $^ $(LIBS)

$(O)/unit-asan: $(foreach f,$(ALL),$(O)/asan/$(call flat,$f))
	$(CC) $(SAN) $(LINK) -o $@ $^ $(LIBS)

check: $(O)/unit $(O)/unit-asan $(CHECK)
	@../tdx_module/test/check.sh $(O)

mutants: $(O)/unit-asan
	../mutants.sh $(PART) $(abspath $(O))

libs:
	@echo $(LIBS)

clean:
	rm -rf $(O)

-include $(wildcard $(O)/*.d $(O)/asan/*.d)

.PHONY: all check mutants libs clean
.SECONDARY:
