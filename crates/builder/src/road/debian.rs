//! Debian packages, from the source in the repository or from a source package of the archive.

use super::{Definition, Paved, Project, RoadError, error, is_plain};

const SCRIPT: &str = include_str!("debian.sh");
/// What every Debian build may take for granted, and what builds it. What `debian/control` asks for beside is resolved
/// by `portcullis builder lock`.
const PACKAGES: [&str; 23] = [
    "base-files",
    "bash",
    "bsdutils",
    "build-essential",
    "coreutils",
    "dash",
    "debhelper",
    "debianutils",
    "diffutils",
    "dpkg",
    "fakeroot",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libc-bin",
    "mawk",
    "ncurses-bin",
    "perl-base",
    "sed",
    "tar",
    "util-linux",
    "xz-utils",
];
/// What maintainer scripts and alternatives would have linked.
const LINKS: [(&str, &str); 9] = [
    ("etc/dpkg/origins/default", "debian"),
    ("usr/bin/aclocal", "aclocal-1.16"),
    ("usr/bin/automake", "automake-1.16"),
    ("usr/bin/awk", "mawk"),
    ("usr/bin/c++", "g++"),
    ("usr/bin/cc", "gcc"),
    ("usr/bin/faked", "faked-sysv"),
    ("usr/bin/fakeroot", "fakeroot-sysv"),
    ("usr/bin/which", "which.debianutils"),
];
const FROM_REPOSITORY: &str = "cp -r /build/src /tmp/work/source";
const FROM_ARCHIVE: &str = "dpkg-source --no-check --extract /build/inputs/debian/*.dsc /tmp/work/source";

pub(super) fn pave(project: &Project) -> Result<Paved, RoadError> {
    match project.text("debian/control") {
        Some(control) => from_repository(&control),
        None => Ok(from_archive()),
    }
}

fn from_repository(control: &str) -> Result<Paved, RoadError> {
    let of = |key: &str| {
        let rows = control.lines().filter_map(|row| row.strip_prefix(key)?.strip_prefix(':'));
        rows.map(|value| value.trim().to_owned()).filter(|value| is_plain(value)).collect::<Vec<_>>()
    };
    let binaries = of("Package");
    let (Some(source), Some(_)) = (of("Source").into_iter().next(), binaries.first()) else {
        return Err(error("debian/control names no source and no package", "mend it; dpkg reads it too"));
    };
    Ok(paved(&source, &binaries, "debian/control", FROM_REPOSITORY, Vec::new()))
}

/// A repository that holds no source: an example to begin with.
fn from_archive() -> Paved {
    let notes = vec![
        "the source package hello=2.10-3 is an example: write another one under `lock`, and its packages under `outputs` and in the script".to_owned(),
    ];
    paved("hello", &["hello".to_owned()], "hello=2.10-3", FROM_ARCHIVE, notes)
}

fn paved(target: &str, binaries: &[String], from: &str, unpack: &str, notes: Vec<String>) -> Paved {
    let outputs: Vec<String> = binaries.iter().map(|name| format!("out/{name}.deb")).collect();
    let definition = Definition {
        packages: &PACKAGES,
        links: &LINKS,
        lock: Some(("debian-source", from)),
        target,
        outputs: &outputs,
        time: "1h",
        ..Definition::default()
    };
    let script = SCRIPT.replace("{UNPACK}", unpack).replace("{BINARIES}", &binaries.join(" "));
    Paved { definition: definition.to_text(), script, notes }
}
