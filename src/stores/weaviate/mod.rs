//! Weaviate: classes, their properties and tenants, over its REST interface.

mod apply;
mod client;
mod compare;
mod heal;
mod probe;
mod schema;
mod shape;
mod steps;

use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

pub(super) use heal::{heal, makes, part_of, touches};
pub use steps::{Step, Tenant};

use self::client::Client;
use super::{
    Before, Body, Depth, Done, Effect, Failure, Job, Loss, Probe, Store, StoreError,
    StoreErrorKind, Unit, Why,
};
use crate::secret::Secret;
use crate::shape::Shape;
use crate::tls::{self, Peer, Plain, TlsFiles};

/// Where the server is and what it takes to be let in.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `http://host:port` or `https://host:port`, with a path where a proxy wants one, without
    /// credentials.
    pub url: String,
    /// The API key; empty where the server lets anyone in.
    pub api_key: Secret,
    /// Certificates for `https`.
    pub tls: TlsFiles,
    /// How long connecting may take; 5 s.
    pub connect_timeout: Option<Duration>,
    /// How long one request may take; 60 s.
    pub request_timeout: Option<Duration>,
}

impl Settings {
    /// Host and port.
    pub fn address(&self) -> String {
        match self.base() {
            Ok(url) => address(&url),
            Err(_) => String::new(),
        }
    }

    /// Whether what is sent can be read on its way, in words.
    pub fn plain_text(&self) -> Option<String> {
        let base = self.base().ok().filter(|base| base.scheme() == "http")?;
        let address = address(&base);
        tls::leaves_machine(&address).then(|| {
            format!(
                "{address} is spoken to in plain text, with the API key: write https:// in the URL"
            )
        })
    }

    /// The URL below which the interface lies. Errors don't repeat it: it may hold a password.
    fn base(&self) -> Result<url::Url, StoreError> {
        let wrong = |message: String| StoreError::new(StoreErrorKind::Settings, message);
        if self.url.is_empty() {
            return Err(
                wrong("weaviate has no url".to_string()).hint("set it to `http://host:port`")
            );
        }
        let mut url = url::Url::parse(&self.url)
            .map_err(|error| wrong(format!("the url of weaviate cannot be read: {error}")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("the url of weaviate holds credentials".to_string())
                .hint("take them out and set the API key apart"));
        }
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("the url of weaviate is not http://… or https://…".to_string()));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("the url of weaviate ends in `?…` or `#…`".to_string()));
        }
        let versioned = url.path().trim_end_matches('/').ends_with("/v1");
        if let (false, Ok(mut path)) = (versioned, url.path_segments_mut()) {
            path.pop_if_empty().push("v1");
        }
        Ok(url)
    }

    fn connect_timeout(&self) -> Duration {
        self.connect_timeout.unwrap_or(Duration::from_secs(5))
    }

    fn http(&self, application: &str) -> Result<reqwest::Client, StoreError> {
        let tls = self.tls.client_config(crate::tls::Verify::Full)?;
        reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .default_headers(self.headers()?)
            .user_agent(application)
            // A proxy of the environment is for the outside world, and would see the key.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout())
            .timeout(self.request_timeout.unwrap_or(Duration::from_secs(60)))
            .build()
            .map_err(|error| StoreError::new(StoreErrorKind::Settings, error.to_string()))
    }

    fn headers(&self) -> Result<HeaderMap, StoreError> {
        let mut headers = HeaderMap::new();
        if self.api_key.is_empty() {
            return Ok(headers);
        }
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.api_key.expose()))
            .map_err(|_| {
                let message = "the API key of weaviate holds a character that no HTTP header can";
                StoreError::new(StoreErrorKind::Settings, message)
                    .hint("is there a line break at its end?")
            })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
        Ok(headers)
    }
}

fn address(url: &url::Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_string(),
    }
}

/// Connects, and proves with one request that the server answers and takes the key: `/v1/meta`
/// demands it, which the readiness endpoints do not.
pub async fn connect(settings: &Settings, application: &str) -> Result<Box<dyn Store>, StoreError> {
    let base = settings.base()?;
    let address = address(&base);
    let peer = peer(settings, &base);
    let tls = settings.tls.clone();
    let client = Client { http: settings.http(application)?, base, address, tls };
    let meta = tls::explained(client.meta(settings.connect_timeout()), &peer).await?;
    match meta["version"].as_str() {
        Some(version) => Ok(Box::new(Weaviate { version: version.to_string(), client })),
        None => {
            let message = format!("{} answers, but not as Weaviate does", client.address);
            Err(StoreError::new(StoreErrorKind::Settings, message))
        }
    }
}

fn peer(settings: &Settings, base: &url::Url) -> Peer {
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_string();
    Peer {
        addresses: base.port_or_known_default().map(|port| (host, port)).into_iter().collect(),
        tls: (base.scheme() == "https").then(|| settings.tls.clone()),
        setting: "https:// or http:// in the URL",
        plain: Plain {
            question: b"GET /v1/.well-known/live HTTP/1.0\r\n\r\n",
            answers: |answer| answer.starts_with(b"HTTP/"),
        },
    }
}

struct Weaviate {
    client: Client,
    version: String,
}

impl Store for Weaviate {
    /// Weaviate has no id of its own: nothing tells two servers apart.
    fn identity(&self) -> BoxFuture<'_, Result<Option<String>, StoreError>> {
        Box::pin(async { Ok(None) })
    }

    /// A schema call ends with its request: a dead run leaves nothing behind.
    fn expel<'a>(&'a self, _dead: &'a [String]) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Ok(()) })
    }

    fn before<'a>(
        &'a self,
        unit: &'a Unit,
        _recorded: &'a Shape,
    ) -> BoxFuture<'a, Result<Before, StoreError>> {
        Box::pin(async { probe::before(&self.client, step_of(unit)?).await })
    }

    fn holds<'a>(&'a self, unit: &'a Unit) -> BoxFuture<'a, Result<Vec<Loss>, StoreError>> {
        Box::pin(async { probe::holds(&self.client, step_of(unit)?).await })
    }

    fn apply<'a>(&'a self, job: Job<'a>) -> BoxFuture<'a, Result<Done, Failure>> {
        Box::pin(async move {
            let step = step_of(job.unit)?;
            if job.cancel.is_cancelled() {
                return Err(cancelled(Effect::None));
            }
            let limit = job.limits.statement_timeout.unwrap_or(Duration::MAX);
            tokio::select! {
                biased;
                outcome = apply::step(&self.client, step) => outcome,
                () = job.cancel.cancelled() => Err(cancelled(Effect::Unknown)),
                () = tokio::time::sleep(limit) => Err(out_of_time(limit)),
            }
        })
    }

    fn probe<'a>(
        &'a self,
        unit: &'a Unit,
        _before: &'a Before,
    ) -> BoxFuture<'a, Result<Probe, StoreError>> {
        Box::pin(async { probe::probe(&self.client, step_of(unit)?).await })
    }

    fn inspect<'a>(
        &'a self,
        recorded: &'a Shape,
        _depth: Depth,
    ) -> BoxFuture<'a, Result<Shape, StoreError>> {
        Box::pin(async move {
            let mut classes = self.client.classes().await?;
            // A list that is taken while others change the schema was seen to lack a class that was
            // there: one that is missing is asked for by its name before it is called absent.
            let listed = |name: &str| classes.iter().any(|class| class["class"] == name);
            let missing: Vec<&str> = recorded
                .of_kind("class")
                .map(|(name, _)| name)
                .filter(|name| !listed(name))
                .collect();
            for name in missing {
                classes.extend(self.client.class(name).await?);
            }
            Ok(shape::of(&classes).seen_by(&self.version))
        })
    }
}

fn step_of(unit: &Unit) -> Result<&Step, StoreError> {
    match &unit.body {
        Body::Weaviate(step) => Ok(step),
        Body::Postgres(_) | Body::Mongo(_) | Body::Kafka(_) | Body::Redis(_) => {
            Err(StoreError::refused(format!("`{}` is not a step of weaviate", unit.label)))
        }
    }
}

/// The server cannot call a schema change back: it is left to end by itself.
fn cancelled(effect: Effect) -> Failure {
    let source = StoreError::refused("interrupted");
    Failure { why: Why::Cancelled, effect, at: None, source }
}

fn out_of_time(limit: Duration) -> Failure {
    let source = StoreError::unreachable(format!("no answer within {limit:?}"))
        .hint("`statement_timeout` in the migration's header sets this limit");
    Failure { why: Why::Unreachable, effect: Effect::Unknown, at: None, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings { url: url.to_string(), ..Settings::default() }
    }

    #[test]
    fn the_url_is_read_with_and_without_a_path() {
        for (url, base, address) in [
            ("http://w:8080", "http://w:8080/v1", "w:8080"),
            ("http://w:8080/v1/", "http://w:8080/v1/", "w:8080"),
            ("https://w/weaviate/", "https://w/weaviate/v1", "w:443"),
            ("http://[::1]:8080", "http://[::1]:8080/v1", "[::1]:8080"),
        ] {
            assert_eq!(settings(url).base().expect(url).as_str(), base);
            assert_eq!(settings(url).address(), address);
        }
    }

    #[test]
    fn a_wrong_url_is_a_setting_and_never_repeated() {
        for url in [
            "",
            "w:8080",
            "ftp://w",
            "http://user:hunter2@w:8080",
            "http://hunter2@w:8080",
            "http://w:8080/?key=hunter2",
            "http://w:hunter2",
        ] {
            let error = settings(url).base().expect_err(url);
            assert_eq!(error.kind, StoreErrorKind::Settings);
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_key_that_is_no_header_is_not_shown() {
        let mut settings = settings("http://w");
        settings.api_key = Secret::new("hunter2\n");
        let error = settings.headers().expect_err("line break");
        assert!(!format!("{error:?} {settings:?}").contains("hunter2"), "{error:?}");
    }
}
