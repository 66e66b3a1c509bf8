//! The admin calls that rdkafka's safe API lacks, or makes without the broker's own words.
//!
//! rdkafka gives a code where the broker gave a sentence, reports a refused change of configs as
//! done, has no IncrementalAlterConfigs, cannot ask one particular broker, and never reads the
//! queue on which librdkafka says why it has no connection. All of that is one pattern: a queue and
//! options of its own, one call, wait for one event, read it, free everything.
//!
//! This is the only unsafe code of the library. What makes it sound: every pointer that librdkafka
//! hands over for keeps is an [`Owned`], freed once and after what borrows from it; every text is
//! copied before its owner is freed; a [`Link`] outlives its requests, since they borrow it.
#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::bindings as native;
use rdkafka::bindings::rd_kafka_admin_op_t as Op;
use rdkafka::client::{Client, DefaultClientContext};
use rdkafka::error::KafkaResult;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr, RDKafkaType};
use tokio_util::sync::CancellationToken;

use super::steps::{AlterConfigs, Configs, CreatePartitions, CreateTopic};

/// Functions whose C enums are read as the integers that they are: a newer broker has codes and sources
/// that the bindings do not know, and a Rust enum must never hold one of those.
mod plain {
    use std::ffi::{c_char, c_int};

    use rdkafka::bindings as native;

    unsafe extern "C" {
        pub(super) fn rd_kafka_event_error(event: *mut native::rd_kafka_event_t) -> c_int;
        pub(super) fn rd_kafka_error_code(error: *const native::rd_kafka_error_t) -> c_int;
        pub(super) fn rd_kafka_topic_result_error(
            result: *const native::rd_kafka_topic_result_t,
        ) -> c_int;
        pub(super) fn rd_kafka_ConfigResource_error(
            resource: *const native::rd_kafka_ConfigResource_t,
        ) -> c_int;
        pub(super) fn rd_kafka_ConfigEntry_source(
            entry: *const native::rd_kafka_ConfigEntry_t,
        ) -> c_int;
        pub(super) fn rd_kafka_NewTopic_set_config(
            topic: *mut native::rd_kafka_NewTopic_t,
            name: *const c_char,
            value: *const c_char,
        ) -> c_int;
    }
}

/// How often a wait looks at the cancellation and at the connection; an answer ends it at once.
const SLICE: Duration = Duration::from_millis(20);

/// librdkafka ends a request by itself; this is how much later we do where it does not.
const SLACK: Duration = Duration::from_secs(1);

/// Why a request has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// We stopped waiting, as asked; the broker may still carry the request out.
    Cancelled,
    /// A broker or librdkafka said no.
    Said(Said),
}

/// A code with its words, from a broker or from librdkafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// The code, to be compared.
    pub(super) code: RDKafkaErrorCode,
    /// The code as Kafka writes it: `INVALID_CONFIG`; librdkafka's own begin with `_`.
    pub(super) name: String,
    /// The sentence.
    pub(super) text: String,
}

impl Fault {
    fn local(code: RDKafkaErrorCode, name: &str, text: impl Into<String>) -> Fault {
        Fault::Said(Said { code, name: name.to_string(), text: text.into() })
    }

    /// The same, saying of what.
    pub(super) fn of(self, what: &str) -> Fault {
        match self {
            Fault::Cancelled => Fault::Cancelled,
            Fault::Said(said) => {
                Fault::Said(Said { text: format!("{what}: {}", said.text), ..said })
            }
        }
    }

    /// The same; where rights are missing, saying which of them this took on the topic.
    pub(super) fn for_want_of(self, right: &str, topic: &str) -> Fault {
        match self {
            Fault::Said(said) if said.code == RDKafkaErrorCode::TopicAuthorizationFailed => {
                let text = said.text.trim_end_matches('.');
                let text = format!("{text}: this takes the ACL {right} on {topic}");
                Fault::Said(Said { text, ..said })
            }
            fault => fault,
        }
    }

    /// The code, unless we stopped waiting.
    pub(super) fn code(&self) -> Option<RDKafkaErrorCode> {
        match self {
            Fault::Cancelled => None,
            Fault::Said(said) => Some(said.code),
        }
    }
}

/// How a request is made.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    /// How long to wait for the answer.
    pub(super) timeout: Duration,
    /// The broker to ask; `None`: the one that librdkafka takes for the controller.
    pub(super) broker: Option<i32>,
    /// Whether a connection that cannot be made ends the request before its timeout.
    pub(super) hasty: bool,
    /// Whether the cluster is to judge the request and do nothing.
    pub(super) only_check: bool,
    /// Ends the wait.
    pub(super) cancel: CancellationToken,
}

/// What the cluster says of itself.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    /// The cluster id.
    pub(super) id: Option<String>,
    /// The ids of the brokers that are up.
    pub(super) brokers: BTreeSet<i32>,
}

/// A topic as one broker shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topic {
    /// The broker's id of the topic; empty where it is older than such ids (2.8).
    pub(super) id: String,
    /// Whether it is one of Kafka's own, as the broker says.
    pub(super) is_internal: bool,
    /// How many partitions it has.
    pub(super) partitions: i32,
    /// How many of them have no leader.
    pub(super) leaderless: i32,
    /// The replicas of a partition.
    pub(super) replication_factor: i32,
}

/// The configs of one topic.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicConfigs {
    /// What is set on the topic itself.
    pub(super) own: Configs,
    /// What is in force, the brokers' defaults included.
    pub(super) effective: Configs,
    /// What is in force where nothing is set on the topic.
    pub(super) defaults: Configs,
    /// The names of all configs that a topic can have, those without a value too.
    pub(super) known: BTreeSet<String>,
}

/// Which offset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// That of the first message.
    First,
    /// That of the next message.
    Next,
    /// That of the first message from this time on, in milliseconds since 1970.
    Since(i64),
}

impl Wanted {
    fn spec(self) -> i64 {
        use native::rd_kafka_OffsetSpec_t as Spec;
        match self {
            Wanted::First => Spec::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64,
            Wanted::Next => Spec::RD_KAFKA_OFFSET_SPEC_LATEST as i64,
            Wanted::Since(time) => time.max(0),
        }
    }
}

/// A topic's name, and what was said against it.
pub(super) type Refused = (String, Said);

/// A topic with its configs, or why the broker does not tell them.
pub(super) type Described = (String, Result<TopicConfigs, Said>);

/// A topic's name and how a broker shows it, or why it does not.
pub(super) type Shown = (String, Result<Option<Topic>, Said>);

/// A librdkafka client with what was last heard of its connections.
pub(super) struct Link {
    client: Client<DefaultClientContext>,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// The latest reason for which a broker could not be talked to.
    reason: Option<Said>,
    /// Whether no broker at all can be talked to.
    everywhere: bool,
}

/// A pointer that librdkafka handed over for keeps.
struct Owned<T> {
    pointer: *mut T,
    free: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Option<Owned<T>> {
        (!pointer.is_null()).then_some(Owned { pointer, free })
    }

    /// The same for a constructor that fails only on an argument it does not accept.
    fn made(
        pointer: *mut T,
        free: unsafe extern "C" fn(*mut T),
        what: &str,
    ) -> Result<Owned<T>, Fault> {
        Owned::new(pointer, free).ok_or_else(|| invalid(format!("librdkafka refuses {what}")))
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came with this destructor, is not null and is freed here only.
        unsafe { (self.free)(self.pointer) }
    }
}

type Queue = Owned<native::rd_kafka_queue_t>;
type Event = Owned<native::rd_kafka_event_t>;
type Options = Owned<native::rd_kafka_AdminOptions_t>;

/// Sends a request about items.
type SendItems<I> = unsafe extern "C" fn(
    *mut native::rd_kafka_t,
    *mut *mut I,
    usize,
    *const native::rd_kafka_AdminOptions_t,
    *mut native::rd_kafka_queue_t,
);

/// Gives the result in an event; null where it is the event of another request.
type ResultOf<R> = unsafe extern "C" fn(*mut native::rd_kafka_event_t) -> *const R;

/// Gives the items of a result, and their count.
type ItemsOf<R, O> = unsafe extern "C" fn(*const R, *mut usize) -> *mut *const O;

fn invalid(text: impl Into<String>) -> Fault {
    Fault::local(RDKafkaErrorCode::InvalidArgument, "_INVALID_ARG", text)
}

fn c_string(text: &str) -> Result<CString, Fault> {
    CString::new(text).map_err(|_| invalid("a text holds a NUL character"))
}

/// Copies a C string; null is empty.
///
/// # Safety
/// `pointer` is null or a NUL-terminated string that lives through the call.
unsafe fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().trim().to_string()
}

/// The slice behind one of librdkafka's arrays; empty for null.
///
/// # Safety
/// `items` is null or points to `count` items that live as long as `'a`.
unsafe fn slice<'a, T>(items: *const T, count: usize) -> &'a [T] {
    if items.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller vouches for it.
    unsafe { std::slice::from_raw_parts(items, count) }
}

/// An error where `code` is one.
///
/// # Safety
/// `words` is null or a NUL-terminated string that lives through the call.
unsafe fn said(code: c_int, words: *const c_char) -> Option<Said> {
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR as c_int {
        return None;
    }
    // SAFETY: the caller vouches for it.
    let own = unsafe { text(words) };
    let Some(known) = known(code) else {
        let (name, general) = (format!("ERROR_{code}"), format!("Kafka's error {code}"));
        let text = if own.is_empty() { general } else { own };
        return Some(Said { code: RDKafkaErrorCode::Unknown, name, text });
    };
    // SAFETY: librdkafka's tables of names and texts are static.
    let (name, general) =
        unsafe { (text(native::rd_kafka_err2name(known)), text(native::rd_kafka_err2str(known))) };
    let text = if own.is_empty() { general } else { own };
    Some(Said { code: known.into(), name, text })
}

/// The code as the bindings know it, where they do: librdkafka's own table has what they were made of.
fn known(code: c_int) -> Option<RDKafkaRespErr> {
    let (mut table, mut count) = (ptr::null(), 0);
    // SAFETY: the table is static.
    let table = unsafe {
        native::rd_kafka_get_err_descs(&mut table, &mut count);
        slice(table, count)
    };
    let mut named = table.iter().filter(|entry| !entry.desc.is_null());
    named.find(|entry| entry.code as c_int == code).map(|entry| entry.code)
}

/// The result in an event and its items, which borrow from the event.
///
/// # Safety
/// The event lives as long as `'e`, and both functions are those of one kind of request.
unsafe fn items_of<'e, R, O>(
    event: *mut native::rd_kafka_event_t,
    result_of: ResultOf<R>,
    items_of_result: ItemsOf<R, O>,
) -> Result<(*const R, &'e [*const O]), Fault> {
    let mut count = 0;
    // SAFETY: the caller vouches for both.
    unsafe {
        let result = result_of(event);
        if result.is_null() {
            return Err(unexpected());
        }
        let items = items_of_result(result, &mut count);
        Ok((result, slice(items, count)))
    }
}

fn poll(queue: &Queue, wait: Duration) -> Option<Event> {
    let millis = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the queue is alive; the event is handed over and freed by `Owned`.
    let event = unsafe { native::rd_kafka_queue_poll(queue.pointer, millis) };
    Owned::new(event, native::rd_kafka_event_destroy)
}

/// The time that librdkafka adds to a reason; without it the same reason reads the same.
fn without_timing(text: &str) -> String {
    match text.rfind(" (after ") {
        Some(at) => text[..at].to_string(),
        None => text.to_string(),
    }
}

impl Link {
    /// A client for `config`; connects to nothing yet.
    pub(super) fn open(config: &ClientConfig) -> KafkaResult<Link> {
        let prepared = config.create_native_config()?;
        // SAFETY: the configuration is alive. Without this, `all brokers are down` is only logged.
        unsafe { native::rd_kafka_conf_set_events(prepared.ptr(), native::RD_KAFKA_EVENT_ERROR) };
        let kind = RDKafkaType::RD_KAFKA_PRODUCER;
        let client = Client::new(config, prepared, kind, DefaultClientContext)?;
        Ok(Link { client, trouble: Mutex::default() })
    }

    /// The client, for the calls that the safe API makes well.
    pub(super) fn client(&self) -> &Client<DefaultClientContext> {
        &self.client
    }

    /// Why there is no connection, as far as librdkafka said.
    pub(super) fn reason(&self) -> Option<Said> {
        self.listen();
        self.trouble().reason.clone()
    }

    /// Creates topics; what the cluster said against each that it did not create.
    pub(super) fn create_topics(
        &self,
        ask: &Ask,
        topics: &[CreateTopic],
    ) -> Result<Vec<Refused>, Fault> {
        let news = topics.iter().map(new_topic).collect::<Result<Vec<_>, _>>()?;
        let answer = (
            native::rd_kafka_event_CreateTopics_result as ResultOf<_>,
            native::rd_kafka_CreateTopics_result_topics as ItemsOf<_, _>,
        );
        let op = Op::RD_KAFKA_ADMIN_OP_CREATETOPICS;
        let sent = (native::rd_kafka_CreateTopics as SendItems<_>, &news[..]);
        self.request_items(ask, op, sent, answer, |items| {
            // SAFETY: the items are alive.
            Ok(items.iter().filter_map(|item| unsafe { topic_refused(*item) }).collect())
        })
    }

    /// Grows a topic.
    pub(super) fn create_partitions(
        &self,
        ask: &Ask,
        grown: &CreatePartitions,
    ) -> Result<(), Fault> {
        let sent =
            (native::rd_kafka_CreatePartitions as SendItems<_>, &[new_partitions(grown)?][..]);
        let answer = (
            native::rd_kafka_event_CreatePartitions_result as ResultOf<_>,
            native::rd_kafka_CreatePartitions_result_topics as ItemsOf<_, _>,
        );
        let op = Op::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS;
        // SAFETY: the items are alive.
        self.request_items(ask, op, sent, answer, |items| unsafe { topic_results(items) })
    }

    /// Deletes a topic.
    pub(super) fn delete_topic(&self, ask: &Ask, topic: &str) -> Result<(), Fault> {
        let name = c_string(topic)?;
        // SAFETY: the name is alive and copied.
        let made = unsafe { native::rd_kafka_DeleteTopic_new(name.as_ptr()) };
        let doomed = Owned::made(made, native::rd_kafka_DeleteTopic_destroy, "the topic")?;
        let sent = (native::rd_kafka_DeleteTopics as SendItems<_>, &[doomed][..]);
        let answer = (
            native::rd_kafka_event_DeleteTopics_result as ResultOf<_>,
            native::rd_kafka_DeleteTopics_result_topics as ItemsOf<_, _>,
        );
        let op = Op::RD_KAFKA_ADMIN_OP_DELETETOPICS;
        // SAFETY: the items are alive.
        self.request_items(ask, op, sent, answer, |items| unsafe { topic_results(items) })
    }

    /// Changes the named configs of a topic and no others, all of them or none.
    pub(super) fn alter_configs(&self, ask: &Ask, change: &AlterConfigs) -> Result<(), Fault> {
        let resource = config_resource(&change.topic)?;
        for (key, value) in &change.set {
            add_change(&resource, key, Some(value))?;
        }
        for key in &change.unset {
            add_change(&resource, key, None)?;
        }
        let sent = (native::rd_kafka_IncrementalAlterConfigs as SendItems<_>, &[resource][..]);
        let answer = (
            native::rd_kafka_event_IncrementalAlterConfigs_result as ResultOf<_>,
            native::rd_kafka_IncrementalAlterConfigs_result_resources as ItemsOf<_, _>,
        );
        let op = Op::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
        self.request_items(ask, op, sent, answer, |items| {
            // SAFETY: the items are alive.
            items.iter().try_for_each(|item| unsafe { config_result(*item) })
        })
    }

    /// The cluster's id and brokers.
    pub(super) fn describe_cluster(&self, ask: &Ask) -> Result<Cluster, Fault> {
        self.request(
            ask,
            Op::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER,
            |options, queue| {
                // SAFETY: all pointers are alive through the call.
                unsafe {
                    native::rd_kafka_DescribeCluster(self.client.native_ptr(), options, queue)
                }
            },
            |event| {
                // SAFETY: the event outlives this closure.
                let (result, nodes) = unsafe {
                    items_of(
                        event,
                        native::rd_kafka_event_DescribeCluster_result,
                        native::rd_kafka_DescribeCluster_result_nodes,
                    )?
                };
                // SAFETY: both borrow from the event, which outlives this closure.
                unsafe {
                    let id = text(native::rd_kafka_DescribeCluster_result_cluster_id(result));
                    let brokers = nodes.iter().map(|node| native::rd_kafka_Node_id(*node));
                    Ok(Cluster {
                        id: Some(id).filter(|id| !id.is_empty()),
                        brokers: brokers.collect(),
                    })
                }
            },
        )
    }

    /// Topics as the broker asked shows them; `None` for one that it does not show. Never creates one.
    pub(super) fn describe_topics(
        &self,
        ask: &Ask,
        topics: &[String],
    ) -> Result<Vec<Shown>, Fault> {
        let names = topics.iter().map(|name| c_string(name)).collect::<Result<Vec<_>, _>>()?;
        let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the array and the names are alive, and copied.
        let made = unsafe {
            native::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len())
        };
        let topics = Owned::made(made, native::rd_kafka_TopicCollection_destroy, "the topics")?;
        self.request(
            ask,
            Op::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
            |options, queue| {
                // SAFETY: all pointers are alive through the call, which copies the names.
                unsafe {
                    native::rd_kafka_DescribeTopics(
                        self.client.native_ptr(),
                        topics.pointer,
                        options,
                        queue,
                    )
                }
            },
            |event| {
                // SAFETY: the event outlives this closure.
                let (_, items) = unsafe {
                    items_of(
                        event,
                        native::rd_kafka_event_DescribeTopics_result,
                        native::rd_kafka_DescribeTopics_result_topics,
                    )?
                };
                let named = |item: &*const native::rd_kafka_TopicDescription_t| {
                    // SAFETY: the items are alive.
                    unsafe {
                        let name = text(native::rd_kafka_TopicDescription_name(*item));
                        (name, topic_description(*item))
                    }
                };
                Ok(items.iter().map(named).collect())
            },
        )
    }

    /// The configs of each topic, or why the broker does not tell them.
    pub(super) fn describe_configs(
        &self,
        ask: &Ask,
        topics: &[String],
    ) -> Result<Vec<Described>, Fault> {
        let resources =
            topics.iter().map(|topic| config_resource(topic)).collect::<Result<Vec<_>, _>>()?;
        let sent = (native::rd_kafka_DescribeConfigs as SendItems<_>, &resources[..]);
        let answer = (
            native::rd_kafka_event_DescribeConfigs_result as ResultOf<_>,
            native::rd_kafka_DescribeConfigs_result_resources as ItemsOf<_, _>,
        );
        let op = Op::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        self.request_items(ask, op, sent, answer, |items| {
            // SAFETY: the items are alive.
            Ok(items.iter().map(|item| unsafe { described_configs(*item) }).collect())
        })
    }

    /// An offset of each partition of a topic, committed or not: the first or the last one, or the first that
    /// is no older than a time; -1 where there is none.
    pub(super) fn list_offsets(
        &self,
        ask: &Ask,
        topic: &str,
        (partitions, wanted): (i32, Wanted),
    ) -> Result<Vec<i64>, Fault> {
        let name = c_string(topic)?;
        // SAFETY: the list is handed over and freed by `Owned`.
        let made = unsafe { native::rd_kafka_topic_partition_list_new(partitions) };
        let free = native::rd_kafka_topic_partition_list_destroy;
        let list = Owned::made(made, free, "the partitions")?;
        for partition in 0..partitions {
            // SAFETY: the list is alive and the name copied; the new item lives in the list.
            unsafe {
                let item = native::rd_kafka_topic_partition_list_add(
                    list.pointer,
                    name.as_ptr(),
                    partition,
                );
                (*item).offset = wanted.spec();
            }
        }
        self.request(
            ask,
            Op::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
            |options, queue| {
                // SAFETY: all pointers are alive through the call, which copies the list.
                unsafe {
                    native::rd_kafka_ListOffsets(
                        self.client.native_ptr(),
                        list.pointer,
                        options,
                        queue,
                    )
                }
            },
            |event| {
                // SAFETY: the event outlives this closure.
                let (_, items) = unsafe {
                    items_of(
                        event,
                        native::rd_kafka_event_ListOffsets_result,
                        native::rd_kafka_ListOffsets_result_infos,
                    )?
                };
                let mut offsets = vec![-1; usize::try_from(partitions).unwrap_or_default()];
                for item in items {
                    // SAFETY: the items are alive.
                    let (partition, offset) = unsafe { offset_of(*item) }?;
                    if let Some(known) =
                        usize::try_from(partition).ok().and_then(|at| offsets.get_mut(at))
                    {
                        *known = offset;
                    }
                }
                Ok(offsets)
            },
        )
    }

    /// A request about `items`, whose answer has one item for each.
    fn request_items<I, R, O, T>(
        &self,
        ask: &Ask,
        op: Op,
        (send, items): (SendItems<I>, &[Owned<I>]),
        (result_of, items_of_result): (ResultOf<R>, ItemsOf<R, O>),
        read: impl FnOnce(&[*const O]) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut pointers: Vec<_> = items.iter().map(|item| item.pointer).collect();
        let (client, first, count) =
            (self.client.native_ptr(), pointers.as_mut_ptr(), pointers.len());
        self.request(
            ask,
            op,
            // SAFETY: all pointers are alive through the call, which copies the items.
            |options, queue| unsafe { send(client, first, count, options, queue) },
            // SAFETY: the event outlives this closure; each request names functions of its own kind.
            |event| read(unsafe { items_of(event, result_of, items_of_result) }?.1),
        )
    }

    /// One request: `send` it with options and a queue of its own, wait, `read` the answer.
    fn request<T>(
        &self,
        ask: &Ask,
        op: Op,
        send: impl FnOnce(*const native::rd_kafka_AdminOptions_t, *mut native::rd_kafka_queue_t),
        read: impl FnOnce(*mut native::rd_kafka_event_t) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let options = self.options(ask, op)?;
        // SAFETY: the client is alive.
        let made = unsafe { native::rd_kafka_queue_new(self.client.native_ptr()) };
        let queue = Owned::made(made, native::rd_kafka_queue_destroy, "a queue")?;
        send(options.pointer, queue.pointer);
        let event = self.answer(&queue, ask)?;
        // SAFETY: the event is alive, and its text lives as long.
        let failed = unsafe {
            said(
                plain::rd_kafka_event_error(event.pointer),
                native::rd_kafka_event_error_string(event.pointer),
            )
        };
        match failed {
            Some(said) => Err(Fault::Said(said)),
            None => {
                *self.trouble() = Trouble::default();
                read(event.pointer)
            }
        }
    }

    fn options(&self, ask: &Ask, op: Op) -> Result<Options, Fault> {
        // SAFETY: the client is alive.
        let made = unsafe { native::rd_kafka_AdminOptions_new(self.client.native_ptr(), op) };
        let options = Owned::made(made, native::rd_kafka_AdminOptions_destroy, "the request")?;
        let millis = c_int::try_from(ask.timeout.as_millis()).unwrap_or(c_int::MAX);
        set_option(&options, native::rd_kafka_AdminOptions_set_request_timeout, millis)?;
        match op {
            Op::RD_KAFKA_ADMIN_OP_CREATETOPICS
            | Op::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS
            | Op::RD_KAFKA_ADMIN_OP_DELETETOPICS => {
                // The broker gives up before we do, so that its answer still reaches us.
                let broker = millis / 5 * 4;
                set_option(&options, native::rd_kafka_AdminOptions_set_operation_timeout, broker)?;
            }
            _ => {}
        }
        if ask.only_check {
            set_option(&options, native::rd_kafka_AdminOptions_set_validate_only, 1)?;
        }
        if let Some(broker) = ask.broker {
            set_option(&options, native::rd_kafka_AdminOptions_set_broker, broker)?;
        }
        Ok(options)
    }

    /// Waits for the one event of a request, and listens to the connections meanwhile.
    fn answer(&self, queue: &Queue, ask: &Ask) -> Result<Event, Fault> {
        let deadline = Instant::now() + ask.timeout + SLACK;
        loop {
            let event = poll(queue, SLICE);
            self.listen();
            if let Some(event) = event {
                return Ok(event);
            }
            if ask.cancel.is_cancelled() {
                return Err(Fault::Cancelled);
            }
            if let Some(reason) = self.hopeless().filter(|_| ask.hasty) {
                return Err(Fault::Said(reason));
            }
            if Instant::now() >= deadline {
                let text = "no answer";
                return Err(Fault::local(RDKafkaErrorCode::OperationTimedOut, "_TIMED_OUT", text));
            }
        }
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reason that waiting will not cure: wrong credentials, or no broker left to try.
    fn hopeless(&self) -> Option<Said> {
        let trouble = self.trouble();
        let reason = trouble.reason.clone()?;
        let denied = matches!(
            reason.code,
            RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::SaslAuthenticationFailed
                | RDKafkaErrorCode::SSL
        );
        (denied || trouble.everywhere).then_some(reason)
    }

    /// Reads what librdkafka said of its connections since the last time.
    fn listen(&self) {
        // SAFETY: the client is alive; the reference to its queue is handed over.
        let main = unsafe { native::rd_kafka_queue_get_main(self.client.native_ptr()) };
        let Some(main) = Owned::new(main, native::rd_kafka_queue_destroy) else { return };
        while let Some(event) = poll(&main, Duration::ZERO) {
            self.note(&event);
        }
    }

    fn note(&self, event: &Event) {
        // SAFETY: the event is alive.
        match unsafe { native::rd_kafka_event_type(event.pointer) } {
            native::RD_KAFKA_EVENT_ERROR => {
                // SAFETY: the event is alive, and its text lives as long.
                let heard = unsafe {
                    said(
                        plain::rd_kafka_event_error(event.pointer),
                        native::rd_kafka_event_error_string(event.pointer),
                    )
                };
                if let Some(said) = heard {
                    self.trouble().error(said);
                }
            }
            native::RD_KAFKA_EVENT_LOG => {
                if let Some(text) = failure_log(event) {
                    self.trouble().log(text);
                }
            }
            _ => {}
        }
    }
}

impl Trouble {
    fn error(&mut self, mut said: Said) {
        let all_down = said.code == RDKafkaErrorCode::AllBrokersDown;
        self.everywhere |= all_down;
        // `1/1 brokers are down` says less than what came before it.
        if !all_down || self.reason.is_none() {
            said.text = without_timing(&said.text);
            self.reason = Some(said);
        }
    }

    /// A plain disconnect is only logged, with librdkafka's guess at the cause.
    fn log(&mut self, text: String) {
        let known = self.reason.as_ref().map(|said| said.code);
        if known.is_none_or(|code| code == RDKafkaErrorCode::AllBrokersDown) {
            let (code, name) = (RDKafkaErrorCode::BrokerTransportFailure, "_TRANSPORT".to_string());
            self.reason = Some(Said { code, name, text: without_timing(&text) });
        }
    }
}

/// The text of a log line that tells of a lost connection.
fn failure_log(event: &Event) -> Option<String> {
    let (mut facility, mut words, mut level) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the event is alive, and the texts live as long.
    unsafe {
        let result =
            native::rd_kafka_event_log(event.pointer, &mut facility, &mut words, &mut level);
        (result == 0 && text(facility) == "FAIL").then(|| text(words))
    }
}

fn unexpected() -> Fault {
    let text = "the answer is not what was asked for";
    Fault::local(RDKafkaErrorCode::InvalidType, "_INVALID_TYPE", text)
}

type SetOption = unsafe extern "C" fn(
    *mut native::rd_kafka_AdminOptions_t,
    c_int,
    *mut c_char,
    usize,
) -> RDKafkaRespErr;

fn set_option(options: &Options, set: SetOption, value: c_int) -> Result<(), Fault> {
    let mut words = [0 as c_char; 256];
    // SAFETY: the options are alive, and the buffer is as long as said.
    let failed = unsafe {
        let code = set(options.pointer, value, words.as_mut_ptr(), words.len());
        said(code as c_int, words.as_ptr())
    };
    failed.map_or(Ok(()), |said| Err(Fault::Said(said)))
}

fn new_topic(topic: &CreateTopic) -> Result<Owned<native::rd_kafka_NewTopic_t>, Fault> {
    let name = c_string(&topic.name)?;
    let mut words = [0 as c_char; 256];
    // SAFETY: name and buffer are alive, and the buffer is as long as said; -1 is the default.
    let (made, why) = unsafe {
        let made = native::rd_kafka_NewTopic_new(
            name.as_ptr(),
            topic.partitions.unwrap_or(-1),
            topic.replication_factor.unwrap_or(-1),
            words.as_mut_ptr(),
            words.len(),
        );
        (made, text(words.as_ptr()))
    };
    let new = Owned::made(made, native::rd_kafka_NewTopic_destroy, &why)?;
    for (key, value) in &topic.configs {
        let (key, value) = (c_string(key)?, c_string(value)?);
        // SAFETY: topic, key and value are alive; the texts are copied.
        let failed = unsafe {
            let code =
                plain::rd_kafka_NewTopic_set_config(new.pointer, key.as_ptr(), value.as_ptr());
            said(code, ptr::null())
        };
        if let Some(said) = failed {
            return Err(Fault::Said(said));
        }
    }
    Ok(new)
}

fn new_partitions(
    grown: &CreatePartitions,
) -> Result<Owned<native::rd_kafka_NewPartitions_t>, Fault> {
    let name = c_string(&grown.topic)?;
    let count = usize::try_from(grown.count).map_err(|_| invalid("a count below 0"))?;
    let mut words = [0 as c_char; 256];
    // SAFETY: name and buffer are alive, and the buffer is as long as said.
    let (made, why) = unsafe {
        let made = native::rd_kafka_NewPartitions_new(
            name.as_ptr(),
            count,
            words.as_mut_ptr(),
            words.len(),
        );
        (made, text(words.as_ptr()))
    };
    Owned::made(made, native::rd_kafka_NewPartitions_destroy, &why)
}

fn config_resource(topic: &str) -> Result<Owned<native::rd_kafka_ConfigResource_t>, Fault> {
    let name = c_string(topic)?;
    let kind = native::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
    // SAFETY: the name is alive and copied.
    let made = unsafe { native::rd_kafka_ConfigResource_new(kind, name.as_ptr()) };
    Owned::made(made, native::rd_kafka_ConfigResource_destroy, "the topic")
}

/// Adds one change: a value to set, or `None` to give the key back to the default.
fn add_change(
    resource: &Owned<native::rd_kafka_ConfigResource_t>,
    key: &str,
    value: Option<&str>,
) -> Result<(), Fault> {
    use native::rd_kafka_AlterConfigOpType_t as Change;
    let key = c_string(key)?;
    let value = value.map(c_string).transpose()?;
    let (change, value) = match &value {
        Some(value) => (Change::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value.as_ptr()),
        None => (Change::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, ptr::null()),
    };
    // SAFETY: resource and texts are alive, the texts are copied; the error is handed over.
    let error = unsafe {
        native::rd_kafka_ConfigResource_add_incremental_config(
            resource.pointer,
            key.as_ptr(),
            change,
            value,
        )
    };
    let Some(error) = Owned::new(error, native::rd_kafka_error_destroy) else { return Ok(()) };
    // SAFETY: the error is alive, and its text lives as long.
    match unsafe { error_said(error.pointer) } {
        Some(said) => Err(Fault::Said(said)),
        None => Ok(()),
    }
}

/// # Safety
/// `error` is null or alive.
unsafe fn error_said(error: *const native::rd_kafka_error_t) -> Option<Said> {
    if error.is_null() {
        return None;
    }
    // SAFETY: not null, and the caller vouches for the rest.
    unsafe { said(plain::rd_kafka_error_code(error), native::rd_kafka_error_string(error)) }
}

/// # Safety
/// The results are alive.
unsafe fn topic_results(results: &[*const native::rd_kafka_topic_result_t]) -> Result<(), Fault> {
    for result in results {
        // SAFETY: the caller vouches for it.
        let failed = unsafe {
            said(
                plain::rd_kafka_topic_result_error(*result),
                native::rd_kafka_topic_result_error_string(*result),
            )
        };
        if let Some(said) = failed {
            return Err(Fault::Said(said));
        }
    }
    Ok(())
}

/// What was said against one topic of a request; `None` where it was done.
///
/// # Safety
/// `result` is alive.
unsafe fn topic_refused(result: *const native::rd_kafka_topic_result_t) -> Option<Refused> {
    // SAFETY: the caller vouches for it.
    unsafe {
        let said = said(
            plain::rd_kafka_topic_result_error(result),
            native::rd_kafka_topic_result_error_string(result),
        )?;
        Some((text(native::rd_kafka_topic_result_name(result)), said))
    }
}

/// # Safety
/// `resource` is alive.
unsafe fn config_result(resource: *const native::rd_kafka_ConfigResource_t) -> Result<(), Fault> {
    // SAFETY: the caller vouches for it.
    let failed = unsafe {
        said(
            plain::rd_kafka_ConfigResource_error(resource),
            native::rd_kafka_ConfigResource_error_string(resource),
        )
    };
    failed.map_or(Ok(()), |said| Err(Fault::Said(said)))
}

/// # Safety
/// `topic` is alive.
unsafe fn topic_description(
    topic: *const native::rd_kafka_TopicDescription_t,
) -> Result<Option<Topic>, Said> {
    // SAFETY: the caller vouches for the topic, and all that is read here borrows from it.
    unsafe {
        match error_said(native::rd_kafka_TopicDescription_error(topic)) {
            Some(said) if said.code == RDKafkaErrorCode::UnknownTopicOrPartition => {
                return Ok(None);
            }
            Some(said) => return Err(said),
            None => {}
        }
        let mut count = 0;
        let items = native::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let partitions = slice(items, count);
        let leaderless = partitions.iter().filter(|one| !has_leader(**one)).count();
        let replicas = partitions.first().map_or(0, |one| replica_count(*one));
        let id = native::rd_kafka_TopicDescription_topic_id(topic);
        let id = if id.is_null() { ptr::null() } else { native::rd_kafka_Uuid_base64str(id) };
        let id = Some(text(id)).filter(|id| !id.trim_matches('A').is_empty());
        Ok(Some(Topic {
            id: id.unwrap_or_default(),
            is_internal: native::rd_kafka_TopicDescription_is_internal(topic) != 0,
            partitions: i32::try_from(count).unwrap_or(i32::MAX),
            leaderless: i32::try_from(leaderless).unwrap_or(i32::MAX),
            replication_factor: i32::try_from(replicas).unwrap_or(i32::MAX),
        }))
    }
}

/// # Safety
/// `partition` is alive.
unsafe fn has_leader(partition: *const native::rd_kafka_TopicPartitionInfo_t) -> bool {
    // SAFETY: the caller vouches for the partition, and its leader lives as long.
    unsafe {
        let leader = native::rd_kafka_TopicPartitionInfo_leader(partition);
        !leader.is_null() && native::rd_kafka_Node_id(leader) >= 0
    }
}

/// # Safety
/// `partition` is alive.
unsafe fn replica_count(partition: *const native::rd_kafka_TopicPartitionInfo_t) -> usize {
    let mut count = 0;
    // SAFETY: the caller vouches for the partition; only the count is used.
    unsafe { native::rd_kafka_TopicPartitionInfo_replicas(partition, &mut count) };
    count
}

/// # Safety
/// `resource` is alive.
unsafe fn described_configs(resource: *const native::rd_kafka_ConfigResource_t) -> Described {
    // SAFETY: the caller vouches for the resource, and all that is read here borrows from it.
    unsafe {
        let name = text(native::rd_kafka_ConfigResource_name(resource));
        if let Err(Fault::Said(said)) = config_result(resource) {
            return (name, Err(said));
        }
        let mut count = 0;
        let items = native::rd_kafka_ConfigResource_configs(resource, &mut count);
        let mut configs = TopicConfigs::default();
        for entry in slice(items, count) {
            let key = text(native::rd_kafka_ConfigEntry_name(*entry));
            configs.known.insert(key.clone());
            let value = native::rd_kafka_ConfigEntry_value(*entry);
            if value.is_null() {
                continue;
            }
            let value = text(value);
            match is_own(*entry) {
                true => drop(configs.own.insert(key.clone(), value.clone())),
                false => drop(configs.defaults.insert(key.clone(), value.clone())),
            }
            if let Some(default) = default_of(*entry) {
                configs.defaults.insert(key.clone(), default);
            }
            configs.effective.insert(key, value);
        }
        (name, Ok(configs))
    }
}

/// Whether the value is set on the topic itself.
///
/// # Safety
/// `entry` is alive.
unsafe fn is_own(entry: *const native::rd_kafka_ConfigEntry_t) -> bool {
    use native::rd_kafka_ConfigSource_t as Source;
    // SAFETY: the caller vouches for it.
    let source = unsafe { plain::rd_kafka_ConfigEntry_source(entry) };
    source == Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG as c_int
}

/// The value that would be in force were none set on the topic: the first of the brokers' own, in the unit
/// of the topic's config.
///
/// # Safety
/// `entry` is alive.
unsafe fn default_of(entry: *const native::rd_kafka_ConfigEntry_t) -> Option<String> {
    let mut count = 0;
    // SAFETY: the caller vouches for the entry, from which its synonyms borrow.
    unsafe {
        let synonyms = slice(native::rd_kafka_ConfigEntry_synonyms(entry, &mut count), count);
        let value = |synonym: &*const native::rd_kafka_ConfigEntry_t| {
            let value = native::rd_kafka_ConfigEntry_value(*synonym);
            let name = text(native::rd_kafka_ConfigEntry_name(*synonym));
            (!value.is_null()).then(|| in_milliseconds(&name, text(value)))
        };
        synonyms.iter().filter(|synonym| !is_own(**synonym)).find_map(value)
    }
}

/// `log.retention.hours` stands for `retention.ms`.
fn in_milliseconds(name: &str, value: String) -> String {
    let unit = match name.rsplit('.').next() {
        Some("hours") => 3_600_000,
        Some("minutes") => 60_000,
        Some(_) | None => return value,
    };
    match value.parse::<i64>() {
        Ok(number) if number >= 0 => number.saturating_mul(unit).to_string(),
        Ok(_) | Err(_) => value,
    }
}

/// The partition and the offset of a result.
///
/// # Safety
/// `info` is alive.
unsafe fn offset_of(
    info: *const native::rd_kafka_ListOffsetsResultInfo_t,
) -> Result<(i32, i64), Fault> {
    // SAFETY: the caller vouches for the result, from which the item borrows. Its code is read as the integer
    // that it is, for the reason given at `plain`.
    unsafe {
        let item = native::rd_kafka_ListOffsetsResultInfo_topic_partition(info);
        if item.is_null() {
            return Err(unexpected());
        }
        let code = ptr::addr_of!((*item).err).cast::<c_int>().read();
        match said(code, ptr::null()) {
            Some(said) => Err(Fault::Said(said)),
            None => {
                Ok((ptr::addr_of!((*item).partition).read(), ptr::addr_of!((*item).offset).read()))
            }
        }
    }
}
