//! The controllers of Kubernetes: who makes what out of what, under which account.

use crate::review::GroupKind;

/// One link that a built-in controller makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    /// The controller's account in `kube-system`.
    pub account: &'static str,
    /// What it makes: group and kind.
    pub made: (&'static str, &'static str),
    /// Out of what.
    pub owner: (&'static str, &'static str),
}

const fn made(
    account: &'static str,
    made: (&'static str, &'static str),
    owner: (&'static str, &'static str),
) -> Made {
    Made { account, made, owner }
}

/// Every link.
pub(crate) const MADE: [Made; 7] = [
    made("replicaset-controller", ("", "Pod"), ("apps", "ReplicaSet")),
    made("replication-controller", ("", "Pod"), ("", "ReplicationController")),
    made("statefulset-controller", ("", "Pod"), ("apps", "StatefulSet")),
    made("daemon-set-controller", ("", "Pod"), ("apps", "DaemonSet")),
    made("job-controller", ("", "Pod"), ("batch", "Job")),
    made("deployment-controller", ("apps", "ReplicaSet"), ("apps", "Deployment")),
    made("cronjob-controller", ("batch", "Job"), ("batch", "CronJob")),
];

/// The accounts of a controller manager with `--use-service-account-credentials`, as every installer sets it.
#[must_use]
pub fn default_controllers() -> Vec<String> {
    MADE.iter().map(|m| format!("system:serviceaccount:kube-system:{}", m.account)).collect()
}

/// The link between two kinds, if a controller makes it.
pub(crate) fn link(made: &GroupKind, owner: &GroupKind) -> Option<&'static Made> {
    let is = |kind: &GroupKind, pair: (&str, &str)| kind.group == pair.0 && kind.kind == pair.1;
    MADE.iter().find(|m| is(made, m.made) && is(owner, m.owner))
}

/// Whether a controller makes something out of this kind.
pub(crate) fn is_owner(kind: &GroupKind) -> bool {
    MADE.iter().any(|m| kind.group == m.owner.0 && kind.kind == m.owner.1)
}

/// Whether a user is the controller that makes this link: the account of that name in the list, or one whose name is
/// none of the built-in ones (a controller manager with a single account), which the list then trusts with every link.
pub(crate) fn is_maker(user: &str, link: &Made, controllers: &[String]) -> bool {
    let account = user.rsplit(':').next().unwrap_or_default();
    let is_built_in = MADE.iter().any(|m| m.account == account);
    controllers.iter().any(|c| c == user) && (account == link.account || !is_built_in)
}
