#!/bin/bash
# Sourced: sentences, and long steps that have a log and can be interrupted.

# What goes before each line of ours; the script that sources this sets it.
step_name=${0##*/}
step_name=${step_name%.sh}
step_log=
step_child=
step_tmp=()		# removed on every way out

say() {
	printf '%s: %s\n' "$step_name" "$*" >&2
}

# die CODE WORDS...: the one sentence, and out.
die() {
	local code=$1

	shift
	say "$*"
	exit "$code"
}

step_now() {	# in ms
	printf -v REPLY '%d' "$(( ${EPOCHREALTIME/[.,]/} / 1000 ))"
}

# Of the clone of the script that sources this, which may belong to somebody else than root.
our_commit() {
	git -c safe.directory="${root:?}" -C "$root" describe --always --dirty 2>/dev/null || echo unknown
}

# A log is of use only after a failure.
step_cleanup() {
	local rc=$?

	trap - EXIT
	(( ${#step_tmp[@]} == 0 )) || rm -rf -- "${step_tmp[@]}"
	[[ $rc -ne 0 || -z $step_log ]] || rm -f -- "$step_log"
	exit "$rc"
}

# Children of step_run() are in a process group of their own, so that all of
# them end, whether the signal came from the terminal or to this process alone.
step_interrupted() {
	local code=$1

	trap '' INT TERM
	if [[ -n $step_child ]]; then
		kill -TERM -- "$step_child" 2>/dev/null || :	# it may have just ended
		# Wait for all of the group, each of which holds the log.
		[[ $step_child == [0-9]* ]] || flock -w 20 "$step_log" true ||
			kill -KILL -- "$step_child" 2>/dev/null || :
		wait 2>/dev/null || :
		[[ ! -t 2 ]] || printf '\r\033[K' >&2
	fi
	# A script of ours has said so itself.
	[[ $step_child == [0-9]* ]] || say "interrupted"
	exit "$code"
}

step_init() {
	trap step_cleanup EXIT
	trap 'step_interrupted 130' INT
	trap 'step_interrupted 143' TERM
}

# step_open_log DIR: from now on, step_run() appends to a log in DIR.
step_open_log() {
	local dir=$1

	{ mkdir -p -- "$dir" && : >"$dir/$step_name-$$.log"; } 2>/dev/null ||
		die 3 "cannot write to $dir$(step_why "$dir"); XDG_CACHE_HOME can name another folder"
	step_log=$dir/$step_name-$$.log
	find "$dir" -name '*.log' -mtime +30 -delete
}

# step_why DIR: why writing to DIR fails, as far as it can be told.
step_why() {
	local dir=$1 probe

	while [[ ! -e $dir && $dir == */* ]]; do
		dir=${dir%/*}
	done
	dir=${dir:-/}
	if [[ ! -d $dir ]]; then
		printf ' (%s is no folder)' "$dir"
	elif probe=$(mktemp -p "$dir" .probe.XXXXXX 2>&1); then
		head -c 65536 /dev/zero 2>/dev/null >"$probe" || printf ' (the disk is full)'
		rm -f -- "$probe"
	else
		case $probe in
		*"Read-only"*)	printf ' (read-only file system)' ;;
		*"No space"*)	printf ' (the disk is full)' ;;
		*"denied"*)	printf ' (permission denied)' ;;
		esac
	fi
}

# Behind a colon, the first error that a command has told; nothing if it has told none.
step_error() {
	local why

	why=$(grep -m 1 -E 'error:|undefined reference|FAILED|\*\*\* ' "$step_log") || return 0
	printf ': %s' "$why"
}

# Copy a command's output to the log; on a terminal show the last line of it and
# the time it has taken so far.  A full disk must not end the command through
# its log.
step_filter() {
	local what=$1 line shown start=$SECONDS columns=80

	[[ ! -t 2 ]] || columns=$(tput cols 2>/dev/null || echo 80)
	while IFS= read -r line || [[ -n $line ]]; do
		if [[ $line == dlstatus:* ]]; then
			line=${line#dlstatus:*:}
			shown="${line%%.*} %"
		else
			printf '%s\n' "$line" 2>/dev/null >>"$step_log" || :
			shown=${line//[![:print:]]/ }
		fi
		[[ -t 2 ]] || continue
		shown="$what, $((SECONDS - start)) s: $shown"
		printf '\r\033[K%.*s' "$((columns - 1))" "$step_name: $shown" >&2
	done
	[[ ! -t 2 ]] || printf '\r\033[K' >&2
}

step_piped() {
	local what=$1 hold

	shift
	set +m
	set -o pipefail
	exec {hold}<"$step_log"
	flock -s "$hold"
	"$@" 2>&1 </dev/null | step_filter "$what"
}

# step_run WHAT COMMAND...: run a long command, say what it is and how long it
# took.  Return: the command's exit status.
step_run() {
	local what=$1 start rc=0

	shift
	say "$what"
	step_now
	start=$REPLY
	set -m
	step_piped "$what" "$@" &
	step_child=-$!
	set +m
	wait "${step_child#-}" || rc=$?
	step_child=
	step_now
	printf -v REPLY '%d.%d' "$(( (REPLY - start) / 1000 ))" "$(( (REPLY - start) % 1000 / 100 ))"
	(( rc )) || say "$what: done in $REPLY s"
	return "$rc"
}

# step_call COMMAND...: run another script of ours, which says what it does
# itself.  Its one line of output goes to REPLY.  Return: its exit status.
step_call() {
	local fd rc=0

	exec {fd}<> <(:)
	"$@" >&"$fd" </dev/null &
	step_child=$!
	wait "$step_child" || rc=$?
	step_child=
	REPLY=
	# Not every script prints a line.
	! read -r -t 0 -u "$fd" || IFS= read -r -u "$fd" REPLY
	exec {fd}>&-
	return "$rc"
}

# Whether the last step failed, as LOG tells, for want of a network.
step_offline() {
	grep -qE 'Temporary failure resolving|Could not resolve|Could not connect|Unable to connect|Cannot initiate the connection|Network is unreachable|No route to host|[Cc]onnection (timed out|failed|refused)' "$1"
}
