//! Programs that are gone when the test is gone, however it ends, and a folder that goes with them.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, Once, OnceLock};

type Order = (Command, Sender<std::io::Result<Child>>);

/// The kernel kills a child with `--pdeathsig` when the *thread* that made it ends, and a test's thread ends with the
/// test. So one thread that never ends makes them all.
fn keeper() -> &'static Mutex<Sender<Order>> {
    static KEEPER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    KEEPER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in orders {
                answer.send(command.spawn()).ok();
            }
        });
        Mutex::new(sender)
    })
}

/// A program in the background. It is killed when this value goes, and when the test process goes.
pub struct Process {
    child: Child,
    pub log: PathBuf,
}

impl Process {
    /// Starts it, with everything that it says in `log`.
    pub fn start(program: &Path, args: &[String], log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program).args(args).env_clear();
        command.env("HOME", log.parent().unwrap()).env("PATH", "/usr/bin:/bin").process_group(0);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let (answer, child) = channel();
        keeper().lock().unwrap().send((command, answer)).unwrap();
        Self { child: child.recv().unwrap().unwrap(), log: log.to_owned() }
    }

    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// The end of what it said.
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A folder that goes when the test process goes: values in statics are never dropped, and a process that is killed drops
/// nothing. After a panic the logs in it stay, and the rest goes.
pub struct Folder {
    path: PathBuf,
    _janitor: ChildStdin,
}

static JANITORS: Mutex<Vec<Sender<()>>> = Mutex::new(Vec::new());

impl Folder {
    #[allow(clippy::zombie_processes, reason = "the janitor outlives this process: that is what it is for")]
    pub fn new() -> Self {
        let path = tempfile::tempdir().unwrap().keep();
        // its own group: Ctrl-C ends the test, and this cleans up behind it
        let script = r#"while read -r word; do keep=$word; done; sleep 0.3
            if [ -n "$keep" ]; then find "$0" -type f ! -name '*.log' -delete; else rm -rf "$0"; fi"#;
        let mut janitor = Command::new("sh");
        janitor.args(["-c", script]).arg(&path).process_group(0);
        janitor.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut janitor = janitor.spawn().unwrap();
        let stdin = janitor.stdin.take().unwrap();
        Self::keep_after_panic(&stdin, &path);
        Self { path, _janitor: stdin }
    }

    fn keep_after_panic(stdin: &ChildStdin, path: &Path) {
        use std::os::fd::AsFd as _;
        static HOOK: Once = Once::new();
        let mut second = File::from(stdin.as_fd().try_clone_to_owned().unwrap());
        let (sender, panics) = channel();
        let shown = path.to_owned();
        std::thread::spawn(move || {
            if panics.recv().is_ok() {
                eprintln!("the logs stay in {}", shown.display());
                second.write_all(b"keep\n").ok();
            }
            std::thread::park();
        });
        JANITORS.lock().unwrap().push(sender);
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                for sender in JANITORS.lock().unwrap().iter() {
                    sender.send(()).ok();
                }
                before(panic);
            }));
        });
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// As an argument for a program.
    pub fn text(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.at(name), text).unwrap();
        self.text(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    pub fn openssl(&self, args: &str) {
        let words = args.split_whitespace();
        let output = Command::new("openssl").args(words).current_dir(&self.path).output().unwrap();
        assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// An authority: `NAME.pem` and `NAME.key`.
    pub fn authority(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 {KEY} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name} -addext basicConstraints=critical,CA:TRUE"
        ));
    }

    /// A certificate of an authority: `NAME.pem` and `NAME.key`; `for_what` is an extendedKeyUsage.
    pub fn certificate(&self, authority: &str, name: &str, subject: &str, for_what: &str, names: &str) {
        let names = if names.is_empty() { String::new() } else { format!("-addext subjectAltName={names}") };
        self.openssl(&format!(
            "req -x509 {KEY} -CA {authority}.pem -CAkey {authority}.key -keyout {name}.key -out {name}.pem -days 2 \
             -subj {subject} -addext basicConstraints=critical,CA:FALSE -addext extendedKeyUsage={for_what} {names}"
        ));
    }
}

const KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
