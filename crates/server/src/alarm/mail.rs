//! Alarms as mails.

use std::time::{Duration, SystemTime};

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{Message, SmtpTransport, Transport as _};

use crate::alarm::{Notice, Tell, secret};
use crate::webhook::{AlarmMail, MailTls};

/// For each thing that is said to the server.
const PATIENCE: Duration = Duration::from_secs(10);

/// A mail server.
pub(super) struct Mailer(AlarmMail);

impl Mailer {
    pub(super) fn new(mail: AlarmMail) -> Self {
        Self(mail)
    }

    /// A transport for one mail: its connection ends with it.
    fn transport(&self) -> Result<SmtpTransport, String> {
        let mail = &self.0;
        let tls = match mail.tls {
            MailTls::None => Tls::None,
            MailTls::StartTls => Tls::Required(self.parameters()?),
            MailTls::Tls => Tls::Wrapper(self.parameters()?),
        };
        let transport =
            SmtpTransport::builder_dangerous(&mail.host).port(mail.port).tls(tls).timeout(Some(PATIENCE));
        let Some((user, file)) = &mail.login else { return Ok(transport.build()) };
        let password = String::from_utf8(secret(file, 1)?);
        let password = password.map_err(|_| format!("{} holds no text", file.display()))?;
        Ok(transport.credentials(Credentials::new(user.clone(), password)).build())
    }

    fn parameters(&self) -> Result<TlsParameters, String> {
        let mut builder = TlsParameters::builder(self.0.host.clone());
        if let Some(file) = &self.0.ca {
            let failed = |e: &dyn std::fmt::Display| format!("{} cannot be used: {e}", file.display());
            let pem = std::fs::read(file).map_err(|e| failed(&e))?;
            let certificate = Certificate::from_pem(&pem).map_err(|e| failed(&e))?;
            // only this one: an authority that is named is not one among many
            builder = builder.certificate_store(lettre::transport::smtp::client::CertificateStore::None);
            builder = builder.add_root_certificate(certificate);
        }
        builder.build_rustls().map_err(|e| format!("TLS cannot be set up: {e}"))
    }

    fn message(&self, notice: &Notice) -> Result<Message, String> {
        let address = |text: &str| text.parse::<Mailbox>().map_err(|e| format!("{text} is no address: {e}"));
        let id = format!("<{}.{}@portcullis>", notice.text("id"), notice.sequence);
        let mut message = Message::builder()
            .from(address(&self.0.from)?)
            .subject(format!("[portcullis] {}", notice.title()))
            .date(SystemTime::from(notice.at))
            // the same each time it is sent: a mail that came twice is one
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN);
        for to in &self.0.to {
            message = message.to(address(to)?);
        }
        message.body(notice.to_text()).map_err(|e| format!("the mail cannot be written: {e}"))
    }
}

impl Tell for Mailer {
    fn tell(&mut self, notice: &Notice) -> Result<(), String> {
        let message = self.message(notice)?;
        self.transport()?.send(&message).map(drop).map_err(|e| told(&e))
    }
}

/// The whole chain: what the library says first is only of what kind it is.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(deeper) = source {
        text.push_str(&format!(": {deeper}"));
        source = deeper.source();
    }
    text
}
