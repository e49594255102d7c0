//! Installs what the demo and the tests need. Anything that is there already is left alone.

use std::path::PathBuf;
use std::process::Command;

use attest::Digest;

use crate::{Outcome, root, run};

/// Programs, and the Debian package of each.
const PROGRAMS: [(&str, &str); 26] = [
    ("bwrap", "bubblewrap"),
    ("git", "git"),
    ("gpg", "gnupg"),
    ("gpgv", "gpgv"),
    ("minisign", "minisign"),
    ("ssh-keygen", "openssh-client"),
    ("gcc", "gcc libc6-dev"),
    ("g++", "g++"),
    ("make", "make"),
    ("setpriv", "util-linux"),
    ("prlimit", "util-linux"),
    ("openssl", "openssl"),
    ("bash", "bash"),
    ("busybox", "busybox-static"),
    ("faketime", "faketime"),
    ("xz", "xz-utils"),
    ("curl", "curl ca-certificates"),
    ("unzip", "unzip"),
    ("skopeo", "skopeo"),
    ("softhsm2-util", "softhsm2"),
    ("pkcs11-tool", "opensc"),
    ("initdb", "postgresql"),
    ("python3", "python3"),
    ("npm", "nodejs npm"),
    ("dput", "dput-ng"),
    ("nginx", "nginx-light"),
];
const UPSTREAM: &str = "tree_2.1.0.orig.tar.gz";
const UPSTREAM_SHA256: &str = "0160c535bff2b0dc6a830b9944e981e3427380f63e748da96ced7071faebabf6";

pub(crate) fn all() -> Outcome {
    for_demo()?;
    unpacked("sid", "cosign", &["cosign"])?;
    script("slsa-verifier", "scripts/slsa-verifier/build.sh")?;
    script("gitleaks", "scripts/gitleaks/build.sh")?;
    script("in-toto", "scripts/fetch-in-toto.sh")?;
    unpacked("trixie", "runsc", &["runsc"])?;
    unpacked("forky", "containerd", &["containerd", "ctr"])?;
    script("Helm", "scripts/helm/build.sh")?;
    script("sigstore-go", "scripts/sigstore-interop/build.sh")?;
    script("litewitness and Tessera", "scripts/tlog-interop/build.sh")?;
    script("registries, crane and oras", "scripts/registry/build.sh")?;
    script("clients and registries of packages, and schemathesis", "scripts/fetch-packages.sh")?;
    script("an object store and Amazon's clients", "scripts/s3/build.sh")?;
    kubernetes()?;
    if !tool("cargo-deny").exists() {
        let dir = cache().join("tools");
        let at = dir.display().to_string();
        run(
            "cargo",
            // it runs for a second: optimising it would cost minutes
            &[
                "install",
                "cargo-deny",
                "--version",
                "0.20.2",
                "--locked",
                "--debug",
                "--quiet",
                "--root",
                &at,
            ],
        )?;
        std::fs::rename(dir.join("bin/cargo-deny"), tool("cargo-deny")).map_err(|e| e.to_string())?;
    }
    Ok(())
}

pub(crate) fn for_demo() -> Outcome {
    packages()?;
    upstream()
}

/// The API server and its company, built from pinned sources. Who has them already says where.
fn kubernetes() -> Outcome {
    const PROGRAMS: [&str; 3] = ["etcd", "kube-apiserver", "kubectl"];
    let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from) else {
        return script("the Kubernetes API server", "scripts/kubernetes/build.sh");
    };
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|p| !assets.join(p).is_file()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("KUBEBUILDER_ASSETS is {}, which has no {}", assets.display(), missing.join(", ")))
}

/// `~/.cache/portcullis`.
pub(crate) fn cache() -> PathBuf {
    std::env::home_dir().unwrap_or_else(|| PathBuf::from("/tmp")).join(".cache/portcullis")
}

/// A program that this project installs for itself.
pub(crate) fn tool(name: &str) -> PathBuf {
    cache().join("tools").join(name)
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]).map(PathBuf::from);
    // PostgreSQL's own programs lie in a folder of their version
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut all = folders.chain(versions.map(|version| version.path().join("bin")));
    all.any(|dir| dir.join(program).is_file())
}

/// Whether this machine's Python makes environments, which Debian packs apart from it and without a program.
fn makes_environments() -> bool {
    Command::new("python3").args(["-c", "import ensurepip"]).output().is_ok_and(|o| o.status.success())
}

fn packages() -> Outcome {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(p, _)| !is_installed(p))
        .flat_map(|(_, package)| package.split(' '))
        .chain((!makes_environments()).then_some("python3-venv"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !is_installed("apt-get") {
        return Err(format!("please install: {}", missing.join(" ")));
    }
    println!("installing {}", missing.join(" "));
    let sudo = if is_root() { "" } else { "sudo " };
    let list = missing.join(" ");
    run(
        "sh",
        &[
            "-c",
            &format!(
                "{sudo}apt-get update -qq && {sudo}apt-get install -y -qq --no-install-recommends {list}"
            ),
        ],
    )
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|o| o.stdout.starts_with(b"0\n") || o.stdout == b"0")
}

/// The demo's upstream source: from the shared data, else from the distribution, by its pinned digest.
fn upstream() -> Outcome {
    let stored = cache().join("store/sha256").join(UPSTREAM_SHA256);
    if stored.exists() {
        return Ok(());
    }
    let shared = root().join("../shared/data/rebuild-sources").join(UPSTREAM);
    let file = if shared.exists() {
        shared
    } else {
        script("the upstream source", "scripts/fetch-upstream.sh")?;
        cache().join("downloads").join(UPSTREAM)
    };
    let bytes = std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let found = Digest::sha256(&bytes).hex();
    if found != UPSTREAM_SHA256 {
        return Err(format!("{} has SHA-256 {found}, wanted {UPSTREAM_SHA256}", file.display()));
    }
    let parent = stored.parent().unwrap_or(&stored);
    let temporary = stored.with_extension("tmp");
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(&temporary, bytes))
        .and_then(|()| std::fs::rename(&temporary, &stored))
        .map_err(|e| format!("{}: {e}", stored.display()))
}

/// Programs of one of Debian's newer suites.
fn unpacked(suite: &str, package: &str, programs: &[&str]) -> Outcome {
    let words = ["scripts/fetch-debian.sh", suite, package];
    let all: Vec<&str> = words.into_iter().chain(programs.iter().copied()).collect();
    run("bash", &all).map_err(|e| format!("{package} cannot be had: {e}"))
}

fn script(what: &str, path: &str) -> Outcome {
    run("bash", &[path]).map_err(|e| format!("{what} cannot be had: {e}"))
}
