//! Build definitions and build records: everything wrong has its place, and nothing slips into a signature.

use attest::{Json, Object};
use builder::{Base, BuildDefinition, BuildRecord, FetchError, Fetcher, Input, Offline, Store, StoreError};

const SHA: &str = "9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c9f3c";

fn toolchain() -> String {
    format!("toolchain: {{ uri: t, sha256: \"{SHA}\" }}\n")
}

#[test]
fn a_definition_is_read_whole() {
    let text = format!(
        "{}inputs:\n  - {{ uri: \"file:///a\", sha256: \"{SHA}\", name: a.tar }}\ntargets:\n  shop:\n    command: [make, all]\n    outputs: [bin/shop]\n    environment: {{ FLAVOUR: release }}\n    time: 5m\n",
        toolchain()
    );
    let definition = BuildDefinition::parse("portcullis.build.yaml", &text).unwrap();
    let target = definition.target("shop").unwrap();
    assert_eq!(
        (target.action.command.len(), target.outputs[0].as_str(), target.action.limits.time.as_seconds()),
        (2, "bin/shop", 300)
    );
    assert_eq!(definition.inputs[0].name, "a.tar");
    assert!(definition.target("other").is_none());
}

#[test]
fn packages_tests_and_limits_are_read() {
    let text = "toolchain:\n  debian: { suite: bookworm, packages: [gcc, libc6-dev] }\n  links: { usr/bin/cc: gcc }\nlock: { cargo: Cargo.lock }\ntests:\n  unit: { command: [sh, t.sh], junit: out/report.xml }\ntargets:\n  shop:\n    command: [make]\n    outputs: [shop]\n    memory: 2GiB\n    processes: 16\n    disk: 100MiB\n    files: 1000\n    tests: [unit]\n";
    let definition = BuildDefinition::parse("portcullis.build.yaml", text).unwrap();
    let Base::Debian { suite, packages } = &definition.toolchain.base else { panic!() };
    assert_eq!((suite.as_deref(), packages.len()), (Some("bookworm"), 2));
    assert_eq!(definition.toolchain.links, [("usr/bin/cc".to_owned(), "gcc".to_owned())]);
    assert_eq!(definition.lock, [("cargo".to_owned(), "Cargo.lock".to_owned())]);
    let target = definition.target("shop").unwrap();
    let limits = target.action.limits;
    assert_eq!((limits.memory, limits.processes, limits.disk, limits.files), (2 << 30, 16, 100 << 20, 1000));
    assert_eq!(target.tests, ["unit"]);
    assert_eq!(definition.test("unit").unwrap().junit.as_deref(), Some("out/report.xml"));
}

/// Gives the same bytes for whatever URI.
struct Same(&'static [u8]);
impl Fetcher for Same {
    fn fetch(&self, uri: &str, limit: u64, out: &mut dyn std::io::Write) -> Result<(), FetchError> {
        assert!(limit > 0);
        out.write_all(self.0).map_err(|e| FetchError { uri: uri.to_owned(), why: e.to_string() })
    }
}

#[test]
fn what_the_network_gives_counts_by_its_digest_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let digest = attest::Digest::sha256(b"declared");
    let input = Input { uri: "https://h.example/x".to_owned(), digest, name: "x".to_owned(), built_by: None };
    let StoreError::Digest { found, .. } = store.fetch(&input, &Same(b"substituted")).unwrap_err() else {
        panic!()
    };
    assert_eq!(found, attest::Digest::sha256(b"substituted"));
    assert_eq!(
        std::fs::read_dir(dir.path().join("sha256")).unwrap().count(),
        0,
        "nothing undeclared is kept"
    );
    let path = store.fetch(&input, &Same(b"declared")).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), b"declared");
    assert!(store.fetch(&input, &Offline).is_ok(), "and then it is in the store");
}

#[test]
fn everything_wrong_with_a_definition_has_its_place() {
    let target = |inner: &str| format!("{}targets:\n  t: {{ {inner} }}\n", toolchain());
    for (text, word, line) in [
        (String::new(), "empty", 1),
        ("targets: {}\n".to_owned(), "`toolchain`", 1),
        (toolchain(), "`targets`", 1),
        (target("command: [make]"), "`outputs`", 3),
        (target("outputs: [a]"), "`command`", 3),
        (target("command: [], outputs: [a]"), "words of a command", 3),
        (target("command: make, outputs: [a]"), "a list", 3),
        (target("command: [make], outputs: [/etc/passwd]"), "no path below the source", 3),
        (target("command: [make], outputs: [a/../../b]"), "no path below the source", 3),
        (target("command: [make], outputs: [a/x, b/x]"), "cannot be published under its name", 3),
        (target("command: [make], outputs: [x.sigstore.json]"), "cannot be published under its name", 3),
        (target("command: [make], outputs: [a], environment: { PATH: /evil }"), "fixed in every build", 3),
        (target("command: [make], outputs: [a], environment: { LD_PRELOAD: x }"), "fixed in every build", 3),
        (target("command: [make], outputs: [a], time: forever"), "span of time", 3),
        (target("command: [make], outputs: [a], network: true"), "unknown key `network`", 3),
        (target("command: [make], outputs: [a], time: 30d"), "up to 24h", 3),
        (target("command: [make], outputs: [a], memory: lots"), "512MiB", 3),
        (target("command: [make], outputs: [a], processes: 0"), "from 1 to", 3),
        (target("command: [make], outputs: [a], tests: [unit]"), "no test `unit`", 3),
        (target("command: [make], outputs: [.hidden]"), "cannot be published under its name", 3),
        (target("command: [make], outputs: [a], environment: { API_TOKEN: x }"), "looks like a secret", 3),
        (target("command: [curl, \"https://bob:pw@h.example/\"], outputs: [a]"), "looks like a secret", 3),
        (target("command: [make], outputs: [a], environment: { \"A B\": x }"), "name of a variable", 3),
        (
            format!(
                "{}lock: {{ crago: Cargo.lock }}\ntargets: {{ t: {{ command: [m], outputs: [a] }} }}\n",
                toolchain()
            ),
            "nothing is known to lock for `crago`",
            2,
        ),
        (
            "toolchain: { debian: { packages: [GCC] } }\ntargets: { t: { command: [m], outputs: [a] } }\n"
                .to_owned(),
            "no name of a Debian package",
            1,
        ),
        (
            format!(
                "toolchain: {{ uri: t, sha256: \"{SHA}\", debian: {{ packages: [gcc] }} }}\ntargets: {{ t: {{ command: [m], outputs: [a] }} }}\n"
            ),
            "one archive, or Debian packages, not both",
            1,
        ),
        (
            format!(
                "toolchain: {{ uri: t, sha256: \"{SHA}\", links: {{ ../x: gcc }} }}\ntargets: {{ t: {{ command: [m], outputs: [a] }} }}\n"
            ),
            "a path in the root",
            1,
        ),
        (
            format!(
                "{}inputs: [{{ uri: u, sha256: \"{SHA}\", name: x }}, {{ uri: v, sha256: \"{SHA}\", name: x }}]\ntargets: {{ t: {{ command: [m], outputs: [a] }} }}\n",
                toolchain()
            ),
            "two inputs are called `x`",
            2,
        ),
        (
            format!(
                "toolchain: {{ uri: t, sha256: \"AB\" }}\n{}",
                "targets: { t: { command: [m], outputs: [a] } }\n"
            ),
            "lower-case hex",
            1,
        ),
        (
            format!(
                "{}inputs: [{{ uri: u, sha256: \"{SHA}\", name: ../x }}]\ntargets: {{ t: {{ command: [m], outputs: [a] }} }}\n",
                toolchain()
            ),
            "path below /build/inputs",
            2,
        ),
        (
            format!(
                "{}inputs: [{{ uri: u, name: x }}]\ntargets: {{ t: {{ command: [m], outputs: [a] }} }}\n",
                toolchain()
            ),
            "`sha256`",
            2,
        ),
    ] {
        let errors = BuildDefinition::parse("portcullis.build.yaml", &text).unwrap_err();
        let found = errors.iter().find(|e| e.message.contains(word));
        assert!(found.is_some_and(|e| e.place.line == line), "{word} at {line}: {errors:?}\n{text}");
    }
}

fn record() -> Object {
    let text = format!(
        r#"{{"name":"shop","digest":"sha256:{SHA}","predicate":{{"buildDefinition":{{"buildType":"https://portcullis.dev/build/git/v1","externalParameters":{{"source":{{"repository":"r","ref":"refs/heads/main"}},"target":"t"}},"internalParameters":{{"portcullis_hermetic":true}},"resolvedDependencies":[{{"uri":"git+r","digest":{{"gitCommit":"{}"}},"annotations":{{"role":"source"}}}}]}},"runDetails":{{"builder":{{"id":""}},"metadata":{{"finishedOn":"2026-01-01T00:00:00Z"}}}}}}}}"#,
        "a".repeat(40)
    );
    attest::json::parse(text.as_bytes()).unwrap().as_object().unwrap().clone()
}

#[test]
fn a_record_survives_the_way_to_the_signer() {
    let read = BuildRecord::read(&Json::Object(record())).unwrap();
    assert_eq!(BuildRecord::read(&read.to_json()).unwrap(), read);
}

#[test]
fn the_signer_takes_nothing_but_its_own_kind_of_record() {
    let change = |from: &str, to: &str| {
        let text = record().to_string();
        assert!(text.contains(from), "{from}");
        let json = attest::json::parse(text.replacen(from, to, 1).as_bytes()).unwrap();
        BuildRecord::read(&json).map(|_| ()).unwrap_err().to_string()
    };
    assert!(
        change(r#""id":"""#, r#""id":"https://ci.example/official""#).contains("without a builder"),
        "a build cannot say who built it"
    );
    assert!(change("build/git/v1", "build/other/v1").contains("without a builder"));
    assert!(change(r#""name":"shop","#, r#""name":"shop","key":"x","#).contains("alone"), "unknown fields");
    assert!(change("gitCommit", "sha512").contains("sha512"));
    assert!(change(r#""finishedOn":"2026-01-01T00:00:00Z""#, r#""x":1"#).contains("a time"));
    assert!(change(&format!("sha256:{SHA}"), "md5:00").contains("digest"));
}

#[test]
fn an_input_with_another_digest_never_reaches_a_build() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("input");
    std::fs::write(&file, b"substituted").unwrap();
    let store = Store::new(&dir.path().join("store"));
    let input = |uri: String, bytes: &[u8]| Input {
        uri,
        digest: attest::Digest::sha256(bytes),
        name: "i".to_owned(),
        built_by: None,
    };
    let uri = format!("file://{}", file.display());
    let web = builder::Web::new(&[], &[]);
    // a definition that names a file of the orchestrator's gets nothing, and learns nothing about it
    let refused = store.fetch(&input(uri.clone(), b"substituted"), &web).unwrap_err();
    assert!(
        matches!(refused, StoreError::Missing(..)) && refused.to_string().contains("only http"),
        "{refused}"
    );
    assert!(matches!(
        store.fetch(&input("file:///dev/zero".to_owned(), b"x"), &web),
        Err(StoreError::Missing(..))
    ));
    // somebody edits the store: the bytes are hashed each time
    let digest = store.put(&file).unwrap();
    assert!(store.fetch(&input(uri, b"substituted"), &Offline).is_ok());
    std::fs::write(dir.path().join("store/sha256").join(digest.hex()), b"evil").unwrap();
    assert!(matches!(
        store.fetch(&input("x".to_owned(), b"substituted"), &Offline),
        Err(StoreError::Digest { .. })
    ));
}

#[test]
fn a_wrong_digest_takes_nothing_from_another_project() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let input = |bytes: &[u8]| Input {
        uri: "https://h.example/x".to_owned(),
        digest: attest::Digest::sha256(bytes),
        name: "x".to_owned(),
        built_by: None,
    };
    let theirs = store.fetch(&input(b"theirs"), &Same(b"theirs")).unwrap();
    let refused = store.fetch(&input(b"declared"), &Same(b"theirs")).unwrap_err();
    assert!(matches!(refused, StoreError::Digest { .. }), "{refused}");
    assert!(theirs.exists(), "an input that another project declared is still there");
}

#[test]
fn a_uri_that_never_gave_a_file_is_asked_before_provenance_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let input = |uri: &str| Input {
        uri: uri.to_owned(),
        digest: attest::Digest::sha256(b"bytes"),
        name: "x".to_owned(),
        built_by: None,
    };
    let (mine, claimed) = (input("https://evil.example/x"), input("https://trusted.example/x"));
    store.fetch(&mine, &Same(b"bytes")).unwrap();
    let refused = store.fetch(&claimed, &Offline).unwrap_err();
    assert!(matches!(refused, StoreError::Origin(..)), "{refused}");
    assert!(refused.to_string().contains("but not from https://trusted.example/x"), "{refused}");
    assert!(matches!(store.fetch(&claimed, &Same(b"other")), Err(StoreError::Digest { .. })));
    assert!(store.fetch(&mine, &Offline).is_ok(), "the one who fetched it keeps it");
    store.fetch(&claimed, &Same(b"bytes")).unwrap();
    assert!(store.fetch(&claimed, &Offline).is_ok(), "and now it gave it");
    // the operator vouches for it, whatever anybody calls it
    let file = dir.path().join("file");
    std::fs::write(&file, b"bytes").unwrap();
    store.put(&file).unwrap();
    assert!(store.fetch(&input("put"), &Offline).is_ok());
}

#[test]
fn every_bundle_of_the_same_bytes_is_kept_and_none_is_anybodys_input() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let artifact = attest::Digest::sha256(b"artifact");
    let first = store.keep_bundle(&artifact, b"first").unwrap();
    let second = store.keep_bundle(&artifact, b"second").unwrap();
    let folder = store.folder("provenance");
    let read = |name: String| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(read(format!("{}.sigstore.json", artifact.hex())), "first", "the first is never replaced");
    assert_eq!(read(format!("{}/{}.sigstore.json", artifact.hex(), second.hex())), "second");
    store.keep_bundle(&artifact, b"first").unwrap();
    assert!(!folder.join(artifact.hex()).join(format!("{}.sigstore.json", first.hex())).exists(), "once");
    let input =
        Input { uri: "https://h.example/x".to_owned(), digest: second, name: "x".to_owned(), built_by: None };
    assert!(matches!(store.fetch(&input, &Offline), Err(StoreError::Missing(..))));
    let proven = Input { built_by: Some("local".to_owned()), ..input };
    assert!(
        store.fetch(&proven, &Offline).is_ok(),
        "only an input whose provenance is asked for sees outputs"
    );
}
