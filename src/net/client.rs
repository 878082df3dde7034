//! HTTP with blocking calls.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{self, HeaderValue};
use ureq::tls::TlsConfig;
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Proxy};

use super::{Cause, Error, Method, Names, Proxies, Request, Response, Url, roots};

/// A server that sends us on more often has lost its way.
const MOST_REDIRECTS: usize = 10;

/// Connections that wait for the next request, to one host and to all: as many as a pull has streams.
const IDLE: usize = 4;

/// How requests are made.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Files of certificates (PEM) that are trusted besides the system's.
    pub roots: Vec<PathBuf>,
    pub verification: Verification,
    pub plain: Plain,
    pub times: Times,
    pub proxies: Proxies,
    pub names: Names,
}

/// Whether a server's certificate is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verification {
    Full,
    /// Whoever answers is believed: for registries that the user calls insecure.
    None,
}

/// Who may be spoken to by HTTP without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plain {
    Loopback,
    Anyone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// To connect, TLS included.
    pub connect: Duration,
    /// How long nothing may come, or go; and the longest that the head of a reply, or 64 KiB of its body,
    /// may take, so that a byte now and then keeps nobody.
    pub stall: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            verification: Verification::Full,
            plain: Plain::Loopback,
            times: Times {
                connect: Duration::from_secs(30),
                stall: Duration::from_secs(60),
            },
            proxies: Proxies::from_environment(),
            names: Names::default(),
        }
    }
}

/// Makes requests from any number of threads, over connections that are kept.
#[derive(Debug)]
pub struct Client {
    setup: Setup,
    /// One for each way out, made when it is first needed.
    agents: Mutex<Vec<(Way, Agent)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Way {
    tls: bool,
    proxy: Option<Proxy>,
}

impl Client {
    pub fn new(setup: Setup) -> Self {
        let agents = Mutex::default();
        Self { setup, agents }
    }

    /// Makes a request and follows where it is sent on. Another host gets no credentials; a body is
    /// not sent twice, so what answers one with a redirect is the reply.
    pub fn send(&self, request: &Request) -> Result<Response, Error> {
        let mut request = request.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.send_once(&request)?;
            let follows = matches!(request.method, Method::Get | Method::Head)
                && matches!(response.status, 301 | 302 | 303 | 307 | 308);
            let Some(location) = response.header("location").filter(|_| follows) else {
                return Ok(response);
            };
            let failed = |cause| Error {
                request: request.to_string(),
                cause,
            };
            let next = request.url.join(location).map_err(|e| failed(e.into()))?;
            if request.url.is_https() && !next.is_https() && self.setup.plain != Plain::Anyone {
                return Err(failed(Cause::Plain(next.to_string())));
            }
            if !next.is_same_place(&request.url) {
                request.drop_credentials();
            }
            request.url = next;
        }
        let place = request.url.to_string();
        let cause = Cause::Redirects(place);
        Err(Error {
            request: request.to_string(),
            cause,
        })
    }

    fn send_once(&self, request: &Request) -> Result<Response, Error> {
        let failed = |cause| Error {
            request: request.to_string(),
            cause,
        };
        let agent = self.agent(&request.url).map_err(failed)?;
        let message = message(request).map_err(failed)?;
        let times = self.setup.times;
        let reply = agent
            .run(message)
            .map_err(|error| failed(Cause::new(error, &times)))?;
        let (head, body) = reply.into_parts();
        Ok(Response {
            status: head.status.as_u16(),
            request: request.to_string(),
            url: request.url.clone(),
            headers: head.headers,
            body,
            times,
        })
    }

    fn agent(&self, url: &Url) -> Result<Agent, Cause> {
        let is_allowed = url.is_https() || url.is_loopback() || self.setup.plain == Plain::Anyone;
        if !is_allowed {
            return Err(Cause::Plain(url.to_string()));
        }
        let way = Way {
            tls: url.is_https(),
            proxy: self.setup.proxies.of(url)?,
        };
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, agent)) = agents.iter().find(|(of, _)| *of == way) {
            return Ok(agent.clone());
        }
        let agent = self.new_agent(&way)?;
        agents.push((way, agent.clone()));
        Ok(agent)
    }

    fn new_agent(&self, way: &Way) -> Result<Agent, Cause> {
        // A proxy may itself be reached by TLS.
        let proxy_by_tls = way
            .proxy
            .as_ref()
            .is_some_and(|p| p.uri().scheme_str() == Some("https"));
        let tls = if way.tls || proxy_by_tls {
            roots::tls(&self.setup.roots, self.setup.verification)?
        } else {
            TlsConfig::default()
        };
        let Times { connect, stall } = self.setup.times;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls)
            .proxy(way.proxy.clone())
            .user_agent(concat!("bulkhead/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(connect))
            .timeout_recv_response(Some(stall))
            .timeout_per_read(Some(stall))
            .timeout_per_write(Some(stall))
            .output_buffer_size(16 * 1024)
            .max_idle_connections(IDLE)
            .max_idle_connections_per_host(IDLE)
            .build();
        let names = self.setup.names.clone();
        Ok(Agent::with_parts(
            config,
            DefaultConnector::default(),
            names,
        ))
    }
}

/// The request as the library has it.
fn message(request: &Request) -> Result<http::Request<Vec<u8>>, Cause> {
    let mut builder = http::Request::builder()
        .method(request.method.name())
        .uri(request.url.uri().clone());
    for (name, value) in request.headers() {
        // A value that came from a file or a server is not worth a message that quotes it.
        let bad = |_| {
            Cause::Protocol(format!(
                "the value for {name} has characters that no header can have"
            ))
        };
        let mut value = HeaderValue::from_str(value).map_err(bad)?;
        value.set_sensitive(true);
        builder = builder.header(name, value);
    }
    builder
        .body(request.body.clone())
        .map_err(|error| Cause::Protocol(error.to_string()))
}
