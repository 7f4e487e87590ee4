#!/usr/bin/env bats
# shellcheck disable=SC2016 # backquotes are Markdown's
#
# scripts/claims.py: tags that hang in the air and claims that nobody tests are told,
# and the table has of each case what became of it in the last run that had it.

bats_require_minimum_version 1.5.0

setup() {
	dir=$BATS_TEST_TMPDIR
	mkdir -p "$dir"/{scripts,configs,tdx_sept_tests,docs}
	cp "$BATS_TEST_DIRNAME"/../scripts/{claims,report}.py "$dir/scripts"
	cat >"$dir/configs/claims.json" <<-'END'
		[
		{"id": "C1", "claim": "Pages stay."},
		{"id": "C2", "claim": "Pages go.", "but": "not far"},
		{"id": "B01", "claim": "Pages came back.", "untested": "needs a wand"}
		]
	END
	cat >"$dir/tdx_sept_tests/stay.c" <<-'END'
		// SPDX-License-Identifier: GPL-2.0-only
		/*
		 * Pages stay.
		 *
		 * Claims: C1
		 */
		TEST_F(stay, here)
		{
		}
		/* Says nothing of claims. */
	END
	cat >"$dir/tdx_sept_tests/go.c" <<-'END'
		// SPDX-License-Identifier: GPL-2.0-only
		/* On top, and no more. */
		#define CALL(what) what();
		#define CASE(name, how)	\
		TEST_F(go, name)		\
		{ how; }

		/*
		 * Claims: C2,
		 * C1
		 */
		TEST_F(go, away)
		{
		}
		TEST_F(go, near)
		/* Claims: C2 */
		CASE(far_away, fly)
		/* Claims: C2 */
		FIXTURE_VARIANT_ADD(go, tdx_slow) {
	END
	claims=$dir/scripts/claims.py
}

# fails TEXT: check finds this, and nothing else.
fails() {
	run -1 "$claims" check
	echo "$output"
	[[ $output == *"$1"* && ${#lines[@]} == 1 ]]
}

# a_run NAME KERNEL FIELDS CASE:VERDICT...: results as far as they matter here; a case
# that is LOST has no end.
a_run() {
	local folder=$dir/results/$1 kernel=$2 fields=$3 n=0 of

	mkdir -p "$folder"
	printf '{"platform": "emulated", "kernel": "%s", "faked": %s, "linux": "source = %s\\nsha256 = 0", "options": {"machine": {%s}}}' \
		"$kernel" "${FAKED-false}" "${SOURCE-linux-source-7.3 7.3.4-1}" "$fields" >"$folder/run.json"
	shift 3
	for of; do
		printf '{"event": "start", "n": %d, "case": "%s", "repeat": 1, "seed": "0x1"}\n' $((++n)) "${of%:*}"
		[[ $of == *:LOST ]] ||
			printf '{"event": "end", "n": %d, "verdict": "%s", "reason": "", "wall_ms": 1}\n' "$n" "${of#*:}"
	done >"$folder/cases.jsonl"
}

@test "what agrees is right" {
	"$claims" table >"$dir/docs/claims.md"
	"$claims" check
	run cat "$dir/docs/claims.md"
	[[ $output == *'| C1 | Pages stay. | `go.*.away`<br>`stay` |'* ]]
	[[ $output == *'| C2 | Pages go.<br>But not far. | `go.*.away`<br>`go.*.far_away`<br>`go.tdx_slow.*` |'* ]]
	[[ $output == *'| B01 | Pages came back. | none: needs a wand |'* ]]
}

@test "a tag that names no claim, or stands above no test" {
	"$claims" table >"$dir/docs/claims.md"
	echo '/* Claims: C3 */' >>"$dir/tdx_sept_tests/go.c"
	fails "go.c:20: this comment with claims stands above no test"
	printf 'CASE(c, d)\n' >>"$dir/tdx_sept_tests/go.c"
	fails "go.c:20: there is no claim C3"
	sed -i 's/C3/C2/; s/^CASE(c/\nCASE(c/' "$dir/tdx_sept_tests/go.c"
	fails "stands above no test"
	sed -i '/^$/{N; s/\nCASE(c, /CALL(c, /}' "$dir/tdx_sept_tests/go.c"
	fails "stands above no test"
}

@test "a claim without a test needs a reason, and one with a test must have none" {
	"$claims" table >"$dir/docs/claims.md"
	sed -i 's/Claims: B01//; s/, "untested": "needs a wand"//' "$dir/configs/claims.json"
	fails "B01 has neither a test nor a reason"
	sed -i 's/Pages stay./&", "untested": "no time/' "$dir/configs/claims.json"
	run -1 "$claims" check
	[[ $output == *"C1 has a test, and a reason"* ]]
}

@test "a table that is out of date" {
	"$claims" table >"$dir/docs/claims.md"
	sed -i 's/far_away, fly/further, fly/' "$dir/tdx_sept_tests/go.c"
	fails "docs/claims.md tells something else of C2: run make claims"
}

@test "rows that are malformed" {
	printf '[\n{"id": "C1"},\n' >"$dir/configs/claims.json"
	fails "claims.json:3: Expecting value"
	printf '[{"id": "C1"}]' >"$dir/configs/claims.json"
	fails "C1: want id, claim"
	printf '[{"id": "C1", "claim": "x", "why": "y"}]' >"$dir/configs/claims.json"
	fails "C1: want id, claim"
	printf '[{"id": "C1", "claim": "x"}, {"id": "C1", "claim": "x"}]' >"$dir/configs/claims.json"
	fails "C1: is there twice"
	printf '[{"id": "X1", "claim": "x"}]' >"$dir/configs/claims.json"
	fails "X1: is there twice, or belongs nowhere"
}

@test "verdicts: the last one of each case, by platform and kernel; of mutants and fakes none" {
	a_run 1 7.3.4 '' stay.tdx.here:FAIL go.tdx.away:PASS go.default.away:SKIP go.tdx_slow.near:PASS go.far_away:SKIP
	a_run 2 7.3.4 '' stay.tdx.here:PASS stayed.tdx.here:FAIL
	a_run 3 7.2.1 '"kernel_patches": ["/x/pin.patch"], "kernel_configs": ["lockdep"]' go.tdx.away:KNOWN go.tdx.near:FAIL
	a_run 4 7.3.4 '"kernel_patches": ["/x/tests/mutants/zap.patch"]' stay.tdx.here:FAIL
	FAKED=true a_run 5 7.3.4 '' stay.tdx.here:ERROR
	run --separate-stderr "$claims" table "$dir"/results/*
	echo "$output"
	[[ $output == *'| | claim | tests | emulated, Linux 7.2.1 + pin (lockdep) | emulated, Linux 7.3.4 |'* ]]
	[[ $output != *zap* ]]
	[[ $output == *'`stay` | 1 KNOWN | 2 PASS, 1 SKIP |'* ]]
	[[ $output == *'`go.tdx_slow.*` | 1 KNOWN | 2 PASS, 2 SKIP |'* ]]
	[[ $output == *'needs a wand | – | – |'* ]]
	run --separate-stderr "$claims" table "$dir/results/1"
	[[ $output == *'`stay` | 1 **FAIL**, 1 PASS, 1 SKIP |'* ]]
	run -3 "$claims" table "$dir/results/none"
	[[ $output == *"cannot read"* ]]
}

@test "verdicts: of a case that a run had again and again, or did not see the end of, the worst" {
	a_run 1 7.3.4 '' stay.tdx.here:PASS stay.tdx.here:FAIL stay.tdx.here:PASS go.tdx.away:PASS
	run --separate-stderr "$claims" table "$dir/results/1"
	[[ $output == *'`stay` | 1 **FAIL**, 1 PASS |'* ]]
	a_run 2 7.3.4 '' stay.tdx.here:PASS stay.tdx.here:LOST
	run --separate-stderr "$claims" table "$dir"/results/*
	[[ $output == *'`stay` | 1 **ERROR**, 1 PASS |'* ]]
}

@test "verdicts: of cases that are no more there is none" {
	a_run 1 7.3.4 '' stay.tdx.was:FAIL stay.tdx.here:PASS
	run --separate-stderr "$claims" table "$dir/results/1"
	[[ $output == *'`stay` | 1 PASS |'* ]]
}

@test "verdicts: a kernel of one's own is not the pinned one of the same release" {
	a_run 1 7.3.4 '' stay.tdx.here:FAIL
	SOURCE=/src/linux a_run 2 7.3.4 '"cpus": 2' stay.tdx.here:PASS
	SOURCE=/src/linux a_run 3 7.3.4 '"kernel_source": "/pins"' go.tdx.away:PASS
	run --separate-stderr "$claims" table "$dir"/results/*
	echo "$output"
	[[ $output == *'| emulated, Linux 7.3.4 | emulated, Linux 7.3.4 of /src/linux |'* ]]
	[[ $output == *'`stay` | 1 **FAIL**, 1 PASS | 1 PASS |'* ]]
}

@test "verdicts: those that the table has stay when there are no runs" {
	a_run 1 7.3.4 '' stay.tdx.here:FAIL go.tdx.away:PASS
	"$claims" table "$dir/results/1" >"$dir/docs/claims.md"
	sed -i 's/far_away, fly/further, fly/' "$dir/tdx_sept_tests/go.c"
	sed -i 's/^\[/&{"id": "C3", "claim": "Pages rest.", "untested": "no bed"},/' "$dir/configs/claims.json"
	"$claims" table >"$dir/docs/claims.md.new"
	mv "$dir"/docs/claims.md{.new,}
	"$claims" check
	run cat "$dir/docs/claims.md"
	echo "$output"
	[[ $output == *'| | claim | tests | emulated, Linux 7.3.4 |'* ]]
	[[ $output == *'`stay` | 1 **FAIL**, 1 PASS |'* ]]
	[[ $output == *'`go.*.further`<br>`go.tdx_slow.*` | 1 PASS |'* ]]
	[[ $output == *'none: no bed | – |'* ]]
}

@test "in short: how many claims are green, known, red or not run" {
	a_run 1 7.3.4 '' stay.tdx.here:FAIL stay.sw_protected.here:KNOWN
	run "$claims" short "$dir"/results/*
	echo "$output"
	[[ $output == '| on emulated, Linux 7.3.4 | all | green |'* ]]
	[[ $output == *'what must hold](docs/claims.md) | 2 | 0 | 0 | 1 | 0 | 1 | 0 |'* ]]
	[[ $output == *'what went wrong before](docs/claims.md) | 1 | 0 | 0 | 0 | 0 | 0 | 1 |'* ]]
	a_run 2 7.3.4 '' go.tdx.away:KNOWN
	run "$claims" short "$dir"/results/2
	[[ $output == *'what must hold](docs/claims.md) | 2 | 0 | 2 | 0 | 0 | 0 | 0 |'* ]]
}

@test "a part of a document is replaced, and one that is not there is an error" {
	printf '%s\n' before '<!-- x: made by us -->' old '<!-- end of x -->' after >"$dir/doc"
	echo new | "$BATS_TEST_DIRNAME/../scripts/block.py" "$dir/doc" x
	[ "$(<"$dir/doc")" = "$(printf '%s\n' before '<!-- x: made by us -->' new '<!-- end of x -->' after)" ]
	run -3 "$BATS_TEST_DIRNAME/../scripts/block.py" "$dir/doc" y </dev/null
	[[ $output == *'0 parts y'* ]]
	# Who was to write it has failed.
	run -3 "$BATS_TEST_DIRNAME/../scripts/block.py" "$dir/doc" x </dev/null
	[[ $output == *'nothing to put'* && $(<"$dir/doc") == *new* ]]
}
