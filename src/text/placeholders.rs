//! `${name}` in migrations, replaced from configuration only.
//!
//! `$${` is a literal `${`; an unknown name is an error with its place. In SQL the text is replaced
//! before it is sent; in JSON5 only inside strings, so that a value can never break out of its place.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::copy_data::LargeData;
use super::document::{ScriptError, Span, nearest};
use super::psql;
use crate::secret::Secrets;

/// A value that a migration may name.
#[derive(Clone, Debug)]
pub struct Placeholder {
    /// The value.
    pub value: SecretString,
    /// Whether it came from a secret file: then it is never stored in the ledger.
    pub secret: bool,
}

/// The values that migrations may name, by lower-case name.
#[derive(Clone, Debug, Default)]
pub struct Placeholders(pub BTreeMap<String, Placeholder>);

/// A text with its placeholders replaced that still knows where each part came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// The text to send.
    pub text: String,
    /// The names that were replaced.
    pub names: Vec<String>,
    /// The COPY data that is left out of the text.
    pub large: Vec<LargeData>,
    segments: Vec<Segment>,
    /// The length of the text in its file.
    length: usize,
}

#[derive(Clone, Debug, PartialEq)]
struct Segment {
    rendered: usize,
    original: usize,
    literal: bool,
}

impl Rendered {
    /// A text in which nothing is replaced.
    pub fn verbatim(text: &str) -> Rendered {
        let segments = vec![Segment { rendered: 0, original: 0, literal: true }];
        let (length, names, large) = (text.len(), Vec::new(), Vec::new());
        Rendered { text: text.to_string(), names, large, segments, length }
    }

    /// The same with the COPY data that was left out of the text.
    pub fn with_large(mut self, large: &[LargeData]) -> Rendered {
        self.large = large.to_vec();
        self
    }

    /// The same with blanks in these places of the text.
    pub fn blanked<'s>(&self, places: impl Iterator<Item = &'s Span>) -> Rendered {
        let text = psql::blanked(&self.text, places);
        let (names, large) = (self.names.clone(), self.large.clone());
        Rendered { text, names, large, segments: self.segments.clone(), length: self.length }
    }

    /// The offset in the file of the byte `at` of the rendered text.
    pub fn original(&self, at: usize) -> usize {
        let index = self.segments.partition_point(|segment| segment.rendered <= at);
        match index.checked_sub(1).and_then(|index| self.segments.get(index)) {
            Some(segment) if segment.literal => segment.original + (at - segment.rendered),
            Some(segment) => segment.original,
            None => at,
        }
    }

    /// The range of the whole text in its file.
    pub fn whole(&self) -> Span {
        0..self.length
    }

    /// The range in the file of a range of the rendered text.
    pub fn span(&self, range: Span) -> Span {
        self.original(range.start)..self.original(range.end)
    }
}

impl Placeholders {
    /// Replaces the placeholders in `text`, which begins at byte `base` of its file.
    pub fn render(&self, text: &str, base: usize) -> Result<Rendered, ScriptError> {
        let mut rendered = Rendered {
            text: String::new(),
            names: Vec::new(),
            large: Vec::new(),
            segments: Vec::new(),
            length: text.len(),
        };
        let mut at = 0;
        while let Some(found) = text[at..].find("${") {
            let start = at + found;
            let escaped = text[..start].ends_with('$') && start > at;
            let literal_end = if escaped { start - 1 } else { start };
            rendered.literal(base, text, at..literal_end);
            if escaped && let Some(name) = self.after_dollar_quote(text, start) {
                let message = format!("`$${{{name}}}` is no placeholder: `$$` escapes it");
                return Err(ScriptError::new(base + start - 1..base + start + 2, message)
                    .hint("put something between the dollar quote and the placeholder, or use another quote"));
            }
            if escaped {
                rendered.segments.push(Segment {
                    rendered: rendered.text.len(),
                    original: base + literal_end,
                    literal: false,
                });
                rendered.text.push_str("${");
                at = start + 2;
                continue;
            }
            let span_of = |end: usize| base + start..base + end;
            let end = match text[start..].find('}') {
                Some(end) => start + end + 1,
                None => {
                    return Err(ScriptError::new(span_of(start + 2), "`${` is never closed")
                        .hint("write `$${` for a literal `${`"));
                }
            };
            let name = &text[start + 2..end - 1];
            let key = name.trim().to_lowercase();
            let Some(placeholder) = self.0.get(&key) else {
                let error = ScriptError::new(span_of(end), format!("unknown placeholder `{name}`"));
                return Err(match nearest(&key, self.0.keys().map(String::as_str)) {
                    Some(near) => error.hint(format!("did you mean `${{{near}}}`?")),
                    None => error.hint(format!(
                        "set it under [placeholders] in aiplat-migrate.toml or as \
                         AIPLAT_MIGRATE_PLACEHOLDER_{}; write `$${{` for a literal `${{`",
                        key.to_uppercase()
                    )),
                });
            };
            rendered.segments.push(Segment {
                rendered: rendered.text.len(),
                original: base + start,
                literal: false,
            });
            rendered.text.push_str(placeholder.value.expose_secret());
            if !rendered.names.contains(&key) {
                rendered.names.push(key);
            }
            at = end;
        }
        rendered.literal(base, text, at..text.len());
        Ok(rendered)
    }

    /// The known placeholder that stands right behind a dollar quote of SQL, `$q$${name}`, and so is
    /// taken for an escaped one.
    fn after_dollar_quote<'t>(&self, text: &'t str, start: usize) -> Option<&'t str> {
        let before = text[..start].strip_suffix('$')?;
        let tag = before.rfind('$')?;
        let tag = &before[tag + 1..];
        let is_tag = tag.chars().all(|one| one.is_alphanumeric() || one == '_')
            && !tag.starts_with(|first: char| first.is_ascii_digit());
        let name = text[start + 2..].split_once('}')?.0;
        (is_tag && self.0.contains_key(&name.trim().to_lowercase())).then_some(name)
    }

    /// The values that are never shown.
    pub fn secrets(&self) -> Secrets {
        let secret = self.0.iter().filter(|(_, placeholder)| placeholder.secret);
        Secrets::new(secret.map(|(name, one)| (name.as_str(), one.value.expose_secret())))
    }

    /// The values of `names` that may be stored.
    pub fn storable(&self, names: &[String]) -> BTreeMap<String, String> {
        names
            .iter()
            .filter_map(|name| {
                let placeholder = self.0.get(name).filter(|placeholder| !placeholder.secret)?;
                Some((name.clone(), placeholder.value.expose_secret().to_string()))
            })
            .collect()
    }

    /// Those of `names` whose values may not be stored.
    pub fn secret(&self, names: &[String]) -> Vec<String> {
        let secret = |name: &&String| self.0.get(*name).is_some_and(|known| known.secret);
        names.iter().filter(secret).cloned().collect()
    }

    /// These values with the `stored` ones in place of them, and the names whose value differed.
    pub fn with_stored(&self, stored: &BTreeMap<String, String>) -> (Placeholders, Vec<String>) {
        let (mut all, mut changed) = (self.clone(), Vec::new());
        for (name, value) in stored {
            let old = Placeholder { value: value.clone().into(), secret: false };
            let now = all.0.insert(name.clone(), old);
            if now.is_some_and(|now| now.value.expose_secret() != value) {
                changed.push(name.clone());
            }
        }
        (all, changed)
    }
}

impl Rendered {
    fn literal(&mut self, base: usize, text: &str, range: Span) {
        if !range.is_empty() {
            self.segments.push(Segment {
                rendered: self.text.len(),
                original: base + range.start,
                literal: true,
            });
            self.text.push_str(&text[range]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Placeholders {
        let one = Placeholder { value: "seven".to_string().into(), secret: false };
        let two = Placeholder { value: "s3cret".to_string().into(), secret: true };
        Placeholders([("one".to_string(), one), ("two".to_string(), two)].into())
    }

    #[test]
    fn replaces_escapes_and_maps_back() {
        let text = "a ${one} $${two} ${TWO} z";
        let rendered = values().render(text, 100).expect("renders");
        assert_eq!(rendered.text, "a seven ${two} s3cret z");
        assert_eq!(rendered.original(0), 100);
        assert_eq!(rendered.original(4), 102);
        let z = rendered.text.len() - 1;
        assert_eq!(rendered.original(z), 100 + text.len() - 1);
        assert_eq!(values().storable(&rendered.names).len(), 1);
        assert_eq!(values().secret(&rendered.names), ["two"]);
        let stored = [("one".to_string(), "six".to_string()), ("new".into(), "x".into())].into();
        let (old, changed) = values().with_stored(&stored);
        assert_eq!(old.render("${one} ${new} ${two}", 0).expect("renders").text, "six x s3cret");
        assert_eq!(changed, ["one"]);
    }

    #[test]
    fn unknown_and_unclosed_are_errors_with_their_place() {
        let error = values().render("x ${onne}", 0).expect_err("unknown");
        assert_eq!((error.span, error.hint.as_deref()), (2..9, Some("did you mean `${one}`?")));
        assert!(values().render("x ${one", 0).is_err());
        assert!(values().render("x $1 $$ y$$ {", 0).is_ok());
    }
}
