# For tests with real mounts: sourced by .bats files. The model is tiny and untrained: what is tested is the file
# system, not the purification.

# The programs that were built, and a place for what all tests of a file share: $DATA.
programs_setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    export BUILD=${BUILD:-$PWD/build} DATA=$BATS_FILE_TMPDIR
    [[ $BUILD = /* ]] || export BUILD=$PWD/$BUILD
    export PATH=$BUILD/bin:$PATH PY=/usr/bin/python3 CLIENTS=$BATS_TEST_DIRNAME/clients
    unset XDG_RUNTIME_DIR NOTIFY_SOCKET RELEARN_FAULT
}

# tiny_model DIR: a model that has seen DIR, $DATA/m.safetensors, and a profile that is quick, $DATA/p.ini.
tiny_model() {
    relearn diffusion train --data "$1" --out "$DATA/m.safetensors" --steps 1 --batch 1 --size 16 \
        --channels 3 --ch 8 --mult 1,2 --groups 4 --no-mid-attn --quiet || return 1
    profile_of p 4 1 2
}

# profile_of NAME T_START ROUNDS STEPS: $DATA/NAME.ini
profile_of() {
    printf '[purify]\nmodel = %s\nt_start = %s\nrounds = %s\nsteps = %s\nguidance = none\n' "$DATA/m.safetensors" "${@:2}" \
        >"$DATA/$1.ini"
}

mounts_setup_file() {
    programs_setup_file || return 1
    export XDG_CACHE_HOME=$DATA/xdg-cache XDG_CONFIG_HOME=$DATA/xdg-config
    mkdir -p "$DATA/tree/cat"
    for n in 1 2 3; do png "$DATA/tree/cat/$n.png" 16 $n; done
    tiny_model "$DATA/tree" || return 1
    profile_of slow 900 40 100 # about two seconds for a small image
}

mounts_setup() {
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    w=$BATS_TEST_TMPDIR m=$BATS_TEST_TMPDIR/mnt c=$BATS_TEST_TMPDIR/cache s=$BATS_TEST_TMPDIR/src
    mkdir "$m"
}

# In a chroot whose root is no mountpoint, nothing tells where a bind mount comes from.
sees_its_root() { awk '$5 == "/" { found = 1 } END { exit !found }' /proc/self/mountinfo; }

mounts_at() { awk -v p="$1" '$5 == p' /proc/self/mountinfo | wc -l; }

has_ended() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; } # not reaped yet is ended, too

mounts_teardown() {
    local dir
    [ -n "${w:-}" ] || return 0
    pkill -CONT -f "relearnfsd .*$w" || true # what a test stopped would hold up all that follows
    for dir in "$w"/mnt* "$w"/bound* "$w"/*/mnt* "$s"; do
        while [ "$(mounts_at "$dir")" != 0 ]; do
            relearn umount "$dir" 2>/dev/null || umount -l "$dir" 2>/dev/null || fusermount3 -uz "$dir" || break
        done
    done
}

png() { # FILE SIDE SEED: an RGB image of noise around a grey that the seed decides
    "$PY" - "$@" <<'PYTHON'
import random, struct, sys, zlib
path, side, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
r = random.Random(seed)
base = 30 + seed * 50 % 180
raw = b"".join(b"\0" + bytes(base + r.randrange(20) for _ in range(3 * side)) for _ in range(side))
def chunk(t, d): return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
                       + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
PYTHON
}

# The source at $s, mounted at $m with its own cache.
mnt() { relearn mount --profile "$DATA/p.ini" --cache "$c" -o nosweep "$@" "$s" "$m"; }

# FILE: what purifying it gives.
purified() { relearn purify -q --profile "$DATA/p.ini" --cache "$w/other-cache" "$1" "$w/purified" >/dev/null && cat "$w/purified"; rm -f "$w/purified"; }

status_of() { # MOUNT PYTHON-EXPRESSION over j
    "$PY" -c 'import json,sys; j=json.load(open(sys.argv[1]+"/.relearn/status.json")); print(eval(sys.argv[2]))' "$@"
}

wait_until() { # COMMAND...: two minutes at most, which only a failure takes
    local i
    for ((i = 0; i < 2400; i++)); do
        "$@" && return 0
        sleep 0.05
    done
    return 1
}
