//! Registries, as commands use them: whom to be there, and what to say when nobody knows.

use std::path::PathBuf;

use attest::Digest;
use registry::{Client, Credentials, Reference, Settings, Unknown, Why};

use crate::failure::Failure;
use crate::input;

/// How to speak to a registry
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Registry")]
pub(crate) struct Access {
    /// Log in with what this file has for the registry, as Docker writes its config.json; as nobody without
    #[arg(long, value_name = "FILE", requires = "registry")]
    docker_config: Option<PathBuf>,
    /// Let this host give out the registry's tokens too, and see the login for that; may be given more than once
    #[arg(long = "token-host", value_name = "HOST", requires = "registry")]
    token_hosts: Vec<String>,
    /// Speak to the registry without TLS; with one of this machine it is always so
    #[arg(long, requires = "registry")]
    plain_http: bool,
}

impl Access {
    /// A client for the registry of an image.
    pub(crate) fn client(&self, image: &Reference) -> Result<Client, Failure> {
        let mut credentials = match &self.docker_config {
            None => Credentials::anonymous(),
            Some(path) => Credentials::parse_docker(&input::text("login file", path)?).map_err(|e| {
                Failure::new(&format!("the login file {} cannot be used", path.display()))
                    .line("found", &e.to_string())
                    .line("fix", "give a config.json as `docker login` writes it without a helper")
            })?,
        };
        for host in &self.token_hosts {
            credentials = credentials.with_token_host(image.registry(), host);
        }
        let plain_http = self.plain_http.then(|| image.registry().to_owned()).into_iter().collect();
        Ok(Client::new(Settings { credentials, plain_http, ..Settings::default() }))
    }
}

/// `REGISTRY/REPOSITORY@sha256:HEX`: a tag alone is another image tomorrow.
pub(crate) fn image(text: &str) -> Result<(Reference, Digest), Failure> {
    let wanted = "REGISTRY/REPOSITORY@sha256:HEX";
    let reference = Reference::parse(text).map_err(|e| {
        Failure::new(&format!("{text} is no image")).line("wanted", wanted).line("found", &e.to_string())
    })?;
    let digest = reference.digest().cloned().ok_or_else(|| {
        Failure::new(&format!("{text} names no digest")).line("wanted", wanted).line(
            "fix",
            "find it out once, and use it everywhere: skopeo inspect --format '{{.Digest}}' docker://…",
        )
    })?;
    Ok((reference, digest))
}

/// Nobody knows. Never to be taken for "nothing is attached".
pub(crate) fn not_known(image: &str, unknown: &Unknown) -> Failure {
    let failure = Failure::new(&format!("nobody knows what is attached to {image}"))
        .code("evidence-unknown")
        .line("found", &unknown.to_string());
    match fix(&unknown.why) {
        Some(fix) => failure.line("fix", fix),
        None => failure,
    }
}

/// What a person can do about it.
pub(crate) fn fix(why: &Why) -> Option<&'static str> {
    Some(match why {
        Why::Unauthorized | Why::Forbidden => "give a login that may read it: --docker-config FILE",
        Why::TokenHost(_) => "where that host belongs to the registry, say so: --token-host HOST",
        Why::Broken(_) => {
            "check the name and the network; without TLS, which only --plain-http does, nothing is asked"
        }
        Why::Slow | Why::TooManyRequests | Why::Status(500..) => "try again; it is not known to be unsigned",
        Why::TooMany("records" | "pages of records" | "requests", _) => {
            "name the one that you want: --only sha256:HEX"
        }
        Why::NotARegistry => "check that a registry listens there, and not a proxy before it",
        Why::Missing(_) => "attach the evidence again, or remove what lists it",
        _ => return None,
    })
}
