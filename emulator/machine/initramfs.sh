#!/bin/bash
# Print the emulated machine's initramfs; the only line on stdout.
#
#	initramfs.sh [--bin DIR] [--agent FILE] [--selftests TREE] [--stress]
#
# It has busybox, and FILE as /init (else a shell script that runs what the kernel's
# command line has behind "run="), what is in DIR (as scripts/build.sh prints it)
# stripped, the KVM selftests of TREE (as scripts/linux.sh
# prints it) in /selftests, and stress-ng.  It is not compressed: unpacking is slow
# where every instruction is emulated, and memory is not.

set -euo pipefail

root=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"

# A program of the system's, wherever its PATH has it.
program() {
	PATH=$PATH:/usr/sbin:/sbin command -v "$1" || die 3 "there is no $1 here"
}

# libraries FILE...: what they load, with the loader.
libraries() {
	local file

	for file; do
		# Not every program is dynamic, and ldd(1) says so by its status, too.
		ldd "$file" 2>/dev/null | sed -n 's,.*[[:space:]]\(/[^[:space:]]*\) (0x.*,\1,p' || :
	done | sort -u
}

copy() {
	install -D -m 755 -- "$1" "$tmp/root$2" || die 3 "cannot write to $tmp$(step_why "$tmp")"
}

copy_libraries() {
	local file

	while read -r file; do
		[[ -e $tmp/root$file ]] || copy "$file" "$file"
	done < <(libraries "$@")
}

default_init() {
	cat >"$tmp/root/init" <<-'END'
		#!/bin/busybox sh
		export PATH=/bin:/sbin
		mount -t proc proc /proc
		mount -t sysfs sys /sys
		mount -t devtmpfs dev /dev
		mkdir -p /dev/shm /dev/pts /sys/fs/cgroup
		mount -t tmpfs shm /dev/shm
		mount -t devpts pts /dev/pts
		mount -t tmpfs tmp /tmp
		mount -t debugfs debug /sys/kernel/debug
		mount -t tracefs trace /sys/kernel/tracing
		mount -t bpf bpf /sys/fs/bpf
		mount -t cgroup2 cgroup /sys/fs/cgroup
		echo "init: $(cut -d ' ' -f 1 /proc/uptime) s"
		sed -n 's/.*run=\([^ ]*\).*/\1/p' /proc/cmdline | tr '@' ' ' >/tmp/run
		sh /tmp/run
		reboot -f
	END
	chmod +x "$tmp/root/init"
}

# The folders and files of an empty system.
base() {
	local applet

	mkdir -p "$tmp"/root/{bin,dev,etc,proc,root,run,sys,tests,tmp,var}
	ln -s bin "$tmp/root/sbin"
	copy "$busybox" /bin/busybox
	while read -r applet; do
		ln -s busybox "$tmp/root/bin/${applet##*/}" 2>/dev/null || :	# itself
	done < <("$busybox" --list)
	echo 'root:x:0:0:root:/root:/bin/sh' >"$tmp/root/etc/passwd"
	echo 'root:x:0:' >"$tmp/root/etc/group"
	if [[ -n $agent ]]; then
		copy "$agent" /init
	else
		default_init
	fi
}

# name<TAB>file<TAB>name that it goes by already, of everything in DIR: tests where the
# runner expects them, and the rest where a shell finds it.
ours() {
	local file name inode
	local -A have=()

	while read -r inode file; do
		[[ -f $file && -x $file ]] || continue
		case $file in
		"$bin"/tests/*)	name=/tests/${file##*/} ;;
		*)		name=/bin/${file##*/} ;;
		esac
		printf '%s\t%s\t%s\n' "$name" "$file" "${have[$inode]-}"
		have[$inode]=${have[$inode]-$name}
	done < <(stat -c '%d:%i %n' -- "$bin"/tests/* "$bin"/*)
}

# What is one file by several names stays one: each page takes its time at each boot.
copy_ours() {
	local name file same

	while IFS=$'\t' read -r name file same; do
		if [[ -n $same ]]; then
			ln -- "$tmp/root$same" "$tmp/root$name"
			continue
		fi
		copy "$file" "$name"
		strip -s "$tmp/root$name" 2>/dev/null || :	# a script
	done < <(ours)
}

input_ours() {
	local name file same

	while IFS=$'\t' read -r name file same; do
		echo "$name $same"
		[[ -n $same ]] || cat -- "$file"
	done < <(ours)
}

upstream() {
	local file name libgcc

	while IFS= read -r -d '' file; do
		name=${file#"$selftests"/}
		copy "$file" "/selftests/${name#x86/}"
	done < <(find "$selftests" -type f -print0)
	# What did not build is there by name, so that it is not forgotten.
	while IFS= read -r -d '' file; do
		: >"$tmp/root/selftests/$(basename "$file")"
	done < <(find "${selftests%/bin}" -name '*.log' -print0)
	copy_libraries "$selftests"/guest_memfd_test
	# The C library loads it by itself, for pthread_cancel(3) and backtrace(3).
	libgcc=$(gcc -print-file-name=libgcc_s.so.1)
	[[ ! -f $libgcc ]] || copy "$libgcc" "$(libraries "$selftests/guest_memfd_test" |
		sed -n 's,/libc\.so\.6$,/libgcc_s.so.1,p')"
}

stress() {
	copy "$stress" /bin/stress-ng
	copy_libraries "$stress"
}

# What an archive has is told by its content alone: no times, no owners, no order of
# a folder.
archive() {
	find "$tmp/root" -exec touch -h -d @0 '{}' +
	(cd "$tmp/root" && find . -print0 | LC_ALL=C sort -z |
		cpio --quiet -0 -o -H newc -R 0:0 --reproducible) >"$tmp/made/initramfs.cpio"
}

build() {
	local tmp=$1

	mkdir "$tmp/root"
	base
	[[ -z $bin ]] || copy_ours
	[[ -z $selftests ]] || upstream
	[[ -z $stress ]] || stress
	archive 2>>"$step_log" || die 3 "cannot make the initramfs$(step_why "$tmp"); see $step_log"
}

# find_selftests TREE: sets selftests to the folder that has them.
find_selftests() {
	local tree=$1 dir

	dir=$({ cat "$root/emulator/machine/selftests.mk"; echo "$tree"; gcc --version; } | sha256sum)
	dir=$cache_dir/selftests/${dir:0:16}
	selftests=$dir/bin
	cache_make "$dir" 200 3 build_selftests "$tree"
}

# build_selftests TREE TMP
build_selftests() {
	local tree=$1 made=$2/made

	# Not every test builds everywhere: its log stays, and is told of it.
	step_run "build the kernel's KVM selftests" env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL \
		make -k -j "$(nproc)" -f "$root/emulator/machine/selftests.mk" "LINUX=$tree" "O=$made" || :
	[[ -x $made/bin/guest_memfd_test ]] ||
		die 3 "cannot build the kernel's KVM selftests$(step_why "$made"); see $step_log"
	rm -rf -- "$made/libkvm" "$made/libkvm.a"
}

# Everything that goes into it, by content.
inputs() {
	cat "$root/emulator/machine/initramfs.sh" "$busybox"
	[[ -z $agent ]] || cat "$agent"
	[[ -z $bin ]] || input_ours
	[[ -z $selftests ]] || echo "$selftests"
	if [[ -n $stress ]]; then
		cat "$stress"
		libraries "$stress" | xargs -r cat
	fi
}

main() {
	local bin='' agent='' selftests='' tree='' stress='' busybox dir

	while (( $# )); do
		case $1 in
		--stress)	stress='stress-ng'
				shift
				continue ;;
		--bin | --agent | --selftests)
				(( $# > 1 )) || die 2 "$1 wants a value" ;;&
		--bin)		bin=$2 ;;
		--agent)	agent=$2 ;;
		--selftests)	tree=$2 ;;
		*)		die 2 "unknown argument '$1' (known: --bin DIR, --agent FILE, --selftests TREE, --stress)" ;;
		esac
		shift 2
	done
	[[ -z $bin || -d $bin/tests ]] || die 2 "--bin $bin has no tests"
	[[ -z $agent || -x $agent ]] || die 2 "--agent $agent is no program"
	[[ -z $tree || -d $tree/tools/testing/selftests/kvm ]] || die 2 "--selftests $tree has no KVM selftests"
	cache_find
	step_init
	busybox=$(program busybox) || exit
	! ldd "$busybox" >/dev/null 2>&1 || die 3 "$busybox is not static; install busybox-static"
	[[ -z $stress ]] || stress=$(program stress-ng) || exit
	[[ -z $tree ]] || find_selftests "$tree"

	dir=$(inputs | sha256sum)
	dir=$cache_dir/initramfs/${dir:0:16}
	cache_make "$dir" 300 6 build
	printf '%s\n' "$dir/initramfs.cpio"
}

main "$@"
