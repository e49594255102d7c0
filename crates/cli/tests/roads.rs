//! Each paved road from a project to an artifact that works: `builder init`, `builder lock`, a commit, `build`.
//!
//! The registries are the real ones. Where `PORTCULLIS_TEST_MIRROR` is a prefix such as `http://127.0.0.1:8080/`, files
//! of `https://HOST/PATH` are fetched from `PREFIX/HOST/PATH` instead.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tools::{cache, code, path, portcullis, stderr, stdout};

const HOSTS: [&str; 5] =
    ["static.crates.io", "registry.npmjs.org", "pypi.org", "files.pythonhosted.org", "proxy.golang.org"];

/// A project on its way from a folder to an artifact.
struct Journey {
    dir: tempfile::TempDir,
    store: PathBuf,
}

impl Journey {
    /// The sample project in a git repository of its own, with a definition, a script and a lock file, all committed.
    fn new(road: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/roads").join(road);
        let journey = Self { dir, store: cache("store") };
        copy(&sample, &journey.project());
        journey.git(&["init", "-q", "-b", "main"]);
        journey.commit("a project");
        // every other project shows by its files what it is
        let more: &[&str] = if road == "debian" { &["--road", "debian"] } else { &[] };
        journey.run(&[&["builder", "init", path(&journey.project())], more].concat());
        journey.lock(0, &[]);
        journey.commit("a build");
        journey
    }

    fn project(&self) -> PathBuf {
        self.dir.path().join("project")
    }

    fn git(&self, args: &[&str]) {
        let fixed = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"];
        let done = Command::new("git").args(fixed).args(args).current_dir(self.project()).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    fn run(&self, args: &[&str]) -> String {
        let output = portcullis(args);
        assert_eq!(code(&output), 0, "{args:?}\n{}\n{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    #[allow(clippy::disallowed_methods, reason = "a test's own settings")]
    fn lock(&self, exit: i32, more: &[&str]) -> String {
        let (project, store) = (self.project(), self.store.clone());
        let mut args = vec!["builder".to_owned(), "lock".to_owned(), path(&project).to_owned()];
        args.extend(["--store".to_owned(), path(&store).to_owned()]);
        args.extend(more.iter().map(|word| (*word).to_owned()));
        if let Ok(prefix) = std::env::var("PORTCULLIS_TEST_MIRROR") {
            args.extend(["--allow-host".to_owned(), "127.0.0.1".to_owned()]);
            for host in HOSTS.iter().chain(&["deb.debian.org"]) {
                args.extend(["--mirror".to_owned(), format!("https://{host}/={prefix}{host}/")]);
            }
        }
        let output = portcullis(&args.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(code(&output), exit, "{args:?}\n{}\n{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    /// Builds with what the lock step put into the store, and nothing from anywhere else.
    fn build(&self, target: &str, artifact: &str) -> PathBuf {
        let (project, out) = (self.project(), self.dir.path().join("out"));
        let state = self.dir.path().join("state");
        self.run(&[
            "build",
            path(&project),
            "--ref",
            "main",
            "--target",
            target,
            "--out",
            path(&out),
            "--store",
            path(&self.store),
            "--state",
            path(&state),
            "--offline",
            "--no-cache",
        ]);
        let bundle = out.join(format!("{artifact}.sigstore.json"));
        assert!(bundle.is_file(), "no provenance beside {artifact}");
        out.join(artifact)
    }

    /// What a program prints.
    fn says(&self, program: &str, args: &[&str]) -> String {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program}: {}", stderr(&output));
        stdout(&output).trim().to_owned()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_crate_with_dependencies() {
    let journey = Journey::new("cargo");
    let program = journey.build("tally", "tally");
    assert_eq!(journey.says(path(&program), &["19", "23"]), "42");
    // nobody changed anything, so nothing would change; a lock file that somebody edited is noticed
    assert!(journey.lock(0, &["--check"]).contains("is up to date"));
    let file = journey.project().join("portcullis.build.lock");
    let text = fs::read_to_string(&file).unwrap();
    let edited = text.replace("/crates/itoa/", "/crates/evil/");
    assert_ne!(text, edited);
    fs::write(&file, &edited).unwrap();
    let found = journey.lock(1, &["--check"]);
    assert!(
        found.contains("would change") && found.contains("- https://static.crates.io/crates/evil/"),
        "{found}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), edited, "--check writes nothing");
}

#[test]
fn an_npm_package_with_dependencies() {
    let journey = Journey::new("npm");
    let archive = journey.build("ago", "ago.tgz");
    let list = journey.says("tar", &["-tzf", path(&archive)]);
    for file in [
        "package/dist/ago.js",
        "package/node_modules/ms/index.js",
        "package/node_modules/picocolors/picocolors.js",
    ] {
        assert!(list.lines().any(|line| line == file), "{file} in\n{list}");
    }
    let program = journey.says("tar", &["-xOzf", path(&archive), "package/dist/ago.js"]);
    assert!(program.contains("span >= 86400000"), "its build used a dependency: {program}");
}

#[test]
fn a_python_wheel_made_with_pinned_tools() {
    let journey = Journey::new("python");
    let wheel = journey.build("plural", "plural-1.0.0-py3-none-any.whl");
    // a wheel is a zip archive, from which Python imports
    let code = "import sys; sys.path.insert(0, sys.argv[1]); import plural; print(plural.count(2, 'gate'))";
    assert_eq!(journey.says("python3", &["-c", code, path(&wheel)]), "2 gates");
}

#[test]
fn a_go_module_with_dependencies() {
    let journey = Journey::new("go");
    let program = journey.build("greet", "greet");
    let said = journey.says(path(&program), &[]);
    assert!(said.ends_with("share memory by communicating."), "{said}");
}

#[test]
fn a_c_project() {
    let journey = Journey::new("make");
    let program = journey.build("roman", "roman");
    assert_eq!(journey.says(path(&program), &["1994"]), "MCMXCIV");
}

#[test]
fn a_bazel_project_with_an_archive() {
    let journey = Journey::new("bazel");
    let program = journey.build("squeeze", "squeeze");
    let many = "gate".repeat(100);
    let said = journey.says(path(&program), &[&many]);
    assert!(said.starts_with("400 bytes in ") && said.ends_with(&many), "{said}");
    assert!(!said.starts_with("400 bytes in 40"), "it used the library of the archive: {said}");
}

#[test]
fn a_debian_source_package() {
    let journey = Journey::new("debian");
    let package = journey.build("hello", "hello.deb");
    assert_eq!(journey.says("dpkg-deb", &["--field", path(&package), "Version"]), "2.10-3");
    assert!(
        journey.says("dpkg-deb", &["--field", path(&package), "Depends"]).contains("libc6 (>= "),
        "dpkg found the package of the C library"
    );
}

#[test]
fn what_is_there_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("x");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/roads/make"), &project);
    let init = |more: &[&str]| portcullis(&[&["builder", "init", path(&project)], more].concat());
    assert_eq!(code(&init(&[])), 0);
    let definition = project.join("portcullis.build.yaml");
    fs::write(&definition, "edited").unwrap();
    let again = init(&[]);
    assert_eq!(code(&again), 2);
    assert!(
        stderr(&again).contains("is there already") && stderr(&again).contains("--force"),
        "{}",
        stderr(&again)
    );
    assert_eq!(fs::read_to_string(&definition).unwrap(), "edited");
    assert_eq!(code(&init(&["--force"])), 0);
    assert_ne!(fs::read_to_string(&definition).unwrap(), "edited");
}

#[test]
fn a_project_that_cannot_be_locked_is_told_why() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("x");
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/roads/cargo"), &project);
    let lock =
        || portcullis(&["builder", "lock", path(&project), "--store", path(&dir.path().join("store"))]);
    let none = lock();
    assert_eq!(code(&none), 2);
    assert!(stderr(&none).contains("portcullis builder init"), "{}", stderr(&none));
    assert_eq!(code(&portcullis(&["builder", "init", path(&project)])), 0);
    let file = project.join("Cargo.lock");
    let text = fs::read_to_string(&file).unwrap();
    let git = "source = \"git+https://example.org/itoa#0123\"";
    let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    fs::write(&file, text.replacen(registry, git, 1)).unwrap();
    let bad = lock();
    assert_eq!(code(&bad), 2);
    for word in ["Cargo.lock:5", "comes from git", "cargo vendor"] {
        assert!(stderr(&bad).contains(word), "{word} in {}", stderr(&bad));
    }
    fs::remove_file(&file).unwrap();
    let missing = lock();
    assert!(stderr(&missing).contains("cargo generate-lockfile"), "{}", stderr(&missing));
}
