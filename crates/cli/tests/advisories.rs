//! `advisories match`: what is in artifacts, against an OSV dump in a folder and in an archive.

mod builds;
mod tools;

use std::fs;
use std::io::Write as _;

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::provenance::Dependency;
use attest::{Digest, DigestSet, Object, Scheme, SecretKey, Signer as _, Statement};
use builds::{Builds, build, digest};
use tools::{code, portcullis, stderr, stdout};

const LODASH: &str = r#"{"id":"GHSA-35jh-r3h4-6jhm","modified":"2026-05-01T00:00:00Z","aliases":["CVE-2021-23337"],
  "summary":"Command Injection in lodash","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H"}],
  "affected":[{"package":{"ecosystem":"npm","name":"lodash"},
  "ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"4.17.21"}]}]}]}"#;
const RACK: &str = r#"{"id":"GHSA-rack","modified":"2026-06-01T00:00:00Z","affected":[
  {"package":{"ecosystem":"RubyGems","name":"rack"},"versions":["3.0.0"]}]}"#;

/// A shop with a bad lodash and a good serde, signed by official-ci, and a dump with two advisories.
fn shop() -> (Builds, String) {
    let builds = Builds::new();
    let input =
        |uri: &str| Dependency { uri: uri.to_owned(), digests: digest(uri).into(), ..Dependency::default() };
    let bundle = builds.official(
        "shop",
        &build(
            1,
            &[
                input("https://registry.npmjs.org/lodash/-/lodash-4.17.20.tgz"),
                input("https://static.crates.io/crates/serde/serde-1.0.0.crate"),
                input("https://example.com/toolchain.tar"),
            ],
        ),
    );
    fs::create_dir_all(builds.at("osv/npm")).unwrap();
    fs::write(builds.at("osv/npm/GHSA-35jh-r3h4-6jhm.json"), LODASH).unwrap();
    fs::write(builds.at("osv/GHSA-rack.json"), RACK).unwrap();
    fs::write(builds.at("osv/README"), "no advisory").unwrap();
    (builds, bundle)
}

fn matched(exit: i32, args: &[&str]) -> String {
    let output = portcullis(&[&["advisories", "match"], args].concat());
    let text = stdout(&output) + &stderr(&output);
    assert_eq!(code(&output), exit, "{args:?}\n{text}");
    text
}

#[test]
fn a_bad_component_is_named_with_the_version_that_mends_it() {
    let (builds, bundle) = shop();
    let (root, osv) = (builds.at("trust-root.yaml"), builds.at("osv"));
    let basic = ["--database", &osv, "--artifact", &bundle, "--trust-root", &root];
    let text = matched(1, &basic);
    for line in [
        "looked up 3 components in 2 advisories, the newest of 2026-06-01T00:00:00Z",
        "  npm lodash 4.17.20\n",
        "advisory  GHSA-35jh-r3h4-6jhm (CVE-2021-23337)",
        "severity  high\n",
        "installed 4.17.20",
        "fixed     4.17.21",
        "what      Command Injection in lodash",
        "why       4.17.20 is in the range >=0, <4.17.21",
        "of no ecosystem that has advisories: 1\n  https://example.com/toolchain.tar",
        "1 of 1 are low or worse",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let text = matched(0, &[&basic[..], &["--worst", "critical"]].concat());
    assert!(
        text.contains("severity  high, not counted") && text.contains("nothing is critical or worse"),
        "{text}"
    );
    let json = matched(1, &[&basic[..], &["--format", "json"]].concat());
    let json = attest::json::parse(json.as_bytes()).unwrap();
    let first = json.as_object().unwrap().array("exposures").unwrap()[0].as_object().unwrap();
    assert_eq!(first.string("fixed").unwrap(), "4.17.21");
    assert_eq!(first.object("component").unwrap().string("ecosystem").unwrap(), "npm");
    assert_eq!(json.as_object().unwrap().int("found").unwrap(), 1);
}

#[test]
fn what_nobody_proved_is_refused() {
    let (builds, bundle) = shop();
    let osv = builds.at("osv");
    let other = builds.at("other.pub");
    fs::write(&other, SecretKey::generate(Scheme::P256).unwrap().public().to_pem()).unwrap();
    let text = matched(2, &["--database", &osv, "--artifact", &bundle, "--key", &other]);
    assert!(text.contains("does not prove what an artifact is made of"), "{text}");
    let text = matched(2, &["--database", &osv, "--artifact", &bundle]);
    assert!(text.contains("nothing says whom to trust"), "{text}");
}

fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for (name, bytes) in entries {
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

#[test]
fn an_archive_answers_like_its_folder_and_a_bomb_or_half_of_one_does_not() {
    let (builds, bundle) = shop();
    let root = builds.at("trust-root.yaml");
    let good = archive(&[("a.json", LODASH.as_bytes()), ("b.json", RACK.as_bytes()), ("c.txt", b"no")]);
    let path = builds.at("all.zip");
    let args = ["--database", &path, "--artifact", &bundle, "--trust-root", &root];
    fs::write(&path, &good).unwrap();
    assert!(matched(1, &args).contains("GHSA-35jh-r3h4-6jhm"));
    fs::write(&path, &good[..good.len() - 40]).unwrap();
    assert!(matched(2, &args).contains("all.zip cannot be read"));
    let mut torn = good.clone();
    torn[60] ^= 0xff;
    fs::write(&path, &torn).unwrap();
    assert!(matched(2, &args).contains("cannot be read"), "a byte of a record");
    fs::write(&path, archive(&[("bomb.json", &vec![b' '; 40 << 20])])).unwrap();
    assert!(matched(2, &args).contains("unpacks to more"), "a bomb");
    fs::write(&path, archive(&[("c.txt", b"no")])).unwrap();
    assert!(matched(2, &args).contains("has no advisories"), "an empty one");
}

#[test]
fn what_cannot_be_read_is_never_clean() {
    let (builds, bundle) = shop();
    let (root, osv) = (builds.at("trust-root.yaml"), builds.at("osv"));
    fs::write(builds.at("osv/npm/GHSA-35jh-r3h4-6jhm.json"), LODASH.replace("4.17.21", "4.17.19")).unwrap();
    let args = ["--database", &osv, "--artifact", &bundle, "--trust-root", &root];
    assert!(matched(0, &args).contains("nothing is low or worse"));
    fs::write(builds.at("osv/noise.json"), "{").unwrap();
    assert!(matched(2, &args).contains("advisories that cannot be read: 1"));
    // a broken record about lodash is about lodash alone
    fs::remove_file(builds.at("osv/noise.json")).unwrap();
    fs::write(builds.at("osv/odd.json"), LODASH.replace(r#"{"introduced":"0"},"#, "")).unwrap();
    let text = matched(1, &args);
    assert!(
        text.contains("nobody can tell: the advisory cannot be read: affected[0].ranges[0].events"),
        "{text}"
    );
}

fn signed(key: &SecretKey, predicate_type: &str, predicate: &str) -> String {
    let limits = attest::json::Limits::default().exact();
    let json = attest::json::parse_with(predicate.as_bytes(), limits).unwrap();
    let digests = DigestSet::from(Digest::sha256(b"shop"));
    let statement =
        Statement::write("shop", &digests, predicate_type, Object::clone(json.as_object().unwrap()));
    let dsse = Dsse::sign(IN_TOTO, statement.as_bytes(), &[key]).unwrap();
    Bundle::write(&dsse, &key.public().id(), &[]).to_string()
}

const SBOM: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":[
  {"type":"library","name":"lodash","version":"4.17.20","purl":"pkg:npm/lodash@4.17.20",
   "evidence":{"identity":{"field":"purl","confidence":0.95}}}]}"#;

fn vex(status: &str) -> String {
    format!(
        r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://acme.example/vex/1","author":"security@acme.example",
        "timestamp":"2026-11-01T00:00:00Z","version":1,"statements":[{{"vulnerability":{{"name":"CVE-2021-23337"}},
        "products":[{{"@id":"shop","hashes":{{"sha-256":"{}"}}}}],{status}}}]}}"#,
        Digest::sha256(b"shop").hex()
    )
}

#[test]
fn a_signed_list_counts_and_only_the_trusted_key_may_say_that_it_does_not_matter() {
    let (builds, _) = shop();
    let (ci, security) =
        (SecretKey::generate(Scheme::P256).unwrap(), SecretKey::generate(Scheme::Ed25519).unwrap());
    for (name, key) in [("ci.pub", &ci), ("security.pub", &security)] {
        fs::write(builds.at(name), key.public().to_pem()).unwrap();
    }
    let reason = r#""status":"not_affected","justification":"vulnerable_code_not_present""#;
    fs::write(builds.at("bom.json"), signed(&ci, "https://cyclonedx.org/bom", SBOM)).unwrap();
    fs::write(builds.at("vex.json"), signed(&security, "https://openvex.dev/ns/v0.2.0", &vex(reason)))
        .unwrap();
    fs::write(builds.at("forged.json"), signed(&ci, "https://openvex.dev/ns/v0.2.0", &vex(reason))).unwrap();
    let affected = vex(r#""status":"affected""#);
    fs::write(builds.at("affected.json"), signed(&security, "https://openvex.dev/ns", &affected)).unwrap();
    fs::write(builds.at("plain.json"), vex(reason)).unwrap();
    let at = |name: &str| builds.at(name);
    let (osv, bom, ci, key) = (at("osv"), at("bom.json"), at("ci.pub"), at("security.pub"));
    let basic = ["--database", &osv, "--artifact", &bom, "--key", &ci];
    let with =
        |exit, file: &str| matched(exit, &[&basic[..], &["--vex", &at(file), "--vex-key", &key]].concat());
    assert!(matched(1, &basic).contains("shop@sha256"));
    let text = with(0, "vex.json");
    assert!(
        text.contains("vex       not_affected, vulnerable_code_not_present, says security@acme.example"),
        "{text}"
    );
    assert!(with(1, "affected.json").contains("vex       affected"));
    for refused in ["forged.json", "plain.json", "bom.json"] {
        assert!(with(2, refused).contains("do not count"), "{refused}");
    }
    // a list that nobody signed is read where it is named as one
    fs::write(at("plain-bom.json"), SBOM).unwrap();
    assert!(
        matched(1, &["--database", &osv, "--sbom", &at("plain-bom.json")]).contains("npm lodash 4.17.20")
    );
    assert!(matched(2, &["--database", &osv, "--sbom", &at("osv/README")]).contains("cannot be read"));
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let (builds, bundle) = shop();
    let (root, osv, missing) = (builds.at("trust-root.yaml"), builds.at("osv"), builds.at("missing"));
    let noise = builds.at("noise.zip");
    fs::write(&noise, (0..=255).cycle().take(5000).collect::<Vec<u8>>()).unwrap();
    let basic = ["--trust-root", &root, "--artifact"];
    for (args, word) in [
        (["--database", &missing, &bundle], "cannot read the database in"),
        (["--database", &noise, &bundle], "noise.zip cannot be read"),
        (["--database", &osv, &missing], "cannot read the bundle"),
        (["--database", &osv, &osv], "is a folder"),
        (["--database", &osv, &noise], "does not prove what an artifact is made of"),
    ] {
        let [flag, database, artifact] = args;
        let text = matched(2, &[&basic[..], &[artifact, flag, database]].concat());
        assert!(text.contains(word) && !text.contains("panicked"), "wanted `{word}` in\n{text}");
    }
    let text = matched(2, &["--database", &osv, "--sbom", &noise, "--worst", "none"]);
    assert!(text.contains("wanted low, medium, high or critical"), "{text}");
    assert!(matched(2, &["--database", &osv]).contains("--artifact"));
}
