//! Texts that nobody would write: the splitter against the server, and every reader against noise.

use aiplat_migrate::migration::Requirement;
use aiplat_migrate::stores::StoreKind;
use proptest::prelude::*;

use crate::chaos::Dice;
use crate::readers;
use crate::support::TestEnv;

/// Statements whose semicolons, quotes and comments mislead whoever cuts by semicolons; `K` is a
/// number of its own.
const STATEMENTS: &[&str] = &[
    r#"create table tK (a text default 'x;y', b text default E'\';--', "q;""r" int);"#,
    "create function fK() returns int language plpgsql as $fn$ begin /* ; */ perform ';'; return 1; end; $fn$;",
    "create function gK(x int) returns text begin atomic select case when x > 0 then 'a;' else 'b' end; end;",
    "/* outer /* nested ; */ still; */ insert into log values ('a;''b', $tag$;$other$;$tag$);",
    r"insert into log values (U&'\0061;', E'it\'s;');",
    r"insert into log values (U&'d!0061;' uescape '!', N'n;');",
    "comment on table log is 'semi;colon -- no comment';",
    "do $$ declare s text := ';'; begin insert into log values (s, '$x$'); end $$;",
    "copy log (a, b) from stdin;\n1;2\tx;y\n\\N\t'\n$$\t/*\n\\.\n",
    "create table pK (id int generated always as identity primary key, j jsonb check (j ? 'a;'));",
    ";; -- nothing; here\n",
    "create table \"w;K\" (); -- a comment with a quote '\n",
    "insert into log select 'x' -- '\n 'y', ';';",
    "create table rK (a int); create rule ruleK as on insert to rK do also \
     (insert into log values ('r', '1'); insert into log values ('r', '2'));\ninsert into rK values (1);",
    "create procedure prK() language sql as 'insert into log values ('';'', null)';\ncall prK();",
    "create view vK as select 1 as \";\", array['a;', '}']::text[] as two, '{;}'::text[] as three;",
];

/// What a database holds after a migration.
fn catalog(env: &TestEnv) -> Vec<String> {
    let mut all = env.sql(
        "SELECT o.key, o.value FROM aiplat_migrate.shape s, jsonb_each(s.recorded) o ORDER BY 1",
    );
    all.extend(env.sql("SELECT a, b, count(*) FROM log GROUP BY a, b ORDER BY a, b"));
    all.extend(env.sql(
        "SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc p \
         WHERE p.pronamespace = 'public'::regnamespace AND p.prokind IN ('f', 'p') ORDER BY 1",
    ));
    all.extend(env.sql("SELECT obj_description('log'::regclass)"));
    all
}

fn applied(text: &str, header: &str) -> Vec<String> {
    let env = TestEnv::new();
    env.file("migrations/postgres/V1__file.sql", &format!("{header}{text}"));
    let finished = env.run(&["up", "--quiet"]);
    assert_eq!(finished.code, 0, "{header}{text}\n{}", finished.stderr);
    catalog(&env)
}

#[test]
fn a_file_run_statement_by_statement_gives_what_it_gives_as_a_whole() {
    let mut dice = Dice::thrown("files of nasty statements");
    for _ in 0..4 {
        let mut text = "create table log (a text, b text);\n".to_string();
        for number in 0..12 {
            let statement = STATEMENTS[dice.below(STATEMENTS.len())];
            text.push_str(&statement.replace('K', &number.to_string()));
            text.push_str(["\n", " ", "\n\n-- ;\n"][dice.below(3)]);
        }
        assert_eq!(applied(&text, ""), applied(&text, "-- transaction: off\n"), "{text}");
    }
}

/// Noise, and noise cut into what is nearly right.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        any::<String>(),
        "[ -~\n]{0,40}",
        Just("-- requires: mongo@3, kafka@1\n".to_string()),
        Just("-- transaction: off\n".to_string()),
        Just("-- lock_timeout: 99999999999999999999s\n".to_string()),
        Just("-- lint: allow this\n-- batch: '1\n".to_string()),
        Just("/* Transaction: off /* */ */\n\n".to_string()),
        Just("create table t (a int);".to_string()),
        Just("copy t from stdin;\n".to_string()),
        Just("$$ begin".to_string()),
        Just("/* /* ".to_string()),
        Just("{ requires: ['mongo@1'], steps: [ { create: 'a' }, ".to_string()),
        Just("{ steps: [ { createTopic: { name: 't', partitions: 1e99 } } ] }".to_string()),
        Just(
            "{ steps: [ { keyspace: { pattern: '{', type: 'hash', ttl: '9999999999999999d' } } ] }"
                .to_string()
        ),
        Just("${".to_string()),
        Just("\u{feff}".to_string()),
    ];
    proptest::collection::vec(pieces, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_reader_panic(text in text()) {
        for store in StoreKind::all() {
            readers::file(store, &text);
        }
        readers::words(&text);
    }

    #[test]
    fn no_setting_makes_the_configuration_panic(file in text(), value in any::<String>(), dotenv in "[ -~\n]{0,60}") {
        readers::settings(&file, &value, &dotenv);
    }

    #[test]
    fn a_version_is_read_as_it_is_written(numbers in proptest::collection::vec(any::<u32>(), 1..5)) {
        let text = numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".");
        let read: Requirement = format!("mongo@{text}").parse().expect("version");
        let again: Requirement = read.to_string().parse().expect("again");
        prop_assert_eq!(read.version, again.version);
    }
}
