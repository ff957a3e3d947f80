#!/usr/bin/env bats
# What PIL and torchvision make of the files we write, and whether ImageFolder sees our trees.

setup() {
    cd "$BATS_TEST_DIRNAME/.." || return 1
    python=/usr/bin/python3
    program=${BUILD:-build}/image/clients_test
    dir=$(mktemp -d)
    [ -x "$program" ] || skip "$program is not built"
}

teardown() {
    rm -rf "$dir"
}

@test "image: PIL and torchvision read every file we write, without a warning" {
    "$python" -c 'import PIL, numpy' 2>/dev/null || skip "no PIL"
    run "$program" corpus "$dir"
    [ "$status" -eq 0 ]
    run "$python" tests/image_clients.py corpus "$dir"
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "image: WebP, BMP, TIFF and GIF are read as PIL and OpenCV read them, and shown with the same pixels" {
    "$python" -c 'import PIL, numpy' 2>/dev/null || skip "no PIL"
    "$python" tests/image_formats.py make "$dir"
    run "$program" recode "$dir"
    echo "$output"
    [ "$status" -eq 0 ]
    run "$python" tests/image_formats.py judge "$dir"
    echo "$output"
    [ "$status" -eq 0 ]
}

@test "image: file(1) says of each format what it is, and of a GIF that a PNG is shown" {
    command -v file >/dev/null || skip "no file(1)"
    "$python" -c 'import PIL, numpy' 2>/dev/null || skip "no PIL"
    "$python" tests/image_formats.py make "$dir"
    "$program" recode "$dir"
    [[ "$(file -b --mime-type "$dir"/out/meta.webp)" == image/webp ]]
    [[ "$(file -b --mime-type "$dir"/out/rgba.bmp)" == image/*bmp* ]]
    [[ "$(file -b --mime-type "$dir"/out/rgb_raw.tiff)" == image/tiff ]]
    [[ "$(file -b --mime-type "$dir"/out/plain.gif)" == image/png ]]
}

@test "image: a tree's order and classes are ImageFolder's" {
    "$python" -c 'import torchvision' 2>/dev/null || skip "no torchvision"
    mkdir -p "$dir"/t/{cat/{sub/deep,sub-a,sub.b},Dog,ant,éclair} "$dir"/elsewhere
    touch "$dir"/t/stray.png "$dir"/t/cat/{2.png,1.JPG,notes.txt,10.png,a.webp} "$dir"/t/cat/sub/{0.png,x.gif} \
        "$dir"/t/cat/sub/deep/9.jpeg "$dir"/t/cat/sub-a/3.Tif "$dir"/t/cat/sub.b/4.bmp "$dir"/t/Dog/{x.png,X.png} \
        "$dir"/t/ant/{.png,a.pgm} "$dir"/t/éclair/{ü.png,z.png} "$dir"/elsewhere/e.png
    ln -s ../elsewhere "$dir"/t/link
    ln -s ../../elsewhere/e.png "$dir"/t/ant/link.png
    ln -s nowhere "$dir"/t/ant/dangling.png
    ours=$("$program" tree "$dir/t")
    theirs=$("$python" tests/image_clients.py tree "$dir/t")
    echo "ours: $ours" "theirs: $theirs"
    [ "$ours" = "$theirs" ]
    [ "$(wc -l <<<"$ours")" -eq 17 ]
}

@test "image: what PIL or OpenCV read of damaged and odd files is read, with the same pixels and the same way up" {
    "$python" -c 'import PIL, numpy' 2>/dev/null || skip "no PIL"
    "$python" tests/image_damage.py make "$dir" 300
    run "$program" recode-odd "$dir"
    [ "$status" -eq 0 ]
    run "$python" tests/image_damage.py check "$dir"
    echo "$output"
    [ "$status" -eq 0 ]
}
