//! Images, end to end: a program that was built, an image of it, a test in the image, the opinion of skopeo.

mod tools;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use attest::{Envelope, Json, Predicate, Provenance, TrustRoot};
use tools::{expect, path, stderr, stdout};

const PROGRAM: &str = r#"#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int count, char **words) {
    FILE *conf = fopen("/etc/shop.conf", "r");
    if (count != 2 || strcmp(words[1], "--version") || !conf) return 3;
    printf("shop 1.0 %s\n", getenv("MODE"));
    return fopen("/usr/bin/cc", "r") || strcmp(getenv("MODE"), "prod") ? 4 : 0;
}
"#;

const SHOP: &str = "targets:\n  shop:\n    command: [gcc, -static, -L/build/inputs, -o, shop, shop.c]\n    outputs: [shop]\n  conf:\n    command: [sh, -c, \"echo mode=prod > shop.conf\"]\n    outputs: [shop.conf]\n";

const IMAGE: &str = "tests:\n  smoke:\n    image: true\n    command: [/usr/bin/shop, --version]\ntargets:\n  shop-image:\n    image:\n      files:\n        usr/bin/shop: shop\n        etc/shop.conf: shop.conf\n      executable: [usr/bin/shop]\n      entrypoint: [/usr/bin/shop]\n      cmd: [--version]\n      environment: { MODE: prod }\n      user: \"1000:1000\"\n      labels: { org.opencontainers.image.title: shop }\n      workdir: /\n      platform: linux/amd64\n    outputs: [shop.oci.tar]\n    tests: [smoke]\n";

/// A repository whose commits are built, with a builder of its own.
struct Setting {
    dir: tempfile::TempDir,
    toolchain: String,
}

impl Setting {
    /// The program and its configuration are built, and are in the store with their provenance.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // builds run as another user, who must get through
        Command::new("chmod").args(["711", path(dir.path())]).status().unwrap();
        let archive = dir.path().join("toolchain.tar");
        let said = expect(0, &["builder", "toolchain", "--out", path(&archive)]);
        let sha = said.split_whitespace().next().unwrap().to_owned();
        fs::create_dir_all(dir.path().join("store/sha256")).unwrap();
        fs::rename(&archive, dir.path().join("store/sha256").join(&sha)).unwrap();
        let libc = Command::new("gcc").arg("-print-file-name=libc.a").output().unwrap();
        let libc = fs::read(stdout(&libc).trim()).unwrap();
        let library = attest::Digest::sha256(&libc).hex();
        fs::write(dir.path().join("store/sha256").join(&library), libc).unwrap();
        let toolchain = format!("toolchain: {{ uri: \"toolchain:test\", sha256: \"{sha}\" }}\n");
        let libc = format!("inputs: [{{ name: libc.a, uri: \"file:libc.a\", sha256: \"{library}\" }}]\n");
        let setting = Self { dir, toolchain };
        setting.git(&["init", "-q", "-b", "main"]);
        setting.commit(&[
            ("shop.c", PROGRAM),
            ("portcullis.build.yaml", &format!("{}{libc}{SHOP}", setting.toolchain)),
        ]);
        setting.build(0, "shop", "out", &[]);
        setting.build(0, "conf", "out", &[]);
        setting
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn git(&self, args: &[&str]) {
        let repository = self.at("repository");
        fs::create_dir_all(&repository).unwrap();
        let output = Command::new("git")
            .args(["-c", "user.name=Alice", "-c", "user.email=alice@acme.example", "-C", path(&repository)])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?} {}", stderr(&output));
    }

    fn commit(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            fs::write(self.at("repository").join(name), text).unwrap();
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "a change"]);
    }

    /// Inputs that this builder built, by name.
    fn inputs(&self, names: &[&str]) -> String {
        let one = |name: &&str| {
            let sha = attest::Digest::sha256(&fs::read(self.at("out").join(name)).unwrap()).hex();
            format!(
                "  - name: {name}\n    uri: \"build:{name}\"\n    sha256: \"{sha}\"\n    built-by: local\n"
            )
        };
        format!("inputs:\n{}", names.iter().map(one).collect::<String>())
    }

    fn build(&self, exit: i32, target: &str, out: &str, more: &[&str]) -> String {
        let (repository, out, root) = (self.at("repository"), self.at(out), self.trust_root());
        let (store, state) = (self.at("store"), self.at("state"));
        let mut args =
            vec!["build", path(&repository), "--ref", "main", "--target", target, "--out", path(&out)];
        args.extend(["--store", path(&store), "--state", path(&state), "--offline", "--recheck", "0"]);
        if let Some(root) = &root {
            args.extend(["--trust-root", root]);
        }
        args.extend(more);
        expect(exit, &args)
    }

    /// The trust root that names the local builder, once it has a key.
    fn trust_root(&self) -> Option<String> {
        let key = fs::read_to_string(self.at("state/local-demo.pub")).ok()?;
        let key: String = key.lines().map(|l| format!("          {l}\n")).collect();
        let (file, id) = (self.at("trust-root.yaml"), builder::LOCAL_DEMO);
        let text = format!(
            "version: 1\nbuilders:\n  local:\n    ids: [\"{id}\"]\n    hermetic: [\">=0\"]\n    keys:\n      - key: |\n{key}"
        );
        fs::write(&file, text).unwrap();
        Some(path(&file).to_owned())
    }

    /// What a bundle says, proven under the local builder's key.
    fn opened(&self, bundle: &str) -> Predicate {
        let root = fs::read_to_string(self.trust_root().unwrap()).unwrap();
        let root = TrustRoot::parse("root", &root).unwrap();
        let envelope = Envelope::parse(&fs::read(self.at(bundle)).unwrap()).unwrap();
        let attestation = root.open(&envelope, "2030-01-01T00:00:00Z".parse().unwrap()).unwrap();
        attestation.statement().predicate.clone()
    }

    fn provenance(&self, bundle: &str) -> Provenance {
        match self.opened(bundle) {
            Predicate::Provenance(provenance) => *provenance,
            other => panic!("{other:?}"),
        }
    }
}

fn skopeo(args: &[&str]) -> String {
    let output = Command::new("skopeo").arg("--insecure-policy").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?} {}", stderr(&output));
    stdout(&output)
}

fn json(text: &str) -> attest::Object {
    attest::json::parse(text.trim().as_bytes()).unwrap().as_object().unwrap().clone()
}

#[test]
fn an_image_of_built_programs_is_tested_as_a_root_signed_and_built_again() {
    let setting = Setting::new();
    let inputs = setting.inputs(&["shop", "shop.conf"]);
    // no toolchain: nothing of this definition runs in one
    setting.commit(&[("portcullis.build.yaml", &format!("{inputs}{IMAGE}"))]);
    let said = setting.build(0, "shop-image", "out", &[]);
    assert!(said.contains("smoke passed"), "{said}");
    let provenance = setting.provenance("out/shop.oci.tar.sigstore.json");
    let command = provenance.command.clone().unwrap();
    assert_eq!(command[..2], ["portcullis", "image"]);
    let section = json(&command[2]);
    assert_eq!(section.object("files").unwrap().string("usr/bin/shop").unwrap(), "shop");
    assert!(provenance.isolation.is_none(), "nothing ran: no sandbox is claimed");
    let names: Vec<&str> = provenance.dependencies.iter().filter_map(|d| d.name.as_deref()).collect();
    assert_eq!(names, ["shop", "shop.conf"], "and no tool had a part in it");
    assert!(provenance.dependencies.iter().all(|d| d.provenance.is_some()));
    // for the test a sandbox was tried, and it is the image's bytes that were tested
    let bundle = "out/shop.oci.tar.smoke.test.sigstore.json";
    assert!(matches!(setting.opened(bundle), Predicate::Test(_)));
    let (store, state, root) = (setting.at("store"), setting.at("state"), setting.trust_root().unwrap());
    let at = setting.at("out/shop.oci.tar.sigstore.json");
    let graph = expect(0, &["open", "--graph", path(&at), "--store", path(&store), "--trust-root", &root]);
    assert!(
        graph.contains("shop.oci.tar@") && graph.contains("shop@") && graph.contains("shop.conf@"),
        "{graph}"
    );
    // again, without the cache, and from provenance: the same bytes
    setting.build(0, "shop-image", "again", &["--no-cache"]);
    assert_eq!(
        fs::read(setting.at("out/shop.oci.tar")).unwrap(),
        fs::read(setting.at("again/shop.oci.tar")).unwrap()
    );
    let said = setting.build(0, "shop-image", "cached", &[]);
    assert!(said.contains("from the cache") && said.contains("smoke passed"), "{said}");
    let base = ["rebuild", path(&at), "--trust-root", &root, "--store", path(&store)];
    let said = expect(0, &[&base[..], &["--state", path(&state), "--offline"]].concat());
    assert!(said.contains("same      shop.oci.tar") && !said.contains("DIFFERENT"), "{said}");
    // another word of the section is another image
    let other = IMAGE.replace("MODE: prod", "MODE: test");
    setting.commit(&[("portcullis.build.yaml", &format!("{inputs}{other}"))]);
    let said = setting.build(1, "shop-image", "other", &[]);
    assert!(said.contains("smoke FAILED") && !said.contains("from the cache"), "{said}");
}

#[test]
fn an_input_without_its_proof_or_a_base_that_is_none_makes_no_image() {
    let setting = Setting::new();
    let inputs = setting.inputs(&["shop", "shop.conf"]);
    let wrong_base = IMAGE.replace("      files:\n", "      base: shop.conf\n      files:\n");
    setting.commit(&[("portcullis.build.yaml", &format!("{inputs}{wrong_base}"))]);
    let said = setting.build(2, "shop-image", "out", &[]);
    assert!(
        said.contains("portcullis.build.yaml:17:13") && said.contains("no image that can be built upon"),
        "{said}"
    );
    assert!(said.contains("skopeo copy SOURCE oci-archive:FILE"), "{said}");
    fs::remove_dir_all(setting.at("store/provenance")).unwrap();
    setting.commit(&[("portcullis.build.yaml", &format!("{inputs}{IMAGE}"))]);
    let said = setting.build(2, "shop-image", "out", &[]);
    assert!(said.contains("the store has no provenance for it"), "{said}");
    assert!(!setting.at("out/shop.oci.tar").exists());
}

#[test]
fn skopeo_reads_what_we_write_and_we_build_upon_what_skopeo_writes() {
    let Some(_) = tools::part("skopeo", PathBuf::from("/usr/bin/skopeo")) else { return };
    let setting = Setting::new();
    let inputs = setting.inputs(&["shop", "shop.conf"]);
    setting.commit(&[("portcullis.build.yaml", &format!("{inputs}{IMAGE}"))]);
    setting.build(0, "shop-image", "out", &[]);
    let archive = |file: &Path| format!("oci-archive:{}", path(file));
    let image = archive(&setting.at("out/shop.oci.tar"));
    let seen = json(&skopeo(&["inspect", &image]));
    assert_eq!(seen.string("Architecture").unwrap(), "amd64");
    assert_eq!(seen.object("Labels").unwrap().string("org.opencontainers.image.title").unwrap(), "shop");
    assert_eq!(seen.array("Env").unwrap(), [Json::from("MODE=prod")]);
    let config = json(&skopeo(&["inspect", "--config", &image]));
    assert_eq!(config.object("config").unwrap().array("Entrypoint").unwrap(), [Json::from("/usr/bin/shop")]);
    assert_eq!(config.object("config").unwrap().string("User").unwrap(), "1000:1000");
    // a copy checks every digest, also into the form of Docker's registries
    skopeo(&["copy", "-q", &image, &format!("dir:{}", path(&setting.at("dir")))]);
    skopeo(&["copy", "-q", "--format", "v2s2", &image, &format!("dir:{}", path(&setting.at("docker")))]);
    // what another implementation wrote, compressed by it, is a base
    let base = setting.at("out/base.oci.tar");
    skopeo(&["copy", "-q", "--dest-compress", &image, &archive(&base)]);
    assert!(fs::metadata(&base).unwrap().len() < fs::metadata(setting.at("out/shop.oci.tar")).unwrap().len());
    let inputs = setting.inputs(&["base.oci.tar", "shop.conf"]).replacen("    built-by: local\n", "", 1);
    fs::copy(&base, setting.at("store/sha256").join(attest::Digest::sha256(&fs::read(&base).unwrap()).hex()))
        .unwrap();
    let upon = IMAGE
        .replace(
            "      files:\n        usr/bin/shop: shop\n        etc/shop.conf: shop.conf\n",
            "      base: base.oci.tar\n      files: { srv/more.conf: shop.conf }\n",
        )
        .replace("      executable: [usr/bin/shop]\n", "");
    // and a test that runs in the toolchain, on the tar
    let upon = upon.replace("tests: [smoke]", "tests: [smoke, unit]").replacen(
        "tests:\n",
        "tests:\n  unit: { command: [sh, -c, \"test -s /build/artifacts/shop.oci.tar && ! test -e /srv/more.conf\"] }\n",
        1,
    );
    let toolchain = &setting.toolchain;
    setting.commit(&[("portcullis.build.yaml", &format!("{toolchain}{inputs}{upon}"))]);
    let said = setting.build(0, "shop-image", "upon", &[]);
    assert!(said.contains("unit passed"), "{said}");
    assert!(said.contains("smoke passed"), "the program of the base, in the image upon it: {said}");
    let image = archive(&setting.at("upon/shop.oci.tar"));
    let seen = json(&skopeo(&["inspect", &image]));
    assert_eq!(seen.array("Layers").unwrap().len(), 2);
    let provenance = setting.provenance("upon/shop.oci.tar.sigstore.json");
    assert!(provenance.dependencies.iter().all(|d| !d.is_tool), "the toolchain is the test's alone");
    skopeo(&["copy", "-q", &image, &format!("dir:{}", path(&setting.at("dir-upon")))]);
    skopeo(&["copy", "-q", "--format", "v2s2", &image, &format!("dir:{}", path(&setting.at("docker-upon")))]);
}
