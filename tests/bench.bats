#!/usr/bin/env bats
# relearn bench with its own commands as children, on toy images. (make bench, which measures speed, is another thing.)

load mounts
load toy

setup_file() {
    programs_setup_file
    toy_images 120 "$DATA" || return 1
    relearn unpack -q --labels "$DATA/labels" --class-names ant,bee,cat "$DATA/images.gz" "$DATA/data" >&2 || return 1
    cp -r "$DATA/data" "$DATA/test"
    printf '[purify]\nchain = median\n' >"$DATA/median.ini"
    cat >"$DATA/toy.ini" <<'INI'
[bench]
data = data
test = test
images = 60
protections = clean, lsp, weak
countermeasures = none, median, st
victims = resnet8
[train]
epochs = 3
batch = 20
pad = 1
flip = no
[protection lsp]
patch = 4
[protection weak]
method = lsp
patch = 4
eps = 1
[countermeasure median]
profile = median.ini
[countermeasure st]
recipe = staged
profile = median.ini
[preset seeds]
seeds = 0, 1
countermeasures = none
[preset long]
epochs = 60
countermeasures = none, median
protections = lsp
[preset unlucky]
protections = clean, unlucky
countermeasures = none
[protection unlucky]
method = emn-class
surrogate = lenet
INI
    bench toy >"$DATA/toy.md" || return 1
}

setup() { cd "$BATS_TEST_TMPDIR" || return 1; }

bench() { # OUT [OPTION...]; EXEC=exec: in place of the shell
    local out=$1
    shift
    $EXEC relearn bench -q -j 1 --out "$DATA/$out" "$DATA/toy.ini" "$@"
}

figures() { # OUT: what was measured, of each cell
    "$PY" - "$DATA/$1/results" <<'PY'
import json, os, sys
for name in sorted(os.listdir(sys.argv[1])):
    r = json.load(open(sys.argv[1] + "/" + name))
    print(name, r["protection"], r["countermeasure"], sorted(r["figures"].items()))
PY
}

nothing_left() { # OUT
    local left
    left=$(cd "$DATA/$1" && find trees runs claims failed -mindepth 1 ! -name .lock)
    [ -z "$left" ] || { echo "$left"; false; }
}

@test "bench: a table, and its cells for programs" {
    cat "$DATA/toy.md"
    [ "$(grep -c '^| ' "$DATA/toy.md")" -eq 5 ]
    grep -q '^| | none | median | st |$' "$DATA/toy.md"
    grep -qE '^\| lsp \| [0-9.]+ \| [0-9.]+ \| [0-9.]+ \|$' "$DATA/toy.md"
    bench toy --table --json >all.json
    [ "$(json 'len(j["cells"]), {c["state"] for c in j["cells"]}' <all.json)" = "(9, {'done'})" ]
    # None where nothing was done to the images; more where less was added.
    [ "$(json '[m["psnr"] for m in j["means"]][0]' <all.json)" = None ]
    # What LSP adds the images of a class have in common.
    [ "$(json 'j["means"][0]["coherent"] == 0 and j["means"][3]["coherent"] > j["means"][6]["coherent"] > .3' <all.json)" = True ]
    [ "$(json '20 < j["means"][3]["psnr"] < j["means"][6]["psnr"] < 60' <all.json)" = True ]
    [ "$(json 'j["means"][3]["psnr"] != j["means"][4]["psnr"] == j["means"][5]["psnr"]' <all.json)" = True ]
    [ "$(bench toy --table --csv | wc -l)" -eq 10 ]
    bench toy --table --figure psnr | grep -q '^| clean | ∞ |'
    [ "$(bench toy --list | tail -n 1)" = "9 cells: 9 done, 0 open, 0 claimed, 0 failed" ]
    nothing_left toy
}

# Of `st`, which does more than to purify, no profile has figures.
@test "bench: its table beside the shipped profiles is what profile ls shows" {
    mkdir -p share/profiles
    cp "$DATA/median.ini" share/profiles
    bench toy --table --json >share/profiles/study.json
    [ "$(json '[m["countermeasure"] for m in j["means"] if m["profile"]]' <share/profiles/study.json)" = \
        "['median', 'median', 'median']" ]
    RELEARN_DATA_DIR=$PWD/share run relearn profile ls
    [ "${#lines[@]}" -eq 2 ]
    local figure='[0-9]\.[0-9]{2} \([0-9.]+ dB\)'
    [[ ${lines[1]} =~ ^\ +clean\ $figure\ \ lsp\ $figure\ \ weak\ $figure$ ]]
}

# What the images of the tree are that was only diluted.
more_trees() {
    "$PY" - "$DATA/data" <<'PY'
import glob, json, os, sys
from PIL import Image
for stamp in glob.glob("more/trees/*.json"):
    said = json.load(open(stamp))["description"]
    if "dilute" not in said or "method" not in said["source"]:
        continue
    count = {"weak": 0, sys.argv[1]: 0}
    for path in glob.glob(stamp[:-5] + "/*/*.png"):
        name = os.path.join(*path.split("/")[-2:])
        where = "weak" if os.path.exists(os.path.join("weak", name)) else sys.argv[1]
        count[where] += Image.open(path).tobytes() == Image.open(os.path.join(where, name)).tobytes()
    print("%d as protected, %d as they were" % tuple(count.values()))
PY
}

# Images 61 to 90 of the data are added to the 60 that were protected; the PSNR is of those.
@test "bench: dilution adds clean images, which no figure but the accuracy sees" {
    sed 's/^countermeasures = .*/countermeasures = none, median, more, both/; s/^protections = .*/protections = weak/' "$DATA/toy.ini" >more.ini
    printf '[countermeasure more]\ndilute = 30\n[countermeasure both]\nprofile = median.ini\ndilute = 30\n' >>more.ini
    cp "$DATA/median.ini" .
    relearn bench -q -j 1 --data "$DATA/data" --test "$DATA/test" --out more --keep more.ini
    relearn bench --data "$DATA/data" --test "$DATA/test" --out more --table --json more.ini >json
    [ "$(json '[m["psnr"] == j["means"][i]["psnr"] for i, m in zip((0, 1, 0, 1), j["means"])]' <json)" = "[True, True, True, True]" ]
    [ "$(json 'j["means"][0]["last"] != j["means"][2]["last"], j["means"][3]["profile"]' <json)" = "(True, None)" ]
    relearn protect -q -j 1 --method lsp --patch 4 --eps 1 --limit 60 "$DATA/data" weak
    [ "$(more_trees)" = "60 as protected, 30 as they were" ]
    sed -i 's/^images = 60/images = 100/' more.ini
    run relearn bench --data "$DATA/data" --test "$DATA/test" --out more --list more.ini
    [ "$status" -eq 2 ]
    [[ $output == *"more.ini:"*": dilute = 30: "*" has 120 images, of which images = 100 leaves 20"* ]]
}

# A mixture: another protection for each class, each on what the last one left.
@test "bench: a protection may be on another, for classes of its own" {
    cat >mix.ini <<'INI'
[bench]
images = 60
protections = mix
countermeasures = none
victims = resnet8
[train]
epochs = 1
batch = 20
[protection mix]
method = ops
classes = bee,cat
on = lsp-ants
[protection lsp-ants]
method = lsp
patch = 4
classes = ant
INI
    relearn bench -q -j 1 --data "$DATA/data" --test "$DATA/test" --out mix --keep mix.ini >table
    grep -Eq '^\| mix \| [0-9.]+ \|$' table
    relearn protect -q -j 1 --method lsp --patch 4 --classes ant --limit 60 "$DATA/data" first
    relearn protect -q -j 1 --method ops --classes bee,cat first second
    local stamp tree=
    for stamp in mix/trees/*.json; do
        [ "$(json 'j["description"].get("method")' <"$stamp")" != ops ] || tree=${stamp%.json}
    done
    [ -d "$tree" ]
    diff -r -x protection.json "$tree" second
    for c in ant bee cat; do # none is as it was
        ! diff -rq "$tree/$c" "$DATA/data/$c" >same || false
    done
    [ "$(json 'j["description"]["images"]["source"]["method"], j["seconds"]["protect"] > 0' <mix/results/*.json)" = "('lsp', True)" ]
    [ "$(json 'j["on"]["method"], j["on"]["part"]["classes"]' <second/protection.json)" = "('lsp', 'ant')" ]
}

# Seen from the matrix file; its name is in no cell.
@test "bench: a countermeasure may begin with weights of a file" {
    relearn train -q -j 1 --data "$DATA/data" --arch resnet8 --epochs 1 --batch 20 --out first
    mkdir -p tables/weights
    cp first/weights.safetensors tables/weights/one.safetensors
    sed 's/^countermeasures = .*/countermeasures = none, tuned/; s/^protections = .*/protections = lsp/' "$DATA/toy.ini" >tables/t.ini
    printf '[countermeasure tuned]\ninit = weights/one.safetensors\nlr = 0.01\n' >>tables/t.ini
    relearn bench -q -j 1 --data "$DATA/data" --test "$DATA/test" --out tuned tables/t.ini >table
    grep -Eq '^\| lsp \| [0-9.]+ \| [0-9.]+ \|$' table
    grep -qh "\"init\": \"$(sha256sum <first/weights.safetensors | cut -d' ' -f1)\"" tuned/results/*.json
    ! grep -q one.safetensors tuned/results/*.json || false
    sed -i 's|weights/one|weights/two|' tables/t.ini
    mv tables/weights/one.safetensors tables/weights/two.safetensors
    run relearn bench --data "$DATA/data" --test "$DATA/test" --out tuned --list tables/t.ini
    [ "${lines[-1]}" = "2 cells: 2 done, 0 open, 0 claimed, 0 failed" ]
}

@test "bench: what is measured is not measured again, and is what train says of such images" {
    local before
    before=$(stat -c '%n %y' "$DATA"/toy/results/*)
    run bench toy
    [ "$status" -eq 0 ]
    [ "$output" = "$(cat "$DATA/toy.md")" ]
    [ "$before" = "$(stat -c '%n %y' "$DATA"/toy/results/*)" ]
    relearn protect -q -j 1 --method lsp --patch 4 --limit 60 "$DATA/data" lsp
    relearn train -q -j 1 --data lsp --test "$DATA/test" --arch resnet8 --epochs 3 --batch 20 --pad 1 --no-flip --out run --json >run.json
    [ "$(json 'j["test_accuracy"]' <run.json)" = "$(bench toy --table --json | json 'j["means"][3]["last"]')" ]
    run bench toy --preset seeds --list # seed 0 is known from before
    [ "${lines[-1]%%;*}" = "6 cells: 3 done, 3 open, 0 claimed, 0 failed" ]
}

@test "bench: killed again and again it comes to the same figures" {
    local i pid
    bench whole --preset long
    for i in 1 2 3 4 5 6 7 8 9 10; do
        EXEC=exec bench killed --preset long &
        pid=$!
        sleep "0.$((i * 7 % 10))7"
        kill -9 $pid 2>/dev/null || true
        wait $pid || true
    done
    bench killed --preset long
    diff <(figures whole) <(figures killed)
    nothing_left killed
}

@test "bench: two at once divide the cells" {
    bench two --cells '* none *' --cache "$DATA/other-cache" &
    local other=$!
    bench two --jobs 2 --cache "$DATA/two-cache"
    wait $other
    diff <(figures toy) <(figures two)
    [ -d "$DATA/two-cache" ] && [ ! -e "$DATA/two/cache" ]
}

@test "bench: Ctrl-C stops it within a second, and it goes on" {
    EXEC=exec bench stopped --preset long 2>said &
    local pid=$! began
    until ls "$DATA"/stopped/runs/*/checkpoint.safetensors >/dev/null 2>&1; do
        kill -0 $pid
        sleep 0.02
    done
    [[ $(bench stopped --preset long --list) == *"claimed  lsp "* ]]
    began=$(date +%s%N)
    kill -TERM $pid # a shell without job control starts its children with SIGINT ignored
    status=0
    wait $pid || status=$?
    [ "$status" -eq 130 ]
    [ $((($(date +%s%N) - began) / 1000000)) -lt 1500 ]
    grep -q 'the same command goes on' said
    [ -z "$(ls "$DATA/stopped/claims")" ]
    bench stopped --preset long
    diff <(figures whole) <(figures stopped)
    grep -q '"resumed": true' "$DATA"/stopped/results/*
}

@test "bench: a cell that fails says why, and the others are done" {
    run bench unlucky --preset unlucky
    [ "$status" -eq 1 ]
    [[ $output == *"unlucky none resnet8 0 failed: "*lenet* ]]
    [[ $output == *"1 of 2 cells failed"* ]]
    run bench unlucky --preset unlucky --list
    [[ $output == *"done     clean none"* && $output == *"failed   unlucky none resnet8 0: "*lenet* ]]
    run bench toy --table --preset unlucky
    [[ $output == *"| unlucky | - |"* ]]
}

@test "bench: mistakes are refused, and nothing is made" {
    local args before
    printf '[bench]\nprotections = clean\ncountermeasures = none\ndata = data\ntest = test\n' >"$DATA/near.ini"
    before=$(cd "$DATA" && find . | sort | sha256sum)
    for args in "$DATA/absent.ini" "--preset none $DATA/toy.ini" "--cells nothing $DATA/toy.ini" "--jobs 1000 $DATA/toy.ini" \
        "--list --table $DATA/toy.ini" "--csv --json $DATA/toy.ini" "--data $DATA/absent $DATA/toy.ini" "--figure worst $DATA/toy.ini" \
        "--nonsense $DATA/toy.ini" "" "--out $DATA/data/x $DATA/near.ini" "--out $DATA/test $DATA/near.ini"; do
        # shellcheck disable=SC2086
        run relearn bench -q $args
        [ "$status" -ne 0 ] || { echo "not refused: $args"; false; }
        [[ $output == "relearn: "* ]]
    done
    [ "$before" = "$(cd "$DATA" && find . | sort | sha256sum)" ]
    cp -r "$DATA/data" sizes
    png "sizes/ant/$(ls sizes/ant | sed -n 2p)" 40 1
    run relearn bench -q --data sizes --out sizes-out "$DATA/toy.ini"
    [ "$status" -ne 0 ] && [[ $output == *"(use channels = 1 or 3 in [bench])"* ]]
    sed 's/^images = 60/&\nchannels = 1/' "$DATA/toy.ini" >grey.ini
    run relearn bench -q --data sizes --test "$DATA/test" --out sizes-out grey.ini
    [ "$status" -ne 0 ] && [[ $output == *"(use size = N in [bench] to resize)"* ]]
}

@test "bench: what a matrix may say of training and protecting are options of these commands" {
    local key
    cd "$DATA" || return 1
    printf '[bench]\nprotections = clean\ncountermeasures = none\n[train]\nnonsense = 1\n' >wrong.ini
    run relearn bench --data data --test test wrong.ini
    [ "$status" -eq 2 ]
    [[ $output == "relearn: wrong.ini:5: training has no 'nonsense'; it has acm, "*", and RECIPE-KEY of the recipes" ]]
    output=${output#*it has } output=${output%, and RECIPE*}
    for key in ${output//, / }; do
        relearn train --help | grep -q -e "--${key//_/-} " || { echo "relearn train has no --${key//_/-}"; false; }
    done
    printf '[bench]\nprotections = lsp\ncountermeasures = none\n[protection lsp]\nnonsense = 1\n' >wrong.ini
    run relearn bench --data data --test test wrong.ini
    [[ $output == "relearn: wrong.ini:5: lsp has no 'nonsense'; it has method, on, "* ]]
    output="method, ${output#*it has method, on, }"
    for key in ${output//, / }; do
        relearn protect --help | grep -q -e "--${key//_/-} " || { echo "relearn protect has no --${key//_/-}"; false; }
    done
}

@test "bench: the matrices that come with the source and the program can be read" {
    local m preset
    [ "$(grep -l '^\[bench\]' "$BATS_TEST_DIRNAME"/study/*.ini | wc -l)" -eq 5 ]
    for m in purifiers:112 small:180 columns:140 pairs:54 guidance:30; do
        run relearn bench --data "$DATA/data" --test "$DATA/test" --list "$BATS_TEST_DIRNAME/study/${m%:*}.ini"
        [ "$status" -eq 0 ]
        [ "${lines[-1]}" = "${m#*:} cells: 0 done, ${m#*:} open, 0 claimed, 0 failed" ]
    done
    for m in table1:182 table2:77 table3:88 table5:18 table6:15 pairs:32; do # cells of one seed
        for preset in quick:1 paper:3; do
            run relearn bench --data "$DATA/data" --test "$DATA/test" --preset ${preset%:*} --list "${m%:*}"
            [ "$status" -eq 0 ]
            [ ${#lines[@]} -eq $((${m#*:} * ${preset#*:} + 1)) ]
        done
    done
    relearn bench --data "$DATA/data" --test "$DATA/test" --list torch | grep -q '^18 cells: 0 done'
    cp "$DATA/toy.ini" "$DATA/table1" # a file of that name is meant first
    cd "$DATA"
    run relearn bench --list table1
    [[ $output == *"weak st resnet8 0"* ]]
    rm table1
}

@test "bench: the purifiers of the ablation differ in their guidance alone" {
    local p
    guidance() { relearn profile show "$1" | grep -E '^(guidance|pixel_scale|perceptual_scale)' | cut -d' ' -f3 | paste -sd' '; }
    rest() { relearn profile show "$1" | grep -vE '^(#|guidance|pixel_scale|perceptual_scale|percept )'; }
    for p in paper-unguided paper-pixel paper-perceptual; do
        [ "$(rest $p)" = "$(rest paper)" ]
    done
    [ "$(guidance paper-unguided)" = "none 0 0" ]
    [ "$(guidance paper-pixel)" = "joint 6694 0" ]
    [ "$(guidance paper-perceptual)" = "joint 0 6694" ]
    [ "$(guidance paper)" = "joint 6694 6694" ]
}

@test "bench: a profile's restorer is fine-tuned on pairs, once for all victims" {
    relearn restore train -q -j 1 --data "$DATA/data" --out r.safetensors --steps 5 --batch 4 --size 12 --width 32,32 --blocks 1
    printf '[purify]\nchain = restore\n[restore]\nmodel = ./r.safetensors\n' >r.ini
    cat >pairs.ini <<'INI'
[bench]
images = 60
protections = lsp
countermeasures = untuned, tuned
victims = resnet8
seeds = 0, 1
[train]
epochs = 1
batch = 20
[countermeasure untuned]
profile = r.ini
[countermeasure tuned]
profile = r.ini
pairs = 20
tune-steps = 40
tune-batch = 8
tune-size = 12
tune-warmup = 2
tune-ema = 0.9
tune-pair-share = 1
INI
    tuned_bench() { # OPTION...
        relearn bench -q -j 1 --data "$DATA/data" --test "$DATA/test" --out out "$@" pairs.ini
    }
    tuned_bench --keep >table
    grep -Eq '^\| lsp \| [0-9].* \| [0-9]' table
    local tuned
    tuned=$(echo out/trees/*/restorer.safetensors)
    [ -f "$tuned" ] && [ -f "${tuned%/*}/tuned.ini" ]
    grep -aq '"train.pairs":"20"' "$tuned"
    grep -aq '"train.images":"20"' "$tuned"
    relearn bench --data "$DATA/data" --test "$DATA/test" --out out --table --json pairs.ini >json
    # What the tuned restorer leaves is nearer to the clean images.
    [ "$(json 'j["means"][1]["psnr"] > j["means"][0]["psnr"] + .1' <json)" = True ]
    [ "$(json 'j["means"][0]["profile"] is None, j["means"][1]["profile"]' <json)" = "(False, None)" ]
    [ "$(cat out/results/*.json | grep -c '"tune":')" -ge 2 ]
    tuned_bench
    [ -z "$(ls out/trees)" ]
    # Without its images a restorer that is there is of no use: both are made.
    rm out/results/*.json
    tuned_bench --cells 'lsp tuned resnet8 0' --keep
    rm out/results/*.json out/trees/*.purification.json
    for f in out/trees/*.json; do
        case $(json 'next(k for k in ("method", "tune", "profile", "data") if k in j["description"])' <"$f") in
        method | profile) rm -r "${f%.json}" "$f" ;;
        esac
    done
    [ "$(ls out/trees | wc -l)" = 4 ]
    tuned_bench --cells 'lsp tuned resnet8 0' >table
    grep -Eq "^\\| lsp \\| [0-9.]+ \\|\$" table
}

@test "bench: pairs need a profile with a restorer" {
    printf '[bench]\nprotections = lsp\ncountermeasures = c\n[countermeasure c]\nprofile = iss-grey\npairs = 5\n' >m.ini
    run relearn bench -q --data "$DATA/data" --test "$DATA/test" m.ini
    [ "$status" -eq 2 ]
    [[ $output == *"m.ini:5: "*"iss-grey has no restore with a model"* ]]
}

@test "bench: a command of one's own is a victim like the others, and is broken off and gone on with like them" {
    mkdir script && cat >script/victim.py <<'P'
import json, os, sys, time
option = dict(zip(sys.argv[1::2], sys.argv[2::2]))
images = [sum(n.endswith(".png") for _, _, f in os.walk(option[o]) for n in f) for o in ("--data", "--test")]
if not os.path.exists(option["--out"] + "/half"):
    open(option["--out"] + "/half", "w").close()
    open("began", "w").close()
    time.sleep(60)
print("images:", *images)
print(json.dumps({"test_accuracy": images[0] / 1000 + int(option["--seed"]) / 10, "train_accuracy": images[1] / 1000}))
P
    cat >script/own.ini <<'INI'
[bench]
images = 60
protections = lsp
countermeasures = none, grey
victims = own, resnet8
seeds = 2
[train]
epochs = 1
[victim own]
command = "python3" victim.py
files = victim.py
[protection lsp]
patch = 4
[countermeasure grey]
profile = iss-grey
INI
    local run=(relearn bench -q -j 1 --data "$DATA/data" --test "$DATA/test" --out out script/own.ini)
    "${run[@]}" --cells 'lsp none own 2' &
    local pid=$! i
    for ((i = 0; i < 600; i++)); do [ -e script/began ] && break; sleep 0.1; done
    kill -9 "$pid"
    wait "$pid" || true
    "${run[@]}" --cells 'lsp none *' >table
    grep -qx '| lsp | 26.0 |' table # 60 images, seed 2
    [ "$(grep -c '^| lsp ' table)" -eq 2 ]
    run "${run[@]}" --table --figure train
    [[ $output == *"| lsp | 12.0 | - |"* ]]
    [ -z "$(pgrep -f "script/victim.py.*$PWD" || true)" ]
    echo '# more' >>script/victim.py
    "${run[@]}" --list | grep -q '^4 cells: 1 done, 3 open' # resnet8's stays
}
