//! Alarms as a `POST` of JSON, signed under a shared secret.
//!
//! `portcullis-signature: t=SECONDS,v1=HEX`: HMAC-SHA256 of `SECONDS.BODY`. Whoever checks it also refuses old times.

use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::alarm::{Notice, Tell, secret};
use crate::webhook::AlarmWebhook;
use crate::{Client, ClientError, ClientTls, Clock};

/// From the connection to the status.
const PATIENCE: Duration = Duration::from_secs(10);
/// A key that is shorter could be guessed.
const MIN_SECRET: usize = 32;

/// An address.
pub(super) struct Post {
    sink: AlarmWebhook,
    clock: Clock,
}

impl Post {
    pub(super) fn new(sink: AlarmWebhook, clock: Clock) -> Self {
        Self { sink, clock }
    }

    fn signature(&self, body: &str) -> Result<String, String> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret(&self.sink.secret, MIN_SECRET)?);
        let seconds = (self.clock)().as_second();
        let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
        Ok(format!("t={seconds},v1={}", attest::digest::to_hex(tag.as_ref())))
    }

    async fn send(&self, body: String, signature: &str) -> Result<u16, String> {
        let headers = [("content-type", "application/json"), ("portcullis-signature", signature)];
        let Some(rest) = self.sink.url.strip_prefix("http://") else {
            let tls = ClientTls { ca: self.sink.ca.clone(), identity: None };
            let (base, path) = split(&self.sink.url);
            let client = Client::new(base, &tls, None).map_err(|e| told(&e))?;
            return Ok(client
                .send("POST", path, &headers, body.into_bytes())
                .await
                .map_err(|e| told(&e))?
                .status);
        };
        let failed = |e: &dyn std::fmt::Display| format!("the connection failed: {e}");
        let (host, path) = split(rest);
        let address = if host.rsplit_once(':').is_some() { host.to_owned() } else { format!("{host}:80") };
        let tcp = TcpStream::connect(address).await.map_err(|e| failed(&e))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tcp)).await.map_err(|e| failed(&e))?;
        let connection = tokio::spawn(connection);
        let mut request = Request::post(path).header("host", host);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body))).or(Err("the request cannot be sent"))?;
        let status = sender.send_request(request).await.map_err(|e| failed(&e))?.status().as_u16();
        connection.abort();
        Ok(status)
    }
}

/// The address and its path.
fn split(url: &str) -> (&str, &str) {
    let from = url.find("://").map_or(0, |at| at + 3);
    let path = url.char_indices().find(|(at, c)| *at >= from && *c == '/').map_or(url.len(), |(at, _)| at);
    let (base, path) = url.split_at(path);
    (base, if path.is_empty() { "/" } else { path })
}

/// The address may hold a secret: it is not told.
fn told(error: &ClientError) -> String {
    match error {
        ClientError::Url(_) => "its address cannot be used".to_owned(),
        other => other.to_string(),
    }
}

impl Tell for Post {
    fn tell(&mut self, notice: &Notice) -> Result<(), String> {
        let body = notice.to_json().to_string();
        let signature = self.signature(&body)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| format!("cannot begin: {e}"))?;
        let sent =
            runtime.block_on(async { tokio::time::timeout(PATIENCE, self.send(body, &signature)).await });
        // a name that is looked up must not hold the thread longer than the rest
        runtime.shutdown_background();
        match sent.unwrap_or_else(|_| Err(format!("no answer within {} s", PATIENCE.as_secs())))? {
            200..300 => Ok(()),
            status => Err(format!("it answers {status}")),
        }
    }
}
