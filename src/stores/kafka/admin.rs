//! What the modules of the store share: requests in the background, and their faults as errors of the store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio_util::sync::CancellationToken;

use super::ffi::{
    Ask, Cluster, Described, Fault, Link, Refused, Said, Shown, Topic, TopicConfigs, Wanted,
};
use super::steps::{AlterConfigs, CreatePartitions, CreateTopic};
use crate::store_error::{StoreError, StoreErrorKind};

/// How long one broker may take to show what it knows; a dead one must not eat the whole patience.
const GLANCE: Duration = Duration::from_secs(5);

/// A connected cluster.
pub(super) struct Admin {
    link: Arc<Link>,
    address: String,
    cluster_id: Option<String>,
    /// How long an operation may take, from its request until every broker shows it.
    pub(super) patience: Duration,
}

impl Admin {
    /// Asks the cluster who it is, within `timeout`, and gives up at the first good reason to.
    pub(super) async fn connect(
        link: Link,
        address: String,
        timeout: Duration,
        patience: Duration,
    ) -> Result<Admin, StoreError> {
        let cancel = CancellationToken::new();
        let ask = Ask { timeout, broker: None, hasty: true, only_check: false, cancel };
        let mut admin = Admin { link: Arc::new(link), address, cluster_id: None, patience };
        let cluster = admin
            .run(move |link| link.describe_cluster(&ask))
            .await
            .map_err(|fault| admin.no_connection(fault, timeout))?;
        admin.cluster_id = cluster.id;
        Ok(admin)
    }

    /// The cluster id.
    pub(super) fn cluster_id(&self) -> Option<String> {
        self.cluster_id.clone()
    }

    /// The cluster as it is now.
    pub(super) async fn cluster(&self, cancel: &CancellationToken) -> Result<Cluster, Fault> {
        let ask = self.glance(None, cancel);
        self.run(move |link| link.describe_cluster(&ask)).await
    }

    /// A topic as `broker` shows it, or any broker where none is named.
    pub(super) async fn topic(
        &self,
        name: &str,
        broker: Option<i32>,
        cancel: &CancellationToken,
    ) -> Result<Option<Topic>, Fault> {
        let shown = self.topics(vec![name.to_string()], broker, cancel).await;
        let shown = shown.map_err(|fault| fault.for_want_of("Describe", name))?;
        Ok(shown.into_iter().next().and_then(|(_, topic)| topic))
    }

    /// Many topics as `broker` shows them, or any broker where none is named.
    pub(super) async fn topics(
        &self,
        names: Vec<String>,
        broker: Option<i32>,
        cancel: &CancellationToken,
    ) -> Result<Vec<(String, Option<Topic>)>, Fault> {
        let ask = self.glance(broker, cancel);
        let shown = self.run(move |link| link.describe_topics(&ask, &names)).await?;
        let whole = shown.into_iter().map(|(name, topic)| Ok((name, topic.map_err(Fault::Said)?)));
        whole.collect()
    }

    /// Many topics, or why a broker does not show one.
    pub(super) async fn all_topics(&self, names: Vec<String>) -> Result<Vec<Shown>, Fault> {
        let ask = self.ask(&CancellationToken::new());
        self.run(move |link| link.describe_topics(&ask, &names)).await
    }

    /// The configs of a topic as `broker` shows them; `None` where it shows no such topic.
    pub(super) async fn configs(
        &self,
        topic: &str,
        broker: Option<i32>,
        cancel: &CancellationToken,
    ) -> Result<Option<TopicConfigs>, Fault> {
        let (ask, topics) = (self.glance(broker, cancel), vec![topic.to_string()]);
        let described = self.run(move |link| link.describe_configs(&ask, &topics)).await?;
        match described.into_iter().next() {
            Some((_, Ok(configs))) => Ok(Some(configs)),
            Some((_, Err(said))) if said.code == Code::UnknownTopicOrPartition => Ok(None),
            Some((_, Err(said))) => Err(Fault::Said(said).for_want_of("DescribeConfigs", topic)),
            None => Ok(None),
        }
    }

    /// The configs of many topics, or why the broker does not tell them.
    pub(super) async fn all_configs(&self, topics: Vec<String>) -> Result<Vec<Described>, Fault> {
        let ask = self.ask(&CancellationToken::new());
        self.run(move |link| link.describe_configs(&ask, &topics)).await
    }

    /// The name of every topic of the cluster.
    pub(super) async fn names(&self) -> Result<BTreeSet<String>, Fault> {
        let patience = self.patience;
        self.run(move |link| {
            // All of them: asking for one by name could create it.
            let metadata =
                link.client().fetch_metadata(None, patience).map_err(|e| safe_fault(&e))?;
            Ok(metadata.topics().iter().map(|topic| topic.name().to_string()).collect())
        })
        .await
    }

    /// How many messages the partitions of a topic hold, by their offsets: those of open transactions too, and
    /// what stands behind them.
    pub(super) async fn messages(&self, topic: &str, partitions: i32) -> Result<i64, Fault> {
        let first = self.offsets(topic, partitions, Wanted::First).await?;
        let next = self.offsets(topic, partitions, Wanted::Next).await?;
        Ok(first.iter().zip(next).map(|(first, next)| (next - first).max(0)).sum())
    }

    /// How many of them are older than `time`, in milliseconds since 1970.
    pub(super) async fn messages_before(
        &self,
        topic: &str,
        partitions: i32,
        time: i64,
    ) -> Result<i64, Fault> {
        let first = self.offsets(topic, partitions, Wanted::First).await?;
        let next = self.offsets(topic, partitions, Wanted::Next).await?;
        let since = self.offsets(topic, partitions, Wanted::Since(time)).await?;
        let older = |((first, next), since): ((&i64, i64), i64)| match since {
            ..0 => next - first,
            since => since - first,
        };
        Ok(first.iter().zip(next).zip(since).map(|one| older(one).max(0)).sum())
    }

    async fn offsets(
        &self,
        topic: &str,
        partitions: i32,
        wanted: Wanted,
    ) -> Result<Vec<i64>, Fault> {
        let (ask, name) = (self.ask(&CancellationToken::new()), topic.to_string());
        let offsets = self.run(move |link| link.list_offsets(&ask, &name, (partitions, wanted)));
        offsets.await.map_err(|fault| fault.for_want_of("Describe", topic))
    }

    /// Creates a topic.
    pub(super) async fn create_topic(
        &self,
        topic: &CreateTopic,
        cancel: &CancellationToken,
    ) -> Result<(), Fault> {
        let refused = self.create_topics(std::slice::from_ref(topic), false, cancel).await?;
        let wanting = |(_, said)| Fault::Said(said).for_want_of("Create", &topic.name);
        refused.into_iter().next().map_or(Ok(()), |refused| Err(wanting(refused)))
    }

    /// Creates topics, or only asks whether they could be; what was said against those that were not.
    pub(super) async fn create_topics(
        &self,
        topics: &[CreateTopic],
        only_check: bool,
        cancel: &CancellationToken,
    ) -> Result<Vec<Refused>, Fault> {
        let (ask, topics) = (Ask { only_check, ..self.ask(cancel) }, topics.to_vec());
        self.run(move |link| link.create_topics(&ask, &topics)).await
    }

    /// Changes configs of a topic.
    pub(super) async fn alter_configs(
        &self,
        change: &AlterConfigs,
        cancel: &CancellationToken,
    ) -> Result<(), Fault> {
        let (ask, wanted) = (self.ask(cancel), change.clone());
        let altered = self.run(move |link| link.alter_configs(&ask, &wanted)).await;
        altered.map_err(|fault| fault.for_want_of("AlterConfigs", &change.topic))
    }

    /// Grows a topic.
    pub(super) async fn create_partitions(
        &self,
        grown: &CreatePartitions,
        cancel: &CancellationToken,
    ) -> Result<(), Fault> {
        let (ask, wanted) = (self.ask(cancel), grown.clone());
        let done = self.run(move |link| link.create_partitions(&ask, &wanted)).await;
        done.map_err(|fault| fault.for_want_of("Alter", &grown.topic))
    }

    /// Deletes a topic.
    pub(super) async fn delete_topic(
        &self,
        topic: &str,
        cancel: &CancellationToken,
    ) -> Result<(), Fault> {
        let (ask, doomed) = (self.ask(cancel), topic.to_string());
        let deleted = self.run(move |link| link.delete_topic(&ask, &doomed)).await;
        deleted.map_err(|fault| fault.for_want_of("Delete", topic))
    }

    fn ask(&self, cancel: &CancellationToken) -> Ask {
        let (timeout, cancel) = (self.patience, cancel.clone());
        Ask { timeout, broker: None, hasty: false, only_check: false, cancel }
    }

    fn glance(&self, broker: Option<i32>, cancel: &CancellationToken) -> Ask {
        Ask { timeout: self.patience.min(GLANCE), broker, ..self.ask(cancel) }
    }

    /// librdkafka's calls block, so they run on a thread that may.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Link) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let link = Arc::clone(&self.link);
        match tokio::task::spawn_blocking(move || work(&link)).await {
            Ok(result) => result,
            Err(ended) => Err(Fault::Said(Said {
                code: Code::Fail,
                name: "_FAIL".to_string(),
                text: format!("the request's thread ended early: {ended}"),
            })),
        }
    }

    fn no_connection(&self, fault: Fault, timeout: Duration) -> StoreError {
        let error = self.error(fault);
        match error.code.as_deref() {
            Some("_TIMED_OUT") => error.detail(format!("waited {timeout:?}")),
            Some(_) | None => error,
        }
    }

    /// The error that a fault is; where the connection is at fault, with librdkafka's reason.
    pub(super) fn error(&self, fault: Fault) -> StoreError {
        let said = match fault {
            Fault::Cancelled => return StoreError::refused("cancelled before Kafka answered"),
            Fault::Said(said) => said,
        };
        let said = match connection(said.code) {
            true => self.link.reason().unwrap_or(said),
            false => said,
        };
        let (kind, hint) = (kind(said.code), hint(&said));
        let message = match kind {
            StoreErrorKind::Unreachable => {
                format!("Kafka at {} does not answer: {}", self.address, said.text)
            }
            StoreErrorKind::Credentials => {
                format!("Kafka at {} does not let us in: {}", self.address, said.text)
            }
            StoreErrorKind::Settings | StoreErrorKind::Refused => said.text,
        };
        let error = StoreError::new(kind, message).code(said.name);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

fn safe_fault(error: &KafkaError) -> Fault {
    let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
    let name = match code {
        Code::OperationTimedOut => "_TIMED_OUT".to_string(),
        Code::BrokerTransportFailure => "_TRANSPORT".to_string(),
        code => format!("{code:?}"),
    };
    Fault::Said(Said { code, name, text: error.to_string() })
}

/// Whether it is the connection that failed, so that librdkafka knows more than the request.
fn connection(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::Resolve
    )
}

/// Kafka's codes by how they are treated; all that is not named is a refusal.
fn kind(code: Code) -> StoreErrorKind {
    match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::SSL
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => StoreErrorKind::Credentials,
        Code::RequestTimedOut
        | Code::NetworkException
        | Code::BrokerNotAvailable
        | Code::LeaderNotAvailable
        | Code::DestroyBroker
        | Code::BadMessage
        | Code::UnknownBroker => StoreErrorKind::Unreachable,
        code if connection(code) => StoreErrorKind::Unreachable,
        _ => StoreErrorKind::Refused,
    }
}

fn hint(said: &Said) -> Option<&'static str> {
    match said.code {
        Code::BrokerTransportFailure if said.text.contains("Disconnected") => Some(
            "a listener hangs up on a client that speaks another protocol: check security_protocol \
             of [kafka]",
        ),
        Code::BadMessage => Some("what answers there is not Kafka: check brokers of [kafka]"),
        Code::Authentication | Code::SaslAuthenticationFailed => {
            Some("check user, password, sasl_mechanism and security_protocol of [kafka]")
        }
        Code::SSL => Some(
            "check ca_file, cert_file and key_file of [kafka], and that security_protocol is what \
             the listener speaks",
        ),
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Some(
            "the user needs the ACLs Create, Alter, AlterConfigs, Delete, Describe and \
             DescribeConfigs on the topics it migrates",
        ),
        Code::TopicDeletionDisabled => Some("set delete.topic.enable=true on the brokers"),
        Code::UnsupportedVersion | Code::UnsupportedFeature => {
            Some("changing single configs needs Kafka 2.3 or newer")
        }
        _ => None,
    }
}
