//! What others made and found: scanners' outputs, reports of tests, cargo-vet, and releases that are taken in. Every
//! fact that is attested here is judged by a policy afterwards.

mod builds;
#[path = "third_party/releases.rs"]
mod releases;
mod tools;

use std::fs;

use attest::bundle::Bundle;
use attest::dsse::{Dsse, IN_TOTO};
use attest::provenance::Dependency;
use attest::{Algorithm, Digest, DigestSet, Json, Predicate, Scheme, SecretKey, Signer as _, Statement};
use builds::{Builds, build, digest};
use tools::{code, portcullis, stderr, stdout};

const AT: &str = "2026-11-22T12:00:00Z";

/// A shop in production, whose policy a test chooses, and keys of a scanner, a tester, a reviewer and of security.
struct Shop {
    builds: Builds,
    bundle: String,
}

impl Shop {
    fn new(dependencies: &[Dependency], rules: &str) -> Self {
        let builds = Builds::new();
        let made = attest::Provenance { parameters: attest::Object::new(), ..build(1, dependencies) };
        let bundle = builds.official("shop", &made);
        let mut roles = String::new();
        for (role, name) in [("scanners", "desk"), ("testers", "tests"), ("review-authorities", "vetting")] {
            roles += &format!("{role}:\n  {name}:\n    keys:\n      - key: |\n{}", key(&builds, name));
        }
        roles += &format!(
            "people:\n  bob:\n    identities: [bob@acme.example]\n    roles: [reviewer]\n    keys:\n      - key: |\n{}",
            key(&builds, "bob")
        );
        key(&builds, "security");
        let root = fs::read_to_string(builds.at("trust-root.yaml")).unwrap();
        fs::write(builds.at("trust-root.yaml"), root + &roles).unwrap();
        fs::create_dir(builds.at("book")).unwrap();
        let policy = format!(
            "environment: prod/shop\nartifact: shop\nrequire:\n  built-by: [official-ci]\n  {rules}\n"
        );
        fs::write(builds.at("book/shop.yaml"), policy).unwrap();
        Self { builds, bundle }
    }

    fn at(&self, name: &str) -> String {
        self.builds.at(name)
    }

    /// The whole of what is said, with the exit code that is insisted on. `@NAME` is a file of the test's folder.
    fn run(&self, exit: i32, args: &str) -> String {
        let args: Vec<String> = args
            .split_whitespace()
            .map(|word| match word.split_once('@') {
                Some((before, name)) if before.is_empty() && !name.is_empty() => self.at(name),
                _ => word.to_owned(),
            })
            .collect();
        let output = portcullis(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), exit, "{args:?}\n{text}");
        assert!(!text.contains("panicked"), "{text}");
        text
    }

    /// What a policy says with these facts beside the provenance.
    fn verify(&self, exit: i32, facts: &[&str]) -> String {
        let facts: String = facts.iter().map(|name| format!(" --bundle @{name}")).collect();
        let bundle = &self.bundle;
        self.run(
            exit,
            &format!(
                "verify @shop --as shop --environment prod/shop --at {AT} --bundle {bundle}{facts} --book @book \
                 --trust-root @trust-root.yaml"
            ),
        )
    }

    fn predicate(&self, name: &str) -> Predicate {
        let bytes = fs::read(self.at(name)).unwrap();
        let envelope = attest::Envelope::parse(&bytes).unwrap();
        let root =
            attest::TrustRoot::parse("t", &fs::read_to_string(self.at("trust-root.yaml")).unwrap()).unwrap();
        root.open(&envelope, AT.parse().unwrap()).unwrap().statement().predicate.clone()
    }

    fn scan(&self, name: &str) -> attest::claims::Scan {
        match self.predicate(name) {
            Predicate::Scan(scan) => scan,
            other => panic!("{other:?}"),
        }
    }
}

/// A key pair in files, and its public half as a trust root has it.
fn key(builds: &Builds, name: &str) -> String {
    let key = SecretKey::generate(Scheme::P256).unwrap();
    fs::write(builds.at(&format!("{name}.key")), key.to_pem(None).unwrap().as_bytes()).unwrap();
    fs::write(builds.at(&format!("{name}.pub")), key.public().to_pem()).unwrap();
    key.public().to_pem().lines().map(|l| format!("          {l}\n")).collect()
}

const GRYPE: &str = include_str!("../../advisory/tests/scanners/grype.json");
const TRIVY: &str = include_str!("../../advisory/tests/scanners/trivy.json");
const OSV: &str = include_str!("../../advisory/tests/scanners/osv-scanner-1.9.2.json");
const SARIF: &str = include_str!("../../advisory/tests/scanners/scan.sarif");
const SCANNED: &str = "scanned: { within: 7d, worst: high, database-within: 2d }";

/// The outputs, as if they had scanned the shop.
fn outputs(shop: &Shop) {
    let ours = digest("shop").hex();
    fs::write(shop.at("grype.json"), GRYPE.replace(&"3".repeat(64), &ours)).unwrap();
    fs::write(shop.at("trivy.json"), TRIVY.replace(&"3".repeat(64), &ours)).unwrap();
    fs::write(shop.at("osv.json"), OSV).unwrap();
    fs::write(shop.at("scan.sarif"), SARIF).unwrap();
}

#[test]
fn a_scanners_output_is_attested_with_the_times_that_it_says() {
    let shop = Shop::new(&[], SCANNED);
    outputs(&shop);
    shop.run(0, "attest scan @shop --from-grype @grype.json --key @desk.key --out @grype.scan");
    let scan = shop.scan("grype.scan");
    assert_eq!(scan.finished.to_string(), "2026-11-22T10:00:00.123456789Z");
    assert_eq!(scan.database_updated.unwrap().to_string(), "2026-11-22T06:31:20Z");
    assert_eq!((scan.version.as_deref(), scan.vulnerabilities.len()), (Some("0.104.0"), 3));
    let text = shop.verify(1, &["grype.scan"]);
    assert!(
        text.contains("CVE-2026-0002 (critical), CVE-2026-0003 (critical)"),
        "unknown and ignored: {text}"
    );
    // what the output does not say is asked for, and never made up
    let text = shop.run(2, "attest scan @shop --from-trivy @trivy.json --key @desk.key --out @t.scan");
    assert!(
        text.contains("does not say how old the scanner's database was")
            && text.contains("--database-updated TIME")
    );
    let osv = "attest scan @shop --from-osv-scanner @osv.json --key @desk.key --out @o.scan";
    assert!(shop.run(2, osv).contains("does not say when the scan ended"));
    let text = shop.run(2, &format!("{osv} --finished {AT}"));
    assert!(text.contains("does not say how old"), "{text}");
    let text = shop.run(2, &format!("{osv} --at {AT}"));
    assert!(text.contains("not at a time of choice"), "{text}");
    let grype = "attest scan @shop --from-grype @grype.json --key @desk.key --out @g.scan";
    let text = shop.run(2, &format!("{grype} --finished {AT}"));
    assert!(text.contains("says itself when the scan ended"), "{text}");
    let text = shop.run(2, &format!("{grype} --database-updated {AT}"));
    assert!(text.contains("says itself how old"), "{text}");
    assert!(!fs::exists(shop.at("t.scan")).unwrap() && !fs::exists(shop.at("o.scan")).unwrap());
    shop.run(0, &format!("{osv} --finished {AT} --database-updated 2026-11-19T00:00:00Z"));
    let text = shop.verify(1, &["o.scan"]);
    assert!(text.contains("the scanner's database is too old"), "{text}");
}

#[test]
fn only_a_signed_reason_takes_something_out_of_a_scan() {
    let shop = Shop::new(&[], SCANNED);
    outputs(&shop);
    let statement = |id: &str| {
        format!(
            r#"{{"vulnerability":{{"name":"{id}"}},"products":[{{"@id":"shop","hashes":{{"sha-256":"{}"}}}}],
            "status":"not_affected","justification":"vulnerable_code_not_in_execute_path"}}"#,
            digest("shop").hex()
        )
    };
    let document = format!(
        r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"v","author":"security","timestamp":"2026-11-01T00:00:00Z",
        "statements":[{},{}]}}"#,
        statement("CVE-2026-0002"),
        statement("CVE-2026-0003")
    );
    let Json::Object(body) = attest::json::parse(document.as_bytes()).unwrap() else { panic!() };
    let vex = Statement::write("shop", &digest("shop").into(), "https://openvex.dev/ns/v0.2.0", body);
    for (signer, name) in [("security", "vex.json"), ("desk", "own.json")] {
        let key = SecretKey::from_pem(&fs::read_to_string(shop.at(&format!("{signer}.key"))).unwrap(), None)
            .unwrap();
        let dsse = Dsse::sign(IN_TOTO, vex.as_bytes(), &[&key]).unwrap();
        fs::write(shop.at(name), Bundle::write(&dsse, &key.public().id(), &[]).to_string()).unwrap();
    }
    let trivy =
        "attest scan @shop --from-trivy @trivy.json --database-updated 2026-11-22T00:00:00Z --key @desk.key";
    let text = shop.run(0, &format!("{trivy} --vex @vex.json --vex-key @security.pub --out @trivy.scan"));
    assert!(
        text.contains("not affected: right 1.0.0 CVE-2026-0002, vulnerable_code_not_in_execute_path"),
        "{text}"
    );
    let ids: Vec<String> = shop.scan("trivy.scan").vulnerabilities.into_iter().map(|v| v.id).collect();
    assert_eq!(ids, ["CVE-2021-23337"]);
    shop.verify(0, &["trivy.scan"]);
    let text = shop.run(2, &format!("{trivy} --vex @own.json --vex-key @security.pub --out @x.scan"));
    assert!(text.contains("do not count"), "a scanner cannot excuse itself: {text}");
    shop.run(2, &format!("{trivy} --vex @vex.json --out @x.scan"));
}

#[test]
fn an_output_about_something_else_or_of_another_shape_is_refused() {
    let shop = Shop::new(&[], SCANNED);
    outputs(&shop);
    fs::write(shop.at("other.json"), GRYPE).unwrap();
    let text = shop.run(2, "attest scan @shop --from-grype @other.json --key @desk.key --out @x");
    assert!(text.contains("is about something else") && text.contains(&"3".repeat(64)), "{text}");
    let text = shop.run(2, "attest scan @shop --from-trivy @grype.json --key @desk.key --out @x");
    assert!(text.contains("is no output of Trivy") && text.contains("SchemaVersion"), "{text}");
    fs::write(shop.at("deep.json"), "[".repeat(1 << 20)).unwrap();
    let text = shop.run(2, "attest scan @shop --from-sarif @deep.json --key @desk.key --out @x");
    assert!(text.contains("is no output of SARIF"), "{text}");
    fs::File::create(shop.at("huge.json")).unwrap().set_len(1 << 30).unwrap();
    let text = shop.run(2, "attest scan @shop --from-osv-scanner @huge.json --key @desk.key --out @x");
    assert!(text.contains("too large"), "{text}");
    shop.run(2, "attest scan @shop --from-sarif @missing --key @desk.key --out @x");
    shop.run(
        2,
        "attest scan @shop --from-sarif @scan.sarif --from-grype @grype.json --key @desk.key --out @x",
    );
    shop.run(
        2,
        "attest scan @shop --from-sarif @scan.sarif --scanner https://x.example --key @desk.key --out @x",
    );
    shop.run(2, "attest scan @shop --key @desk.key --out @x");
    assert!(!fs::exists(shop.at("x")).unwrap());
}

#[test]
fn a_report_of_tests_says_itself_how_they_ended() {
    let shop = Shop::new(&[], "tests: [unit]");
    let write = |name: &str, text: &str| fs::write(shop.at(name), text).unwrap();
    write(
        "good.xml",
        "<testsuite failures='9'><testcase name='a'/><testcase name='b'><skipped/></testcase></testsuite>",
    );
    write(
        "bad.xml",
        "<testsuite failures='0'><testcase name='a'/><testcase name='b'><failure/></testcase></testsuite>",
    );
    write("none.xml", "<testsuite><testcase name='b'><skipped/></testcase></testsuite>");
    write("bomb.xml", "<!DOCTYPE x [<!ENTITY a 'b'>]><testsuite><testcase name='a'/></testsuite>");
    let test = |exit, name: &str| {
        shop.run(
            exit,
            &format!(
                "attest test @shop --name unit --from-junit @{name}.xml --key @tests.key --out @{name}.test"
            ),
        )
    };
    test(0, "good");
    shop.verify(0, &["good.test"]);
    test(0, "bad");
    let Predicate::Test(result) = shop.predicate("bad.test") else { panic!() };
    assert_eq!((result.result, result.failed), (attest::claims::TestOutcome::Fail, vec!["b".to_owned()]));
    shop.verify(1, &["bad.test"]);
    assert!(test(2, "none").contains("no test that ran"));
    assert!(test(2, "bomb").contains("document type"));
    shop.run(
        2,
        "attest test @shop --name unit --from-junit @good.xml --result passed --key @tests.key --out @x",
    );
    shop.run(2, "attest test @shop --name unit --key @tests.key --out @x");
}

/// A crate as cargo's lock file and our own provenance name it.
fn crate_of(name: &str) -> Dependency {
    Dependency {
        uri: format!("https://static.crates.io/crates/{name}/{name}-1.0.0.crate"),
        digests: digest(name).into(),
        ..Dependency::default()
    }
}

fn lock(names: &[&str]) -> String {
    let one = |name: &&str| {
        format!(
            "[[package]]\nname = \"{name}\"\nversion = \"1.0.0\"\nsource = \
             \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"{}\"\n",
            digest(name).hex()
        )
    };
    format!("version = 4\n{}", names.iter().map(one).collect::<String>())
}

#[test]
fn what_cargo_vet_covers_meets_a_policy_and_what_it_does_not_is_named() {
    let shop =
        Shop::new(&[crate_of("left"), crate_of("right")], "dependencies: { reviewed: { by: [vetting] } }");
    fs::create_dir(shop.at("supply-chain")).unwrap();
    fs::write(shop.at("Cargo.lock"), lock(&["left", "right"])).unwrap();
    let config = "[cargo-vet]\nversion = \"0.10\"\n[[exemptions.right]]\nversion = \"1.0.0\"\ncriteria = \"safe-to-deploy\"\n";
    fs::write(shop.at("supply-chain/config.toml"), config).unwrap();
    let audit = |name: &str, criteria: &str| {
        format!("[[audits.{name}]]\nwho = \"Bob\"\ncriteria = \"{criteria}\"\nversion = \"1.0.0\"\n")
    };
    let audits = |text: String| fs::write(shop.at("supply-chain/audits.toml"), text).unwrap();
    let attest = |exit, more: &str, out: &str| {
        shop.run(
            exit,
            &format!("attest import --from-cargo-vet @supply-chain --lock @Cargo.lock{more} --key @vetting.key --out @{out}"),
        )
    };
    audits(audit("left", "safe-to-deploy"));
    let text = attest(1, "", "half.json");
    assert!(
        text.contains("1 of 2 crates are covered\nnot covered: right 1.0.0: nobody reviewed it"),
        "an exemption: {text}"
    );
    let text = shop.verify(1, &["half.json"]);
    assert!(
        text.contains("nobody who counts reviewed a dependency") && text.contains("right-1.0.0.crate"),
        "{text}"
    );
    audits(audit("left", "safe-to-deploy") + &audit("right", "safe-to-run"));
    attest(1, "", "deploy.json");
    attest(0, " --criteria safe-to-run", "run.json");
    assert!(shop.verify(1, &["run.json"]).contains("left-1.0.0.crate"), "safe to run is not safe to deploy");
    audits(audit("left", "safe-to-deploy") + &audit("right", "safe-to-deploy"));
    attest(0, "", "all.json");
    shop.verify(0, &["all.json"]);
    let Predicate::Import(import) = shop.predicate("all.json") else { panic!() };
    assert_eq!(import.packages[0].reviewers, ["Bob"]);
    assert_eq!(import.packages[0].criteria, ["safe-to-deploy", "safe-to-run"]);
    // signed by somebody whom the policy does not name
    let text = shop.run(
        0,
        "attest import --from-cargo-vet @supply-chain --lock @Cargo.lock --key @bob.key --out @bob.json",
    );
    assert!(text.contains("2 of 2"), "{text}");
    shop.verify(1, &["bob.json"]);
    let veto = "[[audits.left]]\nwho = \"Eve\"\ncriteria = \"safe-to-run\"\nviolation = \"*\"\n";
    audits(audit("left", "safe-to-deploy") + &audit("right", "safe-to-deploy") + veto);
    let text = attest(1, " --format json", "veto.json");
    let json = attest::json::parse(text.as_bytes()).unwrap();
    let left = json.as_object().unwrap().array("not_covered").unwrap()[0].as_object().unwrap();
    assert_eq!(left.string("why").unwrap(), "audits.toml has a violation of *");
    audits(String::new());
    assert!(attest(2, "", "none.json").contains("there is nothing to attest"));
    assert!(attest(2, " --criteria made-up", "none.json").contains("the criterion is not known"));
    audits("[[audits.left]]".to_owned());
    assert!(attest(2, "", "none.json").contains("audits.toml cannot be read"));
    assert!(!fs::exists(shop.at("none.json")).unwrap());
}

/// The digests that a release has once it was taken in.
fn both(bytes: &[u8]) -> DigestSet {
    let mut hasher = attest::digest::Hasher::new(&[Algorithm::Sha512]);
    hasher.update(bytes);
    let all: DigestSet = hasher.finish();
    assert_eq!(all.get(Algorithm::Sha256), Some(Digest::sha256(bytes)));
    all
}
