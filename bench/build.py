"""What the orchestrator and the sandbox cost: the same build bare and through portcullis, in turns; the start of a
sandbox; a build from the cache. Prints medians and ratios; asserts nothing but that the bytes are the same.

PORTCULLIS_BENCH_FILES says how many C files the build has (default: for some 30 s on two cores), PORTCULLIS_BENCH_PAIRS
how many pairs are measured.
"""
import hashlib, os, shutil, statistics, subprocess, sys, tempfile, time

portcullis = sys.argv[1]
files = int(os.environ.get("PORTCULLIS_BENCH_FILES", "56"))
pairs = int(os.environ.get("PORTCULLIS_BENCH_PAIRS", "3"))
tools = os.path.expanduser("~/.cache/portcullis/tools")
work = tempfile.mkdtemp(prefix="portcullis-bench-")
os.chmod(work, 0o711)
at = lambda *names: os.path.join(work, *names)
environment = {"PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": work, "LC_ALL": "C"}


def run(*words, **more):
    done = subprocess.run(words, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, **more)
    if done.returncode:
        sys.exit(f"{words}\n{done.stdout}{done.stderr}")
    return done.stdout


def source(number):
    """C that keeps the optimiser busy for about a second."""
    lines = ["#include <stdio.h>", "#include <stdlib.h>", "#include <string.h>"]
    for f in range(110):
        lines.append(
            f"int f{number}_{f}(int *a, int n) {{ int s = {f}; for (int i = 0; i < n; i++) {{ for (int j = i; j < n; j++) {{"
            f" s += a[i] * a[j] + (s >> {f % 7}); if (s % {f + 2} == 0) a[j] ^= s; }} switch (s % 9) {{"
            + "".join(f" case {c}: a[i] += {c * f}; break;" for c in range(9))
            + " } } return s; }")
    return "\n".join(lines) + "\n"


repository = at("repository")
os.makedirs(repository)
for number in range(files):
    open(os.path.join(repository, f"part{number}.c"), "w").write(source(number))
open(os.path.join(repository, "main.c"), "w").write("int main(void) { return 0; }\n")
open(os.path.join(repository, "Makefile"), "w").write(
    "OBJECTS = $(patsubst %.c,%.o,$(sort $(wildcard *.c)))\nprogram: $(OBJECTS)\n\tgcc -o $@ $(OBJECTS)\n"
    "%.o: %.c\n\tgcc -O2 -c -o $@ $<\nhello: main.c\n\tgcc -o $@ main.c\n")
sha = run(portcullis, "builder", "toolchain", "--out", at("toolchain.tar")).split()[0]
run(portcullis, "builder", "put", at("toolchain.tar"), "--store", at("store"))
open(os.path.join(repository, "portcullis.build.yaml"), "w").write(
    f'toolchain: {{ uri: "toolchain:bench", sha256: "{sha}" }}\ntargets:\n'
    "  program: { command: [make, -j2, program], outputs: [program], time: 30m }\n"
    "  hello: { command: [make, hello], outputs: [hello] }\n  nothing: { command: [touch, x], outputs: [x] }\n")
git = ["git", "-C", repository, "-c", "user.name=bench", "-c", "user.email=bench@bench.example"]
run("git", "-C", repository, "init", "-q", "-b", "main")
run(*git, "add", "-A")
run(*git, "commit", "-q", "-m", "bench")


def build(target, out, *more):
    run(portcullis, "build", repository, "--ref", "main", "--target", target, "--out", at(out), "--store", at("store"),
        "--state", at("state"), "--offline", "--recheck", "0", *more)


def bare(target):
    folder = tempfile.mkdtemp(prefix="bare-", dir=work)
    run("git", "clone", "-q", repository, folder + "/src")
    run("make", "-j2", target, cwd=folder + "/src")
    digest = hashlib.sha256(open(f"{folder}/src/{target}", "rb").read()).hexdigest()
    shutil.rmtree(folder)
    return digest


def timed(do, *args):
    start = time.monotonic()
    do(*args)
    return time.monotonic() - start


build("nothing", "warm-up", "--no-cache")
tiers = ["bubblewrap"] + (["gvisor"] if os.path.exists(f"{tools}/runsc") else [])
if len(tiers) == 1:
    print("no runsc: run cargo xtask setup")
took = {name: [] for name in ["bare", *tiers]}
for number in range(pairs):
    order = list(took)[number % 2:] + list(took)[: number % 2]
    for name in order:
        if name == "gvisor" and number > 0:
            continue
        took[name].append(timed(bare, "program") if name == "bare" else timed(build, "program", name, "--no-cache", "--sandbox", name))
print(f"a build of {files} C files, {pairs} pairs in turns")
floor = statistics.median(took["bare"])
for name, times in took.items():
    middle = statistics.median(times)
    print(f"  {name:<12} {middle:8.2f} s   {middle / floor:6.3f} of bare   ({', '.join(f'{t:.2f}' for t in times)})")

print("a build of one small file, median of 9")
floor = statistics.median([timed(bare, "hello") for _ in range(9)])
print(f"  {'bare':<12} {floor * 1000:8.1f} ms")
for name in tiers:
    times = statistics.median([timed(build, "hello", name, "--no-cache", "--sandbox", name) for _ in range(9)])
    print(f"  {name:<12} {times * 1000:8.1f} ms, canary, provenance and signature included")
build("program", "cached")
times = [timed(build, "program", "cached") for _ in range(15)]
print(f"a build that the cache answers, signed anew: median of 15 {statistics.median(times) * 1000:.1f} ms")
shutil.rmtree(work)
