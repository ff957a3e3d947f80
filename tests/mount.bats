#!/usr/bin/env bats
# Real mounts: what programs see, what a crash leaves behind, what the commands say. The model is tiny and untrained:
# what is tested is the file system, not the purification.

load mounts

setup_file() {
    programs_setup_file || return 1
    export TREE=$DATA/tree
    "$PY" -c 'import PIL, numpy' 2>/dev/null || return 0
    "$PY" "$CLIENTS/make_tree.py" "$TREE" || return 1
    "$PY" "$CLIENTS/make_tree.py" "$DATA/broken" with-damage || return 1
    tiny_model "$TREE/classes" || return 1
    profile_of slow 900 40 100 # about two seconds for a small image
    relearn purify -q --profile "$DATA/p.ini" --cache "$DATA/shared" "$TREE" "$DATA/golden" >&2 ||
        [ $? -eq 1 ] # some of its images are damaged
}

setup() {
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    [ -e "$TREE" ] || skip "no PIL to make images with"
    m=$BATS_TEST_TMPDIR/mnt c=$BATS_TEST_TMPDIR/cache
    mkdir "$m"
}

teardown() {
    local dir
    for dir in "$BATS_TEST_TMPDIR"/mnt*; do
        [ -d "$dir" ] || findmnt "$dir" >/dev/null || continue
        relearn umount "$dir" 2>/dev/null || fusermount3 -uz "$dir" 2>/dev/null || true
    done
}

# mnt [OPTION...]: the tree at $m with its own cache.
mnt() {
    relearn mount --profile "$DATA/p.ini" --cache "$c" -o nosweep "$@" "$TREE" "$m"
}

daemon_pid() {
    status_of "$1" 'j["pid"]'
}

is_mounted() { grep -q " $1 .*fuse.relearnfs" /proc/self/mountinfo; }
is_gone() { ! is_mounted "$1"; }

@test "mount: sizes from stat before any read are what is read" {
    mnt
    "$PY" "$CLIENTS/served.py" sizes "$m"
    # And again with everything forgotten but the cache.
    relearn umount "$m"
    mnt
    "$PY" "$CLIENTS/served.py" sizes "$m"
}

@test "mount: cp, rsync, tar, dd, mmap and a second mount give the same bytes" {
    mnt
    cp -a "$m" "$BATS_TEST_TMPDIR/cp"
    rm "$BATS_TEST_TMPDIR/cp/names/fifo"
    "$PY" "$CLIENTS/served.py" compare "$DATA/golden" "$BATS_TEST_TMPDIR/cp"
    run rsync -acn --itemize-changes --exclude fifo "$m/" "$DATA/golden/"
    echo "$output"
    [ "$output" = "" ]
    mkdir "$BATS_TEST_TMPDIR/tar"
    tar -C "$m" -cf - . | tar -C "$BATS_TEST_TMPDIR/tar" -xf -
    rm "$BATS_TEST_TMPDIR/tar/names/fifo"
    "$PY" "$CLIENTS/served.py" compare "$DATA/golden" "$BATS_TEST_TMPDIR/tar"
    dd if="$m/png/exif.png" of="$BATS_TEST_TMPDIR/dd" bs=7 status=none
    cmp "$BATS_TEST_TMPDIR/dd" "$DATA/golden/png/exif.png"
    "$PY" "$CLIENTS/served.py" mmap "$m"
    # A second mount with the same cache, a third with its own and one thread.
    for n in 2 3; do
        mkdir "$m$n"
        relearn mount --profile "$DATA/p.ini" --cache "$([ $n = 2 ] && echo "$c" || echo "$c$n")" -o nosweep,threads=1 "$TREE" "$m$n"
        "$PY" "$CLIENTS/served.py" compare "$m" "$m$n"
        relearn umount "$m$n"
    done
}

@test "mount: relearn purify writes what the mount shows, with modes and times" {
    mnt
    for d in "$m" "$DATA/golden"; do
        (cd "$d" && find . ! -type p ! -path . -printf '%p %y %m %s %l %T@\n' | sed '/ d /s/ [0-9]* *\([^ ]*\)$/ \1/' | sort) \
            >"$BATS_TEST_TMPDIR/list-${d##*/}"
    done
    diff "$BATS_TEST_TMPDIR"/list-*
    relearn purify -q --profile "$DATA/p.ini" --cache "$c" "$TREE/png/rgb.png" "$BATS_TEST_TMPDIR/one.png"
    cmp "$m/png/rgb.png" "$BATS_TEST_TMPDIR/one.png"
    run relearn purify -q --profile "$DATA/p.ini" --cache "$c" "$TREE" "$TREE/inside"
    [ "$status" -eq 2 ]
    [ ! -e "$TREE/inside" ]
    touch -d @1600000000 "$TREE"
}

@test "mount: the source is not touched" {
    facts() { "$PY" "$CLIENTS/served.py" facts "$TREE"; (cd "$TREE" && find . -printf '%p %A@\n' | sort); }
    # Reading it for the comparison touches access times; those of files are compared around the mount alone.
    before=$("$PY" "$CLIENTS/served.py" facts "$TREE")
    atimes=$(cd "$TREE" && find . -type f -printf '%p %A@\n' | sort)
    mnt -o sweep
    "$PY" "$CLIENTS/served.py" sizes "$m"
    wait_until eval '[ "$(status_of "$m" "j[\"ahead\"][\"phase\"]")" = done ]'
    relearn umount "$m"
    [ "$atimes" = "$(cd "$TREE" && find . -type f -printf '%p %A@\n' | sort)" ]
    [ "$before" = "$("$PY" "$CLIENTS/served.py" facts "$TREE")" ]
}

@test "mount: the same bytes after the cache was emptied" {
    mnt
    cat "$m"/classes/*/*.png >/dev/null
    relearn umount "$m"
    relearn cache rm --cache "$c" --all
    mnt
    rm -rf "$BATS_TEST_TMPDIR/cp"
    cp -a "$m" "$BATS_TEST_TMPDIR/cp"
    rm "$BATS_TEST_TMPDIR/cp/names/fifo"
    "$PY" "$CLIENTS/served.py" compare "$DATA/golden" "$BATS_TEST_TMPDIR/cp"
    # Emptied under a mount that is up: what the kernel and we remember goes on being true.
    relearn cache rm --cache "$c" --all
    echo 3 >/proc/sys/vm/drop_caches 2>/dev/null || true
    "$PY" "$CLIENTS/served.py" sizes "$m"
    cmp "$m/png/rgb.png" "$DATA/golden/png/rgb.png"
}

# Waits until images are with the purifier and some are stored already; fails when that is over before it was seen.
is_at_work() { # MOUNT OBJECTS
    local m=$1 objects=$2 i text
    for ((i = 0; i < 2000; i++)); do
        text=$(<"$m/.relearn/metrics")
        [[ $text =~ relearnfs_cache_objects\ ([0-9]+) && ${BASH_REMATCH[1]} -ge $objects ]] || continue
        [[ $text =~ relearnfs_in_flight\ [1-9] ]] && return 0
    done
    return 1
}

@test "mount: killed thirty times while images are purified, it comes back and the cache is clean" {
    profile_of some 40 4 20 # about a second for the tree
    relearn purify -q --profile "$DATA/some.ini" --cache "$c-golden" "$TREE" "$BATS_TEST_TMPDIR/golden" >&2 || [ $? -eq 1 ]
    caught=0 found=0
    for i in $(seq 30); do
        rm -rf "$c"
        relearn mount --profile "$DATA/some.ini" --cache "$c" "$TREE" "$m" 2>>"$BATS_TEST_TMPDIR/log"
        pid=$(daemon_pid "$m")
        "$PY" "$CLIENTS/served.py" load "$m" >>"$BATS_TEST_TMPDIR/wrong" 2>/dev/null &
        loader=$!
        if is_at_work "$m" $((i % 6)); then caught=$((caught + 1)); fi
        kill -9 "$pid"
        kill -9 "$loader"
        wait "$loader" 2>/dev/null || true
        wait_until has_ended "$pid"
        # What it left is true, and what is not there is purified again.
        relearn mount --profile "$DATA/some.ini" --cache "$c" -o nosweep "$TREE" "$m" 2>>"$BATS_TEST_TMPDIR/log"
        found=$((found + $(status_of "$m" 'j["cache"]["objects"]')))
        [ "$(status_of "$m" 'j["cache"]["damaged"]')" -eq 0 ]
        for f in png/rgb.png jpeg/rgb.jpg classes/cat/1.png; do cmp "$m/$f" "$BATS_TEST_TMPDIR/golden/$f"; done
        relearn umount "$m"
        relearn cache verify --cache "$c" >/dev/null
    done
    echo "killed $caught times with work in flight; $found images were in the caches then"
    [ ! -s "$BATS_TEST_TMPDIR/wrong" ]
    [ "$caught" -ge 25 ]
    [ "$found" -ge 30 ]
    mnt --profile "$DATA/some.ini"
    cp -a "$m/png" "$BATS_TEST_TMPDIR/png"
    "$PY" "$CLIENTS/served.py" compare "$BATS_TEST_TMPDIR/golden/png" "$BATS_TEST_TMPDIR/png"
}

@test "mount: nothing can be changed, also when it is remounted read-write" {
    mnt
    "$PY" "$CLIENTS/served.py" readonly "$m"
    [ "$(id -u)" -eq 0 ] || skip "the rest needs root"
    # Newer mounts ask through fsconfig(), which FUSE refuses altogether: as good.
    run mount -i -o remount,rw "$m"
    [ "$status" -eq 0 ] || [[ $output = *"No changes allowed"* ]]
    "$PY" "$CLIENTS/served.py" readonly "$m"
}

@test "mount: an image whose damage only decoding shows is served as it is" {
    TREE=$DATA/broken
    mnt
    told=$(stat -c %s "$m/png/damaged.png")
    own=$(stat -c %s "$TREE/png/damaged.png")
    [ "$told" -gt "$own" ]
    for round in 1 2; do # its size is what was told, before and after
        cmp -n "$own" "$m/png/damaged.png" "$TREE/png/damaged.png"
        [ "$(tail -c +$((own + 1)) "$m/png/damaged.png" | tr -d '\377' | wc -c)" -eq 0 ]
        [ "$(stat -c %s "$m/png/damaged.png")" = "$told" ]
        [ "$(cat "$m/png/damaged.png" | wc -c)" = "$told" ]
    done
    relearn status "$m" | grep -F 'png/damaged.png: '
    [ "$(getfattr --only-values -n user.relearn.state "$m/png/damaged.png")" = original ]
    relearn umount "$m"
    # Remembered: right from the first stat.
    mnt
    "$PY" "$CLIENTS/served.py" sizes "$m"
}

@test "mount: changes in the source are seen" {
    TREE=$BATS_TEST_TMPDIR/live
    cp -a "$DATA/tree/classes" "$TREE"
    mnt
    ls -lR "$m" >/dev/null
    wait_until eval '[ "$(status_of "$m" "j[\"watching\"]")" = True ]'
    sleep 2.5 # nothing counts as just changed any more: names are believed for an hour
    cat "$m"/*/*.png >/dev/null
    ls "$m/cat" "$m/cat/new.png" >/dev/null 2>&1 || true
    same() { relearn purify -q --force --profile "$DATA/p.ini" --cache "$c" "$1" "$BATS_TEST_TMPDIR/x" >/dev/null && cmp -s "$BATS_TEST_TMPDIR/x" "$2"; }
    # written in place
    cp "$DATA/tree/png/rgb.png" "$TREE/cat/1.png"
    wait_until same "$TREE/cat/1.png" "$m/cat/1.png"
    [ "$(stat -c %s "$m/cat/1.png")" = "$(stat -c %s "$DATA/golden/png/rgb.png")" ]
    # replaced, created, removed, renamed
    cp "$DATA/tree/png/exif.png" "$TREE/tmp" && mv "$TREE/tmp" "$TREE/cat/3.png"
    wait_until same "$TREE/cat/3.png" "$m/cat/3.png"
    cp "$DATA/tree/png/grey.png" "$TREE/cat/new.png"
    wait_until same "$TREE/cat/new.png" "$m/cat/new.png"
    rm "$TREE/cat/5.png"
    wait_until eval '! [ -e "$m/cat/5.png" ]'
    mv "$TREE/dog" "$TREE/wolf"
    wait_until eval '[ "$(ls "$m")" = "cat
wolf" ]'
    mkdir "$TREE/fox" && cp "$DATA/tree/png/rgb.png" "$TREE/fox/"
    wait_until same "$TREE/fox/rgb.png" "$m/fox/rgb.png"
    ls "$m/cat" | grep new.png
}

@test "mount: a file that changes while it is open" {
    TREE=$BATS_TEST_TMPDIR/live
    cp -a "$DATA/tree/classes" "$TREE"
    mnt
    cp "$m/cat/1.png" "$BATS_TEST_TMPDIR/old"
    exec 7<"$m/cat/1.png"
    cp "$DATA/tree/png/rgb.png" "$TREE/tmp" && mv "$TREE/tmp" "$TREE/cat/1.png"
    wait_until cmp -s "$m/cat/1.png" "$DATA/golden/png/rgb.png"
    cmp - "$BATS_TEST_TMPDIR/old" <&7
    cp "$DATA/tree/png/grey.png" "$TREE/cat/1.png" # in place, while nobody has this one open
    wait_until cmp -s "$m/cat/1.png" "$DATA/golden/png/grey.png"
    exec 7<&-
}

@test "mount: without a watch, changes are seen after a second" {
    TREE=$BATS_TEST_TMPDIR/live
    cp -a "$DATA/tree/classes" "$TREE"
    mnt -o nowatch
    cat "$m/cat/1.png" >/dev/null
    cp "$DATA/tree/png/rgb.png" "$TREE/cat/1.png"
    rm "$TREE/cat/3.png"
    sleep 1.2
    cmp "$m/cat/1.png" "$DATA/golden/png/rgb.png"
    [ ! -e "$m/cat/3.png" ]
}

@test "mount: an ImageFolder script trains on it" {
    "$PY" -c 'import torchvision' 2>/dev/null || skip "no torchvision"
    mnt
    run "$PY" "$CLIENTS/imagefolder.py" "$m/classes"
    echo "$output"
    [ "$status" -eq 0 ]
    [[ "$output" = *"epoch 1: 12 images, 2 classes"* ]]
}

@test "mount: a dead mount is replaced, a living one is not" {
    mnt
    run mnt
    [ "$status" -eq 1 ]
    [[ "$output" = *"is mounted there"* ]]
    kill -9 "$(daemon_pid "$m")"
    wait_until eval '! stat "$m" 2>/dev/null'
    run relearn status "$m"
    [ "$status" -eq 1 ]
    [[ "$output" = *"its daemon is gone"* ]]
    mnt
    cmp "$m/png/rgb.png" "$DATA/golden/png/rgb.png"
    kill -9 "$(daemon_pid "$m")"
    relearn umount "$m"
    is_gone "$m"
}

@test "mount: SIGTERM unmounts, and the service manager is told" {
    "$PY" -c 'import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind(sys.argv[1])
for i in range(2): print(s.recv(99).decode(),flush=True)' "$BATS_TEST_TMPDIR/notify" >"$BATS_TEST_TMPDIR/told" &
    listener=$!
    wait_until [ -S "$BATS_TEST_TMPDIR/notify" ]
    NOTIFY_SOCKET=$BATS_TEST_TMPDIR/notify relearn mount -f --profile "$DATA/p.ini" --cache "$c" "$TREE" "$m" 2>"$BATS_TEST_TMPDIR/log" &
    daemon=$!
    wait_until grep -q READY=1 "$BATS_TEST_TMPDIR/told"
    cat "$m/png/rgb.png" >/dev/null
    kill -TERM $daemon
    wait $daemon
    wait $listener
    [ "$(cat "$BATS_TEST_TMPDIR/told")" = "READY=1
STOPPING=1" ]
    is_gone "$m"
    relearn cache verify --cache "$c"
}

@test "mount: SIGTERM while a file stays open ends it all the same" {
    mnt
    pid=$(daemon_pid "$m")
    exec 7<"$m/meta/large.bin"
    kill -TERM "$pid"
    wait_until has_ended "$pid"
    is_gone "$m"
    run cat <&7
    exec 7<&-
}

@test "mount: as mount(8) and fstab do it" {
    [ "$(id -u)" -eq 0 ] || skip "mount(8) needs root"
    mount -t fuse3 "$BUILD/bin/relearnfsd#$TREE" "$m" -o "ro,nofail,_netdev,x-systemd.automount,noatime,noexec,profile=$DATA/p.ini,cache=$c,allow_other,nosweep"
    is_mounted "$m"
    grep " $m .*noexec.* fuse.relearnfs $TREE .*allow_other" /proc/self/mountinfo
    cmp "$m/png/rgb.png" "$DATA/golden/png/rgb.png"
    umount "$m"
    is_gone "$m"
    ln -s "$BUILD/bin/relearnfsd" "$BATS_TEST_TMPDIR/mount.fuse.relearnfs"
    "$BATS_TEST_TMPDIR/mount.fuse.relearnfs" "$TREE" "$m" -s -f -o rw
    is_gone "$m"
    "$BATS_TEST_TMPDIR/mount.fuse.relearnfs" "$TREE" "$m" -n -o "rw,profile=$DATA/p.ini,cache=$c"
    is_mounted "$m"
}

@test "mount: permissions are the source's" {
    [ "$(id -u)" -eq 0 ] || skip "needs another user"
    TREE=$BATS_TEST_TMPDIR/live
    chmod 755 "$BATS_TEST_TMPDIR" "$BATS_FILE_TMPDIR" "$BATS_RUN_TMPDIR"
    cp -a "$DATA/tree/classes" "$TREE"
    chmod 600 "$TREE/cat/1.png"
    mnt -o allow_other
    as() { setpriv --reuid 65534 --regid 65534 --clear-groups "$@"; }
    as cat "$m/cat/3.png" >/dev/null
    run as cat "$m/cat/1.png"
    [ "$status" -eq 1 ]
    [[ "$output" = *"Permission denied"* ]]
}

@test "warm: purifies a list in order, says what is ready, and names what fails" {
    mnt
    run relearn warm --check "$m"
    [ "$status" -eq 1 ]
    printf '%s\n' png/rgb.png "$m/jpeg/rgb.jpg" names/link.png label.txt | relearn warm -f - "$m"
    [ "$(getfattr --only-values -n user.relearn.state "$m/png/rgb.png")" = cached ]
    [ "$(getfattr --only-values -n user.relearn.state "$m/png/rgba.png")" = absent ]
    [ "$(getfattr --only-values -n user.relearn.source_sha256 "$m/png/rgb.png")" = "$(sha256sum <"$TREE/png/rgb.png" | cut -d' ' -f1)" ]
    [ -z "$(getfattr -d -m - "$m/png/rgb.png")" ]
    run relearn warm -f <(echo none.png) "$m"
    [ "$status" -eq 1 ]
    run relearn warm "$m" # some files of the tree cannot be purified
    [ "$status" -eq 1 ]
    [[ "$output" = *"NOT PURIFIED"* ]]
    run relearn warm --check "$m"
    [[ "$output" = *" 0 to purify"* ]]
    n=$(status_of "$m" 'j["work"]["purified"]')
    "$PY" "$CLIENTS/served.py" sizes "$m"
    [ "$(status_of "$m" 'j["work"]["purified"]')" = "$n" ]
}

@test "sweep: purifies everything while nobody reads" {
    mnt -o sweep
    wait_until eval '[ "$(status_of "$m" "j[\"ahead\"][\"phase\"]")" = done ]'
    wait_until eval 'relearn warm --check "$m" 2>/dev/null | grep -qF " 0 to purify"'
    relearn status "$m" | grep -F 'png/cut.png: '
    status_of "$m" '"\n".join(x["path"] + ": " + x["why"] for x in j["not_purified"]["recent"])' |
        grep -F 'png/cut.png: PNG: '
}

@test "mount: frozen, files are opened without asking, and the same bytes are read" {
    relearn mount --profile "$DATA/p.ini" --cache "$c" -o frozen "$TREE" "$m"
    cat "$m/png/rgb.png" >/dev/null # as any mount until everything is purified
    exec 5<"$m/png/rgba.png"        # a file that was opened before
    wait_until eval '[ "$(status_of "$m" "j[\"frozen\"]")" = True ]'
    cat "$m/label.txt" >/dev/null # the first OPEN that is answered so
    sleep 1.1                     # the figures of such a mount may be a second old
    before=$(status_of "$m" 'j["kernel"]["opens"]')
    cp -a "$m" "$BATS_TEST_TMPDIR/cp"
    rm "$BATS_TEST_TMPDIR/cp/names/fifo"
    "$PY" "$CLIENTS/served.py" compare "$DATA/golden" "$BATS_TEST_TMPDIR/cp"
    "$PY" "$CLIENTS/served.py" sizes "$m"
    find "$m" -type f -exec dd if={} iflag=nocache count=0 status=none \; # out of the page cache
    "$PY" "$CLIENTS/served.py" mmap "$m"
    dd if="$m/png/exif.png" bs=7 status=none | cmp - "$DATA/golden/png/exif.png"
    cmp - "$DATA/golden/png/rgba.png" <&5
    exec 5<&-
    sleep 1.1
    [ "$(status_of "$m" 'j["kernel"]["opens"]')" = "$before" ]
    relearn status "$m" | grep -E '^  frozen +yes: '
    # What is said of the mount is not frozen with it.
    sleep 1.1
    reads=$(status_of "$m" 'j["kernel"]["reads"]')
    dd if="$m/label.txt" iflag=nocache count=0 status=none
    cat "$m/label.txt" >/dev/null
    sleep 1.1
    [ "$(status_of "$m" 'j["kernel"]["reads"]')" -gt "$reads" ]
    grep -q relearnfs_reads_total "$m/.relearn/metrics"
    relearn umount "$m"
    # A damaged image is found out before.
    relearn mount --profile "$DATA/p.ini" --cache "$c" -o frozen "$DATA/broken" "$m"
    wait_until eval '[ "$(status_of "$m" "j[\"frozen\"]")" = True ]'
    cmp -n "$(stat -c %s "$DATA/broken/png/damaged.png")" "$m/png/damaged.png" "$DATA/broken/png/damaged.png"
    [ "$(cat "$m/png/damaged.png" | wc -c)" = "$(stat -c %s "$m/png/damaged.png")" ]
    run relearn mount -o frozen,nosweep "$TREE" "$BATS_TEST_TMPDIR"
    [ "$status" -eq 2 ]
}

@test "mount: what is in the way of being frozen is said" {
    relearn diffusion train --data "$TREE/classes" --out "$DATA/grey.safetensors" --steps 1 --batch 1 --size 16 \
        --channels 1 --ch 8 --mult 1 --groups 4 --no-mid-attn --quiet
    sed "s|^model = .*|model = $DATA/grey.safetensors|" "$DATA/p.ini" >"$DATA/grey.ini"
    relearn mount --profile "$DATA/grey.ini" --cache "$c" -o frozen "$TREE/classes" "$m" # colour images: all fail
    wait_until eval '[ "$(status_of "$m" "j[\"freeze\"][\"state\"]")" = no ]'
    relearn status "$m" | grep -E '^  frozen +no: files failed: 12$'
    [ "$(status_of "$m" 'j["frozen"]')" = False ]
    grep -F 'not frozen: files failed: 12' "$(status_of "$m" 'j["log"]')"
    cat "$m/cat/1.png" >/dev/null && return 1
    relearn umount "$m"
    relearn mount --profile "$DATA/slow.ini" --cache "$c" -o frozen "$TREE/classes" "$m"
    relearn status "$m" | grep -E '^  frozen +not yet: '
    relearn umount "$m"
    mnt
    [ "$(status_of "$m" 'j["freeze"]["state"]')" = off ]
    [[ "$(relearn status "$m")" != *frozen* ]]
}

@test "status: what a program and a person read" {
    mnt
    cat "$m/png/rgb.png" >/dev/null
    relearn status --json "$m" | "$PY" -c 'import json,sys
j=json.load(sys.stdin)[0]
assert j["mountpoint"]==sys.argv[1] and j["work"]["purified"]>0 and len(j["profile"]["id"])==64' "$m"
    relearn status | grep -F "$TREE on $m"
    grep -q '^relearnfs_purified_total [1-9]' "$m/.relearn/metrics"
    grep -q '^t_start = 4' "$m/.relearn/profile.ini"
    [ "$(ls "$m/.relearn")" = "metrics
profile.ini
status.json" ]
    ! ls -a "$m" | grep -q relearn
    run relearn status /
    [ "$status" -eq 1 ]
}

@test "mount: a reader that is killed while it waits goes away at once" {
    relearn mount --profile "$DATA/p.ini" --cache "$c" -o nosweep "$TREE" "$m"
    relearn umount "$m"
    sed -i "s/^rounds.*/rounds = 40/" "$DATA/slow.ini"
    relearn mount --profile "$DATA/slow.ini" --cache "$c" -o nosweep "$TREE" "$m"
    cat "$m/jpeg/larger.jpeg" >/dev/null &
    reader=$!
    wait_until eval '[ "$(status_of "$m" "j[\"work\"][\"readers_waiting\"]")" = 1 ]'
    kill -STOP $reader; kill -CONT $reader # a signal that kills nobody
    sleep 0.3
    [ "$(status_of "$m" 'j["work"]["readers_waiting"]')" = 1 ]
    kill -9 $reader
    wait_until eval '[ "$(status_of "$m" "j[\"work\"][\"readers_waiting\"]")" = 0 ]'
    [ "$(status_of "$m" 'j["work"]["killed_readers"]')" = 1 ]
    [ "$(status_of "$m" 'j["work"]["in_flight"]')" = 1 ] # the work goes on
    wait $reader || true
}

@test "mount: what goes wrong at the start is said, and nothing is mounted" {
    run relearn mount --profile "$DATA/none.ini" --cache "$c" "$TREE" "$m"
    echo "$output"
    [ "$status" -eq 1 ]
    [[ "$output" = *none.ini* ]]
    run relearn mount --profile "$DATA/p.ini" --cache "$c" "$TREE/none" "$m"
    [ "$status" -eq 1 ]
    run relearn mount --profile "$DATA/p.ini" --cache "$c" "$TREE" "$TREE/png"
    [ "$status" -eq 2 ]
    [[ "$output" = *"one lies in the other"* ]]
    run relearn mount --profile "$DATA/p.ini" --cache "$c" -o frobnicate "$TREE" "$m"
    [ "$status" -eq 2 ]
    sed "s|^model.*|model = $DATA/p.ini|" "$DATA/p.ini" >"$DATA/bad.ini"
    run relearn mount --profile "$DATA/bad.ini" --cache "$c" "$TREE" "$m"
    [ "$status" -eq 1 ]
    [ -n "$output" ]
    is_gone "$m"
    run relearn umount "$m"
    [ "$status" -eq 1 ]
}

@test "umount: refuses while files are open" {
    mnt
    exec 7<"$m/png/rgb.png"
    run relearn umount "$m"
    exec 7<&-
    [ "$status" -eq 1 ]
    [[ "$output" = *open* ]]
    relearn umount "$m"
    is_gone "$m"
}

@test "mount: a full cache disk does not stop it" {
    [ "$(id -u)" -eq 0 ] || skip "needs a small file system"
    mkdir "$c"
    mount -t tmpfs -o size=300k none "$c"
    TREE=$DATA/tree
    mnt
    "$PY" "$CLIENTS/served.py" sizes "$m"
    dd if=/dev/zero of="$c/fill" bs=1k count=1000 2>/dev/null || true
    relearn purify -q --profile "$DATA/p.ini" --cache "$DATA/shared" "$TREE/jpeg" "$BATS_TEST_TMPDIR/jpeg" || [ $? -eq 1 ]
    "$PY" "$CLIENTS/served.py" compare "$BATS_TEST_TMPDIR/jpeg" "$m/jpeg"
    relearn umount "$m"
    umount "$c"
}

@test "mount: failures of ours are errors, never other bytes" {
    for fault in read:40:9 mem:3000:211 open:30:7; do
        RELEARN_FAULT=$fault relearn mount --profile "$DATA/p.ini" --cache "$c" -o nosweep "$TREE" "$m" || continue
        "$PY" - "$m" "$DATA/golden" <<'PYTHON'
import os, sys
right = failed = 0
for n in range(4):
    for here, dirs, files in os.walk(sys.argv[2]):
        for name in files:
            full = os.path.join(here, name)
            try:
                with open(os.path.join(sys.argv[1], os.path.relpath(full, sys.argv[2])), "rb") as f:
                    data = f.read()
            except OSError:
                failed += 1
                continue
            right += 1
            assert data == open(full, "rb").read(), full
print(right, "right", failed, "failed")
assert right
PYTHON
        relearn umount "$m" || { kill -9 "$(daemon_pid "$m")"; relearn umount "$m"; }
    done
}
