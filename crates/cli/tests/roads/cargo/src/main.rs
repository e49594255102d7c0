//! Adds the numbers that it is given.

use thiserror::Error;

#[derive(Debug, Error)]
enum Problem {
    #[error("`{0}` is no number")]
    Number(String),
}

fn sum(words: impl Iterator<Item = String>) -> Result<i64, Problem> {
    words.map(|word| word.parse::<i64>().map_err(|_| Problem::Number(word))).sum()
}

fn main() {
    match sum(std::env::args().skip(1)) {
        Ok(total) => println!("{}", itoa::Buffer::new().format(total)),
        Err(problem) => {
            eprintln!("{problem}");
            std::process::exit(1);
        }
    }
}
