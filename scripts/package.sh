#!/bin/bash
# Print a folder with the files of packages that a configuration pins; the only
# line on stdout.
#
#	package.sh CONFIG
#
# CONFIG (configs/bochs-source, say) has a section for each file: the section's
# name is that of a binary package, whose file is then NAME.deb, or of a source
# package of which "file" names one file.  "suites" are looked through in order,
# as far as needed.  Nothing is fetched that the cache has.
#
# The version "newest" of a binary package goes without "sha256": whatever the first
# suite that has it has now, and from then on what the cache has.  That is for what a
# stable suite replaces, since an archive keeps no older version of it.

set -euo pipefail

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
# shellcheck source=scripts/config.sh
. "$root/scripts/config.sh"
# shellcheck source=scripts/archive.sh
. "$root/scripts/archive.sh"

# file_of NAME: sets type (deb or source), file, and kept, its place in the cache.
file_of() {
	file=${values[$1.file]-}
	type=source
	if [[ -z $file ]]; then
		file=$1.deb
		type=deb
	fi
	kept=$cache_dir/download/${values[$1.sha256]-}.$type
}

# have NAME: whether the cache has it, whole.
have() {
	local type file kept

	file_of "$1"
	[[ -v values[$1.sha256] && -f $kept ]] || return
	file_whole "$kept" "${values[$1.sha256]}" && return
	say "$kept is damaged; fetch it again"
	rm -f -- "$kept"
	return 1
}

# look_up SUITE: of the $missing, sets found[NAME] of those that SUITE has, as
# archive_packages() and archive_source() tell it.
look_up() {
	local suite=$1 name version type file kept line known=
	local -A looked=()

	for name in "${missing[@]}"; do
		file_of "$name"
		if [[ ! -v looked[$type] ]]; then
			archive_look "$suite" "${index_of[$type]}"
			looked[$type]=1
			[[ $type != deb ]] || known=$(archive_packages "${missing[@]}")
		fi
		version=${values[$name.version]}
		if [[ $version == newest ]]; then
			line=$(grep "^${name//./\\.} " <<<"$known" | tail -n 1) || continue
			read -r _ "values[$name.version]" "values[$name.sha256]" _ <<<"$line"
		elif [[ $type == deb ]]; then
			line=$(awk -v name="$name" -v version="$version" '$1 == name && $2 == version' <<<"$known")
		else
			line=$(archive_source "$name" "$version" "$file")
		fi
		[[ -z $line ]] || found[$name]=$line
	done
}

# get_found: what look_up found, into the cache; $missing is what is left.
get_found() {
	local name sha256 wanted type file kept
	local -a left=() debs=() what

	for name in "${missing[@]}"; do
		if [[ ! -v found[$name] ]]; then
			left+=("$name")
			continue
		fi
		file_of "$name"
		read -r -a what <<<"${found[$name]}"
		sha256=${what[-2]} wanted=${values[$name.sha256]}
		[[ $sha256 == "$wanted" ]] ||
			die 3 "the archive's $name ${values[$name.version]} has the SHA-256 $sha256, but $config expects $wanted; do not trust either before you know why"
		if [[ $type == deb ]]; then
			debs+=("${found[$name]}")
		else
			fetch_source "$name" "${values[$name.version]}" "$file" "${what[@]}"
		fi
	done
	(( ${#debs[@]} == 0 )) || fetch_packages "${debs[@]}"
	missing=("${left[@]}")
}

fetch_missing() {
	local suite name
	local -A found=() index_of=([deb]=deb [source]=deb-src)
	local -a archives

	archive_open "${missing[*]}"
	for suite in ${values[suites]}; do
		look_up "$suite"
		get_found
		(( ${#missing[@]} )) || return 0
	done
	name=${missing[0]}
	archive_missing "the archive has no $name ${values[$name.version]} in ${values[suites]}; pin in $config what it has"
}

# collect TMP: TMP/made has all of $names.
collect() {
	local tmp=$1 name type file kept
	local -a missing=()

	for name in "${names[@]}"; do
		have "$name" || missing+=("$name")
	done
	(( ${#missing[@]} == 0 )) || fetch_missing
	for name in "${names[@]}"; do
		file_of "$name"
		cp -l -- "$kept" "$tmp/made/$file" ||
			die 3 "cannot write to $tmp$(step_why "$tmp")"
	done
}

main() {
	local config=${1-} name dir
	local -a names
	# shellcheck disable=SC2034 # config_read() fills and reads them
	local -A values=() origins=() types=([suites]=names)

	[[ $# -eq 1 && -f $config ]] || die 2 "want one argument: a file that pins packages, such as configs/bochs-source"
	mapfile -t names < <(sed -n 's/^\[\([A-Za-z0-9.+-]*\)\].*/\1/p' "$config")
	# shellcheck disable=SC2034
	for name in "${names[@]}"; do
		types[$name.version]=pin
		types[$name.sha256]=sha256
		types[$name.file]=name
	done
	config_read "$config" values origins types
	config_need "$config" values suites "${names[@]/%/.version}"
	for name in "${names[@]}"; do
		if [[ ${values[$name.version]} != newest ]]; then
			config_need "$config" values "$name.sha256"
		elif [[ -v values[$name.sha256] || -v values[$name.file] ]]; then
			die 2 "${origins[$name.version]}: the newest $name can have neither sha256 nor file"
		fi
	done
	(( ${#names[@]} )) || die 2 "$config pins no package"

	cache_find
	dir=$(for name in "${names[@]}"; do
		echo "$name ${values[$name.file]-} ${values[$name.sha256]-newest}"
	done | sha256sum)
	dir=$cache_dir/package/${dir:0:16}
	step_init
	cache_make "$dir" 100 6 collect
	printf '%s\n' "$dir"
}

main "$@"
