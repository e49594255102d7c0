//! A real nginx as what a proxy stands in front of: files by `PUT`, `GET` and `DELETE`, with whatever the test adds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::Server;
use crate::tools::part;

/// Killed when it is dropped.
pub struct Nginx {
    _server: Server,
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Nginx {
    /// Starts it; nothing where there is none. `server` are further lines of its server, as for its certificate.
    pub fn start(listen: &str, server: &str) -> Option<Self> {
        let program = part("nginx", PathBuf::from("/usr/sbin/nginx"))?;
        let folder = tempfile::tempdir().unwrap();
        for name in ["files", "temporary"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let server = Server::start(&folder.path().join("said"), |port| {
            fs::write(folder.path().join("nginx.conf"), config(folder.path(), port, listen, server)).unwrap();
            let mut command = Command::new(program);
            command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
            command.arg("-e").arg(folder.path().join("error.log"));
            command
        });
        Some(Self { port: server.port, _server: server, folder })
    }

    /// A file that was put there.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join("files").join(name)
    }

    /// Whether nobody stored anything.
    pub fn is_empty(&self) -> bool {
        files(&self.file("")) == 0
    }

    /// The requests that it had, a line for each.
    pub fn requests(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

fn config(folder: &Path, port: u16, listen: &str, server: &str) -> String {
    let at = |name: &str| folder.join(name).display().to_string();
    format!(
        "user root; daemon off; worker_processes 1; pid {};
events {{ worker_connections 2048; }}
http {{
  access_log {} combined; error_log {}; client_max_body_size 0; client_body_temp_path {};
  proxy_temp_path {}; fastcgi_temp_path {}; uwsgi_temp_path {}; scgi_temp_path {};
  server {{
    listen 127.0.0.1:{port} {listen}; root {};
    {server}
    location / {{ dav_methods PUT DELETE MKCOL COPY MOVE; create_full_put_path on; }}
  }}
}}
",
        at("nginx.pid"),
        at("access.log"),
        at("error.log"),
        at("temporary"),
        at("t1"),
        at("t2"),
        at("t3"),
        at("t4"),
        at("files")
    )
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|e| if e.file_type().unwrap().is_dir() { files(&e.path()) } else { 1 }).sum()
}
