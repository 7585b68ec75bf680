"""Rushlight against torch.compile (PyTorch's default mode), on the performance suite's workloads.

    python benchmarks/against_compile.py [SUITE] [--rounds 3] [--only mlp_mnist gpt ...] [--json results.json]

SUITE is the folder of `workloads.py`; without it, ../shared/perf beside this repository. In each round every workload runs
once in each framework, alternating, each in a process of its own with caches of its own that start empty. What PyTorch's
users would compile goes through torch.compile: the model with its loss, or the model alone; `--optimizer`: its step as
well. Single operations (matmul, conv3x3) have nothing to compile. torch.compile needs a C++ compiler.

First table: the median time of a step once all is compiled; the time from the process's start to the end of the hundredth
step, imports and compiling included; and PyTorch's time divided by Rushlight's: above 1, Rushlight is faster. Where steps are
slow there are fewer, as many as PyTorch ends within --patience seconds after its third, and the same number in both.

Second table: whether compiling in the background shows. The slowest of those steps, but for the very first two, which
record, beside the median and the slowest without a compiler (RUSHLIGHT_COMPILE=never, in the first round).
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

clock = time.perf_counter
SIDES = {"compiled": ("torch", {}), "rushlight": ("rushlight", {}),
         "tier 0": ("rushlight", {"RUSHLIGHT_COMPILE": "never"})}  # module, environment


def child(args, side: str, name: str, steps: int) -> None:
    """Run one workload; print a JSON object with the times of its steps.

    steps: how many are timed from the start on; 0: a hundred, or as many as end in time.
    """
    sys.path.insert(0, args.suite)
    import workloads

    torch = __import__(SIDES[side][0])
    make = workloads.WORKLOADS[name]
    if side != "compiled":
        step = make(torch)
    else:
        if args.optimizer:
            compile_steps_of_optimizers(torch)
        wrapped = "compile" in inspect.signature(make).parameters
        step = make(torch, compile=torch.compile) if wrapped else torch_compiled(torch, workloads, make)
    first: list[float] = []
    value, until = None, float("inf")
    while len(first) < (steps or 100) and (steps or clock() < until):
        seconds, made = timed(step)
        first.append(seconds)
        value = made if value is None else value
        if len(first) == 3:
            until = clock() + args.patience
    total = time.time() - float(os.environ["STARTED"])
    if torch.__name__ == "rushlight":
        from rushlight.compile import background

        background.wait()
    for _ in range(2):  # what was compiled meanwhile takes over
        step()
    steady: list[float] = []
    until = clock() + args.seconds
    while len(steady) < 3 or clock() < until:
        steady.append(timed(step)[0])
    print(json.dumps({"first": first, "total": total, "steady": median(steady), "value": value}))


def timed(step) -> tuple[float, float]:
    """(seconds, value) of one step."""
    begin = clock()
    value = step()
    return clock() - begin, value


def compile_steps_of_optimizers(torch) -> None:
    """Let each optimiser made from now on compile its step."""
    for cls in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        def made(self, *args, _init=cls.__init__, **kwargs):
            _init(self, *args, **kwargs)
            if "step" not in self.__dict__:  # AdamW's calls Adam's
                self.step = torch.compile(self.step)

        cls.__init__ = made


def torch_compiled(torch, workloads, make):
    """The step of a workload without a part that asks for compiling: its networks are compiled, or its functions."""
    for model in ("mlp", "gpt_model"):
        plain = getattr(workloads, model)
        setattr(workloads, model, lambda *args, _plain=plain, **kwargs: torch.compile(_plain(*args, **kwargs)))
    workloads.chain = torch.compile(workloads.chain)
    return make(torch)


def spawn(args, side: str, name: str, steps: int) -> dict:
    """The figures of one process; {"error": its last line} if it failed."""
    with tempfile.TemporaryDirectory() as caches:
        env = {**os.environ, **SIDES[side][1], "TORCHINDUCTOR_CACHE_DIR": f"{caches}/inductor",
               "RUSHLIGHT_CACHE": f"{caches}/kernels"}
        if args.threads:
            env["OMP_NUM_THREADS"] = str(args.threads)
        command = [sys.executable, __file__, args.suite, "--child", side, name, str(steps), "--patience", str(args.patience),
                   "--seconds", str(args.seconds), *(["--optimizer"] if args.optimizer else [])]
        done = subprocess.run(command, env={**env, "STARTED": str(time.time())}, capture_output=True, text=True)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def measure(args, name: str) -> dict:
    """{side: list of figures, one a round}; the first process of PyTorch says how many steps Rushlight takes."""
    found: dict[str, list] = {"compiled": [], "rushlight": [], "tier 0": []}
    steps = 0
    for turn in range(args.rounds):
        for side in ("rushlight", "compiled") if turn % 2 else ("compiled", "rushlight", "tier 0")[: 3 - bool(turn)]:
            found[side].append(spawn(args, side, name, 0 if side == "tier 0" else steps))
            steps = steps or len(found[side][-1].get("first", ()))
    return found


def table(results: dict) -> list[str]:
    """Steady steps and the way to them: one line for each workload."""
    lines = [f"{'workload':20}{'step ms':>10}{'Rushlight':>11}{'ratio':>8}{'rounds':>16}"
             f"{'steps':>7}{'to it, s':>10}{'Rushlight':>11}{'ratio':>8}{'rounds':>16}"]
    for name, found in results.items():
        a, b = found["compiled"], found["rushlight"]
        wrong = [f"{side}: {r['error'][:90]}" for side in ("compiled", "rushlight") for r in found[side] if "error" in r]
        if wrong:
            lines.append(f"{name:20}{wrong[0]}")
            continue
        line = f"{name:20}"
        for key, scale in (("steady", 1e3), ("total", 1.0)):
            ours, theirs = ([scale * r[key] for r in rows] for rows in (b, a))
            ratios = [x / y for x, y in zip(theirs, ours, strict=True)]
            line += f"{len(a[0]['first']):7}" if key == "total" else ""
            line += (f"{median(theirs):10.3f}{median(ours):11.3f}{median(ratios):8.2f}"
                     f"{f'{min(ratios):.2f} - {max(ratios):.2f}':>16}")
        x, y = a[0]["value"], b[0]["value"]
        lines.append(line + ("" if abs(x - y) <= 1e-3 * max(abs(x), 1e-2) else f"  first values {x:.6g}, {y:.6g}"))
    return lines


def slowest(results: dict) -> list[str]:
    """The slowest of the first steps with background compilation, and what tier 0 alone does."""
    lines = [f"{'workload':20}{'steps':>7}{'slowest ms':>12}{'tier 0: median':>16}{'slowest':>10}{'ratio to its median':>21}"]
    for name, found in results.items():
        tier0 = [1e3 * s for s in found["tier 0"][0].get("first", ())][2:]
        ours = [1e3 * max(r["first"][2:]) for r in found["rushlight"] if len(r.get("first", ())) > 2]
        if tier0 and ours:
            lines.append(f"{name:20}{len(found['rushlight'][0]['first']):7}{median(ours):12.3f}{median(tier0):16.3f}"
                         f"{max(tier0):10.3f}{median(ours) / median(tier0):21.2f}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).resolve().parents[1].parent / "shared" / "perf"
    parser.add_argument("suite", nargs="?", default=str(beside))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", metavar="NAME")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seconds", type=float, default=3.0, help="of steady steps in each process")
    parser.add_argument("--patience", type=float, default=30.0, help="seconds for the first hundred steps, but for three")
    parser.add_argument("--optimizer", action="store_true", help="let PyTorch compile the optimiser's step too")
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--child", nargs=3, metavar=("SIDE", "WORKLOAD", "STEPS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        side, name, steps = args.child
        child(args, side, name, int(steps))
        return
    if not (Path(args.suite) / "workloads.py").exists():
        parser.error(f"there is no workloads.py in {args.suite}: name the performance suite's folder")
    sys.path.insert(0, args.suite)
    from workloads import WORKLOADS

    names = args.only or [n for n in WORKLOADS if not n.startswith("loader")]
    unknown = [n for n in names if n not in WORKLOADS]
    if unknown:
        parser.error(f"no workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    results: dict = {}
    for name in names:
        results[name] = measure(args, name)
        print(f"{name} measured", flush=True)
        if args.json:
            Path(args.json).write_text(json.dumps(results))
    print("\ntorch.compile and Rushlight", *table(results), sep="\n")
    print("\nThe slowest early step", *slowest(results), sep="\n")


if __name__ == "__main__":
    main()
