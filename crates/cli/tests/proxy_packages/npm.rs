//! npm in front of Verdaccio.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attest::{Digest, Json, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::client::{identity, said};
use crate::server::Server;
use crate::site::{Policy, Site, TLS, address, proxy};
use crate::tools::serving::Serving;
use crate::tools::{cache, part, path};

/// A site, a proxy, and a Verdaccio that lets anybody do anything.
struct World {
    site: Site,
    running: Serving,
    folder: tempfile::TempDir,
    _registry: Server,
}

const CONFIG: &str = "storage: ./storage
auth: { htpasswd: { file: ./htpasswd } }
uplinks: {}
packages: { '**': { access: $all, publish: $all, unpublish: $all } }
web: { enable: false }
log: { type: stdout, format: json, level: http }
";

impl World {
    fn new() -> Option<Self> {
        let program = part("Verdaccio", cache("packages/npm/node_modules/.bin/verdaccio"))?;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["home", "made", "storage"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("config.yaml"), CONFIG).unwrap();
        let registry = Server::start(&at("said"), |port| {
            let mut command = Command::new(program);
            command.arg("--config").arg(at("config.yaml")).args(["--listen", &format!("127.0.0.1:{port}")]);
            command.current_dir(folder.path());
            command
        });
        let section = format!(
            "  - name: npm
    kind: npm
    {TLS}
    upstream: {{ url: \"http://127.0.0.1:{}\" }}
    routes:
      - {{ names: [shop], environment: prod/shop }}
      - {{ names: [\"@acme/*\"], environment: prod/acme }}
      - {{ names: [payroll], environment: prod/payroll }}
",
            registry.port
        );
        let policies = [
            Policy::tested("prod/shop", "pkg:npm/shop"),
            Policy::tested("prod/acme", "pkg:npm/%40acme/*"),
            Policy::tested("prod/payroll", "pkg:npm/payroll"),
        ];
        let site = Site::new(&policies, &section);
        identity(&site);
        let running = site.start();
        let at = address(&running, "npm");
        let npmrc = format!(
            "registry=https://{at}/\n//{at}/:_authToken=client-token\n//{at}/:certfile={}\n//{at}/:keyfile={}\n\
             cafile={}\nfetch-retries=0\nupdate-notifier=false\naudit=false\nfund=false\n",
            path(&site.at("tls/ci.crt")),
            path(&site.at("tls/ci.key")),
            path(&site.at("tls/ca.crt"))
        );
        fs::write(folder.path().join("home/.npmrc"), npmrc).unwrap();
        Some(Self { site, running, folder, _registry: registry })
    }

    fn npm(&self, args: &[&str]) -> Output {
        let mut npm = Command::new("npm");
        npm.env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder.path().join("home"));
        npm.args(args).current_dir(self.folder.path().join("made")).output().unwrap()
    }

    /// What `npm pack` makes of a package with this in it.
    fn pack(&self, name: &str, version: &str, what: &str) -> PathBuf {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let package = Object::new()
            .with("name", name)
            .with("version", version)
            .with("bin", Object::new().with("shop", "./cli.js"))
            .with("dependencies", Object::new().with("left-pad", "^1.3.0").with("fsevents", "2.3.3"))
            .with("optionalDependencies", Object::new().with("fsevents", "2.3.3"));
        fs::write(folder.path().join("package.json"), Json::from(package).to_string()).unwrap();
        fs::write(folder.path().join("cli.js"), what).unwrap();
        let (is_content, text) = said(&self.npm(&["pack", path(folder.path())]));
        assert!(is_content, "{text}");
        let name = name.replace('@', "").replace('/', "-");
        self.folder.path().join("made").join(format!("{name}-{version}.tgz"))
    }

    /// One that may go.
    fn tested(&self, name: &str, version: &str, what: &str) -> PathBuf {
        let file = self.pack(name, version, what);
        self.site.test(&digest(&file));
        file
    }

    fn publish(&self, file: &Path) -> Output {
        self.npm(&["publish", path(file)])
    }

    /// The archives that the registry has, by name.
    fn stored(&self) -> Vec<String> {
        let mut names = Vec::new();
        archives(&self.folder.path().join("storage"), &mut names);
        names.sort();
        names
    }

    fn says(&self, args: &[&str], why: &str) {
        let (is_content, text) = said(&self.npm(args));
        assert!(!is_content && text.contains(why), "{args:?}: wanted {why}: {text}");
    }

    fn tags(&self, name: &str) -> String {
        said(&self.npm(&["dist-tag", "ls", name])).1
    }

    /// Puts a document; gives the status and what was said.
    fn put(&self, at: &str, document: &Json) -> (String, String) {
        self.curl("PUT", at, &document.to_string())
    }

    fn curl(&self, method: &str, at: &str, body: &str) -> (String, String) {
        self.curl_as("application/json", method, at, body)
    }

    fn curl_as(&self, kind: &str, method: &str, at: &str, body: &str) -> (String, String) {
        let file = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        fs::write(file.path(), body).unwrap();
        let mut curl = self.site.curl("ci");
        curl.arg("--header").arg(format!("Content-Type: {kind}"));
        curl.args(["--write-out", "\n%{http_code}", "--path-as-is"]);
        curl.args(["--request", method, "--data-binary"]).arg(format!("@{}", path(file.path())));
        let text = said(&curl.arg(format!("{}{at}", proxy(&self.running, "npm"))).output().unwrap()).1;
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    }
}

fn archives(folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => archives(&entry.path(), names),
            false if name.ends_with(".tgz") => names.push(name),
            false => {}
        }
    }
}

fn digest(file: &Path) -> Digest {
    Digest::sha256(&fs::read(file).unwrap())
}

#[test]
fn npm_publishes_and_tags_what_is_tested_and_nothing_else() {
    let Some(world) = World::new() else { return };
    let failed = world.pack("shop", "0.1.0", "failed");
    world.site.test_as(&digest(&failed), "ci-tests", "failed");
    let stranger = world.pack("shop", "0.2.0", "stranger");
    world.site.test_as(&digest(&stranger), "official-ci", "passed");
    world.tested("shop", "0.3.0", "good");
    let swapped = world.pack("shop", "0.3.0", "swapped after the test");
    let elsewhere = world.tested("billing", "1.0.0", "good");
    for (file, why) in [
        (&world.pack("shop", "0.4.0", "unknown"), "error[signed-by]"),
        (&failed, "error[tests]"),
        (&stranger, "error[signed-by]"),
        (&swapped, "error[signed-by]"),
        (&elsewhere, "error[policy-missing]"),
    ] {
        world.says(&["publish", path(file)], why);
    }
    assert!(world.stored().is_empty(), "{:?}", world.stored());

    for (name, version) in [("shop", "1.0.0"), ("shop", "1.1.0"), ("@acme/cart", "1.0.0")] {
        let (is_content, text) = said(&world.publish(&world.tested(name, version, "good")));
        assert!(is_content, "{text}");
    }
    let all = ["cart-1.0.0.tgz", "shop-1.0.0.tgz", "shop-1.1.0.tgz"];
    assert_eq!(world.stored(), all);
    assert!(world.tags("shop").contains("latest: 1.1.0"), "{}", world.tags("shop"));
    // a version stays what it is, even for other bytes that may go
    let again = world.tested("shop", "1.1.0", "another good one");
    let (is_content, text) = said(&world.publish(&again));
    assert!(!is_content && (text.contains("already") || text.contains("cannot publish over")), "{text}");
    assert_eq!(world.stored(), all);

    // going back is a deployment
    for spec in ["shop@1.0.0", "@acme/cart@1.0.0"] {
        let (is_content, text) = said(&world.npm(&["dist-tag", "add", spec, "stable"]));
        assert!(is_content, "{text}");
    }
    assert!(
        world.tags("shop").contains("stable: 1.0.0") && world.tags("@acme/cart").contains("stable: 1.0.0")
    );
    let old = world.pack("shop", "1.0.0", "good");
    world.site.test_as(&digest(&old), "ci-tests", "failed");
    for (args, why) in [
        (&["dist-tag", "add", "shop@1.0.0", "latest"][..], "error[tests]"),
        (&["dist-tag", "rm", "shop", "stable"], "error[tests]"),
        (&["dist-tag", "add", "shop@7.0.0", "latest"], "has no version 7.0.0"),
        (&["deprecate", "shop@1.1.0", "old"], "changes what is published already"),
        (&["unpublish", "shop@1.1.0", "--force"], "only `npm publish`"),
        (&["unpublish", "@acme/cart", "--force"], "only `npm publish`"),
        (&["access", "set", "status=private", "@acme/cart"], "only `npm publish`"),
    ] {
        world.says(args, why);
    }
    assert!(world.tags("shop").contains("latest: 1.1.0") && world.tags("shop").contains("stable: 1.0.0"));
    assert_eq!(world.stored(), all);
}

/// An archive as somebody could make it who wants something in.
fn archive(package_json: &str) -> Vec<u8> {
    // with another byte there, the base64 of every archive has a `+`
    let packed = flate2::GzBuilder::new().operating_system(0);
    let mut packed = packed.write(Vec::new(), flate2::Compression::fast());
    let mut header = tar::Header::new_ustar();
    header.set_path("package/package.json").unwrap();
    header.set_size(package_json.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    packed.write_all(header.as_bytes()).unwrap();
    packed.write_all(package_json.as_bytes()).unwrap();
    packed.write_all(&vec![0; 2048 - package_json.len() % 512]).unwrap();
    packed.finish().unwrap()
}

const PACKAGE: &str = r#"{"name":"shop","version":"1.0.0","dependencies":{"left-pad":"^1.3.0"}}"#;

/// The document that `npm publish` would put.
fn document(tarball: &[u8]) -> Object {
    let sha512 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, tarball);
    let dist = Object::new()
        .with("integrity", format!("sha512-{}", STANDARD.encode(sha512.as_ref())))
        .with("tarball", "http://registry.example/shop/-/shop-1.0.0.tgz");
    let package = attest::json::parse(PACKAGE.as_bytes()).unwrap();
    let manifest = package.as_object().unwrap().clone().with("dist", dist);
    Object::new()
        .with("_id", "shop")
        .with("name", "shop")
        .with("dist-tags", Object::new().with("latest", "1.0.0"))
        .with("versions", Object::new().with("1.0.0", manifest))
        .with("access", "public")
        .with("_attachments", Object::new().with("shop-1.0.0.tgz", attachment(tarball)))
}

fn attachment(bytes: &[u8]) -> Object {
    Object::new()
        .with("content_type", "application/octet-stream")
        .with("data", STANDARD.encode(bytes))
        .with("length", i64::try_from(bytes.len()).unwrap())
}

/// The document with the value at this path set.
fn with(mut object: Object, at: &[&str], value: impl Into<Json>) -> Object {
    let (first, rest) = at.split_first().unwrap();
    let value = match (rest, object.get(first)) {
        ([], _) => value.into(),
        (rest, Some(Json::Object(inner))) => with(inner.clone(), rest, value).into(),
        (rest, _) => with(Object::new(), rest, value).into(),
    };
    object.set(first, value);
    object
}

#[test]
fn documents_that_say_something_else_than_the_archive_are_refused() {
    let Some(world) = World::new() else { return };
    let good = archive(PACKAGE);
    world.site.test(&Digest::sha256(&good));
    let document = || document(&good);
    let attached = |files: &[&str]| {
        files.iter().fold(Object::new(), |object, file| object.with(file, attachment(b"bad")))
    };
    let manifest = |key: &str, value: Json| with(document(), &["versions", "1.0.0", key], value);
    let both = {
        let mut both = attached(&["payroll-1.0.0.tgz"]);
        both.set("shop-1.0.0.tgz", attachment(&good));
        both
    };
    let evil = Object::new().with("left-pad", "^1.3.0").with("evil", "*");
    for (at, document, why) in [
        ("/payroll", document(), "of another package than its address"),
        ("/shop", with(document(), &["name"], "payroll"), "of another package than its address"),
        ("/shop", with(document(), &["_id"], "payroll"), "of another package than its address"),
        ("/shop", with(document(), &["versions", "2.0.0"], Object::new()), "not exactly one version"),
        ("/shop", with(document(), &["dist-tags", "latest"], "0.9.0"), "a tag names another version"),
        ("/shop", with(document(), &["dist-tags", "1.0.0"], "1.0.0"), "a tag names another version"),
        ("/shop", with(document(), &["users"], Object::new()), "a field that nobody knows"),
        (
            "/shop",
            with(document(), &["_attachments"], attached(&["../payroll/payroll-1.0.0.tgz"])),
            "other files",
        ),
        ("/shop", with(document(), &["_attachments"], both), "other files"),
        ("/shop", with(document(), &["_attachments", "shop-1.0.1.tgz"], attachment(b"x")), "other files"),
        ("/shop", with(document(), &["_attachments", "shop-1.0.0.tgz", "length"], 3_i64), "another length"),
        ("/shop", with(document(), &["_attachments", "shop-1.0.0.tgz", "data"], "!!!!"), "not in base64"),
        (
            "/shop",
            with(document(), &["_attachments", "shop-1.0.0.tgz"], attachment(b"bad")),
            "another digest",
        ),
        ("/shop", with(document(), &["versions", "1.0.0", "dist", "shasum"], "00"), "another digest"),
        (
            "/shop",
            with(document(), &["versions", "1.0.0", "dist", "tarball"], "http://evil.example/x.tgz"),
            "said to lie elsewhere",
        ),
        ("/shop", manifest("name", Json::from("payroll")), "the archive is of another package"),
        ("/shop", manifest("version", Json::from("2.0.0")), "the archive is of another package"),
        ("/shop", manifest("dependencies", Json::from(evil.clone())), "something else than the archive"),
        ("/shop", manifest("optionalDependencies", Json::from(evil)), "something else than the archive"),
        ("/shop", manifest("bin", Json::from("x.js")), "something else than the archive"),
        (
            "/shop",
            manifest("scripts", Object::new().with("postinstall", "evil").into()),
            "something else than the archive",
        ),
    ] {
        let (status, text) = world.put(at, &document.into());
        assert!(
            status == "403" && text.contains(why) && text.contains("error[request-readable]"),
            "{why}: {text}"
        );
    }
    // one key twice: which one counts depends on who reads
    let twice = Json::from(document()).to_string().replacen('{', "{\"name\":\"payroll\",", 1);
    let (status, text) = world.curl("PUT", "/shop", &twice);
    assert!(status == "403" && text.contains("cannot be read"), "{text}");
    // an archive of another package, in a document that fits it
    let other = archive(&PACKAGE.replace("shop", "payroll"));
    world.site.test(&Digest::sha256(&other));
    let (status, text) = world.put("/shop", &self::document(&other).into());
    assert!(status == "403" && text.contains("the archive is of another package"), "{text}");
    let body = Json::from(document()).to_string();
    for (method, at, wanted) in [
        ("PUT", "/shop?write=true", "403"),
        ("PUT", "/shop/-rev/1", "405"),
        ("PUT", "/shop/-/shop-1.0.0.tgz", "405"),
        ("PUT", "/Shop", "405"),
        ("PUT", "//shop", "400"),
        ("PUT", "/x/../shop", "400"),
        ("PUT", "/@acme%252fshop", "400"),
        ("POST", "/shop", "405"),
        ("POST", "/-/stage/package/shop", "405"),
        ("PUT", "/-/user/org.couchdb.user:x", "405"),
        ("PUT", "/-/package/shop/collaborators", "405"),
        ("DELETE", "/shop", "405"),
        ("PATCH", "/shop", "405"),
    ] {
        let (status, text) = world.curl(method, at, &body);
        assert_eq!(status, wanted, "{method} {at}: {text}");
    }
    assert!(world.stored().is_empty(), "{:?}", world.stored());
    let known = |name: &str| world.folder.path().join("storage").join(name).exists();
    assert!(!known("shop") && !known("payroll"));

    let (status, text) = world.curl("PUT", "/shop", &body);
    assert_eq!((status.as_str(), world.stored()), ("201", vec!["shop-1.0.0.tgz".to_owned()]), "{text}");
}

#[test]
fn a_document_is_the_same_one_in_every_encoding_that_it_says_it_has() {
    let Some(world) = World::new() else { return };
    let numbered = |number: i32| archive(&PACKAGE.replacen('{', &format!("{{\"x\":{number},"), 1));
    // as the attacker would choose it: in UTF-7 a `+` of base64 is no `+`
    let good = (0..20_000).map(numbered).find(|good| !Json::from(document(good)).to_string().contains('+'));
    let (good, bad) = (good.unwrap(), archive(&PACKAGE.replacen('{', "{\"bad\":1,", 1)));
    world.site.test(&Digest::sha256(&good));
    // in UTF-7, what is judged as the text of a field ends that text, and goes on with another package
    let hidden = document(&bad);
    let hidden = ["versions", "_attachments"].map(|key| {
        let value = hidden.get(key).unwrap().to_string().replace('+', "+-").replace('"', "+ACI-");
        format!("+ACI-{key}+ACI-:{value}")
    });
    let readme = format!("x+ACI-,{},+ACI-x+ACI-:+ACI-", hidden.join(","));
    let document = Json::from(document(&good).with("readme", readme)).to_string();
    let (status, text) = world.curl_as("application/json; charset=utf-7", "PUT", "/shop", &document);
    assert_eq!(status, "201", "{text}");
    let stored = fs::read(world.folder.path().join("storage/shop/shop-1.0.0.tgz")).unwrap();
    assert!(stored == good, "another archive is stored than the one that was judged");
}

#[test]
fn provenance_in_the_document_is_judged() {
    let Some(world) = World::new() else { return };
    let good = archive(PACKAGE);
    let with_provenance = |of: &[u8], key: &str| {
        let bundle = world.site.tested(&Digest::sha256(of), key, "passed");
        let bundle = String::from_utf8(evidence::compact(&bundle).unwrap()).unwrap();
        let attachment = Object::new()
            .with("content_type", "application/vnd.dev.sigstore.bundle.v0.3+json")
            .with("length", i64::try_from(bundle.len()).unwrap())
            .with("data", bundle);
        with(document(&good), &["_attachments", "shop-1.0.0.sigstore"], attachment)
    };
    for (document, why) in [
        (with_provenance(b"other bytes", "ci-tests"), "another artifact"),
        (with_provenance(&good, "official-ci"), "error[signed-by]"),
    ] {
        let (status, text) = world.put("/shop", &document.into());
        assert!(status == "403" && text.contains(why), "{text}");
    }
    assert!(world.stored().is_empty());
    // it goes on: Verdaccio takes no second attachment, whatever it is
    let (status, text) = world.put("/shop", &with_provenance(&good, "ci-tests").into());
    assert!(status == "400" && text.contains("unsupported registry call"), "{text}");
}

#[test]
fn of_two_documents_of_one_version_at_once_the_good_one_is_stored() {
    let Some(world) = World::new() else { return };
    let (good, bad) = (archive(PACKAGE), archive(&PACKAGE.replace('}', ",\"x\":1}")));
    world.site.test(&Digest::sha256(&good));
    let send = |tarball: &[u8]| world.put("/shop", &document(tarball).into()).0;
    let statuses: Vec<String> = std::thread::scope(|scope| {
        let bads: Vec<_> = (0..4).map(|_| scope.spawn(|| send(&bad))).collect();
        let good = scope.spawn(|| send(&good));
        bads.into_iter().chain([good]).map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses, ["403", "403", "403", "403", "201"]);
    let stored = fs::read(world.folder.path().join("storage/shop/shop-1.0.0.tgz")).unwrap();
    assert!(stored == good);
}
