//! Makes an archive of this machine's C toolchain, so that a build definition can declare it by digest.
//!
//! Nothing of the host reaches a build but what such an archive holds. The same machine gives the same bytes: sorted
//! names, no times, no owners. It asks the compiler what it needs, and does not trace or guess.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attest::Digest;

use crate::store::{StoreError, hash_file};

mod elf;
mod walk;

use walk::Files;

const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const TOOLS: &str = "gcc cc make as ld ar ranlib nm strip objcopy sh";
const UTILITIES: &str = "awk basename bash cat chmod cmp cp cut date diff dirname echo env expr false find grep head \
     install ln ls mkdir mktemp mv od printf pwd rm rmdir sed sleep sort tail tar tee test touch tr true uname uniq wc \
     xargs [";
const LINKED: &str = "crt1.o Scrt1.o gcrt1.o rcrt1.o crti.o crtn.o crtbegin.o crtbeginS.o crtbeginT.o crtend.o \
     crtendS.o libgcc.a libgcc_eh.a libgcc_s.so libgcc_s.so.1 libc.so libc_nonshared.a libm.so libpthread.a libdl.a \
     librt.a";
const HEADERS: &str = "aio arpa/inet assert complex ctype dirent dlfcn endian err errno error fcntl features fenv float \
     fnmatch ftw getopt glob grp iconv inttypes iso646 langinfo libgen libintl limits link linux/limits locale malloc \
     math memory mntent net/if netdb netinet/in netinet/tcp paths poll pthread pwd regex resolv sched search semaphore \
     setjmp signal spawn stdalign stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string strings \
     sys/epoll sys/file sys/ioctl sys/ipc sys/mman sys/mount sys/param sys/prctl sys/random sys/resource sys/select \
     sys/socket sys/stat sys/statfs sys/statvfs sys/syscall sys/sysinfo sys/sysmacros sys/time sys/times sys/types \
     sys/uio sys/un sys/utsname sys/wait sys/xattr syslog termios tgmath threads time uchar ucontext ulimit unistd \
     utime utmpx wait wchar wctype wordexp";

/// Why a toolchain cannot be captured.
#[derive(Debug)]
pub enum CaptureError {
    /// A program is not installed.
    Missing(String),
    /// The compiler gave no usable answer.
    Compiler(String),
    /// A file cannot be read or written.
    Io(PathBuf, io::Error),
    /// The archive cannot be hashed.
    Hash(StoreError),
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(name) => {
                write!(f, "`{name}` is not installed (Debian: apt-get install gcc libc6-dev make)")
            }
            Self::Compiler(what) => write!(f, "the compiler could not say {what}"),
            Self::Io(path, e) => write!(f, "{}: {e}", path.display()),
            Self::Hash(e) => e.fmt(f),
        }
    }
}
impl std::error::Error for CaptureError {}

/// Writes the archive and gives its digest.
///
/// # Errors
/// [`CaptureError`].
pub fn capture(out: &Path) -> Result<Digest, CaptureError> {
    let mut captured = Captured::default();
    for name in TOOLS.split_whitespace() {
        let path = which(name).ok_or_else(|| CaptureError::Missing(name.to_owned()))?;
        captured.program(&path);
    }
    for path in UTILITIES.split_whitespace().filter_map(which) {
        captured.program(&path);
    }
    captured.program(Path::new("/bin/sh"));
    for name in ["cc1", "collect2", "lto-wrapper", "as", "ld"] {
        let answer = ask(&[&format!("-print-prog-name={name}")], "")?;
        let answer = answer.trim();
        let path = if answer.starts_with('/') { Some(PathBuf::from(answer)) } else { which(answer) };
        captured.program(&path.ok_or_else(|| CaptureError::Missing(name.to_owned()))?);
    }
    for name in LINKED.split_whitespace().chain(["liblto_plugin.so"]) {
        captured.link_input(name)?;
    }
    captured.headers()?;
    for link in ["/bin", "/lib", "/lib64", "/usr/bin/env"] {
        captured.files.add(Path::new(link));
    }
    captured.files.write(out).map_err(|e| CaptureError::Io(out.to_owned(), e))?;
    hash_file(out).map_err(CaptureError::Hash)
}

/// The dynamic linker and every library that it would load for a program.
pub(crate) fn loaded_libraries(program: &Path) -> Vec<PathBuf> {
    let mut captured = Captured::default();
    let elf::Kind::Dynamic(Some(linker)) = elf::kind(program) else { return Vec::new() };
    captured.linker = Some(linker.clone());
    let mut libraries = captured.libraries(program);
    libraries.push(linker);
    libraries
}

fn which(name: &str) -> Option<PathBuf> {
    SEARCH.split(':').map(|dir| Path::new(dir).join(name)).find(|path| path.is_file())
}

/// Asks gcc, with nothing of the caller's environment that could change the answer.
fn ask(args: &[&str], input: &str) -> Result<String, CaptureError> {
    let failed = |e| CaptureError::Io("gcc".into(), e);
    let mut child = clean("gcc").args(args).stdin(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        io::Write::write_all(&mut stdin, input.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err(CaptureError::Compiler(args.join(" ")));
    }
    // `-v` answers on standard error, everything else on standard output
    let both = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&both).into_owned())
}

fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", SEARCH).env("LC_ALL", "C").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[derive(Default)]
struct Captured {
    files: Files,
    seen: BTreeSet<PathBuf>,
    /// The dynamic linker, as the first program named it.
    linker: Option<PathBuf>,
}

impl Captured {
    /// A program or library, with everything that the dynamic linker would load for it.
    fn program(&mut self, path: &Path) {
        let Some(real) = self.files.add(path) else { return };
        if !self.seen.insert(real.clone()) {
            return;
        }
        match elf::kind(&real) {
            elf::Kind::Script(interpreter) => self.program(&interpreter),
            elf::Kind::Dynamic(linker) => {
                if let Some(linker) = linker {
                    self.files.add(&linker);
                    self.linker = Some(linker);
                }
                for library in self.libraries(&real) {
                    self.program(&library);
                }
            }
            elf::Kind::Static | elf::Kind::Other => {}
        }
    }

    fn libraries(&self, path: &Path) -> Vec<PathBuf> {
        let Some(linker) = &self.linker else { return Vec::new() };
        // without the cache, as in the sandbox: what is found only through the cache would be missing there
        let output = clean(&linker.to_string_lossy()).args(["--inhibit-cache", "--list"]).arg(path).output();
        let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
        let absolute = |line: &str| line.split_whitespace().find(|w| w.starts_with('/')).map(PathBuf::from);
        text.lines().filter_map(absolute).collect()
    }

    /// Something that the linker opens by name: an object, an archive, a library, or a script that names others.
    fn link_input(&mut self, name: &str) -> Result<(), CaptureError> {
        let answer = ask(&[&format!("-print-file-name={name}")], "")?;
        // a name that is not found is echoed; not every system has every one
        if answer.starts_with('/') {
            self.link_file(Path::new(answer.trim()))?;
        }
        Ok(())
    }

    fn link_file(&mut self, path: &Path) -> Result<(), CaptureError> {
        let Some(real) = self.files.add(path) else { return Ok(()) };
        let bytes = std::fs::read(&real).map_err(|e| CaptureError::Io(real.clone(), e))?;
        if bytes.starts_with(b"\x7fELF") {
            self.program(path);
            return Ok(());
        }
        if bytes.starts_with(b"!<") {
            return Ok(());
        }
        let script = without_comments(&String::from_utf8_lossy(&bytes));
        for word in script.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | ',')) {
            if word.starts_with('/') {
                self.link_file(Path::new(word))?;
            } else if let Some(library) = word.strip_prefix("-l") {
                self.link_input(&format!("lib{library}.so"))?;
                self.link_input(&format!("lib{library}.a"))?;
            } else if word.contains(".so") || word.ends_with(".a") {
                self.link_input(word)?;
            }
        }
        Ok(())
    }

    /// The headers that C and POSIX programs include, and the folders that those come from.
    fn headers(&mut self) -> Result<(), CaptureError> {
        let mut probe = String::new();
        for name in HEADERS.split_whitespace() {
            probe.push_str(&format!("#if __has_include(<{name}.h>)\n#include <{name}.h>\n#endif\n"));
        }
        let mut found = BTreeSet::new();
        for flags in [
            ["-std=gnu17", "-UNDEBUG", "-O0"],
            ["-D_GNU_SOURCE", "-D_FORTIFY_SOURCE=2", "-O2"],
            ["-std=c11", "-D_FILE_OFFSET_BITS=64", "-D_LARGEFILE64_SOURCE"],
        ] {
            let args = [&["-M", "-MT", "x"], flags.as_slice(), &["-x", "c", "-"]].concat();
            let listing = ask(&args, &probe)?.replace("\\\n", " ");
            found.extend(listing.split_whitespace().filter(|w| w.starts_with('/')).map(PathBuf::from));
        }
        for root in include_roots()? {
            self.files.add(&root);
            let real = root.canonicalize().unwrap_or(root);
            for header in found.iter().filter_map(|h| h.canonicalize().ok()) {
                let Ok(below) = header.strip_prefix(&real) else { continue };
                let parts: Vec<_> = below.components().collect();
                match (parts.first(), parts.len()) {
                    (Some(folder), 2..) if real.join(folder).is_dir() => {
                        self.files.add_tree(&real.join(folder))
                    }
                    _ => {}
                }
            }
            // the compiler's own headers are few and belong together
            if real.components().any(|c| c.as_os_str() == "gcc") {
                self.files.add_tree(&real);
            }
        }
        found.iter().for_each(|header| {
            self.files.add(header);
        });
        Ok(())
    }
}

fn include_roots() -> Result<Vec<PathBuf>, CaptureError> {
    let answer = ask(&["-E", "-v", "-x", "c", "/dev/null"], "")?;
    let begin =
        answer.find("search starts here:").ok_or_else(|| CaptureError::Compiler("its headers".into()))?;
    let list = answer.get(begin..).unwrap_or_default();
    let list = list.split("End of search list").next().unwrap_or_default();
    Ok(list.lines().map(str::trim).filter(|l| l.starts_with('/')).map(PathBuf::from).collect())
}

fn without_comments(script: &str) -> String {
    let mut out = String::new();
    let mut rest = script;
    while let Some((before, comment)) = rest.split_once("/*") {
        out.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    out + rest
}
