//! The built-in rule about the breakglass grant that a request names: it must hold, or it is left out, and this says why.

use attest::breakglass::Grant;
use attest::time::Span;
use attest::{Artifact, Digest, Json, OpenError, Place, Unopened};
use jiff::Timestamp;

use crate::finding::Finding;
use crate::policy::Breakglass;
use crate::rule::{NameUse, Rule, and_list};

pub(crate) const RULE: Rule = Rule {
    name: "breakglass-grant",
    key: "",
    summary: "the breakglass grant that the request names holds",
    docs: "A request may name a breakglass grant: a signed statement in which a person lets a deployment go on although \
           its policy is not met. It holds where the policy has `breakglass`; the grant opens like any evidence; it is \
           signed by the own key of a person of the trust root who is in the group that the policy names; its environment \
           is, word for word, the one of the request; its artifact, where it names one, has the digest of the request's; its \
           requester, where it names one, is the same person; and the time of the case is from `issuedOn` on (60 s \
           early are tolerated) and before `expiresOn`, which is at most the policy's `expires` after `issuedOn`. A grant that holds admits with the \
           basis breakglass, and the verdict is kept as it would have been. One that does not is left out: the \
           deployment is judged as if it named none, and this finding says why; where the policy is met anyway, it is a warning. \
           A grant bypasses a policy, so it holds for nothing where no policy guards the deployment, and for nothing \
           that is named without a digest. A grant vouches for nothing: no rule takes it for evidence.",
    example: "",
    threats: &["T13"],
    reads_provenance: false,
    read: None,
    schema: || Json::Null,
};

const AGAIN: &str = "ask for a new grant";
const WITHOUT: &str = "leave the grant out, if the policy is met without it";

fn finding(message: &str, wanted: &str, found: &str, fix: &str) -> Finding {
    Finding::new(RULE.name, message, fix).wanted_always(wanted).found(found)
}

fn members(group: &NameUse) -> String {
    format!("the signature of somebody in {}, with their own key", group.name)
}

pub(crate) fn no_policy(environment: &str) -> Finding {
    finding(
        "a breakglass grant bypasses a policy, and no policy guards this deployment",
        "a policy that allows breakglass",
        &format!("no policy for it in {environment}"),
        "write a policy for the deployment, and have it reviewed",
    )
}

pub(crate) fn not_allowed(policy: &Place) -> Finding {
    Finding::new(RULE.name, "the policy allows no breakglass", "mend what the other findings say")
        .wanted("a policy with `breakglass`", policy)
        .found("none")
        .or("allow it: add `breakglass` to the policy, and have it reviewed")
}

/// Whatever is malformed or forged ends the standing of what runs; a key that has become too old since does not.
pub(crate) fn not_authentic(error: &Unopened) -> Finding {
    let (message, fix) = match error {
        Unopened::Unreadable(_) => {
            ("the breakglass grant cannot be read", "name the grant as the tool that made it wrote it")
        }
        Unopened::Refused(OpenError::Revoked { .. }) => {
            ("the breakglass grant is signed with a revoked key", AGAIN)
        }
        Unopened::Refused(OpenError::OutsideWindow { .. }) => {
            ("the breakglass grant is signed outside the time in which its key counts", AGAIN)
        }
        Unopened::Refused(OpenError::UnknownSigner) => {
            ("the breakglass grant is signed by nobody the trust root knows", AGAIN)
        }
        Unopened::Refused(_) => ("the breakglass grant does not open", AGAIN),
    };
    let finding = finding(
        message,
        "a grant signed by a key of the trust root, at a time when the key counts",
        &error.to_string(),
        fix,
    )
    .or(WITHOUT);
    match error {
        Unopened::Refused(OpenError::OutsideWindow { time, until: Some(until), .. }) if time > until => {
            finding
        }
        _ => finding.ending_standing(),
    }
}

pub(crate) fn no_grant(kind: &str) -> Finding {
    finding(
        "what is named as the breakglass grant is no grant",
        "a statement of the type https://portcullis.dev/breakglass/v1",
        &format!("a {kind}"),
        "name the digest of the grant: `portcullis breakglass` prints it",
    )
}

pub(crate) fn not_in_group(person: &str, group: &NameUse) -> Finding {
    Finding::new(
        RULE.name,
        "the breakglass grant is signed by a person who may not give it",
        &format!("ask somebody in {} for a grant", group.name),
    )
    .wanted(&members(group), &group.place)
    .found(person)
}

pub(crate) fn no_person(signers: &[&str], group: &NameUse) -> Finding {
    Finding::new(
        RULE.name,
        "the breakglass grant is not signed by a person",
        &format!("ask somebody in {} for a grant", group.name),
    )
    .wanted(&members(group), &group.place)
    .found(&and_list(signers))
}

pub(crate) fn other_environment(grant: &Grant, environment: &str) -> Finding {
    finding(
        "the breakglass grant is for another environment",
        &format!("a grant for {environment}"),
        &grant.environment,
        &format!("ask for a grant for {environment}"),
    )
}

pub(crate) fn other_artifact(grant: &Grant, artifact: &Artifact) -> Finding {
    let text = |digest: Option<Digest>| digest.map_or_else(|| "no digest".to_owned(), |d| d.to_string());
    finding(
        "the breakglass grant is for another artifact",
        &format!("a grant for {}", text(artifact.digest())),
        &text(grant.artifact.clone()),
        "ask for a grant for this artifact, or deploy the one it was given for",
    )
}

pub(crate) fn other_requester(wanted: &str, requester: Option<&str>) -> Finding {
    finding(
        "the breakglass grant is for another requester",
        &format!("a request by {wanted}"),
        requester.unwrap_or("no authenticated requester"),
        &format!("have {wanted} ask for the deployment, or ask for a grant without a requester"),
    )
}

pub(crate) fn expired(grant: &Grant, at: Timestamp) -> Finding {
    finding(
        "the breakglass grant has expired",
        "a grant that holds now",
        &format!("it held until {}, and it is {at}", grant.expires),
        AGAIN,
    )
    .or(WITHOUT)
}

pub(crate) fn not_yet(grant: &Grant, at: Timestamp) -> Finding {
    finding(
        "the breakglass grant does not hold yet",
        "a grant that holds now",
        &format!("it holds from {}, and it is {at}", grant.issued),
        &format!("deploy from {} on, or set the clock that is wrong", grant.issued),
    )
}

pub(crate) fn too_long(grant: &Grant, breakglass: &Breakglass) -> Finding {
    let given = Span::between(grant.issued, grant.expires);
    Finding::new(
        RULE.name,
        "the breakglass grant was given for longer than the policy allows",
        &format!("ask for a grant that ends within {}", breakglass.expires),
    )
    .wanted(&format!("at most {}", breakglass.expires), &breakglass.group.place)
    .found(&format!("{given}, from {} until {}", grant.issued, grant.expires))
}
