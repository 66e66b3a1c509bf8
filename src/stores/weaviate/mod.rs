//! Weaviate: classes, their properties and tenants, over its REST interface.

mod apply;
mod client;
mod compare;
mod heal;
mod probe;
mod references;
mod schema;
mod shape;
mod steps;

use std::collections::HashSet;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use serde_json::Value;

pub use steps::{Step, Tenant};

use self::client::Client;
use crate::secret::Secret;
use crate::section::{CONNECT_TIMEOUT, Key, Kind, Reader, TLS_FILES, key};
use crate::shape::Shape;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::stores::contract::{
    Audit, Before, Connection, Depth, Done, Endpoint, Failure, Job, Loss, Probe,
};
use crate::stores::description::{
    Comparison, Description, Language, Objects, Steps, Undo, any_order, begins_empty, journalled,
};
use crate::tls::{self, Peer, Plain, TlsFiles};

/// What is known of Weaviate without a connection.
pub static STORE: Description = Description {
    name: "weaviate",
    title: "Weaviate",
    extensions: &["json5", "json", "jsonc"],
    language: Language::Steps(Steps {
        together: references::in_order,
        foreign: |word| (word == "classes").then_some(schema::ONE_EACH),
        ..Steps::of(|node| journalled(node, Step::parse))
    }),
    undo: Undo::Derived,
    keys: &[KEYS, TLS_FILES, CONNECT_TIMEOUT],
    addresses: &["url"],
    settings: |section| Settings::read(section).into(),
    templates: &[(
        "V",
        "{\n  steps: [\n    // { createClass: { class: \"Thing\", vectorizer: \"none\", properties: [] } },\n  ],\n}\n",
    )],
    objects: Objects {
        long_kinds: &[],
        optional: &[],
        is_builtin: begins_empty,
        part_of: |object, _| heal::part_of(object),
        rank: any_order,
        heal: heal::heal,
        comparison: Comparison { same: shape::same, ..Comparison::PLAIN },
    },
};

const KEYS: &[Key] = &[
    key("url", Kind::Text, "", "The address: http://host:8080."),
    key("api_key", Kind::Secret, "", "The API key."),
    key("request_timeout", Kind::Duration, "", "How long one request may take."),
];

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

impl Endpoint for Settings {
    type Connection = Weaviate;

    fn address(&self) -> String {
        match self.base() {
            Ok(url) => address(&url),
            Err(_) => String::new(),
        }
    }

    fn plain_text(&self) -> Option<String> {
        let base = self.base().ok().filter(|base| base.scheme() == "http")?;
        let address = address(&base);
        tls::leaves_machine(&address).then(|| {
            format!(
                "{address} is spoken to in plain text, with the API key: write https:// in the URL"
            )
        })
    }

    /// Proves with one request that the server answers and takes the key: `/v1/meta` demands it,
    /// which the readiness endpoints do not.
    async fn connect(&self, application: &str) -> Result<Weaviate, StoreError> {
        let base = self.base()?;
        let address = address(&base);
        let peer = peer(self, &base);
        let tls = self.tls.clone();
        let client = Client { http: self.http(application)?, base, address, tls };
        let meta = tls::explained(client.meta(self.connect_timeout()), &peer).await?;
        match meta["version"].as_str() {
            Some(version) => Ok(Weaviate { version: version.to_string(), client }),
            None => {
                let message = format!("{} answers, but not as Weaviate does", client.address);
                Err(StoreError::new(StoreErrorKind::Settings, message))
            }
        }
    }
}

impl Settings {
    fn read(section: &mut Reader<'_>) -> Settings {
        Settings {
            url: section.open_url("url"),
            api_key: section.secret("api_key"),
            tls: section.tls_files(),
            connect_timeout: section.duration("connect_timeout"),
            request_timeout: section.duration("request_timeout"),
        }
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

/// A connected server.
pub struct Weaviate {
    client: Client,
    version: String,
}

impl Connection for Weaviate {
    type Step = Step;

    /// Weaviate has no id of its own: nothing tells two servers apart.
    async fn identity(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    /// A schema call ends with its request: a dead run leaves nothing behind.
    async fn expel(&self, _dead: &[String]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn before(&self, step: &Step, _recorded: &Shape) -> Result<Before, StoreError> {
        probe::before(&self.client, step).await
    }

    async fn holds(&self, step: &Step) -> Result<Vec<Loss>, StoreError> {
        probe::holds(&self.client, step).await
    }

    async fn apply<'a>(&'a self, step: &'a Step, job: Job<'a>) -> Result<Done, Failure> {
        job.bounded(apply::step(&self.client, step)).await
    }

    async fn probe(&self, step: &Step, _before: &Before) -> Result<Probe, StoreError> {
        probe::probe(&self.client, step).await
    }

    async fn inspect(&self, recorded: &Shape, _depth: Depth) -> Result<Shape, StoreError> {
        let mut classes = self.client.classes().await?;
        // A list that is taken while others change the schema was seen to lack a class that was
        // there: one that is missing is asked for by its name before it is called absent.
        let listed = |name: &str| classes.iter().any(|class| class["class"] == name);
        let missing: Vec<&str> =
            recorded.of_kind("class").map(|(name, _)| name).filter(|name| !listed(name)).collect();
        for name in missing {
            classes.extend(self.client.class(name).await?);
        }
        let mut live = shape::of(&classes);
        for name in with_tenants(&classes) {
            if shape::tenants_of(recorded, name).next().is_none() {
                continue;
            }
            let tenants = self.client.tenants(name).await?;
            for tenant in shape::tenants_of(recorded, name) {
                let there = tenants.iter().find(|one| one.name == tenant);
                if let Some(status) = there.map(|one| one.status.as_deref().unwrap_or("HOT")) {
                    live.insert(shape::tenant(name, tenant), shape::of_tenant(status));
                }
            }
        }
        Ok(live.seen_by(&self.version))
    }

    /// Tenants are as rows are: applications add them. Those of migrations are recorded.
    async fn others(&self, recorded: &Shape) -> Result<Vec<(String, String)>, StoreError> {
        let classes = self.client.classes().await?;
        let mut told = Vec::new();
        for name in with_tenants(&classes) {
            if !recorded.objects.contains_key(&format!("class {name}")) {
                continue;
            }
            let ours: HashSet<&str> = shape::tenants_of(recorded, name).collect();
            let all = self.client.tenants(name).await?;
            let count = all.iter().filter(|one| !ours.contains(one.name.as_str())).count();
            if count > 0 {
                told.push((
                    format!("tenants {name}"),
                    format!("{count} that no migration added, beside {} recorded", ours.len()),
                ));
            }
        }
        Ok(told)
    }

    async fn audit(&self, _recorded: &Shape, _depth: Depth) -> Result<Option<Audit>, StoreError> {
        Ok(None)
    }
}

/// The names of the classes that keep their objects by tenant.
fn with_tenants(classes: &[Value]) -> impl Iterator<Item = &str> {
    let classes = classes.iter().filter(|class| compare::has_tenants(class));
    classes.filter_map(|class| class["class"].as_str())
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
