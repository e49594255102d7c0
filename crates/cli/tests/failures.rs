//! What once made a real verifier accept what it must refuse: docs/failures.md. Each row about evidence is asked of the library, of the command
//! line and of the webhook alike, and each must refuse for the row's own reason. The rows about other parts have tests
//! beside those parts; the last test here looks whether they are there.

#[allow(dead_code, reason = "not every test uses every function")]
mod sigstore;
mod tools;

#[path = "failures/catalogue.rs"]
mod catalogue;
#[path = "failures/certificates.rs"]
mod certificates;
#[path = "failures/dependencies.rs"]
mod dependencies;
#[path = "failures/loading.rs"]
mod loading;
#[path = "failures/rows.rs"]
mod rows;
#[path = "failures/surroundings.rs"]
mod surroundings;
#[path = "failures/world.rs"]
mod world;

#[test]
fn every_row_about_evidence_is_refused_by_the_library() {
    world::ask_the_library(&world::trust_root(), &rows::all());
}

#[test]
fn every_row_about_evidence_is_refused_on_the_command_line() {
    let asks = rows::all();
    world::Place::new(&asks).ask_the_command_line(&asks);
}

#[test]
fn every_row_about_evidence_is_refused_by_the_webhook() {
    let asks = rows::all();
    world::Place::new(&asks).ask_the_webhook(&asks);
}
