#!/usr/bin/env bats
# The emulated processor, where our patches to Bochs mend it: programs that fail without
# them.  The other patches show in any boot, or in any TD.

bats_require_minimum_version 1.5.0

setup_file() {
	root=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	local bin=$BATS_FILE_TMPDIR/bin bochs kernel initramfs tree program

	tools=$("$root/emulator/machine/tools.sh")
	bochs=$("$root/emulator/bochs/build.sh")
	kernel=$("$root/emulator/machine/kernel.sh")
	tree=$("$root/scripts/linux.sh")
	mkdir -p "$bin/tests"
	for program in smap gpa_bits above_ept; do
		gcc -static -O1 -Wall -Wextra -Werror -o "$bin/$program" "$root/tests/cpu/$program.c"
	done
	initramfs=$("$root/emulator/machine/initramfs.sh" --bin "$bin" --agent "$tools/agent" \
		--selftests "$tree")
	export tools dir=$BATS_FILE_TMPDIR/machine
	"$tools/machine" start --dir "$dir" --owner "$BATS_ROOT_PID" --bochs "$bochs/bochs" \
		--kernel "$kernel/vmlinux.boot" --initramfs "$initramfs" --tdx sanitizer=warn
}

teardown_file() {
	"$tools/machine" stop --dir "$dir" || :
}

exec_in() {
	timeout 300 "$tools/machine" exec --dir "$dir" "$@"
}

@test "the supervisor gets at user pages with AC only (0018)" {
	run -0 exec_in smap
	[ "$(grep -c ^ok <<<"$output")" -eq 11 ]
}

@test "virtual interrupts come as what they are (0032)" {
	exec_in /selftests/xapic_tpr_test
	exec_in /selftests/hyperv_ipi
}

@test "protection keys are told apart by the page, not by who asks (0033)" {
	exec_in /selftests/state_test
}

@test "an entry to a guest, and an exit, switch the width of addresses (0034, 0036)" {
	exec_in /selftests/vmx_nested_la57_state_test
}

@test "KVM has five levels of EPT, hence guests of 52 bits (0037)" {
	run -0 exec_in gpa_bits
	[ "$output" = 52 ]
}

@test "four levels of EPT have no other names for what they map (0037)" {
	run -0 exec_in above_ept
	echo "$output"
	[ "$output" = "nothing, again and again" ]
}
