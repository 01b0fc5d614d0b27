#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# loss.sh - a killed daemon's queue in which one byte is damaged: what may be mounted, and what is said
. "$(dirname "$0")/../lib/lib.sh"

number() { od -An -tu4 -j"$2" -N4 "$1" | tr -d ' '; }
poke() { printf '%s' "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }
# Record N of a first segment in which each takes 128 bytes: its first byte of payload.
damage_record() { poke "$1/000000000.q" $((64 + $2 * 128 + 64)) X; }
segments() { cat "$1"/*.q | cksum; }

# ---- a kill, and no power cut ----

start_mount -o segment_size=1048576
seq -f 'line %g' 0 999 >"$m/append.lines"
kill -9 "$daemon"
ended
umount "$m"
damage_record "$q" 500
before=$(segments "$q")
gives 11 "records 500 to 999 are missing or damaged" "a mount is refused" "$CHRONFS" "$q" "$m"
gives 11 "499 of them are sound" "and counts what is sound" "$CHRONFS" "$q" "$m"
gives 1 "; 499 sound records, 501 to 999, are behind it" "verify" "$CHRONQ" verify "$q"
gives 1 "lost: records 500 to 999" "a repair is refused" "$CHRONQ" repair "$q"
gives 1 "losses 1" "and counts the loss" "$CHRONQ" repair "$q"
is "nothing was changed" "$(segments "$q")" "$before"
cp -a "$q" "$q.copy"
start_mount -o accept_loss
ok "accept_loss says what is lost" wait_for grep -q "records 500 to 999 are missing or damaged" "$log"
is "and goes on with what came before" "$("$CHRONQ" cat "$q" | wc -l)" 500
stop_mount
rm -r "$q"
mv "$q.copy" "$q"

# ---- the same after a power cut ----

poke "$q/control.meta" 32 "the boot before!"
start_mount
ok "a mount says what is lost" wait_for grep -q "records 500 to 999 are missing or damaged" "$log"
ok "and what of it was sound" wait_for grep -q "499 of them are sound, and are set aside" "$log"
is "what came before is there" "$("$CHRONQ" cat "$q" | wc -l)" 500
echo more >"$m/append"
stop_mount
ok "the queue is sound" "$CHRONQ" verify "$q"

# ---- a slot of durable.meta ----

rm -r "$q"
seq -f 'line number %g of the queue' 1 70 | "$CHRONQ" append -s 4096 "$q"
slot=$(($(number "$q/durable.meta" 68) > $(number "$q/durable.meta" 28)))
poke "$q/durable.meta" $((slot * 40 + 32)) XXXX
gives 1 "slot $slot is damaged" "verify names the slot" "$CHRONQ" verify "$q"
damage_record "$q" 5
poke "$q/control.meta" 32 "the boot before!"
gives 11 "slot $slot of durable.meta is damaged" "a mount is refused" "$CHRONFS" "$q" "$m"
gives 1 "lost: records 5 to 69" "a repair is refused" "$CHRONQ" repair "$q"
poke "$q/000000000.q" $((64 + 5 * 128 + 64)) l
start_mount
is "with sound records all are there" "$("$CHRONQ" cat "$q" | wc -l)" 70
stop_mount
ok "and the slot is sound again" "$CHRONQ" verify "$q"
finish
