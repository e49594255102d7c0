//! What the operator says of the database, and who this replica is to it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use attest::LoadError;
use attest::time::Span;
use attest::yaml::{Fields, Node, Problems};

/// A section with everything that can be said, as the documentation shows it.
pub const EXAMPLE: &str = include_str!("config/example.yaml");

const KNOWN: [&str; 8] = ["host", "port", "database", "ca", "user", "password-file", "tiles", "sequence"];
const SEQUENCE: [&str; 4] = ["user", "password-file", "state", "interval"];
/// A sequencer that sleeps longer keeps those waiting who want their entries in the tree.
const LONGEST: Span = Span::seconds(60);

/// The log in PostgreSQL, as one replica uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The database.
    pub server: Server,
    /// Who inserts.
    pub writer: Login,
    /// The folder with the tree; nothing where this replica only inserts.
    pub tiles: Option<PathBuf>,
    /// How this replica sequences; nothing where it never does.
    pub sequence: Option<Sequencing>,
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// A name or an address, or the folder of a Unix socket.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database's name.
    pub database: String,
    /// The authority of the server's certificate, PEM. Without it only this machine is spoken to.
    pub ca: Option<PathBuf>,
}

/// A user of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its name.
    pub user: String,
    /// The file with its password; nothing where the server knows it otherwise.
    pub password_file: Option<PathBuf>,
}

/// How a replica sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequencing {
    /// Who moves entries.
    pub login: Login,
    /// The folder of what was signed last.
    pub state: PathBuf,
    /// How often there is a new checkpoint while entries come.
    pub interval: Duration,
}

impl Server {
    /// Whether nothing between here and the server can listen.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.host.starts_with('/') || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl Config {
    /// Reads the section `postgresql`. Paths are left as they are written.
    pub fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let fields = Fields::read(node, "`postgresql`", &KNOWN, problems)?;
        let server = server(&fields, problems);
        let writer = login(&fields, problems);
        let tiles = fields.optional("tiles").map(|n| problems.keep(n.string()).map(PathBuf::from));
        let sequence = fields.optional("sequence").map(|n| sequencing(n, problems));
        if let (Some(node), None) = (fields.optional("sequence"), &tiles) {
            problems.push(
                LoadError::new(&node.place, "a sequencer without the folder of the tree")
                    .wanted("`tiles: FOLDER` beside `sequence`")
                    .fix("name the folder that all sequencers share, or remove `sequence`"),
            );
        }
        Some(Self {
            server: server?,
            writer: writer?,
            tiles: tiles.map_or(Some(None), |folder| folder.map(Some))?,
            sequence: sequence.map_or(Some(None), |sequence| sequence.map(Some))?,
        })
    }

    /// All paths in it, for whoever knows what they are relative to.
    pub fn paths(&mut self) -> Vec<&mut PathBuf> {
        let mut paths: Vec<&mut PathBuf> = self.server.ca.iter_mut().chain(&mut self.tiles).collect();
        paths.extend(&mut self.writer.password_file);
        if let Some(sequence) = &mut self.sequence {
            paths.push(&mut sequence.state);
            paths.extend(&mut sequence.login.password_file);
        }
        paths
    }

    /// Files that must be there before a replica starts, and what they are.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, &Path)> {
        let logins = std::iter::once(&self.writer).chain(self.sequence.iter().map(|s| &s.login));
        let passwords = logins.filter_map(|l| l.password_file.as_deref()).map(|f| ("a database password", f));
        let ca = self.server.ca.iter().map(|file| ("the database's authority", file.as_path()));
        ca.chain(passwords).collect()
    }
}

fn text(fields: &Fields<'_>, key: &str, problems: &mut Problems) -> Option<String> {
    let node = fields.required(key, problems)?;
    problems.keep(node.string()).map(str::to_owned)
}

fn server(fields: &Fields<'_>, problems: &mut Problems) -> Option<Server> {
    let (host, database) = (text(fields, "host", problems), text(fields, "database", problems));
    let port = fields.optional("port").map_or(Some(5432), |node| problems.keep(node.number(1, 65_535)));
    let ca = fields.optional("ca").map(|n| problems.keep(n.string()).map(PathBuf::from));
    let ca = ca.map_or(Some(None), |file| file.map(Some))?;
    let server = Server { host: host?, port: u16::try_from(port?).ok()?, database: database?, ca };
    if server.ca.is_none() && !server.is_here() {
        let node = fields.required("host", problems)?;
        problems.push(
            LoadError::new(&node.place, "a database on another machine, and nothing to know it by")
                .wanted("`ca: FILE` with the authority of its certificate")
                .found(&format!("`host: {}` without `ca`", server.host))
                .fix("add `ca`; without it only a Unix socket or a loopback address is spoken to"),
        );
        return None;
    }
    Some(server)
}

fn login(fields: &Fields<'_>, problems: &mut Problems) -> Option<Login> {
    let user = text(fields, "user", problems);
    let file = fields.optional("password-file").map(|n| problems.keep(n.string()).map(PathBuf::from));
    Some(Login { user: user?, password_file: file.map_or(Some(None), |file| file.map(Some))? })
}

fn sequencing(node: &Node, problems: &mut Problems) -> Option<Sequencing> {
    let fields = Fields::read(node, "`sequence`", &SEQUENCE, problems)?;
    let (login, state) = (login(&fields, problems), text(&fields, "state", problems));
    let interval = fields.optional("interval").map_or(Some(Span::seconds(1)), |node| {
        let span = Span::parse(problems.keep(node.string())?);
        let fitting = span.filter(|span| *span >= Span::seconds(1) && *span <= LONGEST);
        problems.keep(fitting.ok_or_else(|| node.mismatch("a span of time from 1s to 1m")))
    });
    let seconds = u64::try_from(interval?.as_seconds()).ok()?;
    Some(Sequencing { login: login?, state: state?.into(), interval: Duration::from_secs(seconds) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, Vec<LoadError>> {
        let node = Node::parse("c.yaml", text).unwrap();
        let mut problems = Problems::new();
        let fields = Fields::read(&node, "a test", &["postgresql"], &mut problems).unwrap();
        let config = Config::read(fields.optional("postgresql").unwrap(), &mut problems);
        problems.finish(config)
    }

    #[test]
    fn the_example_says_everything() {
        let mut config = read(EXAMPLE).unwrap();
        assert_eq!(config.paths().len(), 5);
        assert_eq!(config.named().len(), 3);
        let sequence = config.sequence.unwrap();
        assert_eq!(sequence.interval, Duration::from_secs(1));
        assert_eq!(config.server.port, 5432);
    }

    #[test]
    fn plain_text_stays_on_this_machine() {
        for (host, fits) in [
            ("/run/postgresql", true),
            ("127.0.0.1", true),
            ("\"::1\"", true),
            // a name is what some resolver says
            ("localhost", false),
            ("db.example.org", false),
            ("10.0.0.1", false),
        ] {
            let text = format!("postgresql: {{ host: {host}, database: d, user: u }}");
            let found = read(&text);
            assert_eq!(found.is_ok(), fits, "{host}");
            if let Err(problems) = found {
                assert_eq!(problems[0].message, "a database on another machine, and nothing to know it by");
            }
        }
    }

    #[test]
    fn a_sequencer_needs_the_tree() {
        let text = "postgresql: { host: /s, database: d, user: u, sequence: { user: s, state: /st } }";
        let problems = read(text).unwrap_err();
        assert_eq!(problems[0].message, "a sequencer without the folder of the tree");
        let text = "postgresql: { host: /s, database: d, user: u, password: x }";
        assert_eq!(read(text).unwrap_err()[0].message, "unknown key `password` in `postgresql`");
    }
}
