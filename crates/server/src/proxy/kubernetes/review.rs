//! The question to the judge, as an API server would ask it, and what it says.

use attest::{Json, Object};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use kubernetes::GroupKind;

use crate::proxy::adapter::With;
use crate::proxy::kubernetes::object::{metadata, text};
use crate::proxy::kubernetes::path::Resource;
use crate::proxy::metrics::End;
use crate::webhook::review::tell;
use crate::webhook::{Ask, Judged, NoAnswer, NotRuled, Purpose, Stages};

/// What is asked about.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) method: &'a Method,
    pub(super) at: &'a Resource,
    /// As it will be; nothing where it goes away.
    pub(super) object: Option<&'a Object>,
    /// As it is; nothing where it is new.
    pub(super) old: Option<&'a Object>,
    pub(super) is_dry: bool,
}

impl Change<'_> {
    /// The `AdmissionReview`. `who` is the proxy's requester.
    fn review(&self, uid: &str, who: &str) -> Json {
        let operation = match *self.method {
            Method::POST => "CREATE",
            Method::DELETE => "DELETE",
            _ => "UPDATE",
        };
        let subject = self.object.or(self.old);
        let part = |key| subject.map(|object| text(object, key)).unwrap_or_default();
        let kind = GroupKind::of(&part("apiVersion"), &part("kind"));
        let kind =
            Object::new().with("group", kind.group).with("version", kind.version).with("kind", kind.kind);
        let at = self.at;
        let resource = Object::new()
            .with("group", at.group.as_str())
            .with("version", at.version.as_str())
            .with("resource", at.resource.as_str());
        let name = match at.name.as_str() {
            "" => subject.map(|object| metadata(object, "name")).unwrap_or_default(),
            name => name.to_owned(),
        };
        let groups = vec!["system:authenticated".to_owned()];
        let mut request = Object::new()
            .with("uid", uid)
            .with("kind", kind)
            .with("resource", resource)
            .with("subResource", at.subresource.as_str())
            .with("namespace", self.namespace(&name))
            .with("name", name)
            .with("operation", operation)
            .with("userInfo", Object::new().with("username", who).with("groups", groups))
            .with("dryRun", self.is_dry);
        request.set_some("object", self.object.cloned());
        request.set_some("oldObject", self.old.cloned());
        Object::new()
            .with("apiVersion", "admission.k8s.io/v1")
            .with("kind", "AdmissionReview")
            .with("request", request)
            .into()
    }

    /// A Namespace is in itself, also before it is there.
    fn namespace(&self, name: &str) -> String {
        let is_namespace = self.at.group.is_empty() && self.at.resource == "namespaces";
        if is_namespace { name.to_owned() } else { self.at.namespace.clone() }
    }

    /// Goes on only where the judge of the webhook admits it, on record; gives what somebody whose change goes on should
    /// know.
    pub(super) async fn admitted(&self, with: &With, who: &str) -> Result<Vec<HeaderValue>, Response> {
        let refuse = |status, code: &str, text: &str| with.proxy.config().adapter.refuse(status, code, text);
        let undecided = |text: &str| {
            with.course.set(End::Undecided);
            refuse(StatusCode::SERVICE_UNAVAILABLE, "cannot-decide", text)
        };
        let mut bytes = [0; 16];
        aws_lc_rs::rand::fill(&mut bytes)
            .or(Err(undecided("cannot decide: the system gives no random numbers")))?;
        let uid = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let body = Bytes::from(self.review(&uid, who).to_string());
        let judged = with.aside(move |judge, deadline, now| {
            let ask = Ask { body, purpose: Purpose::Validate, deadline: deadline.clone(), now };
            judge.judge(&ask, &mut Stages::default()).map_err(not_ruled)
        });
        let judged = judged.await.map_err(|e| undecided(&e.to_string()))?;
        let config = with.proxy.config();
        for told in &judged.decisions {
            let line = Object::new().with("proxy", config.name.as_str()).with("requester", who);
            tell(with.proxy.front(), told, line, false);
        }
        let answer = Answer::of(&judged);
        let is_admitted = answer.status.is_none();
        for (index, leaf) in
            judged.decisions.iter().filter(|_| is_admitted).filter_map(|told| told.record.as_ref())
        {
            with.course.admitted(&format!("{index}:{leaf}"));
        }
        match answer.status {
            None if judged.decisions.is_empty() => {}
            None => with.course.set(End::Admitted),
            Some(StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST) => with.course.set(End::Rejected),
            Some(_) => with.course.set(End::Undecided),
        }
        match answer.status {
            None => Ok(answer.warnings),
            Some(status) => Err(refuse(status, "rejected", &answer.message)),
        }
    }
}

fn not_ruled(no: NoAnswer) -> NotRuled {
    match no {
        NoAnswer::Late => NotRuled::Late,
        NoAnswer::Malformed(why) | NoAnswer::Failed(_, why) => NotRuled::Failed(why),
    }
}

/// What the judge says.
struct Answer {
    /// Nothing where it is allowed, which is said in one way only.
    status: Option<StatusCode>,
    message: String,
    warnings: Vec<HeaderValue>,
}

impl Answer {
    fn of(judged: &Judged) -> Self {
        let nothing = Object::new();
        let response = judged.answer.as_object().and_then(|review| review.object("response"));
        let response = response.unwrap_or(&nothing);
        let is_allowed = response.flag("allowed").unwrap_or(false);
        let status = response.optional_object("status").ok().flatten().unwrap_or(&nothing);
        let code = status.int("code").ok().and_then(|code| u16::try_from(code).ok());
        let code = match code {
            Some(403) => StatusCode::FORBIDDEN,
            Some(400) => StatusCode::BAD_REQUEST,
            Some(429) => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let warnings = response.optional_array("warnings").unwrap_or_default();
        let warnings = warnings.iter().filter_map(|warning| {
            let text = warning.as_str().ok()?.replace('\\', "\\\\").replace('"', "\\\"");
            HeaderValue::from_str(&format!("299 - \"{text}\"")).ok()
        });
        let message = Some(text(status, "message")).filter(|message| !message.is_empty());
        Self {
            status: (!is_allowed).then_some(code),
            message: message.unwrap_or_else(|| "cannot decide: no reason is known".to_owned()),
            warnings: warnings.collect(),
        }
    }
}

/// Has the client hear of warnings that it would not hear otherwise.
pub(super) fn warn(headers: &mut HeaderMap, warnings: Vec<HeaderValue>) {
    for warning in warnings {
        let is_told = headers.get_all(header::WARNING).iter().any(|told| *told == warning);
        if !is_told {
            headers.append(header::WARNING, warning);
        }
    }
}
