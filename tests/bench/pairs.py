#!/usr/bin/python3
"""Measures the rows of a bench pair by pair: ours and PyTorch's turn directly after each other, several rounds.

    pairs.py OUT.json THREADS OURS [PEER...]      OURS: a program; PEER: a command line, none if there is nothing to compare with

`OURS` prints the names of its rows; `OURS ROW THREADS` and `PEER... ROW THREADS` print a JSON line that describes the row,
then, for each line of their input (seconds), one with what they measured in about that time. Both stay alive, asleep, while
the other has its turn, and who begins changes with the round, so that what else the machine does meets both alike.

Prints a table and writes a JSON line for each row:
    ours, peer       milliseconds, the median over the rounds; ours_cpu, peer_cpu: of CPU time
    ratio            peer / ours; ratio_low, ratio_high: the lowest and the highest of a round
    limit, share     milliseconds that convolutions and matrix products alone take, and how much of ours that is
    form             how PyTorch was fastest; tried: the milliseconds of all its forms; errors: of those it cannot run
    error            why there is no peer; mismatch: the two are not the same network; note: what slows PyTorch down here

BENCH_ONLY: only the rows whose name contains this. BENCH_ROUNDS: rounds, instead of 7, or 3 where a turn takes long.
"""
import json
import os
import statistics
import subprocess
import sys

SECONDS = 1  # of a turn; a step that takes longer is a turn of its own
ROUNDS, ROUNDS_LONG, LONG_MS = 7, 3, 3000
OF_PEER = ("torch", "form", "tried", "errors", "error", "note")
LAYOUT = "{:<26}{:>10}{:>12}{:>8}{:>13}{:>10}{:>7}{:>10}  {}"


class Failed(Exception):
    pass


class Side:
    """A process that measures one row when it is asked to."""

    def __init__(self, command, row, threads, waiting=None):
        self.name = os.path.basename(command[-1])
        env = {**os.environ, "OMP_WAIT_POLICY": waiting} if waiting else None
        self.process = subprocess.Popen([*command, row, threads], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env=env)
        self.about = self.answer()
        self.turns = []

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.name} ended with status {self.process.wait()}")
        return json.loads(line)

    def turn(self):
        try:
            print(SECONDS, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass  # answer says how it ended
        self.turns.append(self.answer())

    def median(self, key):
        return round(statistics.median(turn[key] for turn in self.turns), 3)

    def close(self):
        self.process.communicate()


def open_peer_waiting(command, row, threads, waiting):
    """-> the peer (None if it cannot run the row), what it says of itself"""
    try:
        peer = Side(command, row, threads, waiting)
    except Failed as e:
        return None, {"error": str(e)}
    if "error" not in peer.about:
        return peer, peer.about
    peer.close()
    return None, peer.about


def open_peer(command, row, threads):
    """The same, of two ways of OpenMP's threads to wait the faster: when they spin some of PyTorch's steps are faster,
    in others they are in the way of its BLAS library's threads."""
    if not command:
        return None, {}
    best, about = open_peer_waiting(command, row, threads, None)
    if not best or "OMP_WAIT_POLICY" in os.environ:
        return best, about
    peer, said = open_peer_waiting(command, row, threads, "passive")
    if not peer:
        return best, about
    if fastest(said) >= fastest(about):
        peer.close()
        return best, about
    best.close()
    said["form"] += " passive"
    return peer, said


def fastest(about):
    return min(about["tried"].values())


def take_turns(ours, peer):
    """-> why the peer's turns are missing"""
    sides, rounds = [ours, peer] if peer else [ours], 1
    while len(ours.turns) < rounds:
        for side in sides:
            try:
                side.turn()
            except Failed as e:
                if side is ours:
                    raise
                return str(e)
        sides.reverse()
        longest = max(side.turns[-1]["ms"] for side in sides)
        rounds = int(os.environ.get("BENCH_ROUNDS") or (ROUNDS_LONG if longest > LONG_MS else ROUNDS))
    return None


def measure(ours_command, peer_command, row, threads):
    """-> what is written of a row"""
    ours = Side([ours_command], row, threads)
    peer, peer_about = open_peer(peer_command, row, threads)
    failure = take_turns(ours, peer)
    about, ms = ours.about, ours.median("ms")
    limit = about["product_share"] * ours.median("plan_ms")
    result = {**about, "threads": int(threads), "rounds": len(ours.turns), "ours": ms, "ours_cpu": ours.median("cpu_ms"),
              "limit": round(limit, 3), "share": round(limit / ms, 4), "images_per_s": round(1000 * about["batch"] / ms, 2),
              "cpu": cpu_model()}
    result.update((key, peer_about[key]) for key in OF_PEER if key in peer_about)
    if failure:
        result["error"] = failure
    elif peer:
        ratios = [theirs["ms"] / mine["ms"] for mine, theirs in zip(ours.turns, peer.turns)]
        result.update(peer=peer.median("ms"), peer_cpu=peer.median("cpu_ms"), ratio=round(peer.median("ms") / ms, 3),
                      ratio_low=round(min(ratios), 3), ratio_high=round(max(ratios), 3))
        if peer_about["parameters"] != about["parameters"]:
            result["mismatch"] = f"ours has {about['parameters']} parameters, the peer's {peer_about['parameters']}"
    for side in filter(None, (ours, peer)):
        side.close()
    return result


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        return next((line.split(": ", 1)[1].strip() for line in f if line.startswith("model name")), "unknown")


def print_row(r):
    compared = ["-", "-", "-"]
    if "peer" in r:
        compared = [f"{r['peer']:.1f}", f"{r['ratio']:.2f}x", f"{r['ratio_low']:.2f}-{r['ratio_high']:.2f}"]
    print(LAYOUT.format(r["name"], f"{r['ours']:.1f}", *compared, f"{r['limit']:.1f}", f"{100 * r['share']:.0f} %",
                        f"{r['images_per_s']:.1f}", r["form"] if "peer" in r else "").rstrip())
    for key in ("error", "mismatch"):
        if key in r:
            print(f"    {key}: {r[key]}")
    sys.stdout.flush()


def main():
    out, threads, ours, *peer = sys.argv[1:]
    rows = subprocess.run([ours], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    print(LAYOUT.format("", "ours ms", "PyTorch ms", "faster", "low-high", "limit ms", "share", "images/s", "PyTorch as"))
    wrong, notes = False, set()
    with open(out, "w", encoding="utf-8") as f:
        for row in rows:
            if os.environ.get("BENCH_ONLY", "") not in row:
                continue
            try:
                result = measure(ours, peer, row, threads)
            except Failed as e:
                sys.exit(f"pairs.py: {row}: {e}")
            print(json.dumps(result), file=f, flush=True)
            print_row(result)
            wrong = wrong or "mismatch" in result
            notes.update([result["note"]] if "note" in result else [])
    for note in notes:
        print(f"(PyTorch: {note})")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
