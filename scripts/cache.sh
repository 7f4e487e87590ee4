#!/bin/bash
# Sourced: the cache outside the clone.
#
# What is in there is keyed by content and never changes: it is made in a folder
# beside its place and renamed, so what has its name is whole.  A seal tells
# whether somebody has damaged it since.

# shellcheck source=scripts/step.sh
. "${BASH_SOURCE[0]%/*}/step.sh"

# Sets cache_dir, without making it.
cache_find() {
	[[ -n ${XDG_CACHE_HOME-}${HOME-} ]] ||
		die 2 "neither XDG_CACHE_HOME nor HOME says where the cache may be"
	cache_dir=${XDG_CACHE_HOME:-$HOME/.cache}/tdx-sept-tests
	[[ $cache_dir == /* ]] ||
		die 2 "XDG_CACHE_HOME=$XDG_CACHE_HOME is not an absolute path"
	# make(1) cannot be told of a name with a space in it.
	[[ $cache_dir != *[[:space:]:\#\$%\'\"\\]* ]] ||
		die 2 "the cache's path '$cache_dir' has a character that make cannot handle; set XDG_CACHE_HOME"
}

# cache_open SUBDIR MB: make cache_dir/SUBDIR, insist on MB of room, start a log
# and take the lock of SUBDIR.
cache_open() {
	local dir=$cache_dir/$1 need=$2 free

	step_open_log "$cache_dir/log"
	mkdir -p -- "$dir" 2>/dev/null || die 3 "cannot write to $dir$(step_why "$dir")"
	free=$(( $(stat -f -c '%a * %S' "$dir") / 1048576 ))
	(( free >= need )) ||
		die 3 "$cache_dir needs $need MB, but its disk has $free MB left; XDG_CACHE_HOME can name another folder"
	exec {cache_lock}>"$dir/.lock"
	flock -n "$cache_lock" ||
		step_run "wait for another run that is busy in $dir" flock "$cache_lock" ||
		die 3 "cannot lock $dir/.lock; see $step_log"
}

# cache_manifest DIR: one line for each file below DIR.
cache_manifest() {
	(cd "$1" && find . ! -type d ! -name .seal -printf '%P %s %l %T@\n' | LC_ALL=C sort)
}

cache_seal() {
	cache_manifest "$1" | sha256sum >"$1/.seal"
}

# Whether DIR is as it was when it was sealed.
cache_whole() {
	local dir=$1

	[[ -f $dir/.seal && $(cache_manifest "$dir" | sha256sum) == "$(<"$dir/.seal")" ]]
}

# cache_put TMP DIR: TMP is complete; let it be DIR from now on.
cache_put() {
	local tmp=$1 dir=$2

	cache_seal "$tmp"
	sync -f "$tmp/.seal"	# or a power cut could leave the name without the content
	rm -rf -- "$dir"
	mv -T -- "$tmp" "$dir"
}

# cache_make DIR MB KEEP COMMAND...: unless DIR is whole, run COMMAND... TMP, which fills
# the folder TMP/made, or dies, and let that be DIR.  MB is the room that this takes.  Of
# DIR and its like, whose names begin as its own, the KEEP youngest stay.  DIR is held, as
# by cache_use().  In a condition COMMAND would go on after an error.
cache_make() {
	local dir=$1 need=$2 keep=$3 group=${1%/*} name=${1##*/} tmp

	shift 3
	if ! cache_whole "$dir"; then
		cache_open "${group##*/}" "$need"
		if ! cache_whole "$dir"; then		# no other run has just made it
			[[ ! -e $dir ]] || say "$dir is damaged; make it anew"
			# What a killed run left; the lock tells that nobody uses it.
			rm -rf -- "$group"/.tmp.*
			tmp=$(mktemp -d "$group/.tmp.XXXXXX")
			step_tmp+=("$tmp")
			mkdir "$tmp/made"
			"$@" "$tmp"
			cache_put "$tmp/made" "$dir" || die 3 "cannot write $dir$(step_why "$tmp")"
			rm -rf -- "$tmp"
			cache_prune "$group" "${name%"${name##*-}"}[0-9a-f]*" "$keep"
		fi
		exec {cache_lock}>&-
	fi
	cache_use "$dir"
}

# cache_use DIR: hold it, so that no other run prunes it, and mark it as young.
# The hold goes with the process, also through exec.
cache_use() {
	local fd

	exec {fd}<"$1"
	flock -s "$fd"
	touch -c -- "$1" 2>/dev/null || :	# a read-only cache has no order to keep
}

# part NAME SCRIPT ARGUMENT...: NAME is what SCRIPT, one of ours, makes and prints; held,
# as by cache_use(), if it is in the cache.  Ends as SCRIPT does if that fails.
part() {
	cache_find
	step_call "${@:2}" || exit
	printf -v "$1" '%s' "$REPLY"
	[[ ! $REPLY =~ ^"$cache_dir"/[^/]+/[^/]+ ]] || cache_use "${BASH_REMATCH[0]}"
}

# cache_prune DIR GLOB NUMBER: keep the NUMBER youngest, and whatever is in use.
cache_prune() {
	local dir=$1 glob=$2 keep=$3 old

	while read -r old; do
		flock -n "$dir/$old" rm -rf -- "${dir:?}/$old" || :	# in use
	done < <(find "$dir" -mindepth 1 -maxdepth 1 -name "$glob" -printf '%T@ %f\n' |
		 sort -rn | tail -n "+$((keep + 1))" | cut -d ' ' -f 2-)
}
