#!/usr/bin/env bats
# package.sh: that what it prints is what the configuration pins, and nothing else.

load setup
load archive
root=${root:?}

setup() {
	export XDG_CACHE_HOME=$BATS_TEST_TMPDIR/cache
	cache=$XDG_CACHE_HOME/tdx-sept-tests
	archive=$BATS_TEST_TMPDIR/archive
	pins=$BATS_TEST_TMPDIR/pins
	mkdir -p "$archive/pool"
	make_package tool 1:2.0-1
	make_package library 0.9-3
	make_source
	apt_uses_archive "[trusted=yes] "
	{
		printf 'suites = older newer\n[tool]\nversion = 1:2.0-1\nsha256 = %s\n' "$(sha256 "$archive/tool.deb")"
		printf '[library]\nversion = 0.9-3\nsha256 = %s\n' "$(sha256 "$archive/library.deb")"
		printf '[origin]\nversion = 3.0-1\nfile = origin_3.0.tar\nsha256 = %s\n' \
			"$(sha256 "$archive/pool/origin_3.0.tar")"
	} >"$pins"
}

make_package() {
	local tree=$BATS_TEST_TMPDIR/deb.$1

	mkdir -p "$tree/DEBIAN"
	printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: x\nDescription: x\n' "$1" "$2" \
		>"$tree/DEBIAN/control"
	dpkg-deb -Zxz -z0 --root-owner-group -b "$tree" "$archive/$1.deb" >/dev/null
	archive_deb "$archive/$1.deb" "$tree/DEBIAN/control"
}

# A source package of which the archive has lost the description, but not the source.
make_source() {
	local file=$archive/pool/origin_3.0.tar version

	mkdir -p "$archive/dists/newer/main/source"
	echo source >"$file"
	for version in 2.9-1 3.0-1; do
		printf 'Package: origin\nFormat: 3.0 (quilt)\nVersion: %s\nDirectory: pool\n' "$version"
		printf 'Files:\n 0 7 origin_3.0.tar\nChecksums-Sha256:\n %064d 9 origin_%s.dsc\n' 7 "$version"
		printf ' %s 7 origin_3.0.tar\n\n' "$(sha256 "$file")"
	done >"$archive/dists/newer/main/source/Sources"
	archive_release
}

package() {
	"$root/scripts/package.sh" "$pins"
}

# Sets folder; what went to stderr is in the file of that name.
get_folder() {
	folder=$(package 2>"$BATS_TEST_TMPDIR/stderr") || {
		cat "$BATS_TEST_TMPDIR/stderr"
		return 1
	}
}

@test "binary packages and a file of a source package, once" {
	get_folder
	[ "$(cd "$folder" && echo *)" = "library.deb origin_3.0.tar tool.deb" ]
	cmp "$folder/tool.deb" "$archive/tool.deb"
	cmp "$folder/origin_3.0.tar" "$archive/pool/origin_3.0.tar"
	[ "$(grep -c 'download 2 packages.*: done' "$BATS_TEST_TMPDIR/stderr")" -eq 1 ]
	rm -r "$archive"
	first=$folder
	get_folder
	[[ $folder == "$first" && ! -s $BATS_TEST_TMPDIR/stderr ]]
	[ -z "$(find "$cache" -name '*.log' -o -name '.tmp.*')" ]
}

@test "what other pins have fetched is not fetched again; what is damaged is" {
	get_folder
	rm -r "$folder"
	mv "$archive" "$archive.gone"
	get_folder
	mv "$archive.gone" "$archive"
	rm -r "$folder"
	echo >>"$(find "$cache/download" -name '*.source')"
	get_folder
	grep -q 'is damaged; fetch it again' "$BATS_TEST_TMPDIR/stderr"
	cmp "$folder/origin_3.0.tar" "$archive/pool/origin_3.0.tar"
}

@test "a pinned hash that the archive does not have is refused" {
	sed -i 's/^sha256 = ./sha256 = /; s/^sha256 = .*/&a/' "$pins"
	run package
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == *"has the SHA-256 "*"expects "*"do not trust either"* ]]
	[ -z "$(find "$cache/package" -name '[0-9a-f]*')" ]
}

@test "a source whose hash is another than its index says is refused" {
	echo sourcE >"$archive/pool/origin_3.0.tar"
	run package
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == *"cannot download origin_3.0.tar of origin 3.0-1"* ]]
	[ -z "$(find "$cache/package" -name '[0-9a-f]*')" ]
}

@test "a version that the archive does not have" {
	sed -i 's/^version = 0.9-3/version = 0.9-4/' "$pins"
	run package
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == *"the archive has no library 0.9-4 in older newer; pin in $pins what it has"* ]]
}

@test "the newest of what the archive has, and then what the cache has" {
	sed -i '/^\[library\]/,/^sha256/{s/^version.*/version = newest/; /^sha256/d}' "$pins"
	make_package library 0.10-1
	get_folder
	cmp "$folder/library.deb" "$archive/library.deb"
	[ "$(dpkg-deb -f "$folder/library.deb" Version)" = 0.10-1 ]
	first=$folder
	make_package library 0.11-1
	get_folder
	[ "$folder" = "$first" ]
}

@test "the newest has no hash that anybody could know before" {
	sed -i 's/^version = 0.9-3/version = newest/' "$pins"
	run package
	echo "$output"
	[[ $status -eq 2 && ${lines[-1]} == *"$pins:"*"the newest library can have neither sha256 nor file" ]]
}

@test "no network: one sentence, and the log" {
	apt_uses_archive "[trusted=yes] " "http://127.0.0.1:9/"
	run package
	echo "$output"
	[[ $status -eq 3 && ${lines[-1]} == *"its archive cannot be reached; connect this machine to it once (log: "* ]]
}

@test "pins that are none" {
	fails_with 2 "want one argument" "$root/scripts/package.sh"
	fails_with 2 "want one argument" "$root/scripts/package.sh" /nonexistent
	echo 'suites = newer' >"$pins"
	fails_with 2 "pins no package" package
	printf '[x]\nversion = 1\n' >>"$pins"
	fails_with 2 "lacks the key 'sha256' of [x]" package
}

@test "our own pins are well-formed" {
	for pins in "$root"/configs/{bochs-source,pahole,kernel/linux-*}; do
		sed 's/^suites = .*/suites = nowhere/' "$pins" >"$BATS_TEST_TMPDIR/own"
		run "$root/scripts/package.sh" "$BATS_TEST_TMPDIR/own"
		echo "$output"
		[[ $status -eq 3 && ${lines[-1]} == *"the archive has no "* ]]
	done
}
