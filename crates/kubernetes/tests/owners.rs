//! Whose a pod is: built-in controllers' pods are recognised, and nothing that a tenant can write is believed.

mod world;

use attest::{Json, Object};
use kubernetes::{
    Chain, Context, GroupKind, Maker, Ownership, Review, Step, Subject, pod_is_of_template, requests,
    template_digest,
};
use world::{Ask, ask, image, object, standard};

const RS: &str = "system:serviceaccount:kube-system:replicaset-controller";

fn template(image: &str) -> String {
    format!(
        r#"{{"metadata":{{"labels":{{"app":"web"}},"annotations":{{"portcullis.dev/evidence-digest":"sha256:x"}}}},"spec":{{
        "containers":[{{"name":"web","image":"{image}","imagePullPolicy":"IfNotPresent","resources":{{}},"args":["--safe"],
        "env":[{{"name":"MODE","value":"prod"}}]}}],"restartPolicy":"Always","dnsPolicy":"ClusterFirst","securityContext":{{}},
        "schedulerName":"default-scheduler","terminationGracePeriodSeconds":30}}}}"#
    )
}

/// The pod that controllers and API server make of [`template`], as seen at admission.
fn made(image: &str) -> Object {
    object(&format!(
        r#"{{"metadata":{{"generateName":"web-5d8f-","labels":{{"app":"web","pod-template-hash":"5d8f"}},
        "annotations":{{"kubernetes.io/limit-ranger":"LimitRanger plugin set: cpu"}},
        "ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d8f","uid":"u-rs","controller":true}}]}},
        "spec":{{"volumes":[{{"name":"kube-api-access-x7k2p","projected":{{"defaultMode":420,"sources":[
            {{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},
            {{"configMap":{{"items":[{{"key":"ca.crt","path":"ca.crt"}}],"name":"kube-root-ca.crt"}}}},
            {{"downwardAPI":{{"items":[{{"fieldRef":{{"apiVersion":"v1","fieldPath":"metadata.namespace"}},"path":"namespace"}}]}}}}]}}}}],
        "containers":[{{"name":"web","image":"{image}","imagePullPolicy":"Always","resources":{{"requests":{{"cpu":"100m"}}}},"args":["--safe"],
        "env":[{{"name":"MODE","value":"prod"}}],
        "volumeMounts":[{{"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount","name":"kube-api-access-x7k2p","readOnly":true}}]}}],
        "restartPolicy":"Always","dnsPolicy":"ClusterFirst","securityContext":{{}},"schedulerName":"default-scheduler",
        "terminationGracePeriodSeconds":30,"serviceAccount":"default","serviceAccountName":"default","priority":0,
        "preemptionPolicy":"PreemptLowerPriority","enableServiceLinks":true,"tolerations":[
        {{"effect":"NoExecute","key":"node.kubernetes.io/not-ready","operator":"Exists","tolerationSeconds":300}}]}}}}"#
    ))
}

fn full_template(image: &str) -> Object {
    let mut template = object(&template(image));
    let mut spec = template.object("spec").unwrap().clone();
    spec.set("enableServiceLinks", true);
    template.set("spec", spec);
    template
}

#[test]
fn a_pod_that_controllers_made_is_recognised() {
    let a = image("shop", 'a');
    assert_eq!(pod_is_of_template(&made(&a), &full_template(&a), &Maker::default()), Ok(()));
}

#[test]
fn whatever_runs_code_or_gains_rights_makes_it_another_pod() {
    let a = image("shop", 'a');
    let text = made(&a).to_string();
    for (from, to, path) in [
        (a.as_str(), image("evil", 'b').as_str(), "spec.containers[web].image"),
        (r#"["--safe"]"#, r#"["--debug"]"#, "spec.containers[web].args"),
        (r#""args":"#, r#""command":["sh"],"args":"#, "spec.containers[web].command"),
        (r#""value":"prod""#, r#""value":"dev""#, "spec.containers[web].env[MODE].value"),
        (
            r#""env":["#,
            r#""env":[{"name":"LD_PRELOAD","value":"/x"},"#,
            "spec.containers[web].env[LD_PRELOAD]",
        ),
        (
            r#""env":["#,
            r#""env":[{"name":"JOB_COMPLETION_INDEX","value":"0"},"#,
            "spec.containers[web].env[JOB_COMPLETION_INDEX]",
        ),
        (r#""securityContext":{}"#, r#""securityContext":{"runAsUser":0}"#, "spec.securityContext.runAsUser"),
        (
            r#""serviceAccount":"default","serviceAccountName":"default""#,
            r#""serviceAccount":"root","serviceAccountName":"root""#,
            "spec.serviceAccount",
        ),
        (r#""priority":0"#, r#""priority":0,"hostNetwork":true"#, "spec.hostNetwork"),
        (r#""priority":0"#, r#""priority":0,"hostname":"x""#, "spec.hostname"),
        (r#""containers":[{"#, r#""containers":[{"name":"x","image":"x"},{"#, "spec.containers[x]"),
        (r#""containers":[{"#, r#""initContainers":[{"name":"x"}],"containers":[{"#, "spec.initContainers"),
        (r#""volumes":[{"#, r#""volumes":[{"name":"host","hostPath":{"path":"/"}},{"#, "spec.volumes"),
        ("kube-root-ca.crt", "other", "spec.containers[web].volumeMounts"),
        (
            r#""expirationSeconds":3607"#,
            r#""audience":"vault","expirationSeconds":3607"#,
            "spec.containers[web].volumeMounts",
        ),
        (r#""key":"node.kubernetes.io/not-ready""#, r#""key":"dedicated""#, "spec.tolerations"),
        (r#""app":"web""#, r#""app":"db""#, "metadata.labels.app"),
        (
            r#""kubernetes.io/limit-ranger""#,
            r#""container.apparmor.security.beta.kubernetes.io/web""#,
            "metadata.annotations",
        ),
        (r#""restartPolicy""#, r#""runtimeClassName":"none","restartPolicy""#, "spec.runtimeClassName"),
        (
            r#""restartPolicy""#,
            r#""someFieldOfTheNextRelease":1,"restartPolicy""#,
            "spec.someFieldOfTheNextRelease",
        ),
    ] {
        let bad = text.replacen(from, to, 1);
        assert_ne!(bad, text, "{from}");
        let difference =
            pod_is_of_template(&object(&bad), &full_template(&a), &Maker::default()).unwrap_err();
        assert_eq!(difference.path, path, "{difference}");
    }
}

#[test]
fn a_replica_sets_template_has_its_deployments_digest_and_no_other() {
    let deployment = |image: &str| object(&format!(r#"{{"spec":{{"template":{}}}}}"#, template(image)));
    let digest = |kind: &str, of: &Object| template_digest(&GroupKind::of("apps/v1", kind), of).unwrap();
    let (a, b) = (deployment(&image("shop", 'a')), deployment(&image("shop", 'b')));
    let set = object(
        &a.to_string()
            .replace(r#""app":"web""#, r#""app":"web","pod-template-hash":"5d8f""#)
            .replace("sha256:x", "sha256:y"),
    );
    assert_eq!(digest("Deployment", &a), digest("ReplicaSet", &set));
    assert_ne!(digest("Deployment", &a), digest("Deployment", &b));
    assert_eq!(template_digest(&GroupKind::of("v1", "Pod"), &a), None);
}

/// What is live in the cluster.
struct Cluster(Vec<(&'static str, &'static str, Object)>);

fn live(
    api: &str,
    kind: &str,
    name: &str,
    uid: &str,
    owner: Option<(&str, &str, &str)>,
    spec: &str,
) -> Object {
    let owners = owner.map_or_else(String::new, |(kind, name, uid)| {
        format!(r#","ownerReferences":[{{"apiVersion":"apps/v1","kind":"{kind}","name":"{name}","uid":"{uid}","controller":true}}]"#)
    });
    object(&format!(
        r#"{{"apiVersion":"{api}","kind":"{kind}","metadata":{{"name":"{name}","namespace":"shop","uid":"{uid}"{owners}}},"spec":{spec}}}"#
    ))
}

fn cluster(rs_image: &str, deployment_image: &str) -> Cluster {
    let spec = |image: &str| format!(r#"{{"template":{}}}"#, full_template(image));
    Cluster(vec![
        (
            "ReplicaSet",
            "web-5d8f",
            live(
                "apps/v1",
                "ReplicaSet",
                "web-5d8f",
                "u-rs",
                Some(("Deployment", "pay", "u-d")),
                &spec(rs_image),
            ),
        ),
        ("Deployment", "pay", live("apps/v1", "Deployment", "pay", "u-d", None, &spec(deployment_image))),
    ])
}

fn follow(ask: &Ask, cluster: &Cluster) -> (Review, Chain, Ownership) {
    let review = ask.review();
    let mut chain = Chain::begin(&review, &standard());
    for _ in 0..8 {
        match chain.step() {
            Step::Done(ownership) => return (review, chain, ownership),
            Step::Look(lookup) => {
                assert_eq!(lookup.namespace, "shop");
                let found = cluster.0.iter().find(|(k, n, _)| *k == lookup.kind.kind && *n == lookup.name);
                chain.found(found.map(|f| &f.2));
            }
        }
    }
    panic!("a chain has an end");
}

fn create(user: &'static str, image: &str) -> Ask {
    Ask { user, name: "web-5d8f-abcde", object: Some(made(image)), ..ask("CREATE", "v1", "Pod") }
}

fn unproven(ask: &Ask, cluster: &Cluster) -> String {
    match follow(ask, cluster).2 {
        Ownership::Unproven(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_controllers_pod_is_followed_to_what_a_person_wrote() {
    let a = image("shop", 'a');
    let (review, chain, ownership) = follow(&create(RS, &a), &cluster(&a, &a));
    let Ownership::Made(links) = &ownership else { panic!("{ownership:?}") };
    let names: Vec<(&str, bool)> = links.iter().map(|l| (l.owner.name.as_str(), l.current)).collect();
    assert_eq!(names, [("web-5d8f", true), ("pay", true)]);
    assert_eq!(links[0].template, links[1].template);
    let seen: Vec<&str> = chain.seen().iter().map(|s| s.name.as_str()).collect();
    assert_eq!(seen, ["ReplicaSet shop/web-5d8f", "Deployment shop/pay"]);
    let Subject::Judged(judged) = Subject::of(&review, &standard(), None) else { panic!() };
    let context = |heir| Context { ownership: Some(&ownership), heir, ..Context::default() };
    let made = |heir| requests(&review, &judged, &standard(), &context(heir)).remove(0);
    let plain = made(None);
    assert_eq!((plain.requester.as_str(), plain.environment.as_str()), (RS, "prod/pay"));
    let inherited = made(Some((&links[1], "alice")));
    assert_eq!((inherited.requester.as_str(), inherited.environment.as_str()), ("alice", "prod/pay"));
    let mut forged = links[1].clone();
    forged.owner.uid = "u-other".to_owned();
    assert_eq!(made(Some((&forged, "alice"))).requester, RS, "not a link of this chain");
}

#[test]
fn a_link_further_up_that_has_another_template_moves_nothing_by_itself() {
    // a tenant's own ReplicaSet that says it belongs to the Deployment `pay`
    let (a, b) = (image("evil", 'b'), image("pay", 'a'));
    let (review, _, ownership) = follow(&create(RS, &a), &cluster(&a, &b));
    let Ownership::Made(links) = &ownership else { panic!() };
    assert_eq!(links.iter().map(|l| l.current).collect::<Vec<_>>(), [true, false]);
    let Subject::Judged(judged) = Subject::of(&review, &standard(), None) else { panic!() };
    let context = Context { ownership: Some(&ownership), ..Context::default() };
    let made = requests(&review, &judged, &standard(), &context).remove(0);
    assert_eq!(made.environment, "prod/shop", "not prod/pay, which only names what is proven");
}

#[test]
fn forged_owner_references_prove_nothing() {
    let a = image("shop", 'a');
    let all = cluster(&a, &a);
    assert_eq!(
        unproven(&create("mallory", &a), &all),
        "it claims to be made of ReplicaSet web-5d8f, and mallory is not the replicaset-controller"
    );
    for user in [
        "system:serviceaccount:kube-system:job-controller",
        "system:serviceaccount:shop:replicaset-controller",
        "system:replicaset-controller",
    ] {
        assert!(unproven(&create(user, &a), &all).ends_with("is not the replicaset-controller"), "{user}");
    }
    let edited = |from: &str, to: &str| {
        let text = made(&a).to_string();
        assert!(text.contains(from));
        Ask { object: Some(object(&text.replacen(from, to, 1))), ..create(RS, &a) }
    };
    for (from, to, why) in [
        ("u-rs", "u-old", "another uid than the owner reference says"),
        ("web-5d8f\",\"uid", "gone\",\"uid", "does not exist"),
        ("--safe", "--debug", "spec.containers[web].args"),
        (
            r#""kind":"ReplicaSet""#,
            r#""kind":"Rollout""#,
            "no controller of Kubernetes makes a Pod of Rollout",
        ),
        (
            r#""apiVersion":"apps/v1","kind":"ReplicaSet""#,
            r#""apiVersion":"evil.example/v1","kind":"ReplicaSet""#,
            "no controller of Kubernetes",
        ),
        ("web-5d8f\",\"uid", "../../secrets\",\"uid", "its owner references have another shape"),
        (
            r#""ownerReferences":["#,
            r#""ownerReferences":[{"apiVersion":"v1","kind":"X","name":"x","uid":"x","controller":true},"#,
            "it claims two controllers",
        ),
    ] {
        let found = unproven(&edited(from, to), &all);
        assert!(found.contains(why), "{found}");
    }
    assert_eq!(follow(&edited(r#""controller":true"#, r#""controller":false"#), &all).2, Ownership::Own);
    let Ask { operation, .. } = ask("UPDATE", "v1", "Pod");
    let update = Ask { operation, old: Some(made(&a)), ..create(RS, &a) };
    assert_eq!(follow(&update, &all).2, Ownership::Own, "nothing is inherited by a change");
}

#[test]
fn a_stateful_sets_old_revision_counts_only_as_far_as_a_record_says() {
    let (old, new) = (image("db", 'a'), image("db", 'b'));
    let user = "system:serviceaccount:kube-system:statefulset-controller";
    let text = made(&old)
        .to_string()
        .replace(
            r#""kind":"ReplicaSet","name":"web-5d8f","uid":"u-rs""#,
            r#""kind":"StatefulSet","name":"db","uid":"u-s""#,
        )
        .replace(
            r#""pod-template-hash":"5d8f""#,
            r#""controller-revision-hash":"db-77","statefulset.kubernetes.io/pod-name":"db-0""#,
        )
        .replace(
            r#""volumes":["#,
            r#""volumes":[{"name":"data","persistentVolumeClaim":{"claimName":"data-db-0"}},"#,
        )
        .replace(r#""priority":0"#, r#""priority":0,"hostname":"db-0","subdomain":"db""#);
    let spec = format!(
        r#"{{"template":{},"volumeClaimTemplates":[{{"metadata":{{"name":"data"}}}}]}}"#,
        full_template(&new)
    );
    let set = live("apps/v1", "StatefulSet", "db", "u-s", None, &spec);
    let mut revision =
        live("apps/v1", "ControllerRevision", "db-77", "u-r", Some(("StatefulSet", "db", "u-s")), "{}");
    let mut template = full_template(&old);
    template.set("$patch", "replace");
    revision.set("data", Object::new().with("spec", Object::new().with("template", template)));
    let ask = Ask { user, name: "db-0", object: Some(object(&text)), ..ask("CREATE", "v1", "Pod") };
    let all =
        Cluster(vec![("StatefulSet", "db", set.clone()), ("ControllerRevision", "db-77", revision.clone())]);
    let Ownership::Made(links) = follow(&ask, &all).2 else { panic!("{:?}", follow(&ask, &all).2) };
    assert!(!links[0].current, "anybody who may make revisions could have made this one");
    let foreign = object(&revision.to_string().replace("u-s", "u-t"));
    let why =
        unproven(&ask, &Cluster(vec![("StatefulSet", "db", set), ("ControllerRevision", "db-77", foreign)]));
    assert_eq!(why, "ControllerRevision db-77 is not of StatefulSet db");
    let other_claim = object(&text.replace("data-db-0", "secrets-of-others"));
    let ask = Ask { object: Some(other_claim), ..ask };
    assert!(unproven(&ask, &all).contains("spec."), "another claim is another volume");
}

#[test]
fn an_operators_single_account_stands_for_every_controller() {
    let a = image("shop", 'a');
    let mut mapping = standard();
    mapping.controllers = vec!["system:kube-controller-manager".to_owned()];
    let begin = |user: &'static str| Chain::begin(&create(user, &a).review(), &mapping).step();
    assert!(matches!(begin("system:kube-controller-manager"), Step::Look(_)));
    assert!(matches!(begin(RS), Step::Done(Ownership::Unproven(_))));
    let _: Json = Json::Null;
}

#[test]
fn a_pod_is_in_the_environment_of_its_deployment_whichever_owner_is_on_record() {
    let shop = image("shop", 'a');
    let world = cluster(&shop, &shop);
    let (review, _, ownership) = follow(&create(RS, &shop), &world);
    let Ownership::Made(links) = &ownership else { panic!("{ownership:?}") };
    assert_eq!(links.len(), 2);
    let Subject::Judged(judged) = Subject::of(&review, &standard(), None) else { panic!() };
    let text = "
cluster: eu-1
environments:
  - { environment: prod/shop, namespaces: [shop] }
  - { environment: prod/pay, namespaces: [shop], workloads: [Deployment/NAME] }
";
    let mapping = world::mapping(&text.replace("NAME", &links[1].owner.name)).unwrap();
    for heir in [None, Some((&links[0], "alice")), Some((&links[1], "alice"))] {
        let context = Context { ownership: Some(&ownership), heir, ..Context::default() };
        let made = requests(&review, &judged, &mapping, &context);
        assert_eq!(made[0].environment, "prod/pay", "{heir:?}");
        assert_eq!(made[0].requester == "alice", heir.is_some());
    }
}
