//! The HTML report as a person sees it: in a real Chromium, without a display.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{TestEnv, block_on, finish, required};

/// Puts a report into a frame of the given width, as a phone or a desktop has, and tells what is seen
/// there. The report itself runs no script and may not: it is asked from outside.
const OBSERVER: &str = r#"<!DOCTYPE html><meta charset="utf-8"><body><script>
const reports = REPORTS, seen = [];
const shown = (at) => {
  if (at === reports.length) {
    document.body.replaceChildren(Object.assign(document.createElement("pre"), { id: "seen", textContent: JSON.stringify(seen) }));
    return;
  }
  const frame = document.createElement("iframe");
  frame.style.cssText = `border: 0; width: ${reports[at].width}px; height: 900px`;
  frame.onload = () => {
    const inside = frame.contentDocument, style = (node) => frame.contentWindow.getComputedStyle(node);
    const root = inside.documentElement;
    const wider = [...inside.body.querySelectorAll("*")].filter((node) => node.getBoundingClientRect().right > root.clientWidth + 1);
    seen.push({
      text: inside.body.innerText,
      overflow: root.scrollWidth - root.clientWidth,
      wider: wider.map((node) => node.outerHTML.slice(0, 80)),
      requests: frame.contentWindow.performance.getEntriesByType("resource").map((entry) => entry.name),
      scripts: inside.scripts.length,
      marks: [...inside.querySelectorAll("mark")].map((node) => node.textContent),
      open: [...inside.querySelectorAll("details[open] > summary")].map((node) => node.firstChild.textContent.trim()),
      closed: [...inside.querySelectorAll("details:not([open]) > summary")].map((node) => node.textContent.trim()),
      links: [...inside.querySelectorAll("nav a")].map((link) => [link.innerText, inside.querySelector(link.getAttribute("href")) !== null]),
      background: style(inside.body).backgroundColor,
      color: style(inside.body).color,
    });
    frame.remove();
    shown(at + 1);
  };
  frame.srcdoc = reports[at].page;
  document.body.append(frame);
};
shown(0);
</script></body>"#;

/// What is seen of each page at each of two widths: `[page][phone, desktop]`.
fn seen(folder: &Path, pages: &[&str], flags: &[&str]) -> Vec<[Value; 2]> {
    let reports: Vec<Value> = pages
        .iter()
        .flat_map(|page| {
            [360, 1280].map(|width| serde_json::json!({ "page": page, "width": width }))
        })
        .collect();
    let reports = serde_json::to_string(&reports).expect("JSON").replace('<', "\\u003c");
    let path = folder.join("observer.html");
    std::fs::write(&path, OBSERVER.replace("REPORTS", &reports)).expect("file");
    let mut chromium = Command::new("chromium");
    chromium
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1400,1000"])
        .arg(format!("--user-data-dir={}", folder.join("chromium").display()))
        .args(flags)
        .args(["--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("file://{}", path.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let started = chromium.spawn().expect("chromium; `dev/test` installs it");
    let dom = finish(started).expect(0);
    let found =
        dom.stdout.split_once("<pre id=\"seen\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((found, _)) = found else { panic!("{}\n{}", dom.stdout, dom.stderr) };
    let found = found.replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}");
    let found: Vec<Value> = serde_json::from_str(&found.replace("&amp;", "&")).expect("JSON");
    assert_eq!(found.len(), 2 * pages.len());
    found.chunks(2).map(|pair| [pair[0].clone(), pair[1].clone()]).collect()
}

/// A project over three stores, with a drift in each and nothing to see in a fourth.
fn drifted() -> TestEnv {
    let env = TestEnv::new().with(&["mongo", "redis", "kafka"]);
    env.file(
        "migrations/postgres/V1__a.sql",
        "create table a_table_with_a_name_that_is_too_long_for_a_phone_to_show (id int default 1);\n\
         create table gone ();\n\
         create function f() returns int language plpgsql as $$ begin\n  -- a long body\n  return 2;\nend $$;",
    );
    env.file(
        "migrations/mongo/V1__a.json5",
        "{ steps: [ { create: 'a' }, { createIndexes: 'a', indexes: [ { key: { x: 1 }, name: 'x' } ] } ] }",
    );
    env.file(
        "migrations/redis/V1__a.json5",
        "{ steps: [ { acl: { user: 'NAME', rules: ['on', 'nopass', '~a:*', '+get'] } } ] }",
    );
    env.file(
        "migrations/kafka/V1__a.json5",
        "{ steps: [ { createTopic: { name: 'NAME', partitions: 1, replicationFactor: 1 } } ] }",
    );
    env.run(&["up"]).expect(0);
    env
}

fn change(env: &TestEnv) {
    env.sql(&format!(
        "alter table a_table_with_a_name_that_is_too_long_for_a_phone_to_show \
           alter id set default 2, add \"<script>alert(1)</script>\" int; \
         drop table gone; create table by_hand (id int); \
         create or replace function f() returns int language plpgsql as $$ begin\n  -- a long body\n  return {};\nend $$;",
        "3".repeat(400)
    ));
    let (mongo, user) = (env.get("AIPLAT_MIGRATE_MONGO_URL"), env.name.clone());
    block_on(async {
        let client = mongodb::Client::with_uri_str(&mongo).await.expect("client");
        let database = client.default_database().expect("database");
        database.collection::<bson::Document>("a").drop_index("x").await.expect("index");
        let redis = redis::Client::open(required("TEST_REDIS_URL")).expect("URL");
        let mut redis = redis.get_multiplexed_async_connection().await.expect("Redis");
        let mut command = redis::cmd("ACL");
        command.arg(&["SETUSER", &user, "off"]).query_async::<()>(&mut redis).await.expect("user");
    });
}

#[test]
fn a_person_sees_what_differs_on_a_phone_and_on_a_desktop() {
    let env = drifted();
    let clean = env.run(&["validate", "--output", "html"]).expect(0).stdout;
    change(&env);
    let drift = env.run(&["validate", "--output", "html"]).expect(3).stdout;
    let mut nowhere = env.command(&["validate", "--output", "html"]);
    nowhere.env("AIPLAT_MIGRATE_POSTGRES_URL", "postgres://nobody:nothing@127.0.0.1:1/none");
    nowhere.stdout(Stdio::piped()).stderr(Stdio::piped());
    let failed = finish(nowhere.spawn().expect("binary")).expect(6).stdout;
    let pages = seen(env.path(), &[&clean, &drift, &failed], &[]);

    for (page, name) in pages.iter().zip(["clean", "drift", "failed"]) {
        for seen in page {
            assert_eq!(seen["overflow"], 0, "{name}: {:#}", seen["wider"]);
            assert_eq!(seen["wider"], serde_json::json!([]), "{name}");
            assert_eq!(seen["requests"], serde_json::json!([]), "{name}");
            assert_eq!(seen["scripts"], 0, "{name}");
        }
    }
    let text = |page: &Value| page["text"].as_str().expect("text").to_string();
    assert!(text(&pages[0][0]).starts_with("No difference\n"), "{}", text(&pages[0][0]));
    assert!(text(&pages[2][0]).starts_with("Not checked: the command failed\n"));
    assert!(text(&pages[2][0]).contains("Connection refused"));

    let table = "public.a_table_with_a_name_that_is_too_long_for_a_phone_to_show";
    for seen in &pages[1] {
        let shown = text(seen);
        assert!(shown.starts_with("6 differences\n"), "{shown}");
        for object in [
            format!("column {table}.id"),
            format!("column {table}.\"<script>alert(1)</script>\""),
            "function public.f()".to_string(),
            "table public.gone".to_string(),
            "index x on a".to_string(),
            format!("user {}", env.name),
        ] {
            assert!(shown.contains(&object), "{object} is not seen in\n{shown}");
            let open = seen["open"].as_array().expect("open");
            assert!(open.contains(&Value::from(object.as_str())), "{object}: {open:?}");
        }
        for part in ["recorded", "live (absent)", "put it back: aiplat-migrate repair --reapply"] {
            assert!(shown.contains(part), "{part} is not seen in\n{shown}");
        }
        // Both sides of what differs, and within a long text the part that does.
        let marks = seen["marks"].as_array().expect("marks");
        for part in ["1", "2", "true", "false", &"3".repeat(400)] {
            assert!(marks.contains(&Value::from(part)), "{part} is not marked: {marks:?}");
        }
        // What is no difference is folded away.
        let closed = format!("{:?}", seen["closed"]);
        assert!(
            closed.contains("table public.by_hand") && closed.contains("as recorded"),
            "{closed}"
        );
        assert!(!shown.contains(&format!("topic {}", env.name)), "{shown}");
        let links = seen["links"].as_array().expect("links");
        assert_eq!(links.len(), 4, "{links:?}");
        assert_eq!(links[0], serde_json::json!(["PostgreSQL 4 differences", true]));
        assert!(links.iter().all(|link| link[1] == true), "{links:?}");
    }

    let dark = seen(env.path(), &[&drift], &["--blink-settings=preferredColorScheme=0"]);
    for (light, dark) in pages[1].iter().zip(&dark[0]) {
        assert_ne!(light["background"], dark["background"]);
        assert_ne!(light["color"], dark["color"]);
        assert_eq!(light["text"], dark["text"]);
    }
    env.run(&["down", "--all", "--yes", "--allow-data-loss", "--store", "redis,kafka"]);
}
