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
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"
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

# A configuration of apt that knows $tmp/apt/sources alone, and the system's
# signatures, proxy and passwords, since the system's own is read before it.
apt_private() {
	mkdir -p "$tmp"/apt/{state/lists/partial,cache/archives/partial,sources}
	cat >"$tmp/apt/conf" <<-END
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		Acquire::Languages "none";
		Dir::Cache "$tmp/apt/cache";
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$tmp/apt/sources";
		Dir::State "$tmp/apt/state";
		Dir::State::status "/dev/null";
	END
}

# The archives the system uses, as "file|suite|address", the distribution's own
# release first: a third party seldom has a suite of that very name.
system_archives() {
	local codename

	codename=$(sed -n 's/^VERSION_CODENAME="\{0,1\}\([^"]*\).*/\1/p' /etc/os-release)
	# With release info it would pass over what "apt-get update" has not fetched yet.
	# shellcheck disable=SC2016 # apt's variables, not the shell's
	apt-get indextargets --no-release-info \
		--format '$(COMPONENT)|$(SOURCESENTRY)|$(RELEASE)|$(REPO_URI)' \
		'Created-By: Packages' |
		sed -n 's/^main|\([^|]*\):[0-9]*|/\1|/p' |
		awk -F '|' -v codename="$codename" '
			seen[$0]++ { next }
			$2 == codename { print; next }
			{ rest[n++] = $0 }
			END { for (i = 0; i < n; i++) print rest[i] }'
}

# archive_entry FILE SUITE URI NEW: the entry of sources FILE that has SUITE at
# URI, but with the suite NEW.
archive_entry() {
	local awk_common='
		function bare(uri) { gsub(/:\/+/, ":/", uri); sub(/\/+$/, "", uri); return uri }
		BEGIN { uri = bare(uri) }'

	case $1 in
	*.sources)
		awk -v uri="$3" -v suite="$2" -v new="$4" -v RS= "$awk_common"'
		{
			n = split($0, line, "\n")
			kept = ""; at = ""; has_suite = 0
			for (i = 1; i <= n; i++) {
				if (line[i] ~ /^#/)
					continue
				if (line[i] !~ /^[ \t]/)
					field = tolower(substr(line[i], 1, index(line[i], ":") - 1))
				value = line[i]
				sub(/^[^: \t]*:/, "", value)
				m = split(value, word, /[ \t]+/)
				for (j = 1; j <= m; j++) {
					if (field == "uris" && bare(word[j]) == uri)
						at = word[j]
					has_suite += field == "suites" && word[j] == suite
				}
				if (field !~ /^(types|uris|suites|components|enabled|targets)$/)
					kept = kept line[i] "\n"
			}
			if (at != "" && has_suite) {
				printf "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nTargets: Packages\n%s\n", at, new, kept
				exit
			}
		}' "$1" ;;
	*)
		awk -v uri="$3" -v suite="$2" -v new="$4" "$awk_common"'
		$1 == "deb" {
			options = ""
			rest = $0
			sub(/^[ \t]*deb[ \t]+/, "", rest)
			if (match(rest, /^\[[^]]*\][ \t]+/)) {
				options = substr(rest, 2, RLENGTH)
				sub(/\].*/, "", options)
				rest = substr(rest, RLENGTH + 1)
			}
			split(rest, word, /[ \t]+/)
			if (bare(word[1]) == uri && word[2] == suite) {
				printf "deb [%s target=Packages] %s %s main\n", options, word[1], new
				exit
			}
		}' "$1" ;;
	esac
}

# The linux-source packages known to the private apt, as "package version sha256
# bytes", the newest last.
list_packages() {
	local -a names

	mapfile -t names < <(apt-cache -c "$tmp/apt/conf" pkgnames linux-source-)
	(( ${#names[@]} )) || return 0
	apt-cache -c "$tmp/apt/conf" show "${names[@]}" |
		awk -v RS= '{
			split("", v)
			n = split($0, line, "\n")
			for (i = 1; i <= n; i++)
				if (split(line[i], pair, ": ") == 2)
					v[pair[1]] = pair[2]
			if (v["Package"] ~ /^linux-source-[0-9.]+$/ && v["SHA256"] != "")
				print v["Package"], v["Version"], v["SHA256"], v["Size"]
		}' | sort -u -k 2V
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

# fetch_lists SUITE: of those archives that have it.
fetch_lists() {
	local suite=$1 archive file release uri text entry
	local -A tried=()

	for archive in "${archives[@]}"; do
		IFS='|' read -r file release uri <<<"$archive"
		text=$(archive_entry "$file" "$release" "$uri" "$suite")
		[[ -n $text && ! -v tried[$text] ]] || continue	# two releases of one archive
		tried[$text]=1
		entry=$tmp/apt/sources/$suite.${#tried[@]}.${file##*.}
		printf '%s\n' "$text" >"$entry"
		apt-get -c "$tmp/apt/conf" -o APT::Status-Fd=1 update ||
			rm -f "$entry"	# or it would be in the way of the others
	done
}

# find_package: sets $found to what the archive has.
find_package() {
	local suite
	local -a archives

	command -v apt-get >/dev/null ||
		die 3 "there is no apt here to fetch $package with; name a kernel tree by KSRC=/path/to/linux"
	mapfile -t archives < <(system_archives 2>>"$step_log")
	(( ${#archives[@]} )) ||
		die 3 "apt has no archive configured to fetch $package from; name a kernel tree by KSRC=/path/to/linux"
	apt_private
	for suite in $suites; do
		step_run "look for $package in $suite" fetch_lists "$suite" ||
			die 3 "cannot fetch the index of $suite$(step_why "$tmp"); see $step_log"
		found=$(list_packages | pick_package)
		[[ $found != "$package $version "* ]] || return 0
	done
	[[ -z $found ]] || return 0
	if step_offline "$step_log"; then
		die 3 "cannot fetch $package: its archive cannot be reached; connect this machine to it once, or name a kernel tree by KSRC=/path/to/linux (log: $step_log)"
	fi
	die 3 "the archive has no linux-source in $suites; name a kernel tree by KSRC=/path/to/linux (log: $step_log)"
}

# deb_whole FILE SHA256
deb_whole() {
	[[ -f $1 && $(sha256sum <"$1") == "$2  -" ]]
}

# fetch_package PACKAGE VERSION SHA256 BYTES
fetch_package() {
	local deb=$cache_dir/download/$3.deb

	mkdir -p "$cache_dir/download" "$tmp/deb"
	step_run "download $1 $2 ($(($4 / 1000000)) MB)" \
		env -C "$tmp/deb" apt-get -c "$tmp/apt/conf" -o APT::Status-Fd=1 download "$1=$2" ||
		die 3 "cannot download $1$(step_why "$tmp"); see $step_log"
	deb_whole "$tmp"/deb/*.deb "$3" ||
		die 3 "what was downloaded as $1 $2 is not what the archive's index says; see $step_log"
	sync -f "$tmp/deb"
	mv -T -- "$tmp"/deb/*.deb "$deb"
	cache_prune "$cache_dir/download" '*.deb' 3
}

# unpack_package DEB: what is needed of its tree, into $tmp/tree.
unpack_package() {
	local deb=$1 tarball

	dpkg-deb --fsys-tarfile "$deb" |
		tar -x -C "$tmp" --wildcards './usr/src/*linux-source-*.tar.*' &&
	tarball=$(find "$tmp/usr/src" -name 'linux-source-*.tar.*') &&
	mkdir "$tmp/tree" &&
	tar -x -f "$tarball" -C "$tmp/tree" --strip-components=1 --no-wildcards-match-slash \
		--checkpoint=20000 --checkpoint-action=echo='%{r}T' \
		--wildcards "${kept[@]/#/*/}" "${needed[@]/#/*/}"
}

# package_tree: set $tree to the tree of the package that configs/linux-source
# wants, or of the nearest to be had.
package_tree() {
	local name found='' deb

	hash_of "$(recipe)" "$package $version $sha256 $suites"
	name=package-$REPLY
	tree=$cache_dir/linux/$name
	! cache_whole "$tree" || return 0

	deb=$cache_dir/download/$sha256.deb
	if [[ -f $deb ]]; then
		cache_open linux "$room_tree"
	else
		cache_open linux "$room_package"
	fi
	! cache_whole "$tree" || return 0	# another run has just made it
	[[ ! -e $tree ]] || say "the tree in $tree is damaged; make it anew"
	new_tmp

	if deb_whole "$deb" "$sha256"; then
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
	[[ -f $deb ]] || fetch_package "$@"
	step_run "unpack $1 $2" unpack_package "$deb" ||
		die 3 "cannot unpack $deb$(step_why "$tmp"); see $step_log"
	{
		printf 'source = %s %s\nsha256 = %s\n' "$1" "$2" "$3"
		[[ "$1 $2" == "$package $version" ]] ||
			printf 'instead_of = %s %s\n' "$package" "$version"
	} >"$tmp/tree/origin"
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
	mkdir "$tmp/tree" &&
	pack_sources "$1" | tar -x -C "$tmp/tree"
}

# own_tree DIR: set $tree to a prepared copy of DIR's parts.
own_tree() {
	local dir=$1 content

	content=$(pack_sources "$dir" | sha256sum) ||
		die 3 "cannot read all of KSRC=$dir"
	hash_of "$(recipe)" "$content"
	tree=$cache_dir/linux/own-$REPLY
	! cache_whole "$tree" || return 0

	cache_open linux "$room_tree"
	! cache_whole "$tree" || return 0
	[[ ! -e $tree ]] || say "the tree in $tree is damaged; make it anew"
	new_tmp
	step_run "copy what is needed of $dir" copy_sources "$dir" ||
		die 3 "cannot copy $dir$(step_why "$tmp"); see $step_log"
	[[ $(pack_sources "$tmp/tree" | sha256sum) == "$content" ]] ||
		die 3 "KSRC=$dir changed while it was copied; try again"
	printf 'source = %s\nsha256 = %s\n' "$dir" "${content%% *}" >"$tmp/tree/origin"
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

# A working folder beside the trees.  What a killed run left there goes; the lock
# tells that it is in nobody's use.
new_tmp() {
	rm -rf -- "$cache_dir"/linux/.tmp.*
	tmp=$(mktemp -d "$cache_dir/linux/.tmp.XXXXXX")
	step_tmp+=("$tmp")
}

# With an environment of its own: make variables and KBUILD_... of the user's,
# or of the make that called this, mean other trees.
make_headers() {
	env -i PATH="$PATH" LC_ALL=C make -C "$tmp/tree" -j "$(nproc)" ARCH=x86 headers
}

# Make $tmp/tree ready, and let it be $tree.
finish_tree() {
	local makefile=$tmp/tree/Makefile file

	step_run "make the kernel's headers" make_headers ||
		die 3 "cannot make the kernel's headers$(step_why "$tmp"); see $step_log"
	for file in usr/include/linux/kvm.h usr/include/asm/kvm.h include/uapi/linux/kernel-page-flags.h \
		    tools/testing/selftests/{kselftest_harness.h,kvm/lib/kvm_util.c}; do
		[[ -f $tmp/tree/$file ]] || die 3 "the kernel tree lacks $file; see $step_log"
	done
	printf 'linux = %s.%s.%s\n' "$(sed -n 's/^VERSION = //p' "$makefile")" \
		"$(sed -n 's/^PATCHLEVEL = //p' "$makefile")" \
		"$(sed -n 's/^SUBLEVEL = //p' "$makefile")" >>"$tmp/tree/origin"
	# What was there for make alone.
	rm -rf "$tmp/tree"/{Kbuild,Makefile,arch,scripts} \
		"$tmp/tree"/include/{asm-generic,config,generated}
	find "$tmp/tree" -name '.*.cmd' -delete
	cache_put "$tmp/tree" "$tree" ||
		die 3 "cannot write $tree$(step_why "$tmp")"
	cache_prune "$cache_dir/linux" 'package-*' 3
	cache_prune "$cache_dir/linux" 'own-*' 6
}

main() {
	local tree='' tmp='' package version sha256 suites other
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
	touch -c -- "$tree" 2>/dev/null || :	# its rank in cache_prune(); not if read-only
	printf '%s\n' "$tree"
}

main "$@"
