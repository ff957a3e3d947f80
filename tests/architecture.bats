#!/usr/bin/env bats
# What ARCHITECTURE.md says of adding one more is true of those that there are.

setup() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    PY=/usr/bin/python3
    [ -x $PY ] || skip "no Python"
}

@test "architecture: every file that the map names is there" {
    $PY - <<'P'
import os, re
text = open("ARCHITECTURE.md").read().split("# To add one")[1]
named = set(re.findall(r"`([a-z][a-z0-9_]*/[A-Za-z0-9_./]*)`", text))
assert len(named) > 20, named
for path in sorted(named):
    if "NAME" not in path:
        assert os.path.exists(path), path
P
}

@test "architecture: a network is one file: a build with another one has it, and one without it has not" {
    local copy=$BATS_TEST_TMPDIR/copy f
    mkdir -p "$copy"
    tar -c Makefile base nn image purify cache fused train cli | tar -x -C "$copy"
    cd "$copy" || return 1
    list() { env -u BUILD -u MAKEFLAGS -u SAN -u ONEDNN make -s build/gen/train_nets.h && cat build/gen/train_nets.h; }
    f=$(list)
    [[ $f == *"X(vgg)"* && $f != *"X(lenet)"* ]]
    sed 's/train_nets_vgg/train_nets_lenet/; s/"vgg16"/"lenet"/' train/nets/vgg.c >train/nets/lenet.c
    [[ $(list) == *"X(lenet)"* ]]
    touch -d '1 hour ago' build/gen/train_nets.h
    list >/dev/null # what has not changed is not written again
    [ "$(find build/gen/train_nets.h -mmin +30)" ]
    rm train/nets/lenet.c
    [ "$(list)" = "$f" ]
    env -u BUILD -u MAKEFLAGS -u SAN -u ONEDNN make -n build/train/nets.o | grep -q 'train/nets.c'
}

@test "architecture: a member is its own file, its line in a table, and nothing else in its layer" {
    $PY - <<'P'
import glob, os, re
rows = {}
for line in open("ARCHITECTURE.md"):
    cells = [c.strip() for c in line.split("|")]
    if len(cells) == 6 and "`" in cells[2]:
        rows[cells[1]] = cells

def first_path(cell):
    return re.search(r"`([^`]*)`", cell).group(1)

# kind: what a line of the table looks like, what the member is called in C, where else in the layer its name as a
# string may be, and why
kinds = {
    "protection": (r"X\((\w+)\)", "protect_%s", "train cli",
                   {"apply": {"train/train.h", "cli/cmd_protect.c"}}),            # an option of its own
    "recipe": (r"X\((\w+)\)", "recipe_%s", "train cli",
               {"standard": {"train/run_setup.c"}}),                              # the default
    "family of perturbations": (r"X\((\w+)\)", "family_%s", "train cli", None), # their names are common words
    "purifier": (r"X\((\w+)\)", "purifier_%s", "purify cli fused",
                 {"jcdp": {"purify/profile.c"},                                   # profiles without a chain
                  "grey": {"cli/cmd_model.c"},                                    # a model of one channel
                  "restore": {"cli/relearn_main.c"},                              # the command that trains its networks
                  "deconvolve": {"cli/relearn_main.c"}}),                         # the same
    "op": (r"(?m)^    X\([A-Z0-9_]+, (\w+)\)", "nn_op_%s", "nn", None),
    "command": (r'\{"(\w+)", cmd_', "cmd_%s", "cli", None),
    "codec": (r"&image_(\w+)_codec", "image_%s_codec", "image", None),
    "container": (r"&image_(\w+)_container", "image_%s_container", "image", None),
}

def sources(folders):
    for folder in folders.split():
        for path in glob.glob(folder + "/**/*.[ch]", recursive=True):
            if not path.endswith("_test.c"):
                yield path, open(path).read()

wrong = []
for kind, (pattern, symbol, layer, elsewhere) in kinds.items():
    table = first_path(rows[kind][3])
    own = os.path.dirname(first_path(rows[kind][2])) + "/"
    files = list(sources(layer))
    members = [m for m in re.findall(pattern, open(table).read()) if m not in ("name", "row")]
    assert len(members) >= (1 if kind == "container" else 5), (kind, members)
    for member in members:
        what = symbol % member
        home = [p for p, text in files if p.startswith(own) and
                re.search(r"^[a-z].*\b%s(\(int| = )" % what, text, re.M)]
        if len(home) != 1:
            wrong.append("%s: %s is defined in %s" % (kind, what, home))
            continue
        if elsewhere is None:
            continue
        name = re.search(r"%s = \{.*?\.name = \"([^\"]+)\"" % what, open(home[0]).read(), re.S).group(1)
        named = {p for p, text in files if '"%s"' % name in text}
        named = {p for p in named if not p.startswith("train/augments/")}  # these have names that recipes have, too
        more = named - {home[0]} - elsewhere.get(name, set())
        used = {p for p, text in files if re.search(r"\b%s\b" % what, text)} - {home[0], table}
        if more or used:
            wrong.append("%s: %s is known to %s" % (kind, name, sorted(more | used)))

# Networks are found in their folder: a file's rows, whose names no other file has.
elsewhere = {"resnet18": {"train/run_setup.c", "train/protect/surrogate.h"},  # the default of both
             "resnet8s2": {"train/audit/out.c"},                               # the default of trainings of an audit
             "percept": {"train/model.c", "train/model_load.c"}}               # a classifier of purify's
files = list(sources("train cli"))
nets = [(p, text) for p, text in files if p.startswith("train/nets/")]
assert len(nets) >= 5
for path, text in nets:
    stem = os.path.basename(path)[:-2]
    rows = re.search(r"^const struct train_net train_nets_%s\[\] = \{(.*?)^\};" % stem, text, re.S | re.M)
    names = re.findall(r'\.name = "([^"]+)"', rows.group(1)) if rows else []
    if not names:
        wrong.append("network: %s has no rows" % path)
    for name in names:
        more = {p for p, other in files if '"%s"' % name in other or "train_nets_%s" % stem in other}
        more -= {path} | elsewhere.get(name, set())
        if more:
            wrong.append("network: %s is known to %s" % (name, sorted(more)))
assert not wrong, "\n".join(wrong)
P
}

@test "no function of the programs is longer than 60 lines" {
    long=$(cd "$BATS_TEST_DIRNAME/.." && for f in base cache cli fused image nn purify train; do find "$f" -name '*.c' ! -name '*_test.c'; done |
        xargs awk '/^{$/ { start = FNR } /^}$/ { if (start && FNR - start > 60) print FILENAME ":" start ": " FNR - start " lines"; start = 0 }')
    [ -z "$long" ] || { echo "$long"; false; }
}
