//! A real registry behind a real proxy, and the clients that push through it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use attest::Digest;

use crate::images::Image;
use crate::registries::Registry;
use crate::site::{self, Policy, Site, TLS};
use crate::tools::serving::Serving;
use crate::tools::{cache, code, expect, path, stderr, stdout};

/// How the artifacts are called.
pub const NAME: &str = "registry.example";

/// Reviewed, built in the last hours, and tested.
const SHOP: &str = "require:
  built-by: [official-ci]
  built-within: 12h
  source: { repository: \"https://git.example/acme/shop\", reviewed: { approvals: 1 } }
  tests: [unit]
breakglass: { group: sre-oncall, expires: 4h, reviewed-within: 24h }";
const REPOSITORY: &str = "https://git.example/acme/shop";
const BUILDER: &str = "https://ci.acme.example/builders/official/non-isolated";
const COMMIT: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

pub struct World {
    pub site: Site,
    pub registry: Registry,
    _running: Serving,
    /// `127.0.0.1:PORT`, for who has a certificate, and for anybody.
    pub host: String,
    pub open: String,
    pub folder: tempfile::TempDir,
}

/// The section of a proxy in front of what stands in `upstream`.
fn proxies(upstream: &str, more: &str, name: &str) -> String {
    let routes = "routes:
      - { names: [shop, \"shop/**\"], environment: prod/shop }
      - { names: [till], environment: prod/till }
      - { names: [cart], environment: prod/cart }";
    let of = |proxy: &str, tls: &str| {
        format!(
            "  - name: {proxy}\n    kind: oci\n    {tls}\n    as: \"{name}\"\n    upstream: {{ {upstream} }}\n    {more}\n    {routes}\n"
        )
    };
    let clients = "clients: { ca: tls/ca.crt, names: [ci.acme.example] }";
    of("images", TLS) + &of("open", &TLS.replace(clients, "anonymous: true"))
}

impl World {
    /// With Debian's registry; nothing where there is none.
    pub fn new(more: &str) -> Option<Self> {
        let registry = Registry::debian("")?;
        let upstream = format!("url: \"http://{}\"", registry.address);
        Some(Self::at(registry, &upstream, more))
    }

    /// With what stands in `upstream`.
    pub fn at(registry: Registry, upstream: &str, more: &str) -> Self {
        Self::called(registry, upstream, more, NAME)
    }

    /// Where images are called as the registry is, and it is asked for their evidence.
    pub fn asking(registry: Registry) -> Self {
        let address = registry.address.clone();
        Self::called(registry, &format!("url: \"http://{address}\""), "", &address)
    }

    fn called(registry: Registry, upstream: &str, more: &str, name: &str) -> Self {
        let shop = Policy {
            environment: "prod/shop".to_owned(),
            artifact: format!("{name}/shop"),
            text: SHOP.to_owned(),
        };
        let till = Policy {
            environment: "prod/till".to_owned(),
            artifact: format!("{name}/till"),
            text: SHOP.replace("acme/shop", "acme/till"),
        };
        let cart = Policy::tested("prod/cart", &format!("{name}/cart"));
        let site = Site::new(&[shop, till, cart], &proxies(upstream, more, name));
        if name != NAME {
            let config = fs::read_to_string(site.at("serve.yaml")).unwrap();
            let registries = format!("registries: [{{ registry: \"{name}\" }}]\nproxies:\n");
            fs::write(site.at("serve.yaml"), config.replace("proxies:\n", &registries)).unwrap();
        }
        let root = fs::read_to_string(site.at("trust-root.yaml")).unwrap();
        let root = root.replace("https://ci.acme.example/builders/official", BUILDER);
        fs::write(site.at("trust-root.yaml"), root).unwrap();
        let running = site.start();
        let host = site::address(&running, "images");
        let open = site::address(&running, "open");
        let world =
            Self { site, registry, _running: running, host, open, folder: tempfile::tempdir().unwrap() };
        let certificates = world.folder.path().join("certificates");
        fs::create_dir(&certificates).unwrap();
        for (from, to) in [("ca.crt", "ca.crt"), ("ci.crt", "client.cert"), ("ci.key", "client.key")] {
            fs::copy(world.site.at("tls").join(from), certificates.join(to)).unwrap();
        }
        world
    }

    pub fn image(&self, name: &str) -> Image {
        Image::new(self.folder.path(), name)
    }

    /// All the evidence that `prod/shop` wants, but for what is left out; `hours` ago.
    pub fn evidence(&self, manifest: &[u8], without: &str, hours: i64) {
        let digest = &Digest::sha256(manifest);
        let mut set = Vec::new();
        let store = self.site.store();
        for (what, bundle) in [
            ("build", self.built(manifest, hours)),
            ("review", self.reviewed()),
            ("test", self.site.tested(digest, "ci-tests", "passed")),
        ] {
            if what != without {
                set.push(store.put(&evidence::compact(&bundle).unwrap()).unwrap());
            }
        }
        store.attach(digest, &set).unwrap();
    }

    /// Ready to be admitted to `prod/shop`.
    pub fn good(&self, name: &str) -> Image {
        let image = self.image(name);
        self.evidence(&image.manifest, "", 0);
        image
    }

    fn built(&self, manifest: &[u8], hours: i64) -> Vec<u8> {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let (out, key, file) =
            (folder.path().join("out"), self.site.at("keys/official-ci.key"), folder.path().join("image"));
        fs::write(&file, manifest).unwrap();
        let ended = (now() - jiff::SignedDuration::from_hours(hours)).to_string();
        let mut args = vec!["attest", "build", path(&file), "--repository", REPOSITORY];
        args.extend(["--ref", "refs/heads/main", "--commit", COMMIT, "--builder-id", BUILDER]);
        args.extend(["--started", &ended, "--finished", &ended, "--key", path(&key), "--out", path(&out)]);
        expect(0, &args);
        fs::read(out.join("image.sigstore.json")).unwrap()
    }

    fn reviewed(&self) -> Vec<u8> {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let (out, key) = (folder.path().join("review.json"), self.site.at("keys/forge.key"));
        let subject = format!("gitCommit:{COMMIT}");
        let mut args = vec!["attest", "review", &subject, "--repository", REPOSITORY];
        args.extend(["--author", "alice@acme.example", "--reviewer", "bob@acme.example"]);
        args.extend(["--key", path(&key), "--out", path(&out)]);
        expect(0, &args);
        fs::read(&out).unwrap()
    }

    /// Another program, with nothing of the caller's home.
    pub fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(args).current_dir(self.folder.path());
        command.env("HOME", self.folder.path()).env("COSIGN_PASSWORD", "");
        command.env("SSL_CERT_FILE", self.site.at("tls/ca.crt"));
        command.output().unwrap()
    }

    pub fn skopeo(&self, layout: &Path, name: &str, more: &[&str]) -> Output {
        let (from, to) = (format!("oci:{}", path(layout)), format!("docker://{}/{name}", self.host));
        let copy = ["copy", "--insecure-policy", "--preserve-digests", "--retry-times", "0"];
        let certificates = ["--dest-cert-dir", "certificates"];
        self.run("skopeo", &[&copy[..], &certificates, more, &[&from, &to]].concat())
    }

    pub fn crane(&self, args: &[&str]) -> Output {
        self.run(path(&cache("registry/crane")), args)
    }

    pub fn oras(&self, args: &[&str]) -> Output {
        self.run(path(&cache("registry/oras")), args)
    }

    pub fn cosign(&self, args: &[&str]) -> Output {
        let (ca, cert, key) =
            (self.site.at("tls/ca.crt"), self.site.at("tls/ci.crt"), self.site.at("tls/ci.key"));
        let tls = ["--registry-cacert", path(&ca), "--registry-client-cert", path(&cert)];
        let key = ["--registry-client-key", path(&key)];
        self.run(path(&cache("tools/cosign")), &[args, &tls, &key].concat())
    }

    /// `curl` of the one with the certificate: the status and the body.
    pub fn curl(&self, at: &str, args: &[&str]) -> (u16, String) {
        let mut curl = self.site.curl("ci");
        curl.args(args).args(["-w", "\n%{http_code}"]).arg(format!("https://{}{at}", self.host));
        let output = curl.current_dir(self.folder.path()).output().unwrap();
        let text = stdout(&output);
        let (body, status) = text.rsplit_once('\n').unwrap_or(("", "0"));
        (status.parse().unwrap_or(0), format!("{body}{}", stderr(&output)))
    }

    /// A blob, whole.
    pub fn blob(&self, repository: &str, bytes: &[u8]) {
        let file = self.file(bytes);
        let to = format!("/v2/{repository}/blobs/uploads/?digest={}", Digest::sha256(bytes));
        let (status, said) = self.curl(&to, &["-X", "POST", "--data-binary", &format!("@{file}")]);
        assert_eq!(status, 201, "{said}");
    }

    /// A manifest by a name.
    pub fn manifest(&self, at: &str, media_type: &str, bytes: &[u8], more: &[&str]) -> (u16, String) {
        let (file, kind) = (self.file(bytes), format!("content-type: {media_type}"));
        let put = ["-X", "PUT", "-H", &kind, "--data-binary", &format!("@{file}")];
        self.curl(&format!("/v2/{at}"), &[&put[..], more].concat())
    }

    pub fn file(&self, bytes: &[u8]) -> String {
        let name = format!("body-{}", Digest::sha256(bytes).hex());
        let file = self.folder.path().join(&name);
        // another request may be reading it
        if !file.exists() {
            let new = tempfile::NamedTempFile::new_in(self.folder.path()).unwrap();
            fs::write(new.path(), bytes).unwrap();
            new.persist(file).unwrap();
        }
        name
    }

    /// Nothing is in the registry: no repository, no tag, no file on its disk.
    pub fn is_empty(&self) {
        assert_eq!(self.registry.stored(), Vec::<String>::new());
        let (_, said) = self.curl("/v2/_catalog", &[]);
        assert_eq!(said.trim(), r#"{"repositories":[]}"#);
    }

    /// The digest that a tag has in the registry, asked past the proxy.
    pub fn tag(&self, name: &str) -> Option<String> {
        let output = self.crane(&["digest", "--insecure", &format!("{}/{name}", self.registry.address)]);
        output.status.success().then(|| stdout(&output).trim().to_owned())
    }
}

/// What a client that was refused said.
pub fn refused(output: &Output) -> String {
    assert_ne!(code(output), 0, "{}{}", stdout(output), stderr(output));
    stdout(output) + &stderr(output)
}

pub fn succeeded(output: &Output) {
    assert_eq!(code(output), 0, "{}{}", stdout(output), stderr(output));
}

#[allow(clippy::disallowed_methods, reason = "a test's own clock")]
fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}
