//! A small request asks for little: what it brings is not kept once for each of its images.

mod world;

use attest::{Digest, DigestSet, Json, Object};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kubernetes::evidence::{EVIDENCE, MAX_PAIRS, MAX_ROUTED, encode, route};
use kubernetes::{Context, Deployment, Refusal, Subject, canonical, requests};
use policy::Submitted;
use world::{Ask, ask, standard};

const IMAGES: usize = 250;

fn hex(number: usize) -> String {
    format!("{number:064x}")
}

/// An envelope about something, with a predicate of so many bytes.
fn envelope(algorithm: &str, value: &str, size: usize) -> Vec<u8> {
    let predicate = "x".repeat(size);
    let statement = format!(
        r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"{algorithm}":"{value}"}}}}],"predicateType":"https://example.com/x","predicate":{{"x":"{predicate}"}}}}"#
    );
    let payload = STANDARD.encode(statement);
    let text = format!(
        r#"{{"payload":"{payload}","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"AA=="}}]}}"#
    );
    text.into_bytes()
}

fn commits(count: usize, size: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| envelope("gitCommit", &format!("{number:040x}"), size)).collect()
}

/// Containers with an image each, a secret in the first one's environment, and annotations.
fn many(images: usize, annotations: Object, secret: &str) -> Object {
    let container = |number: usize| {
        let image = format!("registry.example/i{number}@sha256:{}", hex(number));
        let container = Object::new().with("name", format!("c{number}")).with("image", image);
        let env = Object::new().with("name", "PASSWORD").with("value", secret);
        Json::from(container.with("env", Json::Array(vec![env.into()])))
    };
    let containers = Json::Array((0..images).map(container).collect());
    let spec = Object::new().with("containers", containers);
    Object::new().with("metadata", Object::new().with("annotations", annotations)).with("spec", spec)
}

fn inline(envelopes: &[Vec<u8>]) -> Object {
    Object::new().with(EVIDENCE, encode(envelopes).unwrap())
}

fn deployments(ask: &Ask) -> Vec<Deployment> {
    let review = ask.review();
    let Subject::Judged(judged) = Subject::of(&review, &standard(), Some(b"key")) else { panic!() };
    requests(&review, &judged, &standard(), &Context::default())
}

fn created(object: Object) -> Vec<Deployment> {
    deployments(&Ask { object: Some(object), ..ask("CREATE", "v1", "Pod") })
}

/// What every one of them is refused for.
fn refusals(made: &[Deployment]) -> Vec<Refusal> {
    assert!(made.iter().all(|d| d.unreadable == made[0].unreadable), "one review, one word");
    made[0].unreadable.clone()
}

fn routed(made: &[Deployment]) -> (usize, usize) {
    let all = || made.iter().flat_map(|d| &d.envelopes);
    (all().count(), all().map(|e| e.bytes.len()).sum())
}

#[test]
fn what_nobody_can_place_reaches_one_artifact() {
    let digests = |of: std::ops::Range<usize>| -> Vec<DigestSet> {
        let digest = |number| Digest::parse(&format!("sha256:{}", hex(number))).unwrap();
        of.map(|number| DigestSet::from(digest(number))).collect()
    };
    let named = |name: &str, bytes| Submitted { name: name.to_owned(), bytes };
    let noise = named("noise", vec![b'x'; 4 << 20]);
    let stray = named("stray", envelope("sha256", &hex(7777), 1 << 20));
    let own = named("own", envelope("sha256", &hex(0), 10));
    let lists = route(&[noise.clone(), stray.clone(), own.clone()], &digests(0..IMAGES));
    assert_eq!(lists.len(), IMAGES);
    assert_eq!((&lists[0][..], &lists[1][..]), (&[noise.clone(), own.clone()][..], &[stray.clone()][..]));
    assert!(lists[2..].iter().all(Vec::is_empty));
    // beside an image's own evidence, that of its next version harms nothing
    assert_eq!(route(&[stray, own.clone()], &digests(0..1)), [vec![own]]);
    assert!(route(&[noise], &[]).is_empty());
}

#[test]
fn pairs_of_envelopes_and_images_are_bounded() {
    let (few, too_many) = (MAX_PAIRS / IMAGES, MAX_PAIRS / IMAGES + 1);
    let made = created(many(IMAGES, inline(&commits(few, 1)), "s"));
    assert_eq!((made.len(), routed(&made).0), (IMAGES, few * IMAGES));
    let refusals = refusals(&created(many(IMAGES, inline(&commits(too_many, 1)), "s")));
    assert_eq!(refusals.iter().map(|r| r.code).collect::<Vec<_>>(), ["evidence-too-much"]);
    assert!(refusals[0].found.starts_with("1250 envelopes and "), "{}", refusals[0]);
    assert!(refusals[0].wanted.starts_with("at most 1024 envelopes and 8388608 bytes"), "{}", refusals[0]);
    assert!(refusals[0].fix.contains("split the workload"), "{}", refusals[0]);
}

#[test]
fn bytes_are_bounded_and_what_runs_is_not_blocked() {
    let size = |predicate: usize| commits(1, predicate)[0].len() * IMAGES;
    let (fits, too_large) = (24_000, 32_000);
    assert!(size(fits) <= MAX_ROUTED && size(too_large) > MAX_ROUTED);
    let made = created(many(IMAGES, inline(&commits(1, fits)), "s"));
    assert_eq!(routed(&made).0, IMAGES);
    assert!(routed(&made).1 <= MAX_ROUTED);
    let object = many(IMAGES, inline(&commits(1, too_large)), "s");
    assert_eq!(refusals(&created(object.clone()))[0].code, "evidence-too-much");
    // nothing changes: what runs stands against it, and nothing is routed
    let (old, changed) = (Some(object.clone()), many(IMAGES + 1, inline(&commits(1, too_large)), "s"));
    let update = |object| Ask { object: Some(object), old: old.clone(), ..ask("UPDATE", "v1", "Pod") };
    let made = deployments(&update(object));
    assert!(made.len() == IMAGES && made.iter().all(|d| d.unchanged));
    assert_eq!(routed(&made), (0, 0));
    let made = deployments(&update(changed));
    assert_eq!((refusals(&made)[0].code, routed(&made)), ("evidence-too-much", (0, 0)));
}

#[test]
fn the_object_is_kept_once() {
    let large = || Object::new().with("example.com/x", "x".repeat(900_000));
    let made = created(many(IMAGES, large(), "hunter2"));
    let texts: Vec<String> = made.iter().map(|d| d.body.to_string()).collect();
    assert_eq!(texts.len(), IMAGES);
    assert!(texts[0].len() > 900_000 && texts[0].len() < 1_000_000, "{}", texts[0].len());
    assert!(texts[1..].iter().all(|text| text.len() < 1000), "{}", texts[1]);
    let bodies: Vec<&Object> = made.iter().map(|d| d.body.as_object().unwrap()).collect();
    let mut shown = bodies[0].get("object").unwrap().clone();
    policy::redact(&mut shown);
    let digest = Digest::sha256(canonical(&shown).as_bytes()).to_string();
    for (part, body) in bodies.iter().enumerate() {
        assert_eq!(body.int("part").unwrap(), i64::try_from(part).unwrap());
        assert_eq!(body.int("parts").unwrap(), i64::try_from(IMAGES).unwrap());
        assert!(body.string("uid").is_ok() && body.object("user").is_ok());
    }
    assert!(bodies[1..].iter().all(|body| body.string("digest").unwrap() == digest));
    assert_eq!(bodies[1].object("object").unwrap(), &Object::new().with("part", 0_i64));
    // the digest is of what the first record shows: nobody tries passwords against it
    let other = created(many(IMAGES, large(), "hunter3"));
    assert_eq!(other[1].body.as_object().unwrap().string("digest").unwrap(), digest);
    let alone = created(many(1, Object::new(), "hunter2"));
    let alone = alone[0].body.as_object().unwrap();
    assert_eq!((alone.int("part").unwrap(), alone.int("parts").unwrap()), (0, 1));
    assert!(alone.object("object").unwrap().object("spec").is_ok() && alone.get("digest").is_none());
}

#[test]
fn every_record_says_whose_template_it_is() {
    let container =
        |name: &str, digit: char| format!(r#"{{"name":"{name}","image":"{}"}}"#, world::image(name, digit));
    let object = world::object(&format!(
        r#"{{"metadata":{{"uid":"u1"}},"spec":{{"template":{{"metadata":{{}},"spec":{{"containers":[{},{}]}}}}}}}}"#,
        container("a", 'a'),
        container("b", 'b')
    ));
    let made = deployments(&Ask { object: Some(object), ..ask("CREATE", "apps/v1", "Deployment") });
    let told = |d: &Deployment| {
        let body = d.body.as_object().unwrap();
        let texts = ["uid", "owner", "template"].map(|key| body.string(key).unwrap().to_owned());
        (texts, body.int("parts").unwrap())
    };
    assert_eq!((made.len(), told(&made[0]).1), (2, 2));
    assert_eq!(told(&made[0]), told(&made[1]));
}
