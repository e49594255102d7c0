//! Lists, ranges, releases, names and VEX, one rule at a time.

use advisory::dependencies::{of_bom, of_provenance};
use advisory::vex::Statements;
use advisory::{Certainty, Component, Database, Ecosystem, Exposure, Purl, Record, judge};
use attest::claims::Severity;
use attest::provenance::{Dependency, Provenance};
use attest::{Digest, DigestSet};

fn database(affected: &[&str]) -> Database {
    let records = affected.iter().enumerate().map(|(i, affected)| {
        Record::parse(
            format!(
                r#"{{"schema_version":"1.6.0","id":"TEST-{i}","modified":"2026-01-01T00:00:00Z",
                "aliases":["CVE-{i}"],"severity":[{{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}}],
                "database_specific":{{"cvss":9.8}},"affected":[{affected}]}}"#
            )
            .as_bytes(),
        )
    });
    Database::load(records).unwrap()
}

fn one(ecosystem: &str, name: &str, rest: &str) -> String {
    format!(r#"{{"package":{{"ecosystem":"{ecosystem}","name":"{name}"}},{rest}}}"#)
}

fn range(kind: &str, events: &str) -> String {
    format!(r#""ranges":[{{"type":"{kind}","events":[{events}]}}]"#)
}

fn answer(database: &Database, component: &Component) -> &'static str {
    match database.affecting(component).first().map(|m| m.certainty) {
        None => "not",
        Some(Certainty::Affected) => "affected",
        Some(Certainty::Unknown) => "unknown",
    }
}

#[test]
fn events_decide_by_version_and_not_by_their_place() {
    for events in [
        r#"{"introduced":"1.0.0"},{"fixed":"1.2.0"},{"introduced":"2.0.0"},{"last_affected":"2.1.0"}"#,
        r#"{"last_affected":"2.1.0"},{"introduced":"2.0.0"},{"fixed":"1.2.0"},{"introduced":"1.0.0"}"#,
    ] {
        let database = database(&[&one("npm", "a", &range("SEMVER", events))]);
        for (version, wanted) in [
            ("0.9.9", "not"),
            ("1.0.0-rc.1", "not"),
            ("1.0.0", "affected"),
            ("1.2.0-rc.1", "affected"),
            ("1.2.0", "not"),
            ("2.0.0", "affected"),
            ("2.1.0", "affected"),
            ("2.1.1", "not"),
            ("1.2.3.4", "unknown"),
            ("latest", "unknown"),
        ] {
            assert_eq!(answer(&database, &Component::package("npm", "a", version)), wanted, "{version}");
        }
    }
    let database = database(&[&one(
        "npm",
        "a",
        &range("SEMVER", r#"{"last_affected":"1.0.0"},{"introduced":"1.0.0"}"#),
    )]);
    assert_eq!(answer(&database, &Component::package("npm", "a", "1.0.0")), "affected");
    assert_eq!(answer(&database, &Component::package("npm", "a", "1.0.1")), "not");
}

#[test]
fn limits_end_a_range_and_a_star_does_not() {
    let limited = |limit: &str| {
        database(&[&one(
            "npm",
            "a",
            &range("SEMVER", &format!(r#"{{"introduced":"0"}},{{"limit":"{limit}"}}"#)),
        )])
    };
    assert_eq!(answer(&limited("2.0.0"), &Component::package("npm", "a", "1.0.0")), "affected");
    assert_eq!(answer(&limited("2.0.0"), &Component::package("npm", "a", "2.0.0")), "not");
    assert_eq!(answer(&limited("*"), &Component::package("npm", "a", "9.0.0")), "affected");
}

#[test]
fn what_nobody_can_compare_is_unknown() {
    let only_git = range("GIT", r#"{"introduced":"0"}"#);
    let plain = range("ECOSYSTEM", r#"{"introduced":"0"},{"fixed":"5"}"#);
    let odd = range("ECOSYSTEM", r#"{"introduced":"0"},{"fixed":"one two"}"#);
    for (ecosystem, said, version) in [
        ("PyPI", &only_git, "1.0"),
        ("Android", &plain, "4"),
        ("Linux", &plain, "4"),
        ("PyPI", &odd, "1.0"),
        ("PyPI", &plain, "old-style-version"),
        ("PyPI", &r#""versions":["1.0"]"#.to_owned(), "dev branch"),
        ("PyPI", &r#""database_specific":{}"#.to_owned(), "1.0"),
    ] {
        let database = database(&[&one(ecosystem, "a", said)]);
        assert_eq!(answer(&database, &Component::package(ecosystem, "a", version)), "unknown", "{said}");
    }
    // a list needs no order
    let listed = database(&[&one("Android", "a", r#""versions":["2026-01"]"#)]);
    assert_eq!(answer(&listed, &Component::package("Android", "a", "2026-01")), "affected");
    assert_eq!(answer(&listed, &Component::package("Android", "a", "2026-02")), "not");
}

#[test]
fn an_epoch_that_may_be_lost_hides_nothing() {
    let database = database(&[&one(
        "Debian:12",
        "a",
        &range("ECOSYSTEM", r#"{"introduced":"2:1.0"},{"fixed":"2:1.6"}"#),
    )]);
    assert_eq!(answer(&database, &Component::package("Debian", "a", "2:1.5")), "affected");
    assert_eq!(answer(&database, &Component::package("Debian", "a", "2:1.6")), "not");
    assert_eq!(answer(&database, &Component::package("Debian", "a", "1.5")), "unknown");
}

#[test]
fn two_spellings_of_a_package_meet() {
    let all = range("ECOSYSTEM", r#"{"introduced":"0"}"#);
    for (ecosystem, said, installed) in [
        ("PyPI", "Foo.Bar", "foo-bar"),
        ("crates.io", "serde_json", "serde-json"),
        ("NuGet", "Newtonsoft.Json", "newtonsoft.json"),
        ("Packagist", "Acme/Shop", "acme/shop"),
    ] {
        let database = database(&[&one(ecosystem, said, &all)]);
        assert_eq!(answer(&database, &Component::package(ecosystem, installed, "1.0")), "affected", "{said}");
    }
    let database = database(&[&one("npm", "a", &all)]);
    assert_eq!(answer(&database, &Component::package("npm", "A", "1.0")), "not");
    assert_eq!(answer(&database, &Component::package("PyPI", "a", "1.0")), "not", "another ecosystem");
}

#[test]
fn a_withdrawn_advisory_matches_nothing_and_a_broken_one_is_unknown() {
    let record = |more: &str, events: &str| {
        let affected = one("npm", "a", &range("SEMVER", events));
        let text =
            format!(r#"{{"id":"T-1","modified":"2026-01-01T00:00:00Z"{more},"affected":[{affected}]}}"#);
        Database::load([Record::parse(text.as_bytes())]).unwrap()
    };
    let component = Component::package("npm", "a", "1.0.0");
    assert_eq!(answer(&record("", r#"{"introduced":"0"}"#), &component), "affected");
    assert_eq!(
        answer(&record(r#","withdrawn":"2026-02-01T00:00:00Z""#, r#"{"introduced":"0"}"#), &component),
        "not"
    );
    let broken = record("", r#"{"fixed":"1.0.0"}"#);
    let found = broken.affecting(&component);
    assert_eq!((found[0].id.as_str(), found[0].certainty), ("T-1", Certainty::Unknown));
    assert!(found[0].why.contains("affected[0].ranges[0].events"), "{}", found[0].why);
    assert_eq!(found[0].weight(), Severity::Critical, "what nobody has rated is no comfort");
    assert_eq!(answer(&broken, &Component::package("npm", "b", "1.0.0")), "not");
    let nameless = Database::load([Record::parse(b"{\"id\":1}")]).unwrap();
    assert_eq!(nameless.unread().len(), 1);
}

#[test]
fn package_urls_name_ecosystems_packages_and_versions() {
    for (text, wanted) in [
        ("pkg:cargo/serde@1.0.0", "crates.io serde 1.0.0"),
        ("pkg:npm/%40angular/core@17.0.0", "npm @angular/core 17.0.0"),
        ("pkg:npm/@angular/core@17.0.0", "npm @angular/core 17.0.0"),
        ("pkg:npm/@angular/core", "npm @angular/core"),
        ("pkg:golang/github.com/gin-gonic/gin@v1.5.0#sub", "Go github.com/gin-gonic/gin v1.5.0"),
        (
            "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1?type=jar",
            "Maven org.apache.logging.log4j:log4j-core 2.14.1",
        ),
        (
            "pkg:deb/debian/openssl@3.0.11-1~deb12u2?arch=amd64&distro=debian-12",
            "Debian:debian-12 openssl 3.0.11-1~deb12u2",
        ),
        ("pkg:rpm/redhat/openssl@3.0.7-24.el9?epoch=1", "Red Hat openssl 1:3.0.7-24.el9"),
        ("pkg:apk/alpine/busybox@1.36.1-r5?distro=alpine-3.19", "Alpine:alpine-3.19 busybox 1.36.1-r5"),
        ("pkg:generic/openssl@1.1.1", "openssl 1.1.1"),
        ("pkg:pypi/a%2Bb@1.0%2Bcu118", "PyPI a+b 1.0+cu118"),
    ] {
        let purl = Purl::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(Component::of_purl(text, &purl).label(), wanted, "{text}");
    }
    for bad in [
        "",
        "npm/a",
        "pkg:",
        "pkg:npm",
        "pkg:npm/",
        "pkg:n pm/a",
        "pkg:npm/a%zz",
        "pkg:npm/a%ff",
        "pkg:npm/a%0a",
        "pkg:npm/a?x=1&x=2",
    ] {
        let read = Purl::parse(bad);
        assert!(read.is_err() || bad == "{bad}: {read:?}");
    }
}

#[test]
fn our_provenance_names_its_inputs_by_where_registries_serve_them() {
    let input = |uri: &str| Dependency {
        uri: uri.to_owned(),
        digests: Digest::sha256(uri.as_bytes()).into(),
        ..Dependency::default()
    };
    let rows = [
        (
            "https://static.crates.io/crates/serde_json/serde_json-1.0.1%2Bx.crate",
            "crates.io serde_json 1.0.1+x",
        ),
        ("https://registry.npmjs.org/@babel/core/-/core-7.0.0-beta.1.tgz", "npm @babel/core 7.0.0-beta.1"),
        (
            "https://proxy.golang.org/github.com/!burnt!sushi/toml/@v/v0.3.1.zip",
            "Go github.com/BurntSushi/toml v0.3.1",
        ),
        (
            "https://files.pythonhosted.org/packages/ab/cd/PyYAML-6.0.1-cp311-cp311-manylinux_2_17_x86_64.whl",
            "PyPI PyYAML 6.0.1",
        ),
        (
            "https://files.pythonhosted.org/packages/ab/cd/zope.interface-5.4.0.tar.gz",
            "PyPI zope.interface 5.4.0",
        ),
        (
            "https://deb.debian.org/debian/pool/main/o/openssl/libssl3_3.0.11-1%7Edeb12u2_amd64.deb",
            "Debian libssl3 3.0.11-1~deb12u2",
        ),
        (
            "https://repo1.maven.org/maven2/org/slf4j/slf4j-api/2.0.9/slf4j-api-2.0.9.jar",
            "Maven org.slf4j:slf4j-api 2.0.9",
        ),
        ("https://rubygems.org/downloads/rack-protection-3.0.0-java.gem", "RubyGems rack-protection 3.0.0"),
        ("pkg:npm/left-pad@1.3.0", "npm left-pad 1.3.0"),
        ("https://example.com/thing.tar.gz", "https://example.com/thing.tar.gz"),
        ("https://proxy.golang.org/a/@v/v1.0.0.mod", "https://proxy.golang.org/a/@v/v1.0.0.mod"),
    ];
    let provenance = Provenance {
        dependencies: rows.iter().map(|(uri, _)| input(uri)).collect(),
        ..Provenance::default()
    };
    let labels: Vec<String> = of_provenance(&provenance).iter().map(Component::label).collect();
    assert_eq!(labels, rows.map(|(_, label)| label));
    // the folder of the pool is the source package, of which Debian speaks
    let all = range("ECOSYSTEM", r#"{"introduced":"0"},{"fixed":"3.0.12-1"}"#);
    let database = database(&[&one("Debian:12", "openssl", &all)]);
    assert_eq!(answer(&database, &of_provenance(&provenance)[5]), "affected");
}

const CYCLONEDX: &str = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"type":"application","name":"shop"}},
  "components":[{"type":"library","name":"lodash","version":"4.17.20","purl":"pkg:npm/lodash@4.17.20",
    "hashes":[{"alg":"MD5","content":"00"}],"components":[{"type":"weird-new-type","group":"g","name":"inner"}]},
    {"type":"file","name":"x","purl":"not a purl"}]}"#;
const SPDX: &str = r#"{"spdxVersion":"SPDX-2.3","packages":[{"SPDXID":"SPDXRef-a","name":"lodash","versionInfo":"4.17.20",
  "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/lodash@4.17.20"}]},
  {"SPDXID":"SPDXRef-b","name":"mystery"}]}"#;

#[test]
fn lists_of_parts_are_read_whatever_their_types() {
    let labels = |text: &str| {
        let bom = of_bom(text.as_bytes()).unwrap();
        bom.components.iter().map(Component::label).collect::<Vec<_>>()
    };
    assert_eq!(labels(CYCLONEDX), ["shop", "npm lodash 4.17.20", "g/inner", "x"]);
    assert_eq!(labels(SPDX), ["npm lodash 4.17.20", "mystery"]);
    let statement = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"shop","digest":{{"sha256":"{}"}}}}],
        "predicateType":"https://cyclonedx.org/bom/v1.6","predicate":{CYCLONEDX}}}"#,
        Digest::sha256(b"shop").hex()
    );
    let bom = of_bom(statement.as_bytes()).unwrap();
    assert_eq!((bom.subjects.len(), bom.components.len()), (1, 4));
    for (bad, why) in [
        (CYCLONEDX.replace("1.6", "1.2"), "specVersion"),
        (CYCLONEDX.replace(r#""name":"inner""#, r#""name":3"#), "components[0].components[0].name"),
        (SPDX.replace("SPDX-2.3", "SPDX-1.0"), "spdxVersion"),
        (SPDX.replace(r#""name":"mystery""#, r#""title":"x""#), "packages[1].name"),
        (statement.replace("cyclonedx.org/bom", "example.org/bom"), "predicateType"),
        ("{}".to_owned(), "bomFormat"),
    ] {
        let error = of_bom(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

fn vex(statements: &str) -> Result<Statements, String> {
    let text = format!(
        r#"{{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://acme.example/vex/1","author":"security@acme.example",
        "timestamp":"2026-01-01T00:00:00.5+01:00","version":1,"statements":[{statements}]}}"#
    );
    Statements::parse(text.as_bytes()).map_err(|e| e.to_string())
}

fn statement(status: &str, product: &str, more: &str) -> String {
    format!(r#"{{"vulnerability":{{"name":"CVE-0"}},"products":[{product}],"status":"{status}"{more}}}"#)
}

const REASON: &str = r#","justification":"vulnerable_code_not_in_execute_path""#;

fn judged(statements: &[String]) -> Exposure {
    let database =
        database(&[&one("npm", "lodash", &range("SEMVER", r#"{"introduced":"0"},{"fixed":"4.17.21"}"#))]);
    let components = of_bom(CYCLONEDX.as_bytes()).unwrap().components;
    let vex = vex(&statements.join(",")).unwrap();
    let digests = DigestSet::from(Digest::sha256(b"shop"));
    let names = ["pkg:oci/shop@1.0".to_owned()];
    let exposures = judge(&components, &database, &vex.about(&digests, &names));
    assert_eq!(exposures.len(), 1);
    exposures.into_iter().next().unwrap()
}

#[test]
fn a_trusted_word_suppresses_what_it_speaks_of_and_nothing_else() {
    let sha = Digest::sha256(b"shop").hex();
    let shop = format!(r#"{{"@id":"shop","hashes":{{"sha-256":"{sha}"}}}}"#);
    let part = |name: &str| format!(r#"{{"@id":"pkg:oci/shop","subcomponents":[{{"@id":"{name}"}}]}}"#);
    let image = |sha: &str| format!(r#"{{"@id":"pkg:oci/shop@sha256%3A{sha}?repository_url=ghcr.io"}}"#);
    for (product, is_suppressed) in [
        (shop.as_str(), true),
        (&image(&sha), true),
        (&image(&Digest::sha256(b"other").hex()), false),
        (r#"{"@id":"pkg:npm/lodash@4.17.20"}"#, true),
        (r#""pkg:npm/lodash""#, true),
        (&part("pkg:npm/lodash@4.17.20"), true),
        (&part("pkg:npm/lodash@4.17.19"), false),
        (&part("lodash"), false),
        (r#"{"@id":"pkg:npm/lodash@4.17.20","subcomponents":[{"@id":"pkg:npm/other"}]}"#, false),
        (r#"{"@id":"pkg:oci/shop@2.0"}"#, false),
        (r#"{"@id":"shop"}"#, false),
    ] {
        let exposure = judged(&[statement("not_affected", product, REASON)]);
        assert_eq!(exposure.is_suppressed(), is_suppressed, "{product}");
        assert_eq!(exposure.is_at_least(Severity::Medium), !is_suppressed, "{product}");
    }
    let other = statement("not_affected", &shop, REASON).replace("CVE-0", "CVE-9");
    assert!(!judged(&[other]).is_suppressed(), "another vulnerability");
    assert_eq!(judged(&[]).found.fixed.as_deref(), Some("4.17.21"));
}

#[test]
fn the_last_word_counts_and_of_two_at_once_the_worse_one() {
    let shop = r#"{"@id":"pkg:npm/lodash@4.17.20"}"#;
    let at = |status: &str, time: &str| {
        let reason = if status == "not_affected" { REASON } else { "" };
        statement(status, shop, &format!(r#"{reason},"timestamp":"{time}""#))
    };
    let (early, late) = ("2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z");
    for (rows, is_suppressed) in [
        (vec![at("affected", early), at("not_affected", late)], true),
        (vec![at("not_affected", early), at("affected", late)], false),
        (vec![at("affected", late), at("not_affected", early)], false),
        (vec![at("not_affected", late), at("under_investigation", late)], false),
        (vec![at("fixed", late)], true),
        (vec![at("under_investigation", late)], false),
    ] {
        assert_eq!(judged(&rows).is_suppressed(), is_suppressed, "{rows:?}");
    }
}

#[test]
fn a_word_without_a_reason_or_of_another_shape_is_refused() {
    let product = r#""pkg:npm/a""#;
    for (rows, why) in [
        (statement("not_affected", product, ""), "statements[0].justification"),
        (statement("not_affected", product, r#","justification":"trust me""#), "statements[0].justification"),
        (statement("solved", product, ""), "statements[0].status"),
        (statement("fixed", product, r#","timestamp":"yesterday""#), "statements[0].timestamp"),
        (statement("fixed", "{}", ""), "products[0]"),
        (r#"{"products":["pkg:npm/a"],"status":"fixed"}"#.to_owned(), "vulnerability"),
    ] {
        let error = vex(&rows).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn only_plainly_different_releases_keep_two_apart() {
    for (said, installed, covers) in [
        ("Debian:12", "Debian:debian-12.5", true),
        ("Debian:12", "Debian:debian-11", false),
        ("Debian:12", "Debian:bookworm", true),
        ("Debian", "Debian:12", true),
        ("Debian:12", "Ubuntu:12", false),
        ("Alpine:v3.19", "Alpine:alpine-3.19.1", true),
        ("Alpine:v3.19", "Alpine:3.2", false),
        ("Ubuntu:22.04:LTS", "Ubuntu:ubuntu-22.04", true),
        ("Ubuntu:Pro:18.04:LTS", "Ubuntu:ubuntu-22.04", false),
        ("Rocky Linux:9", "Rocky Linux:rocky-9.3", true),
        ("Red Hat:enterprise_linux:8::appstream", "Red Hat:rhel-8.9", true),
        ("Red Hat:enterprise_linux:8::appstream", "Red Hat:rhel-9.2", false),
        ("Red Hat:openshift:4.12::el8", "Red Hat:rhel-9.2", false),
        ("Red Hat:openshift:4.12::el8", "Red Hat:redhat-8.6", true),
        ("Red Hat:jboss_enterprise_application_platform:7.4", "Red Hat:rhel-9.2", true),
        ("SUSE:Linux Enterprise Server 15 SP5", "SUSE:sles-12", true),
    ] {
        let read = Ecosystem::read;
        assert_eq!(read(said).covers(&read(installed)), covers, "{said} and {installed}");
    }
}

#[test]
fn every_family_of_the_documentation_has_an_order() {
    let page = include_str!("../../../docs/advisories.md");
    for (family, _) in Ecosystem::known() {
        let word = family.split(':').next().unwrap();
        let word = word.strip_suffix(" Hardened Containers").unwrap_or(word);
        assert!(page.contains(word), "docs/advisories.md does not name {family}");
    }
}
