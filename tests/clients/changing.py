"""Readers of a mounted file whose source changes.

changing.py held MOUNT SOURCE WANT HOW    the first file of MOUNT is opened, something is done to SOURCE's file of that
                                          name, and it has to stay readable: WANT holds its purified bytes
changing.py emptied MOUNT SOURCE VERSION  SOURCE/x.png is opened while it is empty; then VERSION.png is written into it,
                                          which others read as VERSION.out, and it is emptied again
changing.py inplace MOUNT SOURCE VERSIONS SECONDS
                                          SOURCE/x.png becomes one of VERSIONS/*.png again and again, in place; who opens it
                                          reads one of VERSIONS/*.out, whole, or nothing
changing.py race MOUNT SOURCE VERSIONS SECONDS [xattr]
                                          SOURCE/x.png becomes one of VERSIONS/*.png again and again, by renaming and in
                                          place; who opens MOUNT/x.png reads one of VERSIONS/*.out, whole
"""
import errno
import mmap
import os
import random
import shutil
import sys
import threading
import time

bad = []


def held(mount, source, want, how):
    name = sorted(os.listdir(mount))[0]
    here, there = os.path.join(mount, name), os.path.join(source, name)
    want = open(want, "rb").read()
    fd = os.open(here, os.O_RDONLY)
    private = mmap.mmap(fd, os.fstat(fd).st_size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    if how == "chmod":
        os.chmod(there, 0o600)
    elif how == "touch":
        os.utime(there)
    elif how == "link":
        os.link(there, there + ".link")
    elif how == "unlink":
        os.unlink(there)
    elif how == "rename":
        os.rename(there, there + ".renamed")
    elif how == "replace":
        other = os.path.join(source, sorted(os.listdir(source))[1])
        shutil.copy(other, there + ".new")
        os.rename(there + ".new", there)
    elif how == "rename-folder":
        os.rename(source, source + "-renamed")
    else:
        sys.exit("changing.py: no such way: " + how)
    time.sleep(2.2)  # what is known of names and attributes without a watch is older than that now
    try:  # a second opener, who is to see the present
        other = os.open(here, os.O_RDONLY)
        os.read(other, 1 << 20)
        os.close(other)
    except OSError as e:
        if how not in ("unlink", "rename", "rename-folder"):
            bad.append("%s: second opener: %s" % (how, e))
    try:
        size = os.fstat(fd).st_size
        end = os.lseek(fd, 0, os.SEEK_END)
        got = os.pread(fd, 1 << 20, 0)
        if not size == end == len(want) or got != want or private[:] != want:
            bad.append("%s: fstat %d, end %d, read %d of %d bytes" % (how, size, end, len(got), len(want)))
    except OSError as e:
        bad.append("%s: %s" % (how, e))


def emptied(mount, source, version):
    here, there = os.path.join(mount, "x.png"), os.path.join(source, "x.png")
    want = open(version + ".out", "rb").read()
    for attempt in range(10):
        with open(there, "wb"):
            pass
        fd = os.open(here, os.O_RDONLY)
        if os.fstat(fd).st_size != 0:
            bad.append("an empty file is %d bytes long" % os.fstat(fd).st_size)
        with open(there, "r+b", buffering=0) as f:
            f.write(open(version + ".png", "rb").read())
        other = os.open(here, os.O_RDONLY)
        if os.fstat(other).st_size != len(want) or attempt % 2 and os.read(other, 1 << 16) != want:
            bad.append("what was written is not seen")
        os.truncate(there, 0)
        try:  # of what was opened nothing is left, and what the kernel was told of is another version
            got = os.read(fd, 1 << 16)
            if got:
                bad.append("%d bytes of an empty file: %r..." % (len(got), got[:8]))
        except OSError as e:
            if e.errno != errno.ESTALE:
                bad.append("read: %s" % e)
        os.close(fd)
        os.close(other)


def inplace(mount, source, versions, seconds):
    """What race does in place alone, with others who ask for the size all the time. The file was seen to change before."""
    names = sorted(n for n in os.listdir(versions) if n.endswith(".png"))
    pngs = [open(os.path.join(versions, n), "rb").read() for n in names]
    wanted = {open(os.path.join(versions, n[:-4] + ".out"), "rb").read() for n in names}
    here, there = os.path.join(mount, "x.png"), os.path.join(source, "x.png")
    counts = {"whole": 0, "empty": 0, "again": 0}

    def write(r):
        with open(there, "r+b", buffering=0) as f:
            f.truncate(0)
            if r.random() < 0.3:
                time.sleep(r.random() * 0.004)
            f.write(r.choice(pngs))

    def writer():
        r = random.Random(2)
        while time.monotonic() < until:
            write(r)
            time.sleep(r.random() * 0.008)

    def asker():
        while time.monotonic() < until:
            try:
                os.stat(here)
            except OSError:
                pass

    def reader():
        while time.monotonic() < until:
            try:
                fd = os.open(here, os.O_RDONLY)
            except OSError:
                counts["again"] += 1
                continue
            try:
                if random.random() < 0.5:
                    time.sleep(random.random() * 0.006)
                got = b"".join(iter(lambda: os.read(fd, 1 << 16), b""))
                kind = "whole" if got in wanted else "empty"
                counts[kind] += 1
                if got and kind == "empty":
                    raw = "raw, " if any(got.startswith(p) for p in pngs) else ""
                    bad.append("%s%d bytes that are no version: %r...%r" % (raw, len(got), got[:8], got[-8:]))
            except OSError as e:
                counts["again"] += 1
                if e.errno != errno.ESTALE:
                    bad.append("read: %s" % e)
            finally:
                os.close(fd)

    for size in (0, 1):  # two versions that are no longer there
        os.truncate(there, size)
        os.stat(here)
        time.sleep(1.1)  # believed for a second
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=t) for t in [writer] + 2 * [asker] + 6 * [reader]]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print("%(whole)d whole reads, %(empty)d of an empty file, %(again)d to be repeated" % counts)
    if counts["whole"] < 50:
        bad.append("too little happened: %r" % counts)


def race(mount, source, versions, seconds, xattr):
    names = sorted(n for n in os.listdir(versions) if n.endswith(".png"))
    pngs = [open(os.path.join(versions, n), "rb").read() for n in names]
    raw = set(pngs)
    wanted = {open(os.path.join(versions, n[:-4] + ".out"), "rb").read() for n in names}
    here, there = os.path.join(mount, "x.png"), os.path.join(source, "x.png")
    until = time.monotonic() + seconds
    counts = {"whole": 0, "again": 0, "changes": 0}

    def writer():
        r = random.Random(1)
        while time.monotonic() < until:
            data = r.choice(pngs)
            if r.random() < 0.7:
                with open(there + ".new", "wb") as f:
                    f.write(data)
                os.rename(there + ".new", there)
            else:
                with open(there, "r+b", buffering=0) as f:  # the same file; empty for a moment
                    f.truncate(0)
                    f.write(data)
            counts["changes"] += 1
            if xattr:
                try:
                    os.getxattr(here, "user.relearn.state")
                except OSError:
                    pass
            time.sleep(r.random() * 0.05)

    def reader():
        while time.monotonic() < until:
            try:
                fd = os.open(here, os.O_RDONLY)
            except OSError as e:
                counts["again"] += 1
                if e.errno not in (errno.ESTALE, errno.ENOENT):
                    bad.append("open: %s" % e)
                continue
            try:
                size = os.fstat(fd).st_size
                got = b""
                while True:
                    part = os.read(fd, 1 << 16)
                    got += part
                    if not part:
                        break
                if got in wanted:
                    counts["whole"] += 1
                elif not got or (got.startswith(b"\x89PNG") and got.rstrip(b"\xff") not in raw):
                    counts["again"] += 1  # while it is being written it may be no image: served as it is
                else:
                    bad.append("%d bytes that are no version, fstat said %d" % (len(got), size))
            except OSError as e:
                counts["again"] += 1  # overwritten in place while it was open
                if e.errno != errno.ESTALE:
                    bad.append("read: %s" % e)
            finally:
                os.close(fd)

    threads = [threading.Thread(target=writer)] + [threading.Thread(target=reader) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    shutil.copy(os.path.join(versions, names[-1]), there)
    time.sleep(2.5)
    with open(here, "rb") as f:  # nothing of what was seen in between has stayed
        if f.read() != open(os.path.join(versions, names[-1][:-4] + ".out"), "rb").read():
            bad.append("after the last change: not its last version")
    print("%(changes)d changes, %(whole)d whole reads, %(again)d to be repeated" % counts)
    if counts["whole"] < 50 or counts["changes"] < 10:
        bad.append("too little happened: %r" % counts)


if sys.argv[1] == "held":
    held(*sys.argv[2:6])
elif sys.argv[1] == "inplace":
    inplace(*sys.argv[2:5], float(sys.argv[5]))
elif sys.argv[1] == "emptied":
    emptied(*sys.argv[2:5])
else:
    race(sys.argv[2], sys.argv[3], sys.argv[4], float(sys.argv[5]), "xattr" in sys.argv[6:])
for line in sorted(set(bad)):
    print(line)
sys.exit(1 if bad else 0)
