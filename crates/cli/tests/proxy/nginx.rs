//! A real nginx as what a proxy stands in front of: files by `PUT`, `GET` and `DELETE`, with whatever the test adds.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::site::until;
use crate::tools::part;

/// Killed when it is dropped.
pub struct Nginx {
    child: Child,
    folder: tempfile::TempDir,
    pub port: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // its worker ends with it: SIGQUIT and SIGTERM are for the master, which tells the others
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().ok();
        self.child.wait().ok();
    }
}

impl Nginx {
    /// Starts it; nothing where there is none. `server` are further lines of its server, as for its certificate.
    pub fn start(listen: &str, server: &str) -> Option<Self> {
        let program = part("nginx", PathBuf::from("/usr/sbin/nginx"))?;
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = |name: &str| folder.path().join(name).display().to_string();
        for name in ["files", "temporary"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let config = format!(
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
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
        command.args(["-e", &at("error.log")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until("nginx does not listen", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self { child, folder, port })
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

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    entries.map(|e| if e.file_type().unwrap().is_dir() { files(&e.path()) } else { 1 }).sum()
}
