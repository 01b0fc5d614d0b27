# SPDX-License-Identifier: Apache-2.0
#
# Completion of chronfs for fish. The options are what `chronfs --help` lists, so they are those of the program that
# is installed.

# Each mount option of the help text, a tab, what it does; behind what the list at the cursor has already.
# Values in small letters are meant as they are; capital letters say what kind of value follows.
function __chronfs_mount_options
    set -l words (commandline -opc)
    set -l before (string match -r '^(?:-o)?(?:.*,)?' -- (commandline -ct))[1]
    for line in ($words[1] --help 2>/dev/null)
        set -l parts (string match -r '^ +(?:-[a-zA-Z], )?-o ([a-z_]+)(\S*) *(.*)' -- $line)
        test (count $parts) -eq 4; or continue
        set -l kind $parts[3]
        string match -q -- "$before$parts[2]=*" (commandline -ct); or set kind (string replace -r '^=(USER|GROUP)$' '=N' -- $kind)
        switch $kind
            case '=USER'
                printf '%s\n' $before$parts[2]=(__fish_complete_users)
            case '=GROUP'
                printf '%s\n' $before$parts[2]=(__fish_complete_groups)
            case '*[=*'
                set -l option $before$parts[2](string replace -r '\[.*' '' -- $parts[3])
                printf '%s\t%s\n' $option $parts[4] $option= $parts[4]
            case '*'
                printf '%s\t%s\n' $before$parts[2](string replace -r '=[A-Z]+$' '=' -- $parts[3]) $parts[4]
        end
    end
end

function __chronfs_arguments
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    if test "$words[-1]" = -o; or string match -q -- '-o?*' $current
        __chronfs_mount_options
    else if string match -q -- '-*' $current
        for line in ($words[1] --help 2>/dev/null)
            set -l parts (string match -r '^ +(-[^o])(?:, (--?[a-z]+)\S*)?(?: ro| debug)? +(.*)' -- $line)
            test (count $parts) -ge 3; or continue
            printf '%s\t%s\n' $parts[2] $parts[-1]
            string match -q -- '--*' $parts[3]; and printf '%s\t%s\n' $parts[3] $parts[-1]
        end
        printf '%s\t%s\n' -o 'mount options'
    else
        __fish_complete_directories $current
    end
end

complete -c chronfs -f -a '(__chronfs_arguments)'
