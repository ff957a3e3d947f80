#!/usr/bin/env bats
# Filter estimators: training, and what the shipped one does to filtered images.

load toy

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    export BUILD=${BUILD:-$PWD/build} DATA=$BATS_FILE_TMPDIR PY=/usr/bin/python3
    [[ $BUILD = /* ]] || export BUILD=$PWD/$BUILD
    export PATH=$BUILD/bin:$PATH XDG_CACHE_HOME=$DATA/xdg-cache XDG_CONFIG_HOME=$DATA/xdg-config
    unset RELEARN_FAULT
    toy_images 60 "$DATA"
    relearn unpack -q --labels "$DATA/labels" "$DATA/images.gz" "$DATA/clean"
}

setup() { cd "$BATS_TEST_TMPDIR" || return 1; }

train() { # OPTION...
    relearn deconvolve train -q --data "$DATA/clean" --size 12 --width 32,32 --batch 8 --warmup 5 --ema 0.9 --threads 1 "$@"
}

@test "deconvolve: trained, the file says how, and a profile purifies with it" {
    train --out d.safetensors --steps 30 --json --note "toy images" >out
    [ "$(json 'j["steps"], j["loss"] < 1' <out)" = "(30, True)" ]
    relearn model info d.safetensors >info
    grep -q 'filter estimator for grey images, kernels of 3x3' info
    grep -Eq '^ +note +toy images$' info
    relearn profile new own --set chain=deconvolve --set "deconvolve.model=$PWD/d.safetensors" --set deconvolve.least=0.1
    relearn profile show own | grep -qx 'least = 0.1'
    relearn profile show own | grep -qx 'damping = 0.01'
    relearn purify -q --profile own "$DATA/clean" purified
    [ "$(find purified -name '*.png' | wc -l)" = 60 ]
}

@test "deconvolve: options are checked before anything is written" {
    run relearn deconvolve train --data "$DATA/clean"
    [ "$status" -eq 2 ]
    [[ $output == *"--data and --out are needed"* ]]
    run train --out x --side 4
    [ "$status" -eq 2 ]
    [[ $output == *"kernels of 4 pixels a side"* ]]
    run train --out x --families blur:1
    [ "$status" -eq 2 ]
    [[ $output == *"family blur depends on the image"* ]]
    run train --out x --size 64
    [ "$status" -eq 2 ]
    [ ! -e x ] && [ ! -e x.checkpoint ]
    echo mine >x
    run train --out x --steps 1
    [ "$status" -eq 1 ]
    [[ $output == *"--force"* ]]
    [ "$(cat x)" = mine ]
}
