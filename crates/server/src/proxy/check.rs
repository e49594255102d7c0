//! What a proxy would find wrong with the files that it names, if it began now. Nothing is written, and no address is taken.

use jiff::Timestamp;

use crate::proxy::config::Proxy;
use crate::proxy::upstream::Upstream;
use crate::tls::TlsError;
use crate::webhook::certificates::{Certificates, Files};

/// Files that would be refused; then what would start, and might surprise. All files are there.
pub(crate) fn check(proxy: &Proxy, now: Timestamp) -> (Vec<TlsError>, Option<String>) {
    let authorities = proxy.clients.as_ref().map(|clients| clients.ca.clone());
    let own = Certificates::load(Files { own: proxy.tls.clone(), authorities });
    let not_now = own.as_ref().ok().and_then(|own| own.check(now).err());
    let upstream = Upstream::open(&proxy.upstream).err();
    let refused = own.err().into_iter().chain(upstream).collect();
    (refused, not_now.map(|why| format!("{why}: clients of the proxy {} do not take it", proxy.name)))
}
