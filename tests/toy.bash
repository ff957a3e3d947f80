# For tests that train, and that read JSON: sourced by .bats files.

# toy_images N DIR: DIR/images.gz and DIR/labels, IDX files of N images in three classes, 12x12: a bright block whose
# place says the class.
toy_images() {
    "$PY" - "$@" <<'PY'
import gzip, random, struct, sys
random.seed(1)
n, side = int(sys.argv[1]), 12
images, labels = bytearray(), bytearray()
for i in range(n):
    k = i % 3
    labels.append(k)
    for y in range(side):
        for x in range(side):
            lit = (y < 6) == (k != 2) and (x < 6) == (k == 0)
            images.append(random.randrange(40, 90) + (120 if lit else 0))
with gzip.open(sys.argv[2] + "/images.gz", "wb") as f:
    f.write(struct.pack(">IIII", 0x803, n, side, side) + images)
with open(sys.argv[2] + "/labels", "wb") as f:
    f.write(struct.pack(">II", 0x801, n) + labels)
PY
}

json() { # EXPRESSION over j, read from stdin
    "$PY" -c 'import json,sys; j=json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"
}
