//! The command line's way to a decision, for every command that acts on one: the engine over a log of this machine, or a
//! choke point's API. Nobody acts on anything but a [`GateRuling`] that is admitted, and on record.

mod local;
mod remote;
mod sign;
mod spool;

use std::path::PathBuf;

use attest::{Algorithm, Artifact, DigestSet, Json, Object};
use policy::{DeploymentRequest, Submitted};

use crate::clock;
use crate::command::destination::Server;
use crate::command::verify::{mentioned, read_evidence};
use crate::failure::{Exit, Failure};
use crate::input;
use local::{Files, Log};
use remote::Remote;
pub(crate) use sign::Others;
use spool::Spool;

/// Where the decision comes from
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Choke point")]
#[group(skip)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Come with the token in this file
    #[arg(long, value_name = "FILE", requires = "server", conflicts_with = "client_certificate")]
    token_file: Option<PathBuf>,
    /// Decide here: the folder with the policies
    #[arg(long, value_name = "DIR", requires = "trust_root")]
    book: Option<PathBuf>,
    /// The trust root
    #[arg(long, value_name = "FILE", requires = "book")]
    trust_root: Option<PathBuf>,
    /// Guardrails that the book must meet
    #[arg(long, value_name = "FILE", requires = "book")]
    guardrails: Option<PathBuf>,
    /// The decision log that this machine writes; begun where there is none yet
    #[arg(long, value_name = "DIR", conflicts_with = "server", requires_all = ["log_key", "origin", "book"])]
    log: Option<PathBuf>,
    /// The log's key, made where there is none yet
    #[arg(long, value_name = "FILE", requires = "log")]
    log_key: Option<PathBuf>,
    /// The log's name, as in deploy.example/db-1
    #[arg(long, value_name = "NAME", requires = "log")]
    origin: Option<String>,
    /// Who asks, where this machine decides; the user of this process without
    #[arg(long, value_name = "IDENTITY", requires = "log")]
    requester: Option<String>,
    /// A grant for an emergency: its file, or the digest under which the server has it
    #[arg(long, value_name = "FILE|DIGEST")]
    breakglass: Option<String>,
    /// With --server, --book, --trust-root and a grant's file: where the server cannot be reached, the grant is verified
    /// here, and what was decided waits in this folder until the server has it
    #[arg(long, value_name = "DIR", requires = "server")]
    spool: Option<PathBuf>,
}

/// A way to a decision. A log is held only while something is decided.
pub(crate) enum Gate {
    /// The engine, over a log of this machine.
    Local(Box<Log>, Box<Files>, Option<Submitted>),
    /// A choke point's API, and what stands in for it in an emergency.
    Server(Box<Remote>, Option<Box<Spool>>),
}

/// A decision. Only one that is admitted, and is no dry run, may be acted on.
#[derive(Clone, Debug)]
pub(crate) struct GateRuling {
    is_admitted: bool,
    /// `admit`, `reject` or `cannot-decide`.
    pub(crate) word: String,
    /// Why.
    pub(crate) basis: String,
    /// For people.
    pub(crate) text: String,
    /// The keys of `portcullis verify --format json`.
    pub(crate) json: Object,
    /// The record's name.
    pub(crate) record: Option<String>,
}

impl Args {
    /// Reads everything that a decision needs.
    pub(crate) fn open(&self) -> Result<Gate, Failure> {
        if self.server.url().is_some() {
            if self.book.is_some() && self.spool.is_none() {
                return Err(Failure::new("two say what is allowed: the choke point, and --book")
                    .code("usage")
                    .line(
                        "fix",
                        "leave out --book and --trust-root, or say what they are for: --spool DIR",
                    ));
            }
            let remote =
                Remote::new(self.server.clone(), self.token_file.as_deref(), self.breakglass.as_deref())?;
            return Ok(Gate::Server(Box::new(remote), self.spool()?.map(Box::new)));
        }
        if self.spool.is_some() {
            return Err(Failure::new("nothing says whom the spool waits for")
                .code("usage")
                .line("fix", "give --server URL; a machine that decides itself needs no spool"));
        }
        let (Some(dir), Some(key), Some(origin)) = (&self.log, &self.log_key, &self.origin) else {
            return Err(Failure::new("nothing says who decides")
                .code("usage")
                .line("fix", "ask a choke point: --server URL")
                .line(
                    "or",
                    "decide here: --book DIR --trust-root FILE --log DIR --log-key FILE --origin NAME",
                ));
        };
        let log = Log {
            dir: dir.clone(),
            key: key.clone(),
            origin: origin.clone(),
            requester: self.requester.clone(),
        };
        let grant = self.breakglass.as_deref().map(local::grant).transpose()?;
        Ok(Gate::Local(Box::new(log), Box::new(self.files()?), grant))
    }

    fn files(&self) -> Result<Files, Failure> {
        let (Some(book), Some(root)) = (&self.book, &self.trust_root) else {
            return Err(Failure::new("nothing says what is allowed")
                .line("fix", "give --book DIR and --trust-root FILE"));
        };
        Files::read(book, root, self.guardrails.as_deref())
    }

    /// What waits for the server, and may stand in for it.
    fn spool(&self) -> Result<Option<Spool>, Failure> {
        let Some(dir) = &self.spool else { return Ok(None) };
        Ok(Some(Spool::new(dir, self.files()?)))
    }

    /// The same where there may be no spool.
    pub(crate) fn bring_waiting(&self) -> Result<usize, Failure> {
        if self.spool.is_none() { Ok(0) } else { self.bring() }
    }

    /// Where nothing waits: a folder that is not there may be a misspelt one.
    pub(crate) fn spool_place(&self) -> String {
        match &self.spool {
            Some(dir) if !dir.exists() => format!(": there is no folder {}", dir.display()),
            _ => String::new(),
        }
    }

    /// Brings what waits to the server; gives how many records that were.
    pub(crate) fn bring(&self) -> Result<usize, Failure> {
        let remote = Remote::new(self.server.clone(), self.token_file.as_deref(), None)?;
        match &self.spool {
            Some(dir) => spool::bring(dir, &remote),
            None => {
                Err(Failure::new("nothing says what waits")
                    .line("fix", "give --spool DIR, with --server URL"))
            }
        }
    }
}

impl Gate {
    /// The evidence in files. Where it is judged here, of several that say the same of one build the first that opens.
    pub(crate) fn evidence(&self, files: &[PathBuf]) -> Result<Vec<Submitted>, Failure> {
        if let Self::Local(_, governing, _) = self {
            return read_evidence(files, &governing.root, clock::now(None)?);
        }
        let mut all = Vec::new();
        for file in files {
            all.extend(input::pieces(file)?.into_iter().map(|p| Submitted { name: p.name, bytes: p.bytes }));
        }
        Ok(all)
    }

    /// The digests that this evidence speaks of beside SHA-256.
    pub(crate) fn mentioned(envelopes: &[Submitted]) -> Vec<Algorithm> {
        mentioned(envelopes.iter())
    }

    /// The artifact that a file is judged as.
    pub(crate) fn artifact(
        &self,
        file: &str,
        digests: DigestSet,
        uri: Option<&str>,
        environment: &str,
    ) -> Result<Artifact, Failure> {
        match (self, uri) {
            (_, Some(uri)) => Ok(Artifact::new(uri, digests)),
            (Self::Local(_, files, _), None) => {
                Ok(input::named(file, digests, None, environment, &files.book))
            }
            (Self::Server(..), None) => Err(Failure::new("nothing says what the file is")
                .code("usage")
                .line("wanted", "the URI that a policy lists as `artifact:`")
                .line("fix", "give --as URI")),
        }
    }

    /// Decides, and comes back only once that is on record; a dry run is not. Whoever asks is who this process is.
    pub(crate) fn decide(
        self,
        mut request: DeploymentRequest,
        is_dry_run: bool,
    ) -> Result<GateRuling, Failure> {
        request.workload.get_or_insert_with(|| format!("host/{}", local::host()));
        let now = clock::now(None)?;
        let ruling = match self {
            Self::Local(log, files, grant) => {
                request.requester = Some(log.requester.clone().unwrap_or_else(local::user));
                request.grant = grant;
                log.decide(*files, request, is_dry_run, now)?
            }
            Self::Server(remote, spool) => {
                remote.decide(spool.map(|spool| *spool), request, is_dry_run, now)?
            }
        };
        if ruling.is_admitted && !is_dry_run && ruling.record.is_none() {
            return Err(Failure::new("the decision names no record, so nobody may act on it")
                .line("fix", "check that the choke point runs this version"));
        }
        Ok(ruling)
    }
}

impl GateRuling {
    /// Reads the form that a choke point answers with, whoever made it.
    fn read(object: &Object) -> Result<Self, attest::json::ShapeError> {
        let word = object.string("decision")?.to_owned();
        Ok(Self {
            is_admitted: word == "admit",
            basis: object.string("basis")?.to_owned(),
            text: object.string("text")?.to_owned(),
            record: object.optional_string("record")?.map(str::to_owned),
            json: object.clone(),
            word,
        })
    }

    /// Whether the deployment may go on.
    pub(crate) fn is_admitted(&self) -> bool {
        self.is_admitted
    }

    /// How a command ends that does nothing but ask.
    pub(crate) fn exit(&self) -> Exit {
        match self.word.as_str() {
            "admit" => Exit::Clean,
            "reject" => Exit::Found,
            _ => Exit::Failed,
        }
    }

    /// Something that people must hear with it.
    fn warn(&mut self, warning: &str) {
        self.text = format!("warning: {warning}\n{}", self.text);
        let mut all = self.json.optional_array("warnings").ok().unwrap_or_default().to_vec();
        all.insert(0, Json::from(warning));
        self.json.set("warnings", Json::Array(all));
        self.json.set("text", self.text.as_str());
    }
}
