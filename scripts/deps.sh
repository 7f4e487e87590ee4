#!/bin/bash
# Install the packages that configs/packages names, if any is missing.
#
#   deps.sh [--machine] [--check] [--no-install]
#
# --machine also wants what the emulated machine is made with, --check moreover what
# "make check" and "make bench" need.  Costs a few milliseconds and no network when
# nothing is missing.

set -euo pipefail

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd)
# shellcheck source=scripts/cache.sh
. "$root/scripts/cache.sh"
# shellcheck source=scripts/config.sh
. "$root/scripts/config.sh"

# missing_packages dpkg|rpm NAME...: fills $missing.
missing_packages() {
	local manager=$1 name
	local -A there=()

	shift
	case $manager in
	dpkg)
		# Fails if it knows nothing of a name, which is an answer too.
		while read -r name; do
			there[$name]=1
		done < <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
			 sed -n 's/^installed //p') ;;
	rpm)
		while read -r name; do
			there[$name]=1
		done < <(rpm -q --qf '%{NAME}\n' "$@" 2>/dev/null) ;;
	esac
	missing=()
	for name; do
		[[ -v there[$name] ]] || missing+=("$name")
	done
}

apt_install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
		-o DPkg::Lock::Timeout=120 -o APT::Status-Fd=1 -- "${missing[@]}"
}

# The package lists were never fetched, or name files that are gone by now.
apt_update_and_install() {
	# A third party's archive that cannot be reached must not be in the way.
	DEBIAN_FRONTEND=noninteractive apt-get update \
		-o DPkg::Lock::Timeout=120 -o APT::Status-Fd=1 || :
	apt_install
}

install_missing() {
	local rc=0

	cache_find
	step_open_log "$cache_dir/log"
	step_run "install ${missing[*]}" apt_install && return
	step_run "fetch new package lists and install ${missing[*]}" apt_update_and_install || rc=$?
	(( rc )) || return 0
	if grep -q 'dpkg was interrupted' "$step_log"; then
		die 3 "an earlier installation was interrupted; run 'dpkg --configure -a' and try again (log: $step_log)"
	elif step_offline "$step_log"; then
		die 3 "packages are missing (${missing[*]}) and their archive cannot be reached; connect this machine to it once (log: $step_log)"
	fi
	die 3 "apt-get cannot install ${missing[*]}; see $step_log"
}

main() {
	local machine=0 check=0 install=1 manager section key
	local file=${SEPT_CONFIGS:-$root/configs}/packages
	local -a wanted=() missing=() keys=(compile bpf libraries kernel report)
	# shellcheck disable=SC2034 # config_read() fills it
	local -A values=() origins=() types=()

	while (( $# )); do
		case $1 in
		--machine)	machine=1 ;;
		--check)	machine=1 check=1 ;;
		--no-install)	install=0 ;;
		*)		die 2 "unknown argument '$1' (known: --machine, --check, --no-install)" ;;
		esac
		shift
	done

	for key in "${keys[@]}" machine check; do
		types[apt.$key]=names
		types[dnf.$key]=names
	done
	config_read "$file" values origins types
	config_need "$file" values "${!types[@]}"

	if command -v apt-get >/dev/null; then
		section=apt manager=dpkg
	elif command -v dnf >/dev/null; then
		section=dnf manager=rpm
	elif (( install )); then
		die 3 "found neither apt-get nor dnf; install what $file names by hand, then use --no-install"
	else
		return 0	# whoever says so knows
	fi
	(( ! machine )) || keys+=(machine)
	(( ! check )) || keys+=(check)
	for key in "${keys[@]}"; do
		read -r -a wanted <<<"${wanted[*]} ${values[$section.$key]}"
	done
	missing_packages "$manager" "${wanted[@]}"
	(( ${#missing[@]} )) || return 0

	if [[ $section == dnf ]]; then
		die 3 "packages are missing; install them with: dnf install ${missing[*]}"
	elif (( ! install )); then
		die 3 "packages are missing, and --no-install forbids to install them: ${missing[*]}"
	elif (( EUID != 0 )); then
		die 3 "packages are missing; as root, run: apt-get update && apt-get install ${missing[*]}"
	fi
	step_init
	install_missing
}

main "$@"
