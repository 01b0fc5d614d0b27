#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# tools_programs.sh - editors and programs that write, and what cannot be done: what they say then
. "$(dirname "$0")/tools_lib.sh"

start_mount -o segment_size=1M,allow_other
cases_of python3 "$here/programs.py" "$q" "$m"
appended

vim=$(command -v vim || command -v vim.tiny || echo vim)
if have "$vim" "vim :w"; then
	# As it starts for a user, with its backup and swap files, but without his own settings.
	edit() { echo "HOME=$tmp $vim -u NONE -i NONE -es $1"; }
	appends "vim append, :w" "printf 'a\nhello\nvim\n.\nw\nq\n' | $(edit append)" '"hello\nvim\n"'
	appends "vim append.lines, :wq" "printf 'a\nhello\nvim\n.\nwq\n' | $(edit append.lines)" \
		'"hello\n" "vim\n"'
	appends "vim, :w! twice" "printf 'a\nhello\n.\nw!\nw!\nq\n' | $(edit append)" \
		'"hello\n" "hello\n"'
	echo text >"$tmp/file"
	appends "vim, :w! append" "printf 'w! append\nq\n' | $(edit "$tmp/file")" '"text\n"'
	appends "vim, :w >> append" "printf 'w >> append\nq\n' | $(edit "$tmp/file")" '"text\n"'
	# it does not wait for tee if its own input ends
	mkfifo "$tmp/keys"
	# how many pieces tee finds in its pipe is no business of ours
	appends_file "vim, :w !tee append" "exec 3<>\$T/keys; printf 'w !tee append >/dev/null\nq\n' >&3; \
		$(edit "$tmp/file") <&3" "$tmp/file"
	appends "vim, :w !tee append.lines" \
		"exec 3<>\$T/keys; printf 'w !tee append.lines >/dev/null\nq\n' >&3; $(edit "$tmp/file") <&3" '"text\n"'
fi

# Refused, each early and with its reason.
echo text >"$tmp/file"
head -c 2000000 /dev/zero >"$tmp/big"
nothing() { # DESCRIPTION: what was refused has appended nothing
	appended
	is "$1: nothing is appended" "$(wc -l <"$tmp/appended")" 0
}
permitted="Operation not permitted"
says "dd bs=1M" 1 "Message too long" 'dd if=$T/big of=append bs=1M'
nothing "dd bs=1M"
says "noclobber >, bash" 1 "cannot overwrite existing file" 'set -C; echo x > append'
sh=dash says "noclobber >, dash" 2 "cannot create append: File exists" 'set -C; echo x > append'
says "dd conv=excl" 1 "File exists" 'dd if=$T/file of=append conv=excl status=none'
says "sed -i" 4 "couldn't open temporary file ./sed" "sed -i s/a/b/ append"
says "perl -i" 0 "Can't do inplace edit" 'perl -i -pe 1 append'
says "mv f append" 1 "unable to remove target: $permitted" 'mv $T/file append'
ok "mv f append: the file is still there" [ -s "$tmp/file" ]
says "mv append away" 1 "$permitted" 'mv append other'
says "cp --remove-destination" 1 "$permitted" 'cp --remove-destination $T/file append'
says "cp --backup" 1 "$permitted" 'cp --backup $T/file append'
says "cp of a new file" 1 "$permitted" 'cp $T/file .'
says "install" 1 "$permitted" 'install $T/file append'
says "ln" 1 "$permitted" 'ln append other'
says "ln -s" 1 "$permitted" 'ln -s append other'
says "mkdir" 1 "$permitted" 'mkdir dir'
says "mkfifo" 1 "$permitted" 'mkfifo fifo'
says "touch of a new file" 1 "$permitted" 'touch new'
says "> of a new file" 1 "$permitted" 'echo x > new'
says "> of a segment" 1 "$permitted" 'echo x > segments/000000000.q'
says ">> of the stream" 1 "$permitted" 'echo x >> stream'
says "rm append" 1 "$permitted" 'rm -f append'
says "rm of a segment" 1 "$permitted" 'rm -f segments/000000000.q'
says "rmdir" 1 "$permitted" 'rmdir segments'
says "truncate -s 1" 1 "$permitted" 'truncate -s 1 append'
says "truncate of the stream" 1 "$permitted" 'truncate -s 0 stream'
says "fallocate" 1 "$permitted" 'fallocate -l 100 append'
says "chmod" 1 "$permitted" 'chmod 600 append'
says "chown" 1 "$permitted" 'chown 4242 append'
says "touch of the stream" 1 "$permitted" 'touch stream'
says "chattr" 1 "$permitted" 'chattr +i append'
says "setfattr" 1 "$permitted" 'setfattr -n user.a -v b append'
says "running it" 126 "Permission denied" './append'
says "split into the mount" 1 "$permitted" 'split -l1 $T/file append'
says "gzip" 1 "$permitted" 'gzip append'
says "an unknown verb for ctl" 1 "Invalid argument" 'echo nonsense > ctl'
nothing "all of these"
if have rsync "rsync into the mount"; then
	says "rsync into the mount" 23 "mkstemp" 'rsync -a $T/file ./'
	says "rsync over append" 23 "mkstemp" 'rsync -a $T/file append'
	nothing "rsync into the mount"
fi
chmod 600 "$tmp/file"
says "cp -p, another mode" 1 "preserving permissions for" 'cp -p $T/file append'
appended
is "cp -p: the data are appended, though" "$(<"$tmp/appended")" '"text\n"'
chmod 644 "$tmp/file"
appends "cp -p, the same mode" 'cp -p $T/file append' '"text\n"'
appends "cp --preserve=timestamps instead" 'cp --preserve=timestamps $T/file append' '"text\n"'

# An ordinary user without the right to write here gets errors.
sh="setpriv --reuid=nobody --regid=nogroup --clear-groups bash"
says "a user: echo >>" 1 "Permission denied" 'echo x >> append'
says "a user: touch" 1 "Permission denied" 'touch new'
says "a user: ctl" 1 "Permission denied" 'cat ctl'
works "a user: reads everything else" 'cat append append.lines stream segments/* payload/* records/* stats.json >/dev/null'
nothing "a user"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"
finish
