//! What a rollback does not take back, and so is not rehearsed; and what need not be.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use futures_util::TryStreamExt;
use squawk_lexer::{TokenKind, tokenize};
use tokio_postgres::SimpleQueryRow;

use super::Postgres;
use super::look::Look;
use super::split::Statement;
use super::steps::{Step, headline};
use crate::postgres::{Names, literal, store_error};
use crate::store_error::StoreError;
use crate::stores::contract::{Loss, Part};

/// Words by which a statement reaches what acts outside of the transaction, and what that is.
pub(super) type Reaching = BTreeMap<String, String>;

/// A step as it is rehearsed.
pub(super) struct Rehearsable {
    /// The step without the statements that are not rehearsed. All else stands at its place.
    pub step: Step,
    /// What is not known therefore.
    pub unknown: Vec<Loss>,
    /// Whether anything is left out that a later statement may need.
    pub is_cut: bool,
}

/// How a statement is rehearsed.
enum Way {
    /// As it is.
    Whole,
    /// Without this word.
    Without(Range<usize>),
    /// Not at all: it loses nothing.
    Harmless,
    /// Not at all: it drops this database.
    DropsDatabase(String),
    /// Not at all, and why.
    Outside(String),
}

/// Functions of PostgreSQL itself that act at once, or on others: their marks are not of the catalogs.
const AT_ONCE: &[&str] = &[
    "setval",
    "pg_terminate_backend",
    "pg_cancel_backend",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_promote",
    "pg_switch_wal",
    "pg_create_restore_point",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
    "pg_drop_replication_slot",
    "pg_replication_slot_advance",
    "pg_logical_slot_get_changes",
    "pg_logical_slot_get_binary_changes",
    "pg_logical_emit_message",
    "pg_replication_origin_drop",
    "pg_replication_origin_advance",
    "lo_export",
];

/// Which of the plan's words reach a function that acts outside of the transaction: a function of that
/// name, or the trigger of a table of that name, whose source names the next, and so on. Such are those of
/// [`AT_ONCE`], of languages that are not trusted, and of extensions that are not. `setval` counts by its
/// own name only, since sequences are compared; of C functions only volatile ones, which the casts that are
/// called like a type are not, and none that is a trigger itself: `moddatetime` and its like change rows.
pub(super) async fn reaching(store: &Postgres, parts: &[Part<'_>]) -> Result<Reaching, StoreError> {
    let mut all = BTreeSet::new();
    for unit in parts.iter().flat_map(|part| &part.units[part.done.min(part.units.len())..]) {
        let Some(step) = unit.step.of_store::<Step>() else { continue };
        for statement in &step.statements {
            all.extend(words(&tokens(text(step, statement))));
        }
    }
    let all: Vec<String> = all.iter().map(|word| literal(word)).collect();
    let at_once: Vec<String> = AT_ONCE.iter().map(|name| literal(name)).collect();
    let sql = format!(
        "WITH RECURSIVE given (word) AS (SELECT unnest(ARRAY[{}]::text[])), \
         source (oid, name, word) AS MATERIALIZED ( \
           SELECT p.oid, lower(p.proname), w FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang, \
             LATERAL regexp_split_to_table(lower(pg_get_functiondef(p.oid)), '[^[:alnum:]_$]+') w \
           WHERE l.lanname NOT IN ('internal', 'c') AND p.prokind <> 'a' AND p.oid >= 16384), \
         relation (root, oid) AS ( \
           SELECT g.word, c.oid FROM given g JOIN pg_class c ON lower(c.relname) = g.word \
           UNION SELECT r.root, x.oid FROM relation r, LATERAL ( \
             SELECT conrelid FROM pg_constraint WHERE contype = 'f' AND confrelid = r.oid \
             UNION ALL SELECT inhrelid FROM pg_inherits WHERE inhparent = r.oid \
             UNION ALL SELECT inhparent FROM pg_inherits WHERE inhrelid = r.oid \
             UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = r.oid \
             UNION ALL SELECT d.refobjid FROM pg_rewrite w JOIN pg_depend d \
               ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid \
               AND d.refclassid = 'pg_class'::regclass WHERE w.ev_class = r.oid) x (oid)), \
         attached (root, oid) AS ( \
           SELECT r.root, t.tgfoid FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal \
           UNION ALL SELECT r.root, d.refobjid FROM relation r, LATERAL ( \
             SELECT 'pg_class'::regclass, r.oid \
             UNION ALL SELECT 'pg_rewrite'::regclass, oid FROM pg_rewrite WHERE ev_class = r.oid \
             UNION ALL SELECT 'pg_attrdef'::regclass, oid FROM pg_attrdef WHERE adrelid = r.oid \
             UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE conrelid = r.oid \
             UNION ALL SELECT 'pg_policy'::regclass, oid FROM pg_policy WHERE polrelid = r.oid) o (class, oid) \
             JOIN pg_depend d ON d.classid = o.class AND d.objid = o.oid AND d.refclassid = 'pg_proc'::regclass \
           UNION ALL SELECT g.word, e.evtfoid FROM given g, pg_event_trigger e \
             WHERE e.evtenabled <> 'D' AND g.word IN ('create', 'alter', 'drop', 'comment', 'grant', 'revoke')), \
         reached (root, oid) AS ( \
           SELECT g.word, p.oid FROM given g JOIN pg_proc p ON lower(p.proname) = g.word \
           UNION SELECT root, oid FROM attached \
           UNION SELECT r.root, p.oid FROM reached r JOIN source s ON s.oid = r.oid \
             JOIN pg_proc p ON lower(p.proname) = s.word) \
         SELECT r.root, p.proname FROM reached r JOIN pg_proc p ON p.oid = r.oid \
         JOIN pg_language l ON l.oid = p.prolang \
         WHERE p.proname = ANY (ARRAY[{}]) AND p.oid < 16384 AND (p.proname <> 'setval' OR r.root = 'setval') \
         OR l.lanispl AND NOT l.lanpltrusted \
         OR l.lanname = 'c' AND p.oid >= 16384 AND p.provolatile = 'v' AND p.prorettype <> 'trigger'::regtype AND NOT EXISTS (SELECT FROM pg_depend d \
           JOIN pg_extension e ON e.oid = d.refobjid JOIN pg_available_extension_versions v \
             ON v.name = e.extname AND v.version = e.extversion AND v.trusted \
           WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' \
           AND d.refclassid = 'pg_extension'::regclass) \
         UNION ALL SELECT r.root, 'track_counts' FROM reached r JOIN source s ON s.oid = r.oid \
         WHERE s.word = 'track_counts' \
         UNION ALL SELECT r.root, 'COPY … PROGRAM' FROM reached r JOIN source s ON s.oid = r.oid \
         WHERE s.word IN ('copy', 'program') GROUP BY r.root, s.oid HAVING count(DISTINCT s.word) = 2 \
         UNION ALL SELECT g.word, l.lanname FROM given g JOIN pg_language l ON l.lanname = g.word \
         WHERE l.lanispl AND NOT l.lanpltrusted",
        all.join(", "),
        at_once.join(", ")
    );
    let failed = |error: tokio_postgres::Error| store_error(&error);
    let rows = store.session.ask(Names::Ours, &sql).await.map_err(failed)?;
    let rows: Vec<SimpleQueryRow> = rows.try_collect().await.map_err(failed)?;
    let read = |row: &SimpleQueryRow| Some((row.get(0)?.to_string(), row.get(1)?.to_string()));
    Ok(rows.iter().filter_map(read).collect())
}

/// `step` as it is rehearsed.
pub(super) async fn rehearsable(
    look: Look<'_>,
    step: &Step,
    reaching: &Reaching,
) -> Result<Rehearsable, StoreError> {
    let mut left = Rehearsable { step: step.clone(), unknown: Vec::new(), is_cut: false };
    left.step.statements.clear();
    for statement in &step.statements {
        let said = text(step, statement);
        let what = headline(said);
        match way(said, reaching) {
            Way::Whole => left.step.statements.push(statement.clone()),
            Way::Without(word) => {
                let start = statement.span.start;
                blank(&mut left.step, start + word.start..start + word.end);
                left.step.statements.push(statement.clone());
            }
            Way::Harmless => left.cut(statement),
            Way::DropsDatabase(name) => {
                left.cut(statement);
                left.unknown.extend(database(look, &name).await?);
            }
            Way::Outside(why) => {
                left.cut(statement);
                let what = format!("`{what}` is not rehearsed: {why}");
                left.unknown.push(Loss { what, known: false });
            }
        }
    }
    Ok(left)
}

impl Rehearsable {
    fn cut(&mut self, statement: &Statement) {
        self.is_cut = true;
        let end = match &statement.copy_data {
            Some(data) => {
                let after = &self.step.text.text[data.end..];
                data.end + after.find('\n').unwrap_or(after.len())
            }
            None => statement.span.end,
        };
        blank(&mut self.step, statement.span.start..end);
    }
}

fn text<'s>(step: &'s Step, statement: &Statement) -> &'s str {
    &step.text.text[statement.span.clone()]
}

/// Puts spaces in place of a part, so that all else stands where the file has it.
fn blank(step: &mut Step, part: Range<usize>) {
    let spaces = " ".repeat(part.len());
    step.text.text.replace_range(part, &spaces);
}

struct Token<'t> {
    at: usize,
    text: &'t str,
}

/// The tokens of a statement but for space and comments.
fn tokens(statement: &str) -> Vec<Token<'_>> {
    let mut at = 0;
    let mut found = Vec::new();
    for token in tokenize(statement) {
        let text = &statement[at..at + token.len as usize];
        let is_trivia = matches!(
            token.kind,
            TokenKind::Whitespace | TokenKind::LineComment | TokenKind::BlockComment { .. }
        );
        if !is_trivia {
            found.push(Token { at, text });
        }
        at += text.len();
    }
    found
}

/// The words in tokens, those of strings and bodies too.
fn words(tokens: &[Token<'_>]) -> BTreeSet<String> {
    let parts = tokens.iter().flat_map(|token| {
        token.text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
    });
    parts.filter(|part| !part.is_empty()).map(str::to_lowercase).collect()
}

fn way(statement: &str, reaching: &Reaching) -> Way {
    let tokens = tokens(statement);
    let lower: Vec<String> = tokens.iter().map(|token| token.text.to_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let concurrently = lower.iter().position(|word| *word == "concurrently");
    match (lower.as_slice(), concurrently) {
        (["vacuum" | "reindex" | "cluster" | "checkpoint", ..], _)
        | (["discard", "all", ..], _)
        | (["create", "database" | "tablespace" | "subscription", ..], _)
        | (["drop", "tablespace", ..], _)
        | (["alter", "system" | "database" | "subscription", ..], _)
        | (["create", "index", ..] | ["create", "unique", "index", ..], Some(_)) => {
            return Way::Harmless;
        }
        (["drop", "index", ..] | ["alter", "table", ..], Some(at)) => {
            return Way::Without(tokens[at].at..tokens[at].at + tokens[at].text.len());
        }
        // What it says is not done.
        (["comment", "on", ..], _) => return Way::Whole,
        (["drop", "database", "if", "exists", ..], _) => return drops_database(&tokens, 4),
        (["drop", "database", ..], _) => return drops_database(&tokens, 2),
        (["copy", rest @ ..], _) if writes_file(rest) => {
            return Way::Outside("a file on the server's machine is written at once".to_string());
        }
        _ => {}
    }
    let words = words(&tokens);
    if words.contains("copy") && words.contains("program") {
        return Way::Outside(
            "what a program on the server's machine does is not taken back".to_string(),
        );
    }
    if words.contains("track_counts") {
        return Way::Outside("it sets whether rows are counted".to_string());
    }
    let reached = words.iter().find_map(|word| Some((word, reaching.get(word)?)));
    match reached {
        None => Way::Whole,
        Some((word, name)) if word == name => {
            Way::Outside(format!("what {name} does is not taken back"))
        }
        Some((word, name)) => {
            Way::Outside(format!("by {word} it reaches {name}, which is not taken back"))
        }
    }
}

fn drops_database(tokens: &[Token<'_>], at: usize) -> Way {
    Way::DropsDatabase(tokens.get(at).map_or("", |token| token.text).to_string())
}

/// Whether a COPY of these words is to a file.
fn writes_file(words: &[&str]) -> bool {
    let is_text = |word: &str| word.starts_with('\'') || word.starts_with("e'");
    words.windows(2).any(|pair| pair[0] == "to" && is_text(pair[1]))
}

/// The database of this name as written, which holds something even when it is empty.
async fn database(look: Look<'_>, name: &str) -> Result<Option<Loss>, StoreError> {
    let sql = format!(
        "SELECT d.datname, CASE WHEN has_database_privilege(d.oid, 'CONNECT') \
           THEN pg_size_pretty(pg_database_size(d.oid)) ELSE 'nobody knows how much' END \
         FROM pg_database d WHERE d.datname = (parse_ident({}))[1]",
        literal(name)
    );
    let rows = look.ask(Names::Ours, &[sql]).await?;
    let told = rows.first().and_then(|row| Some((row.get(0)?, row.get(1)?)));
    Ok(told.map(|(name, size)| Loss { what: format!("database {name} holds {size}"), known: true }))
}
