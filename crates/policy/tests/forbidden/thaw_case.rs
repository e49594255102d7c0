//! A case is frozen.
fn forge(mut case: policy::Case) {
    case.request.environment = String::new();
}
fn main() {}
