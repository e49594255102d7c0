//! Registries that lie, stall, flood and lead astray: what they get is a typed "unknown", bounded in bytes and time,
//! and never somebody's password.

#[path = "hostile/login.rs"]
mod login;
mod server;

use std::fmt::Debug;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use attest::{Digest, Json};
use registry::{Answer, Credentials, DocumentError, Reference, Wanted, Why};
use server::{
    BUNDLE, Content, INDEX, MANIFEST, Server, UNKNOWN, artifact, client, client_as, descriptor, image,
    impatient, index,
};

/// The reason why something is unknown; every question of these tests must end soon.
fn why<T: Debug>(answer: Answer<T>) -> Why {
    match answer {
        Answer::Unknown(unknown) => unknown.why,
        other => panic!("wanted unknown, found {other:?}"),
    }
}

fn evidence_of(server: &Server) -> Answer<registry::Evidence> {
    let began = Instant::now();
    let answer = client().evidence_for(&server.repository(), &image(), &Wanted::All);
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    answer
}

fn manifest_of(server: &Server) -> Answer<registry::Fetched> {
    client().manifest(&server.repository())
}

/// A login for the registry, and what must never be seen elsewhere.
fn login(server: &Server) -> Credentials {
    Credentials::anonymous().with_login(&server.address, "alice", "secret")
}

fn assert_no_login(server: &Server) {
    for seen in server.seen() {
        assert_eq!(seen.header("authorization"), None, "{seen:?}");
    }
}

#[test]
fn pages_without_end_are_left() {
    let page = |request: &server::Seen, out: &mut server::Out<'_>| {
        let last: usize = request.path.rsplit_once("last=").map_or(0, |(_, n)| n.parse().unwrap());
        let link = format!("</v2/shop/referrers/{}?last={}>; rel=\"next\"", image(), last + 1);
        out.reply(200, &[("content-type", INDEX), ("link", &link)], index(Vec::new()).as_bytes())
    };
    let server = Server::new(page);
    assert_eq!(why(evidence_of(&server)), Why::TooMany("pages of records", 5));
    assert_eq!(server.seen().len(), 5);
}

#[test]
fn a_list_that_goes_in_circles_or_elsewhere_is_left() {
    let elsewhere =
        Server::new(|_, out| out.reply(200, &[("content-type", INDEX)], index(Vec::new()).as_bytes()));
    for (link, wanted) in [
        (format!("</v2/shop/referrers/{}>; rel=next", image()), "read already"),
        (format!("<http://{}/v2/shop/referrers/x>; rel=next", elsewhere.address), "127.0.0.1"),
        ("<http://registry.example/v2/x>; rel=next".to_owned(), "registry.example"),
        ("</other>; rel=next".to_owned(), "/other"),
        ("</v2/a>; rel=next, </v2/b>; rel=next".to_owned(), "two next pages"),
        ("nonsense".to_owned(), "none"),
    ] {
        let server = Server::new(move |_, out| {
            out.reply(200, &[("content-type", INDEX), ("link", &link)], index(Vec::new()).as_bytes())
        });
        let Why::Paging(what) = why(evidence_of(&server)) else { panic!("{wanted}") };
        assert!(what.contains(wanted), "{what}");
    }
    assert!(elsewhere.seen().is_empty());
    // a page that is lost on the way does not end the list
    let server = Server::new(|request, out| match request.path.contains("last=") {
        true => out.reply(404, &[], UNKNOWN.as_bytes()),
        false => out.reply(
            200,
            &[("content-type", INDEX), ("link", "<?last=1>; rel=next")],
            index(Vec::new()).as_bytes(),
        ),
    });
    assert_eq!(why(evidence_of(&server)), Why::Status(404));
}

#[test]
fn more_records_than_anybody_has_are_not_fetched() {
    let many = |count: usize| {
        (0..count).map(|n| descriptor(MANIFEST, &Digest::sha256(&n.to_be_bytes()), 1)).collect()
    };
    let mut content = Content::default();
    content.list(&image(), many(101));
    let server = Server::with(content);
    assert_eq!(why(evidence_of(&server)), Why::TooMany("records", 100));
    assert_eq!(server.seen().len(), 1);
    // the list under a tag is bounded alike
    let mut content = Content::default();
    let tag = format!("/v2/shop/manifests/sha256-{}", image().hex());
    content.put(&tag, INDEX, index(many(101)).as_bytes());
    assert_eq!(why(evidence_of(&Server::with(content))), Why::TooMany("records", 100));
}

#[test]
fn bodies_without_end_are_not_read_to_it() {
    let endless = |_: &server::Seen, out: &mut server::Out<'_>| {
        out.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        loop {
            out.write_all(b"1000\r\n")?;
            out.write_all(&[b' '; 0x1000])?;
            out.write_all(b"\r\n")?;
        }
    };
    let server = Server::new(endless);
    assert_eq!(why(manifest_of(&server)), Why::TooLarge(64 << 10));
    assert_eq!(why(evidence_of(&server)), Why::TooLarge(64 << 10));
    // what lies in the sockets of two connections, and no more
    assert!(server.written() < 32 << 20, "{}", server.written());
    // one that says how large it is is not begun
    let server = Server::new(|_, out| out.head(200, &[("content-type", MANIFEST)], usize::MAX / 2));
    assert_eq!(why(manifest_of(&server)), Why::TooLarge(64 << 10));
    let server = Server::new(|_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            out.write_all(&[b'a'; 0x1000])?;
        }
    });
    assert!(matches!(why(manifest_of(&server)), Why::Broken(_)));
}

#[test]
fn all_answers_together_are_bounded_too() {
    let mut content = Content::default();
    let listed = (0..40_u8).map(|n| content.bundle(&image(), &vec![n; 60 << 10])).collect();
    content.list(&image(), listed);
    let server = Server::with(content);
    let limits = registry::Limits { total: 1 << 20, ..server::limits() };
    let client = registry::Client::new(registry::Settings { limits, ..registry::Settings::default() });
    let answer = client.evidence_for(&server.repository(), &image(), &Wanted::All);
    assert_eq!(why(answer), Why::TooLarge(1 << 20));
    assert!(server.written() < 2 << 20, "{}", server.written());
    let limits = registry::Limits { requests: 10, ..server::limits() };
    let client = registry::Client::new(registry::Settings { limits, ..registry::Settings::default() });
    let before = server.seen().len();
    let answer = client.evidence_for(&server.repository(), &image(), &Wanted::All);
    assert_eq!(why(answer), Why::TooMany("requests", 10));
    assert_eq!(server.seen().len() - before, 10);
}

#[test]
fn slow_bytes_and_silence_end() {
    let drip = Server::new(|_, out| {
        out.head(200, &[("content-type", MANIFEST)], 1000)?;
        loop {
            out.write_all(b" ")?;
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    let silent = Server::new(|_, _| {
        std::thread::sleep(Duration::from_secs(20));
        Ok(())
    });
    let half = Server::new(|_, out| {
        out.head(200, &[("content-type", MANIFEST)], 1000)?;
        std::thread::sleep(Duration::from_secs(20));
        Ok(())
    });
    for server in [drip, silent, half] {
        let began = Instant::now();
        assert_eq!(why(impatient().manifest(&server.repository())), Why::Slow);
        assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    }
    // many answers that are each quick enough are together too slow
    let server = Server::new(|request, out| {
        std::thread::sleep(Duration::from_millis(400));
        let last: usize = request.path.rsplit_once("last=").map_or(0, |(_, n)| n.parse().unwrap());
        let link = format!("<?last={}>; rel=next", last + 1);
        out.reply(200, &[("content-type", INDEX), ("link", &link)], index(Vec::new()).as_bytes())
    });
    let answer = impatient().evidence_for(&server.repository(), &image(), &Wanted::All);
    assert_eq!(why(answer), Why::Slow);
    assert!(server.seen().len() <= 4);
}

#[test]
fn other_bytes_than_the_digest_s_are_refused() {
    let manifest = artifact(&image(), Vec::new()).to_string();
    let digest = Digest::sha256(manifest.as_bytes());
    let other = Digest::sha256(b"other");
    // the registry resolves a digest to something else
    let body = manifest.clone();
    let server = Server::new(move |_, out| out.reply(200, &[("content-type", MANIFEST)], body.as_bytes()));
    let named = Reference::parse(&format!("{}@{other}", server.repository())).unwrap();
    let wanted = Why::WrongDigest { wanted: other.clone(), found: digest.clone() };
    assert_eq!(why(client().manifest(&named)), wanted);
    assert_eq!(why(client().blob(&server.repository(), &other, 1 << 20)), wanted);
    // it announces another digest than it sends, or none that reads
    let (body, announced) = (manifest.clone(), other.to_string());
    let server =
        Server::new(move |_, out| out.reply(200, &[("docker-content-digest", &announced)], body.as_bytes()));
    assert_eq!(why(manifest_of(&server)), wanted);
    let named = Reference::parse(&format!("{}@{digest}", server.repository())).unwrap();
    assert_eq!(why(client().manifest(&named)), wanted);
    let server = Server::new(|_, out| out.reply(200, &[("docker-content-digest", "md5:aa")], b"{}"));
    assert_eq!(why(manifest_of(&server)), Why::Header("docker-content-digest"));
}

#[test]
fn a_registry_that_answers_differently_each_time_gives_one_thing_or_nothing() {
    let mut content = Content::default();
    let listed = content.bundle(&image(), b"good");
    content.list(&image(), vec![listed]);
    let turn = AtomicUsize::new(0);
    let server = Server::new(move |request, out| {
        let is_blob = request.path.contains("/blobs/");
        if is_blob && turn.fetch_add(1, Ordering::SeqCst) % 2 == 1 {
            return out.reply(200, &[], b"evil");
        }
        content.answer(request, out)
    });
    let Answer::Found(found) = evidence_of(&server) else { panic!("the first time it is right") };
    assert_eq!(found.pieces[0].bytes, b"good");
    let wanted = Why::WrongDigest { wanted: Digest::sha256(b"good"), found: Digest::sha256(b"evil") };
    assert_eq!(why(evidence_of(&server)), wanted);
}

#[test]
fn lengths_that_lie_are_found() {
    let short = Server::new(|_, out| {
        out.head(200, &[("content-type", MANIFEST)], 1000)?;
        out.write_all(b"{}")
    });
    assert!(matches!(why(manifest_of(&short)), Why::Broken(_)));
    let digest = Digest::sha256(b"the whole");
    let long = Server::new(|_, out| {
        out.head(200, &[], 3)?;
        out.write_all(b"the whole")
    });
    let answer = client().blob(&long.repository(), &digest, 100);
    assert_eq!(why(answer), Why::WrongDigest { wanted: digest, found: Digest::sha256(b"the") });
    // a layer of another size than its manifest says
    let mut content = Content::default();
    let layer = content.blob(b"bundle");
    for (size, wanted) in [
        (7, Why::WrongSize { wanted: 7, found: 6 }),
        (5, Why::TooLarge(5)),
        (1 << 30, Why::TooLarge(64 << 10)),
    ] {
        let manifest = artifact(&image(), vec![descriptor(BUNDLE, &layer, size)]).to_string();
        let digest = content.manifest(manifest.as_bytes());
        content.list(&image(), vec![descriptor(MANIFEST, &digest, manifest.len())]);
        assert_eq!(why(evidence_of(&Server::with(content.clone()))), wanted);
    }
}

#[test]
fn what_is_encoded_is_not_decoded() {
    // 10 MB of zeros are 10 KB so; nobody unpacks them
    for coding in ["gzip", "br", "zstd", "identity, gzip", "GZIP"] {
        let headers = [("content-type", MANIFEST), ("content-encoding", coding)];
        let server = Server::new(move |_, out| out.reply(200, &headers, b"\x1f\x8b\x08\0\0\0\0\0\0\x03"));
        assert_eq!(why(manifest_of(&server)), Why::Encoded(coding.to_owned()));
        assert_eq!(server.seen()[0].header("accept-encoding"), Some("identity"));
    }
}

#[test]
fn only_a_registry_s_own_words_mean_none() {
    let of = |status: u16, body: &'static str| {
        manifest_of(&Server::new(move |_, out| {
            out.reply(status, &[("content-type", "text/html")], body.as_bytes())
        }))
    };
    assert_eq!(of(404, UNKNOWN), Answer::None);
    for (status, body, wanted) in [
        (404, "<html>not found</html>", Why::NotARegistry),
        (404, "", Why::NotARegistry),
        (404, r#"{"errors":[]}"#, Why::NotARegistry),
        (404, r#"{"errors":[{"code":"DENIED"}]}"#, Why::NotARegistry),
        (404, r#"{"errors":[{"code":"NAME_UNKNOWN"},{"code":"UNAUTHORIZED"}]}"#, Why::NotARegistry),
        (401, UNKNOWN, Why::Unauthorized),
        (403, UNKNOWN, Why::Forbidden),
        (410, UNKNOWN, Why::Status(410)),
        (429, UNKNOWN, Why::TooManyRequests),
        (500, UNKNOWN, Why::Status(500)),
        (503, "", Why::Status(503)),
        (204, "", Why::Status(204)),
    ] {
        assert_eq!(why(of(status, body)), wanted, "{status} {body}");
    }
    // a page with 200 is no manifest, and evidence is unknown for every one of them
    let page =
        Server::new(|_, out| out.reply(200, &[("content-type", "text/html")], b"<html>welcome</html>"));
    let Answer::Found(fetched) = manifest_of(&page) else { panic!("its bytes have a digest") };
    assert!(matches!(fetched.document(), Err(DocumentError::Json(_))));
    assert!(matches!(why(evidence_of(&page)), Why::Document(DocumentError::Json(_))));
    for status in [401, 403, 429, 500, 502, 503, 204, 400, 405] {
        let server = Server::new(move |_, out| out.reply(status, &[], UNKNOWN.as_bytes()));
        let reason = why(evidence_of(&server));
        assert!(reason.to_string().contains(&status.to_string()), "{reason}");
    }
    // nobody there
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reference = Reference::parse(&format!("{gone}/shop")).unwrap();
    assert!(matches!(why(client().manifest(&reference)), Why::Broken(_)));
}

#[test]
fn one_part_that_is_unknown_makes_all_of_it_unknown() {
    let mut content = Content::default();
    let listed = content.bundle(&image(), b"bundle");
    content.list(&image(), vec![listed]);
    for part in ["/referrers/", ".sig", ".att", "/blobs/", "/manifests/sha256:"] {
        let content = content.clone();
        let server = Server::new(move |request, out| match request.path.contains(part) {
            true => out.reply(503, &[], b""),
            false => content.answer(request, out),
        });
        assert_eq!(why(evidence_of(&server)), Why::Status(503), "{part}");
    }
}

#[test]
fn what_two_readers_could_read_differently_is_refused() {
    let empty = descriptor("c", &image(), 1).to_string();
    for (body, wanted) in [
        (
            format!(
                r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"layers":[],"config":{empty}}}"#
            ),
            "both",
        ),
        (
            format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"manifests":[]}}"#),
            "duplicate",
        ),
        (format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","manifests":[]}}"#), "says"),
        (format!(r#"{{"schemaVersion":2,"layers":[],"config":{empty}}}"#), "says"),
    ] {
        let list = body.clone();
        let server = Server::new(move |_, out| out.reply(200, &[("content-type", INDEX)], list.as_bytes()));
        let Why::Document(error) = why(evidence_of(&server)) else { panic!("{wanted}") };
        let text = error.to_string();
        let found = if wanted == "both" { error == DocumentError::Both } else { text.contains(wanted) };
        assert!(found, "{wanted}: {text}");
        // and as a record that a list names
        let mut content = Content::default();
        let digest = content.manifest(body.as_bytes());
        content.list(&image(), vec![descriptor(MANIFEST, &digest, body.len())]);
        let reason = why(evidence_of(&Server::with(content)));
        assert!(matches!(reason, Why::Document(_) | Why::WrongSubject(None)), "{reason}");
    }
}

#[test]
fn a_record_that_is_listed_is_there_and_about_the_image() {
    let mut content = Content::default();
    let other = Digest::sha256(b"another image");
    let listed = content.bundle(&other, b"bundle");
    content.list(&image(), vec![listed]);
    assert_eq!(why(evidence_of(&Server::with(content))), Why::WrongSubject(Some(other)));
    for lost in ["manifests/sha256:", "blobs/"] {
        let mut content = Content::default();
        let listed = content.bundle(&image(), b"bundle");
        content.list(&image(), vec![listed]);
        content.0.retain(|path, _| !path.contains(lost));
        assert!(matches!(why(evidence_of(&Server::with(content))), Why::Missing(_)), "{lost}");
    }
    // a record that lists itself is read once
    let mut content = Content::default();
    let listed = content.bundle(&image(), b"bundle");
    content.list(&image(), vec![listed.clone(), listed.clone(), listed]);
    let server = Server::with(content);
    let Answer::Found(found) = evidence_of(&server) else { panic!("found") };
    assert_eq!((found.pieces.len(), found.records), (1, 1));
    assert_eq!(server.seen().len(), 5);
}

#[test]
fn a_stranger_s_text_does_not_reach_the_terminal_as_it_is() {
    let digest = r#"{"mediaType":"m","size":1,"digest":"\u001b]0;x\u0007"}"#;
    let key =
        format!(r#"{{"mediaType":"m","size":1,"digest":"{}","annotations":{{"\u001b[2J":1}}}}"#, image());
    let twice = r#"{"\u001b[2J":1,"\u001b[2J":1}"#;
    for bad in [digest, &key, twice] {
        let list = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{bad}]}}"#);
        let server = Server::new(move |_, out| out.reply(200, &[("content-type", INDEX)], list.as_bytes()));
        let text = why(evidence_of(&server)).to_string();
        assert!(text.chars().all(|c| !c.is_control()), "{text:?}");
    }
}

#[test]
fn the_text_of_an_answer_never_shows_a_secret() {
    let storage = Server::new(|_, out| out.reply(500, &[], b""));
    let target = format!("http://{}/blob?signature=verysecret", storage.address);
    let registry = Server::new(move |request, out| match request.header("authorization") {
        Some(_) => out.reply(307, &[("location", &target)], b""),
        None => out.reply(401, &[("www-authenticate", "Basic realm=\"r\"")], b""),
    });
    let client = client_as(login(&registry));
    let Answer::Unknown(unknown) = client.manifest(&registry.repository()) else { panic!("unknown") };
    let text = format!("{unknown} {unknown:?} {client:?}");
    assert!(
        !text.contains("verysecret") && !text.contains("alice:secret") && !text.contains("YWxp"),
        "{text}"
    );
}

#[test]
fn an_empty_list_is_none_and_json_is_compared_strictly() {
    let mut content = Content::default();
    content.list(&image(), Vec::new());
    assert_eq!(evidence_of(&Server::with(content)), Answer::None);
    assert_eq!(evidence_of(&Server::with(Content::default())), Answer::None);
    let list = Json::from("text").to_string();
    let server = Server::new(move |_, out| out.reply(200, &[("content-type", INDEX)], list.as_bytes()));
    assert!(matches!(why(evidence_of(&server)), Why::Document(DocumentError::Shape(_))));
}
