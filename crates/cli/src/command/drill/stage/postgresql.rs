//! A throw-away PostgreSQL, where this machine has its programs. It listens in a folder of its own and nowhere else, and ends
//! with the drill.

use std::fs::File;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::Stage;
use crate::bounded;
use crate::command::drill::outcome::Trial;
use crate::failure::Failure;
use crate::keys;

const ABSENT: &str = "no PostgreSQL on this machine";
/// Each is in the folder with the others.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "psql"];
/// Where Debian has a folder for each version.
const VERSIONS: &str = "/usr/lib/postgresql";
const FOLDERS: [&str; 4] = ["/usr/pgsql/bin", "/usr/local/pgsql/bin", "/usr/local/bin", "/usr/bin"];
/// What the server says, in its folder.
const LOG: &str = "log";
/// The oldest that shares a log.
const OLDEST: u32 = 14;
/// It refuses root; this is nobody.
const NOBODY: u32 = 65_534;
/// How long anything may take that is asked of it.
const WITHIN: Duration = Duration::from_secs(60);
const MAX_ANSWER: usize = 1 << 20;
/// Whoever deploys says the password. All others are known by the socket, which nobody else can reach.
const RULES: &str = "local all deployer scram-sha-256\nlocal all all trust\n";
/// Whatever it holds is thrown away.
const SETTINGS: [&str; 5] =
    ["listen_addresses=", "fsync=off", "shared_buffers=16MB", "max_connections=30", "log_timezone=UTC"];

pub(crate) struct PostgreSql {
    programs: PathBuf,
    server: Child,
    dir: tempfile::TempDir,
}

impl Drop for PostgreSql {
    fn drop(&mut self) {
        // as it is told to end at once, it takes its own processes along
        if let Some(pid) = i32::try_from(self.server.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::QUIT).ok();
        }
        self.server.wait().ok();
    }
}

impl Stage<'_> {
    /// What is tried with a PostgreSQL; where there is none, that it was not.
    pub(crate) fn with_postgresql(
        &self,
        what: &[&'static str],
        stage: impl FnOnce(&PostgreSql) -> Result<Vec<Trial>, Failure>,
    ) -> Result<Vec<Trial>, Failure> {
        match self.postgresql()? {
            Some(postgresql) => stage(postgresql),
            None => Ok(what.iter().map(|what| Trial::NotStaged { what, why: ABSENT }).collect()),
        }
    }

    /// The one of all drills, from the first one on that asks for it.
    fn postgresql(&self) -> Result<Option<&PostgreSql>, Failure> {
        if let Some(started) = self.postgresql.get() {
            return Ok(started.as_ref());
        }
        let started = match programs(Path::new(VERSIONS), &FOLDERS.map(Path::new)) {
            Some(programs) => {
                self.output.progress("     starting a throw-away PostgreSQL");
                Some(PostgreSql::start(programs)?)
            }
            None => None,
        };
        Ok(self.postgresql.get_or_init(|| started).as_ref())
    }
}

/// The folder with the programs: of the newest version, where each has one.
fn programs(versions: &Path, folders: &[&Path]) -> Option<PathBuf> {
    let entries = std::fs::read_dir(versions).into_iter().flatten().flatten();
    let number = |name: &std::ffi::OsStr| name.to_str().and_then(|name| name.parse::<u32>().ok());
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((number(&entry.file_name())?, entry.path().join("bin"))))
        .filter(|(number, _)| *number >= OLDEST)
        .collect();
    found.sort();
    let newest = found.into_iter().rev().map(|(_, folder)| folder);
    let mut all = newest.chain(folders.iter().map(|folder| folder.to_path_buf()));
    all.find(|folder| PROGRAMS.iter().all(|program| folder.join(program).is_file()))
}

fn cannot(what: &str, found: &dyn std::fmt::Display) -> Failure {
    Failure::new(&format!("PostgreSQL is on this machine, and {what}"))
        .line("found", &found.to_string())
        .line("fix", "mend it, so that the drill can stage what is tried with it")
}

impl PostgreSql {
    fn start(programs: PathBuf) -> Result<Self, Failure> {
        let made = tempfile::Builder::new().prefix("portcullis-drill-postgresql-").tempdir();
        let dir = made.map_err(|e| cannot("has no folder", &e))?;
        if geteuid().is_root() {
            chown(dir.path(), Some(NOBODY), Some(NOBODY)).map_err(|e| cannot("has no folder", &e))?;
        }
        let data = dir.path().join("data");
        let mut make = as_somebody(&programs.join("initdb"));
        make.arg("-D").arg(&data).args(["-U", "postgres", "-E", "UTF8", "--no-locale", "--auth=trust", "-N"]);
        ended(&mut make, "", "makes no cluster")?;
        keys::write(&data.join("pg_hba.conf"), RULES)?;
        let mut serve = as_somebody(&programs.join("postgres"));
        serve.arg("-D").arg(&data).arg("-k").arg(dir.path());
        serve.args(SETTINGS.iter().flat_map(|setting| ["-c", setting]));
        let log = File::create(dir.path().join(LOG)).map_err(|e| cannot("does not start", &e))?;
        serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let server = serve.spawn().map_err(|e| cannot("does not start", &e))?;
        let mut started = Self { programs, server, dir };
        started.wait()?;
        Ok(started)
    }

    fn wait(&mut self) -> Result<(), Failure> {
        let began = Instant::now();
        while self.sql("postgres", "SELECT 1").is_err() {
            let has_ended = self.server.try_wait().ok().flatten().is_some();
            if has_ended || began.elapsed() > WITHIN {
                let said = std::fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default();
                return Err(cannot("does not start", &said.lines().last().unwrap_or("it says nothing")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// The folder of its socket.
    pub(crate) fn host(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn psql(&self) -> PathBuf {
        self.programs.join("psql")
    }

    /// What a statement gives, as its superuser.
    pub(crate) fn sql(&self, database: &str, text: &str) -> Result<String, Failure> {
        let mut ask = as_somebody(&self.psql());
        ask.arg("-h").arg(self.host()).args(["-U", "postgres", "-d", database, "-X", "-A", "-t", "-q"]);
        // from its input, each by itself: a database is not made in a transaction with anything else
        ended(ask.args(["-v", "ON_ERROR_STOP=1", "-f", "-"]), text, "does not do what it is asked")
    }
}

/// A program with nothing of the caller's environment, as a user that PostgreSQL takes.
fn as_somebody(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// What it printed, where it ended well.
fn ended(command: &mut Command, input: &str, failed: &str) -> Result<String, Failure> {
    let ended = bounded::run(command, input.into(), Instant::now() + WITHIN, MAX_ANSWER);
    let ended = ended.map_err(|e| cannot(failed, &e))?;
    match ended.code {
        Some(0) => Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned()),
        _ => Err(cannot(failed, &String::from_utf8_lossy(&ended.stderr).trim())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_has_everything_is_taken_and_none_that_is_too_old() {
        let dir = tempfile::tempdir().unwrap();
        let (versions, other) = (dir.path().join("versions"), dir.path().join("other"));
        let put = |folder: &Path, names: &[&str]| {
            std::fs::create_dir_all(folder).unwrap();
            names.iter().for_each(|name| std::fs::write(folder.join(name), "").unwrap());
        };
        assert_eq!(programs(&versions, &[&other]), None);
        put(&versions.join("9/bin"), &PROGRAMS);
        put(&versions.join("13/bin"), &PROGRAMS);
        put(&versions.join("18/bin"), &["psql"]);
        assert_eq!(programs(&versions, &[&other]), None);
        put(&other, &PROGRAMS);
        assert_eq!(programs(&versions, &[&other]), Some(other.clone()));
        put(&versions.join("14/bin"), &PROGRAMS);
        put(&versions.join("15/bin"), &PROGRAMS);
        assert_eq!(programs(&versions, &[&other]), Some(versions.join("15/bin")));
    }
}
