#!/bin/bash
# Sourced: the reader of configs/*, and of every other value a user can give.
#
# A line is empty, "# comment", "[section]" or "key = value", with an optional
# comment after a space.  A key whose type ends in "+" may come again, and adds to
# what it had.  Whatever else it is, is an error: a typo must never read as a
# default.

# config_value TYPE VALUE: leaves the canonical value in REPLY, or returns 1 and
# leaves in REPLY what it should have been.
config_value() {
	local type=$1 value=$2 word

	REPLY=$value
	case $type in
	choice:*)
		for word in ${type#choice:}; do
			[[ $value != "$word" ]] || return 0
		done
		REPLY=${type#choice:}
		REPLY="one of ${REPLY// /, }"
		return 1 ;;
	timeout)
		[[ $value != own ]] || return 0
		config_seconds "$value" && return
		REPLY="'own', or seconds from 1 to 86400 such as 90, 90s, 2m or 1h"
		return 1 ;;
	ms)
		if [[ $value =~ ^0*([0-9]{1,6})(ms)?$ ]]; then
			REPLY=$((10#${BASH_REMATCH[1]}))
			(( REPLY > 600000 )) || return 0
		fi
		REPLY="milliseconds from 0 to 600000, such as 2000 or 2000ms"
		return 1 ;;
	count:*)
		config_count "$value" "${type#count:}" && return
		REPLY="a number from 1 to ${type#count:}"
		return 1 ;;
	megabytes)
		if [[ $value =~ ^0*([0-9]{1,4})([MG]?)$ ]]; then
			REPLY=$((10#${BASH_REMATCH[1]}))
			[[ ${BASH_REMATCH[2]} != G ]] || REPLY=$((REPLY * 1024))
			(( REPLY < 256 || REPLY > 2048 )) || return 0
		fi
		REPLY="megabytes from 256 to 2048, such as 1024 or 2G"
		return 1 ;;
	number)
		config_value seed "$value" && [[ $value != random ]] && return
		REPLY="up to 18 decimal digits, or 0x and up to 16 hexadecimal ones"
		return 1 ;;
	text)
		[[ $value != *[[:cntrl:]]* ]] && return
		REPLY="one line of text"
		return 1 ;;
	rounds)
		[[ $value != suite ]] || return 0
		config_count "$value" 1000000 && return
		REPLY="'suite', or a number from 1 to 1000000"
		return 1 ;;
	rounds_of)
		[[ $value =~ ^[]A-Za-z0-9_.*?!^[-]+=[1-9][0-9]{0,5}$ ]] && return
		REPLY="a pattern of tests' addresses, '=' and a number, such as td_race*=100"
		return 1 ;;
	globs)
		[[ $value =~ ^[]A-Za-z0-9_.*?!^[-]+(\ +[]A-Za-z0-9_.*?!^[-]+)*$ ]] && return
		REPLY="patterns of tests' addresses, separated by spaces"
		return 1 ;;
	jobs)
		[[ $value != auto ]] || return 0
		config_count "$value" 1024 && return
		REPLY="'auto' or a number from 1 to 1024"
		return 1 ;;
	repeat)
		[[ $value != until-fail ]] || return 0
		config_count "$value" 1000000 && return
		REPLY="'until-fail' or a number from 1 to 1000000"
		return 1 ;;
	seed)
		[[ ! $value =~ ^(random|0x[0-9a-fA-F]{1,16})$ ]] || return 0
		# More digits might not fit into 64 bits.
		if [[ $value =~ ^[0-9]{1,18}$ ]]; then
			REPLY=$((10#$value))
			return 0
		fi
		REPLY="'random', up to 18 decimal digits, or 0x and up to 16 hexadecimal ones"
		return 1 ;;
	path)
		[[ -n $value && $value != *[[:cntrl:]]* ]] && return
		REPLY="a path"
		return 1 ;;
	sha256)
		[[ $value =~ ^[0-9a-f]{64}$ ]] && return
		REPLY="64 hexadecimal digits"
		return 1 ;;
	version)
		[[ $value =~ ^[0-9][A-Za-z0-9.+:~-]*$ ]] && return
		REPLY="a package's version, such as 7.3.4-1"
		return 1 ;;
	pin)
		[[ $value != newest ]] || return 0
		config_value version "$value" && return
		REPLY+=", or 'newest'"
		return 1 ;;
	name)
		[[ $value =~ ^[A-Za-z0-9][A-Za-z0-9.+_/-]*$ ]] && return
		REPLY="one name"
		return 1 ;;
	names)
		[[ $value =~ ^[A-Za-z0-9][A-Za-z0-9.+_/-]*(\ +[A-Za-z0-9][A-Za-z0-9.+_/-]*)*$ ]] && return
		REPLY="names, separated by spaces"
		return 1 ;;
	esac
}

config_count() {
	local value=$1 max=$2

	[[ $value =~ ^0*([0-9]{1,7})$ ]] || return 1
	REPLY=$((10#${BASH_REMATCH[1]}))
	(( REPLY >= 1 && REPLY <= max ))
}

config_seconds() {
	local value=$1
	local -A unit=([s]=1 [m]=60 [h]=3600)

	[[ $value =~ ^0*([0-9]{1,5})([smh]?)$ ]] || return 1
	REPLY=$((10#${BASH_REMATCH[1]} * ${unit[${BASH_REMATCH[2]:-s}]}))
	(( REPLY >= 1 && REPLY <= 86400 ))
}

# config_nearest WORD CANDIDATE...: REPLY is the candidate with the fewest edits.
config_nearest() {
	local word=$1 best=1000 nearest='' candidate
	local -i i j above left diagonal
	local -a row

	shift
	for candidate; do
		for (( j = 0; j <= ${#candidate}; j++ )); do
			row[j]=$j
		done
		for (( i = 1; i <= ${#word}; i++ )); do
			diagonal=${row[0]}
			row[0]=$i
			for (( j = 1; j <= ${#candidate}; j++ )); do
				above=${row[j]}
				left=${row[j-1]}
				[[ ${word:i-1:1} == "${candidate:j-1:1}" ]] || diagonal+=1
				(( left + 1 >= diagonal )) || diagonal=$((left + 1))
				(( above + 1 >= diagonal )) || diagonal=$((above + 1))
				row[j]=$diagonal
				diagonal=$above
			done
		done
		if (( row[${#candidate}] < best )); then
			best=${row[${#candidate}]}
			nearest=$candidate
		fi
	done
	REPLY=$nearest
}

# config_read FILE VALUES ORIGINS TYPES: read FILE into the associative arrays
# VALUES and ORIGINS (file:line), both by "key", or by "section.key".  TYPES, an
# associative array too, has the type of each known key.  Ends the script with
# status 2, after telling of every wrong line.
config_read() {
	local file=$1 line section='' known config_place
	local -i number=0 config_errors=0
	local -n config_into=$2 config_from=$3 config_types=$4
	local -A sections=()

	for known in "${!config_types[@]}"; do
		[[ $known != *.* ]] || sections[${known%.*}]=1
	done
	[[ -f $file && -r $file ]] || die 2 "$file cannot be read"
	while IFS= read -r line || [[ -n $line ]]; do
		number+=1
		config_place=$file:$number
		if [[ ${line//$'\t'/ } == *[[:cntrl:]]* ]]; then
			config_wrong "a control character (a carriage return, perhaps)"
			continue
		fi
		[[ ! $line =~ ^[[:space:]]*# ]] || continue
		line=${line%%[[:space:]]#*}
		[[ $line =~ ^[[:space:]]*(.*[^[:space:]])?[[:space:]]*$ ]]
		line=${BASH_REMATCH[1]}
		case $line in
		'')	;;
		'['*)	config_section ;;
		*=*)	config_pair ;;
		*)	config_wrong "'$line' has no '=' (want: key = value)" ;;
		esac
	done <"$file"
	(( config_errors == 0 )) || exit 2
}

# What follows is called by config_read() alone, and works on its variables.

config_wrong() {
	config_errors+=1
	printf '%s: %s\n' "$config_place" "$*" >&2
}

config_section() {
	section=${line#'['}
	section=${section%']'}
	if [[ $line != *']' || ! -v sections[$section] ]]; then
		config_nearest "$section" "${!sections[@]}"
		config_wrong "unknown section '$line'${REPLY:+ (nearest: [$REPLY])}"
		section='?'	# its keys are not worth a line each
	fi
}

# shellcheck disable=SC2004,SC2034 # config_into and config_from are associative, and the caller's
config_pair() {
	local key=${line%%=*} value=${line#*=} full
	local -a names

	[[ $section != '?' ]] || return 0
	[[ $key =~ ^(.*[^[:space:]])?[[:space:]]*$ ]]
	key=${BASH_REMATCH[1]}
	[[ $value =~ ^[[:space:]]*(.*)$ ]]
	value=${BASH_REMATCH[1]}
	full=${section:+$section.}$key
	if [[ -z $key || ! -v config_types[$full] ]]; then
		mapfile -t names < <(printf '%s\n' "${!config_types[@]}" | sort)
		config_nearest "$full" "${names[@]}"
		config_wrong "unknown key '$key' (nearest: ${REPLY#"${section:+$section.}"})"
	elif [[ -v config_from[$full] && ${config_types[$full]} != *+ ]]; then
		config_wrong "'$key' is already set at ${config_from[$full]}"
	elif ! config_value "${config_types[$full]%+}" "$value"; then
		config_from[$full]=$config_place
		config_wrong "$key = $value: want $REPLY"
	else
		config_into[$full]=${config_into[$full]+${config_into[$full]} }$REPLY
		config_from[$full]=$config_place
	fi
}

# config_need FILE VALUES KEY...: each KEY must have been in FILE.
config_need() {
	local file=$1 key section
	local -n config_had=$2

	shift 2
	for key; do
		section=${key%"${key##*.}"}
		[[ -v config_had[$key] ]] ||
			die 2 "$file lacks the key '${key##*.}'${section:+ of [${section%.}]}"
	done
}
