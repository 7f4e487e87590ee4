#!/usr/bin/env bats
# deps.sh: what it installs, and what it says where it cannot.
# shellcheck disable=SC2016 # what stand-ins are made of is for them to expand

load setup
root=${root:?}

# PATH has just what deps.sh and the stand-ins call; each stand-in writes its
# arguments to $calls.
setup() {
	local tool

	bin=$BATS_TEST_TMPDIR/bin
	export calls=$BATS_TEST_TMPDIR/calls
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
	mkdir -p "$bin"
	: >"$calls"
	for tool in bash cat env find flock grep head mkdir mktemp rm sed sort stat touch; do
		ln -s "$(command -v "$tool")" "$bin/$tool"
	done
}

# stub NAME: a stand-in, whose script comes on stdin.
stub() {
	{ printf '#!/bin/bash\necho "%s $*" >>"%s"\n' "$1" "$calls"; cat; } >"$bin/$1"
	chmod +x "$bin/$1"
}

# All is installed but what is named.
stub_dpkg() {
	stub dpkg-query <<-END
		for name; do
			[[ \$name != -* && \$name != *' '* && " $* " != *" \$name "* ]] &&
				echo "installed \$name"
		done
		exit 1
	END
}

deps() {
	env PATH="$bin" "$root/scripts/deps.sh" "$@"
}

installs() {
	grep -c "^apt-get .*install" "$calls"
}

@test "nothing is missing: no apt-get, no word, no cache" {
	stub_dpkg
	stub apt-get <<<'exit 1'
	run deps
	[[ $status -eq 0 && -z $output && ! -e $XDG_CACHE_HOME ]]
	run deps --check
	[[ $status -eq 0 && -z $output ]]
	[ "$(grep -c apt-get "$calls")" -eq 0 ]
}

@test "what is missing is installed, and only that" {
	stub_dpkg clang perl bats
	stub apt-get <<<'echo unpacking'
	run deps
	[[ $status -eq 0 && $output == *"install clang perl: done in"* ]]
	[ "$(installs)" -eq 1 ]
	grep -q -- '-- clang perl$' "$calls"
	[ -z "$(find "$XDG_CACHE_HOME" -name '*.log')" ]
}

@test "what only make check needs is installed for it alone" {
	stub_dpkg bats
	stub apt-get <<<''
	run deps
	[ "$(installs)" -eq 0 ]
	run deps --check
	grep -q -- '-- bats$' "$calls"
}

@test "a package that was removed but left its configuration is missing" {
	stub dpkg-query <<<'for name; do echo "config-files $name"; done'
	stub apt-get <<<''
	run deps
	[ "$(installs)" -eq 1 ]
}

@test "stale lists: update once, and try again" {
	stub_dpkg clang
	stub apt-get <<-'END'
		[[ "$*" != *update* ]] || touch "$calls.updated"
		[[ -e $calls.updated ]] || { echo "E: Unable to locate package clang"; exit 100; }
	END
	run deps
	[ "$status" -eq 0 ]
	[ "$(sed -n 's/^apt-get .*\(install\|update\).*/\1/p' "$calls" | paste -sd ' ')" = "install update install" ]
}

@test "no network: one sentence, and the log" {
	stub_dpkg clang
	stub apt-get <<<'echo "Temporary failure resolving the archive"; exit 100'
	run deps
	echo "$output"
	[ "$status" -eq 3 ]
	[[ ${lines[-1]} == "deps: packages are missing (clang) and their archive cannot be reached; "*"(log: "*.log")" ]]
	log=${lines[-1]##*log: }
	grep -q 'Temporary failure' "${log%)}"
}

@test "apt-get fails: the log is named; an interrupted dpkg is told" {
	stub_dpkg clang
	stub apt-get <<<'exit 100'
	run deps
	[[ $status -eq 3 && ${lines[-1]} == "deps: apt-get cannot install clang; see "*.log ]]
	stub apt-get <<<'echo "E: dpkg was interrupted, you must manually run"; exit 100'
	run deps
	[[ $status -eq 3 && ${lines[-1]} == *"run 'dpkg --configure -a'"* ]]
}

@test "not root: the exact command" {
	stub_dpkg clang perl
	stub apt-get <<<''
	ln -s "$(command -v setpriv)" "$bin/"
	public=$(public_scripts)
	chmod a+w "$calls"
	PATH=$bin:$PATH fails_with 3 "as root, run: apt-get update && apt-get install clang perl" \
		as_nobody "$public/scripts/deps.sh"
	[ "$(grep -c ^apt-get "$calls")" -eq 0 ]
}

@test "--no-install: the names" {
	stub_dpkg clang
	stub apt-get <<<''
	fails_with 3 "packages are missing, and --no-install forbids to install them: clang" deps --no-install
	[ "$(grep -c ^apt-get "$calls")" -eq 0 ]
}

@test "dnf, but no apt-get: its names, and nothing is done" {
	stub dnf <<<''
	stub rpm <<<'for name; do [[ $name == [-%]* || $name == ShellCheck || $name == glibc-static ]] || echo "$name"; done'
	fails_with 3 "install them with: dnf install glibc-static" deps
	fails_with 3 "install them with: dnf install glibc-static ShellCheck" deps --check
	[ "$(grep -c ^dnf "$calls")" -eq 0 ]
	stub rpm <<<'printf "%s\n" "$@"'
	run deps
	[ "$status" -eq 0 ]
}

@test "neither apt-get nor dnf" {
	fails_with 3 "found neither apt-get nor dnf; install what $root/configs/packages names" deps
	run deps --no-install
	[ "$status" -eq 0 ]
}

@test "an unknown argument" {
	fails_with 2 "unknown argument 'now'" deps now
}
