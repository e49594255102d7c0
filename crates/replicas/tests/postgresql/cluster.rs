//! A throw-away PostgreSQL, by the distribution's programs. It refuses root, so it runs as nobody.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use tempfile::TempDir;

pub struct Cluster {
    dir: TempDir,
    name: String,
    pub port: u16,
}

fn binary(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .expect("PostgreSQL is not installed: cargo xtask setup")
        .map(|entry| entry.unwrap().path())
        .collect();
    versions.sort();
    versions.pop().unwrap().join("bin").join(name)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs a program as somebody whom PostgreSQL accepts.
pub fn run(name: &str, args: &[&str]) -> Output {
    let program = binary(name);
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.args(args).env("PGTZ", "UTC").env("LC_ALL", "C").current_dir("/");
    // a server keeps what it inherited: it must not keep the test's output open
    let log = tempfile::tempfile().unwrap();
    let status = command.stdout(log.try_clone().unwrap()).stderr(log.try_clone().unwrap()).status().unwrap();
    let mut text = Vec::new();
    let mut log = log;
    std::io::Seek::rewind(&mut log).unwrap();
    std::io::Read::read_to_end(&mut log, &mut text).unwrap();
    Output { status, stdout: text, stderr: Vec::new() }
}

fn must(name: &str, args: &[&str]) -> String {
    let output = run(name, args);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name} {args:?}: {text}");
    text
}

fn give(path: &Path) {
    if is_root() {
        let status = Command::new("chown").args(["-R", "65534:65534"]).arg(path).status().unwrap();
        assert!(status.success());
    }
}

const HBA: &str =
    "local all all trust\nlocal replication all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
const SETTINGS: &str =
    "listen_addresses = ''\nshared_buffers = 32MB\nmax_connections = 60\nlog_statement = 'all'\n";

/// Made once, and copied: that is quicker.
fn template() -> &'static Path {
    static TEMPLATE: OnceLock<PathBuf> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let version = binary("initdb").components().rev().nth(2).unwrap().as_os_str().to_owned();
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("postgresql").join(version);
        if kept.is_dir() {
            return kept;
        }
        let dir = tempfile::tempdir().unwrap();
        give(dir.path());
        let data = dir.path().join("data");
        must("initdb", &["-D", data.to_str().unwrap(), "-U", "postgres", "-N", "--auth=trust", "-E", "UTF8"]);
        std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
        // another test process may do the same now: whichever is first is as good
        let half = kept.with_extension(std::process::id().to_string());
        copy(&data, &half);
        if std::fs::rename(&half, &kept).is_err() {
            std::fs::remove_dir_all(&half).unwrap();
        }
        kept
    })
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

impl Cluster {
    /// A server that runs.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        give(dir.path());
        let cluster = Self { dir, name: "data".to_owned(), port: 5432 };
        copy(template(), &cluster.data());
        std::fs::write(cluster.data().join("pg_hba.conf"), HBA).unwrap();
        let path = cluster.data().join("postgresql.conf");
        let all = std::fs::read_to_string(&path).unwrap() + SETTINGS;
        std::fs::write(path, all).unwrap();
        cluster.up("");
        cluster
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// Starts it; with further options for the server.
    pub fn up(&self, options: &str) {
        let server = format!("-k {} -p {} {options}", self.dir().display(), self.port);
        let (data, log) = (self.data(), self.dir().join("log"));
        must(
            "pg_ctl",
            &["-D", data.to_str().unwrap(), "-w", "-l", log.to_str().unwrap(), "-o", &server, "start"],
        );
    }

    /// Stops it: `fast`, or `immediate` as if the power were cut.
    pub fn down(&self, mode: &str) {
        must("pg_ctl", &["-D", self.data().to_str().unwrap(), "-m", mode, "-w", "stop"]);
    }

    /// Copies what is on disk, as a backup of a stopped server is made.
    pub fn back_up(&self, name: &str) {
        copy(&self.data(), &self.dir().join(name));
    }

    /// Puts a copy in the place of a stopped server's data.
    pub fn restore(&self, name: &str) {
        std::fs::remove_dir_all(self.data()).unwrap();
        copy(&self.dir().join(name), &self.data());
    }

    /// A standby of this server that follows it, under another port.
    pub fn standby(&self, port: u16) -> Standby {
        let data = self.dir().join("standby");
        let (dir, own) = (self.dir().to_str().unwrap(), self.port.to_string());
        must(
            "pg_basebackup",
            &[
                "-h",
                dir,
                "-p",
                &own,
                "-U",
                "postgres",
                "-D",
                data.to_str().unwrap(),
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
            ],
        );
        let auto = data.join("postgresql.auto.conf");
        let text = std::fs::read_to_string(&auto)
            .unwrap()
            .replace("user=postgres", "application_name=standby user=postgres");
        std::fs::write(&auto, text).unwrap();
        let standby = Standby { data, dir: self.dir().to_owned() };
        standby.start(port);
        standby
    }

    /// The standby is the server from now on.
    pub fn take_over(&mut self, standby: Standby) {
        std::mem::forget(standby);
        self.name = "standby".to_owned();
    }

    /// What a statement gives, as the superuser.
    pub fn sql(&self, text: &str) -> String {
        self.sql_as("postgres", text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    pub fn sql_as(&self, user: &str, text: &str) -> Result<String, String> {
        let (dir, port) = (self.dir().to_str().unwrap(), self.port.to_string());
        let output = run("psql", &["-h", dir, "-p", &port, "-U", user, "-d", "postgres", "-Atqc", text]);
        let out = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() { Ok(out) } else { Err(out) }
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir().join("log")).unwrap()).into_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        run("pg_ctl", &["-D", self.data().to_str().unwrap(), "-m", "immediate", "-w", "stop"]);
    }
}

pub struct Standby {
    data: PathBuf,
    dir: PathBuf,
}

impl Standby {
    pub fn stop(&self) {
        must("pg_ctl", &["-D", self.data.to_str().unwrap(), "-m", "fast", "-w", "stop"]);
    }

    pub fn start(&self, port: u16) {
        let server = format!("-k {} -p {port}", self.dir.display());
        let (data, log) = (self.data.to_str().unwrap(), self.dir.join("log-standby"));
        must("pg_ctl", &["-D", data, "-w", "-l", log.to_str().unwrap(), "-o", &server, "start"]);
    }

    /// It stops following, and takes the port of the one that is gone.
    pub fn promote(&self, port: u16) {
        let data = self.data.to_str().unwrap();
        must("pg_ctl", &["-D", data, "-w", "promote"]);
        self.stop();
        self.start(port);
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        run("pg_ctl", &["-D", self.data.to_str().unwrap(), "-m", "immediate", "-w", "stop"]);
    }
}
