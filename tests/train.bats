#!/usr/bin/env bats
# From an archive to a report by commands alone: unpack, protect, train, stop, resume, evaluate, diffusion, report.

load toy

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    export BUILD=${BUILD:-$PWD/build} DATA=$BATS_FILE_TMPDIR PY=/usr/bin/python3
    [[ $BUILD = /* ]] || export BUILD=$PWD/$BUILD
    export PATH=$BUILD/bin:$PATH
    unset RELEARN_FAULT
    toy_images 180 "$DATA" || return 1
    relearn unpack -q --labels "$DATA/labels" --class-names ant,bee,cat "$DATA/images.gz" "$DATA/tree" >&2 || return 1
    train "$DATA/run" >&2
}

train() { # RUNDIR [OPTION...]; EXEC=exec: in place of the shell
    $EXEC relearn train -q --threads 1 --data "$DATA/tree" --test "$DATA/tree" --arch resnet8 --epochs 4 --batch 20 \
        --pad 1 --no-flip --out "$@"
}

@test "every command explains itself and refuses nonsense with status 2" {
    local c
    for c in train eval protect unpack report "diffusion train" "diffusion finetune" "diffusion sample" "restore train"; do
        # shellcheck disable=SC2086
        run relearn $c --help
        [ "$status" -eq 0 ]
        [[ $output == usage:* ]]
        # shellcheck disable=SC2086
        run relearn $c --nonsense
        [ "$status" -eq 2 ]
    done
    run relearn train --data "$DATA/tree" --out "$DATA/x" --arch lenet
    [ "$status" -eq 2 ]
    [[ $output == *lenet* ]]
    run relearn train --list
    [[ $output == *resnet18* && $output == *staged* ]]
    run relearn protect --list
    [[ $output == *lsp* && $output == *emn-class* ]]
}

@test "unpack made the tree" {
    [ "$(find "$DATA/tree" -name '*.png' | wc -l)" -eq 180 ]
    [ -f "$DATA/tree/cat/00179.png" ]
}

@test "a run keeps what its user needs" {
    [ -f "$DATA/run/weights.safetensors" ]
    [ "$(wc -l <"$DATA/run/log.jsonl")" -eq 4 ]
    [ "$(json 'j["options"]["arch"], len(j["data_digest"])' <"$DATA/run/config.json")" = "('resnet8', 64)" ]
    run train "$DATA/run"
    [ "$status" -eq 1 ]
    [[ $output == *--resume* ]]
}

@test "eval says what train said" {
    relearn eval -q --data "$DATA/tree" --weights "$DATA/run/weights.safetensors" --json --confusion >"$BATS_TEST_TMPDIR/e"
    said=$(tail -n 1 "$DATA/run/log.jsonl" | json 'j["test_accuracy"]')
    [ "$(json 'j["accuracy"]' <"$BATS_TEST_TMPDIR/e")" = "$said" ]
    [ "$(json 'sum(map(sum, j["confusion"])), sorted(j["class_accuracy"])' <"$BATS_TEST_TMPDIR/e")" = "(180, ['ant', 'bee', 'cat'])" ]
    run relearn eval -q --data "$DATA/absent" --weights "$DATA/run/weights.safetensors"
    [ "$status" -eq 1 ]
    local bad
    for bad in '--mean .5,.5' '--std .5,.5' '--mean few' '--std 1,1,1,1'; do
        # shellcheck disable=SC2086
        run relearn eval -q --data "$DATA/tree" --weights "$DATA/run/weights.safetensors" $bad
        [ "$status" -eq 2 ]
        [[ $output == *"one number or one for each channel"* ]]
    done
}

@test "eval --certify bounds what networks near it do, as far as its draws reach" {
    local e=$BATS_TEST_TMPDIR/e bad want
    local -a certify=(relearn eval -q --threads 1 --data "$DATA/tree" --weights "$DATA/run/weights.safetensors" --certify)
    "${certify[@]}" --draws 60 --sigma 0.1 --eta 0,0.015,1 --json >"$e"
    [ "$(json 'j["draws"], j["sigma"], j["quantile"], j["confidence"], j["images"]' <"$e")" = "(60, 0.1, 0.9, 0.99, 180)" ]
    [ "$(json '[c["eta"] for c in j["certified"]]' <"$e")" = "[0.0, 0.015, 1.0]" ]
    # 1 - q'^60 is .998 and .991 for the first two, and less with a k of 59; for the third it is 0.
    [ "$(json '[c["rank"] for c in j["certified"]]' <"$e")" = "[60, 60, None]" ]
    [ "$(json 'j["certified"][0]["accuracy"] == j["drawn"]["highest"], j["certified"][2]["accuracy"]' <"$e")" = "(True, None)" ]
    [ "$(json '0.015 < j["eta_max"] < 0.1, j["drawn"]["lowest"] < j["drawn"]["p50"] < j["drawn"]["highest"]' <"$e")" = "(True, True)" ]
    [ "$(json 'j["accuracy"]' <"$e")" = "$(tail -n 1 "$DATA/run/log.jsonl" | json 'j["test_accuracy"]')" ]
    [ "$(json 'abs(j["left"] * (j["accuracy"] - 1 / 3) - (j["drawn"]["p50"] - 1 / 3)) < 1e-9' <"$e")" = True ]
    run "${certify[@]}" --draws 60 --sigma 0.1 --eta 0,1
    [[ ${lines[0]} == "accuracy  "*"of the network as it is, on 180 images (f32)" ]]
    [[ $output == *"eta 0        "?.????"  (number 60 of 60)"*"eta 1        nothing can be certified"* ]] || { echo "$output"; false; }
    [[ $output == *"So many draws reach as far as eta 0.0"* ]]
    while IFS='|' read -r bad want; do
        # shellcheck disable=SC2086
        run "${certify[@]}" $bad
        [ "$status" -eq 2 ]
        [[ $output == *"$want"* ]] || { echo "$bad: $output"; false; }
    done <<'EOF'
--draws 43|43 draws certify nothing of quantile 0.9 with confidence 0.99, whatever the eta: it takes 44 (--draws)
--draws 0|draws must be 1 to 1000000
--sigma 0|sigma must be above 0
--quantile 1|the quantile must be between 0 and 1
--confidence 0|the confidence must be between 0 and 1
--eta 0.1,-0.1|eta must be 0 or more, not -0.1
--eta 0.1,|--eta takes 1 to 32 numbers
--eta few|--eta takes 1 to 32 numbers
--confusion|--certify has no confusion matrix
EOF
    run relearn eval -q --data "$DATA/tree" --weights "$DATA/run/weights.safetensors" --eta 1
    [ "$status" -eq 2 ]
    [[ $output == *--certify* ]]
}

@test "a stopped run resumes to the same weights" {
    train "$DATA/whole" --epochs 30
    EXEC=exec train "$DATA/stopped" --epochs 30 & # so that the signal reaches relearn
    local pid=$!
    until [ -s "$DATA/stopped/log.jsonl" ]; do
        kill -0 "$pid"
        sleep 0.02
    done
    kill -TERM "$pid" # a shell without job control starts its children with SIGINT ignored
    status=0
    wait "$pid" || status=$?
    [ "$status" -ne 0 ]
    [ "$(wc -l <"$DATA/stopped/log.jsonl")" -lt 30 ]
    train "$DATA/stopped" --epochs 30 --resume
    [ "$(wc -l <"$DATA/stopped/log.jsonl")" -eq 30 ]
    cmp "$DATA/whole/weights.safetensors" "$DATA/stopped/weights.safetensors"
}

@test "a run that begins with weights says so, and goes on with them" {
    cd "$BATS_TEST_TMPDIR"
    cp "$DATA/run/weights.safetensors" first.safetensors
    train whole --init first.safetensors
    [ "$(json 'j["options"]["init"]' <whole/config.json)" = "$(sha256sum <first.safetensors | cut -d' ' -f1)" ]
    EXEC=exec train stopped --epochs 500 --init first.safetensors &
    until [ -e stopped/checkpoint.safetensors ]; do sleep .02; done
    kill -INT $!
    wait $! || [ $? -eq 130 ]
    mv first.safetensors gone
    run relearn train -q --resume stopped
    [ "$status" -ne 0 ]
    [[ $output == *first.safetensors* ]]
    cp whole/weights.safetensors first.safetensors
    run relearn train -q --resume stopped
    [ "$status" -eq 2 ]
    [[ $output == *'was started with "init"'* ]]
    run train x --arch resnet20 --init gone
    [ "$status" -eq 2 ]
    [[ $output == "relearn: gone holds a resnet8, and a resnet20 is to be trained: "*"(--arch resnet8, or another file)" ]]
    [ ! -e x ]
    cp -r "$DATA/tree" two && rm -r two/cat
    run relearn train -q --threads 1 --data two --arch resnet8 --epochs 1 --out two-run --init gone
    [ "$status" -eq 0 ]
    [[ $output == *"gone is for 3 classes, and these are 2: fc.weight, fc.bias begin anew"* ]]
}

@test "an option of a recipe that was not chosen is refused, not ignored" {
    local args
    for args in "--mixup-alpha 0.3" "--recipe adversarial --staged-rise 3" "--recipe cutmix --mixup-alpha 0.3" \
        "--recipe mixup --adversarial-eps 3"; do
        # shellcheck disable=SC2086
        run train "$DATA/other" $args
        [ "$status" -eq 2 ]
        [[ $output == *" has no --"*"; it has "* ]]
    done
    [[ $output == *"mixup has no --adversarial-eps; it has --mixup-alpha, --mixup-p, --mixup-rounds"* ]]
    run relearn train -q --resume "$DATA/run" --mixup-alpha 0.3
    [ "$status" -eq 2 ]
    [[ $output == *"standard has no --mixup-alpha"* ]]
    run train "$DATA/other" --staged-probe 100
    [ "$status" -eq 2 ]
    [[ $output == *"recipe standard measures no ACM"*--acm* ]]
    run relearn diffusion train --data "$DATA/tree" --out "$DATA/other" --from "$DATA/run/weights.safetensors"
    [ "$status" -eq 2 ]
    [ ! -e "$DATA/other" ]
    train "$DATA/measured" --staged-probe 100 --acm
    [ "$(json 'j["options"]["probe"]' <"$DATA/measured/config.json")" = 100 ]
}

@test "a recipe's options are its own, and augmentations have keys" {
    train "$DATA/own" --recipe adversarial --adversarial-steps 2 --adversarial-eps 4 \
        --augment grey,noise:sigma=3
    [ "$(json 'j["options"]["adversarial"]' <"$DATA/own/config.json")" = \
        "{'eps': 4.0, 'step': 2.0, 'steps': 2, 'random_start': True}" ]
    [ "$(json 'j["options"]["augment"]' <"$DATA/own/config.json")" = grey,noise:sigma=3 ]
    ! cmp "$DATA/own/weights.safetensors" "$DATA/run/weights.safetensors"
    relearn train -q --resume "$DATA/own"
    run relearn train -q --resume "$DATA/own" --adversarial-steps 3
    [ "$status" -eq 2 ]
    [[ $output == *'"steps" 2; it cannot be resumed with 3'* ]]
    run relearn train -q --resume "$DATA/own" --augment grey
    [ "$status" -eq 2 ]
    run train "$DATA/wrong" --recipe cutmix --cutmix-alpha 7
    [ "$status" -eq 2 ]
    [[ $output == *"--cutmix-alpha must be a number from 0.05 to 2, not '7'"* ]]
    run train "$DATA/wrong" --augment noise:volume=3
    [ "$status" -eq 2 ]
    [[ $output == *sigma* ]]
    [ ! -e "$DATA/wrong" ]
    run relearn train --list
    [[ $output == *adversarial* && $output == *rotation* ]]
    relearn train --list --json | json '[r["name"] for r in j["recipes"]][:2], len(j["augmentations"]) > 10' | grep -q "staged.*True"
}

@test "the recipe detect says what it found, in the log and in the report, and goes on as it was begun" {
    train "$DATA/warned" --recipe detect --detect-from 0.3 --detect-augment noise:sigma=20
    [ "$(tail -n 1 "$DATA/warned/log.jsonl" | json 'j["broken"], sorted(j["signs"]), j["agreement"] > 0.3')" = \
        "(True, ['pattern', 'spot', 'texture'], True)" ]
    [ "$(tail -n 1 "$DATA/warned/log.jsonl" | json 'j["train_loss"]')" != \
        "$(tail -n 1 "$DATA/run/log.jsonl" | json 'j["train_loss"]')" ]
    relearn train -q --resume "$DATA/warned"
    run relearn train -q --resume "$DATA/warned" --detect-from 1
    [ "$status" -eq 2 ]
    [[ $output == *'"from" 0.3; it cannot be resumed with 1'* ]]
    relearn report --out "$DATA/detect.html" "$DATA/run" "$DATA/warned"
    grep -q 'faint structure alone tells the class' "$DATA/detect.html"
    run train "$DATA/wrong" --recipe detect --detect-augment flip
    [ "$status" -eq 2 ]
    [[ $output == *"recipe detect: augment: views need rows that work on pixels"* ]]
    [ ! -e "$DATA/wrong" ]
}

@test "the sharpness of layers is logged and drawn, and changes nothing that is learned" {
    train "$DATA/sharp" --sal --sal-images 9
    cmp "$DATA/sharp/weights.safetensors" "$DATA/run/weights.safetensors"
    [ "$(json 'j["options"]["sal"], j["options"]["sal_images"]' <"$DATA/sharp/config.json")" = "(True, 9)" ]
    [ "$(tail -n 1 "$DATA/sharp/log.jsonl" | json 'len(j["sal"]), list(j["sal"])[0], min(j["sal"].values()) >= 0')" = "(10, 'conv1', True)" ]
    relearn train -q --resume "$DATA/sharp"
    run relearn train -q --resume "$DATA/sharp" --sal-images 8
    [ "$status" -eq 2 ]
    [[ $output == *'"sal_images" 9; it cannot be resumed with 8'* ]]
    run train "$DATA/other" --sal-images 8
    [ "$status" -eq 2 ]
    [[ $output == *"no SAL is measured"*--sal* ]]
    run train "$DATA/other" --sal --sal-images -1
    [ "$status" -eq 2 ]
    [ ! -e "$DATA/other" ]
    relearn report --out "$DATA/sharp.html" --protected "$DATA/sharp" "$DATA/run"
    grep -q 'Sharpness-aware learnability' "$DATA/sharp.html"
    run grep -q 'unlearnable distance' "$DATA/sharp.html" # the clean run has none
    [ "$status" -eq 1 ]
    cp -r "$DATA/sharp" "$DATA/blunt"
    relearn report --out "$DATA/sharp2.html" --protected "$DATA/sharp" --clean "$DATA/blunt"
    grep -q '<td>1.000</td>' "$DATA/sharp2.html"
}

@test "a damaged image is named, or skipped when told so" {
    cp -r "$DATA/tree" "$DATA/harmed"
    echo nothing >"$DATA/harmed/bee/00001.png"
    run relearn train -q --threads 1 --data "$DATA/harmed" --arch resnet8 --epochs 1 --out "$DATA/harmed-run"
    [ "$status" -eq 1 ]
    [[ $output == *bee/00001.png* ]]
    run relearn train -q --threads 1 --data "$DATA/harmed" --arch resnet8 --epochs 1 --out "$DATA/harmed-run" --skip-bad --force
    [ "$status" -eq 0 ]
    [[ $output == *"1 files were left out"* ]]
}

@test "protect writes a tree that torchvision reads, and touches nothing else" {
    before=$(cd "$DATA/tree" && find . -type f -exec sha256sum {} + | sort | sha256sum)
    run relearn protect -q --json --method lsp --patch 4 "$DATA/tree" "$DATA/lsp"
    [ "$status" -eq 0 ]
    [ "$before" = "$(cd "$DATA/tree" && find . -type f -exec sha256sum {} + | sort | sha256sum)" ]
    [ "$(json 'j["method"], j["images"], j["patch"]' <"$DATA/lsp/protection.json")" = "('lsp', 180, 4)" ]
    [ -f "$DATA/lsp.perturbation.safetensors" ]
    run relearn protect -q --method lsp "$DATA/tree" "$DATA/lsp"
    [ "$status" -eq 1 ]
    "$PY" -c 'import torchvision' 2>/dev/null || skip "no torchvision"
    "$PY" - "$DATA/tree" "$DATA/lsp" <<'PY'
import sys
import numpy as np
from torchvision.datasets import ImageFolder
a, b = ImageFolder(sys.argv[1]), ImageFolder(sys.argv[2])
assert a.classes == b.classes and len(a) == len(b) == 180
x, y = np.asarray(a[5][0]).astype(int), np.asarray(b[5][0]).astype(int)
assert x.shape == y.shape and 0 < abs(x - y).max() < 60, abs(x - y).max()
PY
}

@test "diffusion: train, fine-tune, sample" {
    local net="--size 8 --ch 8 --mult 1,1 --groups 4 --no-mid-attn"
    # shellcheck disable=SC2086
    relearn diffusion train -q --threads 1 --data "$DATA/tree" --out "$DATA/d.safetensors" $net --steps 8 --batch 8 \
        --log "$DATA/d.jsonl" --note "of the test split"
    relearn model info "$DATA/d.safetensors" | grep -Eq '^ +note +of the test split$'
    relearn diffusion finetune -q --threads 1 --from "$DATA/d.safetensors" --data "$DATA/tree" --out "$DATA/f.safetensors" \
        --steps 4 --batch 8 --t-max 50 --weighting min-snr --snr-gamma 4
    relearn model info "$DATA/d.safetensors" | grep -Eq '^ +train.weighting +constant$'
    relearn model info "$DATA/f.safetensors" | grep -Eq '^ +train.snr_gamma +4$'
    run relearn diffusion train -q --data "$DATA/tree" --out "$DATA/no" --snr-gamma 4
    [ "$status" -eq 2 ]
    [[ $output == *"--snr-gamma is of --weighting min-snr"* ]]
    relearn diffusion sample -q --threads 1 --weights "$DATA/d.safetensors" --out "$DATA/s.png" --rows 1 --columns 2 --steps 5
    run relearn diffusion sample -q --weights "$DATA/f.safetensors" --out "$DATA/n.png"
    [ "$status" -eq 2 ]
    [[ $output == *--data* ]]
    relearn diffusion sample -q --weights "$DATA/f.safetensors" --out "$DATA/n.png" --data "$DATA/tree" --rows 1 --columns 2
    [ "$(head -c 4 "$DATA/n.png" | tail -c 3)" = PNG ]
}

# oneDNN is told that the CPU has no more than AVX2.
@test "bf16 is refused where the CPU does not compute in it, and nothing is written" {
    export DNNL_MAX_CPU_ISA=AVX2 ONEDNN_MAX_CPU_ISA=AVX2
    local net="--size 8 --ch 8 --mult 1,1 --groups 4 --no-mid-attn" c
    local -a commands=(
        "train --arch resnet8 --data $DATA/tree --out $DATA/no16"
        "train --arch resnet8 --recipe staged --data $DATA/tree --out $DATA/no16"
        "eval --data $DATA/tree --weights $DATA/run/weights.safetensors"
        "diffusion train $net --data $DATA/tree --out $DATA/no16"
        "diffusion finetune --from $DATA/d.safetensors --data $DATA/tree --out $DATA/no16"
        "diffusion sample --weights $DATA/d.safetensors --out $DATA/no16"
        "restore train --size 8 --data $DATA/tree --out $DATA/no16"
        "protect --method emn-class --surrogate resnet8 $DATA/tree $DATA/no16"
    )
    for c in "${commands[@]}"; do
        # shellcheck disable=SC2086
        run relearn $c -q --precision bf16
        [ "$status" -eq 1 ]
        [[ $output == "relearn: this CPU cannot compute in bf16 (it needs AVX512-BF16 or AMX): use --precision f32" ]]
        [ ! -e "$DATA/no16" ]
        # shellcheck disable=SC2086
        run relearn $c -q --precision f16
        [ "$status" -eq 2 ]
        [[ $output == *"--precision must be f32 or bf16, not 'f16'"* ]]
    done
}

@test "bf16: train, resume, evaluate, report, diffusion, protect" {
    local net="--size 8 --ch 8 --mult 1,1 --groups 4 --no-mid-attn" weights=$DATA/run16/weights.safetensors
    run train "$DATA/run16" --json --precision bf16
    [[ $output != *"cannot compute in bf16"* ]] || skip "this CPU has no bf16"
    [ "$status" -eq 0 ]
    [ "$(json 'j["precision"]' <<<"$output")" = bf16 ]
    [ "$(json 'j["options"]["precision"]' <"$DATA/run16/config.json")" = bf16 ]
    [ "$(grep -c '"precision":"bf16"' "$DATA/run16/log.jsonl")" -eq 4 ]
    run train "$DATA/run16" --resume --precision f32
    [ "$status" -eq 2 ]
    [[ $output == *'"precision" "bf16"'* ]]
    relearn eval -q --data "$DATA/tree" --weights "$weights" --precision bf16 --json >"$BATS_TEST_TMPDIR/e"
    said=$(tail -n 1 "$DATA/run16/log.jsonl" | json 'j["test_accuracy"]')
    [ "$(json 'j["accuracy"], j["precision"]' <"$BATS_TEST_TMPDIR/e")" = "($said, 'bf16')" ]
    relearn eval -q --data "$DATA/tree" --weights "$weights" | grep -q 'images/s, f32)' # weights have no precision
    train "$DATA/staged16" --recipe staged --precision bf16
    relearn report --out "$DATA/r16.html" "$DATA/run" "$DATA/run16"
    grep -q '<td class="left">f32</td>' "$DATA/r16.html"
    grep -q '<td class="left">bf16</td>' "$DATA/r16.html"
    # shellcheck disable=SC2086
    relearn diffusion train -q --threads 1 --data "$DATA/tree" --out "$DATA/d16.safetensors" $net --steps 8 --batch 8 \
        --precision bf16 --log "$DATA/d16.jsonl" --json | grep -q '"precision": "bf16"'
    [ "$(tail -n 1 "$DATA/d16.jsonl" | json 'j["step"], j["precision"]')" = "(8, 'bf16')" ]
    relearn diffusion finetune -q --threads 1 --from "$DATA/d.safetensors" --data "$DATA/tree" --out "$DATA/f16.safetensors" \
        --steps 4 --batch 8 --precision bf16
    relearn diffusion sample -q --threads 1 --weights "$DATA/d16.safetensors" --out "$DATA/s16.png" --rows 1 --columns 2 \
        --steps 5 --precision bf16
    relearn protect -q --threads 1 --method emn-class --surrogate resnet8 --batch 20 --rounds 1 --precision bf16 \
        "$DATA/tree" "$DATA/emn16"
    [ "$(json 'j["precision"]' <"$DATA/emn16/protection.json")" = bf16 ]
}

@test "the report is one file" {
    relearn report --out "$DATA/r.html" --title Bees --fact 'images/s=12' --sheet "$DATA/tree,$DATA/lsp,$DATA/tree" "$DATA/run"
    grep -q '<title>Bees</title>' "$DATA/r.html"
    grep -q 'images/s</td><td>12<' "$DATA/r.html"
    grep -q 'data:image/png;base64' "$DATA/r.html"
    [ "$(grep -cE '(src|href)="https?:' "$DATA/r.html")" -eq 0 ]
    run relearn report --out "$DATA/r2.html" "$DATA/absent"
    [ "$status" -eq 1 ]
}
