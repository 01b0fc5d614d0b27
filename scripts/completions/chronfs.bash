# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# Completion of chronfs for bash. The options are what `chronfs --help` lists, so they are those of the program
# that is installed.

# _chronfs_mount_options PROGRAM WORD: the mount options of the help text that can complete WORD. Values in small
# letters are meant as they are; capital letters say what kind of value follows.
_chronfs_mount_options() {
	local option
	while IFS= read -r option; do
		case $option in
		*=USER)
			echo "${option%USER}"
			compgen -P "${option%USER}" -u -- "${2#*=}"
			;;
		*=GROUP)
			echo "${option%GROUP}"
			compgen -P "${option%GROUP}" -g -- "${2#*=}"
			;;
		*"[="*) printf '%s\n' "${option%%\[*}" "${option%%\[*}=" ;;
		*=[A-Z]*) echo "${option%=*}=" ;;
		*) echo "$option" ;;
		esac
	done < <("$1" --help 2>/dev/null | sed -nE 's/^ +(-[a-zA-Z], )?-o ([a-z_]+[^ ]*).*/\2/p')
}

_chronfs() {
	local i word words=() cur prev='' before candidates=()

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
	[ ${#words[@]} -lt 2 ] || prev=${words[-2]}
	COMPREPLY=()

	if [[ $prev != -o && $cur != -o?* ]]; then
		if [[ $cur == -* ]]; then
			mapfile -t candidates < <("$1" --help 2>/dev/null |
				sed -nE 's/^ +(-[a-zA-Z]), (--?[a-z]+) .*/\1\n\2/p; s/^ +(-[a-zA-Z]) .*/\1/p' | sort -u)
			mapfile -t COMPREPLY < <(compgen -W "${candidates[*]}" -- "$cur")
		else
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		fi
		return
	fi

	# A list of options: what is before its last comma stays.
	word=${cur#-o}
	before=${cur%"$word"}
	[[ $word != *,* ]] || before+=${word%,*},
	word=${word##*,}
	mapfile -t candidates < <(_chronfs_mount_options "$1" "$word")
	mapfile -t COMPREPLY < <(compgen -W "${candidates[*]}" -- "$word" | sort -u | grep -vxF -- "${word:-,}")
	COMPREPLY=("${COMPREPLY[@]/#/$before}")
	[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace 2>/dev/null
	# bash replaces only what follows the last "=" on the line.
	if [[ $cur == *=* && $COMP_WORDBREAKS == *=* ]]; then
		word=${cur%=*}=
		COMPREPLY=("${COMPREPLY[@]#"$word"}")
	fi
}
complete -F _chronfs chronfs
