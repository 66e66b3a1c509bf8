//! The server's REST interface: one request, one answer or an error in the server's own words.

use std::fmt;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::steps::Tenant;
use crate::store_error::{StoreError, StoreErrorKind};
use crate::tls::{self, TlsFiles};

/// A connection to one server.
pub(super) struct Client {
    pub(super) http: reqwest::Client,
    /// Ends in `/v1/`.
    pub(super) base: url::Url,
    /// Host and port, for messages.
    pub(super) address: String,
    /// The certificates in use, for messages.
    pub(super) tls: TlsFiles,
}

/// What the server answered.
struct Answer {
    status: StatusCode,
    body: Value,
}

/// How many tenants one GraphQL query counts.
const COUNTED_AT_ONCE: usize = 100;

/// How many objects are listed by one request, and how many in all.
const LISTED_AT_ONCE: usize = 100;
const LISTED: u64 = 1_000;

/// How long a class that is in the schema may be unknown elsewhere: a restarted server loads them.
const CATCHES_UP: Duration = Duration::from_secs(30);

/// How many objects a class, or some of its tenants, hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) objects: u64,
    /// There are these, and it was not looked for more.
    pub(super) or_more: bool,
}

impl Held {
    fn and(self, other: Held) -> Held {
        let or_more = self.or_more || other.or_more;
        Held { objects: self.objects + other.objects, or_more }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.objects == 1 { "object" } else { "objects" };
        let more = if self.or_more { "or more " } else { "" };
        write!(f, "{} {more}{noun}", self.objects)
    }
}

impl Client {
    /// What the server says of itself; it demands the key.
    pub(super) async fn meta(&self, within: Duration) -> Result<Value, StoreError> {
        let request = self.request(Method::GET, &["meta"])?.timeout(within);
        let answer = self.send(request).await?;
        if answer.status.is_redirection() || answer.status == StatusCode::NOT_FOUND {
            let message = format!("{} answers, but not as Weaviate does", self.address);
            return Err(StoreError::new(StoreErrorKind::Settings, message)
                .code(answer.status.as_str())
                .hint("give the address that serves /v1/meta; redirects are not followed"));
        }
        answer.value()
    }

    /// All classes.
    pub(super) async fn classes(&self) -> Result<Vec<Value>, StoreError> {
        let mut schema = self.get(&["schema"]).await?.value()?;
        match schema["classes"].take() {
            Value::Array(classes) => Ok(classes),
            _ => Err(StoreError::refused("the server's schema holds no list of classes")),
        }
    }

    /// One class, if it is there.
    pub(super) async fn class(&self, name: &str) -> Result<Option<Value>, StoreError> {
        let answer = self.get(&["schema", name]).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            _ => answer.value().map(Some),
        }
    }

    pub(super) async fn create_class(&self, class: &Value) -> Result<(), StoreError> {
        self.write(Method::POST, &["schema"], Some(class)).await
    }

    pub(super) async fn put_class(&self, name: &str, class: &Value) -> Result<(), StoreError> {
        self.write(Method::PUT, &["schema", name], Some(class)).await
    }

    /// Succeeds too where there is no such class.
    pub(super) async fn delete_class(&self, name: &str) -> Result<(), StoreError> {
        self.write(Method::DELETE, &["schema", name], None).await
    }

    pub(super) async fn add_property(&self, class: &str, one: &Value) -> Result<(), StoreError> {
        self.write(Method::POST, &["schema", class, "properties"], Some(one)).await
    }

    /// The tenants of a class that keeps its objects by tenant, by name; asked of another class,
    /// the server ponders for two seconds before it refuses.
    pub(super) async fn tenants(&self, class: &str) -> Result<Vec<Tenant>, StoreError> {
        let body = self.get(&["schema", class, "tenants"]).await?.value()?;
        let mut tenants: Vec<Tenant> = body
            .as_array()
            .map(|items| items.iter().filter_map(tenant).collect())
            .unwrap_or_default();
        tenants.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tenants)
    }

    pub(super) async fn add_tenants(&self, class: &str, new: &[Tenant]) -> Result<(), StoreError> {
        let body = new.iter().map(Tenant::to_json).collect();
        self.write(Method::POST, &["schema", class, "tenants"], Some(&body)).await
    }

    pub(super) async fn update_tenants(
        &self,
        class: &str,
        changed: &[Tenant],
    ) -> Result<(), StoreError> {
        let body = changed.iter().map(Tenant::to_json).collect();
        self.write(Method::PUT, &["schema", class, "tenants"], Some(&body)).await
    }

    pub(super) async fn remove_tenants(
        &self,
        class: &str,
        of: &[String],
    ) -> Result<(), StoreError> {
        self.write(Method::DELETE, &["schema", class, "tenants"], Some(&json!(of))).await
    }

    /// How many objects a class without tenants holds.
    pub(super) async fn count(&self, class: &str) -> Result<Held, StoreError> {
        self.counted(class, &[None]).await
    }

    /// How many objects these tenants hold together; they must be active.
    pub(super) async fn count_of(&self, class: &str, tenants: &[&str]) -> Result<Held, StoreError> {
        let mut sum = Held::default();
        for some in tenants.chunks(COUNTED_AT_ONCE) {
            let some: Vec<Option<&str>> = some.iter().map(|tenant| Some(*tenant)).collect();
            sum = sum.and(self.counted(class, &some).await?);
        }
        Ok(sum)
    }

    /// How many objects all of `parts` hold, each a tenant, or a class without tenants. A class that is
    /// in the schema becomes known to GraphQL, and to the objects' own interface, a moment later: it is
    /// asked again.
    async fn counted(&self, class: &str, parts: &[Option<&str>]) -> Result<Held, StoreError> {
        let deadline = Instant::now() + CATCHES_UP;
        loop {
            if let Some(held) = self.aggregate(class, parts).await? {
                return Ok(held);
            }
            match self.list(class, parts).await? {
                Some(held) => return Ok(held),
                None if Instant::now() > deadline => {
                    let message = format!(
                        "the schema has the class {class}, and its objects cannot be counted"
                    );
                    return Err(StoreError::unreachable(message)
                        .hint("the server is still loading it, or has failed to: see its log"));
                }
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// GraphQL counts exactly and at once (the figures of `nodes` lag behind), but its schema is made
    /// anew after each change: for a while, a class that is there is unknown to it, or known as it was
    /// before. `None` then: an error of the query's execution has a path, one of its form has none.
    async fn aggregate(
        &self,
        class: &str,
        parts: &[Option<&str>],
    ) -> Result<Option<Held>, StoreError> {
        let part = |(at, tenant): (usize, &Option<&str>)| match tenant {
            Some(tenant) => format!("p{at}: {class}(tenant: \"{tenant}\") {{ meta {{ count }} }}"),
            None => format!("p{at}: {class} {{ meta {{ count }} }}"),
        };
        let query: Vec<String> = parts.iter().enumerate().map(part).collect();
        let query = json!({ "query": format!("{{ Aggregate {{ {} }} }}", query.join(" ")) });
        let answer = self.send(self.request(Method::POST, &["graphql"])?.json(&query)).await?;
        if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
            return Ok(None); // "no graphql provider present": the first class has just been made
        }
        let body = answer.value()?;
        match (&body["errors"][0]["path"], &body["errors"][0]["message"]) {
            (_, Value::Null) => {}
            (Value::Null, _) => return Ok(None),
            (_, message) => {
                return Err(StoreError::refused(message.as_str().unwrap_or("the query failed")));
            }
        }
        let mut held = Held::default();
        for at in 0..parts.len() {
            let count = body["data"]["Aggregate"][format!("p{at}")][0]["meta"]["count"].as_u64();
            held.objects +=
                count.ok_or_else(|| StoreError::refused("the server did not count the objects"))?;
        }
        Ok(Some(held))
    }

    /// The same by listing, which reads the objects themselves; of each part not more than a limit.
    /// `None` where the class is not there for the objects' interface yet.
    async fn list(&self, class: &str, parts: &[Option<&str>]) -> Result<Option<Held>, StoreError> {
        let mut sum = Held::default();
        for part in parts {
            let (mut held, mut last) = (Held::default(), String::new());
            loop {
                let mut url = self.url(&["objects"])?;
                let page_size = LISTED_AT_ONCE.to_string();
                let query = [("class", class), ("limit", &page_size), ("after", &last)];
                url.query_pairs_mut().extend_pairs(query).extend_pairs(part.map(|t| ("tenant", t)));
                let answer = self.send(self.http.get(url)).await?;
                if answer.status == StatusCode::NOT_FOUND {
                    return Ok(None);
                }
                let page = answer.value()?;
                let Some(objects) = page["objects"].as_array() else {
                    return Err(StoreError::refused("the server did not list the objects"));
                };
                held.objects += objects.len() as u64;
                held.or_more = held.objects >= LISTED;
                match objects.last().and_then(|object| object["id"].as_str()) {
                    Some(id) if objects.len() == LISTED_AT_ONCE && !held.or_more => {
                        last = id.to_string();
                    }
                    Some(_) | None => break,
                }
            }
            sum = sum.and(held);
        }
        Ok(Some(sum))
    }

    async fn get(&self, path: &[&str]) -> Result<Answer, StoreError> {
        self.send(self.request(Method::GET, path)?).await
    }

    async fn write(
        &self,
        method: Method,
        path: &[&str],
        body: Option<&Value>,
    ) -> Result<(), StoreError> {
        let request = self.request(method, path)?;
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        self.send(request).await?.value().map(|_| ())
    }

    fn request(
        &self,
        method: Method,
        path: &[&str],
    ) -> Result<reqwest::RequestBuilder, StoreError> {
        Ok(self.http.request(method, self.url(path)?))
    }

    fn url(&self, path: &[&str]) -> Result<url::Url, StoreError> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| StoreError::new(StoreErrorKind::Settings, "the URL has no path"))?
            .pop_if_empty()
            .extend(path);
        Ok(url)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Answer, StoreError> {
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        let status = response.status();
        let text = response.text().await.map_err(|error| self.broken(&error))?;
        let body = match text.trim() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        Ok(Answer { status, body })
    }

    /// A request that got no answer, with the innermost reason.
    fn broken(&self, error: &reqwest::Error) -> StoreError {
        if let Some(trouble) = tls::find(error) {
            let error = tls::in_words(trouble, &self.address, &self.tls);
            return match trouble {
                rustls::Error::InvalidMessage(_) => error.hint("is `http://` meant?"),
                // The library's list is open.
                _ => error,
            };
        }
        let reason = match error.is_timeout() {
            true => "no answer in time".to_string(),
            false => innermost(error),
        };
        StoreError::unreachable(format!("cannot reach Weaviate at {}: {reason}", self.address))
    }
}

impl Answer {
    fn value(self) -> Result<Value, StoreError> {
        match self.status.is_success() {
            true => Ok(self.body),
            false => Err(self.error()),
        }
    }

    fn error(&self) -> StoreError {
        let text = said(&self.body)
            .unwrap_or_else(|| format!("HTTP {} without a message", self.status.as_u16()));
        let kind = match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => StoreErrorKind::Credentials,
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS => StoreErrorKind::Unreachable,
            // A cluster that is choosing a leader.
            _ if text.contains("leader not found") => StoreErrorKind::Unreachable,
            _ => StoreErrorKind::Refused,
        };
        let error = StoreError::new(kind, text).code(self.status.as_str());
        match self.status {
            StatusCode::UNAUTHORIZED => error.hint("check the API key of weaviate"),
            StatusCode::FORBIDDEN => error.hint("the API key may not do this: give one that may"),
            _ => error,
        }
    }
}

/// The server's words, which come in three forms.
fn said(body: &Value) -> Option<String> {
    if let Some(errors) = body["error"].as_array() {
        let messages: Vec<&str> =
            errors.iter().filter_map(|error| error["message"].as_str()).collect();
        return Some(messages.join("; ")).filter(|text| !text.is_empty());
    }
    let text = body["message"].as_str().or(body["error"].as_str()).or(body.as_str())?;
    Some(text.chars().take(500).collect())
}

fn tenant(item: &Value) -> Option<Tenant> {
    let name = item["name"].as_str()?.to_string();
    Some(Tenant { name, status: item["activityStatus"].as_str().map(str::to_string) })
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
