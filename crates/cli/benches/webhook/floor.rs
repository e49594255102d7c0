//! The floors: a bare axum server over TLS that always says yes, and one that first checks the same signatures. Neither
//! reads the evidence, judges or records.

use std::path::Path;
use std::sync::Arc;

use attest::dsse::{IN_TOTO, pae};
use attest::{Json, PublicKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio_rustls::TlsAcceptor;

/// What a signature check needs: made before the first request.
struct Check {
    key: ParsedPublicKey,
    message: Vec<u8>,
    signature: Vec<u8>,
}

/// Serves until killed; prints its port.
pub fn serve(kind: &str, folder: &str) {
    let folder = Path::new(folder);
    let checks = if kind == "checks" { checks(folder) } else { Vec::new() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(listen(folder, Arc::new(checks)));
}

async fn listen(folder: &Path, checks: Arc<Vec<Check>>) {
    let tls = TlsAcceptor::from(crate::fixture::server_tls(folder));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let answer = move |body: Bytes| {
        let checks = Arc::clone(&checks);
        async move {
            for check in checks.iter() {
                check.key.verify_sig(&check.message, &check.signature).unwrap();
            }
            yes(&body)
        }
    };
    let router =
        Router::new().route("/v1/kubernetes/validate", post(answer)).layer(DefaultBodyLimit::max(8 << 20));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, router) = (tls.clone(), router.clone());
        tokio::spawn(async move {
            stream.set_nodelay(true).ok();
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = TowerToHyperService::new(router);
            let http = hyper::server::conn::http1::Builder::new();
            http.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

/// The uid is found without parsing: a floor does nothing that it could leave out.
fn yes(body: &[u8]) -> ([(&'static str, &'static str); 1], String) {
    let key = b"\"uid\":\"";
    let at = body.windows(key.len()).position(|w| w == key).unwrap() + key.len();
    let uid = String::from_utf8_lossy(&body[at..at + 36]);
    let answer = format!(
        "{{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"response\":{{\"uid\":\"{uid}\",\"allowed\":true}}}}"
    );
    ([("content-type", "application/json")], answer)
}

/// The first request's signatures; each request has as many.
fn checks(folder: &Path) -> Vec<Check> {
    let text = std::fs::read(folder.join("checks.json")).unwrap();
    let list = attest::json::parse(&text).unwrap();
    let Json::Array(items) = list else { panic!("a list") };
    items.iter().map(check).collect()
}

fn check(item: &Json) -> Check {
    let item = item.as_object().unwrap();
    let text = |key: &str| item.string(key).unwrap();
    let key = PublicKey::from_pem(text("key")).unwrap();
    Check {
        key: ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.spki()).unwrap(),
        message: pae(IN_TOTO, text("statement").as_bytes()),
        signature: attest::dsse::base64(text("signature")).unwrap(),
    }
}
