# Loaded by the tests of what comes from archives: a folder stands in for one, so that
# no test needs a network.
#
# shellcheck disable=SC2154 # $archive is the caller's, as is $BATS_TEST_TMPDIR

# archive_deb DEB CONTROL: put it into the archive, where its index has CONTROL.
archive_deb() {
	local lists=$archive/dists/newer/main/binary-amd64

	mkdir -p "$lists"
	{
		cat "$2"
		printf 'Filename: %s\nSize: %s\nSHA256: %s\n\n' "${1##*/}" "$(stat -c %s "$1")" "$(sha256 "$1")"
	} >>"$lists/Packages"
	archive_release
}

sha256() {
	sha256sum <"$1" | cut -d ' ' -f 1
}

archive_release() {
	(
		cd "$archive/dists/newer" || return
		printf 'Codename: newer\nSHA256:\n'
		for index in main/*/{Packages,Sources}; do
			[[ ! -f $index ]] ||
				printf ' %s %s %s\n' "$(sha256 "$index")" "$(stat -c %s "$index")" "$index"
		done
	) >"$archive/dists/newer/Release"
}

# apt_uses_archive OPTIONS [URI]: what the system's configuration would say, of
# a release that itself has nothing.
apt_uses_archive() {
	mkdir -p "$BATS_TEST_TMPDIR/sources"
	rm -f "$BATS_TEST_TMPDIR"/sources/*
	printf 'deb-src [x=y] copy:/elsewhere older main\n# deb copy:/nowhere older main\n  deb %s%s older main\n' \
		"$1" "${2:-copy:$archive}" >"$BATS_TEST_TMPDIR/sources/system.list"
	cat >"$BATS_TEST_TMPDIR/apt.conf" <<-END
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$BATS_TEST_TMPDIR/sources";
		APT::Architecture "amd64";
		Acquire::Retries "0";
	END
	export APT_CONFIG=$BATS_TEST_TMPDIR/apt.conf
}
