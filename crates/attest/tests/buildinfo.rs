//! Debian's .buildinfo as evidence: real files, signed by a Debian builder and by keys of the test's own.

mod data;
mod tools;

use attest::buildinfo::{BUILDINFO, Buildinfo, DEBIAN_BUILD_TYPE};
use attest::openpgp::{ClearSigned, OpenPgpError};
use attest::{Artifact, Digest, Envelope, EnvelopeError, OpenError, Predicate, Provenance, Role, TrustRoot};
use jiff::Timestamp;
use tools::Gpg;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
const SNIFFGLUE: &str = "448c781a9e594227bc9f0d6c65b8beba2b3add68d3583020de188d4cfa365b40";

fn real(name: &str) -> Option<String> {
    Some(std::fs::read_to_string(data::data("buildinfo")?.join(name)).unwrap())
}

fn root(gpg: &Gpg) -> TrustRoot {
    tools::root("builders", "buildd", &[&gpg.block("buildd")], "    ids: [\"buildinfo:Debian/amd64\"]\n")
}

fn envelope(gpg: &Gpg, text: &str) -> Envelope {
    Envelope::parse(&gpg.sign("buildd", &["--clear-sign"], text.as_bytes())).unwrap()
}

#[test]
fn what_a_debian_builder_signed_opens_under_its_key_alone_and_says_what_it_says() {
    let Some(signed) = real("rust-sniffglue_0.14.0-2_amd64.buildinfo") else { return };
    let gpg = Gpg::new().key("buildd", "rsa2048");
    let root = root(&gpg);
    let theirs = Envelope::parse(signed.as_bytes()).unwrap();
    assert_eq!(root.open(&theirs, NOW).unwrap_err(), OpenError::UnknownSigner);
    assert_eq!(theirs.unproven_subjects().len(), 3);
    let text = ClearSigned::parse(signed.as_bytes()).unwrap();
    assert_eq!(text.signature().claimed_at().to_string(), "2021-12-06T21:35:30Z");

    let attestation = root.open(&envelope(&gpg, text.text()), NOW).unwrap();
    assert_eq!(attestation.signers()[0].name, "buildd");
    assert_eq!(attestation.time(), None, "the signature's own time proves nothing");
    assert_eq!(attestation.statement().predicate_type, BUILDINFO);
    let artifact = Artifact::new("sniffglue", Digest::parse(&format!("sha256:{SNIFFGLUE}")).unwrap().into());
    let evidence = attestation.about(&artifact).unwrap();
    assert!(evidence.signers_with(Role::Builder).count() == 1);
    let Predicate::Provenance(provenance) = evidence.predicate() else {
        panic!("{:?}", evidence.predicate())
    };
    check_sniffglue(provenance);
    let files = Buildinfo::parse(text.text()).unwrap().files;
    assert_eq!(files.iter().map(|f| f.size).collect::<Vec<_>>(), [125_404, 8_995_232, 732_980]);
    assert!(attestation.about(&Artifact::new("x", Digest::sha256(b"x").into())).is_err());
}

fn check_sniffglue(provenance: &Provenance) {
    assert_eq!(
        (provenance.format.as_str(), provenance.build_type.as_str()),
        ("buildinfo/1.0", DEBIAN_BUILD_TYPE)
    );
    assert_eq!(provenance.builder_id, "buildinfo:Debian/amd64");
    let source = provenance.source.as_ref().unwrap();
    assert_eq!(source.repository, "pkg:deb/debian/rust-sniffglue@0.14.0-2?arch=source");
    assert!(source.digests.is_empty() && source.reference.is_none());
    assert_eq!(provenance.target.as_deref(), Some("rust-sniffglue"));
    let uris: Vec<&str> = provenance.dependencies.iter().map(|d| d.uri.as_str()).collect();
    assert!(uris.contains(&"pkg:deb/debian/automake@1%3A1.16.5-1.1"), "{uris:?}");
    assert!(uris.contains(&"pkg:deb/debian/g%2B%2B@4%3A11.2.0-2"));
    assert!(uris.contains(&"pkg:deb/debian/zlib1g@1%3A1.2.11.dfsg-2"), "the last one has no comma");
    assert_eq!(provenance.finished.unwrap().to_string(), "2021-12-06T21:35:27Z");
    let said = |name: &str| provenance.environment.get(name).map(String::as_str);
    assert_eq!(said("DEB_BUILD_OPTIONS"), Some("parallel=4"));
    assert_eq!(said("Build-Path"), Some("/build/rust-sniffglue-1KDXF6/rust-sniffglue-0.14.0"));
    let nothing = Provenance { hermetic: false, ..Provenance::default() };
    assert_eq!(provenance.parameters, nothing.parameters);
    assert!(!provenance.hermetic && provenance.command.is_none() && provenance.invocation.is_none());
    assert!(provenance.started.is_none() && provenance.isolation.is_none());
}

#[test]
fn what_dpkg_wrote_here_is_read_too() {
    for name in ["hello_2.10-3", "tree_2.1.0-1"] {
        let Some(text) = real(&format!("rebuilt-here/{name}_amd64.buildinfo")) else { return };
        let read = Buildinfo::parse(&text).unwrap();
        let listed = text.lines().filter(|l| l.starts_with(' ') && l.contains(" (= ")).count();
        assert!(read.installed.len() == listed && listed > 100, "{listed}");
        assert_eq!(read.files.len(), 2);
        assert!(read.tainted_by.contains(&"usr-local-has-programs".to_owned()));
        assert_eq!(Envelope::parse(text.as_bytes()).unwrap_err(), EnvelopeError::NotSigned);
    }
    let Some(old) = real("diffoscope-test1.buildinfo") else { return };
    let error = Buildinfo::parse(&old).unwrap_err().to_string();
    assert!(error.starts_with("Checksums-Md5: wanted `checksum size name`"), "{error}");
}

const SMALL: &str = "Format: 1.0
Source: shop (1.2-1)
Binary: shop
Architecture: all source
Version: 1.2-1+b1
Checksums-Md5:
 d41d8cd98f00b204e9800998ecf8427e 7 shop_1.2_all.deb
Checksums-Sha256:
 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 7 shop_1.2_all.deb
Build-Architecture: arm64
Installed-Build-Depends:
 libc6:i386 (= 2.36-9+deb12u14)
Environment:
 CFLAGS=\"-DNAME=\\\"x\\\" -O2\"
";

#[test]
fn a_small_one_says_what_is_there_and_makes_nothing_up() {
    let read = Buildinfo::parse(SMALL).unwrap();
    let provenance = read.provenance();
    assert_eq!((read.source_version.as_str(), read.version.as_str()), ("1.2-1", "1.2-1+b1"));
    assert_eq!(provenance.builder_id, "buildinfo:/arm64");
    assert_eq!(provenance.source.unwrap().repository, "pkg:deb/shop@1.2-1?arch=source");
    assert_eq!(provenance.dependencies[0].uri, "pkg:deb/libc6@2.36-9%2Bdeb12u14?arch=i386");
    assert_eq!(provenance.environment["CFLAGS"], "-DNAME=\"x\" -O2");
    assert_eq!(provenance.finished, None);
}

#[test]
fn what_could_be_read_twice_is_refused_and_says_why() {
    let gpg = Gpg::new().key("buildd", "ed25519");
    let root = root(&gpg);
    let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (from, to, words) in [
        ("Format: 1.0", "Format: 2.0", "Format: wanted 1.0, found `2.0`"),
        ("Format: 1.0\n", "", "Format: wanted the field"),
        ("Binary: shop", "Binary: shop\nversion: 2", "version: wanted a field once"),
        ("Checksums-Sha256:", "Checksums-Sha512:", "Checksums-Sha256: wanted the field"),
        ("Checksums-Sha256:", "Checksums-Sha256: x", "none beside it"),
        ("427e 7", "427e 8", "the files and sizes of Checksums-Sha256"),
        ("427e 7", "427e00 7", "the files and sizes of Checksums-Sha256"),
        ("b855 7", "b855 7 x", "`checksum size name`"),
        ("b855 7", "b855 -7", "`checksum size name`"),
        ("b855 7 shop", "b855 7 ../shop", "`checksum size name`"),
        ("b855 7", "b8 7", "SHA-256 in lower-case hex"),
        (sum, &sum.to_ascii_uppercase(), "SHA-256 in lower-case hex"),
        ("Architecture: all", "# a comment\nArchitecture: all", "`Name: value`"),
        ("Architecture: all", "\nArchitecture: all", "in one paragraph"),
        ("Source: shop", "Source: ../shop", "Source: wanted a name"),
        ("(= 2.36", "(>= 2.36", "Installed-Build-Depends"),
        ("u14)", "u14)\n libc7 (= 1)", "Installed-Build-Depends"),
        ("CFLAGS=\"", "CFLAGS=\"a\" ", "Environment"),
        ("CFLAGS", "B=\"\"\n B", "Environment"),
        ("Build-Architecture: arm64", "Build-Architecture: arm64\nBuild-Date: yesterday", "Build-Date"),
        ("Build-Architecture: arm64", "Build-Architecture: arm64\nBuild-Origin: a/b", "Build-Origin"),
    ] {
        let changed = SMALL.replacen(from, to, 1);
        assert_ne!(changed, SMALL, "{from}");
        let error = root.open(&envelope(&gpg, &changed), NOW).unwrap_err();
        assert!(matches!(error, OpenError::Statement(_)), "{words}: {error}");
        assert!(error.to_string().contains(words), "{words}: {error}");
    }
    assert!(root.open(&envelope(&gpg, SMALL), NOW).is_ok());
}

#[test]
fn nothing_but_the_signed_text_counts() {
    let gpg = Gpg::new().key("buildd", "ed25519").key("other", "ed25519");
    let root = root(&gpg);
    let signed = String::from_utf8(gpg.sign("buildd", &["--clear-sign"], SMALL.as_bytes())).unwrap();
    let refused = |text: &str| Envelope::parse(text.as_bytes()).map(|e| root.open(&e, NOW).unwrap_err());
    let more = signed.replacen("Build-Arch", "Build-Origin: Debian\nBuild-Arch", 1);
    assert_eq!(refused(&more), Ok(OpenError::UnknownSigner));
    for added in [format!("{SMALL}{signed}"), format!("\n{signed}"), format!("{signed}{SMALL}")] {
        assert!(refused(&added).is_err());
    }
    assert_eq!(
        Envelope::parse(SMALL.as_bytes()).unwrap_err().to_string().split(';').next(),
        Some("a .buildinfo that is not signed")
    );
    let ends = gpg.sign("buildd", &["--default-sig-expire", "1d", "--clear-sign"], SMALL.as_bytes());
    let error = Envelope::parse(&ends).unwrap_err();
    assert!(matches!(error, EnvelopeError::ClearSigned(OpenPgpError::Expired(_))), "{error}");
    let old = gpg.sign("buildd", &["--digest-algo", "SHA1", "--clear-sign"], SMALL.as_bytes());
    assert!(Envelope::parse(&old).unwrap_err().to_string().contains("the hash SHA-1 is not accepted"));
    let others = gpg.sign("other", &["--clear-sign"], SMALL.as_bytes());
    assert_eq!(root.open(&Envelope::parse(&others).unwrap(), NOW).unwrap_err(), OpenError::UnknownSigner);
    let early = tools::root(
        "builders",
        "buildd",
        &[&gpg.block("buildd")],
        "        until: 2020-01-01\n    ids: [x]\n",
    );
    let error = early.open(&Envelope::parse(signed.as_bytes()).unwrap(), NOW).unwrap_err();
    assert!(matches!(error, OpenError::OutsideWindow { .. }), "{error}");
}
