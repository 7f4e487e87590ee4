#!/bin/bash
# Stands in for a test binary: speaks the runner's protocol, and does what the
# last part of the case's address says.  runner.bats copies it.

set -u

say() {	# VERDICT REASON [CHECKS]
	printf '{"case":"%s","verdict":"%s","reason":"%s","ms":1,"settle_ms":7,"checks":%s,"seed":"%s"}\n' \
		"$address" "$1" "$2" "${3-1}" "$SEPT_SEED" >&"$SEPT_VERDICT_FD"
}

raw() {
	printf '%s\n' "$1" >&"$SEPT_VERDICT_FD"
}

note() {	# what a test looks at later
	printf '%s\n' "$*" >>"$FAKE_NOTES"
}

found() {	# WHERE INVARIANT TEXT
	printf '{"case":"%s","seed":"%s","where":"%s","invariant":"%s","text":"%s"}\n' \
		"$address" "$SEPT_SEED" "$1" "$2" "$3" >>"$SEPT_RESULTS/findings.jsonl"
}

# change: as lib/host.c would do it, and then not put back
change() {
	printf '{"op":"set","path":"%s","boot":"%s","pid":%d,"was":"before","now":"changed"}\n' \
		"$FAKE_SETTING" "$(</proc/sys/kernel/random/boot_id)" $$ >>"$SEPT_STATE/host-journal"
	echo changed >"$FAKE_SETTING"
}

run_case() {
	case ${address##*.} in
	pass*)		say PASS '' ;;
	fail*)		echo '#   page 3 refs 2, want 0' >&2
			say FAIL 'one page is still held'
			return 1 ;;
	skip | skip_2)	say SKIP 'there is no TDX here' ;;
	error*)		say ERROR 'could not look'
			return 1 ;;
	silent)		return 7 ;;
	crash)		kill -SEGV $$ ;;
	crash_late)	say PASS ''
			kill -SEGV $$ ;;
	exit_late)	say PASS ''
			return 1 ;;
	skip_exit_4)	say SKIP 'there is no TDX here'
			return 4 ;;
	garbage)	raw PASS ;;
	garbage_half)	raw "{\"case\":\"$address\",\"verdict\":\"PASS\"" ;;
	garbage_twice)	say PASS ''
			say PASS '' ;;
	garbage_word)	say GREEN '' ;;
	garbage_known)	say KNOWN 'as the case thinks' ;;
	garbage_reason)	say FAIL '' ;;
	garbage_checks)	say PASS '' 0 ;;
	garbage_minus)	say PASS '' -1 ;;
	garbage_other)	address=another.case
			say PASS '' ;;
	garbage_seed)	SEPT_SEED=0x1
			say PASS '' ;;
	garbage_field)	raw "{\"case\":\"$address\",\"verdict\":\"PASS\",\"reason\":\"\"}" ;;
	hang)		trap '' TERM
			note "pid $$"
			while :; do sleep 1; done ;;
	wait)		note "pid $$"
			change
			sleep 1000 ;;
	daemon)		setsid "$0" --daemon >/dev/null 2>&1 &
			while ! grep -q pid "$FAKE_NOTES" 2>/dev/null; do sleep 0.01; done
			say PASS '' ;;
	change)		change
			say PASS '' ;;
	looks)		note "sees $(<"$FAKE_SETTING")"
			say PASS '' ;;
	slow*)		note "begin $address"
			sleep 0.3
			note "end $address"
			say PASS '' ;;
	meet*)		note "begin $address"
			for ((i = 0; i < 1000; i++)); do
				[[ $(grep -c "^begin ${address%_*}_" "$FAKE_NOTES") == 2 ]] && break
				sleep 0.01
			done
			note "end $address"
			((i < 1000)) || { say FAIL 'nobody came'; return 1; }
			say PASS '' ;;
	rounds)		note "rounds ${SEPT_ROUNDS-own}"
			say PASS '' ;;
	pin*)		note "pin $SEPT_EXPECT_PIN"
			[[ $SEPT_EXPECT_PIN != 1 ]] || { say FAIL 'pinned'; return 1; }
			say PASS '' ;;
	third_fails)	note round
			(( $(grep -c round "$FAKE_NOTES") < 3 )) || { say FAIL third; return 1; }
			say PASS '' ;;
	kmsg)		echo '6,1,5000000,-;the kernel says hello' >>"$SEPT_KMSG"
			say PASS '' ;;
	dirty)		printf 'bell \a and \033[2J and no newline'
			say FAIL 'esc \u001b[2J in the reason'
			return 1 ;;
	flood)		head -c 6000000 /dev/zero | tr '\0' 'x'
			say PASS '' ;;
	spout)		exec yes ;;
	fill)		head -c 100M /dev/zero >"$SEPT_RESULTS/big" 2>/dev/null
			say PASS '' ;;
	finds_three*)	found x.c:1 freed 'one page is still held'
			found 'kernel log' kmsg 'WARN in the kernel log: hello'
			found sanitizer leak 'TD 1 has a page'
			say FAIL 'x.c:1: one page is still held'
			return 1 ;;
	finding)	printf '{"case":"%s","invariant":"freed","text":"1 page still\\u0007 held","where":"x.c:1","step":0,"seed":"%s","first":0,"nr":1,"nr_bad":0,"waited_ms":2000,"pages":[]}\n' \
				"$address" "$SEPT_SEED" >>"$SEPT_RESULTS/findings.jsonl"
			say FAIL '1 page still held'
			return 1 ;;
	esac
}

case ${1-} in
--list)
	cat "$0.list" ;;
--daemon)
	trap '' TERM HUP
	note "pid $$"
	sleep 1000
	note "the daemon ended by itself" ;;
-r)
	address=$2
	printf 'TAP version 13\n1..1\n# Starting 1 tests from 1 test cases.\n'
	printf '#  RUN           %s ...\n' "$address"
	echo "seed $SEPT_SEED"
	run_case || exit
	printf '#            OK  %s\nok 1 %s\n' "$address" "$address"
	printf '# PASSED: 1 / 1 tests passed.\n# Totals: pass:1 fail:0\n' ;;
esac
