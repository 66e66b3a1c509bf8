//! How long the pure parts take, at the size of a large project: `cargo bench`.

use std::hint::black_box;
use std::path::Path;

use aiplat_migrate::ledger::{Row, State};
use aiplat_migrate::migration::{Files, Folder};
use aiplat_migrate::plan::{UpOptions, compare, up};
use aiplat_migrate::shape::{Attributes, Shape};
use aiplat_migrate::stores::StoreKind;
use aiplat_migrate::text::Checksum;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::json;

const MIGRATIONS: usize = 1000;
const OBJECTS: usize = 2000;

fn discovery(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("folder");
    let folders = [write(folder.path())];
    criterion.bench_function("discovery of 1,000 files", |bencher| {
        bencher.iter(|| Files::read(black_box(&folders)).expect("files"));
    });
}

fn checksum(criterion: &mut Criterion) {
    let text = "INSERT INTO t VALUES (1, 'some text', now());\n".repeat(25_000);
    criterion.bench_function("checksum of 1 MB", |bencher| {
        bencher.iter(|| Checksum::of(black_box(&text)));
    });
}

fn plan(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("folder");
    let files = Files::read(&[write(folder.path())]).expect("files");
    let rows: Vec<Row> = files.migrations.iter().zip(1..).map(applied).collect();
    let options = UpOptions::default();
    for (name, rows) in [("nothing applied", &[][..]), ("all applied", &rows[..])] {
        criterion.bench_function(&format!("plan of 1,000, {name}"), |bencher| {
            bencher.iter(|| up(&compare(black_box(&files), black_box(rows)), &options));
        });
    }
}

fn difference(criterion: &mut Criterion) {
    let recorded = shape("bigint");
    let mut live = recorded.clone();
    live.objects.extend(shape("text").objects.into_iter().take(100));
    criterion.bench_function("difference of 2,000 objects, 100 drifted", |bencher| {
        bencher.iter(|| black_box(&recorded).changes_to(black_box(&live)));
    });
}

fn write(folder: &Path) -> Folder {
    for number in 1..=MIGRATIONS {
        let text =
            format!("-- requires: postgres@{}\nCREATE TABLE t_{number} (id bigint);\n", number - 1);
        let text = if number == 1 { text.lines().skip(1).collect() } else { text };
        std::fs::write(folder.join(format!("V{number:04}__table.sql")), text).expect("file");
    }
    let shown = "migrations/postgres".to_string();
    Folder { store: StoreKind::of_ledger(), path: folder.to_path_buf(), shown }
}

fn applied((file, number): (&aiplat_migrate::migration::Migration, i64)) -> Row {
    Row {
        row: number,
        id: file.id.clone(),
        run: "run".to_string(),
        description: file.description.clone(),
        script: file.source.file.clone(),
        checksum: file.checksum.clone(),
        state: State::Applied,
        undoing: false,
        steps_total: 1,
        steps_done: 1,
        step_hashes: Vec::new(),
        claimed: None,
        position: None,
        requires: Vec::new(),
        origin: None,
        installed_by: "me".to_string(),
        started_at: chrono::DateTime::UNIX_EPOCH,
        finished_at: None,
        execution_ms: Some(1),
        error: None,
    }
}

fn shape(key_type: &str) -> Shape {
    let mut shape = Shape::default();
    for number in 0..OBJECTS {
        let attributes = Attributes::from_iter([
            ("column id".to_string(), json!(key_type)),
            ("column name".to_string(), json!("text not null")),
            ("primary key".to_string(), json!(["id"])),
        ]);
        shape.insert(format!("table public.t_{number}"), attributes);
    }
    shape
}

criterion_group!(pure, discovery, checksum, plan, difference);
criterion_main!(pure);
