//! A real store with S3's API, Amazon's SDK, and a proxy between them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attest::Digest;

use crate::server::Server;
use crate::site::{Policy, Site, TLS, address};
use crate::tools::serving::Serving;
use crate::tools::{cache, part, path, stderr, stdout};

/// The keys of the store, which its clients do not have.
const OWN: (&str, &str) = ("store-root", "the-stores-own-secret");
pub const BUCKET: &str = "shop-downloads";
const PRELUDE: &str = include_str!("prelude.py");

/// versitygw, on files; killed when it is dropped.
pub struct Store {
    _server: Server,
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Store {
    fn start() -> Option<Self> {
        let program = part("versitygw", cache("s3/versitygw"))?;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        ["objects", "accounts"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
        let server = Server::start(&at("said"), |port| {
            let mut command = Command::new(&program);
            command.args(["--quiet", "--access", OWN.0, "--secret", OWN.1, "--region", "us-east-1"]);
            command.args(["--keep-alive", "--port", &format!("127.0.0.1:{port}"), "--iam-dir"]);
            command.arg(at("accounts")).arg("posix").arg(at("objects"));
            command
        });
        let port = server.port;
        // somebody to grant something to
        let mut command = Command::new(&program);
        command.args(["admin", "--access", OWN.0, "--secret", OWN.1, "--endpoint-url"]);
        command.arg(format!("http://127.0.0.1:{port}")).args(["create-user", "--access", "partner"]);
        let made = command.args(["--secret", "partners-secret", "--role", "user"]).output().unwrap();
        assert!(made.status.success(), "{}", stderr(&made));
        Some(Self { _server: server, folder, port })
    }
}

/// All of it.
pub struct World {
    pub store: Store,
    pub site: Site,
    pub running: Serving,
    pub proxy: String,
    python: PathBuf,
}

impl World {
    /// Clients come with certificates.
    pub fn new() -> Option<Self> {
        Self::with(TLS, "")
    }

    /// Clients sign their requests with keys of their own.
    pub fn signed() -> Option<Self> {
        let tls = TLS.lines().filter(|line| !line.contains("clients:")).collect::<Vec<_>>().join("\n");
        Self::with(&tls, "    anonymous: true\n    accounts: accounts.yaml\n")
    }

    fn with(tls: &str, more: &str) -> Option<Self> {
        let (python, store) = (part("boto3", cache("s3/client/bin/python"))?, Store::start()?);
        let section = format!(
            "  - name: downloads
    kind: s3
    {tls}
{more}    upstream: {{ url: \"http://127.0.0.1:{}\" }}
    region: us-east-1
    keys: store.keys
    routes:
      - {{ names: [\"{BUCKET}/releases/**\"], environment: prod/downloads }}
      - {{ names: [\"{BUCKET}?policy\"], environment: prod/policy }}
      - {{ names: [\"{BUCKET}?*\"], environment: prod/access }}
",
            store.port
        );
        let reviewed = |environment: &str, word: &str| Policy {
            environment: environment.to_owned(),
            artifact: format!("s3://{BUCKET}?{word}"),
            text: "require: { signed-by: { at-least: 2, of: [bob, release-desk] } }".to_owned(),
        };
        let downloads = Policy::tested("prod/downloads", &format!("s3://{BUCKET}/releases/*"));
        let site = Site::new(
            &[downloads, reviewed("prod/access", "acl"), reviewed("prod/policy", "policy")],
            &section,
        );
        let keys = |(id, secret): (&str, &str)| format!("access-key-id: {id}\nsecret-access-key: {secret}\n");
        fs::write(site.at("store.keys"), keys(OWN)).unwrap();
        let accounts = "accounts:\n  - name: ci.acme.example\n    access-key-id: ci-key\n    secret-access-key: ci-secret\n";
        fs::write(site.at("accounts.yaml"), accounts).unwrap();
        let running = site.start();
        let proxy = address(&running, "downloads");
        let world = Self { store, site, running, proxy, python };
        world.direct("s.create_bucket(Bucket=B, ObjectOwnership='BucketOwnerPreferred')");
        Some(world)
    }

    /// Runs lines of Python through the proxy; what was said, `done` where it succeeded.
    pub fn client(&self, lines: &str) -> String {
        let tls = |name: &str| self.site.at(&format!("tls/{name}"));
        let (certificate, key) = (tls("ci.crt"), tls("ci.key"));
        self.python(
            &format!("https://{}", self.proxy),
            &[path(&certificate), path(&key), "any", "thing"],
            lines,
        )
    }

    /// The same with keys and no certificate.
    pub fn signer(&self, id: &str, secret: &str, lines: &str) -> String {
        self.python(&format!("https://{}", self.proxy), &["", "", id, secret], lines)
    }

    /// The same past the proxy, with the store's own keys, as nobody should be able to.
    pub fn direct(&self, lines: &str) -> String {
        let said =
            self.python(&format!("http://127.0.0.1:{}", self.store.port), &["", "", OWN.0, OWN.1], lines);
        assert!(said.ends_with("done"), "{said}");
        said
    }

    fn python(&self, endpoint: &str, who: &[&str], lines: &str) -> String {
        let mut command = Command::new(&self.python);
        command.args(["-c", PRELUDE, endpoint]).arg(self.site.at("tls/ca.crt")).args(who).arg(lines);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("NO_PROXY", "*");
        let output = command.output().unwrap();
        assert!(output.status.success(), "{lines}\n{}", stderr(&output));
        stdout(&output).trim().to_owned()
    }

    /// Amazon's command line, with keys.
    pub fn aws(&self, id: &str, secret: &str, args: &[&str]) -> std::process::Output {
        let mut command = Command::new(self.python.with_file_name("aws"));
        command.args(["--endpoint-url", &format!("https://{}", self.proxy), "--region", "us-east-1"]);
        command.arg("--ca-bundle").arg(self.site.at("tls/ca.crt")).args(args);
        command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret).env("NO_PROXY", "*");
        command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_MAX_ATTEMPTS", "1").output().unwrap()
    }

    /// The names of all objects that the store has, in order.
    pub fn objects(&self) -> Vec<String> {
        let mut names = Vec::new();
        let bucket = self.store.folder.path().join("objects").join(BUCKET);
        walk(&bucket, &bucket, &mut names);
        names.sort();
        names
    }

    /// An object's bytes, as the store has them.
    pub fn object(&self, name: &str) -> Vec<u8> {
        fs::read(self.store.folder.path().join("objects").join(BUCKET).join(name)).unwrap()
    }

    /// Two reviewers sign for these bytes.
    pub fn review(&self, bytes: &[u8]) {
        let digest = Digest::sha256(bytes);
        let store = self.site.store();
        let signed = ["bob", "release-desk"].map(|who| {
            let bundle = self.site.tested(&digest, who, "passed");
            store.put(&evidence::compact(&bundle).unwrap()).unwrap()
        });
        store.attach(&digest, &signed).unwrap();
    }
}

fn walk(root: &Path, folder: &Path, names: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.path().strip_prefix(root).unwrap().display().to_string();
        // the store's own folder for what is being written
        if name == ".sgwtmp" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() { walk(root, &entry.path(), names) } else { names.push(name) }
    }
}

/// Runs with this input; what was printed.
pub fn with_input(mut command: Command, input: &[u8]) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // who is refused early does not read all of it
    child.stdin.take().unwrap().write_all(input).ok();
    stdout(&child.wait_with_output().unwrap())
}
