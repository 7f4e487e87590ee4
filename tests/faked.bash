# Loaded by the tests of faked readings (SEPT_FAKE_REFS=1): what may stay green then.

# verdicts DIR VERDICT: addresses of the cases of the last run in DIR that ended so.
verdicts() {
	python3 - "$1" "$2" <<-'PY'
		import json, pathlib, sys
		for line in open(pathlib.Path(sys.argv[1]) / "latest" / "cases.jsonl"):
		    case = json.loads(line)
		    if case.get("event") == "end" and case["verdict"] == sys.argv[2]:
		        print(case["case"])
	PY
}

# unexpected: of the addresses on stdin, those that tests/faked.green does not list.
unexpected() {
	local address glob listed

	while read -r address; do
		listed=
		while read -r glob _; do
			# shellcheck disable=SC2053 # a glob is meant to be one
			[[ $glob == \#* || $address != $glob ]] || listed=1
		done <"${root:?}/tests/faked.green"
		[[ -n $listed ]] || printf '%s\n' "$address"
	done
}
