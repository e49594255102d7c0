//! `alarms`: where alarms are told, and how often breakglass may be used.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use attest::yaml::{Fields, Node, Problems};
use chokepoint::breakglass::Budget;

use crate::fields::{list, path, text, words};

/// Where alarms are told, and when one is raised for breakglass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Each is told everything.
    pub sinks: Vec<Sink>,
    /// How many grants may be used in a while.
    pub budget: Option<Budget>,
    /// Who may close an alarm over the network, by a name in the client's certificate.
    pub close: Vec<String>,
}

/// Where alarms are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// A `POST` of JSON.
    Webhook(Webhook),
    /// A mail.
    Mail(Mail),
    /// A line of JSON at the end of a file.
    File(PathBuf),
}

/// An address that takes a `POST`.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its address; it may hold a secret, and is shown nowhere.
    pub url: String,
    /// The file with the key under which each body is signed.
    pub secret: PathBuf,
    /// The authority that vouches for it, PEM; this machine's where it is absent.
    pub ca: Option<PathBuf>,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({})", self.host())
    }
}

impl Webhook {
    /// The part of the address that is no secret.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        rest.split(['/', '?', '#']).next().unwrap_or_default()
    }
}

/// A mail server, and who writes to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: MailTls,
    /// The sender's address.
    pub from: String,
    /// The addresses of those who are told.
    pub to: Vec<String>,
    /// The name at the server, and the file with its password.
    pub login: Option<(String, PathBuf)>,
    /// The authority that vouches for the server, PEM; this machine's where it is absent.
    pub ca: Option<PathBuf>,
}

/// How the connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// By TLS once the server was asked for it; never without.
    StartTls,
    /// By TLS from the first byte.
    Tls,
    /// Not: only to this machine itself.
    None,
}

impl Alarms {
    /// Reads the section.
    pub(crate) fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "`alarms`", &["sinks", "breakglass", "close"], problems)?;
        let before = fields.optional("sinks").and_then(|n| n.list().ok()).map_or(0, <[Node]>::len);
        let sinks = list(&fields, "sinks", problems, sink);
        let budget = fields.optional("breakglass").map(|node| {
            let fields = Fields::read(node, "`breakglass`", &["budget"], problems)?;
            let node = fields.required("budget", problems)?;
            let parsed = Budget::parse(problems.keep(node.string())?);
            problems.keep(parsed.ok_or_else(|| node.mismatch("a number and a span of time, as in 3 per 7d")))
        });
        let close = fields.optional("close").map_or(Some(Vec::new()), |node| {
            words(&Fields::read(node, "`close`", &["names"], problems)?, "names", problems)
        });
        let budget = budget.map_or(Some(None), |budget| budget.map(Some))?;
        (sinks.len() == before).then_some(Self { sinks, budget, close: close? })
    }

    /// Secrets and authorities that must be there before the choke point starts.
    pub(crate) fn named(&self) -> impl Iterator<Item = &Path> {
        self.sinks
            .iter()
            .flat_map(|sink| match sink {
                Sink::Webhook(webhook) => [Some(webhook.secret.as_path()), webhook.ca.as_deref()],
                Sink::Mail(mail) => [mail.login.as_ref().map(|(_, file)| file.as_path()), mail.ca.as_deref()],
                Sink::File(_) => [None, None],
            })
            .flatten()
    }

    /// The files that it names, to be made relative to the configuration's own.
    pub(crate) fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths = Vec::new();
        for sink in &mut self.sinks {
            match sink {
                Sink::Webhook(webhook) => {
                    paths.push(&mut webhook.secret);
                    paths.extend(&mut webhook.ca);
                }
                Sink::Mail(mail) => {
                    paths.extend(mail.login.as_mut().map(|(_, file)| file));
                    paths.extend(&mut mail.ca);
                }
                Sink::File(file) => paths.push(file),
            }
        }
        paths
    }
}

const WEBHOOK: [&str; 3] = ["webhook", "secret", "ca"];
const MAIL: [&str; 7] = ["smtp", "from", "to", "tls", "user", "password", "ca"];

/// The key that stands there says which of the three it is; then only its own may stand beside it.
fn sink(node: &Node, problems: &mut Problems) -> Option<Sink> {
    let mut unread = Problems::new();
    let all = [&WEBHOOK[..], &MAIL[..], &["file"]].concat();
    let is = |key: &str, unread: &mut Problems| {
        Fields::read(node, "a sink", &all, unread).is_some_and(|fields| fields.optional(key).is_some())
    };
    if is("webhook", &mut unread) {
        return webhook(&Fields::read(node, "a webhook", &WEBHOOK, problems)?, problems).map(Sink::Webhook);
    }
    if is("smtp", &mut unread) {
        return mail(&Fields::read(node, "a mail server", &MAIL, problems)?, problems).map(Sink::Mail);
    }
    let fields = Fields::read(node, "a sink", &["file"], problems)?;
    if fields.optional("file").is_none() {
        problems.push(node.mismatch("`webhook: URL`, `smtp: HOST:PORT` or `file: FILE`"));
        return None;
    }
    path(&fields, "file", problems).map(Sink::File)
}

fn optional_path(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<Option<PathBuf>> {
    fields.optional(key).map_or(Some(None), |n| problems.keep(n.string()).map(|file| Some(file.into())))
}

fn webhook(fields: &Fields<'_>, problems: &mut Problems) -> Option<Webhook> {
    let url = text(fields, "webhook", problems);
    let (secret, ca) = (path(fields, "secret", problems), optional_path(fields, "ca", problems));
    let sink = Webhook { url: url?, secret: secret?, ca: ca? };
    let name = sink.host().rsplit_once(':').map_or(sink.host(), |(name, _)| name);
    let is_sane = !name.is_empty() && !sink.url.chars().any(|c| c.is_control() || c == ' ' || c == '@');
    let is_plain = sink.url.starts_with("http://") && is_loopback(name);
    if !is_sane || !(is_plain || sink.url.starts_with("https://")) {
        // not `mismatch`: it would show what stands there, and that may be a secret
        let place = &fields.optional("webhook")?.place;
        let wanted = "https://HOST/…; or http:// to this machine itself, as in http://127.0.0.1:9000/…";
        problems.push(attest::LoadError::new(place, "this address takes no alarms").wanted(wanted));
        return None;
    }
    Some(sink)
}

/// An address of this machine: names are looked up, and could be anybody's.
pub(crate) fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn mail(fields: &Fields<'_>, problems: &mut Problems) -> Option<Mail> {
    let server = fields.required("smtp", problems)?;
    let address = problems.keep(server.string()).and_then(|text| {
        let parsed = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let parsed = parsed.and_then(|(host, port)| Some((host.to_owned(), port.parse::<u16>().ok()?)));
        problems.keep(parsed.ok_or_else(|| server.mismatch("a server and a port, as in mail.example:587")))
    });
    let tls = tls(fields, address.as_ref().map(|(host, _)| host.as_str()), problems);
    let from = mailbox(fields.required("from", problems), problems);
    let to = fields
        .required("to", problems)
        .and_then(|n| problems.keep(n.list()))
        .map(|all| all.iter().map(|node| mailbox(Some(node), problems)).collect::<Option<Vec<String>>>());
    let login = match (fields.optional("user"), fields.optional("password")) {
        (None, None) => Some(None),
        (Some(user), Some(password)) => {
            let (user, password) = (problems.keep(user.string()), problems.keep(password.string()));
            Some(Some((user?.to_owned(), password?.into())))
        }
        (Some(one), None) | (None, Some(one)) => {
            problems.push(one.mismatch("`user: NAME` and `password: FILE` together"));
            None
        }
    };
    let ca = optional_path(fields, "ca", problems);
    let (host, port) = address?;
    let to = to??;
    if to.is_empty() {
        problems.push(fields.optional("to")?.mismatch("at least one address"));
        return None;
    }
    Some(Mail { host, port, tls: tls?, from: from?, to, login: login?, ca: ca? })
}

fn tls(fields: &Fields<'_>, host: Option<&str>, problems: &mut Problems) -> Option<MailTls> {
    let Some(node) = fields.optional("tls") else { return Some(MailTls::StartTls) };
    match problems.keep(node.string())? {
        "starttls" => Some(MailTls::StartTls),
        "tls" => Some(MailTls::Tls),
        "none" if host.is_some_and(is_loopback) => Some(MailTls::None),
        _ => {
            problems
                .push(node.mismatch("starttls or tls; none only to this machine itself, as in 127.0.0.1:25"));
            None
        }
    }
}

fn mailbox(node: Option<&Node>, problems: &mut Problems) -> Option<String> {
    let node = node?;
    let text = problems.keep(node.string())?;
    if text.parse::<lettre::message::Mailbox>().is_err() {
        problems.push(node.mismatch("a mail address, as in oncall@acme.example"));
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Alarms, String> {
        let node = Node::parse("serve.yaml", text).unwrap();
        let mut problems = Problems::new();
        let read = Alarms::read(&node, &mut problems);
        let all = |errors: Vec<attest::LoadError>| {
            errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        problems.finish(read).map_err(all)
    }

    #[test]
    fn every_sink_is_read() {
        let alarms = read(
            "sinks:\n  - { webhook: 'https://hooks.example/T/secret', secret: a.secret }\n  - { webhook: 'http://127.0.0.1:9/x', secret: b, ca: c }\n  - { smtp: 'mail.example:587', from: portcullis@acme.example, to: [oncall@acme.example], user: portcullis, password: p }\n  - { smtp: '127.0.0.1:25', from: a@b.example, to: [c@d.example], tls: none }\n  - { file: alarms.jsonl }\nbreakglass: { budget: 3 per 7d }\nclose: { names: [alice.example] }\n",
        );
        let alarms = alarms.unwrap();
        assert_eq!((alarms.sinks.len(), alarms.close.len()), (5, 1));
        assert_eq!(alarms.budget.unwrap().to_string(), "3 per 7d");
        let Sink::Mail(mail) = &alarms.sinks[2] else { panic!() };
        assert_eq!((mail.port, mail.tls), (587, MailTls::StartTls));
        assert!(!format!("{alarms:?}").contains("secret\""), "{alarms:?}");
        assert_eq!(read("{}").unwrap(), Alarms::default());
    }

    #[test]
    fn what_would_tell_nobody_or_everybody_is_refused_with_its_place() {
        for (text, wanted) in [
            ("sinks: [{ webhook: 'http://hooks.example/T/topsecret', secret: a }]", "serve.yaml:1:"),
            (
                "sinks: [{ webhook: 'http://127.0.0.1@hooks.example/topsecret', secret: a }]",
                "takes no alarms",
            ),
            ("sinks: [{ webhook: 'http://localhost/topsecret', secret: a }]", "takes no alarms"),
            ("sinks: [{ webhook: 'https://hooks.example' }]", "needs the key `secret`"),
            (
                "sinks: [{ smtp: 'mail.example:25', from: a@b.example, to: [c@d.example], tls: none }]",
                "none only to this machine",
            ),
            (
                "sinks: [{ smtp: 'mail.example', from: a@b.example, to: [c@d.example] }]",
                "a server and a port",
            ),
            ("sinks: [{ smtp: 'm:25', from: a@b.example, to: [] }]", "at least one address"),
            ("sinks: [{ smtp: 'm:25', from: a@b.example, to: ['nobody'] }]", "a mail address"),
            ("sinks: [{ smtp: 'm:25', from: a@b.example, to: [c@d.example], user: x }]", "together"),
            (
                "sinks: [{ smtp: 'm:25', from: a@b.example, to: [c@d.example], file: x }]",
                "unknown key `file`",
            ),
            ("sinks: [{ pager: x }]", "unknown key `pager`"),
            ("sinks: [{}]", "`webhook: URL`, `smtp: HOST:PORT` or `file: FILE`"),
            ("breakglass: { budget: often }", "as in 3 per 7d"),
            ("sink: []", "unknown key `sink`"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(wanted), "{text}: {found}");
            assert!(!found.contains("topsecret"), "{found}");
        }
    }
}
