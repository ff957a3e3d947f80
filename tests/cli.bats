#!/usr/bin/env bats
# What all commands have in common: output that is there is not overwritten, what fails or is stopped leaves nothing,
# what is printed can be read by a program, and messages name options that exist.

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    export BUILD=${BUILD:-$PWD/build} DATA=$BATS_FILE_TMPDIR PY=/usr/bin/python3
    [[ $BUILD = /* ]] || export BUILD=$PWD/$BUILD
    export PATH=$BUILD/bin:$PATH XDG_CACHE_HOME=$DATA/xdg-cache XDG_CONFIG_HOME=$DATA/xdg-config
    unset RELEARN_FAULT
    "$PY" - "$DATA" <<'PY' || return 1
import os, random, struct, sys, zlib
random.seed(1)
def png(path, w, h, channels=3):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    raw = b"".join(b"\0" + bytes(random.randrange(256) for _ in range(channels * w)) for _ in range(h))
    def chunk(t, d): return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    open(path, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2 if channels == 3 else 0, 0, 0, 0))
                           + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
d = sys.argv[1]
for k in ("cat", "dog"):
    for i in range(6):
        png(f"{d}/tree/{k}/{i}.png", 16, 16)
        png(f"{d}/sizes/{k}/{i}.png", 16 + 4 * i, 20)
        png(f"{d}/channels/{k}/{i}.png", 16, 16, 1 if k == "cat" else 3)
        png(f"{d}/three/{k}/{i}.png", 16, 16)
        png(f"{d}/late/{k}/{i}.png", 16, 16)
png(f"{d}/three/emu/0.png", 16, 16)
open(f"{d}/late/dog/5.png", "w").write("no image")
open(f"{d}/garbage", "w").write("garbage")
n = 3
open(f"{d}/images", "wb").write(struct.pack(">IIII", 0x803, n, 2, 2) + bytes(range(4 * n)))
open(f"{d}/labels", "wb").write(struct.pack(">II", 0x801, n) + bytes([0, 1, 0]))
PY
    export NET="--size 8 --ch 8 --mult 1,1 --groups 4 --no-mid-attn --steps 2 --batch 2 --channels 3"
    export TRAIN="--arch resnet8s2 --epochs 1 --batch 4 --threads 1 --pad 0"
    export RESTORER="--size 8 --width 32 --blocks 1 --steps 2 --batch 4 --threads 1"
    export ESTIMATOR="--size 8 --width 32 --steps 2 --batch 4 --threads 1"
    # shellcheck disable=SC2086
    relearn diffusion train -q --threads 1 --data "$DATA/tree" --out "$DATA/m.safetensors" $NET >&2 || return 1
    # shellcheck disable=SC2086
    relearn restore train -q --data "$DATA/tree" --out "$DATA/r.safetensors" $RESTORER >&2 || return 1
    # shellcheck disable=SC2086
    relearn train -q --data "$DATA/tree" --out "$DATA/run" $TRAIN >&2
}

setup() { cd "$BATS_TEST_TMPDIR" || return 1; }

commands() { # one a line, with their subcommands
    local c s help
    for c in $(relearn --help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
        help=$(relearn "$c" --help)
        if grep -q 'COMMAND --help tells more' <<<"$help"; then
            for s in $(sed -n 's/^  \([a-z]*\) .*/\1/p' <<<"$help"); do echo "$c $s"; done
        else
            echo "$c"
        fi
    done
}

is_json() { "$PY" -c 'import json,sys; json.load(sys.stdin)'; }

@test "whatever a command prints it prints as JSON when asked to" {
    local c
    declare -A how=(
        [train]="train -q --data $DATA/tree --out r1 $TRAIN"
        [eval]="eval -q --data $DATA/tree --weights $DATA/run/weights.safetensors --threads 1"
        [certificate]="eval -q --data $DATA/tree --weights $DATA/run/weights.safetensors --threads 1 --certify --draws 44"
        [protect]="protect -q --method lsp --patch 4 $DATA/tree p1"
        [unpack]="unpack -q --labels $DATA/labels $DATA/images u1"
        [report]="report --out r.html $DATA/run"
        ["diffusion train"]="diffusion train -q --threads 1 --data $DATA/tree --out d1 $NET"
        ["diffusion finetune"]="diffusion finetune -q --threads 1 --data $DATA/tree --from $DATA/m.safetensors --out d2 --steps 1 --batch 2"
        ["diffusion sample"]="diffusion sample -q --threads 1 --weights $DATA/m.safetensors --out s.png --rows 1 --columns 1 --steps 1"
        ["restore train"]="restore train -q --data $DATA/tree --out t1 $RESTORER"
        ["deconvolve train"]="deconvolve train -q --data $DATA/tree --out e1 $ESTIMATOR"
        [families]="restore train --list"
        ["profile ls"]="profile ls"
        ["profile show"]="profile show default"
        ["profile new"]="profile new mine"
        ["profile rm"]="profile rm mine"
        ["model info"]="model info default"
        ["model import"]="model import --groups 4 $DATA/m.safetensors i1"
        [other]="train --list"
        [another]="protect --list"
    )
    for c in train eval certificate protect unpack report "diffusion train" "diffusion finetune" "diffusion sample" "restore train" "deconvolve train" families \
        "profile ls" "profile show" "profile new" "profile rm" "model info" "model import" other another; do
        # shellcheck disable=SC2086
        relearn ${how[$c]} --json >out.json || { echo "$c fails"; false; }
        is_json <out.json || { echo "$c: $(cat out.json)"; false; }
    done
    while read -r c; do
        case $c in
        mount | umount | warm) ;; # say nothing on standard output, or in lines of their own
        *)
            # shellcheck disable=SC2086
            relearn $c --help | grep -q -e --json || { echo "relearn $c has no --json"; false; }
            ;;
        esac
        case $c in
        mount | umount | status | warm | purify | scan | exec | bench | audit | cache*) continue ;; # theirs is tested with what they do
        esac
        [ -n "${how[$c]:-}" ] || { echo "no example for: relearn $c"; false; }
    done < <(commands)
}

@test "-j means threads in every command that has them" {
    local c
    while read -r c; do
        # shellcheck disable=SC2086
        ! relearn $c --help | grep -e '--threads' | grep -v -e '-j, --threads' || { echo "relearn $c"; false; }
        # shellcheck disable=SC2086
        ! relearn $c --help | grep -e '-j, ' | grep -v -e '-j, --threads' || { echo "relearn $c"; false; }
    done < <(commands)
}

# Which commands can say what stands in a file of train/. Each option that a message there names is one of all of them.
@test "messages name options that the command has" {
    local file users option c bad=
    while IFS=: read -r file users; do
        for option in $(grep -o '"[^"]*--[a-z][^"]*"' "$BATS_TEST_DIRNAME/../train/$file" | grep -o -e '--[a-z][a-z-]*' | sort -u); do
            while read -r c; do
                # shellcheck disable=SC2086
                relearn $c --help | grep -q -e "$option\b" || bad+="train/$file: relearn $c has no $option"$'\n'
            done < <(tr , '\n' <<<"$users")
        done
    done <<'TABLE'
set_pixels.c:train,eval,protect,diffusion train,restore train,audit
run.c:train
run_setup.c:train
run_init.c:train
run_dir.c:train
ud.c:train
gradients.c:train,diffusion train,diffusion finetune,restore train
model.c:train,eval
model_load.c:train,eval
eval.c:eval
certify.c:eval
unpack.c:unpack
sample.c:diffusion sample
fit.c:diffusion train,diffusion finetune,restore train
protect/protect.c:protect
protect/lsp.c:protect
protect/place.c:protect
protect/ops.c:protect
protect/cuda.c:protect
protect/apply.c:protect
protect/part.c:protect
protect/delta_file.c:protect
recipes/detect.c:train
recipes/dvae.c:train
recipes/ueraser.c:train
audit/battery.c:audit
audit/battery_images.c:audit
audit/distance.c:audit
bench/folders.c:bench
TABLE
    [ -z "$bad" ] || { echo "$bad"; false; }
    # Every file of train/ whose messages name an option is in the table; bench/command.c says them to other commands.
    for file in $(cd "$BATS_TEST_DIRNAME/../train" && grep -l '"[^"]*--[a-z][a-z][^"]*"' ./*.c protect/*.c recipes/*.c audit/*.c bench/*.c \
        report/*.c | grep -v -e _test.c -e html.c -e bench/command.c); do
        grep -q "^${file#./}:" "$BATS_TEST_FILENAME" || { echo "$file is not in the table"; false; }
    done
}

@test "what is refused says only options that are there, and leaves nothing" {
    local line before said option command
    mkdir full
    echo mine >full/file
    echo mine >file
    cp -r "$DATA/run" run
    echo mine >stopped.checkpoint
    before=$(find . | sort)
    while read -r line; do
        line=${line//@/$DATA}
        # shellcheck disable=SC2086
        said=$(relearn $line 2>&1) && { echo "not refused: relearn $line"; false; }
        command=$(sed -E 's/^(diffusion|restore|profile|model) /\1+/; s/ .*//; s/\+/ /' <<<"$line")
        for option in $(grep -v '^usage:' <<<"$said" | grep -o -e ' (\?--[a-z][a-z-]*' | tr -d ' (' | sort -u); do
            [ "$option" = --help ] || [ "$option" = --list ] || # of train, whoever refers to it
                # shellcheck disable=SC2086
                relearn $command --help | grep -q -e "$option\b" || { echo "relearn $line advises $option: $said"; false; }
        done
        [ "$before" = "$(find . | sort)" ] || { echo "relearn $line leaves: $(find . | sort | comm -13 <(echo "$before") -)"; false; }
        [ "$(cat file full/file)" = $'mine\nmine' ]
    done <<EOF
train -q $TRAIN --data @/sizes --out new/run
train -q $TRAIN --data @/channels --out new/run
train -q $TRAIN --data @/late --out new/run
train -q $TRAIN --data @/tree --test @/three --out new/run
train -q $TRAIN --data @/tree --test @/sizes --out new/run
train -q $TRAIN --data @/absent --out new/run
train -q $TRAIN --data @/tree --out run
train -q $TRAIN --data @/late --out run --force
train -q $TRAIN --data @/tree --out file/run
train -q $TRAIN --data @/tree --out new/run --arch lenet
train -q $TRAIN --data @/tree --out new/run --recipe prayer
train -q $TRAIN --data @/tree --out new/run --precision f8
train -q $TRAIN --data @/tree --out new/run --epochs 0
train -q $TRAIN --data @/tree --out new/run stray
train -q --resume new/run
train -q --resume run --lr 0.5
train -q --resume run --force
eval -q --data @/sizes --weights @/run/weights.safetensors
eval -q --data @/channels --weights @/run/weights.safetensors --size 8
eval -q --data @/three --weights @/run/weights.safetensors
eval -q --data @/tree --weights @/garbage
eval -q --data @/tree --weights @/m.safetensors
eval -q --data @/tree --weights @/run/weights.safetensors --arch lenet
eval -q --data @/tree --weights @/run/weights.safetensors --certify --draws 43
eval -q --data @/tree --weights @/run/weights.safetensors --certify --confusion
eval -q --data @/tree --weights @/run/weights.safetensors --sigma 0.1
protect -q --method emn-class --surrogate resnet8s2 @/sizes new/dst
protect -q --method emn-class --surrogate lenet @/tree new/dst
protect -q --method lsp @/channels new/dst
protect -q --method lsp --patch 100 --channels 1 @/three new/dst
protect -q --method lsp @/late new/dst
protect -q --method lsp @/absent new/dst
protect -q --method magic @/tree new/dst
protect -q --method lsp @/tree full
protect -q --method lsp @/tree file
protect -q --method lsp --quantise up @/tree new/dst
protect -q --method lsp --patch 4 --fraction 0 @/tree new/dst
protect -q --method lsp --patch 4 --classes cow @/tree new/dst
unpack -q @/images new/tree
unpack -q --labels @/labels --class-names a,a @/images new/tree
unpack -q --labels @/images @/images new/tree
unpack -q @/garbage new/tree
unpack -q --labels @/labels @/images full
unpack -q --labels @/labels @/images file
report --out file @/run
report --out full @/run
report --out absent/r.html @/run
report --out r.html @/tree
report --out r.html --sheet @/tree,@/three @/run
report --out r.html --sheet @/tree,@/channels,@/sizes
diffusion train -q $NET --data @/tree --out file
diffusion train -q $NET --data @/tree --out full
diffusion train -q $NET --data @/tree --out absent/m
diffusion train -q $NET --data @/tree --out stopped
diffusion train -q $NET --data @/tree --out m --resume
diffusion train -q $NET --size 64 --data @/tree --out m
diffusion train -q $NET --data @/late --out m
diffusion finetune -q --from @/garbage --data @/tree --out m
diffusion finetune -q --from @/m.safetensors --data @/tree --out file
diffusion sample -q --weights @/m.safetensors --out file
diffusion sample -q --weights @/garbage --out s.png
diffusion sample -q --weights @/m.safetensors --out s.png --data @/absent
restore train -q $RESTORER --data @/tree --out file
restore train -q $RESTORER --data @/tree --out full
restore train -q $RESTORER --data @/tree --out absent/m
restore train -q $RESTORER --data @/tree --out stopped
restore train -q $RESTORER --data @/tree --out m --resume
restore train -q $RESTORER --data @/late --out m
restore train -q $RESTORER --data @/tree --out m --size 64
restore train -q $RESTORER --data @/tree --out m --size 9
restore train -q $RESTORER --data @/tree --out m --width 20
restore train -q $RESTORER --data @/tree --out m --width many
restore train -q $RESTORER --data @/tree --out m --group 3
restore train -q $RESTORER --data @/tree --out m --families stripes:1
restore train -q $RESTORER --data @/tree --out m --pairs @/tree
restore train -q $RESTORER --data @/tree --out m --pairs @/tree,@/three
restore train -q $RESTORER --data @/tree --out m --pairs @/tree,@/sizes
restore train -q $RESTORER --data @/tree --out m --from @/garbage
restore train -q $RESTORER --data @/tree --out m --from @/m.safetensors
model info absent
model import @/m.safetensors file
model import @/garbage m
profile new --set colour=1 x
profile new --from absent x
profile new a/b
profile rm default
profile rm absent
EOF
}

@test "--force replaces" {
    local line
    mkdir full
    while read -r line; do
        echo mine >file
        echo mine >full/file
        # shellcheck disable=SC2086
        relearn ${line//@/$DATA} --force || { echo "relearn $line"; false; }
        [ "$(cat full/file)" = mine ] # what is not in the way stays
        [[ $line != *file* ]] || [ "$(cat file)" != mine ]
    done <<EOF
protect -q --method lsp @/tree full
unpack -q --labels @/labels @/images full
report --out file @/run
diffusion train -q $NET --data @/tree --out file
diffusion finetune -q --from @/m.safetensors --data @/tree --out file --steps 1 --batch 2
diffusion sample -q --weights @/m.safetensors --out file --rows 1 --columns 1 --steps 1
restore train -q $RESTORER --data @/tree --out file
restore train -q $RESTORER --from @/r.safetensors --data @/tree --out file
model import --groups 4 @/m.safetensors file
EOF
    cp -r "$DATA/run" run
    # shellcheck disable=SC2086
    relearn train -q $TRAIN --data "$DATA/three" --out run --force
    grep -q emu run/config.json
    relearn profile new twice
    run relearn profile new twice
    [ "$status" -eq 1 ]
    relearn profile new --from jcdp --set rounds=2 --force twice
    relearn profile show twice | grep -q 'rounds = 2'
}

@test "unknown values are answered with those that there are" {
    local line want
    while IFS='|' read -r line want; do
        # shellcheck disable=SC2086
        run relearn ${line//@/$DATA}
        [ "$status" -ne 0 ]
        [[ $output == *"$want"* ]] || { echo "relearn $line: $output"; false; }
    done <<'EOF'
train --data @/tree --out x --arch lenet|resnet18, resnet20
train --data @/tree --out x --recipe prayer|standard, staged
train --data @/tree --out x --precision f8|f32 or bf16
eval --data @/tree --weights @/run/weights.safetensors --arch lenet|resnet18, resnet20
protect --method magic @/tree x|lsp, emn-class, emn, sem, remn, ops, ar, cuda, pil, tap, hypo, aap, aue, ntga, apply
protect --method emn-class --surrogate lenet @/tree x|resnet18, resnet20
protect --method lsp --quantise up @/tree x|round, truncate or positive-half
protect --method lsp --patch 4 --classes cow @/tree x|it has cat, dog
protect --method lsp --rounds 3 @/tree x|--patch
protect --method emn-class --rounds none @/tree x|a whole number from 1
restore train --data @/tree --out x --families stripes:1|blocks, filtered, autoregressive, waves, pixels, white
profile new --from restore --set colour=1 x|model, gain
profile new --from restore --set t_start=50 x|"t_start" is a key of jcdp, which is not in the chain
profile new --from jcdp --set colour=1 x|model, t_start
profile new --from jcdp --set guidance=yes x|none
profile new --from absent x|default
profile show absent|default
model import --beta odd @/m.safetensors x|linear or cosine
trian|did you mean 'relearn train'
profile shwo|did you mean 'relearn profile show'
EOF
}

@test "photographs of different sizes are protected with lsp, the rest takes --size" {
    relearn protect -q --method lsp --patch 4 "$DATA/sizes" any
    [ "$(cd "$DATA/sizes" && find . -name '*.png' | sort)" = "$(cd any && find . -name '*.png' | sort)" ]
    for f in cat/0 dog/5; do # bytes 16 to 23: width and height
        cmp <(dd if="$DATA/sizes/$f.png" bs=1 skip=16 count=8 status=none) <(dd if="any/$f.png" bs=1 skip=16 count=8 status=none)
    done
    relearn protect -q --threads 1 --method emn-class --surrogate resnet8s2 --rounds 1 --size 16 "$DATA/sizes" emn
    # shellcheck disable=SC2086
    relearn train -q --data any --out run $TRAIN --size 16
    relearn eval -q --threads 1 --data any --weights run/weights.safetensors --size 16
    relearn report --out r.html --sheet "$DATA/sizes,any,any"
}

# argument 1: seconds until the signal, or the file that must be there first; the rest: a command that would take minutes
stop_after() {
    local when=$1
    shift
    status=0
    # A shell without job control starts its children with SIGINT ignored: let Python send it.
    output=$("$PY" - "$when" relearn "$@" 2>&1 <<'PY'
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
p = subprocess.Popen(sys.argv[2:])
if sys.argv[1][0].isdigit(): time.sleep(float(sys.argv[1]))
while not sys.argv[1][0].isdigit() and p.poll() is None and not os.path.exists(sys.argv[1]): time.sleep(.02)
p.send_signal(signal.SIGINT)
sys.exit(p.wait())
PY
    ) || status=$?
}

@test "Ctrl-C ends long work with status 130, and it can be gone on with or begun again" {
    local common="--threads 1 -q"
    # shellcheck disable=SC2086
    stop_after run/checkpoint.safetensors train $common --data "$DATA/tree" --out run --arch resnet8s2 --batch 4 --pad 0 --epochs 100000
    [ "$status" -eq 130 ]
    [[ $output == *"go on with --resume"* ]]
    [ -s run/checkpoint.safetensors ]
    # shellcheck disable=SC2086
    stop_after 1.5 train $common --resume run
    [ "$status" -eq 130 ]
    # shellcheck disable=SC2086
    stop_after log diffusion train $common --data "$DATA/tree" --out m --log log ${NET/--steps 2/--steps 1000000}
    [ "$status" -eq 130 ]
    [ -s m.checkpoint ] && [ ! -e m ]
    # shellcheck disable=SC2086
    stop_after 1.5 diffusion train $common --data "$DATA/tree" --out m ${NET/--steps 2/--steps 1000000} --resume
    [ "$status" -eq 130 ]
    # shellcheck disable=SC2086
    stop_after log2 restore train -q --data "$DATA/tree" --out t --log log2 ${RESTORER/--steps 2/--steps 1000000}
    [ "$status" -eq 130 ]
    [[ $output == *"go on with --resume"* ]]
    [ -s t.checkpoint ] && [ ! -e t ]
    # shellcheck disable=SC2086
    stop_after 1.5 restore train -q --data "$DATA/tree" --out t ${RESTORER/--steps 2/--steps 1000000} --resume
    [ "$status" -eq 130 ]
    # shellcheck disable=SC2086
    stop_after 1.5 protect $common --method emn-class --surrogate resnet18 --rounds 100000 --stop-error 0.000001 "$DATA/tree" dst
    [ "$status" -eq 130 ]
    [ ! -e dst ]
    # shellcheck disable=SC2086
    stop_after 1.5 diffusion sample $common --weights "$DATA/m.safetensors" --out s.png --rows 64 --columns 64
    [ "$status" -eq 130 ]
    [ ! -e s.png ]
    # shellcheck disable=SC2086
    stop_after 1.5 eval $common --data "$DATA/tree" --weights "$DATA/run/weights.safetensors" --certify --draws 1000000
    [ "$status" -eq 130 ]
}

@test "a run that was stopped goes on by its name alone, with the options it was begun with" {
    # shellcheck disable=SC2086
    stop_after run/checkpoint.safetensors train -q --threads 1 --data "$DATA/sizes" --out run --arch resnet8s2 --batch 4 --pad 1 --no-flip --size 12 --lr 0.03 \
        --seed 9 --epochs 100000 --limit 8
    [ "$status" -eq 130 ]
    # As if it had been begun with an end in sight.
    "$PY" - <<'PY'
import json
c = json.load(open("run/config.json"))
assert c["options"]["epochs"] == 100000
PY
    run relearn train -q --resume run --lr 0.04
    [ "$status" -eq 2 ]
    [[ $output == *'"lr" 0.03'* ]]
    run relearn train -q --out run --resume --size 16
    [ "$status" -eq 2 ]
    stop_after 1.5 train -q --resume run --lr 0.03 --size 12
    [ "$status" -eq 130 ]
    (cd / && stop_after 1 train -q --resume "$BATS_TEST_TMPDIR/run" && [ "$status" -eq 130 ])
    # A run that is done says again what came out.
    cp -r "$DATA/run" done
    relearn train -q --resume done --json | "$PY" -c 'import json,sys; assert json.load(sys.stdin)["epochs"] == 1'
}

@test "weights that PyTorch saved are evaluated" {
    local py
    for py in "$PY" python3; do "$py" -c 'import torch' 2>/dev/null && break; done
    "$py" -c 'import torch' 2>/dev/null || skip "no PyTorch"
    "$py" - "$DATA/run/weights.safetensors" <<'PY'
import json, sys, struct, torch
b = open(sys.argv[1], "rb").read(); n = struct.unpack("<Q", b[:8])[0]; head = json.loads(b[8:8 + n]); state = {}
for name, t in head.items():
    if name == "__metadata__": continue
    at, end = t["data_offsets"]
    name = "module." + name.replace(".downsample.", ".shortcut.").replace("fc.", "linear.")
    state[name] = torch.frombuffer(bytearray(b[8 + n + at:8 + n + end]), dtype=torch.float32).reshape(t["shape"]).clone()
    if "running_var" in name: state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(3)
torch.save({"net": state, "acc": 71.2, "epoch": 9}, "theirs.pth")
PY
    relearn eval -q --threads 1 --json --data "$DATA/tree" --weights "$DATA/run/weights.safetensors" >ours.json
    relearn eval -q --threads 1 --json --data "$DATA/tree" --weights theirs.pth --arch resnet8s2 --size 16 >theirs.json
    "$PY" -c 'import json; a, b = (json.load(open(f)) for f in ("ours.json", "theirs.json")); assert a["loss"] == b["loss"], (a, b)'
    run relearn eval -q --data "$DATA/tree" --weights theirs.pth
    [ "$status" -eq 2 ]
    [[ $output == *--size* ]]
}

@test "a full disk stops unpack and protect with one message and nothing left" {
    [ "$(id -u)" -eq 0 ] || skip "needs root to mount a small file system"
    mkdir small
    mount -t tmpfs -o size=16k,nr_inodes=200 none small 2>/dev/null || skip "cannot mount a tmpfs"
    run relearn protect -q --method lsp --patch 4 "$DATA/tree" small/dst
    [ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [[ $output == *"no space left"* ]] && [ -z "$(ls -A small)" ] ||
        { umount small; echo "$output"; false; }
    head -c 14000 /dev/zero >small/filler
    run relearn unpack -q --labels "$DATA/labels" "$DATA/images" small/dst
    [ "$status" -eq 1 ] && [ "${#lines[@]}" -eq 1 ] && [ "$(ls small)" = filler ] || { umount small; echo "$output"; false; }
    umount small
}
