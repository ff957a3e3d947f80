#!/usr/bin/env bats
# The cache directory in bad company: a full disk, a disk that cannot be written, a network file system, other users'
# directories. The model is tiny and untrained: what is tested are the files, not the purification.

load mounts

setup_file() {
    programs_setup_file || return 1
    "$PY" -c 'import PIL, numpy' 2>/dev/null || return 0
    "$PY" - "$DATA/images" <<'P'
import os, sys
import numpy as np
from PIL import Image
root = sys.argv[1]
rng = np.random.RandomState(5)
for i in range(24):
    d = os.path.join(root, "cat" if i % 2 else "dog")
    os.makedirs(d, exist_ok=True)
    Image.fromarray(rng.randint(0, 255, (64, 64, 3)).astype(np.uint8)).save(os.path.join(d, "%d.png" % i))
P
    tiny_model "$DATA/images" || return 1
    relearn purify -q --profile "$DATA/p.ini" --cache "$DATA/cache" "$DATA/images" "$DATA/golden"
}

setup() {
    [ -e "$DATA/golden" ] || skip "no PIL to make images with"
    cd "$BATS_TEST_TMPDIR" || return 1
    mkdir m disk
}

teardown() {
    relearn umount m 2>/dev/null || true
    while mountpoint -q disk; do umount disk || umount -l disk; done
}

small_disk() { # small_disk SIZE: a file system of its own at ./disk
    [ "$(id -u)" = 0 ] || skip "only root mounts"
    mount -t tmpfs -o size="$1",mode=700 none disk 2>/dev/null || skip "nothing can be mounted here"
}

fill() { dd if=/dev/zero of=disk/filler oflag=append conv=notrunc bs=4k 2>/dev/null || true; }

mnt() { # mnt CACHE [OPTION...]
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    local cache=$1
    shift
    relearn mount --profile "$DATA/p.ini" --cache "$cache" -o nosweep "$@" "$DATA/images" m
}

same() { # same DIR: every image there is the purified one
    diff -r "$DATA/golden" "$1"
}

objects() { relearn cache stats --json --cache "$1" | "$PY" -c 'import json,sys; print(json.load(sys.stdin)["objects"])'; }

@test "cache: on a full disk it opens, serves, and gives space back" {
    small_disk 4m
    relearn purify -q --profile "$DATA/p.ini" --cache disk/c "$DATA/images" out
    fill
    [ "$(objects disk/c)" = 24 ]
    relearn cache verify --cache disk/c
    relearn cache gc --limit 150K --cache disk/c
    left=$(objects disk/c)
    [ "$left" -lt 24 ]
    fill
    relearn cache rebuild --cache disk/c
    [ "$(objects disk/c)" = "$left" ]
    fill
    relearn cache rm --all --cache disk/c
    [ "$(objects disk/c)" = 0 ]
    [ -z "$(ls disk/c/packs)" ]
}

@test "cache: a mount on a full disk serves what is stored, and the rest" {
    small_disk 4m
    cp -a "$DATA/cache" disk/c
    relearn cache gc --limit 150K --cache disk/c
    fill
    mnt disk/c
    same m
    relearn umount m
    relearn cache verify --cache disk/c
}

@test "cache: a full cache on a read-only file system serves" {
    small_disk 4m
    cp -a "$DATA/cache" disk/c
    mount -o remount,ro disk
    [ "$(objects disk/c)" = 24 ]
    relearn cache verify --cache disk/c
    mnt disk/c # its socket lies elsewhere
    same m
    relearn status m | grep -F "$PWD/m"
    relearn umount m
    export XDG_RUNTIME_DIR=$PWD/run
    mkdir -m 700 run
    mnt disk/c
    [ -n "$(ls run/relearnfs)" ]
    relearn umount m
    relearn purify -q --profile "$DATA/p.ini" --cache disk/c "$DATA/images" out
    same out
    run relearn cache gc --cache disk/c
    [ "$status" -eq 1 ]
    [[ $output = *"disk/c"* ]]
}

@test "cache: not on a network file system, and nothing is made there" {
    mnt "$PWD/c"
    run relearn purify -q --profile "$DATA/p.ini" --cache "$PWD/m/sub/cache" "$DATA/images" out
    [ "$status" -eq 1 ]
    [[ $output = *"network file system (FUSE)"* ]]
    [ ! -e out ] || [ -z "$(ls -A out)" ]
}

@test "cache: somebody else's directory is refused by root, and links in it lead nowhere" {
    [ "$(id -u)" = 0 ] || skip "only root gives files away"
    mkdir -m 755 c
    chown nobody c 2>/dev/null || skip "no user nobody"
    echo precious >precious
    ln -s "$PWD/made" c/lock
    ln -s "$PWD/precious" c/index.sqlite
    for command in "cache stats" "cache gc" "cache rm --all" "cache rebuild"; do
        mkdir -p c/packs
        run relearn $command --cache c
        [ "$status" -eq 1 ]
        [[ $output = *"belongs to user"* ]]
    done
    rmdir c/packs
    run relearn purify -q --profile "$DATA/p.ini" --cache c "$DATA/images" out
    [ "$status" -eq 1 ]
    run mnt c
    [ "$status" -ne 0 ]
    [ ! -e made ]
    [ "$(cat precious)" = precious ]
    [ "$(ls c)" = $'index.sqlite\nlock' ]
}

@test "cache: in a directory that others may enter nobody else opens its files" {
    mkdir -m 755 c
    (umask 0 && relearn purify -q --profile "$DATA/p.ini" --cache c "$DATA/images" out)
    [ -z "$(find c -type f -perm /077)" ]
    [ -z "$(find c/packs -maxdepth 0 -perm /077)" ]
}

@test "cache: every command that prints has --json" {
    cp -a "$DATA/cache" c
    for command in ls "ls --objects" stats verify gc rebuild "rm --all"; do
        relearn cache $command --json --cache c 2>/dev/null | "$PY" -m json.tool >/dev/null
    done
}

@test "cache: names of profiles do not reach the terminal raw" {
    export XDG_CONFIG_HOME=$PWD/config
    mkdir -p config/relearnfs/profiles
    cp "$DATA/p.ini" "config/relearnfs/profiles/$(printf 'a\033[31mb').ini"
    relearn cache ls --cache "$DATA/cache" >text
    ! grep -q "$(printf '\033')" text
    relearn cache ls --json --cache "$DATA/cache" | "$PY" -c 'import json,sys; j=json.load(sys.stdin); assert len(j) == 1 and "\x1b" not in j[0]["name"]'
    run relearn cache stats --cache "$(printf 'no\033[31mne')"
    [ "$status" -eq 1 ]
    [[ $output != *$'\033'* ]]
}

@test "cache: a mount has a limit unless it is told none" {
    max() { relearn status --json m | "$PY" -c 'import json,sys
j = json.load(sys.stdin)
j = j[0] if isinstance(j, list) else j
print(j["cache"]["max_bytes"])'; }
    size=$(($(stat -f -c '%b * %S' .)))
    mnt "$PWD/c"
    n=$(max)
    [ "$n" -gt 0 ]
    [ "$n" -le $((size / 4)) ]
    relearn umount m
    mnt "$PWD/c" -o cache_size=3M
    [ "$(max)" = 3145728 ]
    relearn umount m
    mnt "$PWD/c" -o cache_size=none
    n=$(max)
    [ "$n" = -1 ] || [ "$n" = 18446744073709551615 ] || [ "$n" = null ] || [ "$n" = None ]
}
