#!/usr/bin/env bats
# What a mount refuses, what it leaves alone, what it says and to whom. The model is tiny and untrained.

load mounts

setup_file() { mounts_setup_file; }

setup() {
    mounts_setup
    cp -a "$DATA/tree" "$s"
}

teardown() {
    mounts_teardown
    [ -z "${c:-}" ] || ! mountpoint -q "$c" || umount -l "$c"
}

refused() { # TEXT COMMAND...: fails with TEXT, and nothing is mounted at $m
    local text=$1
    shift
    run "$@"
    echo "$output"
    [ "$status" -ne 0 ] && [[ "$output" = *"$text"* ]] && [ "$(mounts_at "$m")" = 0 ]
}
as_nobody() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }

@test "mount: what it would wait for, or change, is refused by whatever way the path takes there" {
    refused "lies below the mountpoint" relearn mount --profile "$DATA/p.ini" --cache "$m/c" "$s" "$m"
    refused "lies in $s, which is never written" relearn mount --profile "$DATA/p.ini" --cache "$s/cat/../c" "$s" "$m"
    ln -s "$s/cat" "$w/link"
    refused "which is never written" relearn mount --profile "$DATA/p.ini" --cache "$w/link/deep/c" "$s" "$m"
    refused "which is never written" env -u XDG_CACHE_HOME HOME="$s" relearn mount --profile "$DATA/p.ini" "$s" "$m"
    refused "the log" mnt -o "log=$s/log"
    refused "the log" mnt -o "log=$m/log"
    [ ! -e "$s/c" ] && [ ! -e "$s/.cache" ] && [ ! -e "$s/log" ]
    mkdir "$m/in"
    cp "$DATA/p.ini" "$m/in/p.ini"
    refused "the profile" relearn mount --profile "$m/in/p.ini" --cache "$c" -o nonempty "$s" "$m"
    cp "$DATA/m.safetensors" "$m/in/m.safetensors"
    sed "s|^model.*|model = $m/in/m.safetensors|" "$DATA/p.ini" >"$w/in.ini"
    refused "the model" relearn mount --profile "$w/in.ini" --cache "$c" -o nonempty "$s" "$m"
    refused "one lies in the other" relearn mount --profile "$DATA/p.ini" --cache "$c" "$s" "$s/cat"
    refused "one lies in the other" relearn mount --profile "$DATA/p.ini" --cache "$c" "$m/in" "$m"
    rm -r "$m/in"
    [ "$(id -u)" -eq 0 ] || skip "the rest needs bind mounts"
    sees_its_root || skip "the rest needs to see where mounts come from"
    mkdir "$w/bound" "$w/bound2" "$s/cat/mnt"
    mount --bind "$s/cat" "$w/bound"
    refused "which is never written" relearn mount --profile "$DATA/p.ini" --cache "$w/bound/c" "$s" "$m"
    refused "one lies in the other" relearn mount --profile "$DATA/p.ini" --cache "$c" "$s" "$w/bound/mnt"
    mount --bind "$m" "$w/bound2"
    refused "lies below the mountpoint" relearn mount --profile "$DATA/p.ini" --cache "$w/bound2/c" -o nonempty "$s" "$m"
    umount "$w/bound2"
    mkdir "$s/cat/mnt2"
    mount --bind "$w/bound2" "$s/cat/mnt2" # what is mounted in the source belongs to it
    refused "which is never written" relearn mount --profile "$DATA/p.ini" --cache "$w/bound2/c" "$s" "$m"
    umount "$s/cat/mnt2"
}

@test "mount: a mountpoint that is not there, no directory, or not empty is refused with what to do" {
    refused "mkdir $w/none" relearn mount --profile "$DATA/p.ini" --cache "$c" "$s" "$w/none"
    touch "$w/file"
    refused "not a directory" relearn mount --profile "$DATA/p.ini" --cache "$c" "$s" "$w/file"
    refused "no such directory" relearn mount --profile "$DATA/p.ini" --cache "$c" "$w/none" "$m"
    refused "relearn purify" relearn mount --profile "$DATA/p.ini" --cache "$c" "$s/cat/1.png" "$m"
    touch "$m/file"
    refused "nonempty" mnt
    mnt -o nonempty
    [ "$(ls "$m")" = cat ]
}

@test "mount: a view is not shown through another view" {
    mnt
    mkdir "$w/mnt2" "$w/inside"
    run relearn mount --profile "$DATA/p.ini" --cache "$c" "$m" "$w/mnt2"
    [ "$status" -eq 2 ]
    [[ "$output" = *"lies in a view already"*"$s"* ]]
    run relearn mount --profile "$DATA/p.ini" --cache "$c" "$w/inside" "$m/cat"
    [ "$status" -eq 2 ]
    [[ "$output" = *"lies in the view"* ]]
}

@test "mount: views whose sources hold each other's mountpoints are refused" {
    mkdir -p "$w/a/mnt" "$w/b/mnt"
    relearn mount --profile "$DATA/p.ini" --cache "$c" -o nosweep "$w/a" "$w/b/mnt"
    run relearn mount --profile "$DATA/p.ini" --cache "$c" -o nosweep "$w/b" "$w/a/mnt"
    echo "$output"
    [ "$status" -eq 2 ]
    [[ "$output" = *"without end"* ]]
    [ "$(mounts_at "$w/a/mnt")" = 0 ]
}

@test "mount: of four at once on one mountpoint one succeeds" {
    local pid pids=() won=0
    for round in 1 2 3; do
        won=0 pids=()
        for i in 1 2 3 4; do
            mnt 2>>"$w/said" &
            pids+=($!)
        done
        for pid in "${pids[@]}"; do wait "$pid" && won=$((won + 1)); done
        cat "$w/said"
        [ "$won" -eq 1 ]
        [ "$(mounts_at "$m")" = 1 ]
        relearn umount "$m"
    done
    grep -qE "another mount is being made there|is mounted there" "$w/said"
}

@test "umount and SIGTERM leave alone what somebody mounted over a view" {
    [ "$(id -u)" -eq 0 ] || skip "mounts something"
    mnt
    pid=$(status_of "$m" 'j["pid"]')
    mount -t tmpfs none "$m"
    touch "$m/theirs"
    run relearn umount "$m"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" = *"mounted over"*tmpfs* ]]
    [ -e "$m/theirs" ]
    kill -TERM "$pid"
    wait_until has_ended "$pid"
    [ -e "$m/theirs" ]
    umount "$m"
    relearn umount "$m"
    [ "$(mounts_at "$m")" = 0 ]
}

@test "mount: the daemon keeps none of its caller's descriptors" {
    exec 9>"$w/lock"
    flock 9
    mnt
    exec 9>&-
    flock -n "$w/lock" true
    pid=$(status_of "$m" 'j["pid"]')
    ! ls -l "/proc/$pid/fd" | grep -F "$w/lock"
}

@test "mount: planted links are not followed, and another user's directory is not used" {
    [ "$(id -u)" -eq 0 ] || skip "needs two users"
    hash=$(printf %s "$m" | sha256sum | cut -c1-16)
    echo original >"$w/precious"
    mkdir -m 1777 "$c"
    ln -s "$w/precious" "$c/relearnfsd-$hash.sock.log"
    ln -s "$w/precious" "$c/relearnfsd-$hash.log"
    run mnt
    echo "$output"
    [ "$status" -eq 0 ]
    [ "$(cat "$w/precious")" = original ]
    relearn umount "$m"
    rm -r "$c"
    mkdir "$c"
    chown 65534 "$c"
    refused "belongs to user 65534" mnt
    [ -z "$(ls -A "$c")" ]
}

@test "options: a value that is out of range is answered with what is right, an unknown option with a list" {
    refused "a whole number from 0 (one per CPU) to 1024, not '-1'" mnt -o threads=-1
    refused "a size such as" mnt -o cache_size=much
    refused "a number of pixels" mnt -o max_pixels=0
    refused "there are: profile=TEXT, cache=TEXT" mnt -o frobnicate
    refused "leave one of them away" mnt -o follow,allow_other
    run relearn mount -j x "$s" "$m"
    [ "$status" -eq 2 ]
    [[ "$output" = *"--threads must be a whole number"* ]]
}

@test "watch: a path that is too long costs its own directory the watch, not the mount" {
    command -v inotifywait >/dev/null || skip "no inotifywait"
    "$PY" - "$s" <<'PYTHON'
import os, sys
os.chdir(sys.argv[1])
for i in range(25):
    os.mkdir("d" * 200)
    os.chdir("d" * 200)
open("x.png", "w").close()
PYTHON
    mnt
    wait_until eval '[ "$(status_of "$m" "j[\"watching\"]")" = True ]'
    sleep 2.5 # nothing counts as just changed any more
    ls -l "$m/cat/1.png"
    cp "$s/cat/2.png" "$w/tmp.png" && mv "$w/tmp.png" "$s/cat/1.png"
    wait_until cmp -s "$m/cat/1.png" "$m/cat/2.png"
    [ "$(status_of "$m" 'j["watching"]')" = True ]
}

@test "warm: names that are not UTF-8, or too long, cost nobody else" {
    name=$(printf 'caf\xe9 \x1b[31m.png')
    cp "$s/cat/1.png" "$s/$name"
    png "$s/other.png" 16 9
    mnt
    long=$(printf 'x%.0s' $(seq 5000))
    run relearn warm -f <(printf '%s\n' "$name" "$long" other.png) "$m"
    echo "$output"
    [ "$status" -eq 1 ]
    [ "$(getfattr --only-values -n user.relearn.state "$m/$name")" = cached ]
    [ "$(getfattr --only-values -n user.relearn.state "$m/other.png")" = cached ]
    relearn warm --check -f <(printf '%s\n' "$name" other.png) "$m"
}

@test "status: names of files are for the mounting user, and printed without their escapes" {
    [ "$(id -u)" -eq 0 ] || skip "needs another user"
    chmod 755 "$w" "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR"
    mkdir -m 700 "$s/private"
    echo x >"$s/private/NAME.png"
    echo x >"$(printf '%s/\033]0;pwned\007\033[31mred\nfake line.png' "$s")"
    mnt -o allow_other
    run as_nobody cat "$m/.relearn/status.json"
    [ "$status" -eq 1 ]
    run as_nobody relearn status "$m"
    echo "$output"
    [ "$status" -eq 1 ] && [[ "$output" = *"another user's"* ]] && [[ "$output" != *NAME* ]]
    as_nobody grep -q '^relearnfs_not_purified_files 2' "$m/.relearn/metrics"
    ! as_nobody grep -rq NAME "$m/.relearn/metrics" "$m/.relearn/profile.ini"
    run relearn status "$m"
    [[ "$output" = *'\x1b]0;pwned\x07\x1b[31mred\x0afake line.png'* ]]
    [[ "$output" != *$'\e'* ]]
    relearn status --json "$m" | "$PY" -c 'import json,sys
n=[x["path"] for x in json.load(sys.stdin)[0]["not_purified"]["files"]]
assert sorted(n) == ["\x1b]0;pwned\x07\x1b[31mred\nfake line.png", "private/NAME.png"], n'
}

@test "what is not purified is said by mount, status and warm alike, with all names" {
    printf '\x93NUMPY\x01\x00' >"$s/a.npy"
    for n in $(seq 80); do echo x >"$s/cat/bad$n.png"; done
    ln -s /etc/hostname "$s/out.png"
    echo label >"$s/labels.txt"
    run mnt
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" = *"82 images NOT PURIFIED, served as they are: "* ]]
    run relearn warm -q "$m"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" = *"82 images NOT PURIFIED"* ]]
    [[ "$output" = *"3 images, 0 labels, 0 excluded, 1 other files"* ]]
    run relearn warm --check "$m"
    [ "$status" -eq 1 ]
    [[ "$output" = *"3 of 3 images ready, 0 to purify, 0 missing"*"82 images NOT PURIFIED"* ]]
    relearn status "$m" | grep -E '^  NOT PURIFIED 82 images'
    relearn status --json "$m" | "$PY" -c 'import json,sys
j=json.load(sys.stdin)[0]["not_purified"]
assert j["count"] == 82 and len(j["files"]) == 82 and all(x["why"] for x in j["files"])
assert {"a.npy","out.png","cat/bad7.png"} <= {x["path"] for x in j["files"]}'
    relearn warm -q --json "$m" >"$w/warm.json" && return 1
    "$PY" -c 'import json,sys
j=json.load(open(sys.argv[1]))
assert j["files"] == 86 and j["image"]["count"] == 3 and len(j["not_purified"]["files"]) == 82, j' "$w/warm.json"
    # A list is answered for itself.
    printf '%s\n' cat/1.png a.npy | relearn warm -q --json -f - "$m" >"$w/list.json" && return 1
    "$PY" -c 'import json,sys
j=json.load(open(sys.argv[1]))
assert [x["path"] for x in j["not_purified"]["files"]] == ["a.npy"] and j["not_purified"]["count"] == 1, j' "$w/list.json"
    relearn warm -q -f <(echo cat/1.png) "$m"
    relearn umount "$m"
    run mnt -o exclude='bad*:*.npy:out.png,strict'
    echo "$output"
    [[ "$output" != *NOT* ]] || [[ "$output" = *"1 images NOT PURIFIED, reading them is an error: out.png"* ]]
    [ "$(status_of "$m" 'j["excluded"]["count"]')" -ge 81 ]
}

@test "the self-test's image is not the user's" {
    mnt
    [ "$(status_of "$m" 'j["work"]["purified"], j["work"]["evaluations"], j["cache"]["objects"]')" = "(0, 0, 0)" ]
    relearn umount "$m"
    run relearn cache stats --json --cache "$c"
    [[ "$output" = *'"objects": 0'* ]]
}

@test "a full cache: warm says how much is not stored, the sweep stops and says so" {
    [ "$(id -u)" -eq 0 ] || skip "needs a small file system"
    for n in $(seq 60); do png "$s/$n.png" 64 $((100 + n)); done
    mkdir "$c"
    mount -t tmpfs -o size=400k,mode=700 none "$c"
    mnt
    run relearn warm -q "$m"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" = *" images are not stored"* ]]
    cmp -n 8 "$m/1.png" "$s/1.png" # and all is served
    relearn umount "$m"
    relearn mount --profile "$DATA/p.ini" --cache "$c" "$s" "$m"
    wait_until eval '[ "$(status_of "$m" "j[\"ahead\"][\"phase\"]")" = full ]'
    relearn status "$m" | grep -F "the cache is full"
    relearn umount "$m"
    umount "$c"
}

@test "warm: Ctrl-C ends the waiting with 130, not the work" {
    relearn mount --profile "$DATA/slow.ini" --cache "$c" -o nosweep "$s" "$m"
    "$PY" - "$m" <<'PYTHON'
import signal, subprocess, sys, time
p = subprocess.Popen(["relearn", "warm", "-q", sys.argv[1]], stderr=subprocess.PIPE)
time.sleep(0.5)
p.send_signal(signal.SIGINT)
out = p.communicate()[1].decode()
assert p.returncode == 130 and "the mount goes on" in out, (p.returncode, out)
PYTHON
    [ "$(status_of "$m" 'j["ahead"]["warm"]["total"]')" = 3 ]
}
