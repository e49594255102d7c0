//! Real registries, and an image to push.
#![allow(dead_code, reason = "not every test uses every kind")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use attest::Digest;

use crate::tools::{cache, part, path};

const LOGIN: &str = "alice:$2a$05$J1nJpKAsY4nMOxN.e9kB0.U6RHcsi0.en42.IDV2QTkcLnmRyrQnq\n";

/// A registry that runs until it is dropped.
pub struct Registry {
    process: Child,
    pub address: String,
    data: tempfile::TempDir,
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Registry {
    /// Debian's, in a folder; `auth` is that part of its configuration.
    pub fn debian(auth: &str) -> Option<Self> {
        let program = part("docker-registry", cache("registry/docker-registry"))?;
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join("login"), LOGIN).unwrap();
        // somebody else can take the port between the two
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let folder = path(data.path());
        let config = format!(
            "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {folder}/data }} }}\n\
             http: {{ addr: \"{address}\" }}\n{}",
            auth.replace("FOLDER", folder)
        );
        fs::write(data.path().join("config.yml"), config).unwrap();
        let mut command = Command::new(program);
        command.arg("serve").arg(data.path().join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null());
        let registry = Self { process: command.spawn().unwrap(), address, data };
        for _ in 0..200 {
            if TcpStream::connect(&registry.address).is_ok() {
                return Some(registry);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("docker-registry does not start");
    }

    /// One that keeps a list of referrers, in memory.
    pub fn listing() -> Option<Self> {
        let program = part("a registry with the referrers API", cache("registry/registry"))?;
        let mut process = Command::new(program).stdout(Stdio::piped()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut address).unwrap();
        Some(Self { process, address: address.trim().to_owned(), data: tempfile::tempdir().unwrap() })
    }

    /// All that Debian's has on its disk, by the names of its files below the folder of its data.
    pub fn stored(&self) -> Vec<String> {
        let (root, mut found) = (self.data.path().join("data"), Vec::new());
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false => found.push(path(entry.path().strip_prefix(&root).unwrap()).to_owned()),
                }
            }
        }
        found.sort();
        found
    }

    /// Both kinds, and whether they keep a list.
    pub fn all() -> Option<[(Self, bool); 2]> {
        Some([(Self::debian("")?, false), (Self::listing()?, true)])
    }
}

/// An image with one empty layer.
pub fn layout(dir: &Path) -> Digest {
    fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
    let blob = |media_type: &str, bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        fs::write(dir.join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        let text = format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{}}}"#, bytes.len());
        (digest, text)
    };
    let (layer, described) = blob("application/vnd.oci.image.layer.v1.tar", &[0; 1024]);
    let rootfs = format!(r#"{{"type":"layers","diff_ids":["{layer}"]}}"#);
    let config = format!(r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{rootfs}}}"#);
    let (_, config) = blob("application/vnd.oci.image.config.v1+json", config.as_bytes());
    let of = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        format!(r#"{{"schemaVersion":2,"mediaType":"{of}","config":{config},"layers":[{described}]}}"#);
    let (digest, manifest) = blob(of, manifest.as_bytes());
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(dir.join("index.json"), format!(r#"{{"schemaVersion":2,"manifests":[{manifest}]}}"#)).unwrap();
    digest
}
