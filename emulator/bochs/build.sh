#!/bin/bash
# Print the path of a folder with the emulator, "bochs"; the only line on stdout.
#
#   build.sh [--sanitize] [--gdb]
#
# --sanitize: under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
# --gdb:      for one processor, with Bochs' GDB stub (see README.md)
#
# Bochs is the source that configs/bochs-source pins, with the patches of this
# folder.  It is built once; glue, TDX module and those who look on are linked to
# it.  Both are in the cache, by what they are made of.

set -euo pipefail

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"

# MB of room: a tree while it is built, a binary
room_tree=700
room_binary=100

# Only what the emulated machine has.
features=(
	--with-nogui --enable-cpu-level=6 --enable-x86-64 --enable-vmx=2
	--enable-avx --enable-evex --enable-protection-keys --enable-memtype
	--enable-monitor-mwait --enable-fpu
	--disable-pci --disable-cdrom --disable-show-ips --disable-stats --disable-docbook
)
smp=(--enable-smp --enable-all-optimizations --disable-x86-debugger)
# The stub knows one processor, and looks at each instruction.
stub=(--enable-gdb-stub --enable-fast-function-calls --enable-repeat-speedups)

warnings=(-Wall -Wextra -Werror -Wno-missing-field-initializers)
# Bochs' macros for the end of an instruction do not use it.
warnings_glue=("${warnings[@]}" -Wno-unused-parameter)
libraries=(-lnettle -lelf -ldl)

# Bochs reads memory of its guest at any address, and shifts as the guest says.
# shellcheck disable=SC2054 # the commas are the compiler's
sanitizers=(
	-fsanitize=address,undefined -fno-omit-frame-pointer
	-fno-sanitize=alignment,shift,signed-integer-overflow,bounds,vptr
)

declare -A set=()	# --sanitize, --gdb
flags=(-O3 -g1)
configure=("${features[@]}")
source=			# the archive
tree=			# where Bochs is built

usage() {
	sed -n '2,/^$/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

sum() {
	local hash

	hash=$(sha256sum)
	printf '%s\n' "${hash:0:16}"
}

# All of the emulator that is not Bochs.
glue_files() {
	find "$here" "$root"/emulator/{tdx_module,sanitizer,control,trace} -maxdepth 1 \
		'(' -name '*.[ch]' -o -name '*.cc' ')' ! -name 'seamcalls.c' | LC_ALL=C sort
}

find_source() {
	step_call "$root/scripts/package.sh" "$root/configs/bochs-source" || exit
	source=$(echo "$REPLY"/*.tar.*)
}

# A build folder's name must not be in the result.
flags_for() {
	printf '%s ' "${flags[@]}" "-ffile-prefix-map=$1=."
}

compile_tree() {
	local dir=$1/made patch

	tar -x -f "$source" -C "$dir" --no-same-owner --strip-components=1 || return
	cd "$dir" || return
	for patch in "$here"/patches/*.patch; do
		patch -p1 -s <"$patch" || return
	done
	CFLAGS=$(flags_for "$dir") CXXFLAGS=$(flags_for "$dir") \
		./configure "${configure[@]}" || return
	# All that "bochs" is made of, but not itself: it lacks the glue.
	sed -n '/^bochs:/,/[^\\]$/{s/^bochs:/parts:/; p}' Makefile >parts.mk || return
	make -j "$(nproc)" -f Makefile -f parts.mk parts || return
	find . -type f ! -name '*.[ah]' ! -name '*.def' ! -path './[^/]*.o' -delete
}

build_tree() {
	step_run "build Bochs" compile_tree "$1" ||
		die 3 "Bochs cannot be built$(step_error)$(step_why "$1"); see $step_log"
}

# Sets tree.
find_tree() {
	local key

	key=$({ g++ --version; printf '%s\n' "${flags[@]}" "${configure[@]}"
		sha256sum <"$source"; cat "$here"/patches/*.patch; } | sum)
	tree=$cache_dir/bochs-tree/$key
	cache_make "$tree" "$room_tree" 4 build_tree
}

# compile_file DIR FILE: compile a file of ours.
compile_file() {
	local dir=$1 file=$2
	local object=${file#"$root"/emulator/}

	object=$dir/${object//\//-}.o
	if [[ $file == *.cc ]]; then
		g++ -std=gnu++11 "${flags[@]}" "${warnings_glue[@]}" -isystem "$tree" \
			-isystem "$tree/cpu" -isystem "$tree/instrument/stubs" \
			-ffile-prefix-map="$root"=. -c "$file" -o "$object"
	else
		gcc -std=c11 -D_GNU_SOURCE "${flags[@]}" "${warnings[@]}" \
			-ffile-prefix-map="$root"=. -c "$file" -o "$object"
	fi
}

compile_binary() {
	local dir=$1 file failed=0
	local -a running=()

	mkdir "$dir/o" || return
	while read -r file; do
		[[ $file == *.h ]] && continue
		compile_file "$dir/o" "$file" &
		running+=("$!")
		if (( ${#running[@]} >= $(nproc) )); then
			wait "${running[0]}" || failed=1
			running=("${running[@]:1}")
		fi
	done < <(glue_files)
	for file in "${running[@]}"; do
		wait "$file" || failed=1
	done
	(( !failed )) || return 1
	# shellcheck disable=SC2046 # names in the cache have no spaces
	g++ "${flags[@]}" -o "$dir/made/bochs" "$tree"/*.o "$dir"/o/*.o -Wl,--start-group \
		$(find "$tree" -name '*.a') -Wl,--end-group "${libraries[@]}"
}

binary_key() {
	local -a files

	mapfile -t files < <(glue_files)
	{ basename "$tree"; cat "${BASH_SOURCE[0]}" "${files[@]}"; } | sum
}

# build_binary KEY TMP
build_binary() {
	step_run "build the emulator" compile_binary "$2" ||
		die 3 "the emulator cannot be built$(step_error)$(step_why "$2"); see $step_log"
	[[ $(binary_key) == "$1" ]] || die 3 "the sources changed while they were built; try again"
}

main() {
	local arg key

	for arg; do
		case $arg in
		--sanitize|--gdb)	set[$arg]=1 ;;
		--help)	usage
			return ;;
		*)	die 2 "unknown argument '$arg' (known: --sanitize, --gdb)" ;;
		esac
	done
	if [[ -v set[--sanitize] ]]; then
		flags=(-O1 -g "${sanitizers[@]}")
	fi
	if [[ -v set[--gdb] ]]; then
		configure+=("${stub[@]}")
	else
		configure+=("${smp[@]}")
	fi

	cache_find
	step_init
	find_source
	find_tree
	cache_use "$tree"
	key=$(binary_key)
	cache_make "$cache_dir/bochs/$key" "$room_binary" 6 build_binary "$key"
	printf '%s\n' "$cache_dir/bochs/$key"
}

main "$@"
