//! What libpq takes from its surroundings: PG* variables, service files, the password file. All of it is
//! weaker than the tool's own settings, and read as libpq reads it.

use std::fs;
use std::path::{Path, PathBuf};

use super::conninfo::{self, Conninfo, Host, Wrong};
use crate::file;
use crate::secret::Secret;
use crate::section::Reader;

/// Which variables say where PostgreSQL is, so that one of them is enough to configure it.
pub const PLACES: [&str; 4] = ["PGSERVICE", "PGHOST", "PGHOSTADDR", "PGDATABASE"];

/// Where Debian keeps the service file of all users; others say so with PGSYSCONFDIR.
const SYSTEM: &str = "/etc/postgresql-common";

/// What is not said by the tool's own settings.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Of the service, then of the variables.
    pub(super) defaults: Conninfo,
    /// The password file; empty where a password is given.
    pub(super) passwords: PasswordFile,
}

/// The lines of a password file.
#[derive(Clone, Debug, Default)]
pub struct PasswordFile(Vec<Secret>);

/// Reads the defaults for what `written` leaves open; what is wrong with them is told to `section`.
pub(super) fn defaults(section: &mut Reader<'_>, written: &Conninfo) -> Conninfo {
    let mut found = Conninfo::default();
    let named = match written.get("service") {
        Some(name) => Some((None, name.to_string())),
        None => section.0.variable("PGSERVICE").map(|name| (Some("PGSERVICE"), name)),
    };
    if let Some((variable, name)) = named {
        match service(section, &name) {
            Ok(of_service) => found.fill(&of_service),
            Err(Wrong { what, hint }) => match variable {
                Some(variable) => section.0.refuse_variable(variable, &what, &hint),
                None => section.0.refuse("url", &what, &hint),
            },
        }
    }
    let mut of_variables = Conninfo::default();
    for (name, variable) in conninfo::defaults() {
        // What is said by something stronger is not looked at, whatever it says.
        let is_open = written.get(name).is_none() && found.get(name).is_none();
        let Some(value) = section.0.variable(variable).filter(|_| is_open) else { continue };
        if let Err(Wrong { what, hint }) = of_variables.set(name, &value) {
            section.0.refuse_variable(variable, &what, &hint);
        }
    }
    if section.0.variable("PGREQUIRESSL").is_some_and(|value| value.starts_with('1'))
        && of_variables.get("sslmode").is_none()
    {
        of_variables.put("sslmode", "require");
    }
    found.fill(&of_variables);
    found
}

/// What a service file says of the service `name`.
fn service(section: &mut Reader<'_>, name: &str) -> Result<Conninfo, Wrong> {
    let variable = |section: &Reader<'_>, name: &str| section.0.variable(name).map(PathBuf::from);
    let own = variable(section, "PGSERVICEFILE")
        .or_else(|| section.0.home().map(|home| home.join(".pg_service.conf")));
    let folder = variable(section, "PGSYSCONFDIR").unwrap_or_else(|| SYSTEM.into());
    let files: Vec<PathBuf> = own.into_iter().chain([folder.join("pg_service.conf")]).collect();
    for path in &files {
        // What is not there is passed over, as by libpq; what is no plain file may have no end.
        let Ok(text) = file::read_text(path, file::SMALL) else { continue };
        if let Some(found) = of_service(&text, name).map_err(|wrong| in_file(wrong, path))? {
            return Ok(found);
        }
    }
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    Err(Wrong {
        what: format!("names the service `{name}`, which no service file has"),
        hint: format!("looked into {}; PGSERVICEFILE names another", files.join(" and ")),
    })
}

fn in_file(Wrong { what, hint }: Wrong, file: &Path) -> Wrong {
    Wrong { what: format!("names a service in {}, which {what}", file.display()), hint }
}

/// The section `[name]` of a service file, if it has one.
fn of_service(text: &str, name: &str) -> Result<Option<Conninfo>, Wrong> {
    let mut found: Option<Conninfo> = None;
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            let own = title.strip_prefix(name).is_some_and(|rest| rest.starts_with(']'));
            found = own.then(Conninfo::default);
            continue;
        }
        let Some(found) = &mut found else { continue };
        let wrong = |what: &str, hint: &str| Wrong {
            what: format!("{what} on line {number}"),
            hint: hint.to_string(),
        };
        let Some((key, value)) = line.split_once('=') else {
            return Err(wrong("has no `=`", "write key=value, without spaces around the `=`"));
        };
        if key == "service" {
            return Err(wrong("names another service", "a service cannot refer to another"));
        }
        let mut one = Conninfo::default();
        one.set(key, value).map_err(|error| wrong(&error.what, &error.hint))?;
        // The first of two counts.
        found.fill(&one);
    }
    Ok(found)
}

/// Reads the password file that `all` names, or the one in the home directory. As libpq, one that others
/// may read is not used, and a warning says so.
pub(super) fn passwords(section: &mut Reader<'_>, all: &Conninfo) -> PasswordFile {
    let usual = || section.0.home().map(|home| home.join(".pgpass"));
    let Some(path) = all.get("passfile").map(PathBuf::from).or_else(usual) else {
        return PasswordFile::default();
    };
    let Ok(metadata) = fs::metadata(&path) else { return PasswordFile::default() };
    let shown = path.display();
    if !metadata.is_file() {
        section.0.warn(format!("the password file {shown} is not used: it is no plain file"));
        return PasswordFile::default();
    }
    if is_open_to_others(&metadata) {
        section.0.warn(format!(
            "the password file {shown} is not used: others may read or write it: chmod 600 {shown}"
        ));
        return PasswordFile::default();
    }
    let bytes = file::read(&path, file::SMALL).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    PasswordFile(lines.map(Secret::new).collect())
}

#[cfg(unix)]
fn is_open_to_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;

    metadata.permissions().mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn is_open_to_others(_metadata: &fs::Metadata) -> bool {
    false
}

impl PasswordFile {
    /// The password of `user` for `database` on `host`.
    pub(super) fn find(&self, host: &Host, database: &str, user: &str) -> Option<Secret> {
        // The folder of a socket that is libpq's own default is written so.
        let is_default =
            ["/tmp", "/var/run/postgresql", "/run/postgresql"].contains(&host.name.as_str());
        let port = host.port.to_string();
        let of = |name: &str| {
            let wanted = [name, port.as_str(), database, user];
            self.0.iter().find_map(|line| {
                wanted.iter().try_fold(line.expose(), |rest, token| after(rest, token))
            })
        };
        let found = of(&host.name).or_else(|| is_default.then(|| of("localhost")).flatten());
        found.map(|rest| Secret::new(unescaped(rest)))
    }
}

/// What follows the field at the beginning of `line`, if that is `*` or says `token`.
fn after<'l>(line: &'l str, token: &str) -> Option<&'l str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let mut wanted = token.chars();
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' if wanted.as_str().is_empty() => return Some(&line[at + 1..]),
            c => {
                let c = if c == '\\' { chars.next()?.1 } else { c };
                if wanted.next() != Some(c) {
                    return None;
                }
            }
        }
    }
    None
}

/// The last field, which ends at the first `:` that is not escaped.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => break,
            '\\' => plain.push(chars.next().unwrap_or('\\')),
            c => plain.push(c),
        }
    }
    plain
}
