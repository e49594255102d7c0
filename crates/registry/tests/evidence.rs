//! What is attached is found, wherever it is kept and however much there is, in one order; and pushed so that it is found.

mod server;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Mutex;

use attest::{Digest, Json, Object};
use registry::{Answer, CosignError, Credentials, Evidence, Kind, Layout, Limits, PushError, Wanted, Why};
use server::{
    BUNDLE, Content, INDEX, MANIFEST, Server, artifact, client, client_as, descriptor, image, index,
};

const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const SIMPLE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

fn found<T: std::fmt::Debug>(answer: Answer<T>) -> T {
    match answer {
        Answer::Found(value) => value,
        other => panic!("{other:?}"),
    }
}

fn texts(evidence: &Evidence) -> Vec<&str> {
    evidence.pieces.iter().map(|p| std::str::from_utf8(&p.bytes).unwrap()).collect()
}

fn annotated(mut descriptor: Json, annotations: &[(&str, &str)]) -> Json {
    let annotations = annotations.iter().map(|(k, v)| ((*k).to_owned(), Json::from(*v))).collect::<Object>();
    if let Json::Object(object) = &mut descriptor {
        object.set("annotations", annotations);
    }
    descriptor
}

/// A manifest under one of cosign 2's tags.
fn tagged(content: &mut Content, end: &str, layers: Vec<Json>) {
    let empty = descriptor("application/vnd.oci.image.config.v1+json", &Digest::sha256(b"{}"), 2);
    let manifest =
        Object::new().with("schemaVersion", 2).with("config", empty).with("layers", Json::Array(layers));
    let path = format!("/v2/shop/manifests/sha256-{}.{end}", image().hex());
    content.put(&path, MANIFEST, Json::from(manifest).to_string().as_bytes());
}

#[test]
fn cosign_2_s_annotations_stay_with_their_layers() {
    let mut content = Content::default();
    let (att, sig) = (content.blob(b"envelope"), content.blob(b"payload"));
    let certificate = [("dev.sigstore.cosign/certificate", "C"), ("dev.sigstore.cosign/chain", "D")];
    tagged(&mut content, "att", vec![annotated(descriptor(DSSE, &att, 8), &certificate)]);
    let signed = |by| annotated(descriptor(SIMPLE, &sig, 7), &[("dev.cosignproject.cosign/signature", by)]);
    let bundle = [("dev.cosignproject.cosign/signature", "A"), ("dev.sigstore.cosign/bundle", "{}")];
    let with_log = annotated(descriptor(SIMPLE, &sig, 7), &bundle);
    // one text, signed by two keys: two pieces; twice by the same: one
    tagged(&mut content, "sig", vec![signed("B"), with_log, signed("B")]);
    let evidence = found(client().evidence_for(&Server::with(content).repository(), &image(), &Wanted::All));
    assert_eq!((texts(&evidence), evidence.records), (vec!["envelope", "payload", "payload"], 3));
    let Kind::Attestation(first) = &evidence.pieces[0].kind else { panic!("{evidence:?}") };
    assert_eq!((first.certificate.as_deref(), first.bundle.as_deref()), (Some("C"), None));
    assert_eq!(evidence.pieces[0].envelope(), Err(CosignError::NeedsLogEntry));
    assert_eq!(evidence.pieces[1].envelope(), Ok(None));
    assert!(evidence.pieces[1..].iter().all(|piece| piece.kind == Kind::Signature));
}

#[test]
fn many_records_are_brought_in_one_order_and_any_by_its_digest() {
    let mut content = Content::default();
    let bundle = |n: usize| format!(r#"{{"mediaType":"{BUNDLE}","n":{n}}}"#);
    let listed: Vec<Json> = (0..70).map(|n| content.bundle(&image(), bundle(n).as_bytes())).collect();
    let other = annotated(descriptor(MANIFEST, &Digest::sha256(b"an SBOM"), 7), &[]);
    let mut backwards: Vec<Json> = listed.iter().rev().cloned().collect();
    content.list(&image(), listed);
    let first = Server::with(content.clone());
    let evidence = found(client().evidence_for(&first.repository(), &image(), &Wanted::All));
    assert_eq!((evidence.pieces.len(), evidence.records), (64, 70));
    // the registry's order is not listened to, nor is what is no evidence
    backwards.push(match other {
        Json::Object(object) => object.with("artifactType", "application/spdx+json").into(),
        other => other,
    });
    content.list(&image(), backwards);
    let second = Server::with(content.clone());
    let again = found(client().evidence_for(&second.repository(), &image(), &Wanted::All));
    assert_eq!(texts(&again), texts(&evidence));
    assert_eq!(again.records, 70);
    // one of them by its own digest or by its manifest's, however many there are
    let last = bundle(69);
    let by_bytes = Digest::sha256(last.as_bytes());
    let manifest = artifact(&image(), vec![descriptor(BUNDLE, &by_bytes, last.len())]).to_string();
    for (digest, requests) in [(by_bytes, 1), (Digest::sha256(manifest.as_bytes()), 3)] {
        let server = Server::with(content.clone());
        let one = found(client().evidence_for(&server.repository(), &image(), &Wanted::Only(digest)));
        assert_eq!(texts(&one), [last.as_str()]);
        assert_eq!(server.seen().len(), requests);
    }
    let nothing = client().evidence_for(&second.repository(), &image(), &Wanted::Only(Digest::sha256(b"no")));
    assert_eq!(nothing, Answer::None);
}

#[test]
fn a_list_that_does_not_say_what_its_records_are_is_read() {
    let mut content = Content::default();
    let empty = "application/vnd.oci.empty.v1+json";
    let retyped = |listed: Json, kind: &str| match listed {
        Json::Object(object) => Json::from(object.with("artifactType", kind)),
        other => other,
    };
    let listed = content.bundle(&image(), b"cosign 3 lists it so");
    let layers = vec![descriptor("application/spdx+json", &content.blob(b"an SBOM"), 7)];
    let manifest = artifact(&image(), layers).to_string();
    let sbom = descriptor(MANIFEST, &content.manifest(manifest.as_bytes()), manifest.len());
    let path = format!("/v2/shop/manifests/sha256-{}", image().hex());
    content.put(&path, INDEX, index(vec![retyped(listed, empty), retyped(sbom, empty)]).as_bytes());
    let evidence = found(client().evidence_for(&Server::with(content).repository(), &image(), &Wanted::All));
    assert_eq!((texts(&evidence), evidence.records), (vec!["cosign 3 lists it so"], 1));
}

#[test]
fn a_record_about_another_image_cannot_be_named() {
    let mut content = Content::default();
    let other = Digest::sha256(b"another image");
    let bundle = b"{}";
    content.bundle(&other, bundle);
    let layers = vec![descriptor(BUNDLE, &Digest::sha256(bundle), 2)];
    let manifest = Digest::sha256(artifact(&other, layers).to_string().as_bytes());
    let answer =
        client().evidence_for(&Server::with(content).repository(), &image(), &Wanted::Only(manifest));
    let Answer::Unknown(unknown) = answer else { panic!("{answer:?}") };
    assert_eq!(unknown.why, Why::WrongSubject(Some(other)));
}

#[test]
fn pages_are_read_to_their_end() {
    let mut content = Content::default();
    let listed: Vec<Json> = (0..3_u8).map(|n| content.bundle(&image(), &[b'0' + n])).collect();
    let server = Server::new(move |request, out| {
        if !request.path.contains("/referrers/") {
            return content.answer(request, out);
        }
        let at: usize = request.path.rsplit_once("last=").map_or(0, |(_, n)| n.parse().unwrap());
        let link = format!("</v2/shop/referrers/{}?last={}>; rel=\"next\"", image(), at + 1);
        let headers = [("content-type", INDEX), ("link", &link)];
        let headers = if at < 2 { &headers[..] } else { &headers[..1] };
        out.reply(200, headers, index(vec![listed[at].clone()]).as_bytes())
    });
    assert_eq!(found(client().referrers(&server.repository(), &image())).len(), 3);
    let evidence = found(client().evidence_for(&server.repository(), &image(), &Wanted::All));
    assert_eq!((evidence.pieces.len(), evidence.records), (3, 3));
}

/// The same content as a layout in a folder.
fn layout(dir: &Path, content: &Content, manifests: Vec<Json>) {
    fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
    for (path, (_, bytes)) in &content.0 {
        if path.contains("sha256:") {
            fs::write(dir.join("blobs/sha256").join(Digest::sha256(bytes).hex()), bytes).unwrap();
        }
    }
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    fs::write(dir.join("index.json"), index(manifests)).unwrap();
}

#[test]
fn a_layout_gives_the_same_evidence() {
    let (dir, mut content) = (tempfile::tempdir().unwrap(), Content::default());
    let (one, two) =
        (format!(r#"{{"mediaType":"{BUNDLE}"}}"#), format!(r#"{{"mediaType":"{BUNDLE}","n":2}}"#));
    let listed = vec![content.bundle(&image(), one.as_bytes()), content.bundle(&image(), two.as_bytes())];
    let of_another = content.bundle(&Digest::sha256(b"another image"), b"three");
    layout(dir.path(), &content, [listed.clone(), vec![of_another]].concat());
    let open = || Layout::open(dir.path(), Limits::default()).unwrap();
    let evidence = found(open().evidence_for(&image(), &Wanted::All));
    content.list(&image(), listed.clone());
    let fetched = found(client().evidence_for(&Server::with(content).repository(), &image(), &Wanted::All));
    assert_eq!(texts(&evidence), texts(&fetched));
    assert_eq!(open().evidence_for(&Digest::sha256(b"nothing's"), &Wanted::All), Answer::None);
    let named = found(open().evidence_for(&image(), &Wanted::Only(Digest::sha256(two.as_bytes()))));
    assert_eq!(texts(&named), [two.as_str()]);
}

#[test]
fn a_layout_leads_nowhere_else() {
    let (dir, mut content) = (tempfile::tempdir().unwrap(), Content::default());
    let listed = content.bundle(&image(), b"bundle");
    layout(dir.path(), &content, vec![listed]);
    let why =
        || match Layout::open(dir.path(), Limits::default()).unwrap().evidence_for(&image(), &Wanted::All) {
            Answer::Unknown(unknown) => unknown.why,
            other => panic!("{other:?}"),
        };
    let blob = dir.path().join("blobs/sha256").join(Digest::sha256(b"bundle").hex());
    fs::write(&blob, "other!").unwrap();
    assert!(matches!(why(), Why::WrongDigest { .. }));
    fs::remove_file(&blob).unwrap();
    assert_eq!(why(), Why::Missing(Digest::sha256(b"bundle")));
    let secret = dir.path().join("secret");
    fs::write(&secret, "bundle").unwrap();
    symlink(&secret, &blob).unwrap();
    assert_eq!(why(), Why::File("it is no file".to_owned()));
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(dir.path().join("blobs"), &elsewhere).unwrap();
    symlink(&elsewhere, dir.path().join("blobs")).unwrap();
    assert!(matches!(why(), Why::File(text) if text.contains("is a link")));
    for (name, text, wanted) in [
        ("index.json", r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#, "as a manifest and as an index"),
        (
            "index.json",
            r#"{"schemaVersion":2,"manifests":[{"mediaType":"m","size":1,"digest":"sha256:../../x"}]}"#,
            "].digest",
        ),
        ("index.json", "<html>", "no manifest"),
        ("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#, "1.0.0"),
    ] {
        let file = dir.path().join(name);
        let before = fs::read(&file).unwrap();
        fs::write(&file, text).unwrap();
        let error = Layout::open(dir.path(), Limits::default()).unwrap_err();
        assert!(error.path == file && error.to_string().contains(wanted), "{error}");
        fs::write(&file, before).unwrap();
    }
    fs::remove_file(dir.path().join("oci-layout")).unwrap();
    assert!(Layout::open(dir.path(), Limits::default()).unwrap_err().to_string().contains("no such file"));
}

/// A registry without a list of referrers, into which can be written; `meddle` sees every list that is written.
fn writable(content: Content, meddle: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> Server {
    let content = Mutex::new(content);
    Server::new(move |request, out| {
        let mut content = content.lock().unwrap();
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        match request.method.as_str() {
            "POST" => out.reply(202, &[("location", "/v2/shop/blobs/uploads/1?state=x")], b""),
            "PUT" => {
                let mut body = request.body.clone();
                let digest = query.rsplit_once("digest=").map(|(_, d)| d.replace("%3A", ":"));
                let path = digest.map_or(path.to_owned(), |d| format!("/v2/shop/blobs/{d}"));
                if path.contains("/manifests/sha256-") {
                    meddle(&mut body);
                }
                content.put(&path, request.header("content-type").unwrap_or_default(), &body);
                out.reply(201, &[], b"")
            }
            _ => content.answer(request, out),
        }
    })
}

/// A registry with an image in it, and the image.
fn with_image() -> (Content, Digest) {
    let mut content = Content::default();
    let manifest = artifact(&image(), Vec::new()).to_string();
    let digest = content.manifest(manifest.as_bytes());
    (content, digest)
}

fn bundle() -> Vec<u8> {
    format!(r#"{{"mediaType":"{BUNDLE}","dsseEnvelope":{{"payload":"eyJwcmVkaWNhdGVUeXBlIjoicCJ9"}}}}"#)
        .into_bytes()
}

#[test]
fn a_list_that_others_wrote_in_is_added_to() {
    let (mut content, image) = with_image();
    let other = content.bundle(&image, b"older");
    let path = format!("/v2/shop/manifests/sha256-{}", image.hex());
    let list = index(vec![other]).replacen("{", r#"{"annotations":{"kept":"yes"},"#, 1);
    content.put(&path, INDEX, list.as_bytes());
    let server = writable(content, |_| {});
    let pushed = client().push_evidence(&server.repository(), &image, &bundle()).unwrap();
    assert_eq!(pushed.tag, Some(format!("sha256-{}", image.hex())));
    assert_eq!(pushed.bundle, Digest::sha256(&bundle()));
    let evidence = found(client().evidence_for(&server.repository(), &image, &Wanted::All));
    assert_eq!(evidence.records, 2);
    assert!(texts(&evidence).contains(&"older"));
    let kept = server.seen().into_iter().rfind(|s| s.method == "PUT").unwrap().body;
    assert!(String::from_utf8(kept).unwrap().contains(r#""kept":"yes""#));
    // the same again changes nothing
    let writes =
        || server.seen().iter().filter(|s| s.path.contains("manifests/sha256-") && s.method == "PUT").count();
    let before = writes();
    assert_eq!(client().push_evidence(&server.repository(), &image, &bundle()).unwrap(), pushed);
    assert_eq!(writes(), before);
}

#[test]
fn an_entry_that_somebody_took_away_is_written_again_or_told() {
    let (content, image) = with_image();
    let turn = Mutex::new(0);
    let server = writable(content.clone(), move |list| {
        let mut turn = turn.lock().unwrap();
        *turn += 1;
        if *turn == 1 {
            *list = index(Vec::new()).into_bytes();
        }
    });
    client().push_evidence(&server.repository(), &image, &bundle()).unwrap();
    let evidence = found(client().evidence_for(&server.repository(), &image, &Wanted::All));
    assert_eq!(evidence.pieces.len(), 1);
    let server = writable(content, |list| *list = index(Vec::new()).into_bytes());
    let error = client().push_evidence(&server.repository(), &image, &bundle()).unwrap_err();
    assert!(matches!(error, PushError::Contended(_)), "{error}");
}

#[test]
fn what_cannot_be_pushed_is_not() {
    let (content, image) = with_image();
    let server = writable(content, |_| {});
    let push = |image: &Digest, bundle: &[u8]| client().push_evidence(&server.repository(), image, bundle);
    for other in [&b"nonsense"[..], b"{}", br#"{"mediaType":"application/json"}"#] {
        assert!(matches!(push(&image, other), Err(PushError::NoBundle(_))));
    }
    assert!(server.seen().is_empty());
    assert_eq!(push(&Digest::sha256(b"gone"), &bundle()), Err(PushError::NoImage));
    // an upload that is sent to somebody else would take the login along
    let (content, image) = with_image();
    let thief = Server::with(Content::default());
    let at = format!("http://{}/upload", thief.address);
    let server =
        Server::new(move |request, out| match (request.method.as_str(), request.header("authorization")) {
            (_, None) => out.reply(401, &[("www-authenticate", "Basic realm=\"r\"")], b""),
            ("POST", _) => out.reply(202, &[("location", &at)], b""),
            _ => content.answer(request, out),
        });
    let login = Credentials::anonymous().with_login(&server.address, "alice", "secret");
    let error = client_as(login).push_evidence(&server.repository(), &image, &bundle()).unwrap_err();
    let PushError::Unknown(unknown) = error else { panic!("{error}") };
    assert!(matches!(unknown.why, Why::Redirect(_)));
    assert!(thief.seen().is_empty());
}
