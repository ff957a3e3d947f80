#!/usr/bin/env bats
# Restorers: training, going on after a crash and on pairs, and what is refused.

load toy

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    export BUILD=${BUILD:-$PWD/build} DATA=$BATS_FILE_TMPDIR PY=/usr/bin/python3
    [[ $BUILD = /* ]] || export BUILD=$PWD/$BUILD
    export PATH=$BUILD/bin:$PATH XDG_CACHE_HOME=$DATA/xdg-cache XDG_CONFIG_HOME=$DATA/xdg-config
    unset RELEARN_FAULT
    # Smooth images, and the same with stripes of 8 grey levels.
    "$PY" - "$DATA" <<'PY' || return 1
import os, random, struct, sys, zlib
random.seed(1)
def png(path, rows):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    raw = b"".join(b"\0" + bytes(row) for row in rows)
    def chunk(t, d): return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 0, 0, 0, 0))
                           + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
d, side = sys.argv[1], 20
for i in range(16):
    right, down = random.uniform(-4, 4), random.uniform(-4, 4)
    rows = [[int(128 + right * (x - 10) + down * (y - 10)) for x in range(side)] for y in range(side)]
    png(f"{d}/clean/{i % 2}/{i}.png", rows)
    png(f"{d}/protected/{i % 2}/{i}.png", [[v + 8 * (y % 2) for v in row] for y, row in enumerate(rows)])
PY
    export NET="--size 16 --width 32,32 --blocks 1 --batch 8 --warmup 5 --ema 0.9 --threads 1"
}

setup() { cd "$BATS_TEST_TMPDIR" || return 1; }

train() { # OPTION...
    # shellcheck disable=SC2086
    relearn restore train -q --data "$DATA/clean" $NET "$@"
}

@test "restore: trained, and said what was removed of each family" {
    train --out r --steps 30 --families blocks:3,white:1 --log log --json --note "clean photographs" >out
    relearn model info r | grep -Eq '^ +note +clean photographs$'
    relearn model info r | grep -Eq '^ +data_name +clean$'
    [ "$(json 'j["steps"], sorted(j["families"]), j["precision"]' <out)" = "(30, ['blocks', 'white'], 'f32')" ]
    [ "$(json 'sum(f["images"] for f in j["families"].values())' <out)" = 240 ]
    [ "$(json 'j["families"]["blocks"]["coherent"] > -1' <out)" = True ]
    [ "$(json 'j["step"], sorted(j["families"])' <log)" = "(30, ['blocks', 'white'])" ]
    grep -aq '"train.families":"blocks:75,white:25"' r
    grep -aq '"architecture":"restorer"' r
    run train --out s --steps 3
    [ "$status" -eq 0 ]
    [[ $output == *"removed of each family"* && $output == *"3 steps, loss "* ]]
}

@test "restore: a run that crashed goes on to the same bytes" {
    local pairs=$DATA/clean,$DATA/protected
    train --out whole --steps 30 --save-every 10 --pairs "$pairs"
    RELEARN_FAULT=crash:5 run train --out crashed --steps 30 --save-every 10 --pairs "$pairs"
    [ "$status" -eq 99 ]
    [ -s crashed.checkpoint ] && [ ! -e crashed ]
    run train --out crashed --steps 30 --pairs "$pairs"
    [ "$status" -eq 1 ]
    [[ $output == *"--resume"* && $output == *"--force"* ]]
    run train --out crashed --steps 30 --resume
    [ "$status" -eq 2 ]
    train --out crashed --steps 30 --save-every 10 --pairs "$pairs" --resume
    cmp whole crashed
    [ ! -e crashed.checkpoint ]
}

@test "restore: pairs, from weights that are there" {
    train --out r --steps 10
    train --out tuned --from r --steps 60 --pairs "$DATA/clean,$DATA/protected" --pair-share 0.9 --json >out
    [ "$(json 'j["families"]["pairs"]["removed"] > .3' <out)" = True ] # of a network that learned nothing: 0
    grep -aq '"train.pairs":"16"' tuned
    cp -r "$DATA/protected" some
    rm some/1/3.png
    run train --out x --pairs "$DATA/clean,some"
    [ "$status" -eq 2 ]
    [[ $output == *"clean has 1/3.png, but some has no 1/3.*"* ]]
    cp "$DATA/clean/0/0.png" some/1/3.png
    cp "$DATA/clean/0/0.png" some/0/z.png
    run train --out x --pairs "$DATA/clean,some"
    [ "$status" -eq 2 ]
    [[ $output == *"some has 0/z.png, but "* ]]
    run train --out x --pairs "$DATA/clean"
    [ "$status" -eq 2 ]
    [[ $output == *"--pairs takes two trees"* ]]
    [ ! -e x ] && [ ! -e x.checkpoint ]
}

@test "restore: images are augmented, and the file says how" {
    train --out plain --steps 5
    train --out r --steps 5 --augment jpeg:least=50:most=95:p=0.5
    grep -aq '"train.augment":"jpeg:least=50:most=95:p=0.5"' r
    ! grep -aq train.augment plain || false
    RELEARN_FAULT=crash:5 run train --out s --steps 30 --save-every 10 --augment jpeg
    run train --out s --steps 30 --save-every 10 --resume
    [ "$status" -eq 2 ]
    [[ $output == *"made with train.augment jpeg, which is not asked for"* ]]
    run train --out x --augment jpg
    [ "$status" -eq 2 ]
    [[ $output == *'jpeg'* ]]
}

@test "restore: families are listed with their shares, and chosen by name" {
    run relearn restore train --list
    [ "$status" -eq 0 ]
    [[ $output == *"blocks           22  squares"* && $output == *"none              8  nothing"* ]]
    relearn restore train --list --json >out
    [ "$(json 'len(j["families"]), j["families"][0]["name"], j["families"][0]["share"]' <out)" = "(10, 'blocks', 22.0)" ]
    run train --out x --families blocks
    [ "$status" -eq 2 ]
    [[ $output == *'"blocks" is not NAME:SHARE'* ]]
}
