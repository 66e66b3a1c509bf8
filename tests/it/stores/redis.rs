//! Redis through its trait, against the real server.
//!
//! Keys, functions and users have names of their own; settings are the server's, so that one test
//! changes them, and puts them back.

use std::sync::Mutex;

use aiplat_migrate::secret::Secret;
use aiplat_migrate::shape::Shape;
use aiplat_migrate::store_error::StoreErrorKind;
use aiplat_migrate::stores::redis::{Settings, Step};
use aiplat_migrate::stores::{
    Before, Depth, Done, Effect, Failure, Job, Limits, Position, Probe, Progress, Pulse, Standing,
    Stop, Store, Unit, Why,
};
use aiplat_migrate::text::Node;
use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::connect;
use crate::support::{required, unique};

fn settings() -> Settings {
    Settings { url: Secret::new(required("TEST_REDIS_URL")), ..Settings::default() }
}

async fn store() -> Store {
    connect("redis", &settings()).await.expect("the test server")
}

async fn client() -> MultiplexedConnection {
    let client = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
    client.get_multiplexed_async_connection().await.expect("the test server")
}

async fn run<T: redis::FromRedisValue>(client: &MultiplexedConnection, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query_async(&mut client.clone()).await.unwrap_or_else(|why| panic!("{words:?}: {why}"))
}

/// Sets `count` keys `<prefix><n>`.
async fn fill(client: &MultiplexedConnection, prefix: &str, count: usize) {
    let mut pipeline = redis::pipe();
    for number in 0..count {
        pipeline.cmd("SET").arg(format!("{prefix}{number}")).arg(number).ignore();
    }
    pipeline.query_async::<()>(&mut client.clone()).await.expect("keys");
}

fn unit(step: Value) -> Unit {
    let node = Node::from_json(&step);
    let step = Step::parse(&node).unwrap_or_else(|why| panic!("{step}: {why:?}"));
    Unit::journalled(step, 0..0)
}

/// Keeps the positions, and stops after `stop_after` of them.
#[derive(Default)]
struct Recorder {
    reached: Mutex<Vec<(Value, Progress)>>,
    stop_after: Option<usize>,
}

impl Recorder {
    fn positions(&self) -> Vec<(Value, Progress)> {
        self.reached.lock().expect("lock").clone()
    }
}

impl Pulse for Recorder {
    fn reached<'a>(
        &'a self,
        at: &'a Position,
        progress: Progress,
    ) -> BoxFuture<'a, Result<(), Stop>> {
        let mut reached = self.reached.lock().expect("lock");
        reached.push((at.0.clone(), progress));
        let stop = self.stop_after.is_some_and(|after| reached.len() >= after);
        Box::pin(async move { if stop { Err(Stop) } else { Ok(()) } })
    }

    fn notice(&self, _text: &str) {}
}

async fn apply_over(
    store: &Store,
    unit: &Unit,
    before: &Before,
    resume: Option<Value>,
    pulse: &Recorder,
) -> Result<Done, Failure> {
    let job = Job {
        unit,
        seal: None,
        before,
        resume: resume.map(Position),
        limits: Limits::default(),
        run: "test",
        pulse,
        cancel: CancellationToken::new(),
    };
    store.apply(job).await
}

async fn apply(store: &Store, unit: &Unit, before: &Before) -> Done {
    let applied = apply_over(store, unit, before, None, &Recorder::default()).await;
    applied.unwrap_or_else(|failure| panic!("{}: {failure:?}", unit.label))
}

async fn before(store: &Store, unit: &Unit) -> Before {
    let before = store.before(unit, &Shape::default()).await;
    before.unwrap_or_else(|error| panic!("{}: {error:?}", unit.label))
}

/// `before`, `apply`, and what undoes it, as units.
async fn done(store: &Store, step: Value) -> (Before, Result<Vec<Unit>, String>) {
    let unit = unit(step);
    let before = before(store, &unit).await;
    apply(store, &unit, &before).await;
    let undo = unit.inverse(&before).map(|steps| steps.into_iter().map(self::unit).collect());
    (before, undo)
}

async fn undo(store: &Store, units: Result<Vec<Unit>, String>) {
    for unit in units.expect("an inverse") {
        let before = before(store, &unit).await;
        if before.standing == Standing::Open {
            apply(store, &unit, &before).await;
        }
    }
}

async fn is_done(store: &Store, unit: &Unit) -> bool {
    match store.probe(unit, &Before::absent()).await.expect("probe") {
        Probe::Done => true,
        Probe::NotDone => false,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_password_fails_at_once_and_a_closed_port_is_unreachable() {
    let wrong = Settings { password: Secret::new("hunter2"), ..settings() };
    let error = connect("redis", &wrong).await.err().expect("wrong password");
    assert_eq!(error.kind, StoreErrorKind::Credentials, "{error:?}");
    assert_eq!(error.code.as_deref(), Some("WRONGPASS"));
    assert!(!format!("{error:?}").contains("hunter2"));

    let closed = Settings { port: Some(1), ..settings() };
    let error = connect("redis", &closed).await.err().expect("closed port");
    assert_eq!(error.kind, StoreErrorKind::Unreachable, "{error:?}");
    assert!(error.message.contains("refused"), "{error:?}");

    let nowhere = Settings { host: Some("no-such-host.invalid".into()), ..settings() };
    let error = connect("redis", &nowhere).await.err().expect("no such host");
    assert_eq!(error.kind, StoreErrorKind::Unreachable, "{error:?}");

    let cluster = Settings { cluster: true, ..settings() };
    let error = connect("redis", &cluster).await.err().expect("no cluster");
    assert_eq!(error.kind, StoreErrorKind::Settings, "{error:?}");

    let connect_timeout = Some(std::time::Duration::from_millis(500));
    let tls = Settings { tls: Some(true), connect_timeout, ..settings() };
    let error = connect("redis", &tls).await.err().expect("no TLS");
    assert!(error.hint.is_some(), "{error:?}");
}

#[tokio::test]
async fn any_character_works_in_a_password_given_apart() {
    let (store, client, user) = (store().await, client().await, unique("odd"));
    let password = "@:/?#%&[]$\"'\\ <>{}\u{e9}";
    let rules = json!(["on", format!(">{password}"), "+ping", "+info", "+select", "+client"]);
    let (before, undo_it) = done(&store, json!({"acl": {"user": user, "rules": rules}})).await;
    assert!(!serde_json::to_string(&before).expect("json").contains(password));
    let apart =
        Settings { user: Some(user.clone()), password: Secret::new(password), ..settings() };
    connect("redis", &apart).await.map(drop).expect("logs in");
    undo(&store, undo_it).await;
    let users: Vec<String> = run(&client, &["ACL", "USERS"]).await;
    assert!(!users.contains(&user));
}

#[tokio::test]
async fn a_contract_lives_in_the_recorded_shape_alone() {
    let store = store().await;
    let step =
        |ttl: &str| unit(json!({"keyspace": {"pattern": "s:{id}", "type": "hash", "ttl": ttl}}));
    let one = step("24h");
    assert_eq!(before(&store, &one).await, Before::absent());
    assert!(apply(&store, &one, &Before::absent()).await.notices.is_empty());
    let mut recorded = Shape::default();
    for (object, attributes) in one.step.declares() {
        recorded.insert(object, attributes.expect("attributes"));
    }
    assert_eq!(store.before(&one, &recorded).await, Ok(Before::found()));
    let live = store.inspect(&recorded, Depth::Structure).await.expect("inspect");
    assert_eq!(live.objects["keyspace s:*"].get("ttlSeconds"), Some(&json!(86_400)));

    let other = step("1h");
    let over = store.before(&other, &recorded).await.expect("before");
    let restored = unit(other.inverse(&over).expect("inverse").remove(0));
    assert_eq!(restored.step.declares(), one.step.declares());
    let drop = unit(json!({"dropKeyspace": "s:{id}"}));
    assert_eq!(drop.step.declares(), [("keyspace s:*".to_string(), None)]);
    assert_eq!(before(&store, &drop).await, Before::found());
    let over = store.before(&drop, &recorded).await.expect("before");
    let restored = unit(drop.inverse(&over).expect("inverse").remove(0));
    assert_eq!(restored.step.declares(), one.step.declares());
}

#[tokio::test]
async fn every_key_gets_the_ttl_and_loses_it_again() {
    let (store, client, prefix) = (store().await, client().await, unique("ttl"));
    fill(&client, &format!("{prefix}:"), 2500).await;
    let step = json!({"rewrite": {"match": format!("{prefix}:*"), "set": {"ttl": "24h"}}});
    let (_, undo_it) = done(&store, step.clone()).await;
    for number in [0, 1, 999, 1000, 2499] {
        let left: i64 = run(&client, &["TTL", &format!("{prefix}:{number}")]).await;
        assert!((86_000..=86_400).contains(&left), "{number}: {left}");
    }
    // Now that they expire, what they had is not kept.
    let again = unit(step);
    let over = before(&store, &again).await;
    assert!(again.inverse(&over).expect_err("no inverse").contains("time to live"));
    undo(&store, undo_it).await;
    let left: i64 = run(&client, &["TTL", &format!("{prefix}:1234")]).await;
    assert_eq!(left, -1);
    let persist = unit(json!({"rewrite": {"match": format!("{prefix}:*"), "persist": true}}));
    assert_eq!(before(&store, &persist).await, Before::found());
    let delete = unit(json!({"rewrite": {"match": format!("{prefix}:*"), "delete": true}}));
    let lost = store.holds(&delete).await.expect("holds");
    assert_eq!(lost[0].what, format!("{prefix}:* matches 2500 keys"));
    let said = apply(&store, &delete, &Before::absent()).await;
    assert_eq!(said.notices, [format!("2500 keys changed by rewrite {prefix}:* delete")]);
    assert!(store.holds(&delete).await.expect("holds").is_empty());
}

#[tokio::test]
async fn a_stopped_rewrite_goes_on_from_its_position() {
    let (store, client, prefix) = (store().await, client().await, unique("resume"));
    fill(&client, &format!("{prefix}:"), 3000).await;
    let unit = unit(json!({"rewrite": {
        "match": format!("{prefix}:*"), "set": {"ttl": "1h"}, "count": 50,
    }}));
    let stops = Recorder { stop_after: Some(1), ..Recorder::default() };
    let over = before(&store, &unit).await;
    let stopped = apply_over(&store, &unit, &over, None, &stops).await.expect_err("stopped");
    assert_eq!((stopped.why, stopped.effect), (Why::Cancelled, Effect::Unknown));
    let (position, progress) = stops.positions().pop().expect("position");
    let part = position["keys"].as_u64().expect("keys");
    assert!(part > 0 && part < 3000, "{position}");
    assert!(progress.done < progress.total.expect("total"), "{progress:?}");
    assert!(!is_done(&store, &unit).await);

    let goes_on = Recorder::default();
    let resumed = apply_over(&store, &unit, &over, Some(position.clone()), &goes_on).await;
    let done = resumed.expect("resumed");
    // Up to one batch is done again.
    let keys: u64 = count_in(&done.notices[0]);
    assert!((3000..3200).contains(&keys), "{keys}");
    let (last, progress) = goes_on.positions().pop().expect("position");
    assert_eq!(Some(progress.done), progress.total);
    // A finished walk has nothing left to do, and another process of the server is walked anew.
    let again = apply_over(&store, &unit, &over, Some(last), &Recorder::default()).await;
    assert_eq!(count_in(&again.expect("again").notices[0]), keys);
    let mut elsewhere = position;
    let masters = elsewhere["masters"].as_object_mut().expect("masters");
    let (_, at) = masters.iter().next().map(|(k, v)| (k.clone(), v.clone())).expect("a master");
    masters.clear();
    masters.insert("0".repeat(40), at);
    let anew = apply_over(&store, &unit, &over, Some(elsewhere), &Recorder::default()).await;
    assert!(count_in(&anew.expect("anew").notices[0]) >= 3000 + part);
    for number in 0..3000 {
        let left: i64 = run(&client, &["TTL", &format!("{prefix}:{number}")]).await;
        assert!(left > 0, "{number}");
    }
    sweep(&store, &prefix).await;
}

fn count_in(notice: &str) -> u64 {
    notice.split(' ').next().and_then(|count| count.parse().ok()).expect(notice)
}

/// Deletes the test's own keys.
async fn sweep(store: &Store, prefix: &str) {
    let delete = unit(json!({"rewrite": {"match": format!("{prefix}:*"), "delete": true}}));
    apply(store, &delete, &Before::absent()).await;
}

#[tokio::test]
async fn a_cancelled_rewrite_stops() {
    let (store, client, prefix) = (store().await, client().await, unique("cancel"));
    fill(&client, &format!("{prefix}:"), 10).await;
    let unit = unit(json!({"rewrite": {"match": format!("{prefix}:*"), "delete": true}}));
    let (pulse, cancel) = (Recorder::default(), CancellationToken::new());
    cancel.cancel();
    let over = Before::absent();
    let job = Job {
        unit: &unit,
        seal: None,
        before: &over,
        resume: None,
        limits: Limits::default(),
        run: "test",
        pulse: &pulse,
        cancel,
    };
    let failure = store.apply(job).await.expect_err("cancelled");
    assert_eq!(failure.why, Why::Cancelled);
    let there: i64 = run(&client, &["EXISTS", &format!("{prefix}:1")]).await;
    assert_eq!(there, 1);
    sweep(&store, &prefix).await;
}

#[tokio::test]
async fn a_rewrite_keeps_to_its_rate() {
    let (store, client, prefix) = (store().await, client().await, unique("rate"));
    fill(&client, &format!("{prefix}:"), 600).await;
    let unit = unit(json!({"rewrite": {"match": format!("{prefix}:*"), "set": {"ttl": "1h"}}}));
    let (pulse, over) = (Recorder::default(), Before::absent());
    let limits = Limits { rate: std::num::NonZeroU32::new(1000), ..Limits::default() };
    let job = Job {
        unit: &unit,
        seal: None,
        before: &over,
        resume: None,
        limits,
        run: "test",
        pulse: &pulse,
        cancel: CancellationToken::new(),
    };
    let began = std::time::Instant::now();
    let said = store.apply(job).await.expect("applied");
    let took = began.elapsed();
    assert_eq!(count_in(&said.notices[0]), 600);
    assert!(took >= std::time::Duration::from_millis(590), "{took:?}");
    let left: i64 = run(&client, &["TTL", &format!("{prefix}:599")]).await;
    assert!(left > 0);
    sweep(&store, &prefix).await;
}

#[tokio::test]
async fn a_rename_never_overwrites_and_turns_round() {
    let (store, client, prefix) = (store().await, client().await, unique("rename"));
    let (old, new) = (format!("{prefix}:a:"), format!("{prefix}:b:"));
    fill(&client, &old, 1500).await;
    let step = json!({"rewrite": {
        "match": format!("{old}*"), "rename": {"prefix": old, "to": new}, "type": "string",
    }});
    let unit = unit(step.clone());
    let over = before(&store, &unit).await;
    // Somebody makes one of the targets meanwhile.
    let () = run(&client, &["SET", &format!("{new}7"), "theirs"]).await;
    let () = run(&client, &["LPUSH", &format!("{old}list"), "x"]).await;
    let failed = apply_over(&store, &unit, &over, None, &Recorder::default()).await;
    let failure = failed.expect_err("a target is there");
    assert_eq!((failure.why, failure.effect), (Why::Refused, Effect::Unknown));
    let said = failure.source.message;
    assert!(said.contains(&format!("{old}7")) && said.contains(&format!("{new}7")), "{said}");
    let theirs: String = run(&client, &["GET", &format!("{new}7")]).await;
    assert_eq!(theirs, "theirs");

    let () = run(&client, &["DEL", &format!("{new}7")]).await;
    apply(&store, &unit, &over).await;
    for number in 0..1500 {
        let value: i64 = run(&client, &["GET", &format!("{new}{number}")]).await;
        assert_eq!(value, number);
    }
    let other_type: i64 = run(&client, &["EXISTS", &format!("{old}list")]).await;
    assert_eq!(other_type, 1);
    let back = unit.inverse(&over).map(|steps| steps.into_iter().map(self::unit).collect());
    undo(&store, back).await;
    let value: i64 = run(&client, &["GET", &format!("{old}1499")]).await;
    assert_eq!(value, 1499);

    // With keys of the new name there already, turning round would take them along.
    let () = run(&client, &["SET", &format!("{new}x"), "theirs"]).await;
    let over = before(&store, &unit).await;
    assert!(unit.inverse(&over).expect_err("no inverse").contains("were there before"));
    sweep(&store, &prefix).await;
}

#[tokio::test]
async fn settings_are_set_seen_and_put_back() {
    let (store, client) = (store().await, client().await);
    // Whatever a run that was killed left behind.
    let usual = ["lfu-decay-time", "1", "slowlog-max-len", "128", "lazyfree-lazy-expire", "no"];
    let () = run(&client, &[&["CONFIG", "SET"], &usual[..]].concat()).await;
    let unit = unit(json!({"config": {
        "maxmemory": "900gb",
        "lfu-decay-time": 3,
        "slowlog-max-len": "77",
        "lazyfree-lazy-expire": true,
    }}));
    let over = before(&store, &unit).await;
    let old = over.value["config"].clone();
    assert_eq!(old["lfu-decay-time"], json!("1"));
    let picture = store.inspect(&Shape::default(), Depth::Structure).await.expect("inspect");
    assert!(!is_done(&store, &unit).await);
    let done = apply(&store, &unit, &over).await;
    // The test server has a configuration file.
    assert_eq!(done.notices, Vec::<String>::new());
    assert!(is_done(&store, &unit).await);
    assert_eq!(before(&store, &unit).await, Before::found());
    let now = store.inspect(&Shape::default(), Depth::Structure).await.expect("inspect");
    let changes: Vec<String> =
        picture.changes_to(&now).iter().map(|change| change.object.clone()).collect();
    assert!(changes.contains(&"setting maxmemory".to_string()), "{changes:?}");
    // What is declared is what the server shows.
    let mut recorded = Shape::default();
    for (object, attributes) in unit.step.declares() {
        recorded.insert(object, attributes.expect("attributes"));
    }
    let now = store.inspect(&recorded, Depth::Structure).await.expect("inspect");
    for (object, attributes) in &recorded.objects {
        assert_eq!(Some(attributes), now.objects.get(object), "{object}");
    }
    let back = unit.inverse(&over).map(|steps| steps.into_iter().map(self::unit).collect());
    undo(&store, back).await;
    let value: Vec<String> = run(&client, &["CONFIG", "GET", "slowlog-max-len"]).await;
    assert_eq!(json!(value[1]), old["slowlog-max-len"]);

    refused_settings(&store, &client).await;
    let limited = |policy: &str| {
        self::unit(json!({"config": {"maxmemory": "1mb", "maxmemory-policy": policy}}))
    };
    let lost = store.holds(&limited("allkeys-lru")).await.expect("holds");
    assert!(lost.len() == 1 && !lost[0].known, "{lost:?}");
    assert!(store.holds(&limited("noeviction")).await.expect("holds").is_empty());
}

async fn refused_settings(store: &Store, client: &MultiplexedConnection) {
    let unknown = unit(json!({"config": {"maxmemory-polcy": "allkeys-lru"}}));
    let error = store.before(&unknown, &Shape::default()).await.expect_err("unknown");
    assert_eq!(error.hint.as_deref(), Some("did you mean `maxmemory-policy`?"));
    // All or none.
    let bad = unit(json!({"config": {"lfu-decay-time": "5", "maxmemory-policy": "bogus"}}));
    let over = before(store, &bad).await;
    let failed = apply_over(store, &bad, &over, None, &Recorder::default()).await;
    let failure = failed.expect_err("bad value");
    assert_eq!((failure.why, failure.effect), (Why::Refused, Effect::None), "{failure:?}");
    let value: Vec<String> = run(client, &["CONFIG", "GET", "lfu-decay-time"]).await;
    assert_eq!(value[1], "1");
    // The server makes 500 of it.
    let hz = unit(json!({"config": {"hz": 1000}}));
    let over = before(store, &hz).await;
    let failed = apply_over(store, &hz, &over, None, &Recorder::default()).await;
    assert!(failed.expect_err("hz").source.message.contains("shows 500"));
    undo(store, hz.inverse(&over).map(|steps| steps.into_iter().map(unit).collect())).await;
}

#[tokio::test]
async fn functions_are_loaded_replaced_and_deleted() {
    let (store, library) = (store().await, unique("lib"));
    let code = |returns: u8| {
        let body = format!("function() return {returns} end");
        format!("#!lua name={library}\nredis.register_function('f_{library}', {body})\n")
    };
    let step = |returns: u8, replace: bool| json!({"function": {"code": code(returns), "replace": replace}});
    let one = unit(step(1, false));
    let (over, _) = done(&store, step(1, false)).await;
    assert_eq!(over, Before::absent());
    assert!(is_done(&store, &one).await);
    assert_eq!(before(&store, &one).await, Before::found());
    apply(&store, &one, &over).await;
    let live = store.inspect(&Shape::default(), Depth::Structure).await.expect("inspect");
    let functions = live.objects[&format!("function {library}")].get("functions");
    assert_eq!(functions, Some(&json!([format!("f_{library}")])));

    let Standing::Differs { wanted, live } = before(&store, &unit(step(2, false))).await.standing
    else {
        panic!("it differs")
    };
    assert!(wanted.contains("return 2") && live.contains("return 1"), "{wanted} / {live}");
    let (_, undo_it) = done(&store, step(2, true)).await;
    assert!(!is_done(&store, &one).await);
    undo(&store, undo_it).await;
    assert!(is_done(&store, &one).await);

    let delete = json!({"deleteFunction": library});
    let (_, undo_it) = done(&store, delete.clone()).await;
    assert!(is_done(&store, &unit(delete.clone())).await);
    assert_eq!(before(&store, &unit(delete.clone())).await, Before::found());
    undo(&store, undo_it).await;
    assert!(is_done(&store, &one).await);
    let (_, _undo) = done(&store, delete).await;

    let broken =
        unit(json!({"function": {"code": format!("#!lua name={library}\nlocal x = = 1\n")}}));
    let failed = apply_over(&store, &broken, &Before::absent(), None, &Recorder::default()).await;
    let failure = failed.expect_err("does not compile");
    assert_eq!((failure.why, failure.effect), (Why::Refused, Effect::None));
    assert_eq!(failure.source.details, ["line 2 of the code: local x = = 1"]);
}

#[tokio::test]
async fn users_get_their_rights_and_their_passwords_stay() {
    let (store, client, user) = (store().await, client().await, unique("user"));
    let step = |rules: Value| json!({"acl": {"user": user, "rules": rules}});
    let reader = step(json!(["on", "~session:*", "&news:*", "+@read", "-keys", "(~x:* +get)"]));
    let (over, undo_create) = done(&store, reader.clone()).await;
    assert_eq!(over, Before::absent());
    assert!(is_done(&store, &unit(reader.clone())).await);
    assert_eq!(before(&store, &unit(reader.clone())).await, Before::found());

    // Whoever runs the server gives it a password; a change of rights leaves that.
    let () = run(&client, &["ACL", "SETUSER", &user, ">hunter2"]).await;
    let (over, undo_change) =
        done(&store, step(json!(["off", "~a", "+@all", "-@dangerous"]))).await;
    let list: Vec<String> = run(&client, &["ACL", "LIST"]).await;
    let line = list.iter().find(|line| line.contains(&user)).expect("user");
    let hash = line.split_whitespace().find(|word| word.starts_with('#')).expect("a hash");
    assert!(line.contains(" off ") && !line.contains("session"), "{line}");
    let live = store.inspect(&Shape::default(), Depth::Structure).await.expect("inspect");
    let attributes = &live.objects[&format!("user {user}")];
    assert_eq!(attributes.get("password"), Some(&json!("set")));
    assert_eq!(attributes.get("commands"), Some(&json!("+@all -@dangerous")));
    assert!(!live.objects.contains_key("user default"));
    assert!(!json!([live, over]).to_string().contains(&hash[1..]));
    undo(&store, undo_change).await;
    assert!(is_done(&store, &unit(reader)).await);

    // A step that names a password replaces those that are set; they are not kept.
    let with_password = step(json!(["on", ">s3cret-word", "~a", "+get"]));
    let (over, undo_it) = done(&store, with_password.clone()).await;
    assert!(undo_it.expect_err("no inverse").contains("not kept"));
    assert!(is_done(&store, &unit(with_password.clone())).await);
    let shown = format!("{:?} {over:?} {}", unit(with_password.clone()), unit(with_password).label);
    assert!(!shown.contains("s3cret-word"), "{shown}");
    let refused = unit(step(json!(["on", ">s3cret-word", "+nosuchcommand"])));
    let failed = apply_over(&store, &refused, &over, None, &Recorder::default()).await;
    let failure = failed.expect_err("unknown command");
    assert!(failure.source.message.contains("nosuchcommand"), "{failure:?}");

    let delete = unit(json!({"deleteUser": user}));
    let over = before(&store, &delete).await;
    assert!(delete.inverse(&over).is_err());
    undo(&store, undo_create).await;
    assert!(is_done(&store, &delete).await);
    let me = unit(json!({"acl": {"user": "default", "rules": ["off"]}}));
    assert!(store.before(&me, &Shape::default()).await.is_err());
}

#[tokio::test]
async fn a_raw_command_is_sent_once_and_told_apart_from_nothing() {
    let (store, client, list) = (store().await, client().await, unique("list"));
    let unit = unit(json!({"command": ["RPUSH", list, "x"]}));
    apply(&store, &unit, &before(&store, &unit).await).await;
    let there: i64 = run(&client, &["LLEN", &list]).await;
    assert_eq!(there, 1);
    assert!(matches!(store.probe(&unit, &Before::absent()).await, Ok(Probe::Unknown(_))));
    let delete = self::unit(json!({"command": ["DEL", list, "no-such-key"]}));
    let lost = store.holds(&delete).await.expect("holds");
    assert_eq!(lost[0].what, "1 of the keys that the command deletes are there");
    apply(&store, &delete, &Before::absent()).await;
}

#[tokio::test]
async fn a_consumer_group_is_made_once_found_and_told_where_it_is_elsewhere() {
    let (store, client, stream) = (store().await, client().await, unique("stream"));
    let create = |after: &str| {
        unit(json!({"command": ["XGROUP", "CREATE", stream, "g", after, "MKSTREAM"]}))
    };
    let one = create("0");
    assert!(one.step.hazards().is_empty());
    assert_eq!(before(&store, &one).await, Before::absent());
    assert!(!is_done(&store, &one).await);
    apply(&store, &one, &Before::absent()).await;
    assert!(is_done(&store, &one).await);
    let groups: i64 =
        run::<Vec<redis::Value>>(&client, &["XINFO", "GROUPS", &stream]).await.len() as i64;
    assert_eq!(groups, 1);
    // Equal, however its position is written: an empty stream ends where it begins.
    for after in ["0", "0-0", "$"] {
        assert_eq!(before(&store, &create(after)).await, Before::found(), "{after}");
    }
    let () = run(&client, &["XADD", &stream, "7-1", "a", "b"]).await;
    assert_eq!(before(&store, &create("0")).await, Before::found());
    let Standing::Differs { wanted, live } = before(&store, &create("$")).await.standing else {
        panic!("it is elsewhere")
    };
    assert_eq!(
        (wanted.ends_with("at 7-1"), live.ends_with("at 0-0")),
        (true, true),
        "{wanted} {live}"
    );
    let delete: i64 = run(&client, &["DEL", &stream]).await;
    assert_eq!(delete, 1);
}

#[tokio::test]
async fn what_the_server_calls_administrative_is_not_sent() {
    let (store, client) = (store().await, client().await);
    let key = unique("swapped");
    let () = run(&client, &["SET", &key, "x"]).await;
    for text in ["[\"SWAPDB\", 0, 1]", "[\"script\", \"FLUSH\"]", "[\"FLUSHDB\"]"] {
        let node = Node::parse(&format!("{{ command: {text} }}")).expect("JSON5");
        let error = Step::parse(&node).expect_err(text);
        assert!(error.message.contains("must not send"), "{text}: {}", error.message);
    }
    // No list here has these; the server says what they are.
    for words in [json!(["PSYNC2-OR-NOT"]), json!(["LATENCY", "RESET"]), json!(["SLOWLOG", "LEN"])]
    {
        let unit = unit(json!({ "command": words }));
        assert_eq!(before(&store, &unit).await, Before::absent(), "{words}");
    }
    let there: i64 = run(&client, &["DEL", &key]).await;
    assert_eq!(there, 1);
}

#[tokio::test]
async fn missing_rights_are_refused_with_what_to_grant() {
    let (store, client, user) = (store().await, client().await, unique("few"));
    let rules = json!(["on", ">pw", "~*", "+ping", "+info", "+scan", "+dbsize", "+pttl"]);
    let (_, undo_it) = done(&store, json!({"acl": {"user": user, "rules": rules}})).await;
    let () = run(&client, &["SET", &user, "x"]).await;
    let few = Settings { user: Some(user.clone()), password: Secret::new("pw"), ..settings() };
    let few = connect("redis", &few).await.expect("logs in");
    let unit = unit(json!({"rewrite": {"match": user, "set": {"ttl": "1h"}}}));
    let over = before(&few, &unit).await;
    let failed = apply_over(&few, &unit, &over, None, &Recorder::default()).await;
    let failure = failed.expect_err("no right to EXPIRE");
    assert_eq!(failure.source.kind, StoreErrorKind::Refused);
    assert_eq!(failure.source.code.as_deref(), Some("NOPERM"));
    assert!(failure.source.hint.is_some());
    // What it may not see is left out, unless a migration made something of the kind.
    let live = few.inspect(&Shape::default(), Depth::Structure).await.expect("inspect");
    assert!(live.objects.is_empty(), "{live:?}");
    let recorded: Shape = serde_json::from_value(json!({"user x": {}})).expect("shape");
    assert!(few.inspect(&recorded, Depth::Structure).await.is_err());
    undo(&store, undo_it).await;
}

#[tokio::test]
async fn redis_has_no_identity_and_leaves_no_operations_behind() {
    let store = store().await;
    assert_eq!(store.identity().await, Ok(None));
    assert_eq!(store.expel(&["dead".to_string()]).await, Ok(()));
}
