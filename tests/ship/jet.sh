#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# jet.sh - what ship and fetch learn of a stream, and of a server that refuses or does not answer
. "$(dirname "$0")/lib/one.sh"

probe() {
	timeout "$patience" "$JET_PROBE" "$@"
}

like() { # DESCRIPTION GOT PATTERN
	# shellcheck disable=SC2053 # a pattern
	if [[ $2 == $3 ]]; then pass "$1"; else is "$1" "$2" "$3"; fi
}

start_server
like "a stream that is not there" "$(probe "$url" S)" "ENOENT: *"
ok "it is made" probe "$url" S create "about it"
ok "it is made again with the same configuration" probe "$url" S create "about it"
like "and not with another one" "$(probe "$url" S create "of others")" "EEXIST: *"
like "what it holds" "$(probe "$url" S)" "description=about it first=0 last=0 messages=0 replicas=1 max_payload=1048576 *"
like "and the server's version" "$(probe "$url" S)" "*version=$("$NATS_SERVER" --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+')"
like "a message that is not there" "$(probe "$url" S message 1)" "ENOENT: *"
like "a file with a certificate that cannot be read" "$(probe --tls-ca "$tmp/none" "$url" S)" "ENOENT: $tmp/none: *"
echo "no certificate" >"$tmp/junk"
like "a file without a certificate" "$(probe --tls-ca "$tmp/junk" "$url" S)" "EINVAL: *$tmp/junk*"
like "a server without TLS, which is wanted" "$(probe "tls://${url#*//}" S)" "EPROTO: *"

kill -STOP "$server"
like "a server that has stopped" "$(probe "$url" S)" "EAGAIN: *"
kill -CONT "$server"
stop_server
like "no server: it says which" "$(probe "$url" S)" "EAGAIN: *: 127.0.0.1:$port"
output=$(probe "nats://able:hidden@127.0.0.1:$port" S)
like "without the password" "$output" "EAGAIN: *: 127.0.0.1:$port"

cat >"$tmp/users.conf" <<'END'
authorization { users: [
	{ user: able, password: secret },
	{ user: mute, password: secret, permissions: { publish: { deny: ["$JS.API.>"] } } } ] }
END
start_server -c "$tmp/users.conf"
like "a user who may ask" "$(probe "nats://able:secret@127.0.0.1:$port" S)" "description=about it *"
output=$(probe "nats://able:hidden@127.0.0.1:$port" S)
like "a wrong password" "$output" "EACCES: *"
[[ $output != *hidden* ]]
check "is not shown" $? "$output"
like "a user who may not ask" "$(probe "nats://mute:secret@127.0.0.1:$port" S)" "EACCES: *Permissions Violation*"
stop_server
finish
