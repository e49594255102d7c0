//! A real registry behind the proxy: tags move only to what is admitted, and of a refused push nothing is stored.

#[path = "proxy_oci/claims.rs"]
mod claims;
#[path = "proxy_oci/clients.rs"]
mod clients;
#[path = "proxy_oci/images.rs"]
mod images;
#[path = "proxy_oci/protocol.rs"]
mod protocol;
mod registries;
#[path = "proxy/site.rs"]
mod site;
#[path = "proxy_oci/tokens.rs"]
mod tokens;
mod tools;
#[path = "proxy_oci/upstream.rs"]
mod upstream;
#[path = "proxy_oci/world.rs"]
mod world;
