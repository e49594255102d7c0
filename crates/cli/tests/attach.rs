//! Evidence is brought beside an artifact: into a folder, to a choke point, into a manifest; or it is said why not.

#[path = "tools/port.rs"]
mod port;
mod tools;

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use attest::{Digest, Json};
use evidence::Store;
use port::free_port;
use tools::{code, expect, path, portcullis, stderr, stdout};

struct Setting {
    dir: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        expect(0, &["init", path(&dir.path().join("deploy"))]);
        fs::write(dir.path().join("shop"), b"the artifact").unwrap();
        fs::write(dir.path().join("other"), b"another artifact").unwrap();
        let setting = Self { dir };
        setting.test_of(&setting.at("shop"), "test.json");
        setting.test_of(&setting.at("other"), "other.json");
        let commit = "gitCommit:4b825dc642cb6eb9a060e54bf8d69288fbee4904";
        let (key, out) = (setting.at("deploy/keys/forge.key"), setting.at("review.json"));
        let people = ["--author", "alice@acme.example", "--reviewer", "bob@acme.example"];
        let repository = ["--repository", "https://github.com/acme/shop", "--key", &key, "--out", &out];
        expect(0, &[&["attest", "review", commit], &people[..], &repository[..]].concat());
        setting
    }

    fn at(&self, name: &str) -> String {
        path(&self.dir.path().join(name)).to_owned()
    }

    fn test_of(&self, subject: &str, out: &str) {
        let (key, out) = (self.at("deploy/keys/ci-tests.key"), self.at(out));
        let result = ["--name", "unit", "--result", "passed", "--key", &key, "--out", &out];
        expect(0, &[&["attest", "test", subject], &result[..]].concat());
    }

    fn digest(&self) -> Digest {
        Digest::sha256(b"the artifact")
    }

    fn store(&self) -> Store {
        Store::new(Path::new(&self.at("deploy/evidence")))
    }

    /// The digest under which a bundle is stored.
    fn named(&self, bundle: &str) -> Digest {
        Digest::sha256(&evidence::compact(&fs::read(self.at(bundle)).unwrap()).unwrap())
    }

    fn attach(&self, artifact: &str, more: &[&str]) -> std::process::Output {
        let test = self.at("test.json");
        portcullis(&[&["attach", artifact, "--bundle", &test], more].concat())
    }

    fn json(&self, artifact: &str, more: &[&str]) -> Json {
        let output = self.attach(artifact, &[more, &["--format", "json"]].concat());
        assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
        attest::json::parse(stdout(&output).as_bytes()).unwrap()
    }

    /// Attaches with a manifest, and gives the text that comes out.
    fn manifest(&self, text: &str, more: &[&str]) -> std::process::Output {
        fs::write(self.at("deploy.yaml"), text).unwrap();
        let (manifest, store) = (self.at("deploy.yaml"), self.at("deploy/evidence"));
        self.attach(&self.at("shop"), &[&["--store", &store, "--manifest", &manifest], more].concat())
    }

    fn annotated(&self, text: &str) -> String {
        let output = self.manifest(text, &[]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output)
    }
}

#[test]
fn a_set_lies_beside_the_artifact_and_the_next_takes_its_place() {
    let setting = Setting::new();
    let (store, review) = (setting.at("deploy/evidence"), setting.at("review.json"));
    let more = ["--bundle", &review, "--store", &store, "--tag", "registry.example/shop:1.4"];
    let output = setting.attach(&setting.at("shop"), &more);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let (test, reviewed) = (setting.named("test.json"), setting.named("review.json"));
    let text = stdout(&output);
    assert!(text.contains(&format!("portcullis.dev/evidence-digest: \"{test},{reviewed}\"")), "{text}");
    assert!(text.contains("registry.example/shop:1.4 stands for it"), "{text}");
    assert!(text.contains("review.json, about a commit"), "{text}");
    let digest = setting.digest();
    assert_eq!(setting.store().attached(&digest).unwrap(), Some(vec![test.clone(), reviewed.clone()]));
    assert_eq!(setting.store().tagged("registry.example/shop", "1.4").unwrap().unwrap().digest, digest);
    // another way to say which artifact; the older bundle stays
    let named = format!("registry.example/shop@{digest}");
    assert_eq!(code(&setting.attach(&named, &["--store", &store])), 0);
    assert_eq!(setting.store().attached(&digest).unwrap(), Some(vec![test.clone()]));
    assert!(setting.store().get(&reviewed).unwrap().is_some());
    // the same bundle twice, and with other blanks, is one
    let pretty = attest::json::parse(&fs::read(setting.at("test.json")).unwrap()).unwrap().pretty();
    fs::write(setting.at("pretty.json"), pretty).unwrap();
    let pretty = setting.at("pretty.json");
    let json = setting.json(&digest.to_string(), &["--bundle", &pretty, "--store", &store]);
    let object = json.as_object().unwrap();
    assert_eq!(object.array("bundles").unwrap().len(), 1);
    assert_eq!(object.object("annotation").unwrap().string("value").unwrap(), test.to_string());
}

#[test]
fn what_is_about_something_else_is_not_attached() {
    let setting = Setting::new();
    let (store, other) = (setting.at("deploy/evidence"), setting.at("other.json"));
    let output = setting.attach(&setting.at("shop"), &["--bundle", &other, "--store", &store]);
    assert_eq!(code(&output), 1);
    let text = stderr(&output);
    assert!(text.contains("other.json is not about this artifact"), "{text}");
    assert!(text.contains(&format!("one about {}", Digest::sha256(b"another artifact"))), "{text}");
    fs::write(setting.at("noise.json"), "{}").unwrap();
    let noise = setting.at("noise.json");
    let output = setting.attach(&setting.at("shop"), &["--bundle", &noise, "--store", &store]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("noise.json is no bundle"), "{}", stderr(&output));
    assert_eq!(setting.store().attached(&setting.digest()).unwrap(), None, "nothing is half-attached");
    assert_eq!(setting.store().get(&setting.named("test.json")).unwrap(), None);
}

#[test]
fn what_is_missing_or_wrong_is_said() {
    let setting = Setting::new();
    let (shop, store, noise) = (setting.at("shop"), setting.at("deploy/evidence"), setting.at("shop"));
    for (artifact, more, words) in [
        (shop.as_str(), vec![], "nothing says where the evidence goes"),
        ("sha256:77", vec!["--store", &store], "neither a file nor a digest"),
        ("/absent", vec!["--store", &store], "cannot read the artifact"),
        ("gitCommit:4b825dc642cb6eb9a060e54bf8d69288fbee4904", vec!["--store", &store], "has no sha256"),
        (&shop, vec!["--store", &store, "--bundle", "/absent"], "cannot read the bundle"),
        (&shop, vec!["--store", &store, "--tag", "shop:1.4"], "name the registry"),
        (&shop, vec!["--store", &store, "--tag", "registry.example/shop"], "REGISTRY/REPOSITORY:TAG"),
        (&shop, vec!["--store", &store, "--tag", "docker.io/shop:1"], "docker.io/library"),
        (&shop, vec!["--store", &store, "--tag", "registry.example/Shop:1"], "REGISTRY/REPOSITORY:TAG"),
        (&shop, vec!["--store", &noise], "the evidence store does not take it"),
        (&shop, vec!["--store", &store, "--manifest", "/absent"], "cannot read the manifest"),
        (&shop, vec!["--server", "http://127.0.0.1"], "is no https:// address"),
        (&shop, vec!["--server", "https://127.0.0.1:1"], "cannot be used"),
        (&shop, vec!["--server", "https://127.0.0.1:1", "--store", &store], "cannot be used with"),
    ] {
        let output = setting.attach(artifact, &more);
        assert_eq!(code(&output), 2, "{more:?}");
        assert!(stderr(&output).contains(words), "{more:?}: {}", stderr(&output));
    }
}

#[test]
fn evidence_can_be_carried_in_the_annotation() {
    let setting = Setting::new();
    let json = setting.json(&setting.at("shop"), &["--inline"]);
    let annotation = json.as_object().unwrap().object("annotation").unwrap().clone();
    assert_eq!(annotation.string("name").unwrap(), "portcullis.dev/evidence");
    let packed = attest::dsse::base64(annotation.string("value").unwrap()).unwrap();
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut unpacked).unwrap();
    let bundle = evidence::compact(&fs::read(setting.at("test.json")).unwrap()).unwrap();
    assert_eq!(unpacked, format!("[{}]", String::from_utf8(bundle).unwrap()));
    let again = setting.json(&setting.at("shop"), &["--inline"]);
    assert_eq!(again, json, "the same bundles give the same text");
}

#[test]
fn an_annotation_that_kubernetes_would_not_take_is_refused() {
    let setting = Setting::new();
    // a JWT-free envelope about the artifact, with noise that does not pack
    let mut noise = vec![0; 300 << 10];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    let predicate = attest::Object::new().with("noise", attest::digest::to_hex(&noise));
    let statement =
        attest::Statement::write("shop", &setting.digest().into(), "https://example.com/noise", predicate);
    let key = attest::SecretKey::generate(attest::Scheme::P256).unwrap();
    let dsse = attest::dsse::Dsse::sign(attest::dsse::IN_TOTO, statement.as_bytes(), &[&key]).unwrap();
    fs::write(setting.at("large.json"), Json::from(dsse.to_json()).to_string()).unwrap();
    let large = setting.at("large.json");
    let output = setting.attach(&setting.at("shop"), &["--bundle", &large, "--inline"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("too large for an annotation"), "{}", stderr(&output));
    assert!(stderr(&output).contains("leave --inline out"), "{}", stderr(&output));
}

#[test]
fn a_manifest_keeps_every_byte_but_for_the_annotation() {
    let setting = Setting::new();
    let (digest, bundle) = (setting.digest(), setting.named("test.json"));
    let entry = format!("portcullis.dev/evidence-digest: \"{bundle}\"");
    // the text, and what stands before and after the place at which one line comes in
    for (before, line, after) in [
        // annotations are there, with a comment of their own
        (
            "# ours\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  replicas: 2   # two\n  template:\n    metadata:\n      annotations:   # these\n",
            format!("        {entry}\n"),
            format!(
                "        # why\n        a: \"b\"\n    spec:\n      containers:\n      - name: shop\n        image: r.example/shop@{digest}\n        args: [--x, 'y']\n"
            ),
        ),
        // labels only
        (
            "kind: CronJob\nspec:\n  jobTemplate:\n    spec:\n      template:\n        metadata:\n",
            format!("          annotations:\n            {entry}\n"),
            format!(
                "          labels: {{a: b}}\n        spec:\n          initContainers:\n            - image: \"r.example/shop:1@{digest}\"\n"
            ),
        ),
        // no metadata
        (
            "kind: Job\nspec:\n  template:\n",
            format!("    metadata:\n      annotations:\n        {entry}\n"),
            format!("    spec:\n      containers: [{{image: r.example/shop@{digest}}}]\n"),
        ),
        // the second of two documents, a Pod
        (
            "kind: ConfigMap\ndata:\n  x: |\n    image: nothing\n---\n# a pod\nkind: Pod\nmetadata:\n",
            format!("  annotations:\n    {entry}\n"),
            format!(
                "  name: p\nspec:\n  containers:\n  - image: r.example/shop@{digest}\n---\nkind: Namespace\n"
            ),
        ),
        // a list, in which a Pod has no metadata
        (
            "kind: List\nitems:\n- ",
            format!("metadata:\n    annotations:\n      {entry}\n  "),
            format!("kind: Pod\n  spec:\n    containers:\n    - image: r.example/shop@{digest}\n"),
        ),
        // JSON is YAML
        (
            "{\"kind\": \"Pod\", \"metadata\": {",
            format!("\"annotations\": {{\"portcullis.dev/evidence-digest\": \"{bundle}\"}}, "),
            format!(
                "\"name\": \"p\"}}, \"spec\": {{\"containers\": [{{\"image\": \"r.example/shop@{digest}\"}}]}}}}\n"
            ),
        ),
        // an empty map, and characters of several bytes before it
        (
            "kind: Pod\nmetadata: {name: \"é€\", annotations: {",
            format!("\"portcullis.dev/evidence-digest\": \"{bundle}\""),
            format!("}}}}\nspec:\n  containers:\n  - image: r.example/shop@{digest}\n"),
        ),
    ] {
        assert_eq!(setting.annotated(&format!("{before}{after}")), format!("{before}{line}{after}"));
    }
    // lines that end as another system ends them
    let windows = format!(
        "kind: Pod\r\nmetadata:\r\n  name: p\r\nspec:\r\n  containers:\r\n  - image: r/s@{digest}\r\n"
    );
    let wanted = windows.replace("  name: p", &format!("  annotations:\r\n    {entry}\r\n  name: p"));
    assert_eq!(setting.annotated(&windows), wanted);
}

#[test]
fn every_template_that_uses_the_artifact_is_annotated_and_no_other() {
    let setting = Setting::new();
    let digest = setting.digest();
    let template = |name: &str, image: &str| {
        format!(
            "kind: Deployment\nmetadata:\n  name: {name}\nspec:\n  template:\n    metadata:\n      labels: {{}}\n    spec:\n      containers:\n      - image: {image}\n"
        )
    };
    let ours = format!("registry.example/shop@{digest}");
    let other = format!("registry.example/shop@{}", Digest::sha256(b"another artifact"));
    let text = [template("a", &ours), template("b", &other), template("c", &ours)].join("---\n");
    let output = setting.manifest(&text, &["--in-place"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stdout(&output).contains("annotated Deployment a\n  annotated Deployment c\n"),
        "{}",
        stdout(&output)
    );
    let edited = fs::read_to_string(setting.at("deploy.yaml")).unwrap();
    let documents: Vec<&str> = edited.split("---\n").collect();
    assert!(documents[0].contains("evidence-digest") && documents[2].contains("evidence-digest"));
    assert_eq!(documents[1], template("b", &other));
    // a second time, nothing changes; another image's evidence joins; --replace drops it
    let output = setting.manifest(&edited, &[]);
    assert_eq!(stdout(&output), edited);
    let foreign = Digest::sha256(b"evidence of another image");
    let named = setting.named("test.json");
    let before = edited.replace(&named.to_string(), &foreign.to_string());
    assert_eq!(setting.annotated(&before), edited.replace(&named.to_string(), &format!("{foreign},{named}")));
    let output = setting.manifest(&before, &["--replace"]);
    assert_eq!(stdout(&output), edited);
}

#[test]
fn a_tag_that_a_choke_point_pins_counts_where_it_was_given() {
    let setting = Setting::new();
    let text =
        "kind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - image: registry.example/shop:1.4\n";
    let output = setting.manifest(text, &[]);
    assert_eq!(code(&output), 1);
    let words = stderr(&output);
    assert!(words.contains("no Pod template") && words.contains("registry.example/shop:1.4"), "{words}");
    assert_eq!(setting.store().attached(&setting.digest()).unwrap(), None, "the manifest is looked at first");
    let output = setting.manifest(text, &["--tag", "registry.example/shop:1.4"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("evidence-digest"));
}

#[test]
fn what_cannot_be_edited_safely_is_left_alone() {
    let setting = Setting::new();
    let image = format!("r.example/shop@{}", setting.digest());
    for (text, words) in [
        (
            format!("kind: Pod\nmetadata: &m\n  name: p\nspec:\n  containers: [{{image: {image}}}]\n"),
            "anchors",
        ),
        (format!("kind: Pod\nmetadata:\nspec:\n  containers: [{{image: {image}}}]\n"), "by hand"),
        (
            format!("kind: Pod\nmetadata:\n  annotations: ~\nspec:\n  containers: [{{image: {image}}}]\n"),
            "by hand",
        ),
        (
            format!(
                "kind: Pod\nmetadata:\n  annotations:\n    portcullis.dev/evidence-digest: >-\n      sha256:{}\nspec:\n  containers: [{{image: {image}}}]\n",
                "7".repeat(64)
            ),
            "by hand",
        ),
        (
            format!(
                "kind: Pod\nmetadata:\n  annotations:\n    portcullis.dev/evidence-digest: noise\nspec:\n  containers: [{{image: {image}}}]\n"
            ),
            "--replace",
        ),
        (
            format!(
                "kind: Pod\nmetadata:\n  name: {{{{ .Values.x }}}}\nspec:\n  containers: [{{image: {image}}}]\n"
            ),
            "deploy.yaml:3:",
        ),
    ] {
        let output = setting.manifest(&text, &["--in-place"]);
        assert_eq!(code(&output), 2, "{text}\n{}{}", stdout(&output), stderr(&output));
        assert!(stderr(&output).contains(words), "{text}\n{}", stderr(&output));
        assert_eq!(fs::read_to_string(setting.at("deploy.yaml")).unwrap(), text);
    }
}

/// A TLS server that asks for a client's certificate, takes one request, and gives one answer.
fn answering(
    setting: &Setting,
    answer: impl Fn(&str) -> String,
) -> (String, impl FnOnce(std::process::Output) -> (String, std::process::Output)) {
    let port = free_port();
    let (cert, key) = (setting.at("deploy/tls/server.crt"), setting.at("deploy/tls/server.key"));
    let ca = setting.at("deploy/tls/ca.crt");
    let mut server = Command::new("openssl")
        .args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-naccept", "1", "-quiet", "-tls1_3"])
        .args(["-cert", &cert, "-key", &key, "-CAfile", &ca, "-Verify", "1", "-verify_return_error"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut input, mut output) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
    let body = answer(&setting.named("test.json").to_string());
    let reader = std::thread::spawn(move || {
        let mut request = Vec::new();
        let mut piece = [0; 4096];
        while !is_whole(&request) {
            match output.read(&mut piece).unwrap_or(0) {
                0 => break,
                n => request.extend(&piece[..n]),
            }
        }
        input.write_all(body.as_bytes()).ok();
        input.flush().ok();
        (request, input)
    });
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(30));
        if fs::read_to_string("/proc/net/tcp").unwrap().contains(&format!(":{port:04X} 00000000:0000 0A")) {
            break;
        }
    }
    let finish = move |client: std::process::Output| {
        server.kill().ok();
        server.wait().unwrap();
        let (request, _) = reader.join().unwrap();
        (String::from_utf8(request).unwrap(), client)
    };
    (format!("https://localhost:{port}"), finish)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn http(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn a_choke_point_is_sent_the_set_and_must_have_stored_it() {
    let setting = Setting::new();
    let (ca, cert, key) =
        (setting.at("deploy/tls/ca.crt"), setting.at("deploy/tls/ci.crt"), setting.at("deploy/tls/ci.key"));
    let tls = ["--ca", &ca, "--client-certificate", &cert, "--client-key", &key];
    let send = |url: &str| {
        let to = ["--server", url, "--tag", "registry.example/shop:1.4"];
        setting.attach(&setting.at("shop"), &[&to[..], &tls[..]].concat())
    };
    let (url, finish) = answering(&setting, |d| http("200 OK", &format!("{{\"digest\":\"{d}\"}}")));
    let (request, output) = finish(send(&url));
    assert_eq!(code(&output), 0, "{}\n{request}", stderr(&output));
    assert!(request.starts_with("PUT /v1/evidence HTTP/1.1\r\n"), "{request}");
    let body = attest::json::parse(request.split_once("\r\n\r\n").unwrap().1.as_bytes()).unwrap();
    let body = body.as_object().unwrap();
    assert_eq!(body.string("artifact").unwrap(), setting.digest().to_string());
    assert_eq!(body.string("tag").unwrap(), "registry.example/shop:1.4");
    let sent = body.array("bundles").unwrap();
    assert_eq!(Digest::sha256(sent[0].to_string().as_bytes()), setting.named("test.json"));

    let (url, finish) = answering(&setting, |_| http("200 OK", "{\"digest\":\"sha256:77\"}"));
    let (_, output) = finish(send(&url));
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("stored something else"), "{}", stderr(&output));

    let refusal =
        "{\"code\":\"not-permitted\",\"message\":\"not permitted to attach\",\"fix\":\"ask the operator\"}";
    let (url, finish) = answering(&setting, |_| http("403 Forbidden", refusal));
    let (_, output) = finish(send(&url));
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("not permitted to attach"), "{}", stderr(&output));
    assert!(stderr(&output).contains("ask the operator"), "{}", stderr(&output));
}
