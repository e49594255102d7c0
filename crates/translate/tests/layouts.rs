//! Layouts made for one attack or one rule each. Every rejection names its rule and its reason.

#[path = "layouts/unread.rs"]
mod unread;

use attest::digest::{DigestSet, to_hex};
use attest::dsse::{Dsse, IN_TOTO};
use attest::secret::{SecretKey, Signer};
use attest::time::parse_time;
use attest::{Digest, Json, Object, PublicKey, Scheme};
use translate::layout::{Given, Links, Report, canonical, verify};

const NOW: &str = "2026-11-22T09:00:00Z";

fn json(text: &str) -> Object {
    match attest::json::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}")) {
        Json::Object(object) => object,
        other => panic!("{other:?}"),
    }
}

/// The old form, with a hint at a key that nobody has.
fn old(body: &str, keys: &[&SecretKey]) -> Vec<u8> {
    let message = canonical(&json(body).into()).unwrap();
    let signature = |key: &&SecretKey| {
        Json::from(Object::new().with("keyid", "nobody's").with("sig", to_hex(&key.sign(&message).unwrap())))
    };
    let signatures = Json::Array(keys.iter().map(signature).collect());
    Object::new().with("signatures", signatures).with("signed", json(body)).to_string().into_bytes()
}

fn dsse(body: &str, key: &SecretKey) -> Vec<u8> {
    Dsse::sign(IN_TOTO, body.as_bytes(), &[key]).unwrap().to_json().to_string().into_bytes()
}

fn key(scheme: Scheme) -> SecretKey {
    SecretKey::generate(scheme).unwrap()
}

fn listed(id: &str, key: &PublicKey) -> String {
    let (kind, scheme, public) = match key.scheme() {
        Scheme::Ed25519 => ("ed25519", "ed25519", to_hex(key.raw())),
        Scheme::P256 => ("ecdsa", "ecdsa-sha2-nistp256", key.to_pem()),
        _ => ("rsa", "rsassa-pss-sha256", key.to_pem()),
    };
    let value = Object::new().with("public", public);
    let key =
        Object::new().with("keyid", id).with("keytype", kind).with("scheme", scheme).with("keyval", value);
    format!("\"{id}\":{key}")
}

fn digest(content: &str) -> String {
    format!(r#"{{"sha256":"{}"}}"#, Digest::sha256(content.as_bytes()).hex())
}

/// `path=content path=content`
fn artifacts(text: &str) -> String {
    let one = |pair: &str| {
        let (path, content) = pair.split_once('=').unwrap();
        format!("{}:{}", Json::from(path), digest(content))
    };
    format!("{{{}}}", text.split_whitespace().map(one).collect::<Vec<_>>().join(","))
}

fn link(name: &str, materials: &str, products: &str) -> String {
    link_running(name, "[]", materials, products)
}

fn link_running(name: &str, command: &str, materials: &str, products: &str) -> String {
    let (materials, products) = (artifacts(materials), artifacts(products));
    format!(
        r#"{{"_type":"link","name":"{name}","command":{command},"materials":{materials},"products":{products},"byproducts":{{}},"environment":{{}}}}"#
    )
}

fn step(name: &str, pubkeys: &str, threshold: usize, materials: &str, products: &str) -> String {
    format!(
        r#"{{"_type":"step","name":"{name}","pubkeys":{pubkeys},"threshold":{threshold},"expected_command":[],"expected_materials":{materials},"expected_products":{products}}}"#
    )
}

fn layout(keys: &[String], steps: &[String], inspect: &str) -> String {
    format!(
        r#"{{"_type":"layout","expires":"2030-01-01T00:00:00Z","readme":"","keys":{{{}}},"steps":[{}],"inspect":[{inspect}]}}"#,
        keys.join(","),
        steps.join(",")
    )
}

/// One owner, and the functionaries `a`, `b` and `c`.
struct World {
    owner: SecretKey,
    people: [SecretKey; 3],
    links: Links,
}

impl World {
    fn new() -> Self {
        let people = [key(Scheme::Ed25519), key(Scheme::P256), key(Scheme::Ed25519)];
        Self { owner: key(Scheme::Ed25519), people, links: Links::new() }
    }

    fn keys(&self) -> Vec<String> {
        ["a", "b", "c"].iter().zip(&self.people).map(|(id, key)| listed(id, key.public())).collect()
    }

    /// A link by a person, at a file name with an id of eight digits.
    fn put(&mut self, step: &str, id: &str, person: usize, body: &str) {
        let bytes = old(body, &[&self.people[person]]);
        self.links.insert(format!("{step}.{id}.link"), bytes);
    }

    fn report(&self, body: &str) -> Report {
        self.read(body).unwrap_or_else(|e| panic!("{e}"))
    }

    fn read(&self, body: &str) -> Result<Report, String> {
        let owner = [self.owner.public().clone()];
        let given = Given {
            keys: &owner,
            links: &self.links,
            artifact: None,
            unpacked: None,
            at: parse_time(NOW).unwrap(),
        };
        verify(&old(body, &[&self.owner]), given).map_err(|e| e.to_string())
    }

    fn refused(&self, body: &str) -> String {
        self.read(body).expect_err("it was read")
    }
}

const ID: [&str; 3] = ["aaaaaaaa", "bbbbbbbb", "cccccccc"];

fn only_rule(report: &Report) -> (&'static str, &str) {
    assert_eq!(report.findings.len(), 1, "{report:?}");
    (report.findings[0].rule, &report.findings[0].found)
}

/// One step whose link has these artifacts, under these rules.
fn judged(materials: &str, products: &str, for_materials: &str, for_products: &str) -> Report {
    let mut world = World::new();
    world.put("make", ID[0], 0, &link("make", materials, products));
    let steps = [step("make", r#"["a"]"#, 1, for_materials, for_products)];
    world.report(&layout(&world.keys(), &steps, ""))
}

#[test]
fn each_word_takes_what_it_says_and_no_more() {
    let rules = |word: &str| format!(r#"[["{word}","*"],["DISALLOW","*"]]"#);
    let (before, after) = ("same=1 changed=1 gone=1", "same=1 changed=2 new=1");
    for (word, side, left) in [
        ("ALLOW", "products", None),
        ("CREATE", "products", Some("changed, same")),
        ("MODIFY", "products", Some("new, same")),
        ("DELETE", "products", Some("changed, new, same")),
        ("DELETE", "materials", Some("changed, same")),
        ("CREATE", "materials", Some("changed, gone, same")),
        ("MODIFY", "materials", Some("gone, same")),
    ] {
        let (m, p) =
            if side == "materials" { (rules(word), "[]".into()) } else { ("[]".into(), rules(word)) };
        let report = judged(before, after, &m, &p);
        match left {
            None => assert!(report.is_met(), "{word}: {report:?}"),
            Some(left) => {
                assert_eq!(only_rule(&report), ("artifact-rules", left), "{word} {side}");
                assert_eq!(report.findings[0].place, format!("step make, expected_{side}[1]"));
            }
        }
    }
}

#[test]
fn a_required_path_must_be_left_when_its_rule_comes() {
    assert!(judged("", "foo=1", "[]", r#"[["REQUIRE","foo"],["ALLOW","*"]]"#).is_met());
    let report = judged("", "foo=1", "[]", r#"[["ALLOW","*"],["REQUIRE","foo"]]"#);
    assert_eq!(only_rule(&report), ("artifact-rules", "it is absent, or an earlier rule took it"));
    assert!(report.findings[0].message.contains("foo"));
}

#[test]
fn match_compares_digests_at_the_same_path_below_both_prefixes() {
    let mut world = World::new();
    world.put("make", ID[0], 0, &link("make", "", "out/foo=1 out/bar=1"));
    let rules = r#"[["MATCH","*","IN","in","WITH","PRODUCTS","IN","out","FROM","make"],["DISALLOW","*"]]"#;
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]"), step("pack", r#"["b"]"#, 1, rules, "[]")];
    let body = layout(&world.keys(), &steps, "");
    world.put("pack", ID[1], 1, &link("pack", "in/foo=1", "x=1"));
    assert!(world.report(&body).is_met());
    for (materials, left) in [
        ("in/foo=2", "in/foo"),
        ("in/other=1", "in/other"),
        ("foo=1", "foo"),
        ("in/foo=1 inn/foo=1", "inn/foo"),
    ] {
        world.put("pack", ID[1], 1, &link("pack", materials, "x=1"));
        assert_eq!(only_rule(&world.report(&body)), ("artifact-rules", left), "{materials}");
    }
}

#[test]
fn a_match_under_md5_alone_matches_nothing() {
    let weak = |body: String| {
        body.replace("sha256", "md5").replace(&Digest::sha256(b"1").hex(), "c4ca4238a0b923820dcc509a6f75849b")
    };
    let mut world = World::new();
    world.put("make", ID[0], 0, &weak(link("make", "", "foo=1")));
    world.put("pack", ID[1], 1, &weak(link("pack", "foo=1", "")));
    let rules = r#"[["MATCH","*","WITH","PRODUCTS","FROM","make"],["DISALLOW","*"]]"#;
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]"), step("pack", r#"["b"]"#, 1, rules, "[]")];
    assert_eq!(only_rule(&world.report(&layout(&world.keys(), &steps, ""))), ("artifact-rules", "foo"));
}

#[test]
fn a_threshold_counts_keys_not_files_signatures_or_ids() {
    let mut world = World::new();
    let body = link("make", "", "foo=1");
    // one key under two ids, in two files, and twice in one
    let mut keys = world.keys();
    keys.push(listed("again", world.people[0].public()));
    let steps = [step("make", r#"["a","again","b"]"#, 2, "[]", "[]")];
    let two = layout(&keys, &steps, "");
    world.put("make", ID[0], 0, &body);
    world.put("make", ID[2], 0, &body);
    world.links.insert("make.dddddddd.link".to_owned(), old(&body, &[&world.people[0], &world.people[0]]));
    let report = world.report(&two);
    assert_eq!(only_rule(&report), ("links-signed", "1 that count"));
    assert!(report.findings[0].wanted.contains("2 different keys"), "{report:?}");
    // somebody whom the step does not list
    world.put("make", "eeeeeeee", 2, &body);
    let report = world.report(&two);
    assert_eq!(only_rule(&report), ("links-signed", "1 that count"));
    assert!(report.ignored.iter().any(|why| why.contains("make.eeeeeeee.link: no signature")), "{report:?}");
    world.put("make", ID[1], 1, &body);
    let report = world.report(&two);
    assert!(report.is_met(), "{report:?}");
    assert_eq!(report.steps[0].keys.len(), 2);
}

#[test]
fn links_that_differ_are_never_picked_from() {
    for threshold in [1, 2] {
        let mut world = World::new();
        world.put("make", ID[0], 0, &link("make", "", "foo=1"));
        world.put("make", ID[1], 1, &link("make", "", "foo=2"));
        let steps = [step("make", r#"["a","b"]"#, threshold, "[]", "[]")];
        let report = world.report(&layout(&world.keys(), &steps, ""));
        assert_eq!(only_rule(&report).0, "links-agree");
        assert!(only_rule(&report).1.ends_with(" differ"), "{report:?}");
    }
    let mut world = World::new();
    world.put("make", ID[0], 0, &link("make", "", "foo=1"));
    world.put("make", ID[1], 0, &link("make", "", "foo=2"));
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]")];
    assert_eq!(only_rule(&world.report(&layout(&world.keys(), &steps, ""))).0, "links-agree");
}

#[test]
fn a_link_of_another_step_by_the_same_functionary_does_not_count() {
    let mut world = World::new();
    world.put("make", ID[0], 0, &link("draft", "", "foo=1"));
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]")];
    let report = world.report(&layout(&world.keys(), &steps, ""));
    assert_eq!(only_rule(&report), ("links-signed", "0 that count"));
    assert_eq!(report.ignored, ["make.aaaaaaaa.link: it is of step `draft`"]);
}

#[test]
fn another_command_is_a_finding() {
    let mut world = World::new();
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]")
        .replace(r#""expected_command":[]"#, r#""expected_command":["make","all"]"#)];
    let body = layout(&world.keys(), &steps, "");
    world.put("make", ID[0], 0, &link_running("make", r#"["make","all"]"#, "", "foo=1"));
    assert!(world.report(&body).is_met());
    world.put("make", ID[0], 0, &link_running("make", r#"["make all"]"#, "", "foo=1"));
    let report = world.report(&body);
    assert_eq!(only_rule(&report).0, "command-expected");
}

#[test]
fn an_inspection_is_named_and_never_run() {
    let mut world = World::new();
    world.put("make", ID[0], 0, &link("make", "", "foo=1"));
    let dir = std::env::temp_dir().join(format!("portcullis-inspection-{}", std::process::id()));
    let inspect = format!(
        r#"{{"_type":"inspection","name":"look","run":["touch",{}],"expected_materials":[],"expected_products":[]}}"#,
        Json::from(dir.display().to_string())
    );
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]")];
    let report = world.report(&layout(&world.keys(), &steps, &inspect));
    assert!(report.findings.is_empty() && !report.is_met());
    assert_eq!(report.undecided[0].place, "inspection look");
    assert!(!dir.exists());
}

/// A layout that functionary `a` hands in for the step `make`, with one step done by `c`.
fn sublayout(world: &mut World, name: &str, inner_key: usize) {
    let people = ["a", "b", "c"];
    let keys = vec![listed(people[inner_key], world.people[inner_key].public())];
    let steps = [step(
        "inner",
        &format!(r#"["{}"]"#, people[inner_key]),
        1,
        "[]",
        r#"[["CREATE","foo"],["DISALLOW","*"]]"#,
    )];
    world.put("make", ID[0], 0, &layout(&keys, &steps, ""));
    let inner = old(&link("inner", "", "foo=1"), &[&world.people[inner_key]]);
    world.links.insert(format!("{name}/inner.cccccccc.link"), inner);
}

#[test]
fn a_sublayout_stands_for_its_step() {
    let mut world = World::new();
    sublayout(&mut world, "make.aaaaaaaa", 2);
    let rules = r#"[["MATCH","foo","WITH","PRODUCTS","FROM","make"],["DISALLOW","*"]]"#;
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]"), step("pack", r#"["b"]"#, 1, rules, "[]")];
    let body = layout(&world.keys(), &steps, "");
    world.put("pack", ID[1], 1, &link("pack", "foo=1", "x=1"));
    let report = world.report(&body);
    assert!(report.is_met(), "{report:?}");
    // what is wrong below is told with its place, and the step does not count
    let inner = old(&link("inner", "", "foo=1 extra=1"), &[&world.people[2]]);
    world.links.insert("make.aaaaaaaa/inner.cccccccc.link".to_owned(), inner);
    let report = world.report(&body);
    assert_eq!(report.findings[0].rule, "artifact-rules");
    assert_eq!(report.findings[0].place, "sublayout of step make: step inner, expected_products[1]");
    assert_eq!(report.findings[1].rule, "links-signed");
}

#[test]
fn a_sublayout_is_signed_by_its_functionary_and_has_links_of_its_own() {
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]")];
    let mut world = World::new();
    sublayout(&mut world, "elsewhere", 2);
    let report = world.report(&layout(&world.keys(), &steps, ""));
    assert_eq!(report.findings[0].place, "sublayout of step make: step inner");
    assert_eq!(report.findings[0].rule, "links-signed");
    let mut world = World::new();
    sublayout(&mut world, "make.aaaaaaaa", 2);
    let stolen = world.links["make.aaaaaaaa.link"].clone();
    world.links.insert("make.aaaaaaaa.link".to_owned(), {
        let text = String::from_utf8(stolen).unwrap();
        text.replace("2030-01-01", "2031-01-01").into_bytes()
    });
    let report = world.report(&layout(&world.keys(), &steps, ""));
    assert_eq!(only_rule(&report), ("links-signed", "0 that count"));
}

#[test]
fn layouts_in_layouts_end_somewhere() {
    let mut world = World::new();
    let keys = world.keys();
    let nested = layout(&keys, &[step("make", r#"["a"]"#, 1, "[]", "[]")], "");
    let mut folder = String::new();
    for _ in 0..8 {
        let bytes = old(&nested, &[&world.people[0]]);
        world.links.insert(format!("{folder}make.aaaaaaaa.link"), bytes);
        folder.push_str("make.aaaaaaaa/");
    }
    let report = world.report(&nested);
    assert!(report.ignored.iter().any(|why| why.contains("more than 4 deep")), "{report:?}");
    assert!(report.findings.iter().all(|f| f.rule == "links-signed") && !report.findings.is_empty());
}

#[test]
fn a_key_is_what_its_bytes_are_whatever_it_is_called() {
    let mut world = World::new();
    world.put("make", ID[1], 1, &link("make", "", "foo=1"));
    let steps = [step("make", r#"["b"]"#, 1, "[]", "[]")];
    let good = layout(&world.keys(), &steps, "");
    assert!(world.report(&good).is_met());
    for (from, to, why) in [
        ("\"ecdsa-sha2-nistp256\"", "\"rsassa-pss-sha256\"", "a key of type ecdsa for rsassa-pss-sha256"),
        ("\"ecdsa-sha2-nistp256\"", "\"ecdsa-sha2-nistp384\"", "it is a key for p256"),
    ] {
        let report = world.report(&good.replace(from, to));
        assert_eq!(report.findings[0].rule, "links-signed");
        assert!(report.findings[0].found.contains(why), "{report:?}");
    }
}

#[test]
fn signatures_that_are_not_verified_here_are_named_and_count_for_nobody() {
    let mut world = World::new();
    let body = link("make", "", "foo=1");
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]")];
    let layout = layout(&world.keys(), &steps, "");
    let good = String::from_utf8(old(&body, &[&world.people[0]])).unwrap();
    for (field, why) in
        [("\"other_headers\":\"04\",", "an OpenPGP signature"), ("\"cert\":\"x\",", "under a certificate")]
    {
        let text = good.replace("\"keyid\"", &format!("{field}\"keyid\""));
        world.links.insert("make.aaaaaaaa.link".to_owned(), text.into_bytes());
        let report = world.report(&layout);
        assert_eq!(only_rule(&report).0, "links-signed");
        assert!(report.ignored[0].contains(why), "{report:?}");
    }
}

#[test]
fn a_link_in_dsse_counts_and_one_of_another_type_does_not() {
    let mut world = World::new();
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]")];
    let layout = layout(&world.keys(), &steps, "");
    let body = link("make", "", "foo=1");
    world.links.insert("make.aaaaaaaa.link".to_owned(), dsse(&body, &world.people[0]));
    assert!(world.report(&layout).is_met());
    let other = Dsse::sign("application/json", body.as_bytes(), &[&world.people[0]]).unwrap();
    world.links.insert("make.aaaaaaaa.link".to_owned(), other.to_json().to_string().into_bytes());
    let report = world.report(&layout);
    assert_eq!(only_rule(&report).0, "links-signed");
    assert!(report.ignored[0].contains("payloadType"), "{report:?}");
    // the same bytes, signed in the other form: a signature of one form is none of the other
    let signature = world.people[0].sign(&canonical(&json(&body).into()).unwrap()).unwrap();
    let mixed = Dsse {
        payload_type: IN_TOTO.to_owned(),
        payload: body.into_bytes(),
        signatures: vec![attest::dsse::Signature { hint: None, bytes: signature }],
    };
    world.links.insert("make.aaaaaaaa.link".to_owned(), mixed.to_json().to_string().into_bytes());
    assert_eq!(only_rule(&world.report(&layout)).0, "links-signed");
}

#[test]
fn an_artifact_must_be_a_product_of_the_last_step() {
    let mut world = World::new();
    world.put("make", ID[0], 0, &link("make", "", "foo=1"));
    let steps = [step("make", r#"["a"]"#, 1, "[]", "[]")];
    let body = old(&layout(&world.keys(), &steps, ""), &[&world.owner]);
    let owner = [world.owner.public().clone()];
    let check = |content: &str| {
        let digests = DigestSet::from(Digest::sha256(content.as_bytes()));
        let given = Given {
            keys: &owner,
            links: &world.links,
            artifact: Some(&digests),
            unpacked: None,
            at: parse_time(NOW).unwrap(),
        };
        verify(&body, given).unwrap()
    };
    assert!(check("1").is_met());
    assert_eq!(only_rule(&check("2")), ("artifact-produced", "1 others: foo"));
}
