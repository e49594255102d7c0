//! A real `portcullis serve` with proxies in front of real registries of packages, and the clients that people upload with.

mod tools;

#[path = "proxy_packages/client.rs"]
mod client;
#[path = "proxy_packages/debian.rs"]
mod debian;
#[path = "proxy/nginx.rs"]
mod nginx;
#[path = "proxy_packages/npm.rs"]
mod npm;
#[path = "proxy_packages/pypi.rs"]
mod pypi;
#[path = "proxy/server.rs"]
mod server;
#[path = "proxy/site.rs"]
mod site;
