//! Dry run, breakglass, and somebody else's webhook behind ours.

use attest::Digest;
use jiff::{SignedDuration, Timestamp};

use crate::kubernetes::case::{Case, Place, case};
use crate::kubernetes::fixtures::Images;
use crate::kubernetes::manifest::Spec;
use crate::kubernetes::other::{Manner, Other};
use crate::kubernetes::register::{Hook, register};

use super::pods::UNKNOWN;

const CREATE: &str = "create -f -";

pub fn cases(images: &Images) -> Vec<Case> {
    let (good, bad) = (&images.good[0], &images.unsigned);
    let sidecar = bad.reference.clone();
    let mut cases = vec![
        case("a policy in dry run admits, and says what it would refuse")
            .place(Place::DryRun)
            .tenant(CREATE, Spec::of(&[bad]).pod("web"))
            .warned(&["built-by"])
            .audited("basis", "dry-run")
            .audited("decision", "admit"),
        case("a policy in dry run has nothing to say of a good image")
            .place(Place::DryRun)
            .tenant(CREATE, Spec::of(&[good]).pod("web"))
            .says(&["pod/web created"])
            .audited("basis", "policy"),
        case("a policy in dry run admits what cannot be read, on record")
            .place(Place::DryRun)
            .tenant(CREATE, Spec::of(&[good]).annotation("portcullis.dev/evidense", "x").pod("web"))
            .warned(&["request-readable"])
            .audited("basis", "dry-run")
            .audited("record", "spec.containers[0].image="),
        case("a second webhook injects a sidecar after ours")
            .act(move |world, namespace| {
                let other = Other::start(&world.cluster.folder, Manner::Inject(sidecar.clone()));
                let label = format!("{namespace}-injected");
                let world_name = namespace.rsplit_once('-').unwrap().0;
                world.cluster.prepare(&["label", "namespace", namespace, &format!("{label}=yes")], "");
                let name = format!("inject-{namespace}.example.com");
                register(world.cluster, &Hook::mutating(world_name, &name, &other.url).only(&label));
            })
            .tenant(CREATE, Spec::of(&[good]).pod("web"))
            .refused(&UNKNOWN, &["spec.containers[1].image"])
            .for_portcullis(),
    ];
    cases.extend(breakglass(images));
    cases
}

/// A grant that does not hold is said beside what is wrong anyway.
const BROKEN: [&str; 2] = ["breakglass-grant", "built-by"];

/// A grant, by who signed it, where it holds, and from when until when it does, in hours from now.
struct Given(&'static str, &'static str, i64, i64);

fn breakglass(images: &Images) -> Vec<Case> {
    let bad = &images.unsigned;
    let now = clock();
    let hours = |hours: i64| now + SignedDuration::from_hours(hours);
    let beside = |name: &str, given: &Given, more: Option<&str>| {
        let Given(who, environment, from, until) = *given;
        let id = name.replace(' ', "-");
        let grant = images.grant(who, &id, environment, hours(from), hours(until));
        let named = Digest::sha256(grant.as_bytes()).to_string();
        let spec = Spec::of(&[bad]).annotation("portcullis.dev/breakglass", &named);
        let spec = more.into_iter().fold(spec, |spec, more| spec.annotation(more, "x"));
        case(name)
            .act(move |world, _| {
                world.webhook().put_grant(&grant);
            })
            .tenant(CREATE, spec.pod("web"))
    };
    let with = |name: &str, given: &Given| beside(name, given, None);
    let lost =
        Spec::of(&[bad]).annotation("portcullis.dev/breakglass", &format!("sha256:{}", "1".repeat(64)));
    vec![
        with("breakglass by somebody on call", &Given("sam", "prod/shop", -1, 2))
            .warned(&["breakglass"])
            .audited("basis", "breakglass")
            .audited("decision", "admit"),
        beside(
            "breakglass beside an annotation that cannot be read",
            &Given("sam", "prod/shop", -1, 2),
            Some("portcullis.dev/evidense"),
        )
        .warned(&["breakglass", "request-readable"])
        .audited("basis", "breakglass"),
        with("breakglass that has ended", &Given("sam", "prod/shop", -3, -1))
            .refused(&BROKEN, &["the breakglass grant has expired"]),
        with("breakglass that lasts longer than the policy allows", &Given("sam", "prod/shop", -1, 30))
            .refused(
                &BROKEN,
                &["the breakglass grant was given for longer than the policy allows", "at most 4h"],
            ),
        with("breakglass for another environment", &Given("sam", "prod/pay", -1, 2))
            .refused(&BROKEN, &["the breakglass grant is for another environment", "\n  found     prod/pay"]),
        with("breakglass by somebody who is not on call", &Given("vendor", "prod/shop", -1, 2))
            .refused(&BROKEN, &["the breakglass grant is not signed by a person", "sre-oncall"]),
        with("breakglass signed by nobody whom the trust root knows", &Given("stranger", "prod/shop", -1, 2))
            .refused(&BROKEN, &["the breakglass grant is signed by nobody the trust root knows"]),
        case("a breakglass that nobody opened").tenant(CREATE, lost.pod("web")).denied(&[
            "error[",
            "breakglass",
            "\n  fix  ",
        ]),
        case("the word breakglass alone opens nothing")
            .tenant(
                CREATE,
                Spec::of(&[bad])
                    .annotation("portcullis.dev/breakglass", "true")
                    .label("portcullis.dev/breakglass", "true")
                    .pod("web"),
            )
            .refused(
                &["request-readable"],
                &["portcullis.dev/breakglass names `true`, which is no sha256 digest"],
            ),
    ]
}

#[allow(clippy::disallowed_methods, reason = "a test's own clock")]
fn clock() -> Timestamp {
    Timestamp::now()
}
