//! What is assembled, byte for byte, and what is refused.

use std::fs;
use std::io::Read as _;

use super::*;
use crate::definition::{BuildDefinition, Image};

const EPOCH: i64 = 1_767_225_600;
/// Nothing of a test is near it.
const LIMIT: u64 = 1 << 30;

/// Inputs by name, and images made of them.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    inputs: Vec<Input>,
}

impl Bench {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let mut bench = Self { dir: tempfile::tempdir().unwrap(), inputs: Vec::new() };
        for (name, bytes) in files {
            bench.put(name, bytes);
        }
        bench
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn put(&mut self, name: &str, bytes: &[u8]) {
        fs::write(self.at(name), bytes).unwrap();
        let digest = Digest::sha256(bytes);
        self.inputs.retain(|i| i.name != name);
        self.inputs.push(Input {
            uri: format!("build:{name}"),
            digest,
            name: name.to_owned(),
            built_by: None,
        });
    }

    /// The section of a definition, in flow style.
    fn section(&self, section: &str) -> Image {
        let inputs: String = self
            .inputs
            .iter()
            .map(|i| {
                format!("  - {{ uri: \"{}\", sha256: \"{}\", name: {} }}\n", i.uri, i.digest.hex(), i.name)
            })
            .collect();
        let text =
            format!("inputs:\n{inputs}targets:\n  t:\n    image: {{ {section} }}\n    outputs: [t.tar]\n");
        let definition = BuildDefinition::parse("portcullis.build.yaml", &text).unwrap();
        definition.target("t").unwrap().image.clone().unwrap()
    }

    fn try_assemble(&self, section: &str, target: &str, limit: u64) -> Result<PathBuf, ImageError> {
        let image = self.section(section);
        let parts: Vec<Part<'_>> =
            self.inputs.iter().map(|input| Part { input, path: self.at(&input.name) }).collect();
        let (target, scratch) = (self.at(target), self.at("scratch"));
        fs::remove_file(&scratch).ok();
        assemble(&image, &parts, EPOCH, limit, (&target, &scratch))?;
        Ok(target)
    }

    pub(crate) fn assemble(&self, section: &str, target: &str) -> Vec<u8> {
        fs::read(self.try_assemble(section, target, LIMIT).unwrap()).unwrap()
    }

    pub(crate) fn refused(&self, section: &str) -> LoadError {
        let target = format!("refused-{}", fs::read_dir(self.dir.path()).unwrap().count());
        match self.try_assemble(section, &target, LIMIT).unwrap_err() {
            ImageError::Definition(e) => e,
            ImageError::Io(path, e) => panic!("{}: {e}", path.display()),
        }
    }

    fn layout(&self, name: &str) -> Layout {
        Layout::open(&File::open(self.at(name)).unwrap()).unwrap().unwrap()
    }
}

/// A layer of these entries: folders end in a slash, `to` of links stands after an arrow.
pub(crate) fn layer(entries: &[&str]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries {
        if let Some((name, to)) = entry.split_once(" -> ") {
            let mut header = header(tar::EntryType::Symlink, 0o777, 0, 1);
            archive.append_link(&mut header, name, to).unwrap();
        } else if entry.ends_with('/') {
            archive
                .append_data(&mut header(tar::EntryType::Directory, 0o755, 0, 1), entry, io::empty())
                .unwrap();
        } else {
            let bytes = if entry.contains(".wh.") { b"".as_slice() } else { entry.as_bytes() };
            let mut header = header(tar::EntryType::Regular, 0o755, length(bytes), 1);
            archive.append_data(&mut header, entry, bytes).unwrap();
        }
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::bufread::GzEncoder::new(bytes, flate2::Compression::fast()).read_to_end(&mut out).unwrap();
    out
}

/// An image as somebody else makes it: layers compressed, a history or none, entries in an order of its own.
pub(crate) fn foreign(layers: &[Vec<u8>], edit: &dyn Fn(&str) -> String) -> Vec<u8> {
    let ids: Vec<String> = layers.iter().map(|l| Digest::sha256(l).to_string()).collect();
    let packed: Vec<Vec<u8>> = layers.iter().map(|l| gzip(l)).collect();
    let config = edit(&format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Env":["PATH=/bin","MODE=base"],"Entrypoint":["/bin/old"],"Cmd":["old"],"ExposedPorts":{{"80/tcp":{{}}}},"Labels":{{"a":"base"}},"WorkingDir":"/old"}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        ids.join("\",\"")
    ));
    let descriptor = |media_type: &str, bytes: &[u8]| {
        format!(
            r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#,
            Digest::sha256(bytes),
            bytes.len()
        )
    };
    let described: Vec<String> =
        packed.iter().map(|l| descriptor("application/vnd.oci.image.layer.v1.tar+gzip", l)).collect();
    let manifest = edit(&format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#,
        descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        described.join(",")
    ));
    let index = edit(&format!(
        r#"{{"schemaVersion":2,"manifests":[{}]}}"#,
        descriptor("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes())
    ));
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = header(tar::EntryType::Regular, 0o644, length(bytes), 7);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    for blob in packed.iter().map(Vec::as_slice).chain([config.as_bytes(), manifest.as_bytes()]) {
        add(&format!("blobs/sha256/{}", Digest::sha256(blob).hex()), blob);
    }
    add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    add("index.json", index.as_bytes());
    archive.into_inner().unwrap()
}

pub(crate) fn unchanged(text: &str) -> String {
    text.to_owned()
}

const SHOP: &str = "files: { usr/bin/shop: shop, etc/shop.conf: conf }, executable: [usr/bin/shop], \
    entrypoint: [/usr/bin/shop], cmd: [], environment: { MODE: prod }, user: \"1000:1000\", \
    labels: { org.opencontainers.image.title: shop }, workdir: /, platform: linux/amd64";

#[test]
fn the_same_inputs_give_the_same_bytes_and_everything_in_them_is_decided() {
    let bench = Bench::new(&[("shop", b"program"), ("conf", b"mode=prod\n")]);
    let one = bench.assemble(SHOP, "one.tar");
    // another umask, other times, another order in the definition
    let other = "workdir: /, platform: linux/amd64, labels: { org.opencontainers.image.title: shop }, \
        executable: [usr/bin/shop], files: { etc/shop.conf: conf, usr/bin/shop: shop }, user: \"1000:1000\", \
        environment: { MODE: prod }, cmd: [], entrypoint: [/usr/bin/shop]";
    std::os::unix::fs::chown(bench.at("shop"), None, Some(1)).ok();
    assert_eq!(one, bench.assemble(other, "two.tar"), "the order of words in a definition says nothing");
    assert_eq!(bench.section(SHOP).command(), bench.section(other).command());
    let mut archive = tar::Archive::new(one.as_slice());
    let names: Vec<String> =
        archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(names[..4], ["oci-layout", "index.json", "blobs/", "blobs/sha256/"]);
    assert!(names[4..].is_sorted() && names.len() == 7, "{names:?}");
    let layout = bench.layout("one.tar");
    let mut bytes = Vec::new();
    layout.read(&layout.layers[0]).unwrap().read_to_end(&mut bytes).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries: Vec<(String, u32, u64, u64, u64)> = archive
        .entries()
        .unwrap()
        .map(|e| {
            let e = e.unwrap();
            let h = e.header();
            (
                e.path().unwrap().display().to_string(),
                h.mode().unwrap(),
                h.uid().unwrap(),
                h.gid().unwrap(),
                h.mtime().unwrap(),
            )
        })
        .collect();
    let entry = |path: &str, mode| (path.to_owned(), mode, 0, 0, EPOCH.unsigned_abs());
    assert_eq!(
        entries,
        [
            entry("etc/", 0o755),
            entry("etc/shop.conf", 0o644),
            entry("usr/", 0o755),
            entry("usr/bin/", 0o755),
            entry("usr/bin/shop", 0o755)
        ]
    );
    let configuration = layout.configuration().unwrap().to_string();
    let id = Digest::sha256(&bytes);
    assert_eq!(
        configuration,
        format!(
            r#"{{"created":"2026-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{{"User":"1000:1000","Env":["MODE=prod"],"Entrypoint":["/usr/bin/shop"],"WorkingDir":"/","Labels":{{"org.opencontainers.image.title":"shop"}}}},"rootfs":{{"type":"layers","diff_ids":["{id}"]}},"history":[{{"created":"2026-01-01T00:00:00Z","created_by":"portcullis image"}}]}}"#
        )
    );
}

#[test]
fn what_provenance_says_in_place_of_a_command_is_the_whole_section() {
    let bench = Bench::new(&[("shop", b"program"), ("conf", b"mode=prod\n")]);
    let command = bench.section(SHOP).command();
    assert_eq!(
        command[2],
        r#"{"files":{"etc/shop.conf":"conf","usr/bin/shop":"shop"},"executable":["usr/bin/shop"],"entrypoint":["/usr/bin/shop"],"cmd":[],"environment":{"MODE":"prod"},"user":"1000:1000","labels":{"org.opencontainers.image.title":"shop"},"workdir":"/","platform":"linux/amd64"}"#
    );
    assert!(crate::definition::is_assembly(&command));
    // every key of the section changes the words, and with them the cache's key
    for (from, to) in [
        ("[usr/bin/shop]", "[etc/shop.conf]"),
        ("etc/shop.conf: conf", "etc/shop.cfg: conf"),
        ("etc/shop.conf: conf", "etc/shop.conf: shop"),
        ("entrypoint: [/usr/bin/shop]", "entrypoint: [/bin/shop]"),
        ("cmd: []", "cmd: [serve]"),
        ("cmd: [], ", ""),
        ("MODE: prod", "MODE: test"),
        ("1000:1000", "0:0"),
        ("title: shop", "title: other"),
        ("workdir: /", "workdir: /srv"),
        ("linux/amd64", "linux/arm64"),
    ] {
        assert!(SHOP.contains(from), "{from}");
        assert_ne!(bench.section(&SHOP.replacen(from, to, 1)).command(), command, "{from} {to}");
    }
    for other in [
        vec!["make".to_owned()],
        vec!["portcullis".to_owned(), "image".to_owned()],
        ["portcullis", "image", "[]"].map(str::to_owned).to_vec(),
        ["portcullis", "image", "{ }"].map(str::to_owned).to_vec(),
        ["portcullis", "image", "{}", "more"].map(str::to_owned).to_vec(),
    ] {
        assert!(!crate::definition::is_assembly(&other), "{other:?}");
    }
}

#[test]
fn a_base_stays_as_it_was_and_ours_lies_upon_it() {
    let mut bench = Bench::new(&[("shop", b"program")]);
    let layers = [layer(&["usr/", "usr/bin/", "usr/bin/old"]), layer(&["usr/bin/more", "bin -> usr/bin"])];
    bench.put("base", &foreign(&layers, &unchanged));
    bench.assemble("base: base, files: { usr/bin/shop: shop, opt/x: shop }, environment: { MODE: prod, NEW: x }, entrypoint: [/usr/bin/shop], labels: { b: ours }, platform: linux/amd64", "image");
    let (below, above) = (bench.layout("base"), bench.layout("image"));
    assert_eq!(above.layers.len(), 3);
    for (a, b) in below.layers.iter().zip(&above.layers) {
        assert_eq!((&a.digest, a.size, &a.media_type), (&b.digest, b.size, &b.media_type));
    }
    let mut bytes = Vec::new();
    above.read(&above.layers[2]).unwrap().read_to_end(&mut bytes).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let names: Vec<String> =
        archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
    assert_eq!(names, ["opt/", "opt/x", "usr/bin/shop"], "the base's folders keep their owners and modes");
    let configuration = above.configuration().unwrap();
    let settings = configuration.object("config").unwrap().to_string();
    assert_eq!(
        settings,
        r#"{"Env":["PATH=/bin","MODE=prod","NEW=x"],"Entrypoint":["/usr/bin/shop"],"ExposedPorts":{"80/tcp":{}},"Labels":{"a":"base","b":"ours"},"WorkingDir":"/old"}"#,
        "the base's words were for the base's entrypoint"
    );
    let ids = configuration.object("rootfs").unwrap().array("diff_ids").unwrap().to_vec();
    let all: Vec<Json> =
        layers.iter().chain([&bytes]).map(|l| Json::from(Digest::sha256(l).to_string())).collect();
    assert_eq!(ids, all);
    assert_eq!(configuration.array("history").unwrap().len(), 3, "a history is for all layers");
}

#[test]
fn a_base_that_is_not_what_it_says_is_refused_where_the_definition_names_it() {
    let layers = [layer(&["usr/", "usr/bin/", "usr/bin/old"])];
    let swap = |from: &'static str, to: &'static str| move |text: &str| text.replace(from, to);
    let other_id = Digest::sha256(&layers[0]).hex();
    let wrong_id = move |text: &str| text.replace(&other_id, &"0".repeat(64));
    for (base, why) in [
        (b"no tar at all".to_vec(), "no tar that can be read"),
        (layer(&["usr/", "usr/bin/"]), "no OCI image layout in a tar"),
        (gzip(&foreign(&layers, &unchanged)), "no tar that can be read"),
        (foreign(&layers, &swap("amd64", "arm64")), "it is for linux/arm64, and not for linux/amd64"),
        (foreign(&layers, &wrong_id), "is not what its configuration says"),
        (foreign(&layers, &swap("tar+gzip", "tar+zstd")), "of a type that is not known here"),
        (
            foreign(&layers, &swap("\"layers\":[{", "\"layers\":[],\"other\":[{")),
            "lists 1 layers, and its manifest 0",
        ),
        (foreign(&layers, &swap("manifest.v1+json", "index.v1+json")), "for several platforms"),
        (foreign(&layers, &swap("\"manifests\":[", "\"manifests\":[],\"other\":[")), "holds 0 images"),
        (
            foreign(&layers, &swap("\"rootfs\"", "\"history\":[{},{}],\"rootfs\"")),
            "history tells of other layers",
        ),
        (foreign(&[layer(&["a/.wh..wh.plnk"])], &unchanged), "a whiteout of a kind"),
    ] {
        let mut bench = Bench::new(&[("shop", b"program")]);
        bench.put("base", &base);
        let error = bench.refused("base: base, files: { bin/shop: shop }, platform: linux/amd64");
        assert!(error.message.contains(why), "{why}: {error}");
        assert!(
            error.message.contains("the base `base`")
                && error.fix.as_deref().unwrap().contains("skopeo copy"),
            "{error}"
        );
        assert_eq!((error.place.line, error.place.column), (6, 20), "{error}");
    }
    // every byte of every blob counts
    let whole = foreign(&layers, &unchanged);
    let at = whole.windows(2).position(|w| w == [0x1f, 0x8b]).unwrap();
    let mut damaged = whole.clone();
    damaged[at + 30] ^= 1;
    let mut bench = Bench::new(&[("shop", b"program")]);
    bench.put("base", &damaged);
    let error = bench.refused("base: base, files: { bin/shop: shop }, platform: linux/amd64");
    assert!(error.message.contains("has another digest"), "{error}");
}

#[test]
fn a_file_that_would_hide_something_of_the_base_is_refused() {
    let mut bench = Bench::new(&[("shop", b"program")]);
    let layers = [
        layer(&[
            "usr/",
            "usr/bin/",
            "bin -> usr/bin",
            "etc/",
            "etc/hosts",
            "gone/",
            "gone/x",
            "all/",
            "all/y",
        ]),
        layer(&[".wh.gone", "all/.wh..wh..opq", "all/z"]),
    ];
    bench.put("base", &foreign(&layers, &unchanged));
    let with = |path: &str| format!("base: base, files: {{ {path}: shop }}, platform: linux/amd64");
    for (path, why) in [
        ("bin/shop", "`bin` is a link in the base"),
        ("etc/hosts/shop", "`etc/hosts` is a file in the base"),
        ("usr/bin", "`usr/bin` is a folder in the base"),
    ] {
        let error = bench.refused(&with(path));
        assert!(error.message.contains(why) && error.place.line == 6, "{error}");
    }
    for (number, (path, brings)) in [
        ("etc/hosts", vec!["etc/hosts"]),
        ("gone", vec!["gone"]),
        ("gone/x", vec!["gone/", "gone/x"]),
        ("all/y", vec!["all/y"]),
        ("all/z/q", vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        if brings.is_empty() {
            assert!(bench.refused(&with(path)).message.contains("`all/z` is a file"));
            continue;
        }
        let name = format!("image-{number}");
        bench.assemble(&with(path), &name);
        let layout = bench.layout(&name);
        let stream = layout.read(layout.layers.last().unwrap()).unwrap();
        let mut archive = tar::Archive::new(stream);
        let names: Vec<String> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, brings);
    }
}

#[test]
fn what_is_packed_is_what_was_declared_and_no_more_than_allowed() {
    let bench = Bench::new(&[("shop", b"program")]);
    fs::write(bench.at("shop"), b"prograM").unwrap();
    let refused = bench.try_assemble("files: { shop: shop }", "a", LIMIT).unwrap_err();
    assert!(matches!(&refused, ImageError::Io(_, e) if e.to_string().contains("changed")), "{refused:?}");
    let ImageError::Definition(refused) = bench.try_assemble("files: { shop: shop }", "b", 3).unwrap_err()
    else {
        panic!()
    };
    assert!(refused.message.contains("more than the 0 MiB allowed"), "{refused}");
}
