//! A call of a service that speaks JSON (`application/x-amz-json-1.1`): ECR, CloudWatch Logs.

use std::sync::Arc;

use serde_json::Value;

use super::{Error, Provider, sign};
use crate::net::{Client, Method, Request, Response, Url, plain};
use crate::sys::time::Time;

/// No reply of these services is longer.
const LONGEST_REPLY: u64 = 8 * 1024 * 1024;

#[derive(Debug)]
pub struct Service {
    pub client: Client,
    pub provider: Arc<Provider>,
    pub region: String,
    pub endpoint: Url,
    /// As it is signed: `ecr`, `logs`.
    pub name: &'static str,
    /// Before the action in `X-Amz-Target`.
    pub target: &'static str,
}

impl Service {
    /// Calls an action. Credentials that have expired are fetched anew, once.
    pub fn call(&self, action: &str, body: &Value) -> Result<Value, Error> {
        match self.call_once(action, body) {
            Err(error) if error.is_expiry() => {
                self.provider.forget();
                self.call_once(action, body)
            }
            result => result,
        }
    }

    fn call_once(&self, action: &str, body: &Value) -> Result<Value, Error> {
        let credentials = self.provider.credentials()?;
        let request = Request::new(Method::Post, self.endpoint.clone())
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("{}.{action}", self.target))
            .body(body.to_string());
        let request = sign::sign(request, &credentials, &self.region, self.name, Time::now());
        let failed = |cause| Error::Call {
            action: action.into(),
            cause,
        };
        let response = self.client.send(&request).map_err(failed)?;
        let (status, endpoint) = (response.status, self.endpoint.to_string());
        if !response.is_success() {
            return Err(refusal(action, endpoint, response));
        }
        let bytes = response.document(LONGEST_REPLY).map_err(failed)?;
        serde_json::from_slice(&bytes).map_err(|cause| Error::Reply {
            action: action.into(),
            endpoint,
            why: format!("status {status}, {cause}"),
        })
    }
}

/// `{"__type": "prefix#Name:more", "message": …}`; the name may be in a header instead, and what stands
/// before a service may speak XML (`<Code>`, `<Message>`).
fn refusal(action: &str, endpoint: String, response: Response) -> Error {
    let status = response.status;
    let header = response.header("x-amzn-errortype").map(str::to_owned);
    let bytes = response.document(LONGEST_REPLY).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let field = |names: [&str; 2]| {
        let found = names.iter().find_map(|name| body[*name].as_str());
        found.map(str::to_owned)
    };
    let code = field(["__type", "code"])
        .or(header)
        .or_else(|| element(&text, "Code"));
    let code = plain(&code.unwrap_or_default());
    let code = code.rsplit('#').next().unwrap_or_default();
    let code = code.split(':').next().unwrap_or_default();
    let message = field(["message", "Message"]).or_else(|| element(&text, "Message"));
    Error::Refused {
        action: action.into(),
        endpoint,
        status,
        code: if code.is_empty() {
            "an error without a name"
        } else {
            code
        }
        .into(),
        message: message.map_or("no message".into(), |message| plain(&message)),
    }
}

fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim().to_owned())
}
