"""Whole-process time and memory of one verification: portcullis, cosign, and /bin/true as the floor, in turns.

SLSA v1 provenance in a bundle, P-256 key, 1 MiB file; and, where its folder is given, a real GitHub attestation under a
certificate. Prints medians; asserts nothing but that all of them verify.
"""
import base64, hashlib, json, os, statistics, subprocess, sys, tempfile, time

portcullis = sys.argv[1]
cosign = os.path.expanduser("~/.cache/portcullis/tools/cosign")
work = tempfile.mkdtemp(prefix="portcullis-bench-")
at = lambda name: os.path.join(work, name)
run = lambda *a, **k: subprocess.run(a, check=True, capture_output=True, **k)

run(portcullis, "keygen", at("ci"), "--no-passphrase")
open(at("shop"), "wb").write(os.urandom(1 << 20))
digest = hashlib.sha256(open(at("shop"), "rb").read()).hexdigest()
predicate = {
    "buildDefinition": {
        "buildType": "https://portcullis.dev/build/git/v1",
        "externalParameters": {"source": {"repository": "https://git.example/shop", "ref": "refs/heads/main"}, "target": "shop"},
        "internalParameters": {"portcullis_hermetic": True},
        "resolvedDependencies": [{"uri": "git+https://git.example/shop", "digest": {"gitCommit": "a" * 40}, "annotations": {"role": "source"}}],
    },
    "runDetails": {"builder": {"id": "id:ci", "version": {"portcullis": "1.0.0"}}, "metadata": {"finishedOn": "2026-11-20T00:00:00Z"}},
}
statement = json.dumps({
    "_type": "https://in-toto.io/Statement/v1", "subject": [{"name": "shop", "digest": {"sha256": digest}}],
    "predicateType": "https://slsa.dev/provenance/v1", "predicate": predicate,
}).encode()
kind = b"application/vnd.in-toto+json"
open(at("pae"), "wb").write(b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(statement), statement))
signature = run("openssl", "dgst", "-sha256", "-sign", at("ci.key"), at("pae")).stdout
b64 = lambda b: base64.b64encode(b).decode()
json.dump({
    "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "verificationMaterial": {"publicKey": {"hint": "ci"}},
    "dsseEnvelope": {"payload": b64(statement), "payloadType": kind.decode(), "signatures": [{"sig": b64(signature)}]},
}, open(at("bundle.json"), "w"))
pem = "".join(f"          {line}\n" for line in open(at("ci.pub")).read().splitlines())
open(at("root.yaml"), "w").write(f'version: 1\nbuilders:\n  ci:\n    ids: ["id:ci"]\n    hermetic: [">=1.0.0"]\n    keys:\n      - key: |\n{pem}')
os.mkdir(at("book"))
open(at("book/shop.yaml"), "w").write(
    "environment: prod/shop\nartifact: shop\nrequire:\n  built-by: [ci]\n  hermetic: true\n  target: shop\n"
    "  source: { repository: \"https://git.example/shop\", branch: main }\n")

commands = {
    "a process that does nothing": ["/bin/true"],
    "portcullis open --key": [portcullis, "open", at("bundle.json"), at("shop"), "--key", at("ci.pub")],
    "portcullis verify": [portcullis, "verify", at("shop"), "--environment", "prod/shop", "--bundle", at("bundle.json"),
                          "--book", at("book"), "--trust-root", at("root.yaml"), "--at", "2026-11-21T00:00:00Z"],
}
if os.path.exists(cosign):
    commands["cosign verify-blob-attestation"] = [cosign, "verify-blob-attestation", "--key", at("ci.pub"), "--bundle", at("bundle.json"),
        "--insecure-ignore-tlog", "--type", "https://slsa.dev/provenance/v1", at("shop")]
else:
    print("no cosign: run cargo xtask setup")
if len(sys.argv) > 2:
    bundle, archive = (os.path.join(sys.argv[2], n) for n in ("sigstore-js-2.1.0-bundle.json", "sigstore-js-2.1.0.tgz"))
    who = ["--certificate-identity", "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main",
           "--certificate-oidc-issuer", "https://token.actions.githubusercontent.com"]
    root = os.path.join(sys.argv[2], "..", "trusted-roots", "public-good.json")
    commands["portcullis open, a certificate"] = [portcullis, "open", bundle, archive, *who, "--trusted-root", root]
    if os.path.exists(cosign):
        commands["cosign, a certificate"] = [cosign, "verify-blob-attestation", "--bundle", bundle, *who, "--trusted-root", root,
            "--type", "https://slsa.dev/provenance/v1", archive]

# A child's peak counts what its parent had before exec, so memory is taken by a small parent: perl, some 6 MiB.
PERL = """my $pid = fork(); if (!$pid) { open STDOUT, '>', '/dev/null'; open STDERR, '>', '/dev/null'; exec @ARGV; }
my $usage = "\\0" x 144; my $status = pack('i', 0); syscall(61, $pid, $status, 0, $usage);
die if unpack('i', $status); print +(unpack('q18', $usage))[4];"""
environment = {"HOME": work, "PATH": os.environ["PATH"]}

def once(argv):
    start = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, check=True)
    return (time.perf_counter() - start) * 1000

def memory(argv):
    done = subprocess.run(["perl", "-e", PERL, *argv], capture_output=True, text=True, env=environment, check=True)
    return int(done.stdout) / 1024

results = {name: [] for name in commands}
for _ in range(60):
    for name, argv in commands.items():
        results[name].append(once(argv))
print(f"{'whole process':<34} {'median ms':>10} {'peak MiB':>9}")
for name, rows in results.items():
    print(f"{name:<34} {statistics.median(rows):>10.1f} {statistics.median(memory(commands[name]) for _ in range(5)):>9.1f}")
