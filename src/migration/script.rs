//! A migration's text made ready to be parsed by its store.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::{Header, header};
use crate::error::{Error, Place};
use crate::secret::literals;
use crate::stores::{StoreKind, Unit};
use crate::text::directive;
use crate::text::{
    Checksum, LargeData, Node, Ordered, Placeholders, Rendered, ScriptBody, ScriptError, Span,
};

/// A text with the name under which the user knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The store it is for.
    pub store: StoreKind,
    /// The file, relative to the project; or, for what the ledger kept, words that say so.
    pub file: String,
    /// The text, normalised (no BOM, LF line endings).
    pub text: String,
    /// The COPY data that is left out of the text.
    pub large: Vec<LargeData>,
}

/// A text ready for its store's parser.
#[derive(Clone, Debug)]
pub struct Script {
    /// Where it comes from, for places in errors.
    pub source: Source,
    /// Its header.
    pub header: Header,
    /// What it does.
    pub body: ScriptBody,
    /// The placeholders it uses.
    pub names: Vec<String>,
}

/// What undoes a migration, as the ledger keeps it: unrendered, so that it holds no secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Down {
    /// A U file, with the values of the placeholders it names, secret ones left out.
    File {
        /// The U file.
        script: String,
        /// Its text.
        text: String,
        /// The values of its placeholders.
        #[serde(default)]
        placeholders: BTreeMap<String, String>,
        /// The names of its secret placeholders, whose values are not kept.
        #[serde(default)]
        secret: Vec<String>,
    },
    /// The inverse of each step that was done, in the order in which the steps were done.
    Steps {
        /// The inverse of each step: native steps, or why there is none.
        steps: Vec<Inverse>,
    },
    /// The migration says why it cannot be undone.
    Irreversible {
        /// The reason, in the author's words.
        reason: String,
    },
    /// Nothing undoes it: a PostgreSQL migration without a U file.
    None,
}

/// What undoes one step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Inverse {
    /// Native steps, to be done in this order; none where the step found its work done.
    Steps(Vec<Ordered>),
    /// The same with `${name}` where the value of a secret placeholder stood.
    Templates {
        /// The steps.
        templates: Vec<Ordered>,
        /// The names of the placeholders.
        secret: Vec<String>,
    },
    /// Why nothing undoes the step.
    Refused {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
}

impl Source {
    /// A text that is held whole.
    pub fn new(store: StoreKind, file: impl Into<String>, text: impl Into<String>) -> Source {
        Source { store, file: file.into(), text: text.into(), large: Vec::new() }
    }

    /// The checksum of what is in `span` of the text, data that is left out of it included, directives
    /// that do not count left out.
    pub fn checksum_of(&self, span: Span) -> Checksum {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let mut text = match self.store.is_sql() {
            true => directive::counted(text).into_owned(),
            false => text.to_string(),
        };
        for large in self.large.iter().filter(|large| span.contains(&large.at)) {
            text.push_str(large.checksum.as_str());
        }
        Checksum::of(&text)
    }

    /// The place of `span` in the file.
    pub fn place(&self, span: Span) -> Place {
        let left_out = self.large.iter().filter(|large| large.at < span.start);
        let lines: usize = left_out.map(|large| large.lines).sum();
        let mut place = Place::of(&self.file, &self.text, span.clone());
        place.line += lines;
        self.hide_passwords(&mut place, span.start);
        place
    }

    /// Hides passwords that are written out in the line of `place`. What says that one is a password may
    /// stand on the lines before.
    fn hide_passwords(&self, place: &mut Place, at: usize) {
        const LINES_BEFORE: usize = 3;
        let before = self.text.get(..at).unwrap_or_default();
        let line = before.rfind('\n').map_or(0, |end| end + 1);
        let starts = before[..line].trim_end_matches('\n').rmatch_indices('\n');
        let from = starts.map(|(end, _)| end + 1).nth(LINES_BEFORE - 1).unwrap_or(0);
        let above = &self.text[from..line];
        let hidden = |characters: usize| {
            let part: String = place.text.chars().take(characters).collect();
            let window = format!("{above}{part}");
            let hidden = literals::hide(&window).into_owned();
            hidden.rsplit('\n').next().unwrap_or_default().to_string()
        };
        let whole = hidden(usize::MAX);
        if whole == place.text {
            return;
        }
        let column = hidden(place.column - 1).chars().count() + 1;
        let end = hidden(place.column - 1 + place.width).chars().count() + 1;
        *place =
            Place { column, width: (end - column.min(end)).max(1), text: whole, ..place.clone() };
    }

    /// Turns a mistake in this text, and those told with it, into an error (exit 2) with their places.
    pub fn error(&self, mistake: ScriptError) -> Error {
        let word = self.text.get(mistake.span.clone()).unwrap_or_default();
        let foreign = self.store.foreign(word.trim_matches(['"', '\'']));
        let error = Error::usage(mistake.message).at(self.place(mistake.span));
        let error = match foreign.map(str::to_string).or(mistake.hint) {
            Some(hint) => error.hint(hint),
            None => error,
        };
        let others = mistake.also.into_iter().map(|other| self.error(other));
        Error::all(std::iter::once(error.clone()).chain(others)).unwrap_or(error)
    }

    /// Reads the header, and with it the syntax of a JSON5 file.
    pub fn header(&self) -> Result<Header, Error> {
        let header = match self.store.is_sql() {
            true => header::of_sql(&self.text),
            false => Node::parse(&self.text)
                .and_then(|root| header::of_document(&root).map(|(header, _)| header)),
        };
        header.map_err(|mistake| self.error(mistake))
    }

    /// Checks the header of a U file, which has less to say than that of what it undoes.
    pub fn check_undo_header(&self) -> Result<(), Error> {
        self.header()?;
        let refused = match self.store.is_sql() {
            true => header::refuse_in_undo_sql(&self.text),
            false => {
                Node::parse(&self.text).and_then(|root| header::refuse_in_undo_document(&root))
            }
        };
        refused.map_err(|mistake| self.error(mistake))
    }

    /// The checksum of what the text does, apart from comments and white space, but with its directives;
    /// what `lint` allows is no part of it. `None` for a text that cannot be read.
    pub fn content(&self) -> Option<Checksum> {
        let text = self.store.content(&self.text)?;
        if !self.store.is_sql() {
            return Some(Checksum::of(&text));
        }
        let header = self.header().ok()?;
        let large = self.large.iter().map(|large| large.checksum.as_str());
        Some(Checksum::of(&format!("{}\n{text}{}", header.canonical(), large.collect::<String>())))
    }

    /// Renders the text: header read, placeholders replaced.
    pub fn script(&self, values: &Placeholders) -> Result<Script, Error> {
        let rendered = match self.store.is_sql() {
            true => self.render_sql(values),
            false => self.render_steps(values),
        };
        let (header, body, names) = rendered.map_err(|mistake| self.error(mistake))?;
        Ok(Script { source: self.clone(), header, body, names })
    }

    fn render_sql(&self, values: &Placeholders) -> Result<Parts, ScriptError> {
        let header = header::of_sql(&self.text)?;
        let rendered = match header.placeholders.unwrap_or(false) {
            true => values.render(&self.text, 0)?,
            false => Rendered::verbatim(&self.text).with_large(&self.large),
        };
        let names = rendered.names.clone();
        Ok((header, ScriptBody::Sql(rendered), names))
    }

    fn render_steps(&self, values: &Placeholders) -> Result<Parts, ScriptError> {
        let root = Node::parse(&self.text)?;
        let (header, steps) = header::of_document(&root)?;
        // Only here: a file that `new` has just written may be listed and hashed.
        if steps.is_empty() {
            let message = "`steps` is empty: there is nothing to apply";
            return Err(ScriptError::new(root.span.clone(), message));
        }
        let mut steps = steps.to_vec();
        let mut names: Vec<String> = Vec::new();
        if header.placeholders.unwrap_or(true) {
            for step in &mut steps {
                step.try_map_strings(&mut |text, span| {
                    let rendered = values.render(text, 0).map_err(|mut mistake| {
                        mistake.span = span.clone();
                        mistake
                    })?;
                    names.extend(rendered.names);
                    Ok(rendered.text)
                })?;
            }
        }
        names.sort();
        names.dedup();
        Ok((header, ScriptBody::Steps(steps), names))
    }
}

/// A text as it is rendered: header, body, and the placeholders that it uses.
type Parts = (Header, ScriptBody, Vec<String>);

impl Script {
    /// The units of the script; pure, so that every script about to run is checked before the first
    /// effect.
    pub fn units(&self) -> Result<Vec<Unit>, ScriptError> {
        self.source.store.parse(&self.body, self.header.without_transaction)
    }
}
