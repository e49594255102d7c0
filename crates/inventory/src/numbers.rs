//! Texts, digests, places and answers by number. Each is asked of SQLite once; what is remembered here is bounded.

use std::collections::{BTreeMap, BTreeSet};

use attest::Digest;
use sqlx::QueryBuilder;
use sqlx::sqlite::SqliteConnection;

/// So many are remembered of each kind before they are forgotten and asked for again: some tens of megabytes.
const REMEMBERED: usize = 200_000;
/// Rows of one statement.
const ROWS: usize = 500;

/// The numbers that were asked for lately.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    texts: BTreeMap<String, i64>,
    digests: BTreeMap<Vec<u8>, i64>,
    places: BTreeMap<[i64; 3], i64>,
    answers: BTreeMap<[String; 5], i64>,
}

impl Numbers {
    /// Has numbers for all of these from here on.
    pub(crate) async fn learn(
        &mut self,
        connection: &mut SqliteConnection,
        texts: BTreeSet<&str>,
        digests: BTreeSet<&[u8]>,
    ) -> Result<(), sqlx::Error> {
        // forgotten between batches, never within one
        if self.texts.len() > REMEMBERED {
            self.texts.clear();
        }
        if self.digests.len() > REMEMBERED {
            self.digests.clear();
        }
        if self.places.len() > REMEMBERED {
            self.places.clear();
        }
        if self.answers.len() > REMEMBERED {
            self.answers.clear();
        }
        let new: Vec<&str> = texts.into_iter().filter(|text| !self.texts.contains_key(*text)).collect();
        for rows in new.chunks(ROWS) {
            let mut query = QueryBuilder::new("INSERT INTO texts (text) ");
            query.push_values(rows, |mut row, text| {
                row.push_bind((*text).to_owned());
            });
            query.push(" ON CONFLICT (text) DO UPDATE SET text = text RETURNING text, id");
            let rows: Vec<(String, i64)> = query.build_query_as().fetch_all(&mut *connection).await?;
            self.texts.extend(rows);
        }
        let new: Vec<&[u8]> =
            digests.into_iter().filter(|digest| !self.digests.contains_key(*digest)).collect();
        for rows in new.chunks(ROWS) {
            let mut query = QueryBuilder::new("INSERT INTO digests (bytes) ");
            query.push_values(rows, |mut row, digest| {
                row.push_bind((*digest).to_vec());
            });
            query.push(" ON CONFLICT (bytes) DO UPDATE SET bytes = bytes RETURNING bytes, id");
            let rows: Vec<(Vec<u8>, i64)> = query.build_query_as().fetch_all(&mut *connection).await?;
            self.digests.extend(rows);
        }
        Ok(())
    }

    /// The number of a text that was learnt; 0 for none.
    pub(crate) fn text(&self, text: Option<&str>) -> i64 {
        text.and_then(|text| self.texts.get(text)).copied().unwrap_or(0)
    }

    /// The number of a digest that was learnt; 0 for none.
    pub(crate) fn digest(&self, digest: Option<&Digest>) -> i64 {
        digest.and_then(|digest| self.digests.get(digest.bytes())).copied().unwrap_or(0)
    }

    pub(crate) async fn place(
        &mut self,
        connection: &mut SqliteConnection,
        place: [i64; 3],
    ) -> Result<i64, sqlx::Error> {
        if let Some(id) = self.places.get(&place) {
            return Ok(*id);
        }
        let [environment, workload, uri] = place;
        let id = sqlx::query_scalar(
            "INSERT INTO places (environment, workload, uri) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET uri = uri RETURNING id",
        )
        .bind(environment)
        .bind(workload)
        .bind(uri)
        .fetch_one(connection)
        .await?;
        self.places.insert(place, id);
        Ok(id)
    }

    pub(crate) async fn answer(
        &mut self,
        connection: &mut SqliteConnection,
        answer: [String; 5],
    ) -> Result<i64, sqlx::Error> {
        if let Some(id) = self.answers.get(&answer) {
            return Ok(*id);
        }
        let mut query = sqlx::query_scalar(
            "INSERT INTO answers (decision, basis, outcome, chokepoint, rules) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE SET rules = rules RETURNING id",
        );
        for part in &answer {
            query = query.bind(part.clone());
        }
        let id = query.fetch_one(connection).await?;
        self.answers.insert(answer, id);
        Ok(id)
    }
}
