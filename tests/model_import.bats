#!/usr/bin/env bats
# Published networks: torch.save's files become weights that a profile uses, with the same numbers.

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    export BUILD=${BUILD:-$PWD/build} DATA=$BATS_FILE_TMPDIR PY=/usr/bin/python3 PYTHONPATH=$PWD/tests/torch
    [[ $BUILD = /* ]] || export BUILD=$PWD/$BUILD
    export PATH=$BUILD/bin:$PATH PYTHONDONTWRITEBYTECODE=1 # the tests' folder may be read-only
    unset RELEARN_FAULT
    "$PY" -c 'import torch' 2>/dev/null || return 0
    # The shipped network as others publish theirs, and ways in which such a file can be wrong.
    "$PY" - models/default.safetensors "$DATA" <<'END'
import sys
import numpy as np
import torch
from PIL import Image
import stfile
tensors, meta = stfile.read(sys.argv[1])
# Images are drawn from noise only by a network that is said to know all t, as an imported one is.
stfile.write(f"{sys.argv[2]}/original.safetensors", tensors, {**meta, "t_max": meta["timesteps"]})
kinds = {"F32": np.float32, "F16": np.float16}
net = {k: torch.from_numpy(np.frombuffer(b, kinds[d]).astype(np.float32).reshape(s)) for k, (d, s, b) in tensors.items()}
def save(name, thing, **how):
    torch.save(thing, f"{sys.argv[2]}/{name}.pt", **how)
save("zip", net)
save("old", net, _use_new_zipfile_serialization=False)
save("run", {"step": 7, "model": {f"module.{k}": v for k, v in net.items()}, "ema": {k: 2 * v for k, v in net.items()}})
save("turned", {k: v.transpose(0, 1).contiguous().transpose(0, 1) if v.dim() > 1 else v for k, v in net.items()})
save("extra", {**net, "mid.block_3.conv1.bias": torch.zeros(8)})
save("missing", {k: v for k, v in net.items() if k != "mid.block_2.conv1.bias"})
save("shape", {**net, "up.1.block.0.norm1.weight": torch.zeros(5)})
save("variance", {**net, "conv_out.weight": torch.zeros(6, 32, 3, 3)})
save("other", {"fc.weight": torch.zeros(2, 2)})
class Trap:
    def __reduce__(self):
        import os
        return os.system, (f"touch {sys.argv[2]}/sprung",)
Image.fromarray(np.random.default_rng(1).integers(0, 255, (32, 32, 3), np.uint8)).save(f"{sys.argv[2]}/a.png")
save("trap", {"conv_in.weight": net["conv_in.weight"], "x": Trap()})
END
}

setup() {
    "$PY" -c 'import torch' 2>/dev/null || skip "no PyTorch"
}

same() { # IMPORTED FACTOR: the shipped network's numbers, times the factor
    "$PY" - models/default.safetensors "$1" "$2" <<'END'
import sys
import numpy as np
import stfile
kinds = {"F32": np.float32, "F16": np.float16}
a, _ = stfile.read(sys.argv[1])
b, meta = stfile.read(sys.argv[2])
assert sorted(a) == sorted(b), sorted(set(a) ^ set(b))
for k in a:
    x, y = (np.frombuffer(t[k][2], kinds[t[k][0]]).astype(np.float32) for t in (a, b))
    assert a[k][1] == b[k][1] and (x * float(sys.argv[3]) == y).all(), k
assert meta["ch_mult"] == "1,2,2" and meta["groups"] == "8" and len(meta["imported_sha256"]) == 64, meta
END
}

import() { # NAME [OPTION...]
    local name=$1
    shift
    relearn model import --groups 8 "$@" "$DATA/$name.pt" "$BATS_TEST_TMPDIR/$name.safetensors"
}

@test "model import: both formats, and weights in any order of memory" {
    for name in zip old turned; do
        import $name
        same "$BATS_TEST_TMPDIR/$name.safetensors" 1
    done
}

@test "model import: one of several networks by its prefix" {
    run import run
    [ "$status" -eq 2 ]
    [[ $output == *prefix* && ! -e $BATS_TEST_TMPDIR/run.safetensors ]]
    import run --prefix model.module.
    same "$BATS_TEST_TMPDIR/run.safetensors" 1
    run import run --prefix ema.
    [ "$status" -eq 1 ]
    [[ $output == *--force* ]]
    import run --prefix ema. --force
    same "$BATS_TEST_TMPDIR/run.safetensors" 2
}

@test "model import: the first tensor that does not fit is named" {
    for pair in extra:mid.block_3.conv1.bias missing:mid.block_2.conv1.bias shape:up.1.block.0.norm1.weight \
        variance:conv_out.weight other:temb.dense.0.weight; do
        run import "${pair%%:*}"
        [ "$status" -eq 1 ]
        [[ $output == *"${pair#*:}"* ]]
        [ ! -e "$BATS_TEST_TMPDIR/${pair%%:*}.safetensors" ]
    done
}

@test "model import: nothing in a file is run" {
    run import trap
    [ "$status" -eq 1 ]
    [[ $output == *system* && ! -e $DATA/sprung ]]
}

@test "model info: reads what torch.save wrote" {
    run relearn model info --tensors "$DATA/old.pt"
    [ "$status" -eq 0 ]
    [[ $output == *"1046883 in 142 tensors"* && $output == *"conv_in.weight"*"32x3x3x3"* ]]
}

@test "model import: it draws the images that the original draws" {
    import zip
    import run --prefix ema. # with other numbers
    for model in "$DATA/original" "$BATS_TEST_TMPDIR/zip" "$BATS_TEST_TMPDIR/run"; do
        relearn diffusion sample -q --weights "$model.safetensors" --out "$BATS_TEST_TMPDIR/${model##*/}.png" \
            --rows 1 --columns 2 --steps 5 --seed 1
    done
    cmp "$BATS_TEST_TMPDIR/original.png" "$BATS_TEST_TMPDIR/zip.png"
    ! cmp -s "$BATS_TEST_TMPDIR/original.png" "$BATS_TEST_TMPDIR/run.png"
}

@test "model import: a profile purifies with it" {
    import zip
    sed "s|^model = .*|model = $BATS_TEST_TMPDIR/zip.safetensors|" profiles/jcdp.ini >"$BATS_TEST_TMPDIR/p.ini"
    relearn purify -q --profile "$BATS_TEST_TMPDIR/p.ini" --cache "$BATS_TEST_TMPDIR/cache" "$DATA/a.png" "$BATS_TEST_TMPDIR/out.png"
    ! cmp -s "$DATA/a.png" "$BATS_TEST_TMPDIR/out.png"
}

@test "model import: folders of diffusers, and guided-diffusion's networks" {
    relearn model import --json tests/golden/unets/hub_ddpm "$BATS_TEST_TMPDIR/hub.safetensors" | grep '"levels": 2'
    run relearn model import --size 8 --groups 2 tests/golden/unets/adm.safetensors "$BATS_TEST_TMPDIR/adm.safetensors"
    [ "$status" -eq 1 ]
    [[ $output == *--head-channels* ]]
    relearn model import --size 8 --groups 2 --head-channels 4 tests/golden/unets/adm.safetensors "$BATS_TEST_TMPDIR/adm.safetensors"
    relearn model info "$BATS_TEST_TMPDIR/adm.safetensors" | grep scale_shift
    printf '[purify]\nmodel = %s\nt_start = 4\nsteps = 1\nrounds = 1\noverlap = 2\n' "$BATS_TEST_TMPDIR/adm.safetensors" >"$BATS_TEST_TMPDIR/p.ini"
    relearn purify -q --profile "$BATS_TEST_TMPDIR/p.ini" --cache "$BATS_TEST_TMPDIR/cache" "$DATA/a.png" "$BATS_TEST_TMPDIR/out.png"
    run relearn model import tests "$BATS_TEST_TMPDIR/none.safetensors"
    [ "$status" -eq 1 ]
    [[ $output == *config.json* ]]
}
