//! A registry that lies, is away, or wants a login; and pushes at the same time.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use attest::Digest;

use crate::images::{Image, MANIFEST};
use crate::registries::Registry;
use crate::world::{World, refused, succeeded};

/// What a request was, and what its body had.
type Seen = Arc<Mutex<Vec<(String, usize)>>>;

/// Something that answers like a registry, as `answer` says to a method and a path.
fn liar(answer: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (seen, answer): (Seen, _) = (Arc::default(), Arc::new(answer));
    let own = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (seen, answer) = (Arc::clone(&own), Arc::clone(&answer));
            std::thread::spawn(move || speak(&stream, &seen, answer.as_ref()));
        }
    });
    (address, seen)
}

fn speak(stream: &TcpStream, seen: &Seen, answer: &dyn Fn(&str, &str) -> String) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let mut words = line.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        seen.lock().unwrap().push((format!("{method} {path}"), length));
        write!(&*stream, "HTTP/1.1 {}\r\ncontent-length: 0\r\n\r\n", answer(&method, &path)).ok()?;
    }
}

/// A world in front of it.
fn in_front_of(address: &str) -> Option<World> {
    let registry = Registry::debian("")?;
    Some(World::at(registry, &format!("url: \"http://{address}\""), ""))
}

#[test]
fn a_registry_that_stores_something_else_is_found_out() {
    let other = Digest::sha256(b"other");
    let (address, seen) = liar(move |method, path| match method {
        "HEAD" => "404 X".to_owned(),
        "POST" => "202 X\r\nlocation: /v2/shop/blobs/uploads/1?state=x".to_owned(),
        _ if path.contains("/manifests/") => format!("201 X\r\ndocker-content-digest: {other}"),
        _ => "201 X".to_owned(),
    });
    let Some(world) = in_front_of(&address) else { return };
    let good = world.good("good");
    let said = refused(&world.skopeo(&good.folder, "shop:1", &[]));
    assert!(said.contains("the registry stored something else") && said.contains("record: "), "{said}");
    let seen = seen.lock().unwrap().clone();
    let put = format!("PUT /v2/shop/blobs/uploads/1?state=x&digest={}", good.layer);
    assert!(seen.contains(&(put, 10_240)), "{seen:?}");
}

#[test]
fn an_upload_goes_to_the_registry_alone() {
    let (elsewhere, stolen) = liar(|_, _| "201 X".to_owned());
    let to = elsewhere.clone();
    let (address, seen) = liar(move |method, _| match method {
        "HEAD" => "404 X".to_owned(),
        _ => format!("202 X\r\nlocation: http://{to}/v2/shop/blobs/uploads/1"),
    });
    let Some(world) = in_front_of(&address) else { return };
    let good = world.good("good");
    let said = refused(&world.skopeo(&good.folder, "shop:1", &[]));
    assert!(said.contains("it sends what would be written somewhere else"), "{said}");
    assert!(stolen.lock().unwrap().is_empty());
    assert!(seen.lock().unwrap().iter().all(|(request, _)| !request.starts_with("PUT")));
}

#[test]
fn a_registry_that_is_away_or_fails_is_never_one_that_has_it() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let (failing, _) = liar(|_, _| "500 X".to_owned());
    for address in [gone, failing] {
        let Some(world) = in_front_of(&address) else { return };
        let good = world.good("good");
        let (status, said) = world.manifest("shop/manifests/1", MANIFEST, &good.manifest, &[]);
        assert!(status == 502 && said.contains("UNAVAILABLE"), "{said}");
        assert!(said.contains("does not answer") || said.contains("answers 500"), "{said}");
    }
}

#[test]
fn the_proxy_has_a_login_and_no_client_is_asked_for_one() {
    let auth = "auth: { htpasswd: { realm: registry, path: FOLDER/login } }\n";
    let file = tempfile::NamedTempFile::new().unwrap();
    // alice, and what her password is
    fs::write(file.path(), "Basic YWxpY2U6c2VjcmV0\n").unwrap();
    let Some(registry) = Registry::debian(auth) else { return };
    let login = format!("url: \"http://{}\"", registry.address);
    let with = format!("{login}, credentials: {}", file.path().display());
    let world = World::at(registry, &with, "");
    let good = world.good("good");
    succeeded(&world.skopeo(&good.folder, "shop:1", &[]));
    assert!(world.curl("/v2/shop/tags/list", &["-u", "mallory:guess"]).1.contains("\"1\""));
    // and without one
    let World { registry, .. } = world;
    let world = World::at(registry, &login, "");
    let good = world.good("good");
    refused(&world.skopeo(&good.folder, "shop:2", &[]));
    let (status, said) = world.curl("/v2/shop/tags/list", &["-i"]);
    assert!(status == 502 && said.contains("to the proxy's own login"), "{said}");
    assert!(!said.to_lowercase().contains("www-authenticate"), "{said}");
}

#[test]
fn of_many_manifests_for_one_tag_at_once_only_the_admitted_one_arrives() {
    let Some(world) = World::new("") else { return };
    let (good, bad) = (world.good("good"), world.image("bad"));
    for image in [&good, &bad] {
        for digest in [&image.layer, &image.config] {
            world.blob("shop", &image.blob(digest));
        }
    }
    let put = &|image: &Image, wanted: u16| {
        let (status, said) = world.manifest("shop/manifests/1", MANIFEST, &image.manifest, &[]);
        assert_eq!(status, wanted, "{said}");
    };
    std::thread::scope(|scope| {
        for n in 0..12 {
            let (image, wanted) = if n % 2 == 0 { (&good, 201) } else { (&bad, 403) };
            scope.spawn(move || put(image, wanted));
        }
    });
    assert_eq!(world.tag("shop:1"), Some(good.digest.to_string()));
    assert!(!world.registry.stored().iter().any(|file| file.contains(&bad.layer.hex())));
}
