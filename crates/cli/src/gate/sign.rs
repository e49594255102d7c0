//! A decision to sign: what is signed on the strength of it is on record too, before anybody has it.

use attest::{PublicKey, TrustRoot};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chokepoint::Signed;
use policy::DeploymentRequest;

use super::remote::{Remote, Unanswered};
use super::{Gate, GateRuling, local};
use crate::clock;
use crate::command::destination::refused;
use crate::failure::Failure;

/// Whose key a release key must not be.
pub(crate) struct Others {
    /// Those that the trust root lists.
    pub(crate) root: std::sync::Arc<TrustRoot>,
    /// The log's.
    pub(crate) log: PublicKey,
}

impl GateRuling {
    /// Whether something may be signed: a signature lasts, and who reads it sees no mode. So only the policy itself lets
    /// it be made, or a person's grant; never a dry run or an outage.
    pub(crate) fn lets_sign(&self) -> bool {
        self.is_admitted && self.record.is_some() && matches!(self.basis.as_str(), "policy" | "breakglass")
    }
}

impl Gate {
    /// Decides here, and once that is on record has `make` sign, which is on record before it comes back.
    pub(crate) fn sign_here(
        self,
        mut request: DeploymentRequest,
        make: impl FnOnce(&GateRuling, &Others) -> Result<(String, Signed), Failure>,
    ) -> Result<(GateRuling, Option<String>), Failure> {
        let Self::Local(log, files, grant) = self else {
            return Err(Failure::new("the choke point signs with a key of its own"));
        };
        let now = clock::now(None)?;
        request.requester = Some(log.requester.clone().unwrap_or_else(local::user));
        request.grant = grant;
        request.workload.get_or_insert_with(|| format!("host/{}", local::host()));
        let (environment, artifact) = (request.environment.clone(), request.artifact.clone());
        let engine = log.open(*files)?;
        let admission = engine.decide(request, now)?;
        let ruling = server::webhook::Ruling::of_decision(
            admission.decision().clone(),
            local::receipt(&admission),
            (&environment, &artifact),
        );
        let ruling = local::read(&ruling)?;
        if !ruling.lets_sign() {
            return Ok((ruling, None));
        }
        let others = Others { root: engine.point.files().1, log: engine.key.key.clone() };
        let (signature, signed) = make(&ruling, &others)?;
        engine.point.record(signed.event(now)).map_err(|e| {
            Failure::new("the signature is not on record, so nobody has it").line("found", &e.to_string())
        })?;
        // what is not in the tree is in the spool, and gets there
        engine.point.settle().ok();
        Ok((ruling, Some(signature)))
    }

    /// Has a choke point decide, and sign with the key that it holds under a name.
    pub(crate) fn sign_there(
        self,
        request: &DeploymentRequest,
        key: &str,
        form: &str,
        bytes: &[u8],
    ) -> Result<(GateRuling, Option<String>), Failure> {
        let Self::Server(remote, _) = self else {
            return Err(Failure::new("nothing says which choke point signs").line("fix", "give --server URL"));
        };
        let mut body = remote.body(request, false)?.as_object().cloned().unwrap_or_default();
        body.set("key", key);
        body.set("form", form);
        body.set("content", STANDARD.encode(bytes));
        let (status, answer) = match remote.ask("/v1/signatures", &body.into()) {
            Ok(answered) => answered,
            Err(Unanswered::Other(failure)) => return Err(failure),
            Err(Unanswered::Unreachable(why)) => return Err(unreachable(&remote, &why)),
        };
        let ruling = remote.read(status, &answer, request)?;
        let signature = answer.as_object().ok().and_then(|a| a.optional_string("signature").ok().flatten());
        match (ruling.lets_sign(), signature) {
            (true, Some(signature)) => {
                let signature = signature.to_owned();
                Ok((ruling, Some(signature)))
            }
            (true, None) => Err(refused(status, &answer)),
            (false, _) => Ok((ruling, None)),
        }
    }
}

/// No grant helps here: the key is where the choke point is.
fn unreachable(remote: &Remote, why: &str) -> Failure {
    Failure::new(&format!("the choke point {} cannot be reached, and it holds the key", remote.url()))
        .code("cannot-decide")
        .line("found", why)
        .line("fix", "check the address, and whether it runs; nothing was signed")
}
