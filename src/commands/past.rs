//! What became of an object so far, as files and ledger tell it.

use serde_json::Value;

use crate::ledger::{Snapshot, State};
use crate::migration::{Files, Migration};
use crate::report::Past;
use crate::stores::StoreKind;

/// Where the past of objects is looked up.
pub struct Records<'a> {
    /// The files.
    pub files: &'a Files,
    /// The ledger's rows.
    pub snapshot: &'a Snapshot,
    /// The repairs.
    pub repairs: &'a [Value],
}

impl Records<'_> {
    /// The migrations whose files name `object`, as far as they were applied, and its repairs.
    pub fn past(&self, store: StoreKind, object: &str) -> Vec<Past> {
        let mut past: Vec<Past> =
            self.naming(store, words(object)).filter_map(|file| self.applied(file)).collect();
        let repairs = self
            .repairs
            .iter()
            .filter(|event| event["store"] == store.name() && event["details"]["object"] == object);
        past.extend(repairs.map(repair));
        past.sort();
        past
    }

    /// The newest file that names `object`, or what it is a part of.
    pub fn file(&self, store: StoreKind, object: &str) -> Option<&str> {
        let words = words(object);
        let whole = words.split_last().map(|(_, whole)| whole).filter(|whole| !whole.is_empty());
        let newest = |words: &[String]| self.naming(store, words.to_vec()).last();
        let file = newest(&words).or_else(|| newest(whole?));
        file.map(|file| file.source.file.as_str())
    }

    fn naming(&self, store: StoreKind, words: Vec<String>) -> impl Iterator<Item = &Migration> {
        let names = move |text: &str| words.iter().all(|word| text.contains(word.as_str()));
        self.files.of(store).filter(move |file| names(&file.source.text))
    }

    fn applied(&self, file: &Migration) -> Option<Past> {
        let row = self.snapshot.living(&file.id)?;
        match row.state {
            State::Applied | State::Baseline => Some(Past {
                at: short(&row.finished_at.unwrap_or(row.started_at).to_rfc3339()),
                what: format!("{} ({}) names it", row.id, row.script),
                by: row.installed_by.clone(),
            }),
            State::Running
            | State::Failed
            | State::Undoing
            | State::Undone
            | State::InDoubt
            | State::Newer => None,
        }
    }
}

fn repair(event: &Value) -> Past {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let changes = event["details"]["changes"].as_array().into_iter().flatten();
    let attributes: Vec<String> =
        changes.map(|change| text(&change["attribute"])).filter(|name| !name.is_empty()).collect();
    let repair = text(&event["details"]["repair"]);
    let what = match attributes.is_empty() {
        true => repair,
        false => format!("{repair}: {}", attributes.join(", ")),
    };
    let by = format!("{} on {}", text(&event["who"]), text(&event["host"]));
    Past { at: short(&text(&event["at"])), what, by }
}

/// A time to the second.
fn short(rfc3339: &str) -> String {
    rfc3339.chars().take(19).collect::<String>().replace('T', " ")
}

/// The words of an object's name by which a file would name it: without its kind, its arguments,
/// and the schema that nobody writes.
fn words(object: &str) -> Vec<String> {
    let name = object.split_once(' ').map_or(object, |(_, name)| name);
    let name = name.split_once('(').map_or(name, |(name, _)| name);
    let parts = name.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
    let telling = parts.filter(|word| !word.is_empty() && *word != "on" && *word != "public");
    telling.map(str::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn a_file_names_an_object_by_its_own_words() {
        assert_eq!(words("column public.users.email"), ["users", "email"]);
        assert_eq!(words("index ttl on logs"), ["ttl", "logs"]);
        assert_eq!(words("function public.shout(t text)"), ["shout"]);
        assert_eq!(words("topic data-ingestion"), ["data-ingestion"]);
    }
}
