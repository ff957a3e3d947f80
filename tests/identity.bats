#!/usr/bin/env bats
# Which file is this, and which version of it: sources that number their files anew, that change while they are read, and
# links that lead elsewhere.

load mounts

setup_file() { mounts_setup_file; }
setup() { mounts_setup; }
teardown() { mounts_teardown; }

same() { cmp -s "$1" <(purified "$2"); }

@test "identity: two images that are mounted one after the other on one device" {
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    command -v mkfs.ext4 debugfs >/dev/null || skip "no e2fsprogs"
    mkdir "$s"
    for v in 1 2; do
        mkdir -p "$w/v$v/cat"
        for i in 1 2 3; do png "$w/v$v/cat/$i.png" 16 $((v * 10 + i)); done
        truncate -s 2M "$w/$v.img"
        mkfs.ext4 -q -O ^has_journal -I 128 -d "$w/v$v" "$w/$v.img"
        for i in 1 2 3; do
            for t in ctime mtime; do echo "sif /cat/$i.png $t 20200101000000"; done
        done | debugfs -w -f - "$w/$v.img" >/dev/null 2>&1
    done
    for v in 1 2; do
        mount -o loop,ro "$w/$v.img" "$s" || skip "no loop devices"
        mnt
        for i in 1 2 3; do same "$m/cat/$i.png" "$w/v$v/cat/$i.png"; done
        relearn umount "$m"
        umount "$s"
    done
}

@test "identity: a source that numbers its files as they are looked up, or all alike" {
    cc -O1 "$CLIENTS/renumber.c" -o "$w/renumber" $(pkg-config --cflags --libs fuse3) || skip "no compiler"
    mkdir "$s" "$w/real"
    for i in 1 2 3 4; do png "$w/real/$i.png" 16 "$i"; done
    touch -d @1600000000 "$w/real"/*
    for order in "1 2 3 4" "4 3 2 1"; do
        DUP=0 ROOT=$w/real "$w/renumber" "$s"
        for i in $order; do stat "$s/$i.png" >/dev/null; done
        mnt
        for i in 1 2 3 4; do same "$m/$i.png" "$w/real/$i.png"; done
        relearn umount "$m"
        umount "$s"
    done
    DUP=1 ROOT=$w/real "$w/renumber" "$s"
    mnt
    for round in 1 2; do
        for i in 1 2 3 4; do same "$m/$i.png" "$w/real/$i.png"; done
    done
    [ "$(ls "$m" | wc -l)" -eq 4 ]
}

@test "identity: an open file stays what it was, whatever becomes of its name" {
    for how in chmod touch link unlink rename replace rename-folder; do
        rm -rf "$s" "$s"-*
        mkdir -p "$s/cat"
        cp "$DATA"/tree/cat/* "$s/cat/"
        touch -d @1600000000 "$s"/cat/*
        purified "$s/cat/1.png" >"$w/want"
        mnt -o nowatch
        "$PY" "$CLIENTS/changing.py" held "$m/cat" "$s/cat" "$w/want" "$how"
        relearn umount "$m"
    done
}

@test "identity: who opens a file that changes reads one version of it, whole" {
    mkdir "$s" "$w/versions"
    for v in 1 2 3; do
        png "$w/versions/$v.png" $((10 + 9 * v)) "$v"
        purified "$w/versions/$v.png" >"$w/versions/$v.out"
    done
    for with in nowatch watch; do
        cp "$w/versions/1.png" "$s/x.png"
        mnt $([ $with = watch ] || echo "-o nowatch")
        "$PY" "$CLIENTS/changing.py" emptied "$m" "$s" "$w/versions/1"
        "$PY" "$CLIENTS/changing.py" inplace "$m" "$s" "$w/versions" 4
        "$PY" "$CLIENTS/changing.py" race "$m" "$s" "$w/versions" 4 $([ $with = watch ] || echo xattr)
        relearn umount "$m"
    done
}

@test "identity: links that stay in the source lead to purified files, others are named" {
    mkdir -p "$s/cat" "$s/sub" "$w/pool"
    cp "$DATA/tree/cat/1.png" "$s/cat/1.png"
    cp "$DATA/tree/cat/2.png" "$w/pool/2.png"
    ln -s "$s/cat/1.png" "$s/sub/absolute.png"
    ln -s ../cat/1.png "$s/sub/relative.png"
    ln -s "$s/cat" "$s/sub/folder"
    ln -s "../../src/cat/1.png" "$s/sub/around.png"
    ln -s "$w/pool/2.png" "$s/sub/outside.png"
    mnt
    for n in absolute.png relative.png around.png folder/1.png; do
        same "$m/sub/$n" "$s/cat/1.png"
    done
    [ "$(readlink "$m/sub/relative.png")" = ../cat/1.png ]
    [ "$(readlink "$m/sub/absolute.png")" = ../cat/1.png ]
    cmp "$m/sub/outside.png" "$w/pool/2.png"
    run relearn status "$m"
    [[ "$output" = *"sub/outside.png"*"a link that leaves the source"* ]]
}

@test "identity: links that leave the source are followed where that is asked for, and only for the mounting user" {
    mkdir -p "$s/sub" "$w/pool/cat"
    cp "$DATA/tree/cat/1.png" "$DATA/tree/cat/2.png" "$w/pool/cat/"
    ln -s "$w/pool/cat/1.png" "$s/one.png"
    ln -s "$w/pool/cat" "$s/sub/cat"
    ln -s "$w/pool" "$w/pool/cat/up" # a folder that leads to itself
    run mnt -o follow,allow_other
    [ "$status" -eq 2 ]
    mnt -o follow
    same "$m/one.png" "$w/pool/cat/1.png"
    [ ! -L "$m/one.png" ]
    for i in 1 2; do same "$m/sub/cat/$i.png" "$w/pool/cat/$i.png"; done
    [ "$(ls "$m/sub/cat")" = "$(ls "$w/pool/cat")" ]
    run timeout 20 find "$m" -name 1.png
    [ "$(wc -l <<<"$output")" -ge 1 ]
    [ "$(stat -c %s "$m/one.png")" = "$(cat "$m/one.png" | wc -c)" ]
}

@test "identity: a view that is mounted into the source later is not entered" {
    sees_its_root || skip "nothing tells where a mount comes from"
    mkdir -p "$s/sub/deeper" "$w/other" "$w/mnt2"
    cp "$DATA/tree/cat/1.png" "$s/one.png"
    cp "$DATA/tree/cat/2.png" "$w/other/two.png"
    mnt
    ls -l "$m/sub" >/dev/null
    relearn mount --profile "$DATA/p.ini" --cache "$c-2" -o nosweep "$w/other" "$w/mnt2"
    mount --bind "$w/mnt2" "$s/sub/deeper" 2>/dev/null || skip "no bind mounts"
    kill -STOP "$(status_of "$w/mnt2" 'j["pid"]')" # who asks it anything waits for it
    for what in "stat $m/sub/deeper/two.png" "ls $m/sub/deeper" "cat $m/sub/deeper/two.png"; do
        run timeout 10 $what
        [ "$status" -ne 0 ] && [ "$status" -ne 124 ]
    done
    timeout 10 ls -l "$m" "$m/sub" >/dev/null 2>&1 || [ $? -ne 124 ]
    same "$m/one.png" "$s/one.png"
    pkill -CONT -f "relearnfsd .*$w/mnt2"
    umount -l "$s/sub/deeper"
}

@test "identity: a strict mount refuses what it cannot purify" {
    mkdir "$s"
    cp "$DATA/tree/cat/1.png" "$s/good.png"
    head -c 500 "$DATA/tree/cat/2.png" >"$s/cut.png"
    printf '\x93NUMPY\1\0' >"$s/a.npy"
    echo cat >"$s/label.txt"
    ln -s "$DATA/tree/cat/3.png" "$s/outside.png"
    mnt -o strict
    same "$m/good.png" "$s/good.png"
    cmp "$m/label.txt" "$s/label.txt"
    for n in cut.png a.npy; do
        run cat "$m/$n"
        [ "$status" -eq 1 ]
        [[ "$output" = *"Input/output error"* ]]
    done
    run cat "$m/outside.png"
    [ "$status" -eq 1 ]
    grep -q 'cut.png: not purified' "$(status_of "$m" 'j["log"]')"
}

@test "identity: an immutable source is known again without being read" {
    mkdir "$s"
    cp "$DATA"/tree/cat/* "$s/"
    touch -d @1600000000 "$s"/*
    sleep 0.1 # the table refuses what changed a moment ago
    mnt -o immutable
    for i in 1 2 3; do same "$m/$i.png" "$s/$i.png"; done
    relearn umount "$m"
    mnt -o immutable
    [ "$(getfattr --only-values -n user.relearn.state "$m/1.png")" = cached ]
    waited=$(status_of "$m" 'j["kernel"]["opens_waited"]')
    for i in 1 2 3; do same "$m/$i.png" "$s/$i.png"; done
    [ "$(status_of "$m" 'j["kernel"]["opens_waited"]')" = "$waited" ]
}

@test "identity: where others are let in, an access list shows no more than the owner's rights" {
    [ "$(id -u)" -eq 0 ] || skip "needs root"
    mkdir "$s"
    cp "$DATA"/tree/cat/* "$s/"
    chmod 640 "$s"/*
    "$PY" - "$s/1.png" <<'PYTHON' || skip "no access lists here"
import os, struct, sys
entries = ((1, 6, 0xffffffff), (2, 4, 65533), (4, 0, 0xffffffff), (16, 4, 0xffffffff), (32, 0, 0xffffffff))
os.setxattr(sys.argv[1], "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries))
PYTHON
    chown :65534 "$s"/*
    chmod 755 "$BATS_RUN_TMPDIR" "$w" 2>/dev/null || true
    mnt -o allow_other
    as_nogroup() { setpriv --reuid 65532 --regid 65534 --clear-groups "$@"; }
    run as_nogroup cat "$s/1.png"
    [ "$status" -eq 1 ] # the group's bits are a mask here
    run as_nogroup cat "$m/1.png"
    [ "$status" -eq 1 ]
    [[ "$output" = *"Permission denied"* ]]
    as_nogroup cat "$m/2.png" >/dev/null
    same "$m/1.png" "$s/1.png"
}
