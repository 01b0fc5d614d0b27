# SPDX-License-Identifier: Apache-2.0
#
# Completion of chronq for fish. Commands and options are what `chronq --help` and `chronq COMMAND --help` list, so
# they are those of the program that is installed.

# What `chronq --help` lists: each command, a tab, what it does.
function __chronq_commands
    set -l words (commandline -opc)
    set -l paragraph 1
    for line in ($words[1] --help 2>/dev/null)
        if test -z "$line"
            set paragraph (math $paragraph + 1)
        else if test $paragraph -eq 2
            string replace -r '^ +(\S+) +' '$1\t' -- $line
        end
    end
    printf '%s\n' --help --version
end

# Each option of the command, a tab, what it does, a tab, the word for its value.
function __chronq_options
    set -l words (commandline -opc)
    for line in ($words[1] $words[2] --help 2>/dev/null | string match -r '^ +-.*')
        set -l parts (string split -m 1 '  ' -- (string trim -- $line))
        set -l value (string match -r '^-[^ ,=\[]+(?:, --[^ =\[]+)?(?: |\[?=)([^ \]]+)' -- $parts[1])[2]
        for name in (string match -ar -- '(?<![\w-])--?[a-z-]+|(?<![\w-])-[a-zA-Z]' $parts[1])
            printf '%s\t%s\t%s\n' $name (string trim -- "$parts[2]") "$value"
        end
    end
end

# The named readers of the queue that the command line names.
function __chronq_readers
    for word in (commandline -o)[2..-1]
        if test -d "$word"
            for file in $word/readers/*.meta
                basename $file .meta
            end
        end
    end
end

# What may come at the cursor, behind the command.
function __chronq_arguments
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l before ''
    set -l option $words[-1]
    if string match -qr '^--[a-z-]+=' -- $current
        set option (string replace -r '=.*' '' -- $current)
        set before $option=
    end
    for line in (__chronq_options)
        set -l parts (string split \t -- $line)
        test "$parts[1]" = "$option"; and test -n "$parts[3]"; or continue
        switch $parts[3]
            case NAME
                printf '%s\n' $before(__chronq_readers)
            case DIR
                __fish_complete_directories $current
            case FILE
                __fish_complete_path $current
            case '*'
                if string match -qr '^[a-z|]+$' -- $parts[3]
                    printf '%s\n' $before(string split '|' -- $parts[3])
                end
        end
        return
    end
    if string match -q -- '-*' $current
        __chronq_options | string replace -r '\t[^\t]*$' ''
    else
        __fish_complete_directories $current
    end
end

complete -c chronq -f
complete -c chronq -n 'test (count (commandline -opc)) -eq 1' -a '(__chronq_commands)'
complete -c chronq -n 'test (count (commandline -opc)) -gt 1' -a '(__chronq_arguments)'
