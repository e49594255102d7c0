//! Debian's registry, which wants tokens by somebody else, and the proxy's login, which is for those two alone.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::registries::Registry;
use crate::site::Site;
use crate::tools::path;
use crate::world::{World, refused, succeeded};

/// Alice, and what her password is.
const LOGIN: &str = "Basic YWxpY2U6c2VjcmV0";

/// What was asked of the token server: the address, and by whom.
type Asked = Arc<Mutex<Vec<(String, String)>>>;

/// A server that gives Alice any token; those of others open nothing.
fn token_server(tls: &Path) -> (String, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, tls) = (Asked::default(), tls.to_owned());
    let own = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (path, login) = read(&stream);
            own.lock().unwrap().push((path.clone(), login.clone()));
            let scope = path.split("scope=").nth(1).unwrap_or_default();
            let scope = scope.replace("%3A", ":").replace("%2C", ",").replace("%2F", "/");
            let access = if login == LOGIN { access(&scope) } else { "[]".to_owned() };
            let body = format!("{{\"token\":\"{}\",\"expires_in\":300}}", token(&tls, &access));
            let length = body.len();
            write!(&stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
                .ok();
        }
    });
    (url, asked)
}

/// The address and the login of a request.
fn read(stream: &TcpStream) -> (String, String) {
    let (mut path, mut login) = (String::new(), String::new());
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("GET ") {
            path = rest.split(' ').next().unwrap().to_owned();
        }
        if let Some(value) = line.strip_prefix("authorization: ") {
            login = value.to_owned();
        }
    }
    (path, login)
}

/// `repository:shop:pull,push`, as a token says it.
fn access(scope: &str) -> String {
    let [kind, name, actions] = scope.split(':').collect::<Vec<_>>()[..] else { return "[]".to_owned() };
    let actions = actions.split(',').map(|action| format!("\"{action}\"")).collect::<Vec<_>>().join(",");
    format!("[{{\"type\":\"{kind}\",\"name\":\"{name}\",\"actions\":[{actions}]}}]")
}

#[allow(clippy::disallowed_methods, reason = "a test's own clock")]
fn token(tls: &Path, access: &str) -> String {
    let now = jiff::Timestamp::now().as_second();
    let certificate = CertificateDer::from_pem_file(tls.join("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(tls.join("server.key")).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.secret_der()).unwrap();
    let head =
        format!("{{\"typ\":\"JWT\",\"alg\":\"ES256\",\"x5c\":[\"{}\"]}}", STANDARD.encode(&certificate));
    let claims = format!(
        "{{\"iss\":\"tests\",\"sub\":\"alice\",\"aud\":\"registry\",\"jti\":\"1\",\"iat\":{now},\"nbf\":{},\"exp\":{},\"access\":{access}}}",
        now - 60,
        now + 300
    );
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_registry_that_wants_tokens_gets_them_and_the_login_goes_to_nobody_else() {
    let made = Site::new(&[], "");
    let (server, asked) = token_server(&made.at("tls"));
    let auth = format!(
        "auth: {{ token: {{ realm: \"{server}/token\", service: registry, issuer: tests, rootcertbundle: {} }} }}\n",
        path(&made.at("tls/ca.crt"))
    );
    let Some(registry) = Registry::debian(&auth) else { return };
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), LOGIN).unwrap();
    let upstream = format!("url: \"http://{}\", credentials: {}", registry.address, file.path().display());
    let world = World::at(registry, &upstream, &format!("oci: {{ tokens: \"{server}\" }}"));
    let good = world.good("good");
    succeeded(&world.skopeo(&good.folder, "shop:1", &[]));
    let (status, said) = world.curl("/v2/shop/tags/list", &[]);
    assert!(status == 200 && said.contains("\"1\""), "{said}");
    let seen = asked.lock().unwrap().clone();
    assert_eq!(seen.len(), 1, "a token is kept: {seen:?}");
    assert_eq!(seen[0].0, "/token?service=registry&scope=repository%3Ashop%3Apull%2Cpush");
    assert_eq!(seen[0].1, LOGIN);
    let said = refused(&world.skopeo(&world.image("bad").folder, "shop:2", &[]));
    assert!(said.contains("denied"), "{said}");
    let (_, said) = world.curl("/v2/shop/tags/list", &[]);
    assert!(!said.contains("\"2\""), "{said}");

    // a registry that names a token server of its own choice learns nothing, and neither does that one
    let World { registry, .. } = world;
    let world = World::at(registry, &upstream, "");
    let good = world.good("good");
    asked.lock().unwrap().clear();
    refused(&world.skopeo(&good.folder, "shop:3", &[]));
    let (status, said) = world.curl("/v2/shop/tags/list", &["-i"]);
    assert!(status == 502 && said.contains("wants a token, and there is none"), "{said}");
    assert!(!said.to_lowercase().contains("www-authenticate") && !said.contains("YWxp"), "{said}");
    assert!(asked.lock().unwrap().is_empty(), "{asked:?}");
}
