"""What programs see of a mounted tree.

served.py sizes DIR          every size told by stat before any read is the number of bytes read
served.py compare A B        both trees hold the same names, kinds and bytes
served.py mmap DIR           private and shared maps hold the bytes that read gives
served.py readonly DIR       every call that would change something fails with EROFS
served.py facts DIR          names, kinds, sizes, times and digests, one a line
served.py load DIR           reads the tree again and again until it is killed
"""
import ctypes
import errno
import hashlib
import mmap
import os
import random
import stat
import sys

bad = []


def walk(root):
    root = os.fsencode(root)
    for here, dirs, files in os.walk(root):
        dirs.sort()
        for name in sorted(files + dirs):
            full = os.path.join(here, name)
            yield os.path.relpath(full, root), full, os.lstat(full)


def regular(root):
    return [(rel, full, st) for rel, full, st in walk(root) if stat.S_ISREG(st.st_mode)]


def read(full):
    with open(full, "rb") as f:
        return f.read()


def sizes(root):
    files = regular(root)  # all stats first
    for rel, full, st in files:
        n = len(read(full))
        if n != st.st_size or n != os.stat(full).st_size:
            bad.append("%r: stat %d, then read %d, then stat %d" % (rel, st.st_size, n, os.stat(full).st_size))
    return len(files)


def compare(a, b):
    left, right = list(walk(a)), list(walk(b))
    if [x[0] for x in left] != [x[0] for x in right]:
        bad.append("names differ: %r" % (set(x[0] for x in left) ^ set(x[0] for x in right)))
        return 0
    for (rel, pa, sa), (_, pb, sb) in zip(left, right):
        if stat.S_IFMT(sa.st_mode) != stat.S_IFMT(sb.st_mode):
            bad.append("%r: kinds differ" % rel)
        elif stat.S_ISREG(sa.st_mode) and read(pa) != read(pb):
            bad.append("%r: bytes differ" % rel)
        elif stat.S_ISLNK(sa.st_mode) and os.readlink(pa) != os.readlink(pb):
            bad.append("%r: targets differ" % rel)
    return len(left)


def maps(root):
    n = 0
    for rel, full, st in regular(root):
        if st.st_size == 0:
            continue
        with open(full, "rb") as f:
            shared = mmap.mmap(f.fileno(), st.st_size, mmap.MAP_SHARED, mmap.PROT_READ)[:]
            private = mmap.mmap(f.fileno(), st.st_size, mmap.MAP_PRIVATE, mmap.PROT_READ)[:]
            if shared != f.read() or private != shared:
                bad.append("%r: maps differ from read" % rel)
        n += 1
    return n


def expect_erofs(what, call):
    try:
        call()
    except OSError as e:
        if e.errno == errno.EROFS:
            return
        bad.append("%s: %s" % (what, errno.errorcode[e.errno]))
    else:
        bad.append("%s: allowed" % what)


def readonly(root):
    file = os.path.join(root, "png", "rgb.png")
    text = os.path.join(root, "label.txt")
    new = os.path.join(root, "png", "new")
    libc = ctypes.CDLL(None, use_errno=True)

    def fallocate():
        fd = os.open(file, os.O_RDWR)
        os.posix_fallocate(fd, 0, 10)

    calls = {
        "open for writing": lambda: os.open(file, os.O_WRONLY),
        "open for both": lambda: os.open(text, os.O_RDWR),
        "open to truncate": lambda: os.open(file, os.O_WRONLY | os.O_TRUNC),
        "create": lambda: os.open(new, os.O_WRONLY | os.O_CREAT),
        "truncate": lambda: os.truncate(file, 3),
        "chmod": lambda: os.chmod(file, 0o600),
        "chown": lambda: os.chown(file, 1, 1),
        "utime": lambda: os.utime(file, (1, 1)),
        "unlink": lambda: os.unlink(text),
        "mkdir": lambda: os.mkdir(new),
        "rmdir": lambda: os.rmdir(os.path.join(root, "png")),
        "rename": lambda: os.rename(file, new),
        "link": lambda: os.link(file, new),
        "symlink": lambda: os.symlink("x", new),
        "mkfifo": lambda: os.mkfifo(new),
        "setxattr": lambda: os.setxattr(file, "user.x", b"y"),
        "removexattr": lambda: os.removexattr(file, "user.relearn.state"),
        "fallocate": fallocate,
        "rmdir of .relearn": lambda: os.rmdir(os.path.join(root, ".relearn")),
        "write to status": lambda: os.open(os.path.join(root, ".relearn", "status.json"), os.O_WRONLY),
    }
    for what, call in calls.items():
        expect_erofs(what, call)
    return len(calls) + (libc is None)


def facts(root):
    for rel, full, st in walk(root):
        digest = hashlib.sha256(read(full)).hexdigest() if stat.S_ISREG(st.st_mode) else "-"
        print(rel, oct(st.st_mode), st.st_uid, st.st_nlink, st.st_size, st.st_mtime_ns, st.st_ctime_ns, digest)
    return 1


def load(root):
    files = regular(root)
    while True:
        rel, full, st = random.choice(files)
        try:
            n = len(read(full))
        except OSError:
            continue  # the daemon was killed
        if n != st.st_size:
            print("%r: %d bytes instead of %d" % (rel, n, st.st_size), flush=True)


mode = {"sizes": sizes, "compare": compare, "mmap": maps, "readonly": readonly, "facts": facts, "load": load}
n = mode[sys.argv[1]](*sys.argv[2:])
for line in bad:
    print(line)
if n == 0:
    print("nothing was looked at")
sys.exit(1 if bad or n == 0 else 0)
