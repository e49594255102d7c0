//! twine and uv in front of pypiserver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use attest::Digest;

use crate::server::{Server, identity, said};
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
    // good bytes under the name of another project
    let confused = world.folder.path().join("made/payroll-1.0-py3-none-any.whl");
    fs::copy(world.tested("shop", "0.4", "good"), &confused).unwrap();
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
        let stored = world.folder.path().join("files").join(file.file_name().unwrap());
        assert_eq!(digest(&stored), digest(&file));
    }
    // an index that does not overwrite says so itself, and the client hears it
    let again = world.tested("shop", "1.0", "another good one");
    world.refuses(&world.twine(&again), "409");
    assert_eq!(world.stored(), ["shop-1.0-py3-none-any.whl", "shop-1.1-py3-none-any.whl"]);
}
