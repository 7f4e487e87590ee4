#!/usr/bin/env bats
# linux.sh: where the kernel tree comes from, and that only a whole one counts.
#
# shellcheck disable=SC2016,SC2030,SC2031 # each test is a process, and exports for itself
#
# The archive is a folder, and the kernel in it a few files, so that no test
# needs a network or seconds.

load setup
load archive
root=${root:?}

setup() {
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
	cache=$XDG_CACHE_HOME/tdx-sept-tests
	archive=$BATS_TEST_TMPDIR/archive
	own_configs
	make_kernel "$BATS_TEST_TMPDIR/linux-source-7.9"
	make_deb linux-source-7.9 7.9.3-1
	apt_uses_archive "[trusted=yes] "
	want linux-source-7.9 7.9.3-1 "$sha256"
}

# A kernel tree as far as linux.sh cares.
make_kernel() {
	local dir=$1 file

	mkdir -p "$dir"
	{
		printf 'VERSION = 7\nPATCHLEVEL = 9\nSUBLEVEL = 3\nheaders:\n'
		printf '\tmkdir -p usr/include/linux usr/include/asm\n'
		printf '\techo $(ARCH) | tee usr/include/linux/kvm.h >usr/include/asm/kvm.h\n'
	} >"$dir/Makefile"
	for file in Kbuild arch/x86/Makefile arch/x86/entry/syscalls/x.tbl arch/x86/include/asm/Kbuild \
		    arch/x86/include/uapi/x.h include/asm-generic/Kbuild \
		    include/uapi/linux/kernel-page-flags.h scripts/Makefile scripts/x.sh \
		    scripts/basic/Makefile scripts/include/x.h tools/arch/x86/include/x.h \
		    tools/include/x.h tools/lib/x.c tools/lib/api/x.c tools/mm/x.c tools/scripts/x.mk \
		    tools/testing/selftests/lib.mk tools/testing/selftests/kselftest_harness.h \
		    tools/testing/selftests/kselftest/runner.sh tools/testing/selftests/rseq/x.h \
		    tools/testing/selftests/kvm/lib/kvm_util.c; do
		mkdir -p "$(dirname "$dir/$file")"
		echo "$file" >"$dir/$file"
	done
}

# make_deb PACKAGE VERSION: put it into the archive; sets sha256.
make_deb() {
	local package=$1 version=$2 deb tree=$BATS_TEST_TMPDIR/deb

	rm -rf "$tree"
	mkdir -p "$tree/DEBIAN" "$tree/usr/src" "$archive"
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: x\nDescription: x\n' \
		"$package" "$version" >"$tree/DEBIAN/control"
	tar -C "$BATS_TEST_TMPDIR" -cJf "$tree/usr/src/$package.tar.xz" --transform "s/^linux-source-7.9/$package/" \
		linux-source-7.9
	deb=$archive/${package}_$version.deb
	dpkg-deb -Zxz -z0 --root-owner-group -b "$tree" "$deb" >/dev/null
	sha256=$(sha256 "$deb")
	archive_deb "$deb" "$tree/DEBIAN/control"
}

# want PACKAGE VERSION SHA256
want() {
	printf 'package = %s\nversion = %s\nsha256 = %s\nsuites = newer\n' "$@" >"$SEPT_CONFIGS/linux-source"
}

linux() {
	"$root/scripts/linux.sh"
}

# Sets tree; what went to stderr is in the file of that name.
get_tree() {
	tree=$(linux 2>"$BATS_TEST_TMPDIR/stderr") || {
		cat "$BATS_TEST_TMPDIR/stderr"
		return 1
	}
}

told() {
	grep -qF -- "$1" "$BATS_TEST_TMPDIR/stderr"
}

# Make $BATS_TEST_TMPDIR/cache a file system of its own.
small_disk() {
	mkdir -p "$XDG_CACHE_HOME"
	mount -t tmpfs -o size="$1" none "$XDG_CACHE_HOME"
}

teardown() {
	! mountpoint -q "$XDG_CACHE_HOME" || umount "$XDG_CACHE_HOME"
}

@test "the tree comes from a newer suite of the system's archive, and is kept" {
	get_tree
	[[ $tree == "$cache"/linux/package-* ]]
	[ "$(<"$tree/usr/include/linux/kvm.h")" = x86 ]
	[[ -f $tree/tools/testing/selftests/kvm/lib/kvm_util.c && ! -e $tree/Makefile && ! -e $tree/scripts ]]
	[ "$(<"$tree/origin")" = "source = linux-source-7.9 7.9.3-1"$'\n'"sha256 = $sha256"$'\n'"linux = 7.9.3" ]
	told "unpack linux-source-7.9 7.9.3-1: done in"
	mv "$archive" "$archive.gone"
	first=$tree
	get_tree
	[[ $tree == "$first" && ! -s $BATS_TEST_TMPDIR/stderr ]]
	[ -z "$(find "$cache" -name '*.log' -o -name '.tmp.*')" ]
}

@test "deb822 sources: fields are kept, other stanzas and suites are not in the way" {
	rm "$BATS_TEST_TMPDIR"/sources/*
	cat >"$BATS_TEST_TMPDIR/sources/system.sources" <<-END
		# comment

		Types: deb
		URIs: copy:/nowhere
		Suites: older
		Components: main

		Types: deb deb-src
		# comment
		URIs: copy:/elsewhere
		 copy:$archive/
		Suites: even-older
		 older
		Components: main contrib
		Trusted: yes
	END
	get_tree
}

@test "an archive that is not trusted is not used" {
	apt_uses_archive ""
	run linux
	[[ $status -eq 3 && ${lines[-1]} == *"the archive has no linux-source in newer"* ]]
}

@test "a version that is gone: the newest of the package, announced each time" {
	make_deb linux-source-7.9 7.9.10-1
	make_deb linux-source-8.0 8.0.1-1
	want linux-source-7.9 7.9.4-1 "$sha256"
	get_tree
	told "linux-source-7.9 7.9.10-1 is used, since the archive no longer has linux-source-7.9 7.9.4-1"
	grep -qx 'instead_of = linux-source-7.9 7.9.4-1' "$tree/origin"
	grep -qx 'source = linux-source-7.9 7.9.10-1' "$tree/origin"
	mv "$archive" "$archive.gone"
	get_tree
	told "linux-source-7.9 7.9.10-1 is used, since"
}

@test "a package that is gone: the newest of all" {
	make_deb linux-source-7.10 7.10~rc1-1
	want linux-source-7.8 7.8.4-1 "$sha256"
	get_tree
	told "linux-source-7.10 7.10~rc1-1 is used, since"
}

@test "a package with another hash than the pinned one is refused" {
	want linux-source-7.9 7.9.3-1 "${sha256//[0-9]/a}"
	run linux
	[[ $status -eq 3 && ${lines[-1]} == *"has the SHA-256 $sha256, but configs/linux-source expects"* ]]
	[ -z "$(find "$cache/linux" -name 'package-*')" ]
}

@test "no network: one sentence, and the log" {
	apt_uses_archive "[trusted=yes] " "http://127.0.0.1:9/"
	run linux
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == *"its archive cannot be reached"*"KSRC="*"(log: $cache/log/"* ]]
}

@test "no archive, or no suite with a kernel" {
	rm -r "$archive/dists/newer"
	run linux
	[[ $status -eq 3 && ${lines[-1]} == *"the archive has no linux-source in newer"* ]]
	rm "$BATS_TEST_TMPDIR"/sources/*
	run linux
	[[ $status -eq 3 && ${lines[-1]} == *"apt has no archive configured"* ]]
}

@test "a damaged download is fetched again" {
	get_tree
	rm -r "$tree"
	truncate -s -100 "$cache/download/$sha256.deb"
	get_tree
	told "$sha256.deb is damaged; fetch it again"
	[ "$(sha256sum <"$cache/download/$sha256.deb")" = "$sha256  -" ]
}

@test "a damaged tree is made again, from the download" {
	get_tree
	mv "$archive" "$archive.gone"
	rm "$tree/usr/include/linux/kvm.h"
	get_tree
	told "is damaged; make it anew"
	[ -f "$tree/usr/include/linux/kvm.h" ]
	echo >>"$tree/tools/include/x.h"
	get_tree
	told "is damaged; make it anew"
	[ "$(<"$tree/tools/include/x.h")" = tools/include/x.h ]
}

@test "kill -9 leaves nothing that counts, and is cleaned up after" {
	mkfifo "$BATS_TEST_TMPDIR/at_work"
	printf '\techo go >%s; sleep 100\n' "$BATS_TEST_TMPDIR/at_work" >>"$BATS_TEST_TMPDIR/linux-source-7.9/Makefile"
	make_deb linux-source-7.9 7.9.4-1
	want linux-source-7.9 7.9.4-1 "$sha256"
	setsid "$root/scripts/linux.sh" >"$BATS_TEST_TMPDIR/stdout" 2>&1 3>&- &
	pid=$!
	read -r _ <"$BATS_TEST_TMPDIR/at_work"
	kill -9 "$pid"
	pkill -9 -s "$pid"	# all of its session, which is this test's alone
	wait "$pid" || true
	[ -n "$(find "$cache/linux" -maxdepth 1 -name '.tmp.*')" ]
	[ -z "$(find "$cache/linux" -maxdepth 1 -name 'package-*')" ]
	make_kernel "$BATS_TEST_TMPDIR/linux-source-7.9"
	make_deb linux-source-7.9 7.9.5-1
	want linux-source-7.9 7.9.5-1 "$sha256"
	get_tree
	[ -z "$(find "$cache/linux" -maxdepth 1 -name '.tmp.*')" ]
}

@test "two at once: one makes it, the other waits" {
	linux >"$BATS_TEST_TMPDIR/1" 2>"$BATS_TEST_TMPDIR/stderr.1" 3>&- &
	linux >"$BATS_TEST_TMPDIR/2" 2>"$BATS_TEST_TMPDIR/stderr.2" 3>&- &
	wait
	[[ -s $BATS_TEST_TMPDIR/1 && $(<"$BATS_TEST_TMPDIR/1") == "$(<"$BATS_TEST_TMPDIR/2")" ]]
	[ "$(cat "$BATS_TEST_TMPDIR"/stderr.* | grep -c 'unpack .*: done')" -eq 1 ]
}

@test "a full disk, or a read-only one, is told in a sentence; a warm cache may be read-only" {
	small_disk 4m
	fails_with 3 "$cache needs 500 MB, but its disk has 4 MB left" linux
	umount "$XDG_CACHE_HOME"
	small_disk 4g
	get_tree
	mount -o remount,ro "$XDG_CACHE_HOME"
	first=$tree
	get_tree
	[[ $tree == "$first" && ! -s $BATS_TEST_TMPDIR/stderr ]]
	umount "$XDG_CACHE_HOME"
	small_disk 4g
	mount -o remount,ro "$XDG_CACHE_HOME"
	fails_with 3 "cannot write to $cache/log (read-only file system); XDG_CACHE_HOME can name another" linux
}

@test "a disk that fills up on the way" {
	small_disk 560m
	mkdir -p "$cache"
	# Enough for the check, but not for what make then writes.
	printf '\tfallocate -l 540M usr/large; head -c 50M /dev/zero >usr/larger\n' \
		>>"$BATS_TEST_TMPDIR/linux-source-7.9/Makefile"
	make_deb linux-source-7.9 7.9.4-1
	want linux-source-7.9 7.9.4-1 "$sha256"
	run linux
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == *"cannot make the kernel's headers (the disk is full); see $cache/log/"* ]]
	[ -z "$(find "$cache/linux" -name 'package-*' -o -name '.tmp.*')" ]
}

@test "a cache that cannot be" {
	fails_with 2 "XDG_CACHE_HOME=here is not an absolute path" env XDG_CACHE_HOME=here "$root/scripts/linux.sh"
	fails_with 2 "has a character that make cannot handle" env XDG_CACHE_HOME="/tmp/a b" "$root/scripts/linux.sh"
	fails_with 2 "neither XDG_CACHE_HOME nor HOME" env -u HOME -u XDG_CACHE_HOME "$root/scripts/linux.sh"
	touch "$BATS_TEST_TMPDIR/file"
	fails_with 3 "cannot write to $BATS_TEST_TMPDIR/file/tdx-sept-tests/log ($BATS_TEST_TMPDIR/file is no folder)" \
		env XDG_CACHE_HOME="$BATS_TEST_TMPDIR/file" "$root/scripts/linux.sh"
}

@test "nobody can fetch it too" {
	public=$(public_scripts)
	run as_nobody "$public/scripts/linux.sh"
	echo "$output"
	[[ $status -eq 0 && -f ${lines[-1]}/usr/include/linux/kvm.h ]]
}

@test "KSRC that is no kernel tree, or has no KVM selftests" {
	fails_with 2 "KSRC=/nonexistent is no folder" env KSRC=/nonexistent "$root/scripts/linux.sh"
	fails_with 2 "is not a kernel tree" env KSRC="$BATS_TEST_TMPDIR" "$root/scripts/linux.sh" --check
	rm -r "$BATS_TEST_TMPDIR/linux-source-7.9/tools/testing/selftests/kvm"
	fails_with 2 "has no KVM selftests" env KSRC="$BATS_TEST_TMPDIR/linux-source-7.9" "$root/scripts/linux.sh"
	[ ! -e "$XDG_CACHE_HOME" ]
}

@test "KSRC is not written to, and keyed by what its sources say" {
	export KSRC=$BATS_TEST_TMPDIR/linux-source-7.9
	before=$(find "$KSRC" -printf '%p %s %T@\n' | sort)
	get_tree
	first=$tree
	[[ $tree == "$cache"/linux/own-* ]]
	[ "$(find "$KSRC" -printf '%p %s %T@\n' | sort)" = "$before" ]
	grep -qx "source = $KSRC" "$tree/origin"
	grep -qx "linux = 7.9.3" "$tree/origin"

	# Leavings of a build and other clocks are the same tree ...
	touch "$KSRC"/tools/include/x.h "$KSRC/tools/lib/x.o" "$KSRC/scripts/x.mod.c"
	mkdir -p "$KSRC/tools/include/generated"
	touch "$KSRC/tools/include/generated/x.h"
	get_tree
	[[ $tree == "$first" && ! -s $BATS_TEST_TMPDIR/stderr ]]
	# ... and an edit is another.
	echo edit >>"$KSRC/tools/testing/selftests/kvm/lib/kvm_util.c"
	get_tree
	[ "$tree" != "$first" ]
	grep -q edit "$tree/tools/testing/selftests/kvm/lib/kvm_util.c"
}

@test "a make that calls it, and its variables, are not in the way" {
	printf 'x:\n\t+@"%s/scripts/linux.sh"\n' "$root" >"$BATS_TEST_TMPDIR/Makefile"
	run make -s -C "$BATS_TEST_TMPDIR" -j2 x ARCH=arm O=/nonexistent
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(<"${lines[-1]}/usr/include/linux/kvm.h")" = x86 ]
}

@test "only the youngest trees are kept, and those in use" {
	export KSRC=$BATS_TEST_TMPDIR/linux-source-7.9
	for i in {1..6}; do
		mkdir -p "$cache/linux/own-$i"
		touch -d "2020-01-0$i" "$cache/linux/own-$i"
	done
	exec {held}<"$cache/linux/own-1"
	flock -s "$held"
	get_tree
	exec {held}<&-
	[ "$(cd "$cache/linux" && echo own-?)" = "own-1 own-2 own-3 own-4 own-5 own-6" ]
	mkdir "$cache/linux/own-7"
	echo >>"$KSRC/tools/include/x.h"
	get_tree
	[ "$(cd "$cache/linux" && echo own-?)" = "own-4 own-5 own-6 own-7" ]
}
