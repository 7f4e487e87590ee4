#!/bin/bash
# Sourced: files from the archives that the system's own apt trusts, of suites
# that the system itself need not use.
#
# The caller has a working folder, $tmp, and has opened the cache.  What was
# fetched is in download/ of the cache, by its SHA-256.
#
# shellcheck disable=SC2154 # $tmp is the caller's

# shellcheck source=scripts/cache.sh
. "${BASH_SOURCE[0]%/*}/cache.sh"

# archive_open WHAT [HINT]: get ready to look for WHAT; HINT is what else could be
# done if that is not possible.
archive_open() {
	archive_what=$1 archive_hint=${2-}
	command -v apt-get >/dev/null ||
		die 3 "there is no apt here to fetch $1 with${archive_hint:+; $archive_hint}"
	mapfile -t archives < <(system_archives 2>>"$step_log")
	(( ${#archives[@]} )) ||
		die 3 "apt has no archive configured to fetch $1 from${archive_hint:+; $archive_hint}"
	apt_private
}

# archive_look SUITE [deb|deb-src]: fetch the index of SUITE, of its binary or
# source packages.
archive_look() {
	step_run "look for $archive_what in $1" fetch_lists "$@" ||
		die 3 "cannot fetch the index of $1$(step_why "$tmp"); see $step_log"
}

# archive_missing WORDS...: nothing was found, and this says why.
archive_missing() {
	if step_offline "$step_log"; then
		die 3 "cannot fetch $archive_what: its archive cannot be reached; connect this machine to it once${archive_hint:+, or $archive_hint} (log: $step_log)"
	fi
	die 3 "$*${archive_hint:+; $archive_hint} (log: $step_log)"
}

# A configuration of apt that knows $tmp/apt/sources alone, and the system's
# signatures, proxy and passwords, since the system's own is read before it.
apt_private() {
	mkdir -p "$tmp"/apt/{state/lists/partial,cache/archives/partial,sources}
	cat >"$tmp/apt/conf" <<-END
		#clear APT::Update::Pre-Invoke;
		#clear APT::Update::Post-Invoke;
		#clear APT::Update::Post-Invoke-Success;
		Acquire::Languages "none";
		Dir::Cache "$tmp/apt/cache";
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$tmp/apt/sources";
		Dir::State "$tmp/apt/state";
		Dir::State::status "/dev/null";
	END
}

# The archives the system uses, as "file|suite|address", the distribution's own
# release first: a third party seldom has a suite of that very name.
system_archives() {
	local codename

	codename=$(sed -n 's/^VERSION_CODENAME="\{0,1\}\([^"]*\).*/\1/p' /etc/os-release)
	# With release info it would pass over what "apt-get update" has not fetched yet.
	# shellcheck disable=SC2016 # apt's variables, not the shell's
	apt-get indextargets --no-release-info \
		--format '$(COMPONENT)|$(SOURCESENTRY)|$(RELEASE)|$(REPO_URI)' \
		'Created-By: Packages' |
		sed -n 's/^main|\([^|]*\):[0-9]*|/\1|/p' |
		awk -F '|' -v codename="$codename" '
			seen[$0]++ { next }
			$2 == codename { print; next }
			{ rest[n++] = $0 }
			END { for (i = 0; i < n; i++) print rest[i] }'
}

# archive_entry FILE SUITE URI NEW TYPE: the entry of sources FILE that has SUITE
# at URI, but with the suite NEW, and for packages of TYPE.
archive_entry() {
	local target=Packages awk_common='
		function bare(uri) { gsub(/:\/+/, ":/", uri); sub(/\/+$/, "", uri); return uri }
		BEGIN { uri = bare(uri) }'

	[[ $5 == deb ]] || target=Sources
	case $1 in
	*.sources)
		awk -v uri="$3" -v suite="$2" -v new="$4" -v type="$5" -v target="$target" -v RS= "$awk_common"'
		{
			n = split($0, line, "\n")
			kept = ""; at = ""; has_suite = 0
			for (i = 1; i <= n; i++) {
				if (line[i] ~ /^#/)
					continue
				if (line[i] !~ /^[ \t]/)
					field = tolower(substr(line[i], 1, index(line[i], ":") - 1))
				value = line[i]
				sub(/^[^: \t]*:/, "", value)
				m = split(value, word, /[ \t]+/)
				for (j = 1; j <= m; j++) {
					if (field == "uris" && bare(word[j]) == uri)
						at = word[j]
					has_suite += field == "suites" && word[j] == suite
				}
				if (field !~ /^(types|uris|suites|components|enabled|targets)$/)
					kept = kept line[i] "\n"
			}
			if (at != "" && has_suite) {
				printf "Types: %s\nURIs: %s\nSuites: %s\nComponents: main\nTargets: %s\n%s\n", type, at, new, target, kept
				exit
			}
		}' "$1" ;;
	*)
		awk -v uri="$3" -v suite="$2" -v new="$4" -v type="$5" -v target="$target" "$awk_common"'
		$1 == "deb" {
			options = ""
			rest = $0
			sub(/^[ \t]*deb[ \t]+/, "", rest)
			if (match(rest, /^\[[^]]*\][ \t]+/)) {
				options = substr(rest, 2, RLENGTH)
				sub(/\].*/, "", options)
				rest = substr(rest, RLENGTH + 1)
			}
			split(rest, word, /[ \t]+/)
			if (bare(word[1]) == uri && word[2] == suite) {
				printf "%s [%s target=%s] %s %s main\n", type, options, target, word[1], new
				exit
			}
		}' "$1" ;;
	esac
}

# fetch_lists SUITE [deb|deb-src]: of those archives that have it.
fetch_lists() {
	local suite=$1 type=${2-deb} archive file release uri text entry
	local -A tried=()

	for archive in "${archives[@]}"; do
		IFS='|' read -r file release uri <<<"$archive"
		text=$(archive_entry "$file" "$release" "$uri" "$suite" "$type")
		[[ -n $text && ! -v tried[$text] ]] || continue	# two releases of one archive
		tried[$text]=1
		entry=$tmp/apt/sources/$type.$suite.${#tried[@]}.${file##*.}
		printf '%s\n' "$text" >"$entry"
		apt-get -c "$tmp/apt/conf" -o APT::Status-Fd=1 update ||
			rm -f "$entry"	# or it would be in the way of the others
	done
}

# archive_packages NAME...: what is known of these binary packages, as "package
# version sha256 bytes", the newest last.
archive_packages() {
	# It fails if it knows nothing of a name, which is an answer too.
	{ apt-cache -c "$tmp/apt/conf" show "$@" 2>/dev/null || :; } |
		awk -v RS= '{
			split("", v)
			n = split($0, line, "\n")
			for (i = 1; i <= n; i++)
				if (split(line[i], pair, ": ") == 2)
					v[pair[1]] = pair[2]
			if (v["SHA256"] != "")
				print v["Package"], v["Version"], v["SHA256"], v["Size"]
		}' | sort -u -k 2V
}

# archive_source NAME VERSION FILE: where FILE of that source package is, as
# "address sha256 bytes".  It need not be complete: other files may be missing.
archive_source() {
	local name=$1 version=$2 file=$3 uri index

	# shellcheck disable=SC2016 # apt's variables, not the shell's
	apt-get -c "$tmp/apt/conf" indextargets --format '$(REPO_URI)|$(FILENAME)' \
		'Created-By: Sources' |
	while IFS='|' read -r uri index; do
		/usr/lib/apt/apt-helper cat-file "$index" |
			awk -v name="$name" -v version="$version" -v file="$file" -v uri="$uri" -v RS= '{
				split("", v)
				n = split($0, line, "\n")
				field = ""
				for (i = 1; i <= n; i++) {
					if (line[i] !~ /^[ \t]/) {
						field = substr(line[i], 1, index(line[i], ":") - 1)
						v[field] = substr(line[i], length(field) + 3)
					} else if (field == "Checksums-Sha256" &&
						   split(line[i], word, " ") == 3 && word[3] == file) {
						sum = word[1] " " word[2]
					}
				}
				if (v["Package"] == name && v["Version"] == version && sum != "") {
					sub(/\/+$/, "", uri)
					print uri "/" v["Directory"] "/" file, sum
				}
				sum = ""
			}'
	done | head -n 1
}

# file_whole FILE SHA256
file_whole() {
	[[ -f $1 && $(sha256sum <"$1") == "$2  -" ]]
}

# archive_keep FILE SHA256 WHAT SUFFIX: FILE, just downloaded, belongs into the cache.
archive_keep() {
	file_whole "$1" "$2" ||
		die 3 "what was downloaded as $3 is not what the archive's index says; see $step_log"
	sync -f "$1"
	mv -T -- "$1" "$cache_dir/download/$2.$4"
	cache_prune "$cache_dir/download" "*.$4" 24
}

# fetch_packages "PACKAGE VERSION SHA256 BYTES"...
fetch_packages() {
	local line package version sha256 bytes total=0 what=
	local -a names=()

	for line; do
		read -r package version sha256 bytes <<<"$line"
		names+=("$package=$version")
		what+=" $package $version,"
		total=$((total + bytes))
	done
	(( $# == 1 )) || what=" $# packages,"
	what=${what# }
	mkdir -p "$cache_dir/download" "$tmp/deb"
	step_run "download ${what%,} ($(megabytes "$total"))" \
		env -C "$tmp/deb" apt-get -c "$tmp/apt/conf" -o APT::Status-Fd=1 download "${names[@]}" ||
		die 3 "cannot download ${what%,}$(step_why "$tmp"); see $step_log"
	for line; do
		read -r package version sha256 bytes <<<"$line"
		archive_keep "$(echo "$tmp/deb/${package}_"*)" "$sha256" "$package $version" deb
	done
}

# fetch_source NAME VERSION FILE ADDRESS SHA256 BYTES
fetch_source() {
	mkdir -p "$cache_dir/download" "$tmp/source"
	step_run "download $3 ($(megabytes "$6"))" \
		/usr/lib/apt/apt-helper -c "$tmp/apt/conf" download-file "$4" "$tmp/source/$3" "SHA256:$5" ||
		die 3 "cannot download $3 of $1 $2$(step_why "$tmp"); see $step_log"
	archive_keep "$tmp/source/$3" "$5" "$3" source
}

megabytes() {
	if (( $1 >= 10000000 )); then
		printf '%d MB' "$(($1 / 1000000))"
	else
		printf '%d.%d MB' "$(($1 / 1000000))" "$(($1 / 100000 % 10))"
	fi
}
