#!/usr/bin/env bats
# relearn purify and relearn scan: what they write and count, what they refuse, and what hostile trees cannot make them
# do. The model is tiny and untrained: what is tested are the files, not the purification.

load mounts

setup_file() {
    programs_setup_file || return 1
    "$PY" -c 'import PIL, numpy' 2>/dev/null || return 0
    "$PY" - "$DATA/images" <<'P'
import os, sys
import numpy as np
from PIL import Image
root = sys.argv[1]
rng = np.random.RandomState(3)
for i in range(12):
    d = os.path.join(root, "cat" if i % 2 else "dog")
    os.makedirs(d, exist_ok=True)
    Image.fromarray(rng.randint(0, 255, (20 + i, 24, 3)).astype(np.uint8)).save(os.path.join(d, "%d.png" % i))
P
    tiny_model "$DATA/images" || return 1
    profile_of slow 1000 50 1000 # hours for the twelve images
}

setup() {
    [ -e "$DATA/p.ini" ] || skip "no PIL to make images with"
    cd "$BATS_TEST_TMPDIR" || return 1
    mkdir src
    export XDG_CACHE_HOME=$PWD/xdg
}

teardown() {
    local dir
    for dir in "$BATS_TEST_TMPDIR"/mnt*; do
        ! mountpoint -q "$dir" || umount "$dir" || true
    done
    # What rm cannot reach by a path.
    "$PY" -c 'import os,sys,shutil; shutil.rmtree(sys.argv[1], ignore_errors=True)' "$BATS_TEST_TMPDIR/deep" || true
}

purify() { # purify OPTION... SRC DST: with a cache beside them
    relearn purify -q --profile "$DATA/p.ini" --cache "$BATS_TEST_TMPDIR/cache" "$@"
}

in_json() { # in_json FILE EXPRESSION over j
    "$PY" -c 'import json,sys; j=json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@"
}

list() { (cd "$1" && find . -printf '%P %y %m %s %l\n' | sort); }

image() { cp "$DATA/images/cat/1.png" "$1"; }

@test "purify: one rule for what is there, and a command that refuses leaves nothing" {
    cp -r "$DATA/images/cat" src/
    before=$(list .)
    refused() { # refused WORD COMMAND...
        local word=$1
        shift
        run "$@"
        [ "$status" -ne 0 ] && [[ $output == *"$word"* ]] && [ "$(list .)" = "$before" ] || {
            echo "status $status: $output" >&2
            list . | diff <(echo "$before") - >&2
            return 1
        }
    }
    p="relearn purify -q --profile $DATA/p.ini"
    refused "none" $p none out
    refused "lies in the other" $p src src/cat/out
    refused "lies in the other" $p src/cat src
    refused "lies in the other" $p src src
    refused "never written" $p --cache src/cache src out
    refused "lies in the other" $p --cache out src out/x
    refused "no such profile" relearn purify -q --profile "$PWD/none.ini" src out || refused "none.ini" relearn purify -q --profile "$PWD/none.ini" src out
    refused "empty pattern" $p -x '' src out
    ln -s src linked
    before=$(list .)
    refused "lies in the other" $p src linked/out
    refused "never written" $p --cache linked/cat/cache src out
    mkdir out
    echo text >out/there
    before=$(list .)
    refused "--force" $p src out
    refused "--force" $p src/cat/1.png out/there
    refused "not a directory" $p src out/there
    purify --force src out
    [ -s out/cat/1.png ] && [ "$(cat out/there)" = text ]
}

@test "purify: beside a tree is said what purified it, and only while that is so" {
    image src/1.png
    echo text >src/b.txt
    purify src out/
    r=out.purification.json
    [ "$(in_json $r 'j["images"], j["not_purified"], j["failed"]')" = "(1, 0, 0)" ]
    [ "$(in_json $r 'j["source"]')" = "$(realpath src)" ]
    relearn profile show --json "$DATA/p.ini" >shown
    [ "$(in_json $r 'j["profile"]["id"]')" = "$(in_json shown 'j["id"]')" ]
    [ "$(in_json $r 'j["profile_text"]')" = "$(in_json shown 'j["ini"]')" ]
    [ "$(in_json $r 'j["profile"]["weights"][0]["sha256"]')" = "$(sha256sum "$DATA/m.safetensors" | cut -d' ' -f1)" ]
    [ "$(ls out)" = $'1.png\nb.txt' ]
    # one that cannot come to its end
    mkdir out/2.png
    image src/2.png
    purify --force src out || [ $? -eq 1 ]
    [ "$(in_json $r 'j["images"], j["failed"]')" = "(1, 1)" ]
    relearn purify -q --profile "$DATA/slow.ini" --cache "$PWD/slow" --force src out 2>err &
    wait_until [ ! -e $r ]
    kill -INT $!
    ! wait $!
    [ ! -e $r ]
    # a file has none, and a planted link is not followed
    purify src/1.png one.png
    [ ! -e one.png.purification.json ]
    echo mine >mine
    ln -s mine $r
    purify --force src out || [ $? -eq 1 ]
    [ "$(cat mine)" = mine ] && [ ! -L $r ] && [ -s $r ]
}

@test "purify: a bind mount of the source is the source" {
    image src/1.png
    mkdir src/sub mnt
    sees_its_root || skip "nothing tells where a mount comes from"
    mount --bind src/sub mnt 2>/dev/null || skip "no bind mounts here"
    run purify src mnt/out
    [ "$status" -eq 2 ] && [[ $output == *"lies in the other"* ]]
    run relearn purify -q --profile "$DATA/p.ini" --cache mnt/cache src out
    [ "$status" -eq 2 ] && [[ $output == *"never written"* ]]
    [ -z "$(ls mnt)" ] && [ ! -e out ]
}

@test "purify: modes and times, but no set-user-id, set-group-id or sticky bit" {
    image src/1.png
    echo text >src/run
    mkdir src/sub
    chmod 4755 src/1.png
    chmod 6711 src/run
    chmod 3750 src/sub
    touch -d @1600000000 src/sub src/run
    purify src out
    [ "$(stat -c %a:%a out/1.png out/run out/sub | sort | tr '\n' ' ')" = "711:711 750:750 755:755 " ]
    [ "$(stat -c %Y out/run out/sub | sort -u)" = 1600000000 ]
    chmod u+s src/1.png
    purify src/1.png one.png
    [ "$(stat -c %a one.png)" = 755 ]
}

@test "purify: what is planted in DST is replaced or refused, never followed" {
    mkdir -p src/dir src/dir2 out victim
    image src/1.png
    image src/dir/2.png
    echo text >src/dir2/t
    echo precious >victim/file
    chmod 600 victim/file
    ln -s ../victim/file out/1.png
    ln -s ../victim out/dir
    mkdir out/dir2
    ln -s ../../victim/new out/dir2/t
    before=$(list victim)
    run purify --force src out
    [ "$status" -eq 1 ]
    [[ $output == *"dir: something of that name is in the way"* ]]
    [ "$(list victim)" = "$before" ] && [ "$(cat victim/file)" = precious ]
    [ -f out/1.png ] && [ ! -L out/1.png ] && [ -f out/dir2/t ] && [ ! -L out/dir2/t ]
    # For a single file, too.
    rm out/1.png
    ln -s ../victim/file out/1.png
    purify --force src/1.png out
    [ ! -L out/1.png ] && [ "$(cat victim/file)" = precious ]
}

@test "purify: nothing outside is written while directories of DST are exchanged with links" {
    mkdir -p victim out
    for i in $(seq 40); do
        mkdir -p src/$i
        echo text >src/$i/t
    done
    echo precious >victim/t
    chmod 700 victim
    "$PY" - <<'P' &
import ctypes, os
libc = ctypes.CDLL(None)
if not hasattr(libc, "renameat2"): raise SystemExit(0)
os.symlink("../victim", "aside")
while not os.path.exists("done"):
    for i in range(1, 41): # RENAME_EXCHANGE
        libc.renameat2(-100, b"out/%d" % i, -100, b"aside", 2)
P
    swapper=$!
    for i in 1 2 3 4 5; do
        purify --force src out >/dev/null 2>&1 || true
    done
    touch done
    wait "$swapper"
    [ "$(ls victim)" = t ] && [ "$(cat victim/t)" = precious ] && [ "$(stat -c %a victim)" = 700 ]
}

@test "purify: links into SRC lead into DST, those that leave it are said or followed" {
    mkdir -p src/real src/abs pool/cat
    image src/real/0.png
    image pool/cat/1.png
    ln -s "$PWD/src/real/0.png" src/abs/0.png
    ln -s ../real/0.png src/abs/rel.png
    ln -s "$PWD/src/real" src/abs/dir
    ln -s "$PWD/pool/cat" src/cat
    ln -s "$PWD/pool/cat/1.png" src/1.png
    ln -s nowhere src/dangling
    run purify src out
    [ "$status" -eq 1 ]
    [[ $output == *"2 images NOT PURIFIED"*"1.png: a link that leaves the source"*"cat: a link that leaves the source"* ]]
    [ "$(readlink out/abs/0.png)" = ../real/0.png ] && [ "$(readlink out/abs/dir)" = ../real ]
    [ "$(readlink out/abs/rel.png)" = ../real/0.png ] && [ "$(readlink out/dangling)" = nowhere ]
    [ "$(readlink out/cat)" = "$PWD/pool/cat" ]
    cmp out/abs/0.png out/real/0.png
    ! cmp -s out/abs/0.png src/abs/0.png

    run purify --follow src followed
    [ "$status" -eq 0 ]
    [ -f followed/cat/1.png ] && [ ! -L followed/1.png ]
    cmp followed/cat/1.png followed/1.png
    cmp followed/1.png out/real/0.png # the same pixels
    [ "$(readlink followed/abs/dir)" = ../real ]

    run purify --strict src strict
    [ "$status" -eq 1 ]
    [ ! -e strict/cat ] && [ ! -L strict/cat ] && [ -f strict/real/0.png ]
    purify --exclude cat:1.png --exclude nothing src excluded
}

@test "purify: loops of followed links end" {
    mkdir -p src/a outside/b
    image src/a/1.png
    image outside/b/2.png
    ln -s ../.. src/a/up          # above the source, which it leads back into
    ln -s "$PWD/outside" src/o
    ln -s .. outside/b/back       # outside again
    run purify --follow src out
    [ "$status" -eq 1 ]
    [[ $output == *"a link back to a directory that it lies in"* ]]
    [[ $output == *"it is where the copy is written"* ]]
    [ -f out/a/1.png ] && [ -f out/o/b/2.png ]
    [ -z "$(find out -path '*/out/*')" ]
}

@test "purify: every depth, every name, paths that are longer than a path may be" {
    mkdir deep
    "$PY" - deep/src "$DATA/images/cat/1.png" <<'P'
import os, sys
data = open(sys.argv[2], "rb").read()
os.mkdir(sys.argv[1]); os.chdir(sys.argv[1])
open(b"\xff\xfe.png", "wb").write(data)
open(b"new\nline.png", "wb").write(data)
os.mkdir(b"\x80dir"); open(b"\x80dir/1.png", "wb").write(data)
for i in range(60):
    os.mkdir("d" * 100); os.chdir("d" * 100)
    open("%d.png" % i, "wb").write(data)
P
    purify --json deep/src deep/out >json
    [ "$(in_json json 'j["image"]["count"]')" -eq 63 ]
    "$PY" - deep/src deep/out <<'P'
import os, sys
def files(root):
    return sorted((os.path.relpath(os.fsencode(d), os.fsencode(root)), f) for d, _, fs in walk(os.fsencode(root)) for f in fs)
def walk(root):
    for d, dirs, fs, fd in os.fwalk(root): yield d, dirs, fs
a, b = files(sys.argv[1]), files(sys.argv[2])
assert a == b and len(a) == 63, (len(a), len(b))
P
}

@test "purify: holes stay holes" {
    truncate -s 3G src/sparse.bin
    printf end >>src/sparse.bin
    purify src out
    [ "$(stat -c %s out/sparse.bin)" = "$(stat -c %s src/sparse.bin)" ]
    [ "$(stat -c %b out/sparse.bin)" -lt 1000 ]
    [ "$(tail -c 3 out/sparse.bin)" = end ]
}

@test "purify: a file that changes meanwhile is one version or named" {
    "$PY" - <<'P' &
import os
fd = os.open("src/data.bin", os.O_WRONLY | os.O_CREAT)
n = 0
open("started", "w").close()
while not os.path.exists("done"): # each block says the version, from the beginning to the end
    n += 1
    for at in range(64): os.pwrite(fd, b"%015d\n" % n * 1024, at * 16384)
P
    writer=$!
    while [ ! -e started ] || [ ! -s src/data.bin ]; do sleep 0.05; done
    run purify src out
    touch done
    wait "$writer"
    if [ "$status" -eq 0 ]; then
        "$PY" -c '
n = [int(x) for x in open("out/data.bin")]
assert len(n) == 65536 and sorted(n, reverse=True) == n and n[0] - n[-1] <= 1'
    else
        [[ $output == *"data.bin: changed while it was read"* ]]
        [ ! -e out/data.bin ] && [ -z "$(ls -A out)" ]
    fi
    purify --force src out # now that it rests
    cmp src/data.bin out/data.bin
}

@test "purify: labels, rules, and what is not purified are counted and named" {
    "$PY" - <<'P'
import os
import numpy as np
from PIL import Image
rng = np.random.RandomState(1)
rgb = Image.fromarray(rng.randint(0, 255, (20, 20, 3)).astype(np.uint8))
os.makedirs("src/masks"); os.makedirs("src/a")
rgb.save("src/a/1.png"); rgb.save("src/a/2.jpg"); rgb.save("src/skip.png")
rgb.quantize(16).save("src/masks/palette.png")
rgb.convert("1").save("src/masks/bits.png")
Image.fromarray((np.arange(400).reshape(20, 20) * 100).astype(np.uint16)).save("src/masks/deep.png")
np.save("src/array.npy", np.zeros((2, 20, 20, 3), np.float32))
data = open("src/a/1.png", "rb").read()
open("src/a/cut.png", "wb").write(data[:20])
P
    echo text >src/label.txt
    run purify --json -x skip.png src out
    [ "$status" -eq 1 ]
    echo "$output" >json
    [ "$(in_json json '[j[g]["count"] for g in ("image", "label", "excluded", "other", "not_purified", "failed")]')" = "[2, 3, 1, 1, 2, 0]" ]
    [ "$(in_json json 'sorted(f["path"] for f in j["not_purified"]["files"])')" = "['a/cut.png', 'array.npy']" ]
    [ "$(in_json json 'all(f["why"] for f in j["not_purified"]["files"])')" = True ]
    [ "$(in_json json 'j["excluded"]["files"]')" = "[{'path': 'skip.png'}]" ]
    for f in masks/palette.png masks/bits.png masks/deep.png skip.png array.npy label.txt; do cmp src/$f out/$f; done
    cmp -n "$(stat -c %s src/a/cut.png)" src/a/cut.png out/a/cut.png
    ! cmp -s src/a/1.png out/a/1.png

    # scan says the same before.
    run relearn scan --json --profile "$DATA/p.ini" -x skip.png src
    [ "$status" -eq 1 ]
    echo "$output" | sed -n '/^{/,$p' >scanned
    for g in image label excluded other not_purified; do
        [ "$(in_json json 'j["'$g'"]["count"]')" = "$(in_json scanned 'j["'$g'"]["count"]')" ]
    done

    # Damage that only decoding finds: the original, filled up to the size that a mount tells.
    "$PY" -c '
data = open("src/a/1.png", "rb").read()
open("src/a/late.png", "wb").write(data[:300])'
    run purify --json src/a/late.png late.png
    [ "$status" -eq 1 ]
    "$PY" -c '
a, b = open("src/a/late.png", "rb").read(), open("late.png", "rb").read()
assert len(b) > len(a) and b[:300] == a and set(b[300:]) == {255}'
    rm src/a/late.png

    # An include wins: a folder lets its files in as what they are, a file's name insists on them.
    run purify --json -i masks -x '*' src included
    echo "$output" >json
    [ "$status" -eq 0 ] && [ "$(in_json json '[j[g]["count"] for g in ("image", "label", "excluded")]')" = "[0, 3, 6]" ]
    cmp src/masks/palette.png included/masks/palette.png
    cmp src/a/1.png included/a/1.png
    run purify --json -i 'palette.png:deep.png' src insisted
    echo "$output" >json
    [ "$(in_json json '[j[g]["count"] for g in ("image", "label", "not_purified")]')" = "[4, 1, 3]" ]
    ! cmp -s src/masks/palette.png insisted/masks/palette.png
    cmp src/masks/deep.png insisted/masks/deep.png # 16 bits stay

    run purify --strict src strict
    [ "$status" -eq 1 ] && [[ $output == *"2 images NOT PURIFIED"* ]]
    [ ! -e strict/array.npy ] && [ ! -e strict/a/cut.png ] && [ -e strict/a/1.png ]
}

@test "scan and purify: JSON has a name that is no UTF-8 as U+FFFD and in hexadecimal" {
    head -c 20 "$DATA/images/cat/1.png" >src/$'cut\xff.png'
    relearn scan --json src >scan.json || [ $? -eq 1 ]
    relearn purify --profile "$DATA/p.ini" --cache c -q --json src dst >purify.json || [ $? -eq 1 ]
    "$PY" - scan.json purify.json <<'P'
import json, sys
for name in sys.argv[1:]:
    file, = json.load(open(name))["not_purified"]["files"]
    assert file["path"] == "cut\ufffd.png", file
    assert bytes.fromhex(file["path_hex"]) == b"cut\xff.png", file
P
}

@test "scan: what it tells before is what purify then does" {
    cp -r "$DATA/images/." src/
    relearn scan --json -q --profile "$DATA/p.ini" src >scanned
    [ ! -e cache ] && [ ! -e xdg ] # it makes nothing
    purify --json src out >json
    [ "$(in_json scanned 'j["image"]["count"]')" = 12 ]
    [ "$(in_json json 'j["image"]["count"]')" = 12 ]
    [ "$(in_json scanned 'j["pixels"]')" = $((24 * (12 * 20 + 66))) ]
    # 16-pixel tiles that overlap by 8: 2 across; 2 down for 20 to 24 rows, 3 for 25 to 31.
    [ "$(in_json scanned 'j["tiles"]')" = $((2 * (5 * 2 + 7 * 3))) ]
    packs=$(cat cache/packs/*.pack | wc -c)
    told=$(in_json scanned 'j["cache_bytes"]')
    [ "$packs" -ge "$told" ] && [ "$packs" -lt $((told + 8192)) ]
    [ "$(in_json scanned 'j["seconds"] > 0 and j["largest_seconds"] > 0')" = True ]
    run relearn scan -q --profile "$DATA/p.ini" src
    [ "$status" -eq 0 ] && [[ $output == "12 images to purify"*"cache:"*"time:"* ]]
    run relearn scan -q --profile "$DATA/p.ini" src/cat/1.png
    [ "$status" -eq 0 ] && [[ $output == "1 images to purify"* ]]
    run relearn scan -q --profile "$DATA/p.ini" none
    [ "$status" -eq 1 ]
}

@test "purify: Ctrl-C ends it with 130, and what there is to do again is done" {
    cp -r "$DATA/images/." src/
    echo text >src/a.txt
    relearn purify --profile "$DATA/slow.ini" --cache cache src out >talk 2>&1 &
    pid=$!
    until [ -e out/a.txt ]; do sleep 0.05; done # it is at work
    sleep 0.3
    kill -INT $pid
    code=0
    wait $pid || code=$?
    [ "$code" -eq 130 ]
    grep -q 'stopped after' talk
    ! grep -q 'cancelled' talk
    [ -z "$(find out -name '.relearn-part-*')" ]
    purify --force src out
    [ "$(find out -name '*.png' | wc -l)" -eq 12 ]
}

@test "purify: a full disk or a read-only one ends it with one message" {
    cp -r "$DATA/images/." src/
    for i in $(seq 30); do head -c 100000 /dev/urandom >src/zz$i; done
    mkdir mnt
    mount -t tmpfs -o size=400k none mnt 2>/dev/null || skip "no tmpfs can be mounted here"
    run purify src mnt/out
    [ "$status" -eq 1 ]
    [ "$(wc -l <<<"$output")" -eq 1 ]
    [[ $output == *"no space left"* ]]
    [ -z "$(find mnt -name '.relearn-part-*')" ]
    rm -rf mnt/out
    mkdir mnt/out
    mount -o remount,ro mnt
    run purify src mnt/out
    [ "$status" -eq 1 ]
    [ "$(wc -l <<<"$output")" -eq 1 ]
    [[ $output == *"read-only"* ]]
}

@test "purify: a mount within the source is not entered" {
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    image src/1.png
    mkdir src/mnt other
    image other/2.png
    relearn mount -o nosweep --profile "$DATA/p.ini" --cache cache other src/mnt || skip "no mounts here"
    run purify src out
    relearn umount src/mnt
    [ "$status" -eq 1 ] && [[ $output == *"mnt: a mount of relearnfs"* ]]
    [ -f out/1.png ] && [ ! -e out/mnt/2.png ]
}

@test "purify: a link into a mount that does not answer holds nobody up" {
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    mkdir mnt other
    image src/1.png
    image other/2.png
    ln -s "$PWD/mnt/2.png" src/view.png
    relearn mount -o nosweep --profile "$DATA/p.ini" --cache mounted other mnt || skip "no mounts here"
    pid=$(relearn status --json mnt | "$PY" -c 'import json,sys; print(json.load(sys.stdin)[0]["pid"])')
    kill -STOP "$pid"
    run timeout 60 relearn purify -q --profile "$DATA/p.ini" --cache cache src out
    kill -CONT "$pid"
    relearn umount mnt
    [ "$status" -eq 1 ] && [[ $output == *"view.png: a link that leaves the source"* ]]
    [ -f out/1.png ] && [ -L out/view.png ]
}
