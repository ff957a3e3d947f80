#!/usr/bin/env bats
# LPIPS from published files: torchvision's networks and LPIPS's linear layers become a profile's perceptual distance.

setup_file() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    export BUILD=${BUILD:-$PWD/build} DATA=$BATS_FILE_TMPDIR PY=/usr/bin/python3 PYTHONPATH=$PWD/purify:$PWD/tests/torch
    [[ $BUILD = /* ]] || export BUILD=$PWD/$BUILD
    export PATH=$BUILD/bin:$PATH PYTHONDONTWRITEBYTECODE=1 # the tests' folder may be read-only
    export PUBLISHED=$PWD/../shared/data/weights-lpips-linear.tar.xz
    unset RELEARN_FAULT
    "$PY" -c 'import torch' 2>/dev/null || return 0
    # Networks with made-up weights as others publish theirs, and ways in which such files can be wrong.
    "$PY" - "$DATA" <<'END'
import sys
import torch
import lpips_oracle
def save(name, tensors, **how):
    torch.save(tensors, f"{sys.argv[1]}/{name}.pt", **how)
def without(tensors, name):
    return {k: v for k, v in tensors.items() if k != name}
for arch in lpips_oracle.NETS:
    net = lpips_oracle.Lpips(arch)
    net.fill()
    state = {k: v.float() for k, v in net.state_dict().items()}
    back = {k: v for k, v in state.items() if k.startswith("features.")}
    back["classifier.1.weight"] = torch.zeros(2, 2)
    lin = {f"lin{s}.model.1.weight": state[f"lin.{s}.weight"].reshape(1, -1, 1, 1) for s in range(len(net.lin))}
    save(arch, back)
    save(arch + "-lin", lin)
# back and lin are now SqueezeNet's
save("old", back, _use_new_zipfile_serialization=False)
save("old-lin", lin, _use_new_zipfile_serialization=False)
save("prefix", {f"module.{k}": v for k, v in back.items()})
save("missing", without(back, "features.9.expand3x3.bias"))
save("shape", {**back, "features.4.squeeze.weight": torch.zeros(17, 128, 1, 1)})
save("extra", {**back, "features.13.weight": torch.zeros(4)})
save("integers", {**back, "features.0.bias": torch.zeros(64, dtype=torch.int64)})
save("other", {"conv1.weight": torch.zeros(64, 3, 7, 7)})
save("small", {"features.0.weight": torch.zeros(8, 3, 3, 3)})
save("missing-lin", without(lin, "lin6.model.1.weight"))
save("shape-lin", {**lin, "lin2.model.1.weight": torch.ones(256)})
save("extra-lin", {**lin, "lin7.model.1.weight": torch.ones(1, 512, 1, 1)})
save("negative-lin", {**lin, "lin3.model.1.weight": -lin["lin3.model.1.weight"]})
save("nan-lin", {**lin, "lin4.model.1.weight": lin["lin4.model.1.weight"] * float("nan")})
END
    for name in squeezenet1_1 squeezenet1_1-lin; do
        head -c $(($(stat -c %s "$DATA/$name.pt") * 2 / 3)) "$DATA/$name.pt" >"$DATA/cut-$name.pt"
    done
}

setup() {
    "$PY" -c 'import torch' 2>/dev/null || skip "no PyTorch"
    OUT=$BATS_TEST_TMPDIR/out.safetensors
}

import() { # BACKBONE LINEAR [OPTION...]
    local backbone=$DATA/$1.pt linear=$DATA/$2.pt
    shift 2
    relearn model import "$@" --lpips "$linear" "$backbone" "$OUT"
}

refused() { # BACKBONE LINEAR TEXT: with that in the error, and nothing left behind
    echo "$1 $2: $3"
    run import "$1" "$2"
    [ "$status" -eq 1 ]
    [[ $output == "relearn: "*"$3"* ]]
    [ -z "$(ls "$BATS_TEST_TMPDIR")" ]
}

same() { # ARCHITECTURE BACKBONE LINEAR: the imported file has that name and these numbers, bit for bit
    "$PY" - "$OUT" "$@" <<'END'
import sys
import torch
import stfile
out, arch, backbone, linear = sys.argv[1:]
got, meta = stfile.read(out)
load = lambda path: torch.load(path, map_location="cpu")
expected = {k[k.index("features"):]: v for k, v in load(backbone).items() if "classifier" not in k}
lin = load(linear)
expected.update({f"lin.{s}.weight": lin[f"lin{s}.model.1.weight"].reshape(-1) for s in range(len(lin))})
assert sorted(got) == sorted(expected), sorted(set(got) ^ set(expected))
for k, v in expected.items():
    assert got[k] == ("F32", list(v.shape), v.contiguous().numpy().tobytes()), k
assert meta["architecture"] == "lpips-" + arch, meta
assert len(meta["imported_sha256"]) == len(meta["linear_sha256"]) == 64, meta
END
}

@test "model import --lpips: each network is recognised" {
    for arch in alexnet vgg16 squeezenet1_1; do
        run import $arch $arch-lin --force
        [ "$status" -eq 0 ]
        [[ $output == *"lpips-$arch "*"percept=$OUT"* ]]
        same $arch "$DATA/$arch.pt" "$DATA/$arch-lin.pt"
        rm "$OUT"
    done
}

@test "model import --lpips: torch.save's old format, a prefix, and JSON" {
    import old old-lin
    same squeezenet1_1 "$DATA/old.pt" "$DATA/old-lin.pt"
    run import prefix old-lin
    [ "$status" -eq 1 ]
    [[ $output == *--force* ]]
    run import prefix old-lin --force --prefix module. --json
    [ "$status" -eq 0 ]
    [[ $output == *'"architecture": "lpips-squeezenet1_1"'* ]]
    same squeezenet1_1 "$DATA/prefix.pt" "$DATA/old-lin.pt"
    import prefix old-lin --force
    run import old old-lin --force --prefix none.
    [ "$status" -eq 1 ]
}

@test "model import --lpips: the first tensor of the network that does not fit is named" {
    local lin=squeezenet1_1-lin
    refused missing $lin features.9.expand3x3.bias
    refused shape $lin features.4.squeeze.weight
    refused extra $lin features.13.weight
    refused integers $lin features.0.bias
    refused other $lin features.0.weight
    refused small $lin alexnet
    refused $lin $lin features.0.weight
    refused cut-squeezenet1_1 $lin cut-squeezenet1_1.pt
    refused none $lin none.pt
}

@test "model import --lpips: linear layers of another network, or no such layers, are refused" {
    refused squeezenet1_1 alexnet-lin lin1.model.1.weight
    refused squeezenet1_1 vgg16-lin lin3.model.1.weight
    refused alexnet squeezenet1_1-lin lin5.model.1.weight
    refused vgg16 alexnet-lin lin1.model.1.weight
    refused squeezenet1_1 squeezenet1_1 classifier.1.weight
    refused squeezenet1_1 missing-lin lin6.model.1.weight
    refused squeezenet1_1 shape-lin lin2.model.1.weight
    refused squeezenet1_1 extra-lin lin7.model.1.weight
    refused squeezenet1_1 negative-lin lin3.model.1.weight
    refused squeezenet1_1 nan-lin lin4.model.1.weight
    refused squeezenet1_1 cut-squeezenet1_1-lin cut-squeezenet1_1-lin.pt
    refused squeezenet1_1 none none.pt
}

@test "model import --lpips: options of the other kind of network are a mistake" {
    for option in --size --groups; do
        run import squeezenet1_1 squeezenet1_1-lin $option 32
        [ "$status" -eq 2 ]
        [[ $output == *--lpips* && ! -e $OUT ]]
    done
}

@test "model import --lpips: the linear layers as published" {
    [ -e "$PUBLISHED" ] || skip "no published linear layers"
    "$PY" -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' "$PUBLISHED" "$BATS_TEST_TMPDIR" # there may be no xz
    for pair in alexnet:alex vgg16:vgg squeezenet1_1:squeeze; do
        local arch=${pair%%:*} linear=$BATS_TEST_TMPDIR/v0.1/${pair#*:}.pth
        relearn model import --lpips "$linear" "$DATA/$arch.pt" "$OUT"
        same "$arch" "$DATA/$arch.pt" "$linear"
        rm "$OUT"
    done
}

@test "model import --lpips: a profile is guided by it" {
    "$PY" -c '
import sys
import numpy as np
from PIL import Image
Image.fromarray(np.random.default_rng(1).integers(0, 255, (32, 32, 3), np.uint8)).save(sys.argv[1])' "$BATS_TEST_TMPDIR/a.png"
    import alexnet alexnet-lin
    for scale in 0 1000; do
        sed "s|^percept = .*|percept = $OUT|; s|^perceptual_scale = .*|perceptual_scale = $scale|; s|^rounds = .*|rounds = 1|
            s|^t_start = .*|t_start = 4|; s|^steps = .*|steps = 4|" profiles/paper.ini >"$BATS_TEST_TMPDIR/p.ini"
        relearn purify -q --profile "$BATS_TEST_TMPDIR/p.ini" --cache "$BATS_TEST_TMPDIR/cache" "$BATS_TEST_TMPDIR/a.png" \
            "$BATS_TEST_TMPDIR/out$scale.png"
    done
    ! cmp -s "$BATS_TEST_TMPDIR/out0.png" "$BATS_TEST_TMPDIR/out1000.png"
}
