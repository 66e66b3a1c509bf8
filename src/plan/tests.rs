//! The specification of the comparison and of both plans, as tests.

use super::*;
use crate::migration::Source;
use crate::text::Placeholders;

fn id(text: &str) -> MigrationId {
    text.parse::<Requirement>().expect(text).id()
}

fn file(name: &str, requires: &str) -> Migration {
    let id = id(name);
    let header = match id.store {
        store if store.is_sql() => format!("-- requires: {requires}\n"),
        _ => {
            let list: Vec<String> =
                requires.split(',').filter(|r| !r.is_empty()).map(|r| format!("'{r}'")).collect();
            format!("{{ requires: [{}], steps: [{{ a: 1 }}] }}", list.join(","))
        }
    };
    let source = Source::new(id.store, format!("{name}.file"), header);
    let header = source.header().expect("header");
    source.script(&Placeholders::default()).expect("script");
    let checksum = Checksum::of(&source.text);
    Migration { id, description: "x".into(), source, checksum, header, undo: None }
}

fn files(list: &[(&str, &str)]) -> Files {
    let mut migrations: Vec<Migration> =
        list.iter().map(|(name, requires)| file(name, requires)).collect();
    migrations.sort_by(|a, b| a.id.cmp(&b.id));
    Files { migrations }
}

fn row(number: i64, file: &Migration, state: State) -> Row {
    Row {
        row: number,
        id: file.id.clone(),
        run: "r".into(),
        description: "x".into(),
        script: file.source.file.clone(),
        checksum: file.checksum.clone(),
        state,
        undoing: false,
        steps_total: 1,
        steps_done: 1,
        step_hashes: Vec::new(),
        claimed: None,
        position: None,
        requires: file.header.requires.iter().map(|(r, _)| r.clone()).collect(),
        origin: None,
        installed_by: "me".into(),
        started_at: chrono::Utc::now(),
        finished_at: None,
        execution_ms: None,
        error: None,
    }
}

fn applied(files: &Files) -> Vec<Row> {
    files.migrations.iter().zip(1..).map(|(file, at)| row(at, file, State::Applied)).collect()
}

fn statuses(files: &Files, rows: &[Row]) -> Vec<(String, Status)> {
    compare(files, rows).iter().map(|entry| (entry.id.to_string(), entry.status)).collect()
}

fn planned(files: &Files, rows: &[Row], options: &UpOptions) -> Result<Vec<String>, String> {
    match up(&compare(files, rows), options) {
        Ok(items) => Ok(items.iter().map(|item| item.id.to_string()).collect()),
        Err(errors) => Err(errors[0].to_string()),
    }
}

#[test]
fn all_pending_on_an_empty_ledger_in_order_of_requirement() {
    let files = files(&[
        ("kafka@1", "mongo@1"),
        ("mongo@1", ""),
        ("postgres@1", "kafka@1"),
        ("postgres@2", ""),
    ]);
    assert_eq!(
        planned(&files, &[], &UpOptions::default()),
        Ok(["mongo@1", "kafka@1", "postgres@1", "postgres@2"].map(String::from).to_vec())
    );
}

#[test]
fn nothing_is_planned_when_all_is_applied() {
    let files = files(&[("kafka@1", ""), ("postgres@1", "")]);
    assert_eq!(planned(&files, &applied(&files), &UpOptions::default()), Ok(vec![]));
}

#[test]
fn a_circle_is_shown() {
    let files = files(&[
        ("kafka@1", "mongo@1"),
        ("mongo@1", "postgres@2"),
        ("postgres@1", "kafka@1"),
        ("postgres@2", ""),
    ]);
    let error = planned(&files, &[], &UpOptions::default()).expect_err("circle");
    assert!(error.contains("wait for each other"), "{error}");
}

#[test]
fn an_unknown_requirement_is_an_error() {
    let files = files(&[("kafka@1", "mongo@7"), ("mongo@1", "")]);
    let error = planned(&files, &[], &UpOptions::default()).expect_err("unknown");
    assert!(error.contains("no migration mongo@7"), "{error}");
}

#[test]
fn older_than_applied_is_out_of_order_and_needs_the_flag() {
    let all = files(&[("kafka@1", ""), ("kafka@2", ""), ("kafka@3", "")]);
    let rows = vec![
        row(1, &all.migrations[0], State::Applied),
        row(2, &all.migrations[2], State::Applied),
    ];
    assert_eq!(statuses(&all, &rows)[1].1, Status::OutOfOrder);
    assert!(planned(&all, &rows, &UpOptions::default()).is_err());
    let options = UpOptions { out_of_order: true, ..UpOptions::default() };
    assert_eq!(planned(&all, &rows, &options), Ok(vec!["kafka@2".to_string()]));
}

#[test]
fn changed_and_missing_stop_up_and_future_does_not() {
    let all = files(&[("kafka@1", ""), ("kafka@2", ""), ("kafka@3", "")]);
    let mut rows = applied(&all);
    rows[0].checksum = Checksum::of("other");
    assert_eq!(statuses(&all, &rows)[0].1, Status::Changed);
    assert!(planned(&all, &rows, &UpOptions::default()).expect_err("changed").contains("changed"));

    let rows = applied(&all);
    let middle_gone = files(&[("kafka@1", ""), ("kafka@3", "")]);
    assert_eq!(statuses(&middle_gone, &rows)[1].1, Status::Missing);
    assert!(planned(&middle_gone, &rows, &UpOptions::default()).is_err());
    let last_gone = files(&[("kafka@1", ""), ("kafka@2", "")]);
    assert_eq!(statuses(&last_gone, &rows)[2].1, Status::Future);
    assert_eq!(planned(&last_gone, &rows, &UpOptions::default()), Ok(vec![]));
}

#[test]
fn failed_and_orphaned_rows_are_resumed_and_undoing_ones_stop_up() {
    let all = files(&[("kafka@1", ""), ("kafka@2", "")]);
    for state in [State::Failed, State::Running] {
        let rows = vec![row(1, &all.migrations[0], state)];
        assert_eq!(planned(&all, &rows, &UpOptions::default()).expect("plan").len(), 2);
    }
    for state in [State::Undoing, State::InDoubt] {
        let rows = vec![row(1, &all.migrations[0], state)];
        assert!(planned(&all, &rows, &UpOptions::default()).is_err());
    }
}

#[test]
fn an_older_image_leaves_a_newer_repeatable_alone() {
    let mut views = file("kafka@1", "");
    views.id.key = Key::Repeatable("views".into());
    let newest = file("kafka@2", "");
    let mut newer_text = row(3, &views, State::Applied);
    newer_text.checksum = Checksum::of("newer");
    let rows = vec![row(1, &views, State::Undone), row(2, &newest, State::Applied), newer_text];
    let old = Files { migrations: vec![file("kafka@1", ""), views] };
    let repeatable = &compare(&old, &rows)[2];
    assert_eq!(
        (repeatable.id.to_string().as_str(), repeatable.status),
        ("kafka `views`", Status::Applied)
    );
}

#[test]
fn up_to_takes_in_what_the_target_requires_and_nothing_else() {
    let all = files(&[
        ("kafka@1", "mongo@1"),
        ("kafka@2", ""),
        ("mongo@1", ""),
        ("mongo@2", ""),
        ("redis@1", ""),
    ]);
    let options =
        UpOptions { to: Some("kafka@1".parse().expect("target")), ..UpOptions::default() };
    assert_eq!(
        planned(&all, &[], &options),
        Ok(vec!["mongo@1".to_string(), "kafka@1".to_string()])
    );
}

#[test]
fn a_store_left_out_that_is_required_is_an_error() {
    let all = files(&[("kafka@1", "mongo@1"), ("mongo@1", "")]);
    let options = UpOptions { stores: vec![StoreKind::of_test("kafka")], ..UpOptions::default() };
    assert!(planned(&all, &[], &options).expect_err("left out").contains("no part of this run"));
}

fn undone(rows: &[Row], target: DownTarget) -> Vec<String> {
    let items = down(rows, &target, &[]).expect("plan");
    items.iter().map(|(row, _)| row.id.to_string()).collect()
}

#[test]
fn down_goes_newest_first_and_takes_dependants_along() {
    let all =
        files(&[("mongo@1", ""), ("kafka@1", "mongo@1"), ("kafka@2", ""), ("postgres@1", "")]);
    let order = ["postgres@1", "mongo@1", "kafka@1", "kafka@2"];
    let rows: Vec<Row> = order
        .iter()
        .zip(1..)
        .map(|(name, at)| row(at, all.get(&id(name)).expect(name), State::Applied))
        .collect();
    assert_eq!(undone(&rows, DownTarget::Steps(1)), ["kafka@2"]);
    assert_eq!(undone(&rows, DownTarget::All), ["kafka@2", "kafka@1", "mongo@1", "postgres@1"]);
    let to = DownTarget::To("mongo@0".parse().expect("target"));
    assert_eq!(undone(&rows, to), ["kafka@2", "kafka@1", "mongo@1"]);
    let stood = [id("postgres@1"), id("mongo@1")].into();
    assert_eq!(undone(&rows, DownTarget::Back(stood)), ["kafka@2", "kafka@1"]);
    // Of rows that were chosen before, what still stands; what came on top since comes along.
    assert_eq!(
        undone(&rows, DownTarget::Rows([2, 4, 9].into())),
        ["kafka@2", "kafka@1", "mongo@1"]
    );
    assert!(down(&rows, &DownTarget::To("kafka@7".parse().expect("goal")), &[]).is_err());
}

#[test]
fn down_leaves_no_gap_within_a_store() {
    let all = files(&[("mongo@1", ""), ("kafka@1", "mongo@1"), ("kafka@2", "")]);
    let to = DownTarget::To("mongo@0".parse().expect("target"));
    assert_eq!(undone(&applied(&all), to), ["kafka@2", "kafka@1", "mongo@1"]);
}

#[test]
fn what_was_applied_late_is_undone_by_itself() {
    let all = files(&[("kafka@1", ""), ("kafka@2", ""), ("kafka@3", "")]);
    let mut rows = applied(&all);
    rows[1].row = 9;
    rows.sort_by_key(|row| row.row);
    let stood = [id("kafka@1"), id("kafka@3")].into();
    assert_eq!(undone(&rows, DownTarget::Back(stood)), ["kafka@2"]);
}

#[test]
fn a_repeatable_stays_and_runs_again_once_what_it_stands_on_was_undone() {
    let mut all = files(&[("postgres@1", "")]);
    let mut views = file("postgres@2", "");
    views.id.key = Key::Repeatable("views".into());
    all.migrations.push(views);
    let mut rows = applied(&all);
    assert_eq!(undone(&rows, DownTarget::All), ["postgres@1"]);
    assert_eq!(
        repeatables(&rows, &[StoreKind::of_test("postgres")].into()),
        [&all.migrations[1].id]
    );
    let now = chrono::Utc::now();
    rows[1].finished_at = Some(now);
    rows[0].state = State::Undone;
    rows[0].finished_at = Some(now - chrono::TimeDelta::seconds(1));
    assert_eq!(compare(&all, &rows)[1].status, Status::Applied);
    rows[0].finished_at = Some(now + chrono::TimeDelta::seconds(1));
    assert_eq!(compare(&all, &rows)[1].status, Status::Pending);
}

#[test]
fn down_finishes_what_it_began_first() {
    let all = files(&[("kafka@1", ""), ("kafka@2", ""), ("mongo@1", "")]);
    let mut rows = applied(&all);
    rows[0].row = 9; // applied last: an undo that was begun comes before it all the same
    rows[2].state = State::Undoing;
    rows.sort_by_key(|row| row.row);
    for target in [DownTarget::Steps(1), DownTarget::Unfinished] {
        assert_eq!(undone(&rows, target), ["kafka@2"]);
    }
}

proptest::proptest! {
    /// For any files, requirements and set of applied ones: nothing is planned twice, nothing that
    /// is applied is planned, and nothing comes before what it requires.
    #[test]
    fn plans_hold_their_promises(
        shape in proptest::collection::vec((0usize..3, 1u64..6, proptest::collection::vec((0usize..3, 1u64..6), 0..3)), 0..12),
        done in proptest::collection::vec(proptest::bool::ANY, 12),
    ) {
        let stores = [StoreKind::of_test("mongo"), StoreKind::of_test("kafka"), StoreKind::of_test("redis")];
        let mut named: BTreeMap<String, String> = BTreeMap::new();
        for (store, version, requires) in shape {
            let requires: Vec<String> =
                requires.into_iter().map(|(s, v)| format!("{}@{v}", stores[s])).collect();
            named.insert(format!("{}@{version}", stores[store]), requires.join(","));
        }
        let list: Vec<(&str, &str)> = named.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let files = files(&list);
        let rows: Vec<Row> = files.migrations.iter().zip(done).zip(1..)
            .filter(|((_, done), _)| *done)
            .map(|((file, _), at)| row(at, file, State::Applied))
            .collect();
        let options = UpOptions { out_of_order: true, ..UpOptions::default() };
        if let Ok(items) = up(&compare(&files, &rows), &options) {
            let mut settled: BTreeSet<MigrationId> = rows.iter().map(|row| row.id.clone()).collect();
            for item in items {
                let file = files.get(&item.id).expect("file");
                for (requirement, _) in &file.header.requires {
                    proptest::prop_assert!(settled.contains(&requirement.id()));
                }
                proptest::prop_assert!(settled.insert(item.id.clone()), "{} twice", item.id);
            }
            proptest::prop_assert_eq!(settled.len(), files.migrations.len());
        }
    }

    /// Undoing everything leaves nothing, and never undoes what something living still requires.
    #[test]
    fn down_is_safe_at_every_step(count in 1usize..8, edges in proptest::collection::vec((0usize..8, 0usize..8), 0..10)) {
        let stores = [StoreKind::of_test("mongo"), StoreKind::of_test("kafka"), StoreKind::of_test("redis")];
        let name = |at: usize| format!("{}@{}", stores[at % 3], at + 1);
        let list: Vec<(String, String)> = (0..count).map(|at| {
            let requires: Vec<String> = edges.iter()
                .filter(|(from, to)| *from == at && *to < at)
                .map(|(_, to)| name(*to)).collect();
            (name(at), requires.join(","))
        }).collect();
        let rows: Vec<Row> = list.iter().zip(1..)
            .map(|((name, requires), at)| row(at, &file(name, requires), State::Applied)).collect();
        let mut living: BTreeSet<MigrationId> = rows.iter().map(|row| row.id.clone()).collect();
        for (undone, item) in down(&rows, &DownTarget::All, &[]).expect("plan") {
            for after in &item.after {
                proptest::prop_assert!(!living.contains(after));
            }
            living.remove(&undone.id);
            for other in rows.iter().filter(|row| living.contains(&row.id)) {
                proptest::prop_assert!(!other.requires.iter().any(|r| r.id() == undone.id));
            }
        }
        proptest::prop_assert!(living.is_empty());
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Files of three stores, each of which may require ones before it, and how many of each store
    /// are applied.
    fn history() -> impl Strategy<Value = (Files, Vec<Row>)> {
        let stores = ["postgres", "mongo", "kafka"];
        let one =
            (0..stores.len(), proptest::collection::vec(any::<proptest::sample::Index>(), 0..3));
        (proptest::collection::vec(one, 1..12), 0..12_usize).prop_map(move |(list, settled)| {
            let mut names: Vec<String> = Vec::new();
            let mut made = Vec::new();
            for (number, (store, requires)) in list.into_iter().enumerate() {
                let requires: Vec<String> = match names.is_empty() {
                    true => Vec::new(),
                    false => requires.iter().map(|index| index.get(&names).clone()).collect(),
                };
                let name = format!("{}@{}", stores[store], number + 1);
                made.push(file(&name, &requires.join(",")));
                names.push(name);
            }
            // In the order in which they were written, every beginning is a possible past.
            let rows = made.iter().zip(1..).take(settled);
            let rows = rows.map(|(file, at)| row(at, file, State::Applied)).collect();
            made.sort_by(|a, b| a.id.cmp(&b.id));
            (Files { migrations: made }, rows)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_applied_twice_or_before_what_it_requires((files, rows) in history()) {
            let items = up(&compare(&files, &rows), &UpOptions::default()).expect("a plan");
            let mut settled: BTreeSet<&MigrationId> = rows.iter().map(|row| &row.id).collect();
            for item in &items {
                let file = files.get(&item.id).expect("its file");
                for (requirement, _) in &file.header.requires {
                    prop_assert!(settled.contains(&requirement.id()), "{} before {requirement}", item.id);
                }
                prop_assert!(settled.insert(&item.id), "{} twice", item.id);
            }
            prop_assert_eq!(settled.len(), files.migrations.len());
        }

        #[test]
        fn down_takes_back_what_up_applied_and_nothing_else((files, rows) in history()) {
            let items = up(&compare(&files, &rows), &UpOptions::default()).expect("a plan");
            let first = rows.len() as i64 + 1;
            let mut after = rows.clone();
            for (item, number) in items.iter().zip(first..) {
                after.push(row(number, files.get(&item.id).expect("its file"), State::Applied));
            }
            let stood: BTreeSet<MigrationId> = rows.iter().map(|row| row.id.clone()).collect();
            let undone = down(&after, &DownTarget::Back(stood), &[]).expect("a plan");
            let mut gone: BTreeSet<i64> = BTreeSet::new();
            for (row, _) in &undone {
                let dependant = after.iter().find(|other| {
                    !gone.contains(&other.row) && other.requires.iter().any(|needs| needs.id() == row.id)
                });
                prop_assert!(dependant.is_none(), "{} is undone before a dependant", row.id);
                gone.insert(row.row);
            }
            let expected: BTreeSet<i64> = (first..first + items.len() as i64).collect();
            prop_assert_eq!(gone, expected);
        }
    }
}
