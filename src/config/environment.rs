//! The process's environment and `.env`, captured once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::keys::{self, Form, PLACEHOLDER, PREFIX};
use super::sources::{Layer, Origin, Value};
use crate::error::{Error, Result};
use crate::file;
use crate::secret::Secret;
use crate::section::Content;
use crate::text::document::nearest;

const DATABASE_URL: &str = "DATABASE_URL";

/// The variables that concern the tool, the working directory, and the user's home.
#[derive(Clone, Debug)]
pub struct Environment {
    directory: PathBuf,
    home: Option<PathBuf>,
    process: BTreeMap<String, Secret>,
    dotenv: BTreeMap<String, Secret>,
}

impl Environment {
    /// That of this process, with `.env` from its working directory; the process's own wins.
    pub fn of_process() -> Result<Environment> {
        let directory = std::env::current_dir()
            .map_err(|error| Error::usage("cannot tell the working directory").because(error))?;
        let mut process = BTreeMap::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| concerns_us(name)) else { continue };
            let value = value.into_string().map_err(|_| {
                Error::usage(format!("{name} is not UTF-8")).hint("set it to text in UTF-8")
            })?;
            process.insert(name.to_string(), value);
        }
        let without_dotenv = process.get("AIPLAT_MIGRATE_NO_DOTENV").map(String::as_str);
        let dotenv = match without_dotenv {
            Some("true" | "1") => String::new(),
            Some(_) | None => dotenv_of(&directory)?,
        };
        let environment = Environment::new(directory, process, &dotenv)?;
        Ok(Environment { home: std::env::home_dir(), ..environment })
    }

    /// One with these variables and this text of a `.env`, in `directory`, and without a home.
    pub fn new(
        directory: impl Into<PathBuf>,
        process: impl IntoIterator<Item = (String, String)>,
        dotenv: &str,
    ) -> Result<Environment> {
        let ours = process.into_iter().filter(|(name, _)| concerns_us(name));
        Ok(Environment {
            directory: directory.into(),
            home: None,
            process: ours.map(|(name, value)| (name, Secret::new(value))).collect(),
            dotenv: parse_dotenv(dotenv)?,
        })
    }

    /// The working directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The user's home.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// The text of a variable, unless it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let sources = [&self.process, &self.dotenv].into_iter();
        sources
            .filter_map(|source| source.get(name))
            .map(Secret::expose)
            .find(|text| !text.is_empty())
    }

    /// The values that variables give to keys: the process's, then those of `.env`.
    pub(super) fn layers(&self, errors: &mut Vec<Error>) -> Vec<Layer> {
        let dotenv = (!self.dotenv.is_empty()).then(|| self.directory.join(".env"));
        let mut first = Layer::new(&self.directory, None, true);
        let mut second = Layer::new(&self.directory, dotenv, true);
        read(&self.process, "", &mut first, errors);
        read(&self.dotenv, " (in .env)", &mut second, errors);
        vec![first, second]
    }
}

fn concerns_us(name: &str) -> bool {
    name.starts_with(PREFIX)
        || name == DATABASE_URL
        || crate::postgres::variables().any(|known| known == name)
}

fn read(
    variables: &BTreeMap<String, Secret>,
    whence: &str,
    layer: &mut Layer,
    errors: &mut Vec<Error>,
) {
    for (name, value) in variables {
        let origin = Origin::Variable(format!("{name}{whence}"));
        let Some(rest) = name.strip_prefix(PREFIX) else {
            if name != DATABASE_URL {
                layer.holds_password |= name == "PGPASSWORD";
                continue;
            }
            layer.database_url = Some(Value { content: Content::Text(value.clone()), origin });
            continue;
        };
        if is_other(name, rest) || is_service_link(rest, value.expose()) {
            continue;
        }
        let text = value.expose().to_string();
        let added = match rest.strip_prefix(PLACEHOLDER) {
            Some(placeholder) => add_placeholder(layer, placeholder, text, origin),
            None => add_key(layer, name, text, origin),
        };
        errors.extend(added.err());
    }
}

fn add_placeholder(layer: &mut Layer, name: &str, text: String, origin: Origin) -> Result<()> {
    match name.strip_suffix("_FILE") {
        Some(_) if text.is_empty() => Ok(()),
        Some(stem) => layer.add_placeholder(stem, Form::InFile, text, origin),
        None => layer.add_placeholder(name, Form::Inline, text, origin),
    }
}

fn add_key(layer: &mut Layer, name: &str, text: String, origin: Origin) -> Result<()> {
    for section in keys::SECTIONS.iter() {
        for key in section.names() {
            if keys::variable(section.name, &key) != name {
                continue;
            }
            return match section.find(&key) {
                Some((key, form)) if !text.is_empty() => {
                    layer.add(section, key, form, text, origin)
                }
                Some(_) | None => Ok(()),
            };
        }
    }
    Err(unknown(name, &origin))
}

fn unknown(name: &str, origin: &Origin) -> Error {
    let error = origin.error("is no variable of aiplat-migrate");
    let known = known_variables();
    // The prefix that all have in common would make everything look near.
    let ends = known.iter().filter_map(|known| known.strip_prefix(PREFIX));
    match name.strip_prefix(PREFIX).and_then(|end| nearest(end, ends)) {
        Some(near) => error.hint(format!("did you mean {PREFIX}{near}?")),
        None => error.hint("unset it: names that begin so are the tool's own"),
    }
}

fn known_variables() -> Vec<String> {
    let mut known: Vec<String> =
        keys::OTHER_VARIABLES.iter().map(|(name, _)| name.to_string()).collect();
    for section in keys::SECTIONS.iter() {
        known.extend(section.names().iter().map(|key| keys::variable(section.name, key)));
    }
    known
}

fn is_other(name: &str, rest: &str) -> bool {
    keys::OTHER_VARIABLES.iter().any(|(other, _)| *other == name)
        || keys::TEST_SWITCHES.iter().any(|start| rest.starts_with(start))
}

/// Kubernetes puts variables for every Service of the namespace into every container: one named
/// `aiplat-migrate-redis` makes AIPLAT_MIGRATE_REDIS_SERVICE_HOST, and AIPLAT_MIGRATE_REDIS_PORT
/// with a URL in it.
fn is_service_link(rest: &str, value: &str) -> bool {
    if rest.starts_with(PLACEHOLDER) {
        return false;
    }
    let rest = format!("_{rest}");
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let ends = |suffix: &str| rest.ends_with(suffix);
    let protocol =
        |name: &str| name.ends_with("_TCP") || name.ends_with("_UDP") || name.ends_with("_SCTP");
    let of_port = ["_PROTO", "_PORT", "_ADDR"].iter().any(|suffix| {
        rest.strip_suffix(suffix).is_some_and(|rest| rest.contains("_PORT_") && protocol(rest))
    });
    ends("_SERVICE_HOST")
        || ends("_SERVICE_PORT")
        || rest.contains("_SERVICE_PORT_")
        || (is_url && (ends("_PORT") || (rest.contains("_PORT_") && protocol(&rest))))
        || of_port
}

fn dotenv_of(directory: &Path) -> Result<String> {
    let path = directory.join(".env");
    // A folder of that name is a Python environment.
    if path.is_dir() || !path.exists() {
        return Ok(String::new());
    }
    file::read_text(&path, file::SMALL).map_err(|error| {
        Error::usage("cannot read .env")
            .because(error)
            .hint("set AIPLAT_MIGRATE_NO_DOTENV=true to go without it")
    })
}

fn parse_dotenv(text: &str) -> Result<BTreeMap<String, Secret>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = BTreeMap::new();
    for item in dotenvy::from_read_iter(text.as_bytes()) {
        let (name, value) = item.map_err(|error| unreadable_dotenv(text, &error))?;
        if swallows_ours(&value) {
            return Err(Error::usage(format!("{name} in .env has no end before other variables"))
                .hint("close its quotes; in front of a closing quote, write `\\` twice, in \"\""));
        }
        if concerns_us(&name) && variables.insert(name.clone(), Secret::new(value)).is_some() {
            return Err(
                Error::usage(format!("{name} is given twice in .env")).hint("keep one of the two")
            );
        }
    }
    Ok(variables)
}

/// Whether a value took in the line after it, as dotenvy does where two end in `\'`.
fn swallows_ours(value: &str) -> bool {
    let lines = value.lines().skip(1);
    lines.map(|line| line.trim_start_matches("export ")).any(|line| line.starts_with(PREFIX))
}

/// The parser's own message has the line in it, and with it the secret.
fn unreadable_dotenv(text: &str, error: &dotenvy::Error) -> Error {
    let line = match error {
        dotenvy::Error::LineParse(part, _) => {
            let part = part.lines().next().unwrap_or_default();
            text.lines().position(|line| !part.is_empty() && line.contains(part))
        }
        _ => None,
    };
    let place = line.map_or(String::new(), |line| format!(" on line {}", line + 1));
    Error::usage(format!("cannot read .env: no NAME=value{place}")).hint(
        "put values with spaces or other special characters in single quotes, \
         or set AIPLAT_MIGRATE_NO_DOTENV=true to go without the file",
    )
}
