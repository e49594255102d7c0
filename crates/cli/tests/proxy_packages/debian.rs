//! curl and dput in front of nginx.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attest::Digest;

use crate::client::said;
use crate::nginx::Nginx;
use crate::site::{Policy, Site, TLS, proxy};
use crate::tools::path;
use crate::tools::serving::Serving;

/// A site, a proxy for curl and one for dput, which knows no client certificates, and an nginx that takes anything.
struct World {
    site: Site,
    running: Serving,
    folder: tempfile::TempDir,
    nginx: Nginx,
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
}

impl World {
    fn new() -> Option<Self> {
        let nginx = Nginx::start("", "")?;
        let folder = tempfile::tempdir().unwrap();
        let section = |name: &str, tls: &str| {
            format!(
                "  - name: {name}
    kind: debian
    vendor: acme
    {tls}
    upstream: {{ url: \"http://127.0.0.1:{}\" }}
    routes: [{{ names: [\"stable/**\"], environment: prod/apt }}]
",
                nginx.port
            )
        };
        let anonymous = TLS
            .replace("clients: { ca: tls/ca.crt, names: [ci.acme.example] }", "anonymous: true")
            .replace("spool: spool", "spool: other");
        let sections = section("archive", TLS) + &section("dput", &anonymous);
        let site = Site::new(&[Policy::tested("prod/apt", "pkg:deb/acme/*")], &sections);
        let running = site.start();
        let world = Self { site, running, folder, nginx };
        fs::create_dir_all(world.at("home/.dput.d/profiles")).unwrap();
        fs::create_dir(world.at("gpg")).unwrap();
        run(world.gpg().args(["--quick-gen-key", "builder@acme.example", "ed25519", "sign", "never"]));
        Some(world)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn gpg(&self) -> Command {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(self.at("gpg"), fs::Permissions::from_mode(0o700)).unwrap();
        let mut gpg = Command::new("gpg");
        gpg.args([
            "--batch",
            "--yes",
            "--quiet",
            "--passphrase",
            "",
            "--pinentry-mode",
            "loopback",
            "--homedir",
        ]);
        gpg.arg(self.at("gpg"));
        gpg
    }

    /// A package with this in it.
    fn deb(&self, folder: &str, name: &str, version: &str, what: &str, packing: &str) -> PathBuf {
        let root = tempfile::tempdir_in(self.folder.path()).unwrap();
        fs::create_dir(root.path().join("DEBIAN")).unwrap();
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@acme.example>\nDescription: x\n y\n .\n z\n"
        );
        fs::write(root.path().join("DEBIAN/control"), control).unwrap();
        fs::write(root.path().join("content"), what).unwrap();
        let plain = version.split_once(':').map_or(version, |(_, rest)| rest);
        let file = self.at(folder).join(format!("{name}_{plain}_all.deb"));
        fs::create_dir_all(self.at(folder)).unwrap();
        let mut build = Command::new("dpkg-deb");
        run(build.args(["--root-owner-group", packing, "--build"]).arg(root.path()).arg(&file));
        file
    }

    /// One that may go.
    fn tested(&self, folder: &str, name: &str, version: &str, what: &str) -> PathBuf {
        let file = self.deb(folder, name, version, what, "-Zxz");
        self.site.test(&digest(&file));
        file
    }

    /// The signed list of these files, beside the first of them.
    fn changes(&self, suite: &str, files: &[&Path]) -> PathBuf {
        self.signed(files[0], &changes(suite, files))
    }

    fn signed(&self, beside: &Path, text: &str) -> PathBuf {
        let plain = self.at("plain.changes");
        fs::write(&plain, text).unwrap();
        let file = beside.parent().unwrap().join("shop_1.0_all.changes");
        run(self.gpg().arg("--clearsign").arg("--output").arg(&file).arg(&plain));
        file
    }

    /// Puts a file under a name; gives the status and what was said.
    fn put(&self, name: &str, file: &Path) -> (String, String) {
        let mut curl = self.site.curl("ci");
        curl.args(["--write-out", "\n%{http_code}", "--upload-file"]).arg(file);
        let to = format!("{}/incoming/{name}", proxy(&self.running, "archive"));
        let text = said(&curl.arg(to).output().unwrap()).1;
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    }

    /// Puts all of it, the list last.
    fn upload(&self, files: &[&Path], changes: &Path) -> (String, String) {
        for file in files {
            let (status, text) = self.put(name(file), file);
            assert_eq!(status, "201", "{text}");
        }
        self.put(name(changes), changes)
    }

    fn refuses(&self, files: &[&Path], changes: &Path, why: &str) {
        let (status, text) = self.upload(files, changes);
        assert!(status == "422" && text.contains(why), "{status}, wanted {why}: {text}");
    }

    fn dput(&self, changes: &Path) -> Output {
        let url = proxy(&self.running, "dput");
        let profile = format!(
            r#"{{"fqdn":"{url}","method":"https","incoming":"incoming","hooks":[],"allow_dcut":false,"full_upload_log":false}}"#
        );
        fs::write(self.at("home/.dput.d/profiles/acme.json"), profile).unwrap();
        let mut dput = Command::new("dput");
        dput.env("HOME", self.at("home"))
            .env("SSL_CERT_FILE", self.site.at("tls/ca.crt"))
            .env("NO_PROXY", "*");
        dput.args(["--force", "acme"]).arg(changes).output().unwrap()
    }

    fn stored(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.nginx.file("incoming")) else { return Vec::new() };
        let mut names: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn name(file: &Path) -> &str {
    file.file_name().unwrap().to_str().unwrap()
}

fn digest(file: &Path) -> Digest {
    Digest::sha256(&fs::read(file).unwrap())
}

/// What dpkg-genchanges would write.
fn changes(suite: &str, files: &[&Path]) -> String {
    let lines = |of: &dyn Fn(&Path) -> String| -> String {
        files.iter().map(|file| format!(" {} {}\n", of(file), name(file))).collect()
    };
    let size = |file: &Path| fs::metadata(file).unwrap().len();
    let sums = lines(&|file| format!("{} {}", digest(file).hex(), size(file)));
    let old = lines(&|file| format!("{} {} misc optional", "0".repeat(32), size(file)));
    format!(
        "Format: 1.8\nDate: Mon, 23 Nov 2026 07:00:00 +0000\nSource: shop\nBinary: shop\nArchitecture: all\nVersion: 1.0\n\
         Distribution: {suite}\nMaintainer: A <a@acme.example>\nChanged-By: A <a@acme.example>\nDescription:\n shop - x\nChanges:\n shop (1.0) stable; urgency=low\n .\n   * New.\n\
         Checksums-Sha256:\n{sums}Files:\n{old}"
    )
}

#[test]
fn all_of_an_upload_goes_on_or_nothing_of_it() {
    let Some(world) = World::new() else { return };
    let good = world.tested("good", "shop", "1:1.0", "good");
    // as Ubuntu packs them
    let tools = world.deb("good", "shop-tools", "1.0", "good", "-Zzstd");
    world.site.test(&digest(&tools));
    let unknown = world.deb("unknown", "shop", "1:1.0", "unknown", "-Zgzip");
    let failed = world.deb("failed", "shop", "1:1.0", "failed", "-Zxz");
    world.site.test_as(&digest(&failed), "ci-tests", "failed");
    let confused = world.at("confused/payroll_1.0_all.deb");
    fs::create_dir(world.at("confused")).unwrap();
    fs::copy(&good, &confused).unwrap();
    let packed = world.deb("packed", "shop", "1.0", "good", "-Zzstd");
    let strange = world.at("good/notes.txt");
    fs::write(&strange, "x").unwrap();
    let list = |files: &[&Path]| world.changes("stable", files);
    for (files, why) in [
        (&[unknown.as_path()][..], "error[signed-by]"),
        (&[&failed], "error[tests]"),
        (&[&good, &failed.with_file_name("shop_1.0_all.deb")], "each file once"),
        (&[&confused], "named after another package"),
        (&[&packed], "error[signed-by]"),
        (&[&good, &strange], "nobody here knows what this file is"),
        (&[&strange], "nobody here knows what this file is"),
    ] {
        world.refuses(files, &list(files), why);
    }
    // each package is judged with all of what the builder says
    let words: Vec<PathBuf> = (1..=5).map(|n| world.at(&format!("good/shop_1.0_{n}.buildinfo"))).collect();
    words.iter().for_each(|file| fs::write(file, vec![b'x'; 4_000_000]).unwrap());
    let files: Vec<&Path> = words.iter().chain([&good]).map(PathBuf::as_path).collect();
    world.refuses(&files, &list(&files), "too large together");
    // one that is not tested keeps the other out
    let mixed = world.deb("good", "shop-extra", "1.0", "unknown", "-Zxz");
    world.refuses(&[&good, &mixed], &list(&[&good, &mixed]), "error[signed-by]");
    world.refuses(&[&good], &world.changes("experimental", &[&good]), "error[policy-missing]");
    world.refuses(&[&good], &world.changes("stable unstable", &[&good]), "not for one suite");
    // the list is about other bytes than came
    let listed = list(&[&good]);
    world.put(name(&good), &unknown);
    let (status, text) = world.put(name(&listed), &listed);
    assert!(status == "422" && text.contains("another one than is listed"), "{text}");
    world.refuses(&[], &list(&[&tools]), "did not come");
    // two lists in one file, and one without a signature
    let plain = changes("stable", &[&good]);
    let two = plain.replace("optional shop_", "optional evil_");
    world.refuses(&[&good], &world.signed(&good, &two), "two lists in the file");
    let unsigned = world.at("good/unsigned.changes");
    fs::write(&unsigned, &plain).unwrap();
    world.refuses(&[&good], &unsigned, "the list of files cannot be read");
    let behind = world.at("good/behind.changes");
    fs::write(&behind, fs::read_to_string(world.signed(&good, &plain)).unwrap() + &plain).unwrap();
    world.refuses(&[&good], &behind, "the list of files cannot be read");
    assert!(world.nginx.is_empty() && world.nginx.requests().is_empty(), "{:?}", world.stored());

    let files = [good.as_path(), &tools];
    let (status, text) = world.upload(&files, &list(&files));
    assert_eq!(status, "201", "{text}");
    assert_eq!(world.stored(), ["shop-tools_1.0_all.deb", "shop_1.0_all.changes", "shop_1.0_all.deb"]);
    assert_eq!(digest(&world.nginx.file("incoming/shop_1.0_all.deb")), digest(&good));
    let puts: Vec<String> =
        world.nginx.requests().into_iter().filter(|line| line.contains("\"PUT")).collect();
    assert!(puts.len() == 3 && puts[2].contains(".changes"), "{puts:?}");
    // a version stays what it is, even for other bytes that may go
    let again = world.tested("again", "shop", "1:1.0", "another good one");
    world.refuses(&[&again], &list(&[&again]), "a version is never replaced");
    assert_eq!(digest(&world.nginx.file("incoming/shop_1.0_all.deb")), digest(&good));
}

#[test]
fn dput_uploads_what_is_tested_and_shows_why_not() {
    let Some(world) = World::new() else { return };
    let unknown = world.deb("unknown", "shop", "1.0", "unknown", "-Zxz");
    let (is_content, text) = said(&world.dput(&world.changes("stable", &[&unknown])));
    assert!(!is_content && text.contains("error[signed-by]"), "{text}");
    assert!(world.nginx.is_empty());
    let good = world.tested("good", "shop", "1.0", "good");
    let (is_content, text) = said(&world.dput(&world.changes("stable", &[&good])));
    assert!(is_content, "{text}");
    assert_eq!(world.stored(), ["shop_1.0_all.changes", "shop_1.0_all.deb"]);
}

#[test]
fn of_two_files_of_one_name_at_once_none_goes_on_that_is_not_admitted() {
    let Some(world) = World::new() else { return };
    let good = world.tested("good", "shop", "1.0", "good");
    let bad = world.deb("bad", "shop", "1.0", "bad", "-Zxz");
    let (listed, other) = (world.changes("stable", &[&good]), world.changes("stable", &[&bad]));
    for _ in 0..5 {
        std::thread::scope(|scope| {
            for (file, list) in [(&good, &listed), (&bad, &other)] {
                let world = &world;
                scope.spawn(move || {
                    world.put(name(file), file);
                    world.put(path(Path::new(name(list))), list)
                });
            }
        });
        let stored = world.nginx.file("incoming/shop_1.0_all.deb");
        assert!(!stored.exists() || digest(&stored) == digest(&good));
    }
    let (status, text) = world.upload(&[&good], &listed);
    assert_eq!(status, "201", "{text}");
}
