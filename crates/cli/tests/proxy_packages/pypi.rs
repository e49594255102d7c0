//! twine and uv in front of pypiserver.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attest::Digest;

use crate::client::{identity, said};
use crate::server::Server;
use crate::site::{Policy, Site, TLS, proxy};
use crate::tools::serving::Serving;
use crate::tools::{cache, part, path};

/// A site, a proxy, and a pypiserver that would overwrite whatever it has.
struct World {
    site: Site,
    running: Serving,
    folder: tempfile::TempDir,
    _index: Server,
}

fn program(name: &str) -> Option<PathBuf> {
    part(name, cache("packages/python/bin").join(name))
}

impl World {
    fn new(more: &[&str]) -> Option<Self> {
        let program = program("pypi-server")?;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["files", "made", "cache"] {
            fs::create_dir(at(name)).unwrap();
        }
        let index = Server::start(&at("said"), |port| {
            let mut command = Command::new(program);
            command.args(["run", "-i", "127.0.0.1", "-a", ".", "-P", ".", "-p", &port.to_string()]);
            command.args(more).arg(at("files"));
            command
        });
        let section = format!(
            "  - name: index
    kind: pypi
    uploads: /
    {TLS}
    upstream: {{ url: \"http://127.0.0.1:{}\" }}
    routes:
      - {{ names: [shop], environment: prod/shop }}
      - {{ names: [payroll], environment: prod/payroll }}
",
            index.port
        );
        let policies = [
            Policy::tested("prod/shop", "pkg:pypi/shop"),
            Policy::tested("prod/payroll", "pkg:pypi/payroll"),
        ];
        let site = Site::new(&policies, &section);
        identity(&site);
        let running = site.start();
        Some(Self { site, running, folder, _index: index })
    }

    fn url(&self) -> String {
        format!("{}/", proxy(&self.running, "index"))
    }

    /// A wheel that pip would install, with this in it.
    fn wheel(&self, name: &str, version: &str, what: &str) -> PathBuf {
        let file = self.folder.path().join("made").join(format!("{name}-{version}-py3-none-any.whl"));
        let make = "import sys, zipfile
file, name, version, what = sys.argv[1:]
info = f'{name}-{version}.dist-info'
with zipfile.ZipFile(file, 'w') as wheel:
    wheel.writestr(f'{name}.py', what)
    wheel.writestr(f'{info}/METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\nClassifier: Topic :: Software Development\\nClassifier: Private :: Do Not Upload\\n')
    wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(f'{info}/RECORD', '')
";
        let mut python = Command::new("python3");
        assert!(python.args(["-c", make, path(&file), name, version, what]).status().unwrap().success());
        file
    }

    /// A wheel that may go.
    fn tested(&self, name: &str, version: &str, what: &str) -> PathBuf {
        let file = self.wheel(name, version, what);
        self.site.test(&digest(&file));
        file
    }

    fn twine(&self, file: &Path) -> Output {
        let mut twine = Command::new(program("twine").unwrap());
        twine.args([
            "upload",
            "--non-interactive",
            "--disable-progress-bar",
            "--username",
            "x",
            "--password",
            "y",
        ]);
        twine.args(["--repository-url", &self.url(), "--cert"]).arg(self.site.at("tls/ca.crt"));
        twine.arg("--client-cert").arg(self.site.at("tls/ci.pem")).arg(file);
        // where these are set they count for more than `--cert`
        twine.env_remove("REQUESTS_CA_BUNDLE").env_remove("CURL_CA_BUNDLE");
        twine.env("HOME", self.folder.path()).env("NO_PROXY", "*").env("COLUMNS", "4000").output().unwrap()
    }

    fn uv(&self, file: &Path) -> Output {
        let mut uv = Command::new(program("uv").unwrap());
        uv.args([
            "publish",
            "--no-config",
            "--trusted-publishing",
            "never",
            "--username",
            "x",
            "--password",
            "y",
        ]);
        uv.args(["--publish-url", &self.url()]).arg(file);
        uv.env("SSL_CERT_FILE", self.site.at("tls/ca.crt"))
            .env("SSL_CLIENT_CERT", self.site.at("tls/ci.pem"));
        uv.env("UV_CACHE_DIR", self.folder.path().join("cache"))
            .env("NO_PROXY", "*")
            .env("UV_HTTP_RETRIES", "0");
        uv.output().unwrap()
    }

    /// What the index has, by name.
    fn stored(&self) -> Vec<String> {
        let files = fs::read_dir(self.folder.path().join("files")).unwrap();
        let mut names: Vec<String> = files.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn refuses(&self, output: &Output, why: &str) {
        let (is_content, text) = said(output);
        assert!(!is_content && text.contains(why), "wanted {why}: {text}");
    }
}

fn digest(file: &Path) -> Digest {
    Digest::sha256(&fs::read(file).unwrap())
}

#[test]
fn twine_and_uv_upload_what_is_tested_and_nothing_else() {
    let Some(world) = World::new(&[]) else { return };
    let failed = world.wheel("shop", "0.1", "failed");
    world.site.test_as(&digest(&failed), "ci-tests", "failed");
    let stranger = world.wheel("shop", "0.2", "stranger");
    world.site.test_as(&digest(&stranger), "official-ci", "passed");
    let swapped = world.tested("shop", "0.3", "good");
    world.wheel("shop", "0.3", "swapped after the test");
    let elsewhere = world.tested("billing", "1.0", "good");
    for (file, why) in [
        (&world.wheel("shop", "0.5", "unknown"), "error[signed-by]"),
        (&failed, "error[tests]"),
        (&stranger, "error[signed-by]"),
        (&swapped, "error[signed-by]"),
        (&elsewhere, "error[policy-missing]"),
    ] {
        world.refuses(&world.twine(file), why);
        world.refuses(&world.uv(file), why);
    }
    assert!(world.stored().is_empty(), "{:?}", world.stored());

    for (version, client) in [("1.0", World::twine as fn(&World, &Path) -> Output), ("1.1", World::uv)] {
        let file = world.tested("shop", version, "good");
        let (is_content, text) = said(&client(&world, &file));
        assert!(is_content, "{text}");
        let stored = world.index(file.file_name().unwrap().to_str().unwrap());
        assert_eq!(digest(&stored), digest(&file));
    }
    // an index that does not overwrite says so itself, and the client hears it
    let first = fs::read(world.index("shop-1.0-py3-none-any.whl")).unwrap();
    world.refuses(&world.uv(&world.tested("shop", "1.0", "another good one")), "already exists");
    assert_eq!(fs::read(world.index("shop-1.0-py3-none-any.whl")).unwrap(), first);
    assert_eq!(world.stored(), ["shop-1.0-py3-none-any.whl", "shop-1.1-py3-none-any.whl"]);
    // what was good enough is asked about again
    let gone = world.wheel("shop", "1.2", "good once");
    let digest = digest(&gone);
    world.site.test(&digest);
    world.site.test_as(&digest, "ci-tests", "failed");
    world.refuses(&world.twine(&gone), "error[tests]");
    assert_eq!(world.stored().len(), 2);
}

/// A form as somebody could write it who wants something in; `good` is the content that may go.
struct Form(Vec<Vec<u8>>);

impl Form {
    /// One that is as it should be.
    fn of(file: &str, content: &[u8]) -> Self {
        let fields =
            [(":action", "file_upload"), ("name", "shop"), ("version", "1.0"), ("filetype", "bdist_wheel")];
        let form = fields.iter().fold(Self(Vec::new()), |form, (name, value)| form.field(name, value));
        form.file("content", file, content)
    }

    fn part(mut self, head: &str, value: &[u8]) -> Self {
        self.0.push([b"--edge\r\n", head.as_bytes(), b"\r\n\r\n", value, b"\r\n"].concat());
        self
    }

    fn field(self, name: &str, value: &str) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\""), value.as_bytes())
    }

    fn file(self, name: &str, file: &str, value: &[u8]) -> Self {
        self.part(&format!("Content-Disposition: form-data; name=\"{name}\"; filename=\"{file}\""), value)
    }

    fn without(mut self, name: &str) -> Self {
        let named = format!("name=\"{name}\"");
        self.0.retain(|part| !String::from_utf8_lossy(part).contains(&named));
        self
    }

    fn set(self, name: &str, value: &str) -> Self {
        self.without(name).field(name, value)
    }

    fn first(self, mut other: Self) -> Self {
        other.0.extend(self.0);
        other
    }

    fn body(&self) -> Vec<u8> {
        [self.0.concat(), b"--edge--\r\n".to_vec()].concat()
    }
}

impl World {
    /// Posts it; gives the status and what was said.
    fn post(&self, body: &[u8], more: &[&str]) -> (String, String) {
        let file = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
        fs::write(file.path(), body).unwrap();
        let mut curl = self.site.curl("ci");
        curl.args([
            "--header",
            "Content-Type: multipart/form-data; boundary=edge",
            "--write-out",
            "\n%{http_code}",
        ]);
        curl.args(more).arg("--data-binary").arg(format!("@{}", path(file.path())));
        if !more.iter().any(|argument| argument.starts_with("https://")) {
            curl.arg(self.url());
        }
        let text = said(&curl.output().unwrap()).1;
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.to_owned(), body.to_owned())
    }

    fn index(&self, file: &str) -> PathBuf {
        self.folder.path().join("files").join(file)
    }
}

/// The bytes of a wheel with this in it.
fn content(name: &str, version: &str, what: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    let info = format!("{name}-{version}.dist-info/METADATA");
    for (file, bytes) in [("content.py", what), (&info, metadata.as_bytes())] {
        writer.start_file(file, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

const WHEEL: &str = "shop-1.0-py3-none-any.whl";

#[test]
fn forms_with_two_readings_and_files_under_other_names_are_refused() {
    let Some(world) = World::new(&["--overwrite"]) else { return };
    let good = content("shop", "1.0", b"good bytes");
    let (good, bad) = (good.as_slice(), b"bad bytes".as_slice());
    world.site.test(&Digest::sha256(good));
    // tested too, and of something else inside
    let inside = [content("payroll", "1.0", b"good"), content("shop", "6.6", b"good")];
    inside.iter().for_each(|wheel| world.site.test(&Digest::sha256(wheel)));
    let form = || Form::of(WHEEL, good);
    let other = "payroll-1.0-py3-none-any.whl";
    for (form, why) in [
        (form().file("content", WHEEL, bad), "a field stands there twice"),
        (form().first(Form(Vec::new()).file("content", WHEEL, bad)), "a field stands there twice"),
        (form().field("name", "payroll"), "a field stands there twice"),
        (form().field(":action", "remove_pkg"), "a field stands there twice"),
        (form().set(":action", "remove_pkg"), "the form is no upload"),
        (form().without(":action"), "a field is missing"),
        // pypiserver stores this too, under any name
        (form().file("gpg_signature", other, bad), "the form has another file"),
        (Form::of(other, good), "named after another project"),
        (Form::of(WHEEL, &inside[0]), "the wheel is not what the form says"),
        (Form::of(WHEEL, &inside[1]), "the wheel is not what the form says"),
        (Form::of(WHEEL, bad), "the wheel is not what the form says"),
        (form().set("name", "payroll"), "named after another project"),
        (form().set("version", "2.0"), "named after another version"),
        (form().set("filetype", "sdist"), "another type"),
        (Form::of("shop-1.0.zip", good), "no distribution's"),
        (Form::of("../shop-1.0-py3-none-any.whl", good), "other headers"),
        (form().field("sha256_digest", &"0".repeat(64)), "another digest"),
        (form().field("blake2_256_digest", &"0".repeat(64)), "another digest"),
        (form().field("attestations", "[1]"), "the attestations cannot be read"),
        (form().field("attestations", "{}"), "the attestations cannot be read"),
        (
            form().field("attestations", "[{\"payload\":\"\",\"payload\":\"\"}]"),
            "the attestations cannot be read",
        ),
    ] {
        let (status, text) = world.post(&form.body(), &[]);
        assert!(
            status == "403" && text.contains(why) && text.contains("error[request-readable]"),
            "{why}: {text}"
        );
    }
    let hidden = Form::of(
        WHEEL,
        &[
            good,
            b"\n--edge\nContent-Disposition: form-data; name=\"content\"; filename=\"",
            other.as_bytes(),
            b"\"\n\n",
            bad,
        ]
        .concat(),
    );
    let (status, text) = world.post(&hidden.body(), &[]);
    assert!(status == "403" && text.contains("a boundary stands inside"), "{text}");
    let to = format!("{}?:action=remove_pkg", world.url());
    for (more, status, why) in [
        (&["--header", "Content-Encoding: gzip"][..], "403", "another meaning"),
        (&["--header", "X-HTTP-Method-Override: DELETE"], "400", "does not go through here"),
        (&[&to], "403", "asks for more"),
        (&["--request", "PUT"], "405", "only uploads to /"),
        (&["--request", "DELETE"], "405", "only uploads to /"),
    ] {
        let found = world.post(&form().body(), more);
        assert!(found.0 == status && found.1.contains(why), "{why}: {found:?}");
    }
    assert!(world.stored().is_empty(), "{:?}", world.stored());

    let metadata = form()
        .field("classifiers", "a")
        .field("classifiers", "b")
        .field("sha256_digest", &Digest::sha256(good).hex());
    let (status, text) = world.post(&metadata.body(), &[]);
    assert_eq!((status.as_str(), fs::read(world.index(WHEEL)).unwrap()), ("200", good.to_vec()), "{text}");
}

#[test]
fn evidence_in_the_upload_is_judged() {
    let Some(world) = World::new(&[]) else { return };
    let good = content("shop", "1.0", b"good bytes");
    let good = good.as_slice();
    let attestations = |of: &[u8], key: &str| {
        let bundle = world.site.tested(&Digest::sha256(of), key, "passed");
        format!("[{}]", String::from_utf8(evidence::compact(&bundle).unwrap()).unwrap())
    };
    for (list, why) in [
        (attestations(b"other bytes", "ci-tests"), "another artifact"),
        (attestations(good, "official-ci"), "error[signed-by]"),
    ] {
        let (status, text) = world.post(&Form::of(WHEEL, good).field("attestations", &list).body(), &[]);
        assert!(status == "403" && text.contains(why), "{text}");
    }
    assert!(world.stored().is_empty());
    let list = attestations(good, "ci-tests");
    let (status, text) = world.post(&Form::of(WHEEL, good).field("attestations", &list).body(), &[]);
    assert_eq!((status.as_str(), world.stored().len()), ("200", 1), "{text}");
}

#[test]
fn of_two_uploads_of_one_name_at_once_the_good_one_is_stored() {
    // this index overwrites: whatever came through last would stay
    let Some(world) = World::new(&["--overwrite"]) else { return };
    let good = content("shop", "1.0", &b"good".repeat(100_000));
    world.site.test(&Digest::sha256(&good));
    for round in 0..5_u8 {
        let bad = content("shop", "1.0", &[round; 400_000]);
        let send = |content: &[u8]| world.post(&Form::of(WHEEL, content).body(), &[]).0;
        let statuses: Vec<String> = std::thread::scope(|scope| {
            let (one, two) = (scope.spawn(|| send(&good)), scope.spawn(|| send(&bad)));
            [one, two].map(|thread| thread.join().unwrap()).to_vec()
        });
        assert_eq!(statuses, ["200", "403"]);
        assert!(fs::read(world.index(WHEEL)).unwrap() == good);
    }
}
