//! A decision by a choke point's API.

use std::io::ErrorKind;
use std::path::Path;

use attest::{Agreement, Artifact, Digest, Json, Object};
use jiff::Timestamp;
use policy::{DeploymentRequest, Submitted};
use server::ClientError;

use super::GateRuling;
use super::local;
use super::spool::Spool;
use crate::command::destination::{Asked, Server, lost, no_json, refused};
use crate::failure::Failure;
use crate::input;
use crate::keys;

/// How many characters of a file's name the choke point hears.
const MAX_NAME: usize = 60;

/// A choke point, and as whom this process comes.
pub(crate) struct Remote {
    server: Server,
    token: Option<String>,
    grant: Option<Grant>,
}

/// The grant that a request names.
enum Grant {
    Stored(Digest),
    Brought(Submitted),
}

/// Why a choke point did not answer.
pub(super) enum Unanswered {
    /// There was no way to it, so an emergency may go on without it.
    Unreachable(String),
    /// Anything else: nobody may take it for an outage.
    Other(Failure),
}

impl Remote {
    pub(super) fn new(server: Server, token: Option<&Path>, grant: Option<&str>) -> Result<Self, Failure> {
        let token = token.map(|file| input::text("token", file)).transpose()?;
        let grant = match grant {
            None => None,
            Some(named) if Path::new(named).exists() => Some(Grant::Brought(local::grant(named)?)),
            Some(named) => Some(Grant::Stored(Digest::parse(named).map_err(|e| {
                Failure::new(&format!("the grant {named} is neither a file nor a digest"))
                    .line("found", &e.to_string())
                    .line("fix", "name the file, or what `portcullis breakglass open` printed")
            })?)),
        };
        Ok(Self { server, token: token.map(|text| text.trim().to_owned()), grant })
    }

    pub(super) fn url(&self) -> &str {
        self.server.url().unwrap_or_default()
    }

    /// Asks; where there is no way to the choke point, the spool stands in for it, if there is one and a grant's file.
    pub(super) fn decide(
        &self,
        spool: Option<Spool>,
        request: DeploymentRequest,
        is_dry_run: bool,
        now: Timestamp,
    ) -> Result<GateRuling, Failure> {
        let body = self.body(&request, is_dry_run)?;
        match self.ask("/v1/decisions", &body) {
            Ok((status, answer)) => {
                let mut ruling = self.read(status, &answer, &request)?;
                // what was decided while it was away must be known to it, and must not hold up what is decided now
                if let Some(failure) = spool.and_then(|spool| spool.bring(self).err()) {
                    ruling.warn(&format!(
                        "what waits in the spool is not with the choke point: {}",
                        failure.reason()
                    ));
                }
                Ok(ruling)
            }
            Err(Unanswered::Other(failure)) => Err(failure),
            Err(Unanswered::Unreachable(why)) => match (spool, &self.grant) {
                (Some(spool), Some(Grant::Brought(grant))) if !is_dry_run => {
                    let request = DeploymentRequest { grant: Some(grant.clone()), ..request };
                    spool.decide(request, &why, now)
                }
                _ => Err(self.unreachable(&why)),
            },
        }
    }

    /// Sends a document. The same bytes sent again by the same process are the same request.
    pub(super) fn ask(&self, path: &str, body: &Json) -> Result<(u16, Json), Unanswered> {
        let key = keys::invocation().map_err(Unanswered::Other)?;
        let asked = Asked { method: "POST", path, key: Some(&key), token: self.token.clone() };
        let (status, bytes) = self.server.send(&asked, body).map_err(|e| {
            if is_unreachable(&e) {
                Unanswered::Unreachable(e.to_string())
            } else {
                Unanswered::Other(lost(self.url(), &e))
            }
        })?;
        let answer =
            attest::json::parse(&bytes).map_err(|_| Unanswered::Other(no_json(self.url(), status)))?;
        Ok((status, answer))
    }

    /// An answer counts where its status and its word agree, and it is about these bytes, there.
    pub(super) fn read(
        &self,
        status: u16,
        answer: &Json,
        request: &DeploymentRequest,
    ) -> Result<GateRuling, Failure> {
        let read = answer.as_object().ok().and_then(|object| {
            let about = Artifact::read(object.get("artifact")?).ok()?;
            let environment = object.string("environment").ok()?.to_owned();
            Some((GateRuling::read(object).ok()?, about, environment))
        });
        let Some((ruling, about, environment)) = read else { return Err(refused(status, answer)) };
        let wanted = match ruling.word.as_str() {
            "admit" => 200,
            "reject" => 403,
            _ => 503,
        };
        let (artifact, there) = (&request.artifact, &request.environment);
        let is_same = about.digests().agrees(artifact.digests()) == Agreement::Same && environment == *there;
        if status != wanted || !is_same {
            let (short, found) = (artifact.short(), about.short());
            let wanted = format!("a decision about {short} in {there}, with the status {wanted}");
            let found = format!("{} about {found} in {environment}, with the status {status}", ruling.word);
            return Err(Failure::new(&format!("the choke point {} answers two things at once", self.url()))
                .line("wanted", &wanted)
                .line("found", &found)
                .line("fix", "check that nothing between here and there answers in its place"));
        }
        Ok(ruling)
    }

    pub(super) fn body(&self, request: &DeploymentRequest, is_dry_run: bool) -> Result<Json, Failure> {
        let evidence = request.envelopes.iter().map(piece).collect::<Result<Vec<Json>, Failure>>()?;
        let mut object = Object::new()
            .with("environment", request.environment.as_str())
            .with("artifact", request.artifact.to_json())
            .with("evidence", Json::Array(evidence));
        match &self.grant {
            None => {}
            Some(Grant::Stored(digest)) => object.set("grant", digest.to_string()),
            Some(Grant::Brought(grant)) => object.set("grant", bundle(grant)?),
        }
        object.set_some("workload", request.workload.as_deref());
        Ok(object.with("dry-run", is_dry_run).into())
    }

    fn unreachable(&self, why: &str) -> Failure {
        Failure::new(&format!("cannot decide: the choke point {} cannot be reached", self.url()))
            .code("cannot-decide")
            .line("found", why)
            .line("fix", "check the address, and whether it runs; nothing was done")
            .line("or", "in an emergency: --breakglass FILE --spool DIR --book DIR --trust-root FILE")
    }
}

/// Connections that fail or break off before anybody has proven who he is, and names that nobody resolves: a closed list,
/// so that no answer ever passes for an outage.
fn is_unreachable(error: &ClientError) -> bool {
    match error {
        ClientError::Io(e) => {
            matches!(
                e.kind(),
                ErrorKind::ConnectionRefused
                    | ErrorKind::ConnectionReset
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::UnexpectedEof
                    | ErrorKind::TimedOut
                    | ErrorKind::HostUnreachable
                    | ErrorKind::NetworkUnreachable
                    | ErrorKind::NetworkDown
            ) || e.to_string().starts_with("failed to lookup address information")
        }
        _ => false,
    }
}

/// A piece of evidence in a request.
fn piece(submitted: &Submitted) -> Result<Json, Failure> {
    let name: String = policy::one_line(&submitted.name);
    // the end of a path says more than its beginning, and a name is short
    let skip = name.chars().count().saturating_sub(MAX_NAME);
    let object = Object::new().with("name", name.chars().skip(skip).collect::<String>());
    // what is no bundle is judged as that there
    Ok(match (bundle(submitted), std::str::from_utf8(&submitted.bytes)) {
        (Ok(Json::String(text)), _) => object.with("text", text),
        (Ok(bundle), _) => object.with("bundle", bundle),
        (Err(_), Ok(text)) => object.with("text", text),
        (Err(failure), Err(_)) => return Err(failure),
    }
    .into())
}

pub(super) fn bundle(submitted: &Submitted) -> Result<Json, Failure> {
    evidence::to_json(&submitted.bytes).map_err(|e| {
        Failure::new(&format!("{} cannot be brought to the choke point", submitted.name))
            .found()
            .line("wanted", "a bundle: JSON, or a text that is an envelope")
            .line("found", &e.to_string())
            .line("fix", "give the file as the tool that made it wrote it")
    })
}
