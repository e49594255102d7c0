//! A receipt cannot be made by hand.
fn forge() {
    let _ = tlog::Receipt { index: 0, size: 1, proof: Vec::new(), checkpoint: String::new(), leaf: [0; 32] };
}
fn main() {}
