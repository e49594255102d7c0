use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, header};

use super::{FormError, boundary, parts};
use crate::proxy::hold::{Held, Most};
use crate::proxy::room::Room;
use crate::proxy::share::Bounds;

fn held(body: &[u8]) -> Held {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = Body::from(body.to_vec());
    let most = Most { bytes: 1 << 30, time: Duration::from_secs(60) };
    runtime
        .block_on(Held::take(
            body,
            folder.path(),
            Room::of(Bounds { all: 1 << 30, one: 1 << 30 }).taken(None),
            most,
        ))
        .unwrap()
}

fn read(body: &[u8]) -> Result<Vec<(String, Option<String>, Vec<u8>)>, String> {
    let held = held(body);
    match parts(&held, "edge") {
        Ok(parts) => Ok(parts
            .into_iter()
            .map(|p| (p.name, p.file_name, super::all(&held, p.at, p.length).unwrap()))
            .collect()),
        Err(FormError::Form(why)) => Err(why.what),
        Err(FormError::Io(e)) => panic!("{e}"),
    }
}

const NAME: &str = "--edge\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nshop";

#[test]
fn what_twine_and_uv_write_is_read() {
    let file = "--edge\r\nContent-Disposition: form-data; name=\"content\"; filename=\"shop-1.0.tar.gz\"\r\n\
                Content-Type: application/octet-stream\r\n\r\n";
    // a file with everything in it but the boundary, longer than what is read at once
    let mut content = b"\r\n--edg\r\n\r\n-edge--\n".repeat(40_000);
    content.extend_from_slice(b"\r\n");
    let body = [NAME.as_bytes(), b"\r\n", file.as_bytes(), &content, b"\r\n--edge--\r\n"].concat();
    let found = read(&body).unwrap();
    assert_eq!(found[0], ("name".to_owned(), None, b"shop".to_vec()));
    assert_eq!(found[1].1.as_deref(), Some("shop-1.0.tar.gz"));
    assert!(found[1].2 == content);
    assert_eq!(found.len(), 2);
}

#[test]
fn a_boundary_is_found_wherever_reading_is_cut() {
    for length in (super::PIECE - 120)..(super::PIECE - 60) {
        let body = format!("{NAME}{}\r\n--edge--\r\n", "x".repeat(length));
        assert_eq!(read(body.as_bytes()).unwrap()[0].2.len(), length + 4);
    }
}

#[test]
fn what_has_two_readings_is_refused() {
    let head = |head: &str| format!("--edge\r\n{head}\r\n\r\nshop\r\n--edge--\r\n");
    let named = "Content-Disposition: form-data; name=\"name\"";
    for body in [
        String::new(),
        "--edge--".to_owned() + "\n",
        format!("text before\r\n{NAME}\r\n--edge--\r\n"),
        format!("{NAME}\r\n--edge--\r\ntext behind"),
        format!("{NAME}\r\n--edge"),
        format!("{NAME}\r\n--edge--\r\n\r\n"),
        // for readers of lines this is a second part
        format!("{NAME}\n--edge\nContent-Disposition: form-data; name=\"name\"\n\npayroll\r\n--edge--\r\n"),
        format!("{NAME}--edge\r\n{named}\r\n\r\npayroll\r\n--edge--\r\n"),
        format!("{NAME}\r\n--edge \r\n{named}\r\n\r\npayroll\r\n--edge--\r\n"),
        format!("{NAME}\r\n--edge--\r\n--edge\r\n{named}\r\n\r\npayroll\r\n--edge--\r\n"),
        head("Content-Disposition: form-data; name=name"),
        head("Content-Disposition: form-data; name=\"na\\\"me\""),
        head("Content-Disposition: form-data; name=\"name\"; name=\"other\""),
        head("Content-Disposition: form-data; name=\"name\"; filename*=UTF-8''x"),
        head("Content-Disposition: form-data; name=\"content\"; filename=\"../x\""),
        head("Content-Disposition: form-data; name=\"Name\""),
        head("Content-Disposition: form-data; name=\"_charset_\""),
        head("Content-Disposition:form-data; name=\"name\""),
        head(&format!("{named}\r\nContent-Transfer-Encoding: base64")),
        head(&format!("{named}\r\nContent-Length: 2")),
        head(&format!("{named}\r\nContent-Type: text/plain; charset=utf-16")),
        head(&format!("{named}\r\n{named}")),
        head(&format!("X: y\r\n{named}")),
        head(&format!("{named}\r\n folded")),
        "--edge\r\n\r\nshop\r\n--edge--\r\n".to_owned(),
        format!("--edge\r\n{named}\r\n\r\n--edge--\r\n"),
    ] {
        assert!(read(body.as_bytes()).is_err(), "{body}");
    }
    let many = format!("{NAME}\r\n").repeat(super::MAX_PARTS + 1) + "--edge--\r\n";
    assert_eq!(read(many.as_bytes()).unwrap_err(), "the form has too many parts");
}

#[test]
fn a_boundary_is_one_word() {
    let read = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_static(value));
        }
        boundary(&headers).ok()
    };
    assert_eq!(read(&["multipart/form-data; boundary=a1-_"]).as_deref(), Some("a1-_"));
    for none in [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"edge\"",
        "multipart/form-data; boundary=a; boundary=b",
        "multipart/form-data; boundary=a; charset=utf-16",
        "multipart/mixed; boundary=a",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=--",
    ] {
        assert_eq!(read(&[none]), None, "{none}");
    }
    assert_eq!(read(&["multipart/form-data; boundary=a", "multipart/form-data; boundary=a"]), None);
    assert_eq!(read(&[]), None);
}
