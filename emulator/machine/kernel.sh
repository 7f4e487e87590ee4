#!/bin/bash
# Print a folder with the host kernel of the emulated machine; the only line on
# stdout.
#
#	kernel.sh [--config NAME]... [--patch FILE]... [--source FILE]
#	kernel.sh ... --copy DIR FILE...
#
# The kernel is the one of configs/linux-source, of another file of package pins
# (--source), or of KSRC=/path/to/linux, which is copied and never written to.  Its
# configuration is configs/kernel/base.config and, after it, NAME.config of the same
# folder.  Patches are applied in order.
#
# In the folder are vmlinux (with all symbols), vmlinux.boot (without what only a
# debugger wants), System.map, config, and origin, which tells where it comes from.
# Sources and objects are kept, so that a patch costs what it makes anew.
#
# --copy builds nothing, but copies files of the sources, without any patch, to DIR.

set -euo pipefail

root=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"

# What is left out of a kernel tree: documents, and of other architectures and of
# drivers that no emulated machine has the code.  Kconfig and Makefile stay, since
# others refer to them.
left_out=('Documentation/*' tools/perf 'tools/testing/*')
left_out_code=(
	arch/{alpha,arc,arm,arm64,csky,hexagon,loongarch,m68k,microblaze,mips,nios2}
	arch/{openrisc,parisc,powerpc,riscv,s390,sh,sparc,xtensa}
	drivers/{accel,clk,gpu,iio,infiniband,media,pinctrl,scsi,staging} 'drivers/net/*' sound
)
code=('*.[chS]' '*.dts' '*.dtsi' '*_defconfig')

# MB of room that a build takes, with its sources.
room=2500

#
# Sources
#

# pack_own DIR: an archive of what is source in DIR, the same for the same content,
# whether DIR has been built in or not.
pack_own() (
	cd "$1" || return
	prune=()
	for glob in "${left_out[@]}" .git .config include/config include/generated \
		    arch/x86/include/generated; do
		prune+=(-o -path "./$glob" -type d)
	done
	for dir in "${left_out_code[@]}"; do
		for glob in "${code[@]}"; do
			prune+=(-o -path "./$dir/$glob")
		done
	done
	# What kbuild has made has its command beside it.
	find . '(' "${prune[@]:1}" -o -name '*.o' -o -name '*.a' -o -name '*.ko' ')' -prune -o \
		'(' -type f -o -type l ')' -printf '%P\n' | LC_ALL=C sort |
		awk '{
			name[NR] = $0
			n = split($0, part, "/")
			if (part[n] ~ /^\..*\.cmd$/)
				made[substr($0, 1, length($0) - length(part[n])) \
				     substr(part[n], 2, length(part[n]) - 5)] = 1
		}
		END {
			for (i = 1; i <= NR; i++)
				if (!(name[i] in made) && name[i] !~ /(^|\/)\.[^\/]*\.cmd$/ &&
				    name[i] !~ /^(\.config.*|vmlinux.*|System.map|.*\.mod|.*\.order)$/)
					print name[i]
		}' |
		tar -c --no-recursion --mtime=@0 --mode=u=rwX,go=rX \
			--owner=0 --group=0 --numeric-owner -T -
)

unpack_deb() {
	local dir glob exclude=() tarball top

	dpkg-deb --fsys-tarfile "$1" |
		tar -x -C "$tmp" --wildcards './usr/src/*linux-source-*.tar.*' &&
	tarball=$(find "$tmp/usr/src" -name 'linux-source-*.tar.*') &&
	mkdir "$tmp/src" || return
	top=${tarball##*/}
	top=${top%.tar.*}
	for dir in "${left_out[@]}"; do
		exclude+=(--exclude="$top/$dir/*")
	done
	for dir in "${left_out_code[@]}"; do
		for glob in "${code[@]}"; do
			exclude+=(--exclude="$top/$dir/$glob")
		done
	done
	tar -x -f "$tarball" -C "$tmp/src" --strip-components=1 --anchored "${exclude[@]}" \
		--checkpoint=20000 --checkpoint-action=echo='%{r}T' &&
	rm -r "${tmp:?}/usr"
}

unpack_own() {
	mkdir "$tmp/src" &&
	pack_own "$1" | tar -x -C "$tmp/src"
}

# find_source: sets source_name, source_hash, and deb or KSRC's real name.
find_source() {
	local pins=$source_file folder tree

	if [[ -n ${KSRC-} && -z $pins ]]; then
		[[ -f $KSRC/Kbuild && -f $KSRC/arch/x86/Kconfig ]] ||
			die 2 "KSRC=$KSRC is not a kernel tree"
		source_name=$(realpath -- "$KSRC")
		source_hash=$(pack_own "$source_name" | sha256sum) ||
			die 3 "cannot read all of KSRC=$KSRC"
		source_hash=${source_hash%% *}
		return
	fi
	if [[ -z $pins ]]; then
		step_call "$root/scripts/linux.sh" || exit
		tree=$REPLY
		pins=$(mktemp "${TMPDIR:-/tmp}/pins.XXXXXX")
		step_tmp+=("$pins")
		sed -n 's/^source = \([^ ]*\) \(.*\)/[\1]\nversion = \2/p; s/^\(sha256 = .*\)/\1/p' \
			"$tree/origin" >"$pins"
		sed -i "1i $(grep '^suites' "${SEPT_CONFIGS:-$root/configs}/linux-source")" "$pins"
	fi
	step_call "$root/scripts/package.sh" "$pins" || exit
	folder=$REPLY
	deb=$(find "$folder" -name 'linux-source-*.deb')
	[[ -f $deb ]] || die 2 "$pins names no linux-source package"
	source_name=$(sed -n "s/^\[\(linux-source-.*\)\].*/\1/p" "$pins")
	source_name+=" $(sed -n 's/^version *= *//p' "$pins")"
	source_hash=$(sed -n 's/^sha256 *= *//p' "$pins")
}

#
# pahole, which makes the BTF
#

# find_pahole: sets pahole.  From 1.27 on the BTF is the same each time, and lacks the
# functions whose arguments are not where they should be: a probe of one would see
# something else.
find_pahole() {
	local folder dir have

	have=$(pahole --version 2>/dev/null || :)
	if [[ $have =~ ^v1\.([0-9]+) ]] && (( BASH_REMATCH[1] >= 27 )); then
		pahole=$(command -v pahole)
		return
	fi
	step_call "$root/scripts/package.sh" "${SEPT_CONFIGS:-$root/configs}/pahole" || exit
	folder=$REPLY
	dir=$cache_dir/pahole/${folder##*/}
	pahole=$dir/pahole
	cache_make "$dir" 50 2 unpack_pahole "$folder"
}

# unpack_pahole FOLDER TMP
unpack_pahole() {
	local made=$2/made file

	for file in "$1"/*.deb; do
		dpkg-deb --fsys-tarfile "$file" | tar -x -C "$made" --wildcards './usr/lib/*' './usr/bin/pahole' './lib/*' 2>/dev/null ||
			[[ -d $made/usr ]] || die 3 "cannot unpack $file$(step_why "$made")"
	done
	cat >"$made/pahole" <<-'END'
		#!/bin/sh
		# With its own libraries and their loader.
		here=$(dirname "$0")
		lib=$(echo "$here"/usr/lib/*-linux-gnu)
		exec "$lib"/ld-linux-*.so.* --library-path "$lib" "$here/usr/bin/pahole" "$@"
	END
	chmod +x "$made/pahole"
	"$made/pahole" --version >/dev/null 2>&1 || die 3 "the pahole of $1 does not run here"
}

#
# The build, in a folder that is kept: src, objects, orig (of what is patched)
#

# With an environment of its own: make variables and KBUILD_... of the user's, or of
# the make that called this, mean other trees.
kernel_make() {
	env -i PATH="$PATH" HOME=/ LC_ALL=C \
		KBUILD_BUILD_USER=tdx-sept-tests KBUILD_BUILD_HOST=emulated \
		KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' \
		make -C "$work/src" "O=$work/objects" ARCH=x86 "PAHOLE=$pahole" -j "$(nproc)" "$@"
}

# refused FRAGMENT: the lines of it that the configuration does not have, although
# the tree knows their symbols.
refused() {
	local line symbol

	while read -r line; do
		case $line in
		CONFIG_*=*)	symbol=${line%%=*}
				! grep -qxF -- "$line" "$work/objects/.config" || continue ;;
		"# CONFIG_"*" is not set")
				symbol=${line#\# } symbol=${symbol%% *}
				grep -q "^$symbol=" "$work/objects/.config" || continue ;;
		*)		continue ;;
		esac
		! grep -rqsE --include='Kconfig*' "^[[:space:]]*(menu)?config ${symbol#CONFIG_}$" "$work/src" ||
			printf '%s\n' "$line"
	done <"$1"
}

configure() {
	local fragment lines

	mkdir -p "$work/objects"
	rm -f -- "$work/configured"
	cat "${fragments[@]}" >"$work/fragment"
	step_run "configure it" kernel_make "KCONFIG_ALLCONFIG=$work/fragment" allnoconfig ||
		die 3 "cannot configure the kernel; see $step_log"
	for fragment in "${fragments[@]}"; do
		lines=$(refused "$fragment")
		[[ -z $lines ]] ||
			die 3 "the kernel's Kconfig does not grant what $fragment wants: ${lines//$'\n'/, }"
	done
	mv -T -- "$work/fragment" "$work/configured"
}

# The files that PATCHES change, one a line.
patched_files() {
	(( $# == 0 )) || sed -n 's,^\(---\|+++\) [ab]/\([^[:space:]]*\).*,\2,p' "$@" | sort -u
}

# unpatch: as it was before the last build, also if that was killed on its way.
unpatch() {
	local file

	[[ -e $work/patched ]] || return 0
	while read -r file; do
		if [[ -e $work/orig/$file ]]; then
			cp -- "$work/orig/$file" "$work/src/$file"	# newer than its objects
		else
			rm -f -- "$work/src/$file"
		fi
	done <"$work/patched"
	rm -rf -- "$work/patched" "$work/orig"
}

apply_patches() {
	local file patch

	(( ${#patches[@]} )) || return 0
	rm -rf -- "$work/orig"
	mkdir "$work/orig"
	while read -r file; do
		[[ $file != /* && /$file/ != */../* ]] || die 2 "a patch names $file, outside of the kernel"
		[[ ! -e $work/src/$file ]] || (cd "$work/src" && cp --parents -p -- "$file" "$work/orig")
	done < <(patched_files "${patches[@]}")
	patched_files "${patches[@]}" >"$work/patched.new"
	mv "$work/patched.new" "$work/patched"
	for patch in "${patches[@]}"; do
		patch -s -f -p1 --no-backup-if-mismatch -d "$work/src" <"$patch" >>"$step_log" 2>&1 ||
			die 3 "$patch does not apply to $source_name; see $step_log"
	done
}

prepare_work() {
	local tmp

	if [[ ! -d $work/src ]]; then
		rm -rf -- "$work"
		cache_prune "$cache_dir/kernel" 'work-*' 2
		tmp=$(mktemp -d "$cache_dir/kernel/.tmp.XXXXXX")
		step_tmp+=("$tmp")
		if [[ -n $deb ]]; then
			step_run "unpack $source_name" unpack_deb "$deb" ||
				die 3 "cannot unpack $deb$(step_why "$tmp"); see $step_log"
		else
			step_run "copy the sources of $source_name" unpack_own "$source_name" ||
				die 3 "cannot copy $source_name$(step_why "$tmp"); see $step_log"
			[[ $(pack_own "$tmp/src" | sha256sum) == "$source_hash "* ]] ||
				die 3 "KSRC=$KSRC changed while it was copied; try again"
		fi
		mv -T -- "$tmp" "$work"
	fi
	unpatch
	cat "${fragments[@]}" | cmp -s - "$work/configured" || configure
	apply_patches
}

version_of() {
	local part makefile=$work/src/Makefile

	for part in VERSION PATCHLEVEL SUBLEVEL; do
		sed -n "s/^$part = //p" "$makefile"
	done | paste -s -d .
}

build() {
	local out=$1/made patch why

	prepare_work
	step_run "build the kernel" kernel_make olddefconfig vmlinux || {
		why=$(grep -m 1 -E 'error:|\*\*\* |undefined reference' "$step_log" || :)
		die 3 "cannot build the kernel${why:+: $why}$(step_why "$work"); see $step_log"
	}
	{ cp -- "$work/objects/vmlinux" "$work/objects/System.map" "$out" &&
	  cp -- "$work/objects/.config" "$out/config" &&
	  objcopy --strip-debug "$out/vmlinux" "$out/vmlinux.boot"; } ||
		die 3 "cannot write to $out$(step_why "$out")"
	{
		printf 'source = %s\nsha256 = %s\nlinux = %s\n' "$source_name" "$source_hash" "$(version_of)"
		printf 'config = %s\n' "${configs[*]}"
		for patch in "${patches[@]}"; do
			printf 'patch = %s %s\n' "${patch##*/}" "$(sha256sum <"$patch" | cut -d ' ' -f 1)"
		done
		printf 'compiler = %s\npahole = %s\n' "$compiler" "$("$pahole" --version)"
	} >"$out/origin"
}

main() {
	local source_file='' source_name='' source_hash='' deb='' pahole='' compiler work dir name
	local copy=''
	local folder=${SEPT_CONFIGS:-$root/configs}/kernel
	local -a configs=(base) patches=() fragments=() files=()

	while (( $# )); do
		case $1 in
		--config | --patch | --source | --copy)
			(( $# > 1 )) || die 2 "$1 wants a value" ;;&
		--config)	configs+=("$2") ;;
		--patch)	patches+=("$(realpath -- "$2")") ;;
		--source)	source_file=$2 ;;
		--copy)		copy=$(realpath -- "$2")
				files=("${@:3}")
				break ;;
		*)		die 2 "unknown argument '$1' (known: --config NAME, --patch FILE, --source FILE, --copy DIR FILE...)" ;;
		esac
		shift 2
	done
	for name in "${configs[@]}"; do
		[[ -f $folder/$name.config ]] || die 2 "there is no $folder/$name.config"
		fragments+=("$folder/$name.config")
	done
	for name in "${patches[@]}" ${source_file:+"$source_file"}; do
		[[ -f $name ]] || die 2 "$name is no file"
	done
	cache_find
	step_init
	find_source
	find_pahole
	compiler=$(gcc --version | head -n 1) || die 3 "there is no gcc"

	work=$({ declare -p left_out left_out_code code; declare -f pack_own unpack_deb kernel_make
		 echo "$source_hash $compiler $("$pahole" --version) $(ld --version | head -n 1)"
		 echo "${configs[*]}"; } | sha256sum)
	work=${work:0:16}
	dir=$({ declare -f build configure; echo "$work"
		cat "${fragments[@]}" "${patches[@]}"; } | sha256sum)
	dir=$cache_dir/kernel/vmlinux-${dir:0:16}
	work=$cache_dir/kernel/work-$work
	if [[ -n $copy ]]; then
		patches=()
		cache_open kernel "$room"
		prepare_work
		(cd "$work/src" && cp --parents -- "${files[@]}" "$copy") ||
			die 3 "cannot copy from $source_name to $copy$(step_why "$copy")"
		printf '%s\n' "$copy"
		return
	fi
	cache_make "$dir" "$room" 12 build
	touch -c -- "$work" 2>/dev/null || :	# its rank in cache_prune(); not if read-only
	printf '%s\n' "$dir"
}

main "$@"
