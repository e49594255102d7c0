//! One connection to the database, behind calls that wait, each for a bounded time.

use std::fmt;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::runtime::{Builder, Runtime};

use crate::config::{Login, Server};

/// How long the server works on one statement at most.
const STATEMENT: Duration = Duration::from_secs(10);
/// How long anything is waited for, a network that swallows everything included.
const PATIENCE: Duration = Duration::from_secs(15);

/// A connection that is made when it is needed. After any failure it is given up: what it was doing is not known.
pub(crate) struct Database {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    server: Server,
    login: Login,
    idle: Option<Duration>,
    connection: Option<PgConnection>,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({} at {})", self.login.user, self.server.host)
    }
}

/// Why the database did not do what it was asked: nothing is known of what was on its way.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) String);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Database {
    /// With `idle`, the server ends a session from which it hears nothing for so long.
    pub(crate) fn new(server: &Server, login: &Login, idle: Option<Duration>) -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| Fault(format!("no runtime for the database's connection: {e}")))?;
        Ok(Self {
            runtime: Some(runtime),
            server: server.clone(),
            login: login.clone(),
            idle,
            connection: None,
        })
    }

    /// Whether there is a connection, as far as is known.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Gives the connection up, and what its session held with it.
    pub(crate) fn disconnect(&mut self) {
        if let Some(connection) = self.connection.take() {
            let closed = async { tokio::time::timeout(Duration::from_secs(1), connection.close()).await };
            // the server sees the end of the socket in any case
            self.wait(closed).ok();
        }
    }

    /// Makes a new connection. The password is read anew each time, so that it can be changed.
    pub(crate) fn connect(&mut self) -> Result<(), Fault> {
        self.disconnect();
        let options = self.options()?;
        let connecting = async { tokio::time::timeout(PATIENCE, options.connect()).await };
        let connection = self.wait(connecting)?.map_err(|_| self.timed_out())?;
        self.connection = Some(connection.map_err(|e| self.fault(&e))?);
        Ok(())
    }

    /// Does some work on the connection that there is.
    pub(crate) fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Fault> {
        let Some(mut connection) = self.connection.take() else {
            return Err(Fault(format!("not connected to the database at {}", self.server.host)));
        };
        let working = async { tokio::time::timeout(PATIENCE, work(&mut connection)).await };
        match self.wait(working)? {
            Ok(Ok(value)) => {
                self.connection = Some(connection);
                Ok(value)
            }
            Ok(Err(e)) => Err(self.fault(&e)),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// On whatever thread this is, but never on one that drives other tasks.
    fn wait<F: Future>(&self, work: F) -> Result<F::Output, Fault> {
        let none = || Fault("the connection's runtime has ended".to_owned());
        Ok(self.runtime.as_ref().ok_or_else(none)?.block_on(work))
    }

    fn options(&self) -> Result<PgConnectOptions, Fault> {
        let millis = |span: Duration| format!("{}ms", span.as_millis());
        let mut options = PgConnectOptions::new_without_pgpass();
        if options.get_options().is_some() {
            return Err(Fault(
                "PGOPTIONS is set in the environment: unset it, settings are in the configuration".into(),
            ));
        }
        let idle = millis(self.idle.unwrap_or_default());
        options = options
            .host(&self.server.host)
            .port(self.server.port)
            .database(&self.server.database)
            .username(&self.login.user)
            .password(&self.password()?)
            .application_name("portcullis")
            .options([
                // a server or a role that is set to less would lose what was acknowledged
                ("synchronous_commit", "on".to_owned()),
                ("statement_timeout", millis(STATEMENT)),
                ("lock_timeout", millis(STATEMENT)),
                ("idle_in_transaction_session_timeout", millis(STATEMENT)),
                ("tcp_user_timeout", millis(PATIENCE)),
                ("idle_session_timeout", idle),
                ("search_path", "pg_catalog".to_owned()),
                // what waits is looked at every second: to compile that statement each time costs more than it takes
                ("jit", "off".to_owned()),
                // everything is asked by its key. A plan that is made while a table is empty is kept when it is full
                ("enable_seqscan", "off".to_owned()),
            ])
            .disable_statement_logging();
        Ok(match &self.server.ca {
            Some(ca) => options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert(ca),
            None if self.server.is_here() => options.ssl_mode(PgSslMode::Disable),
            None => return Err(Fault(format!("no `ca` by which {} could be known", self.server.host))),
        })
    }

    /// Of the file as it is now, without the line's end.
    fn password(&self) -> Result<String, Fault> {
        let Some(file) = &self.login.password_file else { return Ok(String::new()) };
        let text = std::fs::read_to_string(file)
            .map_err(|e| Fault(format!("cannot read the password file {}: {e}", file.display())))?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn fault(&self, e: &sqlx::Error) -> Fault {
        let host = &self.server.host;
        Fault(match e {
            sqlx::Error::Database(e) => {
                let code = e.code().unwrap_or_default();
                format!("the database at {host} refused ({code}): {}", e.message())
            }
            e => format!("the database at {host}: {e}"),
        })
    }

    fn timed_out(&self) -> Fault {
        Fault(format!("the database at {} did not answer within {} s", self.server.host, PATIENCE.as_secs()))
    }
}

impl Drop for Database {
    /// Its last owner may be a task of another runtime, which must not wait for this one.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A number as the database has it. Sequences and sizes never come near the limit.
pub(crate) fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// A number of the database; a negative one is nonsense, and nothing continues it.
pub(crate) fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
