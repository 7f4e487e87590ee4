#!/bin/bash
# Print the path of a kernel tree to build against; the only line on stdout.
#
#   linux.sh [--check]
#
# The tree is the part of the distribution's linux-source package (see
# configs/linux-source) that the build needs, with its headers in usr/include;
# or the same part of KSRC=/path/to/linux, which is copied and never written to.
# Its file "origin" tells where it comes from.  --check only looks at the
# configuration and at KSRC.

set -euo pipefail

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
# shellcheck source=scripts/archive.sh
. "$root/scripts/archive.sh"
# shellcheck source=scripts/config.sh
. "$root/scripts/config.sh"

# What is taken of a kernel tree: for the build ...
kept=(
	include/uapi
	tools/arch/x86/include
	tools/include
	'tools/lib/*.*'
	tools/lib/api
	tools/mm
	tools/scripts
	tools/testing/selftests/kselftest
	tools/testing/selftests/kvm
	tools/testing/selftests/rseq
	'tools/testing/selftests/*.*'
)
# ... and for "make headers" alone.
needed=(
	Kbuild
	Makefile
	arch/x86/Makefile
	arch/x86/entry/syscalls
	arch/x86/include/asm/Kbuild
	arch/x86/include/uapi
	include/asm-generic/Kbuild
	'scripts/*.*'
	'scripts/Makefile*'
	scripts/basic
	scripts/include
)
# What of that is source, in a tree that somebody builds in.
sources=('*.[chS]' '*.sh' '*.pl' '*.py' '*.mk' '*.mak' '*.tbl' '*.include' 'Kbuild*'
	 'Makefile*' Build config settings)

# MB of room it takes: the package, what is in it, and the tree; the tree alone.
room_package=500
room_tree=100

#
# The distribution's package
#

# The linux-source packages known to the private apt, the newest last.
list_packages() {
	local -a names

	mapfile -t names < <(apt-cache -c "$tmp/apt/conf" pkgnames linux-source- |
		grep -x 'linux-source-[0-9.]*')
	(( ${#names[@]} == 0 )) || archive_packages "${names[@]}"
}

# pick_package: of list_packages' lines, the version wanted; else the newest of
# that package; else the newest of all.
pick_package() {
	awk -v package="$package" -v version="$version" '
		$1 == package && $2 == version { exact = $0 }
		$1 == package { same = $0 }
		{ any = $0 }
		END { print exact != "" ? exact : same != "" ? same : any }'
}

# find_package: sets $found to what the archive has.
find_package() {
	local suite
	local -a archives

	archive_open "$package" "name a kernel tree by KSRC=/path/to/linux"
	for suite in $suites; do
		archive_look "$suite"
		found=$(list_packages | pick_package)
		[[ $found != "$package $version "* ]] || return 0
	done
	[[ -n $found ]] || archive_missing "the archive has no linux-source in $suites"
}

# unpack_package DEB: what is needed of its tree, into $tmp/made.
unpack_package() {
	local deb=$1 tarball

	dpkg-deb --fsys-tarfile "$deb" |
		tar -x -C "$tmp" --wildcards './usr/src/*linux-source-*.tar.*' &&
	tarball=$(find "$tmp/usr/src" -name 'linux-source-*.tar.*') &&
	tar -x -f "$tarball" -C "$tmp/made" --strip-components=1 --no-wildcards-match-slash \
		--checkpoint=20000 --checkpoint-action=echo='%{r}T' \
		--wildcards "${kept[@]/#/*/}" "${needed[@]/#/*/}"
}

# package_tree: set $tree to the tree of the package that configs/linux-source
# wants, or of the nearest to be had.
package_tree() {
	local deb room=$room_tree

	hash_of "$(recipe)" "$package $version $sha256 $suites"
	tree=$cache_dir/linux/package-$REPLY
	deb=$cache_dir/download/$sha256.deb
	[[ -f $deb ]] || room=$room_package
	cache_make "$tree" "$room" 3 make_package_tree
}

make_package_tree() {
	local tmp=$1 found='' deb=$cache_dir/download/$sha256.deb

	if file_whole "$deb" "$sha256"; then
		found="$package $version $sha256 0"
	else
		[[ ! -e $deb ]] || say "$deb is damaged; fetch it again"
		rm -f -- "$deb"
		find_package
	fi
	# shellcheck disable=SC2086 # four words
	set -- $found
	if [[ "$1 $2" == "$package $version" && $3 != "$sha256" ]]; then
		die 3 "the archive's $1 $2 has the SHA-256 $3, but configs/linux-source expects $sha256; do not trust either before you know why"
	fi
	deb=$cache_dir/download/$3.deb
	[[ -f $deb ]] || fetch_packages "$*"
	step_run "unpack $1 $2" unpack_package "$deb" ||
		die 3 "cannot unpack $deb$(step_why "$tmp"); see $step_log"
	{
		printf 'source = %s %s\nsha256 = %s\n' "$1" "$2" "$3"
		[[ "$1 $2" == "$package $version" ]] ||
			printf 'instead_of = %s %s\n' "$package" "$version"
	} >"$tmp/made/origin"
	finish_tree
}

#
# A tree of the user's own
#

check_ksrc() {
	local dir=$1

	[[ -d $dir ]] || die 2 "KSRC=$dir is no folder"
	[[ -f $dir/Kbuild && -d $dir/include/uapi ]] ||
		die 2 "KSRC=$dir is not a kernel tree"
	grep -qs '^PATCHLEVEL = ' "$dir/Makefile" ||
		die 2 "KSRC=$dir is not a kernel tree"
	[[ -f $dir/tools/testing/selftests/kvm/lib/kvm_util.c ]] ||
		die 2 "KSRC=$dir has no KVM selftests (tools/testing/selftests/kvm)"
}

# pack_sources DIR: an archive of the parts of DIR, the same for the same content.
pack_sources() (
	cd "$1" || return
	shopt -s nullglob
	name=()
	for glob in "${sources[@]}"; do
		name+=(-o -name "$glob")
	done
	parts=()
	# shellcheck disable=SC2068 # the globs are to be expanded, here
	for part in ${kept[@]} ${needed[@]}; do
		[[ ! -e $part ]] || parts+=("$part")	# not every version has all
	done
	find "${parts[@]}" ! -path '*/generated/*' ! -name '*.mod.c' ! -type d \
		'(' "${name[@]:1}" ')' -print0 | LC_ALL=C sort -z |
		tar -c --no-recursion --mtime=@0 --mode=u=rwX,go=rX \
			--owner=0 --group=0 --numeric-owner --null -T -
)

copy_sources() {
	pack_sources "$1" | tar -x -C "$tmp/made"
}

# own_tree DIR: set $tree to a prepared copy of DIR's parts.
own_tree() {
	local dir=$1 content

	content=$(pack_sources "$dir" | sha256sum) ||
		die 3 "cannot read all of KSRC=$dir"
	hash_of "$(recipe)" "$content"
	tree=$cache_dir/linux/own-$REPLY
	cache_make "$tree" "$room_tree" 6 make_own_tree "$dir" "$content"
}

# make_own_tree DIR CONTENT TMP
make_own_tree() {
	local dir=$1 content=$2 tmp=$3

	step_run "copy what is needed of $dir" copy_sources "$dir" ||
		die 3 "cannot copy $dir$(step_why "$tmp"); see $step_log"
	[[ $(pack_sources "$tmp/made" | sha256sum) == "$content" ]] ||
		die 3 "KSRC=$dir changed while it was copied; try again"
	printf 'source = %s\nsha256 = %s\n' "$dir" "${content%% *}" >"$tmp/made/origin"
	finish_tree
}

#
# Both
#

# hash_of WORD...: a short name for all of it.
hash_of() {
	REPLY=$(printf '%s\n' "$@" | sha256sum)
	REPLY=${REPLY:0:16}
}

# What this script does to a tree, so that another way of doing it is another key.
recipe() {
	declare -p kept needed sources
	declare -f unpack_package pack_sources make_headers finish_tree
}

# With an environment of its own: make variables and KBUILD_... of the user's,
# or of the make that called this, mean other trees.
make_headers() {
	env -i PATH="$PATH" LC_ALL=C make -C "$tmp/made" -j "$(nproc)" ARCH=x86 headers
}

# Make $tmp/made ready.
finish_tree() {
	local makefile=$tmp/made/Makefile file

	step_run "make the kernel's headers" make_headers ||
		die 3 "cannot make the kernel's headers$(step_why "$tmp"); see $step_log"
	for file in usr/include/linux/kvm.h usr/include/asm/kvm.h include/uapi/linux/kernel-page-flags.h \
		    tools/testing/selftests/{kselftest_harness.h,kvm/lib/kvm_util.c}; do
		[[ -f $tmp/made/$file ]] || die 3 "the kernel tree lacks $file; see $step_log"
	done
	printf 'linux = %s.%s.%s\n' "$(sed -n 's/^VERSION = //p' "$makefile")" \
		"$(sed -n 's/^PATCHLEVEL = //p' "$makefile")" \
		"$(sed -n 's/^SUBLEVEL = //p' "$makefile")" >>"$tmp/made/origin"
	# What was there for make alone.
	rm -rf "$tmp/made"/{Kbuild,Makefile,arch,scripts} \
		"$tmp/made"/include/{asm-generic,config,generated}
	find "$tmp/made" -name '.*.cmd' -delete
}

main() {
	local tree='' package version sha256 suites other
	local file=${SEPT_CONFIGS:-$root/configs}/linux-source
	# shellcheck disable=SC2034 # config_read() fills and reads them
	local -A values=() origins=() types=(
		[package]=name [version]=version [sha256]=sha256 [suites]=names
	)

	(( $# == 0 )) || [[ $# -eq 1 && $1 == --check ]] ||
		die 2 "unknown argument '$1' (known: --check)"
	if [[ -n ${KSRC-} ]]; then
		check_ksrc "$KSRC"
	else
		config_read "$file" values origins types
		config_need "$file" values "${!types[@]}"
	fi
	cache_find
	(( $# == 0 )) || return 0

	step_init
	if [[ -n ${KSRC-} ]]; then
		own_tree "$(realpath -- "$KSRC")"
	else
		package=${values[package]}
		version=${values[version]}
		sha256=${values[sha256]}
		suites=${values[suites]}
		package_tree
		other=$(sed -n 's/^instead_of = //p' "$tree/origin")
		[[ -z $other ]] ||
			say "$(sed -n 's/^source = //p' "$tree/origin") is used, since the archive no longer has $other"
	fi
	printf '%s\n' "$tree"
}

main "$@"
