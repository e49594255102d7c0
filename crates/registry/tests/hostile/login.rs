//! Whom a login is sent to: its own registry, and nobody whom that one or another names.

use attest::Digest;
use registry::{Answer, Why};

use super::server::{Server, client_as};
use super::{assert_no_login, login, manifest_of, why};

#[test]
fn a_redirect_takes_no_login_along() {
    let bytes = b"the blob";
    let storage = Server::new(|_, out| out.reply(200, &[], bytes));
    let target = format!("http://{}/somewhere", storage.address);
    let registry = Server::new(move |request, out| match request.header("authorization") {
        Some(_) => out.reply(307, &[("location", &target)], b""),
        None => out.reply(401, &[("www-authenticate", "Basic realm=\"r\"")], b""),
    });
    let client = client_as(login(&registry));
    let found = client.blob(&registry.repository(), &Digest::sha256(bytes), 100);
    assert_eq!(found, Answer::Found(bytes.to_vec()));
    assert_eq!(registry.seen()[1].header("authorization"), Some("Basic YWxpY2U6c2VjcmV0"));
    assert_eq!(storage.seen().len(), 1);
    assert_no_login(&storage);
}

#[test]
fn who_is_redirected_to_cannot_have_the_login_sent_back() {
    let registry = Server::new(|_, out| out.reply(200, &[], b"x"));
    let back = format!("http://{}/stolen", registry.address);
    let storage = Server::new(move |_, out| out.reply(302, &[("location", &back)], b""));
    let target = format!("http://{}/", storage.address);
    let first = Server::new(move |request, out| match request.path.as_str() {
        "/stolen" => out.reply(200, &[], b"x"),
        _ if request.header("authorization").is_none() => {
            out.reply(401, &[("www-authenticate", "Basic realm=\"r\"")], b"")
        }
        _ => out.reply(307, &[("location", &target)], b""),
    });
    let client = client_as(login(&first).with_login(&registry.address, "bob", "other"));
    let found = client.blob(&first.repository(), &Digest::sha256(b"x"), 100);
    assert_eq!(found, Answer::Found(b"x".to_vec()));
    assert_no_login(&storage);
    assert_no_login(&registry);
}

#[test]
fn redirects_without_end_or_sense_are_not_followed() {
    let server = Server::new(|_, out| out.reply(307, &[("location", "/again")], b""));
    assert_eq!(why(manifest_of(&server)), Why::TooMany("redirects", 3));
    assert_eq!(server.seen().len(), 4);
    for (location, wanted) in [
        ("http://registry.example/x", "without TLS"),
        ("http://169.254.169.254/latest", "without TLS"),
        ("file:///etc/passwd", "no address"),
        ("//127.0.0.1/x", "no address"),
        ("http://a@127.0.0.1/x", "no address"),
        ("", "redirects"),
    ] {
        let server = Server::new(move |_, out| out.reply(302, &[("location", location)], b""));
        let text = why(manifest_of(&server)).to_string();
        assert!(text.contains(wanted), "{location}: {text}");
    }
}

#[test]
fn a_token_is_asked_only_of_whom_it_may_be() {
    let thief = Server::new(|_, out| out.reply(200, &[], br#"{"token":"t"}"#));
    let realm = format!("http://{}/token", thief.address);
    let challenge =
        format!("Bearer realm=\"{realm}\",service=\"s\",scope=\"repository:victim:pull,push,delete\"");
    let registry = Server::new(move |request, out| match request.header("authorization") {
        Some("Bearer t") => out.reply(200, &[], b"x"),
        _ => out.reply(401, &[("www-authenticate", &challenge)], b""),
    });
    let digest = Digest::sha256(b"x");
    let answer = client_as(login(&registry)).blob(&registry.repository(), &digest, 10);
    assert_eq!(why(answer), Why::TokenHost(format!("http://{}", thief.address)));
    assert!(thief.seen().is_empty(), "nobody even asked it");
    // one that was named for this registry is asked, for what we need and not for what the registry says
    let credentials = login(&registry).with_token_host(&registry.address, &thief.address);
    let answer = client_as(credentials).blob(&registry.repository(), &digest, 10);
    assert_eq!(answer, Answer::Found(b"x".to_vec()));
    let asked = &thief.seen()[0];
    assert_eq!(asked.path, "/token?service=s&scope=repository%3Ashop%3Apull");
    assert_eq!(asked.header("authorization"), Some("Basic YWxpY2U6c2VjcmV0"));
    // named for another registry, it is nobody
    let credentials = login(&registry).with_token_host("registry.example", &thief.address);
    let answer = client_as(credentials).blob(&registry.repository(), &digest, 10);
    assert!(matches!(why(answer), Why::TokenHost(_)));
    // without TLS there is nobody else at all
    for realm in
        ["http://auth.example/token", "https://auth.example/token", "http://169.254.169.254/", "nonsense"]
    {
        let challenge = format!("Bearer realm=\"{realm}\"");
        let registry = Server::new(move |_, out| out.reply(401, &[("www-authenticate", &challenge)], b""));
        let reason = why(client_as(login(&registry)).blob(&registry.repository(), &digest, 10));
        assert!(matches!(reason, Why::TokenHost(_) | Why::Token(_)), "{realm}: {reason}");
    }
}

#[test]
fn a_token_s_endpoint_can_fail_like_everything_else() {
    for (status, headers, body, wanted) in [
        (401, [("x", "y")], &b""[..], "401"),
        (500, [("x", "y")], b"", "500"),
        (200, [("x", "y")], b"<html>", "no token"),
        (200, [("x", "y")], br#"{"token":"a b"}"#, "no token"),
        (307, [("location", "/elsewhere")], b"", "307"),
    ] {
        let registry = Server::new(move |request, out| match request.path.starts_with("/token") {
            true => out.reply(status, &headers, body),
            false => {
                let host = request.header("host").unwrap();
                out.reply(401, &[("www-authenticate", &format!("Bearer realm=\"http://{host}/token\""))], b"")
            }
        });
        let text = why(client_as(login(&registry)).manifest(&registry.repository())).to_string();
        assert!(text.contains(wanted), "{text}");
        assert_eq!(registry.seen().len(), 2, "it is tried once");
    }
}
