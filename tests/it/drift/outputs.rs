//! The forms of `validate` for CI and for people.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::{TestEnv, finish};

/// A project with one removed default, one hand-made column and more hand-made tables than GitHub
/// has room for.
fn drifted() -> TestEnv {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int default 1, note text);");
    env.run(&["up"]).expect(0);
    env.sql("alter table a alter column id drop default, add column \"<b>&hot\" int");
    for n in 0..12 {
        env.sql(&format!("create table extra_{n} (id int)"));
    }
    env
}

#[test]
fn junit_is_xml_with_a_case_for_each_finding() {
    let env = drifted();
    let junit = env.run(&["validate", "--output", "junit"]).expect(3).stdout;
    let read = "import sys, xml.etree.ElementTree as e\n\
                root = e.fromstring(sys.stdin.buffer.read())\n\
                print(root.tag, root.get('failures'), len(root.findall('.//testcase')), len(root.findall('.//failure')))\n\
                print([c.get('name') for c in root.findall('.//testcase') if c.find('failure') is not None])";
    let mut python = Command::new("python3");
    python.args(["-c", read]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut python = python.spawn().expect("python3");
    python.stdin.take().expect("stdin").write_all(junit.as_bytes()).expect("pipe");
    let said = finish(python).expect(0).stdout;
    // Two differences, twelve tables, no sum file, no U file.
    assert!(said.starts_with("testsuites 2 16 2\n"), "{said}\n{junit}");
    assert!(said.contains("<b>&hot"), "{said}");
}

#[test]
fn sarif_has_a_rule_a_level_and_a_place_for_each_result() {
    let env = drifted();
    let sarif = env.run(&["validate", "--output", "sarif"]).expect(3).json();
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    let results = run["results"].as_array().expect("results");
    assert_eq!(results.len(), 16);
    let mut prints = BTreeSet::new();
    for result in results {
        let index = result["ruleIndex"].as_u64().expect("index");
        assert_eq!(rules[usize::try_from(index).expect("index")]["id"], result["ruleId"]);
        assert!(matches!(result["level"].as_str(), Some("error" | "warning")), "{result}");
        assert!(result["message"]["text"].is_string());
        let place = &result["locations"][0]["physicalLocation"];
        assert!(place["artifactLocation"]["uri"].as_str().expect("uri").starts_with("migrations/"));
        assert_eq!(place["region"]["startLine"], 1);
        prints.insert(result["partialFingerprints"]["finding/v1"].to_string());
    }
    assert_eq!(prints.len(), results.len(), "each finding has a print of its own");
    assert_eq!(
        results[0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        "migrations/postgres/V1__a.sql"
    );
    assert_eq!(run["invocations"][0]["exitCode"], 3);
    let again = env.run(&["validate", "--output", "sarif"]).expect(3).json();
    assert_eq!(again["runs"][0]["results"], run["results"]);
}

#[test]
fn github_gets_ten_annotations_worst_first_and_the_rest_in_the_summary() {
    let env = drifted();
    let summary = env.path().join("summary.md");
    let env = env.set("GITHUB_STEP_SUMMARY", summary.to_str().expect("path"));
    let out = env.run(&["validate", "--output", "github"]).expect(3).stdout;
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 10, "{out}");
    let kinds: Vec<&str> = lines.iter().map(|line| line.split(' ').next().expect("word")).collect();
    assert_eq!(kinds[..3], ["::error", "::error", "::warning"]);
    assert!(
        lines[0].starts_with("::error file=migrations/postgres/V1__a.sql,line=1,title=drift::"),
        "{out}"
    );
    assert!(lines[9].contains("7 more findings are in the summary"), "{out}");
    let summary = std::fs::read_to_string(summary).expect("summary");
    assert_eq!(
        summary
            .lines()
            .filter(|line| line.starts_with("| warning") || line.starts_with("| error"))
            .count(),
        16
    );
    assert!(summary.contains("&lt;b>&amp;hot"), "{summary}");
}

#[test]
fn html_is_one_page_with_both_sides_and_the_past() {
    let env = drifted();
    env.run(&["repair", "--reapply", "--yes"]).expect(3);
    env.sql("alter table a alter column id set default 7");
    let page = env.run(&["validate", "--output", "html"]).expect(3).stdout;
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
    for part in [
        "2 differences",
        "column public.a.id",
        "<code><mark>7</mark></code>",
        "<code><mark>1</mark></code>",
        "put back: default",
        "postgres@1 (migrations/postgres/V1__a.sql) names it",
        "objects as recorded",
        "&lt;b&gt;&amp;hot",
    ] {
        assert!(page.contains(part), "no {part} in\n{page}");
    }
    for outside in ["http://", "https://", "src=", "<script", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} in the page");
    }
}

#[test]
fn every_form_tells_that_the_command_itself_failed() {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__a.sql", "create table a (id int);");
    let url = "postgres://nobody:nothing@127.0.0.1:1/none";
    for (form, part) in [
        ("junit", "<error message="),
        ("sarif", "toolExecutionNotifications"),
        ("github", "::error title=aiplat-migrate::"),
        ("html", "Not checked"),
        ("json", "\"error\""),
    ] {
        let mut command = env.command(&["validate", "--output", form]);
        command.env("AIPLAT_MIGRATE_POSTGRES_URL", url);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = finish(command.spawn().expect("binary")).expect(6);
        assert!(failed.stdout.contains(part), "{form}\n{}", failed.stdout);
    }
    env.run(&["status", "--output", "junit"]).expect(2).says(&["`status` has no such --output"]);
}
