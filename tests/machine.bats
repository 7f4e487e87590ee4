#!/usr/bin/env bats
# What the emulated machine is made of: its kernel, initramfs and first instructions.
#
# shellcheck disable=SC2016 # make's variables, not the shell's

load setup
root=${root:?}

setup() {
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
	cache=$XDG_CACHE_HOME/tdx-sept-tests
	own_configs
	tools=$BATS_TEST_TMPDIR/tools
	mkdir -p "$tools"
	printf '#!/bin/sh\necho v1.30\n' >"$tools/pahole"
	chmod +x "$tools/pahole"
	export PATH=$tools:$PATH
}

# A kernel tree as far as kernel.sh cares: what it builds has the text of the
# sources, and made tells each time that one was compiled.
make_tree() {
	export KSRC=$BATS_TEST_TMPDIR/linux made=$BATS_TEST_TMPDIR/made
	mkdir -p "$KSRC"/{arch/x86/kvm,arch/arm,Documentation/x,drivers/gpu/drm,drivers/net/x,init,kernel}
	: >"$made"
	cat >"$KSRC/Makefile" <<-END
		.RECIPEPREFIX = >
		VERSION = 7
		PATCHLEVEL = 9
		SUBLEVEL = 3
		allnoconfig:
		>cp "\$(KCONFIG_ALLCONFIG)" "\$(O)/.config"
		>! [ -e kernel/denied ] || sed -i /CONFIG_KVM=/d "\$(O)/.config"
		olddefconfig:
		\$(O)/%.o: %.c
		>mkdir -p \$(@D)
		>echo \$* >>$made
		>! grep -q wrong \$<
		>cp \$< \$@
		vmlinux: \$(O)/init/main.o \$(O)/arch/x86/kvm/x86.o
		>cat \$^ >\$(O)/System.map
		>objcopy --add-section .text.kernel=\$(O)/System.map /bin/true \$(O)/vmlinux
	END
	touch "$KSRC"/{Kbuild,Documentation/x/x.rst,drivers/gpu/drm/drm.c,drivers/net/{x/card,loopback}.c,arch/arm/kernel.c}
	printf 'config KVM\n' >"$KSRC/arch/x86/Kconfig"
	echo 'main' >"$KSRC/init/main.c"
	printf 'one\ntwo\nthree\n' >"$KSRC/arch/x86/kvm/x86.c"
	printf 'CONFIG_KVM=y\nCONFIG_OF_ANOTHER_VERSION=y\n' >"$SEPT_CONFIGS/kernel/base.config"
	echo 'CONFIG_LOCKS=y' >"$SEPT_CONFIGS/kernel/lockdep.config"
	cat >"$BATS_TEST_TMPDIR/patch" <<-END
		Why.

		--- a/arch/x86/kvm/x86.c
		+++ b/arch/x86/kvm/x86.c
		@@ -1,3 +1,3 @@
		 one
		-two
		+2
		 three
		--- /dev/null
		+++ b/kernel/new.c
		@@ -0,0 +1 @@
		+new
	END
}

kernel() {
	"$root/emulator/machine/kernel.sh" "$@"
}

# Sets folder; what went to stderr is in the file of that name.
get_kernel() {
	folder=$(kernel "$@" 2>"$BATS_TEST_TMPDIR/stderr") || {
		cat "$BATS_TEST_TMPDIR/stderr"
		return 1
	}
}

@test "a kernel is built once, from a tree that is not written to" {
	make_tree
	before=$(find "$KSRC" -printf '%p %s %T@\n' | sort)
	get_kernel
	[ "$(cd "$folder" && echo *)" = "System.map config origin vmlinux vmlinux.boot" ]
	[ "$(<"$folder/System.map")" = $'main\none\ntwo\nthree' ]
	grep -qx "source = $KSRC" "$folder/origin"
	grep -qx "linux = 7.9.3" "$folder/origin"
	grep -qx "config = base" "$folder/origin"
	grep -qx "pahole = v1.30" "$folder/origin"
	[ "$(find "$KSRC" -printf '%p %s %T@\n' | sort)" = "$before" ]
	[ "$(cd "$cache"/kernel/work-*/src/drivers && find . -type f)" = ./net/loopback.c ]
	first=$folder
	get_kernel
	[[ $folder == "$first" && ! -s $BATS_TEST_TMPDIR/stderr && $(wc -l <"$made") -eq 2 ]]
	[ -z "$(find "$cache" -name '*.log' -o -name '.tmp.*')" ]
}

@test "what a build has left in a tree is no source, and what is not needed no input" {
	make_tree
	get_kernel
	first=$folder
	mkdir -p "$KSRC"/include/{config,generated} "$KSRC/arch/x86/include/generated"
	touch "$KSRC"/{.config,vmlinux,init/main.o,include/config/auto.conf,kernel/bounds.s,kernel/.bounds.s.cmd}
	echo more >>"$KSRC/drivers/gpu/drm/drm.c"
	echo more >>"$KSRC/arch/arm/kernel.c"
	echo more >>"$KSRC/Documentation/x/x.rst"
	get_kernel
	[ "$folder" = "$first" ]
	echo edit >>"$KSRC/arch/x86/kvm/x86.c"
	get_kernel
	[ "$folder" != "$first" ]
	grep -q edit "$folder/System.map"
}

@test "a patch makes another kernel, and costs what it touches" {
	make_tree
	get_kernel
	first=$folder
	: >"$made"
	get_kernel --patch "$BATS_TEST_TMPDIR/patch"
	[ "$folder" != "$first" ]
	[ "$(<"$folder/System.map")" = $'main\none\n2\nthree' ]
	[ "$(<"$made")" = arch/x86/kvm/x86 ]
	grep -q "^patch = patch [0-9a-f]" "$folder/origin"
	[ "$(find "$cache"/kernel/work-*/src/kernel -type f)" ]
	# Without it everything is as it was.
	rm -r "$first"
	get_kernel
	[ "$(<"$folder/System.map")" = $'main\none\ntwo\nthree' ]
	[ -z "$(find "$cache"/kernel/work-*/src/kernel -type f)" ]
}

@test "a patch that does not apply, or does not build, is in nobody's way" {
	make_tree
	sed -i 's/^-two/-zwei/' "$BATS_TEST_TMPDIR/patch"
	run kernel --patch "$BATS_TEST_TMPDIR/patch"
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == *"patch does not apply to $KSRC; see "* ]]
	sed -i 's/^-zwei/-two/; s/^+2/+wrong/' "$BATS_TEST_TMPDIR/patch"
	run kernel --patch "$BATS_TEST_TMPDIR/patch"
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == *"cannot build the kernel: make"*"***"* ]]
	get_kernel
	[ "$(<"$folder/System.map")" = $'main\none\ntwo\nthree' ]
	printf -- '--- a/../x\n+++ b/../x\n' >"$BATS_TEST_TMPDIR/patch"
	run kernel --patch "$BATS_TEST_TMPDIR/patch"
	[[ $status -eq 2 && ${lines[-1]} == *"outside of the kernel"* ]]
}

@test "kill -9 in the middle of a patched build" {
	make_tree
	mkfifo "$BATS_TEST_TMPDIR/at_work"
	sed -i 's/^+2/+wait/' "$BATS_TEST_TMPDIR/patch"
	printf '>! grep -q wait $< || { echo go >%s; sleep 100; }\n' "$BATS_TEST_TMPDIR/at_work" >"$BATS_TEST_TMPDIR/wait"
	sed -i "/grep -q wrong/r $BATS_TEST_TMPDIR/wait" "$KSRC/Makefile"
	get_kernel
	rm -r "$folder"
	setsid "$root/emulator/machine/kernel.sh" --patch "$BATS_TEST_TMPDIR/patch" >/dev/null 2>&1 3>&- &
	pid=$!
	read -r _ <"$BATS_TEST_TMPDIR/at_work"
	kill -9 "$pid"
	pkill -9 -s "$pid"	# all of its session, which is this test's alone
	wait "$pid" || true
	grep -q wait "$cache"/kernel/work-*/src/arch/x86/kvm/x86.c
	get_kernel
	[ "$(<"$folder/System.map")" = $'main\none\ntwo\nthree' ]
}

@test "a tree that changes while it is copied" {
	make_tree
	# The first archive of it is for its hash, the second for the copy.
	printf '#!/bin/bash\n[[ $1 != -c ]] || echo >>%s\n[[ $1 != -c || $(wc -l <%s) -ne 2 ]] || echo more >>%s\nexec %s "$@"\n' \
		"$tools/calls" "$tools/calls" "$KSRC/init/main.c" "$(command -v tar)" >"$tools/tar"
	chmod +x "$tools/tar"
	run kernel
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == "kernel: KSRC=$KSRC changed while it was copied; try again" ]]
	get_kernel
	grep -q more "$folder/System.map"
}

@test "programs around the machine whose sources change while they are built" {
	clone=$BATS_TEST_TMPDIR/clone
	mkdir -p "$clone/emulator/machine"
	cp -r "$root/scripts" "$clone"
	cp "$root/emulator/machine/tools.sh" "$clone/emulator/machine"
	touch "$clone"/emulator/machine/{a.c,a.h,a.S,rom.lds,msrs.def}
	printf 'all: ; cp a.c $(O)/agent; [ -s a.c ] || echo new >a.c\n' >"$clone/emulator/machine/Makefile"
	run "$clone/emulator/machine/tools.sh"
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == "tools: the sources changed while they were built; try again" ]]
	[ -z "$(find "$cache/machine" -name agent)" ]
	out=$("$clone/emulator/machine/tools.sh" 2>/dev/null)
	[ "$(<"$out/agent")" = new ]
}

@test "configurations: one more, one that is not granted, one that is not there" {
	make_tree
	get_kernel --config lockdep
	grep -qx CONFIG_LOCKS=y "$folder/config"
	grep -qx "config = base lockdep" "$folder/origin"
	touch "$KSRC/kernel/denied"
	run kernel
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == *"does not grant what $SEPT_CONFIGS/kernel/base.config wants: CONFIG_KVM=y" ]]
	fails_with 2 "there is no $SEPT_CONFIGS/kernel/none.config" kernel --config none
}

@test "arguments of kernel.sh" {
	make_tree
	fails_with 2 "--patch wants a value" kernel --patch
	fails_with 2 "/nonexistent is no file" kernel --patch /nonexistent
	fails_with 2 "unknown argument 'x'" kernel x
	fails_with 2 "is not a kernel tree" env KSRC="$BATS_TEST_TMPDIR" "$root/emulator/machine/kernel.sh"
}

@test "our configurations ask for nothing twice" {
	for file in "$root"/configs/kernel/*.config; do
		[ -z "$(grep -oE '^(# )?CONFIG_[A-Z0-9_a-z]+' "$file" | sed 's/^# //' | sort | uniq -d)" ]
	done
}

# Sets archive.
get_initramfs() {
	archive=$("$root/emulator/machine/initramfs.sh" "$@" 2>"$BATS_TEST_TMPDIR/stderr") || {
		cat "$BATS_TEST_TMPDIR/stderr"
		return 1
	}
}

@test "the initramfs is told by its content" {
	mkdir -p "$BATS_TEST_TMPDIR/bin/tests"
	cp /bin/true "$BATS_TEST_TMPDIR/bin/tests/one"
	cp /bin/true "$BATS_TEST_TMPDIR/bin/tool"
	get_initramfs --bin "$BATS_TEST_TMPDIR/bin"
	first=$archive
	cpio -t --quiet <"$archive" >"$BATS_TEST_TMPDIR/list"
	for name in init bin/busybox bin/sh tests/one bin/tool dev tmp; do
		grep -qx "$name" "$BATS_TEST_TMPDIR/list"
	done
	cp "$archive" "$BATS_TEST_TMPDIR/before"
	rm -r "${archive%/*}"
	touch "$BATS_TEST_TMPDIR/bin/tool"
	get_initramfs --bin "$BATS_TEST_TMPDIR/bin"
	[ "$archive" = "$first" ]
	cmp "$archive" "$BATS_TEST_TMPDIR/before"
	printf '#!/bin/sh\n' >"$BATS_TEST_TMPDIR/agent"
	chmod +x "$BATS_TEST_TMPDIR/agent"
	get_initramfs --agent "$BATS_TEST_TMPDIR/agent"
	[ "$archive" != "$first" ]
	(cd "$BATS_TEST_TMPDIR" && cpio -i --quiet init <"$archive" && cmp init agent)
}

@test "a file by several names is one in the initramfs" {
	mkdir -p "$BATS_TEST_TMPDIR/bin/tests"
	head -c 1000000 /dev/zero >"$BATS_TEST_TMPDIR/bin/tests/one"
	chmod +x "$BATS_TEST_TMPDIR/bin/tests/one"
	ln "$BATS_TEST_TMPDIR/bin/tests/one" "$BATS_TEST_TMPDIR/bin/tests/two"
	get_initramfs --bin "$BATS_TEST_TMPDIR/bin"
	mkdir "$BATS_TEST_TMPDIR/unpacked"
	(cd "$BATS_TEST_TMPDIR/unpacked" && cpio -id --quiet 'tests/*' <"$archive")
	[[ $BATS_TEST_TMPDIR/unpacked/tests/one -ef $BATS_TEST_TMPDIR/unpacked/tests/two ]]
	cmp "$BATS_TEST_TMPDIR/bin/tests/one" "$BATS_TEST_TMPDIR/unpacked/tests/two"
	first=$archive
	# Which names are the same file is content, too.
	rm "$BATS_TEST_TMPDIR/bin/tests/two"
	cp "$BATS_TEST_TMPDIR"/bin/tests/{one,two}
	get_initramfs --bin "$BATS_TEST_TMPDIR/bin"
	[ "$archive" != "$first" ]
}

@test "arguments of initramfs.sh" {
	initramfs=$root/emulator/machine/initramfs.sh
	fails_with 2 "has no tests" "$initramfs" --bin /nonexistent
	fails_with 2 "is no program" "$initramfs" --agent /etc/passwd
	fails_with 2 "has no KVM selftests" "$initramfs" --selftests /
	fails_with 2 "--bin wants a value" "$initramfs" --bin
	fails_with 2 "unknown argument 'x'" "$initramfs" x
}

# What is at OFFSET of FILE, as numbers of SIZE bytes in hexadecimal.
at() {
	od -An -v -t "x$2" -j "$(($3))" -N "$4" "$1" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//'
}

# sum FILE OFFSET BYTES
sum() {
	local byte total=0

	for byte in $(at "$1" 1 "$2" "$3"); do
		total=$((total + 16#$byte))
	done
	echo $((total % 256))
}

make_boot() {
	machine=$BATS_TEST_TMPDIR/machine
	make -s -C "$root/emulator/machine" "O=$machine" "$machine/rom.bin" "$machine/boot_image"
	printf '.globl _start\n_start: .quad 0x1122334455667788\n.data\n.quad 0x99aabbccddeeff00\n.bss\n.skip 65536\n' |
		gcc -x assembler -c -o "$machine/kernel.o" -
	ld -n -o "$machine/vmlinux" -Ttext=0x1000000 -Tdata=0x1004000 "$machine/kernel.o"
	head -c 10000 /dev/zero >"$machine/initramfs"
}

@test "the ROM starts where the processor does" {
	make_boot
	[ "$(stat -c %s "$machine/rom.bin")" -eq 65536 ]
	# A jump, not over the end.
	[[ $(at "$machine/rom.bin" 1 0xfff0 1) == e9 ]]
	[ "$(at "$machine/rom.bin" 1 0 1)" = fa ]
}

@test "kernel, initramfs, tables and command line are where the kernel looks for them" {
	make_boot
	run "$machine/boot_image" -k "$machine/vmlinux" -i "$machine/initramfs" -o "$machine" -c 3 -m 256 -a 'a=b c'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = "memory: guest=256, host=256" ]
	[ "${lines[1]}" = "optramimage1: file=\"$machine/low.img\", address=0x0" ]
	[ "${lines[2]}" = "optramimage2: file=\"$machine/kernel.img\", address=0x1000000" ]
	[ "${lines[3]}" = "optramimage3: file=\"$machine/initramfs\", address=0xfffd000" ]
	[ "$(at "$machine/kernel.img" 8 0 8)" = 1122334455667788 ]
	[ "$(at "$machine/kernel.img" 8 0x4000 8)" = 99aabbccddeeff00 ]
	low=$machine/low.img
	[ "$(at "$low" 8 0x8000 24)" = "0000000001000000 000000000000b000 0000000000009000" ]
	# Two page tables, the second with 1 GiB pages.
	[ "$(at "$low" 8 0x9000 8) $(at "$low" 8 0xa008 8)" = "000000000000a003 0000000040000083" ]
	# boot_params: e820 entries, signature, initramfs and its size, command line.
	[ "$(at "$low" 1 0xb1e8 1) $(at "$low" 4 0xb202 4)" = "02 53726448" ]
	[ "$(at "$low" 4 0xb218 8) $(at "$low" 4 0xb228 4)" = "0fffd000 00002710 0000c000" ]
	[ "$(at "$low" 8 0xb2e4 16)" = "0000000000100000 000000000ff00000" ]
	[ "$(tail -c +$((0xc000 + 1)) "$low" | head -c 6 | tr '\0' .)" = "a=b c." ]
	# MP table: both checksums, three processors.
	[ "$(sum "$low" 0x10 16)" -eq 0 ]
	[ "$(sum "$low" 0x1000 $((0x$(at "$low" 2 0x1004 2))))" -eq 0 ]
	[ "$(at "$low" 1 0x102c 2),$(at "$low" 1 0x1040 2),$(at "$low" 1 0x1054 2)" = "00 00,00 01,00 02" ]
	[ "$(at "$low" 1 0x1068 2)" = "01 00" ]
}

@test "the firmware has memory of its own, in a machine that has room for it" {
	make_boot
	run "$machine/boot_image" -k "$machine/vmlinux" -i "$machine/initramfs" -o "$machine" -m 512
	# On top of what was asked for.
	[[ $status -eq 0 && ${lines[0]} == "memory: guest=636, host=636" && ${lines[3]} == *"address=0x27bfd000" ]]
	[ "$(at "$machine/low.img" 1 0xb1e8 1)" = 04 ]
	# Address and size, and the type.
	[ "$(at "$machine/low.img" 8 0xb2e4 16) $(at "$machine/low.img" 4 0xb2f4 4)" = "0000000000100000 0000000008300000 00000001" ]
	[ "$(at "$machine/low.img" 8 0xb2f8 16) $(at "$machine/low.img" 4 0xb308 4)" = "0000000008400000 0000000007c00000 00000002" ]
	[ "$(at "$machine/low.img" 8 0xb30c 16) $(at "$machine/low.img" 4 0xb31c 4)" = "0000000010000000 0000000017c00000 00000001" ]
	# The largest machine has no room for it.
	run "$machine/boot_image" -k "$machine/vmlinux" -i "$machine/initramfs" -o "$machine" -m 2048
	[[ $status -eq 0 && ${lines[0]} == "memory: guest=2048, host=2048" && $(at "$machine/low.img" 1 0xb1e8 1) == 02 ]]
	# A kernel that would reach into it is no reason to refuse.
	printf '.globl _start\n_start: .quad 1\n.bss\n.skip 0x8000000\n' | gcc -x assembler -c -o "$machine/kernel.o" -
	ld -n -o "$machine/vmlinux" -Ttext=0x1000000 "$machine/kernel.o"
	run "$machine/boot_image" -k "$machine/vmlinux" -o "$machine" -m 512
	[[ $status -eq 0 && ${lines[0]} == "memory: guest=512, host=512" && $(at "$machine/low.img" 1 0xb1e8 1) == 02 ]]
}

@test "what boot_image refuses" {
	make_boot
	run "$machine/boot_image" -k /bin/true -o "$machine"
	[[ $status -eq 3 && $output == *"is not a kernel that can be started"* ]]
	run "$machine/boot_image" -k /etc/passwd -o "$machine"
	[[ $status -eq 3 && $output == *"is not a kernel's vmlinux"* ]]
	run "$machine/boot_image" -k "$machine/vmlinux" -o "$machine" -m 64
	[[ $status -eq 2 && $output == *"64 MB of memory are too few"* ]]
	run "$machine/boot_image" -k "$machine/vmlinux" -o "$machine" -c 65
	[[ $status -eq 2 && $output == *"want a number from 1 to 64"* ]]
	run "$machine/boot_image" -k "$machine/vmlinux" -o "$machine" -a "$(printf '%2048s' x)"
	[[ $status -eq 2 && $output == *"more than 2047 characters"* ]]
	run "$machine/boot_image" -k "$machine/vmlinux" -i /nonexistent -o "$machine"
	[[ $status -eq 3 && $output == *"/nonexistent: No such file"* ]]
}

# unit NAME STATUS LINE...: a stand-in for a binary of unit tests.
unit() {
	printf '#!/bin/sh\ncat <<END\n%s\nEND\nexit %d\n' "$(printf '%s\n' "${@:3}")" "$2" \
		>"$BATS_TEST_TMPDIR/$1"
	chmod +x "$BATS_TEST_TMPDIR/$1"
}

@test "unit tests of the emulator: one that fails, or does not end well, after all were ok" {
	unit unit 0 'TAP version 13' 1..1 'ok 1 x'
	unit unit-asan 23 'TAP version 13' 1..1 'ok 1 x' 'SUMMARY: 96 byte(s) leaked'
	run "$root/emulator/tdx_module/test/check.sh" "$BATS_TEST_TMPDIR"
	((status == 1))
	[[ $output == *$'\n# SUMMARY: 96 byte(s) leaked\nnot ok 3 sanitized exited with status 23\n1..3' ]]
	unit unit-asan 1 'TAP version 13' 1..1 'not ok 1 x'
	run "$root/emulator/tdx_module/test/check.sh" "$BATS_TEST_TMPDIR"
	((status == 1))
	[[ $output == *$'\nnot ok 2 sanitized.x\n1..2' ]]
	unit unit-asan 0 'TAP version 13' 1..1 'ok 1 x'
	"$root/emulator/tdx_module/test/check.sh" "$BATS_TEST_TMPDIR"
}

# A machine whose emulator is a stand-in, which does nothing.
make_machine() {
	make_boot
	make -s -C "$root/emulator/machine" "O=$machine" "$machine/machine"
	cp "$root/emulator/machine/msrs.def" "$machine"
	printf '#!/bin/sh\n' >"$machine/bochs"
	chmod +x "$machine/bochs"
}

# start_machine [OPTION...]
# shellcheck disable=SC2120 # run passes them
start_machine() {
	"$machine/machine" start --dir "$machine/m" --bochs "$machine/bochs" --owner "$BATS_ROOT_PID" \
		--kernel "$machine/vmlinux" --initramfs "$machine/initramfs" "$@"
}

@test "a command line that is too long is refused, and not cut" {
	make_machine
	run start_machine --kernel-args "$(printf '%2048s' x)"
	echo "$output"
	[[ $status -eq 3 && $output == *"more than 2047 characters"*"cannot write $machine/m/bochsrc"* ]]
}

@test "an emulator that does not start is told of" {
	make_machine
	run start_machine
	echo "$output"
	[[ $status -eq 3 && $output == *"did not boot: the emulator ended with status 0"* ]]
	# Enough for this program, too few for the supervisor.
	few_files() {
		ulimit -n 10
		start_machine
	}
	run few_files
	echo "$output"
	[[ $status -eq 3 && $output == *"did not boot: the emulator could not be started: Too many open files"* ]]
}

@test "a machine for gdb has one processor, and no turns" {
	make_machine
	run start_machine --gdb 12345
	[[ $status -eq 2 && $output == *"--gdb wants --cpus 1"* ]]
	run start_machine --cpus 1 --gdb 12345
	grep -q '^cpu: .*count=1:1:1, .*msrs="[^"]*"$' "$machine/m/bochsrc"
	grep -q '^gdbstub: enabled=1, port=12345,' "$machine/m/bochsrc"
	run start_machine
	grep -q '^cpu: .*, quantum=16$' "$machine/m/bochsrc"
}

@test "who is killed while a copy is made is in nobody's way after the next boot" {
	make_machine
	# It says that it is up; then the first makes no copy, and the second refuses to.
	cat >"$machine/bochs" <<-'END'
		#!/usr/bin/env python3
		import os, socket, struct
		os.write(3, struct.pack("<III", 0x200, 8, 1) + b"test")
		control = socket.socket(fileno=4)
		while control.recv(4096):
		    if os.path.exists("asked"):
		        control.send(b"failed as it shall")
		    open("asked", "w").close()
	END
	start_machine
	"$machine/machine" exec --dir "$machine/m" -- true 3>&- &
	pid=$!
	until [ -e "$machine/m/asked" ]; do sleep 0.1; done
	kill -KILL "$pid"
	wait "$pid" || :
	emulator=$("$machine/machine" status --dir "$machine/m" | sed 's/.* emulator=\([0-9]*\) .*/\1/')
	kill -KILL "$emulator"
	run timeout 20 "$machine/machine" exec --dir "$machine/m" -- true
	echo "$output"
	"$machine/machine" stop --dir "$machine/m"
	[[ $status -eq 125 && $output == *"the machine cannot be copied: as it shall"* ]]
}
