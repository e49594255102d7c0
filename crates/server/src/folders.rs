//! Files of builds: a folder for each job, a folder in it for each attempt, and `outputs`, which appears by one rename.
//!
//! ```text
//! STATE/jobs/ID/log            what the build says, over all attempts
//! STATE/jobs/ID/1/result       what the first attempt's process printed at its end; locked while it lives
//! STATE/jobs/ID/1/out          what it published
//! STATE/jobs/ID/1/work         its temporary files
//! STATE/jobs/ID/1/log          what its command prints
//! STATE/jobs/ID/outputs        the `out` of the attempt that succeeded
//! STATE/jobs/ID/record         the `out` of one that left nothing but the signed record of its failure
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use attest::digest::Hasher;
use attest::{Json, Object};
use rustix::fs::{FlockOperation, OFlags, flock};

/// A result is a list of names, or an error.
const MAX_RESULT: u64 = 1 << 20;
/// A process whose service is gone ends at once; what takes longer hangs in the kernel.
const PATIENCE: Duration = Duration::from_secs(10);

/// The service's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folders {
    jobs: PathBuf,
    queue: PathBuf,
}

/// The folder of one job.
#[derive(Clone, Debug)]
pub(crate) struct JobFolder(PathBuf);

impl Folders {
    /// Opens the service's folder and its lock: two services on one queue would run everything twice.
    pub(crate) fn open(state: &Path) -> io::Result<(Self, File)> {
        make(state, 0o711)?;
        let jobs = state.join("jobs");
        make(&jobs, 0o711)?;
        let lock = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(state.join("lock"))?;
        take(&lock)?;
        // the database gives its own mode to the files that it makes beside it
        let queue = state.join("queue.sqlite");
        OpenOptions::new().create(true).append(true).mode(0o600).open(&queue)?;
        Ok((Self { jobs, queue }, lock))
    }

    pub(crate) fn queue(&self) -> &Path {
        &self.queue
    }

    pub(crate) fn job(&self, id: &str) -> JobFolder {
        JobFolder(self.jobs.join(id))
    }

    /// Removes the folders of all attempts. Only while no build runs: a service that was killed between the end of a
    /// build and its tidying left them.
    pub(crate) fn tidy_all(&self) -> io::Result<()> {
        for job in fs::read_dir(&self.jobs)? {
            for entry in fs::read_dir(job?.path())? {
                let entry = entry?;
                if entry.file_name().to_str().is_some_and(|name| name.parse::<i64>().is_ok()) {
                    remove(&entry.path())?;
                }
            }
        }
        Ok(())
    }
}

impl JobFolder {
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    pub(crate) fn out(&self, attempt: i64) -> PathBuf {
        self.0.join(attempt.to_string()).join("out")
    }

    pub(crate) fn work(&self, attempt: i64) -> PathBuf {
        self.0.join(attempt.to_string()).join("work")
    }

    /// What the command of an attempt prints.
    pub(crate) fn command_log(&self, attempt: i64) -> PathBuf {
        self.0.join(attempt.to_string()).join("log")
    }

    fn result(&self, attempt: i64) -> PathBuf {
        self.0.join(attempt.to_string()).join("result")
    }

    fn record(&self) -> PathBuf {
        self.0.join("record")
    }

    fn outputs(&self) -> PathBuf {
        self.0.join("outputs")
    }

    /// Makes the folder of an attempt, and gives the file for its result, locked. The lock lives as long as any
    /// process that holds this file: that is how the next service knows whether the attempt is over.
    pub(crate) fn begin(&self, attempt: i64) -> io::Result<File> {
        make(&self.0, 0o711)?;
        let dir = self.0.join(attempt.to_string());
        remove(&dir)?;
        make(&dir, 0o711)?;
        make(&self.work(attempt), 0o711)?;
        make(&self.out(attempt), 0o700)?;
        let result =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.result(attempt))?;
        flock(&result, FlockOperation::NonBlockingLockExclusive)?;
        Ok(result)
    }

    /// Waits until no process of the attempt is left; says whether that is so.
    pub(crate) async fn is_left(&self, attempt: i64) -> bool {
        let Ok(result) = File::open(self.result(attempt)) else { return true };
        let step = Duration::from_millis(20);
        let mut waited = Duration::ZERO;
        while flock(&result, FlockOperation::NonBlockingLockExclusive).is_err() {
            if waited > PATIENCE {
                return false;
            }
            tokio::time::sleep(step).await;
            waited += step;
        }
        true
    }

    /// What the attempt's process printed at its end; nothing where it did not come so far.
    pub(crate) fn told(&self, attempt: i64) -> Option<Json> {
        let mut text = String::new();
        File::open(self.result(attempt)).ok()?.take(MAX_RESULT).read_to_string(&mut text).ok()?;
        attest::json::parse(text.as_bytes()).ok()
    }

    /// Publishes what the attempt made: everything that it promised, or nothing. Done again after a kill, it gives the
    /// same.
    pub(crate) fn publish(&self, attempt: i64) -> io::Result<Json> {
        let outputs = self.outputs();
        if !outputs.exists() {
            let out = self.out(attempt);
            for name in self.told(attempt).and_then(|told| promised(&told)).ok_or_else(no_result)? {
                open_plain(&out.join(name))?.sync_all()?;
            }
            File::open(&out)?.sync_all()?;
            fs::rename(&out, &outputs)?;
            File::open(&self.0)?.sync_all()?;
        }
        describe(&outputs)
    }

    /// Publishes the signed record of a failure, where the attempt left one, under a name that no success has.
    pub(crate) fn publish_failure(&self, attempt: i64) -> io::Result<Option<Json>> {
        let (out, record) = (self.out(attempt), self.record());
        let is_record = |name: &std::ffi::OsStr| {
            name.to_str().is_some_and(|name| name.ends_with(".failed.sigstore.json"))
        };
        if !record.exists() {
            let entries = fs::read_dir(&out).into_iter().flatten().flatten();
            let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
            // anything else that is there was not announced, and is nobody's
            if names.is_empty() || !names.iter().all(|name| is_record(name)) {
                return Ok(None);
            }
            fs::rename(&out, &record)?;
            File::open(&self.0)?.sync_all()?;
        }
        describe(&record).map(Some)
    }

    /// Whether the outputs are there, whole: they only ever appear so.
    pub(crate) fn is_published(&self) -> bool {
        self.outputs().is_dir()
    }

    /// Removes what an attempt leaves behind.
    pub(crate) fn tidy(&self, attempt: i64) -> io::Result<()> {
        remove(&self.0.join(attempt.to_string()))
    }

    /// Removes everything of the job.
    pub(crate) fn sweep(&self) -> io::Result<()> {
        remove(&self.0)
    }

    /// An output by its name, which the caller took from the list of outputs.
    pub(crate) fn output(&self, name: &str) -> io::Result<File> {
        open_plain(&self.outputs().join(name)).or_else(|_| open_plain(&self.record().join(name)))
    }
}

/// The names of artifacts and bundles in the result of a build that succeeded.
fn promised(told: &Json) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for output in told.as_object().ok()?.get("outputs")?.as_array().ok()? {
        let output = output.as_object().ok()?;
        let tests = output.get("tests").and_then(|t| t.as_array().ok()).unwrap_or_default();
        let bundles = tests.iter().map(|test| test.as_object().ok()?.string("bundle").ok());
        let paths = [output.string("artifact").ok(), output.string("bundle").ok()].into_iter().chain(bundles);
        for path in paths {
            names.push(Path::new(path?).file_name()?.to_str()?.to_owned());
        }
    }
    (!names.is_empty()).then_some(names)
}

fn describe(outputs: &Path) -> io::Result<Json> {
    let mut files = Vec::new();
    for entry in fs::read_dir(outputs)? {
        let entry = entry?;
        let name =
            entry.file_name().into_string().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let mut file = open_plain(&entry.path())?;
        let size = i64::try_from(file.metadata()?.size()).unwrap_or(i64::MAX);
        let mut hasher = Hasher::new(&[]);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = file.read(&mut buffer)?;
            let piece = buffer.get(..count).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            hasher.update(piece);
        }
        let digest = hasher.finish().first().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        files.push((name, size, digest.hex().to_owned()));
    }
    files.sort();
    let one = |(name, size, hex): (String, i64, String)| {
        Object::new().with("name", name).with("size", size).with("sha256", hex)
    };
    Ok(files.into_iter().map(one).collect::<Vec<Object>>().into())
}

/// Takes the service's lock. A child that a killed service had forked and that has not yet become a build holds it for a
/// moment longer.
fn take(lock: &File) -> io::Result<()> {
    for _ in 0..250 {
        match flock(lock, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(20)),
            other => return Ok(other?),
        }
    }
    Ok(flock(lock, FlockOperation::NonBlockingLockExclusive)?)
}

/// Opens a plain file, never through a link.
fn open_plain(path: &Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or(0);
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let other = || io::Error::new(io::ErrorKind::InvalidInput, "it is no plain file");
    if file.metadata()?.is_file() { Ok(file) } else { Err(other()) }
}

/// Reads a plain file whole, where it is not longer than that: a folder that others write to may hold a pipe that nobody
/// writes into, or a file of a length that no memory has.
pub(crate) fn read_plain(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = open_plain(path)?;
    let too_long = || io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {most} bytes"));
    let length = file.metadata()?.len();
    let mut bytes = Vec::new();
    if length <= most {
        // it may grow meanwhile
        file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    }
    let is_longer = length > most || u64::try_from(bytes.len()).is_ok_and(|read| read > most);
    if is_longer { Err(too_long()) } else { Ok(bytes) }
}

fn no_result() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the build ended well and named no outputs")
}

fn make(path: &Path, mode: u32) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(mode).create(path)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
