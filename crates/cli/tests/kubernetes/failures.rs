//! What fails: webhooks that misbehave, the API server, and every part of the choke point itself. How long each took to
//! come back is printed; what is asserted of times are only bounds that a slow machine keeps too.

mod afterwards;
mod api;
mod balancer;
mod book;
mod breakglass;
mod certificate;
mod clock;
mod disk;
mod killed;
mod load;
mod many;
mod misbehaving;
mod records;
mod site;
mod slow;
mod store;
mod watched;
