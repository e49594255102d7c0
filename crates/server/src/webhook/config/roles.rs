//! Which name may do what: one certificate must not be enough for two things that check each other.

use attest::LoadError;
use attest::yaml::{Node, Problems};

use super::Webhook;

/// The names in client certificates, by what they may do.
pub(super) struct Roles<'c> {
    /// The API server's names are there.
    pub(super) webhook: &'c Webhook,
    /// Who may bring evidence.
    pub(super) attach: &'c [String],
    /// Who may ask for decisions; nothing where nobody may.
    pub(super) asking: Option<&'c [String]>,
    /// Who may close an alarm.
    pub(super) close: &'c [String],
}

/// The API server's certificate asks for everybody in the cluster, so it asks nothing for itself and brings nothing. Who
/// deploys must not silence the alarm about it. Who asks may also attach: it may bring the same evidence with each
/// question, and nothing of it is believed but for its signatures.
pub(super) fn one_each(node: &Node, roles: &Roles<'_>, problems: &mut Problems) {
    let clients = roles.webhook.clients.as_ref();
    if roles.asking.is_some() && roles.webhook.is_kubernetes && clients.is_none() {
        problems.push(open_to_askers(node));
    }
    let asking = roles.asking.unwrap_or_default();
    for (names, list, may) in [(roles.attach, "attach", "attach"), (asking, "decisions", "ask for decisions")]
    {
        if clients.is_none() && !names.is_empty() {
            let found = if roles.webhook.is_kubernetes { "`anonymous: true`" } else { "no `clients`" };
            problems.push(
                LoadError::new(&node.place, &format!("nobody can prove a name that may {may}"))
                    .wanted("`clients: { ca: FILE, … }` in `webhook`")
                    .found(found)
                    .fix(&format!(
                        "name the authority of client certificates, or remove the names of `{list}`"
                    )),
            );
        }
    }
    let api_server = clients.map_or(&[][..], |clients| &clients.names);
    let pairs = [
        (roles.attach, api_server, "may ask and may attach", "whoever attaches evidence"),
        (asking, api_server, "asks for a cluster and for itself", "whoever asks for decisions"),
        (
            roles.close,
            asking,
            "may ask for decisions and close the alarms about them",
            "whoever closes alarms",
        ),
    ];
    for (names, others, both, who) in pairs {
        for name in names.iter().filter(|name| others.contains(name)) {
            problems.push(
                LoadError::new(&node.place, &format!("{name} {both}"))
                    .wanted("one role for a name")
                    .fix(&format!("give {who} a certificate of its own")),
            );
        }
    }
}

/// `anonymous: true` is for a webhook that only the API server can reach.
fn open_to_askers(node: &Node) -> LoadError {
    LoadError::new(&node.place, "who asks for decisions could pass for the API server")
        .wanted("`clients: { ca: FILE, names: [...] }` in `webhook`, beside `decisions`")
        .found("`anonymous: true`")
        .fix("name the API server; or run another process for `decisions`")
}
