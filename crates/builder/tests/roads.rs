//! Paved roads: what is written for a project, and what a project that lacks something is told.

use std::fs;

use builder::{Base, BuildDefinition, DEFINITION_FILE, Paved, Project, Road, RoadError};

/// What a road writes for a project with these files.
fn pave(road: Road, files: &[(&str, &str)]) -> Result<Paved, RoadError> {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("shop");
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let project = Project::new(&root);
    road.pave(&project)
}

/// Its definition, as a build will read it.
fn definition(paved: &Paved) -> BuildDefinition {
    let read = BuildDefinition::parse(DEFINITION_FILE, &paved.definition);
    read.unwrap_or_else(|e| panic!("{e:?}\n{}", paved.definition))
}

fn outputs(paved: &Paved) -> Vec<String> {
    definition(paved).targets[0].1.outputs.clone()
}

const SAMPLES: [(Road, &[(&str, &str)]); 7] = [
    (
        Road::Cargo,
        &[
            ("Cargo.toml", "[package]\nname = \"shop\"\n"),
            ("Cargo.lock", "version = 4\n"),
            ("src/main.rs", ""),
        ],
    ),
    (Road::Npm, &[("package.json", "{\"name\": \"@acme/shop\"}"), ("package-lock.json", "{}")]),
    (
        Road::Python,
        &[("pyproject.toml", "[project]\nname = \"My.Shop\"\nversion = \"1.2\"\n"), ("requirements.txt", "")],
    ),
    (
        Road::Go,
        &[
            ("go.mod", "module acme.example/shop/v2\n\ngo 1.19\n"),
            ("go.sum", ""),
            ("main.go", "package main\n"),
        ],
    ),
    (Road::Debian, &[("debian/control", "Source: shop\n\nPackage: shop\n\nPackage: shop-doc\n")]),
    (Road::Bazel, &[("WORKSPACE", ""), ("BUILD", "cc_binary(name = \"shop\")\n")]),
    (Road::Make, &[("Makefile", "CC = gcc\nall: shop docs\n")]),
];

#[test]
fn every_road_writes_a_definition_that_a_build_reads() {
    for (road, files) in SAMPLES {
        let paved = pave(road, files).unwrap();
        let read = definition(&paved);
        assert!(matches!(read.toolchain.base, Base::Debian { .. }), "{}", road.name());
        assert_eq!(read.targets[0].1.action.command, ["sh", builder::SCRIPT_FILE]);
        assert!(paved.script.starts_with("#!/bin/sh\n"));
        for left in ["{PROGRAM", "{LABELS}", "{FILES}", "{NAME}", "{UNPACK}", "{BINARIES}"] {
            assert!(!paved.script.contains(left), "{left} in the script of {}", road.name());
        }
        let lock: Vec<&str> = read.lock.iter().map(|(ecosystem, _)| ecosystem.as_str()).collect();
        let wanted: &[&str] = match road {
            Road::Cargo => &["cargo"],
            Road::Npm => &["npm"],
            Road::Python => &["pip"],
            Road::Go => &["go"],
            Road::Debian => &["debian-source"],
            Road::Bazel | Road::Make => &[],
        };
        assert_eq!(lock, wanted);
    }
}

#[test]
fn outputs_are_the_files_that_the_projects_make() {
    let wanted = [
        vec!["out/shop"],
        vec!["out/acme-shop.tgz"],
        vec!["out/my_shop-1.2-py3-none-any.whl"],
        vec!["out/shop"],
        vec!["out/shop.deb", "out/shop-doc.deb"],
        vec!["out/shop"],
        vec!["out/shop"],
    ];
    for ((road, files), wanted) in SAMPLES.into_iter().zip(wanted) {
        assert_eq!(outputs(&pave(road, files).unwrap()), wanted, "{}", road.name());
    }
}

#[test]
fn a_project_is_known_by_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let found = || Road::of(&Project::new(dir.path()));
    assert!(found().is_empty());
    fs::write(dir.path().join("Makefile"), "").unwrap();
    assert_eq!(found(), [Road::Make]);
    fs::write(dir.path().join("Cargo.toml"), "").unwrap();
    assert_eq!(found(), [Road::Cargo, Road::Make], "a Makefile beside it is a helper");
    assert!(Road::ALL.into_iter().all(|road| Road::parse(road.name()) == Some(road)));
    assert_eq!(Road::parse("meson"), None);
}

#[test]
fn a_workspace_gives_the_programs_of_its_members() {
    let files = [
        ("Cargo.toml", "[workspace]\nmembers = [\"crates/*\"]\n"),
        ("Cargo.lock", "version = 4\n"),
        ("crates/front/Cargo.toml", "[package]\nname = \"front\"\n"),
        ("crates/front/src/main.rs", ""),
        (
            "crates/tools/Cargo.toml",
            "[package]\nname = \"tools\"\n[lib]\nname = \"no\"\n[[bin]]\nname = \"renamed\"\n",
        ),
        ("crates/tools/src/bin/extra.rs", ""),
        ("crates/quiet/Cargo.toml", "[package]\nname = \"quiet\"\n"),
        ("crates/quiet/src/lib.rs", ""),
    ];
    let paved = pave(Road::Cargo, &files).unwrap();
    assert_eq!(outputs(&paved), ["out/extra", "out/front", "out/renamed"]);
    assert!(
        paved.script.contains("cp target/release/extra target/release/front target/release/renamed out/")
    );
}

#[test]
fn what_a_project_lacks_is_said_with_a_way_to_mend_it() {
    let manifest = ("Cargo.toml", "[package]\nname = \"shop\"\n");
    for (road, files, message, fix) in [
        (Road::Cargo, vec![manifest], "no Cargo.lock", "cargo generate-lockfile"),
        (Road::Cargo, vec![manifest, ("Cargo.lock", ""), ("src/lib.rs", "")], "no program", "by hand"),
        (Road::Npm, vec![("package.json", "{}")], "no package-lock.json", "--package-lock-only"),
        (
            Road::Npm,
            vec![("package.json", "{}"), ("yarn.lock", "")],
            "no package-lock.json",
            "yarn.lock is not read",
        ),
        (Road::Npm, vec![("package.json", "{"), ("package-lock.json", "")], "cannot be read", "npm"),
        (
            Road::Go,
            vec![("go.mod", "module x\ngo 1.99\n"), ("main.go", "package main\n")],
            "asks for Go 1.99",
            "archive",
        ),
        (Road::Go, vec![("go.mod", "module x\n"), ("x.go", "package x\n")], "no program", "by hand"),
        (Road::Debian, vec![("debian/control", "Maintainer: x\n")], "names no source", "dpkg"),
    ] {
        let error = pave(road, &files).unwrap_err();
        assert!(error.message.contains(message) && error.fix.contains(fix), "{error}");
    }
}

#[test]
fn a_newer_go_comes_from_backports() {
    let of = |version: &str| {
        let module = format!("module acme.example/shop\n\ngo {version} // why\n");
        let files = [
            ("go.mod", module.as_str()),
            ("cmd/gate/main.go", "// x\npackage main\n"),
            ("x.go", "package shop\n"),
        ];
        pave(Road::Go, &files).unwrap()
    };
    assert!(of("1.18").definition.contains("suite: bookworm\n"));
    let newer = of("1.22.3");
    assert_eq!(outputs(&newer), ["out/gate"]);
    assert!(
        newer.definition.contains("suite: bookworm-backports\n")
            && newer.definition.contains("golang-1.23-go")
    );
    assert_eq!(definition(&newer).toolchain.links[0].0, "usr/bin/go");
}

#[test]
fn a_name_cannot_smuggle_words_into_a_script() {
    for (road, files) in [
        (
            Road::Cargo,
            vec![
                ("Cargo.toml", "[package]\nname = \"x; curl evil\"\n[[bin]]\nname = \"$(evil)\"\n"),
                ("Cargo.lock", ""),
                ("src/main.rs", ""),
                ("src/bin/fine.rs", ""),
            ],
        ),
        (Road::Npm, vec![("package.json", "{\"name\": \"x; curl evil\"}"), ("package-lock.json", "")]),
        (Road::Make, vec![("Makefile", "all: $(evil)\n")]),
        (Road::Debian, vec![("debian/control", "Source: shop\n\nPackage: shop\n\nPackage: $(evil)\n")]),
        (Road::Python, vec![("pyproject.toml", "[project]\nname = \"x: [evil\"\n")]),
        (Road::Bazel, vec![("WORKSPACE", ""), ("BUILD", "cc_binary(name = \"x; curl evil\")\n")]),
    ] {
        let paved = pave(road, &files).unwrap();
        definition(&paved);
        assert!(!paved.script.contains("evil") && !paved.definition.contains("evil"), "{}", road.name());
    }
}

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

#[test]
fn the_archives_of_a_workspace_are_inputs_by_digest() {
    let workspace = format!(
        "load(\"@bazel_tools//tools/build_defs/repo:http.bzl\", \"http_archive\")
# http_archive(name = \"old\", sha256 = \"{A}\", url = \"https://old.example/x.zip\")
http_archive(name = \"one\", patch_cmds = [\"echo )\"], sha256 = \"{A}\",
    urls = [
        \"https://mirror.example/v1.0.tar.gz\",
        \"https://one.example/v1.0.tar.gz\",
    ])
http_file(name = 'two', sha256='{B}', urls = ['https://two.example/v1.0.tar.gz'], other_urls = [\"no\"])
http_archive(name = \"again\", sha256 = \"{A}\", url = \"https://again.example/x\")
"
    );
    let build = "cc_library(name = \"lib\")\ncc_binary(srcs = [\"a.c\"], name = \"gate\")\nmy_cc_binary(name = \"no\")\n";
    let paved = pave(Road::Bazel, &[("WORKSPACE", &workspace), ("BUILD.bazel", build)]).unwrap();
    let inputs: Vec<(String, String)> =
        definition(&paved).inputs.iter().map(|i| (i.name.clone(), i.uri.clone())).collect();
    // one name for two archives is usual: they are told apart by their digests
    let wanted = [(A, "https://mirror.example/v1.0.tar.gz"), (B, "https://two.example/v1.0.tar.gz")];
    assert_eq!(inputs, wanted.map(|(digest, uri)| (format!("bazel/{digest}"), uri.to_owned())));
    assert_eq!(outputs(&paved), ["out/gate"]);
    assert!(
        paved.script.contains("    //:gate\n") && paved.script.contains("cp -L /tmp/bazel-bin/gate out/")
    );
}

#[test]
fn what_a_workspace_fetches_without_a_digest_is_refused() {
    for (workspace, wanted) in [
        ("http_archive(name = \"one\", url = \"https://one.example/x\")", "the archive one has no sha256"),
        ("http_archive(name = \"one\", sha256 = SHA, url = \"https://one.example/x\")", "has no sha256"),
        (&format!("http_file(name = \"one\", sha256 = \"{A}\")"), "the archive one has no address"),
        (&format!("http_file(name = \"one\", sha256 = \"{A}\", url = \"https://x: [y\")"), "no address"),
        ("git_repository(name = \"one\", commit = \"0123\")", "git_repository, which names no SHA-256"),
    ] {
        let error = pave(Road::Bazel, &[("WORKSPACE", workspace)]).unwrap_err();
        assert!(error.message.contains(wanted), "{workspace}: {error}");
    }
    let module = pave(Road::Bazel, &[("MODULE.bazel", "module(name = \"x\")")]).unwrap_err();
    assert!(module.message.contains("a later Bazel than Debian's 4.2"), "{module}");
}

#[test]
fn the_first_target_of_a_makefile_is_what_make_makes() {
    for (makefile, wanted) in [
        ("CC := gcc\n.PHONY: clean\ngate: gate.c\n\tcc -o gate gate.c\nclean:\n", "out/gate"),
        ("gate.o: gate.c\nall: tool\n", "out/tool"),
        ("$(NAME): gate.c\n", "out/shop"),
        ("one two: gate.c\n", "out/shop"),
    ] {
        assert_eq!(outputs(&pave(Road::Make, &[("Makefile", makefile)]).unwrap()), [wanted], "{makefile}");
    }
}

/// Runs the script outside a sandbox, with a `pip` that only says what it sees.
#[test]
fn a_python_project_is_built_without_what_is_not_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (project, bin) = (dir.path().join("project"), dir.path().join("bin"));
    for folder in [&project.join("plural"), &project.join("portcullis"), &bin] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(project.join("pyproject.toml"), "").unwrap();
    fs::write(project.join(".hidden"), "").unwrap();
    fs::write(bin.join("python3"), "#!/bin/sh\nfor last; do :; done\nls -A \"$last\"\n").unwrap();
    std::process::Command::new("chmod").arg("755").arg(bin.join("python3")).status().unwrap();
    let paved = pave(Road::Python, &[("pyproject.toml", "[project]\nname = \"plural\"\n")]).unwrap();
    let script = paved.script.replace("/tmp/", &format!("{}/tmp/", dir.path().display()));
    let done = std::process::Command::new("sh")
        .args(["-c", &script])
        .current_dir(&project)
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(String::from_utf8_lossy(&done.stdout), ".hidden\nplural\npyproject.toml\n");
}
