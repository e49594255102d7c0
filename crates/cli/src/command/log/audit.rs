//! `portcullis log audit`: what the API server's audit log says was written, beside what the decision log says was decided.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use attest::time::Span;
use attest::{Json, Object};
use kubernetes::Mapping;
use kubernetes::audit_event::{AuditEvent, MAX_EVENT};
use server::watch::{AuditJoin, Finding, LogRecords, WatchConfig};
use tlog::Files;

use super::Key;
use crate::clock;
use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::Output;

/// So many findings are listed; all are counted.
const LISTED: usize = 10_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis log audit --audit-log /var/log/kubernetes/audit.log --log log
  portcullis log audit --audit-log audit.log --log log-0 --log log-1 --config serve.yaml \\
      --format json")]
pub(crate) struct Arguments {
    /// An API server's audit log: JSON lines of audit.k8s.io/v1; once for each file
    #[arg(long, value_name = "FILE", required = true)]
    audit_log: Vec<PathBuf>,
    /// A decision log's folder; once for each replica
    #[arg(long = "log", value_name = "DIR", required = true)]
    logs: Vec<PathBuf>,
    #[command(flatten)]
    key: Key,
    /// The choke point's configuration: which cluster, which custom kinds, and which namespaces it claims
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A namespace in which nobody decides, beside those of the system that nobody claims
    #[arg(long, value_name = "NAMESPACE")]
    except: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    let mapping = match &arguments.config {
        None => Mapping::new(""),
        Some(path) => mapping(path)?,
    };
    let mut logs = Vec::new();
    for dir in &arguments.logs {
        let key = arguments.key.read(dir)?;
        // a record counts only in a log that is whole
        tlog::verify(&Files::new(dir), &key, None, |_, _| {}).map_err(|flaw| {
            Failure::new(&format!("the log in {} is not what was written", dir.display()))
                .line("found", &flaw.to_string())
                .found()
        })?;
        logs.push((dir.clone(), key));
    }
    let config = WatchConfig {
        every: Span::seconds(1),
        grace: Span::seconds(1),
        except: arguments.except.clone(),
        audit_log: None,
    };
    let mut records = LogRecords::new(logs);
    let mut join = AuditJoin::new(mapping, config);
    let (mut found, mut count) = (Vec::new(), 0_usize);
    for path in &arguments.audit_log {
        each_line(path, |place, line| {
            let finding = match line.map(AuditEvent::parse) {
                Some(Ok(event)) => join
                    .take(&event, &mut records)
                    .map_err(|why| Failure::new("the decision log cannot be read").line("found", &why))?,
                Some(Err(e)) => Some(join.take_unreadable(place, &e.to_string(), clock::now(None)?)),
                None => Some(join.take_unreadable(place, "it is longer than any event", clock::now(None)?)),
            };
            if let Some(finding) = finding {
                count += 1;
                if found.len() < LISTED {
                    found.push(finding);
                }
            }
            Ok(())
        })?;
    }
    tell(&found, count, &mut join, output);
    Ok(if count == 0 { Exit::Clean } else { Exit::Found })
}

fn mapping(path: &Path) -> Result<Mapping, Failure> {
    let text = input::text("choke point's configuration", path)?;
    let config = kubernetes::manifests::Serve::parse(&path.display().to_string(), &text);
    config.map(|config| config.mapping).map_err(|errors| Failure::load("config-error", errors))
}

/// Each line of a file with its place; nothing for one that is too long. A last line without an end is not there yet.
fn each_line(
    path: &Path,
    mut take: impl FnMut(&str, Option<&[u8]>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |e: &std::io::Error| Failure::io("read the audit log", path, e);
    let mut reader = BufReader::new(File::open(path).map_err(|e| failed(&e))?);
    let limit = u64::try_from(MAX_EVENT).unwrap_or(u64::MAX).saturating_add(1);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        number += 1;
        let place = format!("{}:{number}", path.display());
        let length = reader.by_ref().take(limit).read_until(b'\n', &mut line).map_err(|e| failed(&e))?;
        if line.pop() == Some(b'\n') {
            take(&place, Some(&line))?;
        } else if length > MAX_EVENT {
            reader.skip_until(b'\n').map_err(|e| failed(&e))?;
            take(&place, None)?;
        } else {
            return Ok(());
        }
    }
}

fn tell(found: &[Finding], count: usize, join: &mut AuditJoin, output: &Output) {
    let counts = join.counts();
    let mut text = String::new();
    for finding in found {
        writeln!(text, "{}  {:<16} {}", finding.at, finding.kind.name(), finding.title).ok();
    }
    if count > found.len() {
        writeln!(text, "… and {} more", count - found.len()).ok();
    }
    writeln!(
        text,
        "{} writes in {} events: {} decided, {} with nothing to judge, {} where nobody is to decide; {count} do not join",
        counts.writes, counts.events, counts.joined, counts.nothing, counts.excepted
    )
    .ok();
    let open = join.drain();
    output.result(&text, || {
        let task = |one: &server::watch::Reevaluation| {
            let images = one.images.clone().map(|all| all.into_iter().map(Json::from).collect::<Vec<_>>());
            let mut task = Object::new().with("audit-id", one.id.as_str()).with("object", &one.object);
            task.set_some("images", images);
            Json::from(task.with("who", one.who.as_str()).with("at", one.at.to_string()))
        };
        let hour = |(hour, counts): (jiff::Timestamp, server::watch::Counts)| {
            Json::from(Object::new().with("from", hour.to_string()).with("counts", counts.to_json()))
        };
        Object::new()
            .with("counts", counts.to_json())
            .with("hours", Json::Array(join.hours().map(hour).collect()))
            .with("findings", Json::Array(found.iter().map(Finding::to_json).collect()))
            .with("re-evaluate", Json::Array(open.iter().map(task).collect()))
            .into()
    });
}
