# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Completion of chronq for bash. Commands and options are what `chronq --help` and `chronq COMMAND --help` list,
# so they are those of the program that is installed.

# _chronq_options PROGRAM COMMAND: a line for each option: its name, and the word for its value if it takes one.
_chronq_options() {
	local line word words names value
	while IFS= read -r line; do
		[[ $line =~ ^\ +- ]] || continue
		line=${line#"${line%%[! ]*}"}
		names=() value=
		read -ra words <<<"${line%%  *}"
		for word in "${words[@]}"; do
			word=${word%,}
			case $word in
			-*=*)
				names+=("${word%%[[=]*}")
				value=${word#*=}
				;;
			-*) names+=("$word") ;;
			*) value=${value:-$word} ;;
			esac
		done
		printf '%s\n' "${names[@]/%/ ${value%]}}"
	done < <("$1" "$2" --help 2>/dev/null) | sort -u
}

# _chronq_value WORD DIR: the values that the help text calls WORD, of the queue in DIR.
_chronq_value() {
	local file
	case $1 in
	NAME)
		for file in "$2"/readers/*.meta; do
			[ ! -e "$file" ] || basename "$file" .meta
		done
		;;
	DIR) compgen -d -- "$cur" ;;
	FILE) compgen -f -- "$cur" ;;
	*[!a-z\|]*) ;;
	*) printf '%s\n' "${1//|/$'\n'}" ;;
	esac
}

_chronq() {
	local i word words=() cur prev='' dir='' options name value takes=() all=() candidates=() before=''

	# The words up to the cursor; bash breaks them at "=", too.
	for ((i = 0; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if ((i > 1)) && [[ $word == =* || ${COMP_WORDS[i - 1]} == = ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
	done
	cur=${words[-1]}
	COMPREPLY=()

	if [ ${#words[@]} -eq 2 ]; then
		# The second paragraph of the help text has a line for each command.
		mapfile -t candidates < <("$1" --help 2>/dev/null | awk -v RS= 'NR == 2' | awk '{ print $1 }')
		candidates+=(--help --version)
		mapfile -t COMPREPLY < <(compgen -W "${candidates[*]}" -- "$cur")
		return
	fi

	prev=${words[-2]}
	options=$(_chronq_options "$1" "${words[1]}")
	while read -r name value; do
		all+=("$name")
		[ -z "$value" ] || takes+=("$name=$value")
	done <<<"$options"
	# The queue may be named behind the cursor, too.
	for word in "${COMP_WORDS[@]:2}"; do
		case $word in
		-*) ;;
		*) [ ! -d "$word" ] || dir=$word ;;
		esac
	done

	value=
	for word in "${takes[@]}"; do
		name=${word%%=*}
		if [ "$prev" = "$name" ]; then
			value=${word#*=}
		elif [[ $name == --* && $cur == "$name="* ]]; then
			value=${word#*=}
			before=$name=
		fi
	done
	if [ -n "$value" ]; then
		cur=${cur#"$before"}
		mapfile -t candidates < <(_chronq_value "$value" "$dir")
		mapfile -t COMPREPLY < <(compgen -W "${candidates[*]}" -- "$cur")
	elif [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "${all[*]}" -- "$cur")
	else
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
	fi
}
complete -F _chronq chronq
