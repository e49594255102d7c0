//! What comes back from behind the proxy: without what only the proxy may know, and without a way around it.

use axum::http::uri::{Authority, Scheme};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;

use crate::proxy::upstream::UpstreamError;

/// Headers that go to nobody: logins to the upstream, and other ways to it.
const DROPPED: [HeaderName; 9] = [
    header::WWW_AUTHENTICATE,
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("authentication-info"),
    HeaderName::from_static("proxy-authentication-info"),
    header::SET_COOKIE,
    header::ALT_SVC,
    header::REFRESH,
    HeaderName::from_static("x-accel-redirect"),
    HeaderName::from_static("x-sendfile"),
];
/// Headers with an address in them.
const ADDRESSES: [HeaderName; 2] = [header::LOCATION, header::CONTENT_LOCATION];

/// Who is who, for one answer.
#[derive(Clone, Debug)]
pub(crate) struct Ends<'a> {
    /// As the upstream calls itself.
    pub(crate) upstream: &'a Authority,
    /// As the client calls the proxy, `https://…`; nothing where nobody knows.
    pub(crate) own: Option<String>,
    /// What is sent there with each request, and to no client.
    pub(crate) credentials: Vec<HeaderValue>,
    /// The request changed nothing.
    pub(crate) is_read: bool,
}

/// Takes out of an answer what is not for clients.
pub(crate) fn clean(response: &mut Response, ends: &Ends<'_>) -> Result<(), UpstreamError> {
    let status = response.status();
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
        let wanted = response.headers().get_all(header::WWW_AUTHENTICATE).iter();
        let wanted: Vec<&str> = wanted.filter_map(|value| value.to_str().ok()).collect();
        return Err(UpstreamError::Login(status.as_u16(), wanted.join(", ")));
    }
    if status.is_informational() {
        return Err(UpstreamError::Answer("it wants to speak another protocol"));
    }
    let headers = response.headers_mut();
    for name in &DROPPED {
        headers.remove(name);
    }
    for login in &ends.credentials {
        without_secret(headers, login.as_bytes());
    }
    for name in &ADDRESSES {
        let Some(found) = headers.get(name).cloned() else { continue };
        match own_address(&found, ends) {
            Address::Own(value) => drop(headers.insert(name, value)),
            Address::Foreign if !ends.is_read => {
                return Err(UpstreamError::Answer("it sends what would be written somewhere else"));
            }
            Address::Foreign => {}
            Address::Unclear => drop(headers.remove(name)),
        }
    }
    let links: Vec<HeaderValue> = headers.get_all(header::LINK).iter().cloned().collect();
    headers.remove(header::LINK);
    for link in links {
        if let Some(link) = own_link(&link, ends) {
            headers.append(header::LINK, link);
        }
    }
    Ok(())
}

/// An upstream that tells back what it was sent tells it to the proxy alone.
fn without_secret(headers: &mut HeaderMap, value: &[u8]) {
    let secret = value.split(|byte| *byte == b' ').next_back().unwrap_or(value);
    if secret.is_empty() {
        return;
    }
    let is_in = |value: &HeaderValue| value.as_bytes().windows(secret.len()).any(|part| part == secret);
    let told: Vec<HeaderName> =
        headers.iter().filter(|(_, value)| is_in(value)).map(|(name, _)| name.clone()).collect();
    for name in told {
        headers.remove(name);
    }
}

enum Address {
    /// The upstream's, as the client must name it; or one without a host, which is the client's own.
    Own(HeaderValue),
    /// Another server's.
    Foreign,
    /// Nobody can say whose.
    Unclear,
}

fn own_address(value: &HeaderValue, ends: &Ends<'_>) -> Address {
    let Ok(text) = value.to_str() else { return Address::Unclear };
    // browsers take a backslash for a slash
    if text.contains('\\') {
        return Address::Unclear;
    }
    let (absolute, rest) = match text.strip_prefix("//") {
        Some(rest) => (format!("https://{rest}"), true),
        None => (text.to_owned(), text.contains("://")),
    };
    if !rest {
        return Address::Own(value.clone());
    }
    let Ok(uri) = absolute.parse::<Uri>() else { return Address::Unclear };
    let Some(authority) = uri.authority() else { return Address::Own(value.clone()) };
    let (user, host) = match authority.as_str().rsplit_once('@') {
        Some((user, _)) => (Some(user), authority.host()),
        None => (None, authority.host()),
    };
    let port = |port: Option<u16>, scheme: Option<&Scheme>| {
        port.unwrap_or(if scheme == Some(&Scheme::HTTP) { 80 } else { 443 })
    };
    let is_host = host.eq_ignore_ascii_case(ends.upstream.host());
    // it may think that it is reached with or without TLS, and with its own port or the usual one
    let found = port(authority.port_u16(), uri.scheme());
    let is_port = authority.port_u16().is_none() || ends.upstream.port_u16().is_none_or(|own| own == found);
    if is_host && is_port {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let own = ends.own.as_deref().unwrap_or_default();
        return HeaderValue::from_str(&format!("{own}{path}")).map_or(Address::Unclear, Address::Own);
    }
    if user.is_some() { Address::Unclear } else { Address::Foreign }
}

/// `<ADDRESS>; rel=…`, with the client's name for the address.
fn own_link(link: &HeaderValue, ends: &Ends<'_>) -> Option<HeaderValue> {
    let (address, rest) = link.to_str().ok()?.strip_prefix('<')?.split_once('>')?;
    match own_address(&HeaderValue::from_str(address).ok()?, ends) {
        Address::Own(own) => HeaderValue::from_str(&format!("<{}>{rest}", own.to_str().ok()?)).ok(),
        Address::Foreign | Address::Unclear => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn cleaned(headers: &[(&str, &str)], status: u16, is_read: bool) -> Result<Response, String> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let mut response = response.body(Body::empty()).unwrap();
        let upstream = Authority::from_static("store.internal:5000");
        let ends = Ends {
            upstream: &upstream,
            own: Some("https://proxy.example".to_owned()),
            credentials: vec![HeaderValue::from_static("Basic c2VjcmV0")],
            is_read,
        };
        clean(&mut response, &ends).map(|()| response).map_err(|e| e.to_string())
    }

    fn location(found: &str) -> Option<String> {
        let response = cleaned(&[("location", found)], 302, true).unwrap();
        response.headers().get("location").map(|l| l.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_upstream_s_name_becomes_the_proxy_s() {
        let own = Some("https://proxy.example/a?b=c".to_owned());
        for found in [
            "http://store.internal:5000/a?b=c",
            "https://store.internal:5000/a?b=c",
            "https://STORE.internal/a?b=c",
            "//store.internal:5000/a?b=c",
            "http://user:password@store.internal:5000/a?b=c",
        ] {
            assert_eq!(location(found), own, "{found}");
        }
        assert_eq!(location("/a"), Some("/a".to_owned()));
        assert_eq!(location("https://mirror.example/a"), Some("https://mirror.example/a".to_owned()));
        assert_eq!(location("https://user:password@mirror.example/a"), None);
        assert_eq!(location("\\\\store.internal/a"), None);
        let link = [("link", "<http://store.internal:5000/v2/?n=1>; rel=\"next\"")];
        let response = cleaned(&link, 200, true).unwrap();
        assert_eq!(response.headers()["link"], "<https://proxy.example/v2/?n=1>; rel=\"next\"");
    }

    #[test]
    fn logins_and_ways_around_are_for_nobody() {
        let sent = [
            ("www-authenticate", "Basic"),
            ("set-cookie", "session=upstream"),
            ("alt-svc", "h3=\"store.internal:443\""),
            ("x-echo", "authorization: Basic c2VjcmV0"),
            ("etag", "\"a\""),
        ];
        let response = cleaned(&sent, 200, true).unwrap();
        let names: Vec<&str> = response.headers().keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["etag"]);
        let login = cleaned(&sent, 401, true).unwrap_err();
        assert!(login.contains("login") && !login.contains("c2Vj"), "{login}");
        let elsewhere = [("location", "https://mirror.example/a")];
        assert!(cleaned(&elsewhere, 307, false).unwrap_err().contains("somewhere else"));
        assert!(cleaned(&elsewhere, 202, false).is_err(), "nor may the next step be one around the proxy");
    }
}
