//! `aiplat-migrate.toml`: found, read, and checked key by key.
//!
//! The file may hold passwords, so no message shows more of a line than the key that is meant.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::environment::Environment;
use super::keys::{self, Form, Section};
use super::sources::{Layer, Origin};
use crate::error::{Error, Place, Result};
use crate::file;
use crate::section::Kind;
use crate::text::document::nearest;

/// The name of the settings file.
pub const NAME: &str = "aiplat-migrate.toml";

type Word<'t> = Spanned<std::borrow::Cow<'t, str>>;

/// The settings file, as text.
pub struct SettingsFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its folder.
    pub root: PathBuf,
    shown: String,
    text: String,
}

impl SettingsFile {
    /// The file that was named, or the nearest one upward from the working directory.
    pub fn find(named: Option<&Path>, environment: &Environment) -> Result<Option<SettingsFile>> {
        let directory = environment.directory();
        let variable = environment.get("AIPLAT_MIGRATE_CONFIG").map(Path::new);
        let path = match named.or(variable) {
            Some(named) => Some(directory.join(named)),
            None => directory
                .ancestors()
                .map(|at| at.join(NAME))
                .find(|path| path.exists() && !path.is_dir()),
        };
        path.map(|path| SettingsFile::read(path, directory)).transpose()
    }

    fn read(path: PathBuf, directory: &Path) -> Result<SettingsFile> {
        let shown = path.strip_prefix(directory).unwrap_or(&path).display().to_string();
        let text = file::read_text(&path, file::SMALL).map_err(|error| {
            Error::usage(format!("cannot read the settings file {shown}"))
                .because(error)
                .hint("name it with --config or AIPLAT_MIGRATE_CONFIG")
        })?;
        let root = path.parent().unwrap_or(directory).to_path_buf();
        Ok(SettingsFile { path, root, shown, text })
    }

    /// The values of `profile`, if one is asked for, then those of the file.
    pub fn layers(&self, profile: Option<&str>, errors: &mut Vec<Error>) -> Vec<Layer> {
        let mut found = Vec::new();
        let layers = match DeTable::parse(&self.text) {
            Ok(table) => self.read_all(table.get_ref(), profile, &mut found),
            Err(error) => {
                found.push(self.unparsable(&error));
                Vec::new()
            }
        };
        found.sort_by_key(|error| error.parts().place.as_ref().map(|at| (at.line, at.column)));
        errors.append(&mut found);
        layers
    }

    fn read_all(
        &self,
        table: &DeTable<'_>,
        wanted: Option<&str>,
        errors: &mut Vec<Error>,
    ) -> Vec<Layer> {
        let mut chosen = None;
        let mut names = Vec::new();
        for (name, table) in self.profiles(table, errors) {
            let layer = self.layer(table, &format!("profile.{name}."), errors);
            if wanted == Some(name) {
                chosen = Some(layer);
            }
            names.push(name);
        }
        if let (Some(wanted), None) = (wanted, &chosen) {
            errors.push(self.no_profile(wanted, &names));
        }
        chosen.into_iter().chain([self.layer(table, "", errors)]).collect()
    }

    fn profiles<'t>(
        &self,
        table: &'t DeTable<'_>,
        errors: &mut Vec<Error>,
    ) -> Vec<(&'t str, &'t DeTable<'t>)> {
        let mut profiles = Vec::new();
        for (word, value) in table.iter().filter(|(word, _)| word.get_ref() == "profile") {
            let Some(all) = self.table(word, value.get_ref(), "profile", errors) else { continue };
            for (word, value) in all {
                let name = word.get_ref().as_ref();
                let full = format!("profile.{name}");
                let table = self.table(word, value.get_ref(), &full, errors);
                profiles.extend(table.map(|table| (name, table)));
            }
        }
        profiles
    }

    fn layer(&self, table: &DeTable<'_>, path: &str, errors: &mut Vec<Error>) -> Layer {
        let mut layer = Layer::new(&self.root, Some(self.path.clone()), false);
        for (word, value) in table {
            let name = word.get_ref().as_ref();
            let full = format!("{path}{name}");
            match (name, keys::section(name)) {
                ("profile", _) if path.is_empty() => {}
                ("placeholders", _) => {
                    let entries = self.table(word, value.get_ref(), &full, errors);
                    for entry in entries.into_iter().flatten() {
                        errors.extend(self.placeholder(entry, &full, &mut layer).err());
                    }
                }
                (_, Some(section)) => {
                    let entries = self.table(word, value.get_ref(), &full, errors);
                    for entry in entries.into_iter().flatten() {
                        errors.extend(self.key(section, entry, &full, &mut layer).err());
                    }
                }
                (_, None) => match keys::section("") {
                    Some(top) if top.find(name).is_some() => {
                        errors.extend(self.key(top, (word, value), path, &mut layer).err());
                    }
                    Some(_) | None => errors.push(self.unknown_section(word, path)),
                },
            }
        }
        layer
    }

    fn key(
        &self,
        section: &'static Section,
        (word, value): (&Word<'_>, &Spanned<DeValue<'_>>),
        path: &str,
        layer: &mut Layer,
    ) -> Result<()> {
        let name = word.get_ref().as_ref();
        let origin = self.origin(word, &format!("{}.{name}", path.trim_end_matches('.')));
        let Some((key, form)) = section.find(name) else {
            return Err(unknown_key(&origin, name, section));
        };
        let kind = if form == Form::InFile { Kind::Path } else { key.kind };
        match text_of(kind, value.get_ref()) {
            Some(text) => layer.add(section, key, form, text, origin),
            None => Err(origin
                .error(&format!("is {}", described(value.get_ref())))
                .hint(format!("write {}", kind.wanted()))),
        }
    }

    fn placeholder(
        &self,
        (word, value): (&Word<'_>, &Spanned<DeValue<'_>>),
        path: &str,
        layer: &mut Layer,
    ) -> Result<()> {
        let name = word.get_ref().as_ref();
        let origin = self.origin(word, &format!("{path}.{name}"));
        match scalar(value.get_ref()) {
            Some(text) => layer.add_placeholder(name, Form::Inline, text, origin),
            None => Err(origin
                .error(&format!("is {}", described(value.get_ref())))
                .hint("write a string, a number, or true or false")),
        }
    }

    fn table<'t>(
        &self,
        word: &Word<'_>,
        value: &'t DeValue<'_>,
        full: &str,
        errors: &mut Vec<Error>,
    ) -> Option<&'t DeTable<'t>> {
        let table = value.as_table();
        if table.is_none() {
            let error = self.origin(word, full).error(&format!("is {}", described(value)));
            errors.push(error.hint(format!("write it as a section: [{full}]")));
        }
        table
    }

    fn origin(&self, word: &Word<'_>, full: &str) -> Origin {
        let full = full.trim_start_matches('.').to_string();
        Origin::Key(full, self.place(word.span()))
    }

    /// The place of a key, with nothing of its line but the key.
    fn place(&self, span: std::ops::Range<usize>) -> Place {
        let mut place = Place::of(&self.shown, &self.text, span);
        let before = place.column - 1;
        let key: String = place.text.chars().skip(before).take(place.width).collect();
        place.text = " ".repeat(before) + &key;
        place
    }

    fn unparsable(&self, error: &toml::de::Error) -> Error {
        let at = error.span().map_or(self.text.len(), |span| span.start);
        let mut place = Place::of(&self.shown, &self.text, at..at);
        place.text = " ".repeat(place.column - 1) + "…";
        Error::usage("this is not TOML").because(error.message()).at(place)
    }

    fn unknown_section(&self, word: &Word<'_>, path: &str) -> Error {
        let name = word.get_ref().as_ref();
        let error = self.origin(word, &format!("{path}{name}")).error("is no section or key");
        let mut known: Vec<&str> = keys::SECTIONS.iter().map(|section| section.name).collect();
        known.retain(|name| !name.is_empty());
        known.push("placeholders");
        known.extend(keys::section("").into_iter().flat_map(|top| &top.keys).map(|key| key.name));
        if path.is_empty() {
            known.push("profile");
        }
        match nearest(name, known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{path}{near}`?")),
            None => error.hint(format!("there are {}", known.join(", "))),
        }
    }

    fn no_profile(&self, wanted: &str, names: &[&str]) -> Error {
        let error = Error::usage(format!("no profile `{wanted}` in {}", self.shown));
        match names {
            [] => error.hint(format!("it has none: add [profile.{wanted}]")),
            names => error.hint(format!("there are {}", names.join(", "))),
        }
    }
}

fn unknown_key(origin: &Origin, name: &str, section: &'static Section) -> Error {
    let error = origin.error("is no key");
    let names = section.names();
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("the keys of [{}] are {}", section.name, names.join(", "))),
    }
}

fn text_of(kind: Kind, value: &DeValue<'_>) -> Option<String> {
    match (kind, value) {
        (
            Kind::Text | Kind::Secret | Kind::Path | Kind::Folder | Kind::Duration | Kind::List,
            DeValue::String(text),
        ) => Some(text.to_string()),
        (Kind::Port | Kind::Number | Kind::Duration, DeValue::Integer(number)) => integer(number),
        (Kind::Flag, DeValue::Boolean(flag)) => Some(flag.to_string()),
        (Kind::List, DeValue::Array(items)) => {
            let texts: Option<Vec<&str>> =
                items.iter().map(|item| item.get_ref().as_str()).collect();
            texts.map(|texts| texts.join(","))
        }
        _ => None,
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => integer(number),
        DeValue::Float(number) => Some(number.as_str().to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn integer(number: &DeInteger<'_>) -> Option<String> {
    i64::from_str_radix(number.as_str(), number.radix()).ok().map(|number| number.to_string())
}

fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
