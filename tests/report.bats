#!/usr/bin/env bats
# relearn report: what it says of runs is what these recorded, on a real mount, too.

load mounts

setup_file() {
    mounts_setup_file || return 1
    local k n
    for k in cat dog; do
        mkdir -p "$DATA/two/$k"
        for n in 1 2 3; do png "$DATA/two/$k/$n.png" 16 "$n${#k}$([ $k = cat ] || echo 7)"; done
    done
    relearn protect -q --method lsp --patch 4 "$DATA/two" "$DATA/protected" >&2 || return 1
    train "$DATA/protected" protected 1 >&2 && train "$DATA/protected" protected 2 >&2 && train "$DATA/two" clean 1 >&2
}

setup() { mounts_setup; }
teardown() { mounts_teardown; }

train() { # DATA NAME SEED: $DATA/NAME-SEED
    relearn train -q --threads 1 --data "$1" --test "$DATA/two" --arch resnet8 --epochs 2 --batch 3 --pad 1 --no-flip \
        --seed "$3" --out "$DATA/$2-$3"
}

@test "report: the page has the figures of the runs, and what purified, whole" {
    s=$DATA/protected
    mnt
    train "$m" "pure<b>" 1
    relearn report --title '<script>' --out "$w/r.html" --sheet "$DATA/two,$s,$m" "$DATA"/{protected-1,protected-2,clean-1,pure*}
    "$PY" - "$w/r.html" "$DATA" "$m" <<'P'
import base64, csv, hashlib, html.parser, io, json, re, sys
page, data, mnt = open(sys.argv[1], encoding="utf-8").read(), sys.argv[2], sys.argv[3]

class Page(html.parser.HTMLParser):
    open_tags, seen, text = [], [], ""
    def handle_starttag(self, tag, attrs):
        self.open_tags.append(tag)
        self.seen.append((tag, dict(attrs)))
    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
    def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag, tag
    def handle_data(self, text):
        self.text += text

p = Page()
p.feed(page)
assert not p.open_tags
assert sum(tag == "script" for tag, _ in p.seen) == 1
for tag, attrs in p.seen:
    for key in ("src", "href"):
        assert attrs.get(key, "data:").startswith("data:"), attrs
# The one script is the one that the policy allows.
script = re.search(r"<script>(.*?)</script>", page, re.S).group(1)
assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in page

files = {a["download"]: base64.b64decode(a["href"].split(",")[1]).decode() for t, a in p.seen if "download" in a}
runs = {r["run"]: r for r in csv.DictReader(io.StringIO(files["runs.csv"]))}
assert sorted(runs) == ["clean-1", "protected-1", "protected-2", "pure<b>-1"], runs
for name, row in runs.items():
    log = [json.loads(line) for line in open(f"{data}/{name}/log.jsonl")]
    config = json.load(open(f"{data}/{name}/config.json"))
    assert abs(float(row["test_accuracy_last"]) - log[-1]["test_accuracy"]) < 1e-7
    assert abs(float(row["train_accuracy"]) - log[-1]["train_accuracy"]) < 1e-7
    assert row["images_are"] == name.split("-")[0].replace("pure<b>", "purified")
    assert row["data_digest"] == config["data_digest"] and row["machine"] == config["machine"] != ""
    assert row["ended"] == log[-1]["ended"] and row["ended"].endswith("Z")
    test = json.load(open(f"{data}/{name}/test.json"))
    right = sum(test["confusion"][k][k] for k in range(2)) / 6
    assert abs(right - log[-1]["test_accuracy"]) < 1e-9
    assert f"{100 * right:.2f} %" in p.text
epochs = list(csv.DictReader(io.StringIO(files["epochs.csv"])))
assert len(epochs) == 8 and all(float(e["test_loss"]) > 0 and float(e["lr"]) > 0 for e in epochs)

by = json.load(open(f"{data}/pure<b>-1/config.json"))["purified_by"]
status = json.load(open(mnt + "/.relearn/status.json"))
assert by["profile_id"] == status["profile"]["id"] and by["profile_id"] in p.text
model = hashlib.sha256(open(data + "/m.safetensors", "rb").read()).hexdigest()
assert by["weights"][0]["sha256"] == model and model in p.text
assert by["chain"] == "jcdp" and by["version"] == status["version"]
assert open(mnt + "/.relearn/profile.ini").read() == by["profile_text"]
assert "rounds = 1" in p.text and "PSNR" in p.text
P
}

@test "report: what runs of older versions took test images for, relearn eval tells" {
    cp -r "$DATA/clean-1" "$w/old"
    mv "$w/old/test.json" "$w/was"
    relearn report --out "$w/r.html" "$w/old"
    run grep -c 'Confusion matrix' "$w/r.html"
    [ "$output" = 0 ]
    relearn eval -q --json --confusion --data "$DATA/two" --weights "$w/old/weights.safetensors" >"$w/old/test.json"
    relearn report --force --out "$w/r.html" "$w/old"
    grep -q 'Confusion matrix' "$w/r.html"
    [ "$("$PY" -c 'import json,sys; print(*(json.load(open(f))["confusion"] for f in sys.argv[1:]))' "$w/was" "$w/was")" = \
        "$("$PY" -c 'import json,sys; print(*(json.load(open(f))["confusion"] for f in sys.argv[1:]))' "$w/was" "$w/old/test.json")" ]
}

@test "report: what it cannot do it says" {
    run relearn report --out "$w/r.html" --clean "$w/absent"
    [ "$status" -eq 1 ]
    [[ $output == *absent* ]]
    run relearn report --out "$w/r.html" --lpips "$DATA/m.safetensors" "$DATA/clean-1"
    [ "$status" -eq 2 ]
    [[ $output == *"--sheet"* ]]
    run relearn report --out "$w/r.html" --lpips "$DATA/m.safetensors" --sheet "$DATA/two,$DATA/protected,$DATA/two"
    [ "$status" -eq 2 ]
    [[ $output == *"cannot compare images by $DATA/m.safetensors"* ]]
    [ ! -e "$w/r.html" ]
}
