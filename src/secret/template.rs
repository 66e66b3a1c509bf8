//! Texts in which the name of a placeholder stands for its secret value: `'${name}'::text`. What a server
//! gives back is made one, held against one, and made of one again.
//!
//! A template says nothing of the value, not even a hash: short passwords are guessed from those.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use aho_corasick::{AhoCorasick, MatchKind};

use super::{Named, Secrets};

/// What stands in place of a value that is not today's.
pub const OTHER: &str = "‹another value›";

/// What a text is, and so how a value is written in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The value as it is.
    Plain,
    /// A string of JSON.
    Json,
    /// Statements of SQL: inside quotes they are doubled.
    Sql,
}

/// A text that a template fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The template, with [`OTHER`] where another value than today's stands.
    pub text: String,
    /// What stands in it and is not today's value, by name.
    pub others: Vec<(String, String)>,
}

/// Finds values in whatever form a server writes them.
///
/// It is built when it is first needed: a run reads thousands of files that need it not.
#[derive(Clone, Debug, Default)]
pub(super) struct Finder(Arc<OnceLock<Option<Found>>>);

struct Found {
    automaton: AhoCorasick,
    /// The number of the secret of each pattern.
    owners: Vec<usize>,
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.owners.len())
    }
}

impl Finder {
    fn of(&self, named: &[Named]) -> Option<&Found> {
        self.0.get_or_init(|| Found::new(named)).as_ref()
    }
}

impl Found {
    fn new(named: &[Named]) -> Option<Found> {
        let (mut patterns, mut owners) = (Vec::new(), Vec::new());
        for (at, Named { value, .. }) in named.iter().enumerate() {
            if is_telling(value.expose()) {
                let forms = forms(value.expose());
                owners.extend(std::iter::repeat_n(at, forms.len()));
                patterns.extend(forms);
            }
        }
        if patterns.is_empty() {
            return None;
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .ascii_case_insensitive(true)
            .build(patterns);
        automaton.ok().map(|automaton| Found { automaton, owners })
    }
}

/// Whether a value is nothing that stands in a text by chance. A word such as `postgres` may.
fn is_telling(value: &str) -> bool {
    let only_letters = value.chars().all(char::is_alphabetic);
    value.len() >= 12 || value.len() >= 6 && !only_letters
}

/// A value as a server may write it: in quotes, which are doubled; in a string with escapes; in JSON, and
/// that in quotes; as bytes in hexadecimal.
pub(super) fn forms(value: &str) -> Vec<String> {
    let json = json(value);
    let escaped = value.replace('\\', "\\\\");
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        value.to_string(),
        quoted(value),
        quoted(&escaped),
        value.replace('"', "\"\""),
        json.clone(),
        quoted(&json),
        quoted(&json.replace('\\', "\\\\")),
    ];
    // A short one is found in any other.
    if is_telling(value) {
        forms.push(hex);
    }
    forms.sort();
    forms.dedup();
    forms
}

/// The parts of a value that a server may quote by themselves: its words, and what follows a quote in it.
pub(super) fn fragments(value: &str) -> Vec<String> {
    let words = value.split(|one: char| !one.is_alphanumeric()).filter(|word| is_telling(word));
    let quotes = value.match_indices(['\'', '"']).map(|(at, _)| &value[at + 1..]);
    let rests = quotes.filter(|rest| rest.len() >= SHORTEST_REST);
    words.chain(rests).map(str::to_string).collect()
}

const SHORTEST_REST: usize = 6;

fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}

fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_string()
}

fn mark(name: &str) -> String {
    format!("${{{name}}}")
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
enum Piece<'t> {
    Text(&'t str),
    /// What was `${name}` before it became a template.
    Escaped(&'t str),
    Value(&'t str),
}

/// The pieces of `template`, in which `${name}` stands for the value of each of `names`.
fn pieces<'t>(template: &'t str, names: &'t [String]) -> Vec<Piece<'t>> {
    let mut pieces = Vec::new();
    let (mut from, mut at) = (0, 0);
    while let Some(found) = template[at..].find("${") {
        let start = at + found;
        let rest = &template[start + 2..];
        let name = names.iter().find(|name| {
            rest.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('}'))
        });
        let Some(name) = name else {
            at = start + 2;
            continue;
        };
        let is_escaped = template[from..start].ends_with('$');
        let before = &template[from..start - usize::from(is_escaped)];
        pieces.extend((!before.is_empty()).then_some(Piece::Text(before)));
        at = start + 2 + name.len() + 1;
        from = at;
        pieces.push(match is_escaped {
            true => Piece::Escaped(&template[start..at]),
            false => Piece::Value(name),
        });
    }
    let rest = &template[from..];
    pieces.extend((!rest.is_empty()).then_some(Piece::Text(rest)));
    pieces
}

/// The values that stand side by side in a template, and the text after them.
#[derive(Default)]
struct Slot<'t> {
    names: Vec<&'t str>,
    after: String,
}

/// The text before the first value of `template`, and the slots of the values.
fn slots<'t>(template: &'t str, names: &'t [String]) -> (String, Vec<Slot<'t>>) {
    let (mut first, mut slots) = (String::new(), Vec::<Slot<'t>>::new());
    for piece in pieces(template, names) {
        match (piece, slots.last_mut()) {
            (Piece::Text(text) | Piece::Escaped(text), None) => first.push_str(text),
            (Piece::Text(text) | Piece::Escaped(text), Some(slot)) => slot.after.push_str(text),
            (Piece::Value(name), Some(slot)) if slot.after.is_empty() => slot.names.push(name),
            (Piece::Value(name), _) => {
                slots.push(Slot { names: vec![name], after: String::new() });
            }
        }
    }
    (first, slots)
}

/// The names whose values stand in `template`.
pub fn names_in(template: &str, names: &[String]) -> Vec<String> {
    let of_value = |piece: Piece<'_>| match piece {
        Piece::Value(name) => Some(name.to_string()),
        Piece::Text(_) | Piece::Escaped(_) => None,
    };
    pieces(template, names).into_iter().filter_map(of_value).collect()
}

/// `template` as a migration has it, in which every `${` stands for a placeholder.
pub fn as_in_a_file(template: &str, names: &[String]) -> String {
    let escaped = |text: &str| text.replace("${", "$${");
    let piece = |piece: Piece<'_>| match piece {
        Piece::Text(text) | Piece::Escaped(text) => escaped(text),
        Piece::Value(name) => mark(name),
    };
    pieces(template, names).into_iter().map(piece).collect()
}

impl Secrets {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Whether the value of this placeholder is known.
    pub fn knows(&self, name: &str) -> bool {
        self.today(name).is_some()
    }

    fn today(&self, name: &str) -> Option<&str> {
        let today = self.named.iter().find(|one| one.is_today && one.name == name);
        today.map(|one| one.value.expose())
    }

    /// The values that are words of any text, or of which `is_name` says that they are the names of something.
    pub fn vague(&self, is_name: &dyn Fn(&str) -> bool) -> BTreeSet<&str> {
        let vague = self.named.iter().filter(|one| {
            let value = one.value.expose();
            !is_telling(value) || is_name(&value.to_ascii_lowercase())
        });
        vague.map(|one| one.value.expose()).collect()
    }

    /// Those of `names` whose values of today are `vague`.
    pub fn words(&self, names: &[String], vague: &BTreeSet<&str>) -> Vec<String> {
        let is_vague = |name: &&String| self.today(name).is_some_and(|value| vague.contains(value));
        names.iter().filter(is_vague).cloned().collect()
    }

    /// The values, for looking them up among names.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(|one| one.value.expose())
    }

    /// The names whose values stand in `text`, but for those in `vague`.
    pub fn found_in(&self, text: &str, vague: &BTreeSet<&str>) -> BTreeSet<String> {
        let found = self.places(text, vague);
        found.into_iter().map(|(_, _, one)| one.name.clone()).collect()
    }

    /// `text` as a template: with marks for the values that stand in it, but for those in `vague`, and
    /// with what looks like a mark of one of `names` escaped.
    pub fn template(&self, text: &str, vague: &BTreeSet<&str>, names: &[String]) -> String {
        marked(text, self.places(text, vague), names, &|one| mark(&one.name))
    }

    /// The same, but with [`OTHER`] for a value that is not today's.
    pub fn picture(&self, text: &str, vague: &BTreeSet<&str>, names: &[String]) -> String {
        marked(text, self.places(text, vague), names, &|one| match one.is_today
            || self.today(&one.name).is_none()
        {
            true => mark(&one.name),
            false => OTHER.to_string(),
        })
    }

    /// The same for the values of `chosen`, whatever they are, where they stand in quotes, or `anywhere`.
    pub fn template_of_quoted(&self, text: &str, chosen: &[String], anywhere: bool) -> String {
        self.template_where(text, chosen, &|at, _| anywhere || is_in_quotes(&text[..at]))
    }

    /// The same where they are words by themselves.
    pub fn template_of_words(&self, text: &str, chosen: &[String]) -> String {
        let is_word =
            |letter: Option<char>| letter.is_some_and(|one| one.is_alphanumeric() || one == '_');
        self.template_where(text, chosen, &|at, end| {
            !is_word(text[..at].chars().next_back()) && !is_word(text[end..].chars().next())
        })
    }

    fn template_where(
        &self,
        text: &str,
        chosen: &[String],
        counts: &dyn Fn(usize, usize) -> bool,
    ) -> String {
        let mut places = Vec::new();
        for one in self.named.iter().filter(|one| chosen.contains(&one.name)) {
            for form in forms(one.value.expose()) {
                let found = text.match_indices(form.as_str());
                let found = found.map(|(at, it)| (at, at + it.len(), one));
                places.extend(found.filter(|(at, end, _)| counts(*at, *end)));
            }
        }
        places.sort_by_key(|(at, end, _)| (*at, std::cmp::Reverse(*end)));
        let mut last = 0;
        places.retain(|(at, end, _)| {
            let is_free = *at >= last;
            last = if is_free { *end } else { last };
            is_free
        });
        match places.is_empty() {
            true => text.to_string(),
            false => marked(text, places, chosen, &|one| mark(&one.name)),
        }
    }

    fn places(&self, text: &str, vague: &BTreeSet<&str>) -> Vec<Place<'_>> {
        let Some(found) = self.finder.of(&self.named) else { return Vec::new() };
        let matches = found.automaton.find_iter(text);
        let places = matches.map(|one| {
            (one.start(), one.end(), &self.named[found.owners[one.pattern().as_usize()]])
        });
        places.filter(|(_, _, one)| !vague.contains(one.value.expose())).collect()
    }

    /// Holds `text` against a template of the values of `names`; `None` where it does not fit.
    pub fn fit(&self, template: &str, names: &[String], text: &str) -> Option<Fit> {
        let (first, slots) = slots(template, names);
        let text = without_escape_marks(text);
        let mut rest = text.strip_prefix(&without_escape_marks(&first))?;
        let mut fit = Fit { text: literal_of(&first, names), others: Vec::new() };
        for (at, slot) in slots.iter().enumerate() {
            let after = without_escape_marks(&slot.after);
            let end = match at + 1 == slots.len() {
                true => rest.ends_with(&after).then(|| rest.len() - after.len()),
                false => rest.find(&after),
            }?;
            self.compare(&slot.names, &rest[..end], &mut fit);
            fit.text.push_str(&literal_of(&slot.after, names));
            rest = &rest[end + after.len()..];
        }
        (!slots.is_empty() || rest.is_empty()).then_some(fit)
    }

    /// Adds to `fit` what stands in place of the values of `names`: more than one cannot be told apart.
    fn compare(&self, names: &[&str], found: &str, fit: &mut Fit) {
        let [name] = names else {
            return names.iter().for_each(|name| fit.text.push_str(&mark(name)));
        };
        let today = self.today(name);
        let is_today = |value: &str| {
            let folds = value.len() >= super::TELLING;
            let is_it = |form: &String| form == found || folds && form.eq_ignore_ascii_case(found);
            forms(value).iter().any(is_it)
        };
        let is_other = today.is_some_and(|value| !is_today(value));
        fit.text.push_str(&if is_other { OTHER.to_string() } else { mark(name) });
        if is_other || today.is_none() {
            fit.others.push((name.to_string(), found.to_string()));
        }
    }

    /// `template` with today's values in it, written as its form demands.
    ///
    /// Errors: the names whose values are not known.
    pub fn render(
        &self,
        template: &str,
        names: &[String],
        form: Form,
    ) -> Result<String, BTreeSet<String>> {
        let (mut text, mut missing) = (String::with_capacity(template.len()), BTreeSet::new());
        for piece in pieces(template, names) {
            match piece {
                Piece::Text(piece) | Piece::Escaped(piece) => text.push_str(piece),
                Piece::Value(name) => match self.today(name) {
                    Some(value) => {
                        let value = written(value, form, &text);
                        text.push_str(&value);
                    }
                    None => drop(missing.insert(name.to_string())),
                },
            }
        }
        match missing.is_empty() {
            true => Ok(text),
            false => Err(missing),
        }
    }
}

/// Where a value stands in a text: its beginning, its end, and whose it is.
type Place<'s> = (usize, usize, &'s Named);

fn marked(
    text: &str,
    places: Vec<Place<'_>>,
    names: &[String],
    mark: &dyn Fn(&Named) -> String,
) -> String {
    let mut template = String::with_capacity(text.len());
    let mut at = 0;
    for (start, end, one) in places {
        template.push_str(&literal_of(&text[at..start], names));
        template.push_str(&mark(one));
        at = end;
    }
    template.push_str(&literal_of(&text[at..], names));
    template
}

/// A text of a template: what looks like a mark in it is escaped.
fn literal_of(text: &str, names: &[String]) -> String {
    names
        .iter()
        .fold(text.to_string(), |text, name| text.replace(&mark(name), &format!("${}", mark(name))))
}

/// Without the `E` before a quote: whether a server writes it depends on the value.
fn without_escape_marks(text: &str) -> String {
    let mut rest = text;
    let mut without = String::with_capacity(text.len());
    while let Some(at) = rest.find("E'") {
        let is_word =
            rest[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        without.push_str(&rest[..at]);
        if is_word {
            without.push('E');
        }
        without.push('\'');
        rest = &rest[at + 2..];
    }
    without.push_str(rest);
    without
}

/// Where the end of a text of SQL is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Inside {
    Nothing,
    Quotes {
        /// Whether a backslash escapes what follows.
        escapes: bool,
        /// Whether a string of JSON, or of an array, is open.
        json: bool,
    },
    Name,
    Dollars,
    Line,
    Comment,
}

fn is_in_quotes(before: &str) -> bool {
    // In the body of a function there may be quotes, too.
    match end_of(before) {
        (Inside::Quotes { .. }, _) => true,
        (Inside::Dollars, body) => matches!(end_of(body).0, Inside::Quotes { .. }),
        (_, _) => false,
    }
}

/// Where `sql` ends, and what of it is since the last dollar quote.
fn end_of(sql: &str) -> (Inside, &str) {
    let mut rest = sql;
    let mut before = ' ';
    loop {
        let Some(next) = rest.chars().next() else { return (Inside::Nothing, sql) };
        let after = &rest[next.len_utf8()..];
        let skipped = match next {
            '\'' => match end_of_literal(after, matches!(before, 'E' | 'e')) {
                Ok(rest) => rest,
                Err(inside) => return (inside, sql),
            },
            '"' => match after.find('"') {
                Some(end) => &after[end + 1..],
                None => return (Inside::Name, sql),
            },
            '-' if after.starts_with('-') => match after.find('\n') {
                Some(end) => &after[end..],
                None => return (Inside::Line, sql),
            },
            '/' if after.starts_with('*') => match after.find("*/") {
                Some(end) => &after[end + 2..],
                None => return (Inside::Comment, sql),
            },
            '$' => match dollar_tag(rest) {
                Some(tag) => match rest[tag.len()..].find(tag) {
                    Some(end) => &rest[tag.len() + end + tag.len()..],
                    None => return (Inside::Dollars, &rest[tag.len()..]),
                },
                None => after,
            },
            _ => after,
        };
        before = next;
        rest = skipped;
    }
}

fn dollar_tag(text: &str) -> Option<&str> {
    let end = 1 + text[1..].find('$')?;
    let tag = &text[1..end];
    let is_tag = tag.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
        && !tag.starts_with(|first: char| first.is_ascii_digit());
    is_tag.then(|| &text[..=end])
}

fn end_of_literal(text: &str, escapes: bool) -> Result<&str, Inside> {
    let mut json = false;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\'' if letters.peek().is_some_and(|(_, next)| *next == '\'') => drop(letters.next()),
            '\'' => return Ok(&text[at + 1..]),
            '\\' if escapes || json => drop(letters.next()),
            '"' => json = !json,
            _ => {}
        }
    }
    Err(Inside::Quotes { escapes, json })
}

/// `value` as it is written after `before`.
fn written(value: &str, form: Form, before: &str) -> String {
    match form {
        Form::Plain => value.to_string(),
        Form::Json => json(value),
        Form::Sql => match end_of(before).0 {
            Inside::Quotes { .. } if before.ends_with("'\\x") || before.ends_with("'\\\\x") => {
                value.bytes().map(|byte| format!("{byte:02x}")).collect()
            }
            Inside::Quotes { escapes, json: is_json } => {
                let value = if is_json { json(value) } else { value.to_string() };
                quoted(&if escapes { value.replace('\\', "\\\\") } else { value })
            }
            Inside::Name => value.replace('"', "\"\""),
            Inside::Nothing | Inside::Dollars | Inside::Line | Inside::Comment => value.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<String> {
        ["six", "two"].map(str::to_string).to_vec()
    }

    fn secrets(six: &str) -> Secrets {
        Secrets::new([("six", six)])
    }

    #[test]
    fn a_template_holds_no_value_and_is_rendered_again() {
        for value in ["hunter-22", "it's-a-pw", "a\\b\\c-1", "say \"pw1\"", "l1 one\nl2 two"] {
            let known = secrets(value);
            for text in [
                format!("'{}'::text", quoted(value)),
                format!("E'{}'::text", quoted(&value.replace('\\', "\\\\"))),
                format!("'{{\"a\": \"{}\"}}'::jsonb", quoted(&json(value))),
                format!("AS $function$ SELECT 1 /* {value} */ $function$"),
                format!(
                    "'\\x{}'::bytea",
                    value.bytes().map(|b| format!("{b:02x}")).collect::<String>()
                ),
            ] {
                let template = known.template(&text, &BTreeSet::new(), &names());
                assert_eq!(names_in(&template, &names()), ["six"], "{text}: {template}");
                let fit = known.fit(&template, &names(), &text).expect("fits");
                assert_eq!((fit.text.as_str(), fit.others.len()), (template.as_str(), 0), "{text}");
                assert_eq!(
                    known.render(&template, &names(), Form::Sql).as_deref(),
                    Ok(text.as_str())
                );
                let other = secrets("else-where-3");
                let fit = other.fit(&template, &names(), &text).expect("fits");
                assert!(fit.text.contains(OTHER) && !fit.text.contains("${"), "{}", fit.text);
                let unknown = Secrets::default().fit(&template, &names(), &text).expect("fits");
                assert_eq!(unknown.text, template);
            }
        }
    }

    #[test]
    fn what_looks_like_a_mark_is_none() {
        let known = secrets("hunter-22");
        let text = "a ${six} b hunter-22 c ${other} $${six}";
        let template = known.template(text, &BTreeSet::new(), &names());
        assert_eq!(template, "a $${six} b ${six} c ${other} $$${six}");
        assert_eq!(known.render(&template, &names(), Form::Plain).as_deref(), Ok(text));
        assert_eq!(known.fit(&template, &names(), text).expect("fits").text, template);
    }

    #[test]
    fn several_values_and_other_texts() {
        let known = Secrets::new([("six", "hunter-22"), ("two", "another-7")]);
        let text = "x = 'hunter-22' OR x = 'another-7' OR x = 'HUNTER-22'";
        let template = known.template(text, &BTreeSet::new(), &names());
        assert_eq!(template, "x = '${six}' OR x = '${two}' OR x = '${six}'");
        let fit =
            known.fit(&template, &names(), "x = 'old-one-1' OR x = 'another-7' OR x = 'hunter-22'");
        let fit = fit.expect("fits");
        assert_eq!(fit.text, "x = '‹another value›' OR x = '${two}' OR x = '${six}'");
        assert_eq!(fit.others, [("six".to_string(), "old-one-1".to_string())]);
        assert_eq!(known.fit(&template, &names(), "x = 'hunter-22'"), None);
        let side_by_side = "'${six}${two}'";
        assert!(known.fit(side_by_side, &names(), "'hunter-22another-7'").is_some());
        assert!(known.fit("'${six}'::text", &names(), "'a\\b'::text").is_some());
        assert!(known.fit("'${six}'::text", &names(), "E'a\\\\b'::text").is_some());
        let missing = Secrets::default().render("'${six}'", &names(), Form::Sql);
        assert_eq!(missing, Err(BTreeSet::from(["six".to_string()])));
    }

    #[test]
    fn words_of_any_text_are_marked_in_quotes_alone() {
        let known = secrets("postgres");
        assert!(known.found_in("owner postgres", &BTreeSet::new()).is_empty());
        let quoted = |text| known.template_of_quoted(text, &names(), false);
        assert_eq!(
            quoted("SELECT postgres FROM t WHERE a = 'postgres'::text"),
            "SELECT postgres FROM t WHERE a = '${six}'::text"
        );
        assert_eq!(
            quoted("AS $f$ SELECT 'postgres' FROM postgres $f$"),
            "AS $f$ SELECT '${six}' FROM postgres $f$"
        );
        assert_eq!(quoted("postgres"), "postgres");
    }
}
